"""The verdict on a picture, why two covers match, search by a part, and one picture under several titles, on real
covers."""

import io
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image, ImageFilter

from banners.build.titles import draw_title
from banners.catalogue import archive
from banners.catalogue.manifest import Manifest
from embed_banners import main
from tests.webapp.query_site import encoded, form, text
from webapp import create_app

SIZE = (300, 450)


@pytest.fixture(scope="module")
def client(shelf):
    overrides = {"CATALOGUE": shelf / "c", "BANNERS": shelf / "b", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides).test_client()


@pytest.fixture(scope="module")
def covers(shelf) -> dict[int, Path]:
    return {int(path.stem): path for path in sorted((shelf / "b").glob("*.jpg"))}


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize(SIZE)


def judge(client, image: Image.Image, query: str = "", quality: int | None = None) -> dict:
    data = encoded(image, "JPEG", quality=quality) if quality else encoded(image)
    answer = client.post(f"/api/v1/pictures?{query}", data=data, content_type="image/png")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (450, 300, 3)).astype(np.uint8)


def ramp(direction: str) -> Image.Image:
    y, x = np.mgrid[0:450, 0:300]
    values = {"down": y / 450, "across": x / 300, "out": 1 - np.hypot(x - 150, y - 225) / 300}[direction]
    return Image.fromarray(np.repeat((255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=2))


# -- verdicts ---------------------------------------------------------------------------------------------------------


def test_the_own_cover_encoded_again_is_the_same(client, covers):
    for appid in list(covers)[5:200:20]:
        told = judge(client, opened(covers[appid]).resize((600, 900)), quality=50)["verdict"]
        assert told["kind"] == "same"
        assert told["game"]["appid"] == appid
        assert told["sentence"] == f"This is the cover of {told['game']['name']}"


def test_a_large_foreign_title_does_not_hide_whose_cover_it_is(client, covers):
    random, named = np.random.default_rng(1), 0
    chosen = list(covers)[3::6]
    for appid in chosen:
        told = judge(client, draw_title(opened(covers[appid]), "Zorvex Minulta", random, is_large=True))["verdict"]
        named += told["kind"] in ("same", "taken_for") and told["game"]["appid"] == appid
    assert named >= 0.95 * len(chosen)


@pytest.mark.parametrize("size", [(920, 430), (462, 174), (616, 353), (1000, 1000), (300, 430), (640, 900)])
def test_another_shape_gets_no_verdict_but_says_what_it_is(client, covers, size):
    cover = opened(list(covers.values())[40])
    wide = cover.resize(size).filter(ImageFilter.GaussianBlur(8))
    middle = cover.resize((round(size[1] / 1.5), size[1]))
    wide.paste(middle, ((size[0] - middle.width) // 2, 0))
    answer = judge(client, wide)
    assert answer["verdict"]["kind"] == "wrong_shape"
    assert answer["verdict"]["sentence"].startswith(f"{size[0]}x{size[1]} ")
    assert answer["stands_out_percent"] is None
    assert answer["verdict"]["stands_out"] == {}


@pytest.mark.parametrize(("size", "name"), [((920, 430), "header"), ((462, 174), "small capsule")])
def test_the_other_pictures_of_steam_are_named(client, covers, size, name):
    told = judge(client, opened(list(covers.values())[2]).resize(size))["verdict"]
    assert told["sentence"] == f"{size[0]}x{size[1]} is Steam’s {name}"
    assert "upright" in told["detail"]


@pytest.mark.parametrize("size", [(300, 450), (600, 900), (306, 450), (1024, 1536)])
def test_a_shape_within_three_percent_is_that_of_covers(client, covers, size):
    assert judge(client, opened(list(covers.values())[2]).resize(size))["verdict"]["kind"] == "same"


@pytest.mark.parametrize(
    "image",
    [
        *(Image.new("RGB", SIZE, colour) for colour in ((128, 128, 128), (255, 255, 255), (190, 20, 40))),
        Image.fromarray(noise()),
        Image.fromarray(noise()).filter(ImageFilter.GaussianBlur(6)),
        Image.fromarray(noise()[..., :1].repeat(3, axis=2)),
        *map(ramp, ("down", "across", "out")),
    ],
)
def test_a_picture_with_next_to_nothing_on_it_is_told_so(client, image):
    answer = judge(client, image)
    assert answer["verdict"]["kind"] == "no_detail"
    assert answer["stands_out_percent"] is None


def test_the_own_game_can_be_left_out(client, covers):
    appid = list(covers)[60]
    told = judge(client, opened(covers[appid]), f"without={appid}")
    assert told["verdict"]["kind"] != "same" or told["verdict"]["game"]["appid"] != appid
    assert appid not in [result["game"]["appid"] for result in told["results"]]
    assert told["verdict"]["games"] < len(covers)


def test_a_filter_is_the_competition(client, covers):
    image = Image.blend(opened(list(covers.values())[9]), opened(list(covers.values())[140]), 0.5)
    everywhere, among = judge(client, image)["verdict"], judge(client, image, "tag=Sports&from=1988")
    assert everywhere["competitors"] is None
    assert 0 < among["verdict"]["competitors"] < len(covers) / 2
    assert among["verdict"]["among_them"] == among["stands_out_percent"]
    assert among["verdict"]["stands_out"] == everywhere["stands_out"]


def test_the_percentage_agrees_with_all_exact_similarities(client, shelf, covers):
    site = client.application.extensions["catalogue"].site
    matrix = site.catalogue.embeddings
    near = matrix @ matrix.T
    np.fill_diagonal(near, -1)
    for appid in list(covers)[::25]:
        row = site.catalogue.row_of(appid)
        image = opened(covers[appid]).transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # is in no catalogue
        answer = judge(client, image, "tag=Action&from=1986")
        exact = site.query_encoder.picture(image)
        passes = np.flatnonzero(site.years >= 1986)
        best = (matrix[passes] @ exact).max()
        expected = 100 * (near[np.ix_(passes, passes)].max(axis=1) > best).mean()
        assert answer["verdict"]["competitors"] == len(passes)
        assert abs(answer["stands_out_percent"] - expected) <= 2, row


def test_without_local_features_there_is_a_verdict_by_similarity(shelf, covers, tmp_path):
    packed = tmp_path / "c.tar.gz"
    archive.pack(shelf / "c", packed, without=["parts"])
    shutil.unpack_archive(packed, tmp_path / "c", filter="data")
    assert Manifest.read(tmp_path / "c").parts is None
    client = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": shelf / "b"}).test_client()
    appid = list(covers)[10]
    told = judge(client, opened(covers[appid]))["verdict"]
    assert (told["kind"], told["game"]["appid"]) == ("same", appid)
    a, b = list(covers)[:2]
    assert client.get(f"/api/v1/compare?a={a}&b={b}").get_json()["regions"] == []
    assert client.get(f"/api/v1/games/{a}/parts?box=0,0,1,1").status_code == 501
    assert "/parts?" not in text(client, f"/render/{a}")
    assert client.get(f"/parts?game={a}").status_code == 501
    assert not client.get("/api/v1/reused").get_json()["results"]


# -- the page ---------------------------------------------------------------------------------------------------------


def upload(client, image: Image.Image, query: str = ""):
    return client.post(f"/upload?{query}", **form(encoded(image, "JPEG", quality=90), "x.jpg", "image/jpeg"))


def test_a_link_to_a_verdict_is_short_and_shows_the_same(client, covers):
    appid = list(covers)[20]
    address = upload(client, opened(covers[appid])).location
    picture = parse_qs(urlsplit(address).query)["picture"][0]
    assert len(picture) <= 900
    page = text(client, address)
    assert "This is the cover of " in page
    assert 'property="og:title" content="This is the cover of ' in page
    image = page.split('property="og:image" content="')[1].split('"')[0].replace("&amp;", "&")
    drawn = client.get(urlsplit(image).path + "?" + urlsplit(image).query)
    assert drawn.mimetype == "image/jpeg"
    assert image.count("game=") == 6
    with Image.open(io.BytesIO(drawn.data)) as picture_of_it:
        assert picture_of_it.size == (1200, 630)


def test_an_address_cannot_call_any_picture_a_games_cover(client, covers):
    address = upload(client, opened(list(covers.values())[20])).location
    picture = parse_qs(urlsplit(address).query)["picture"][0]
    site = client.application.extensions["catalogue"].site
    row = site.catalogue.row_of(list(covers)[20])
    unlike = int(site.catalogue.appids[(site.catalogue.embeddings @ site.catalogue.embeddings[row]).argmin()])
    assert "This is the cover of" not in text(client, f"/upload?picture={picture}&same={unlike}")


@pytest.mark.parametrize(
    "query", ["picture=x", "picture=", "size=0x5", "same=-1", "near=" + "9" * 30, "without=x", "flat=maybe", "n=0"]
)
def test_addresses_that_mean_nothing_are_no_errors_of_the_server(client, covers, query):
    assert client.get(f"/upload?{query}").status_code in (200, 400)


def test_the_page_of_another_shape_offers_its_middle(client, covers):
    address = upload(client, opened(list(covers.values())[30]).resize((920, 430))).location
    assert "size=920x430" in address
    page = text(client, address)
    assert "920x430 is Steam’s header" in page
    middle = page.split('href="/upload?')[1:]
    link = next(one.split('"')[0] for one in middle if "cut=1" in one.split('"')[0]).replace("&amp;", "&")
    assert "This is about the middle of your picture." in text(client, f"/upload?{link}")


def test_an_upload_to_a_mix_joins_it(client, covers):
    appid = next(iter(covers))
    address = upload(client, opened(covers[appid]), f"game={appid}").location
    assert address.startswith("/mix?picture=")


# -- why two covers match ---------------------------------------------------------------------------------------------


def test_a_comparison_has_regions_in_fractions(client, covers):
    a, b = list(covers)[:2]
    answer = client.get(f"/api/v1/compare?a={a}&b={b}").get_json()
    assert 3 <= len(answer["regions"]) <= 5
    for region in answer["regions"]:
        for x, y, width, height in (region["a"], region["b"]):
            assert 0 <= x <= x + width <= 1.001
            assert 0 <= y <= y + height <= 1.001
    page = text(client, f"/compare/{a}/{b}")
    assert answer["sentence"].replace("'", "&#39;") in page
    assert page.count('class="boxes"') == 2
    assert "not what the encoder thought" in page


def test_a_comparison_steps_through_the_look_alikes(client, covers):
    a = list(covers)[10]
    near = [one["game"]["appid"] for one in client.get(f"/api/v1/games/{a}/neighbours?n=3").get_json()["results"]]
    page = text(client, f"/compare/{a}/{near[1]}")
    assert f'href="/compare/{a}/{near[0]}" rel="nofollow prev"' in page
    assert f'href="/compare/{a}/{near[2]}" rel="nofollow next"' in page


def test_an_own_cover_is_compared_by_sending_it(client, covers):
    appid = list(covers)[15]
    assert "Choose your cover" in text(client, f"/compare/cover/{appid}")
    sent = form(encoded(opened(covers[appid]), "JPEG"), "x.jpg", "image/jpeg")
    page = client.post(f"/compare/cover/{appid}", **sent).get_data(as_text=True)
    assert "They are one picture" in page
    refused = client.post(f"/compare/cover/{appid}", **form(b"no picture"))
    assert refused.status_code == 415
    assert client.get("/compare/cover/4294967295").status_code == 404


# -- search by a part -------------------------------------------------------------------------------------------------


def pasted(covers, a: int, b: int, at: tuple[int, int]) -> Image.Image:
    image = opened(covers[b])
    image.paste(opened(covers[a]).crop((60, 90, 190, 280)), at)
    return image


BOX = f"{60 / 300:.4f},{90 / 450:.4f},{130 / 300:.4f},{190 / 450:.4f}"


def test_a_part_of_a_picture_is_found_on_the_cover_that_it_is_of(client, covers):
    found = 0
    for a, b in zip(list(covers)[5:65:6], list(covers)[100:160:6], strict=True):
        box = f"{40 / 300:.4f},{200 / 450:.4f},{130 / 300:.4f},{190 / 450:.4f}"
        answer = client.post(
            f"/api/v1/pictures/parts?box={box}&n=10",
            data=encoded(pasted(covers, a, b, (40, 200)), "PNG"),
            content_type="image/png",
        ).get_json()
        hit = next((one for one in answer["results"] if one["game"]["appid"] == a), None)
        if hit:
            found += 1
            x, y, width, height = hit["box"]
            assert 0.2 <= x + width / 2 <= 0.64
            assert 0.2 <= y + height / 2 <= 0.63
    assert found >= 9


def test_a_part_of_a_game_is_found_with_and_without_its_pixels(client, shelf, covers):
    a = list(covers)[33]
    answer = client.get(f"/api/v1/games/{a}/parts?box={BOX}&n=5").get_json()
    assert [one["rank"] for one in answer["results"]] == [1, 2, 3, 4, 5]
    assert a not in [one["game"]["appid"] for one in answer["results"]]
    bare = create_app({"CATALOGUE": shelf / "c"}).test_client()
    assert len(bare.get(f"/api/v1/games/{a}/parts?box={BOX}&n=5").get_json()["results"]) == 5
    table = client.get(f"/api/v1/games/{a}/parts?box={BOX}&n=5&format=csv").get_data(as_text=True)
    assert table.count("\n") == 6


@pytest.mark.parametrize(
    ("box", "status"),
    [
        ("", 400),
        ("1,2,3", 400),
        ("0.1,0.1,0.001,0.5", 400),
        ("0.99,0.99,0.5,0.5", 400),
        ("nan,0,1,1", 400),
        ("-0.1,0,1,1", 400),
        ("0,0,1,1", 200),
        ("0.9,0.9,1,1", 200),
        (".5,.5,.4,.4", 200),
    ],
)
def test_boxes_that_are_none_are_refused(client, covers, box, status):
    assert client.get(f"/api/v1/games/{next(iter(covers))}/parts?box={box}").status_code == status


def test_the_page_of_a_part_marks_it_on_each_cover(client, covers):
    a = list(covers)[33]
    page = text(client, f"/parts?game={a}&box={BOX}")
    assert page.count('class="boxes"') == 21
    assert f'href="/api/v1/games/{a}/parts?box=' in page
    assert "Search by a part" in text(client, f"/parts?game={a}")
    assert client.get("/parts").status_code == 404
    assert client.get(f"/parts?game={a}&box=x").status_code == 400


def test_a_part_of_an_own_cover_has_an_address(client, covers):
    sent = form(encoded(opened(list(covers.values())[33]), "JPEG"), "x.jpg", "image/jpeg")
    address = client.post(f"/parts?box={BOX}", **sent).location
    assert len(address) < 4000
    assert "Where else it is" in text(client, address)
    for broken in (address.replace("part=", "part=AA"), address.replace("part=", "part=%C3%A4"), address[:200]):
        assert client.get(broken).status_code == 400


def test_games_of_the_series_can_be_hidden(client):
    games = client.application.extensions["catalogue"].site.catalogue.games
    series = [game.columns.get("series") for game in games]
    for a in [game.appid for game, own in zip(games, series, strict=True) if own and series.count(own) > 1]:
        plain = client.get(f"/api/v1/games/{a}/parts?box=0,0,1,1&n=3").get_json()["results"]
        hidden = client.get(f"/api/v1/games/{a}/parts?box=0,0,1,1&n=3&hide_series=1").get_json()["results"]
        if plain != hidden:
            return
    pytest.fail("no part is found on two covers of a series")


# -- one picture under several titles
# -----------------------------------------------------------------------------------


def test_one_picture_under_several_titles_is_on_a_wall_and_on_the_pages(client):
    answer = client.get("/api/v1/reused").get_json()
    first = answer["results"][0]
    assert first["same_art"]
    assert first["coincide_percent"] > 60
    page = text(client, "/reused")
    assert "steal" not in page.lower()
    assert "copied" not in page.lower()
    a, b = first["game"]["appid"], first["same_art"][0]["appid"]
    assert "The same art: " in text(client, f"/render/{a}")
    told = client.get(f"/api/v1/compare?a={a}&b={b}").get_json()
    assert told["coincide_percent"] == first["coincide_percent"] or len(first["same_art"]) > 1
    assert told["sentence"].startswith("They are one picture: ")


def test_results_of_the_same_art_are_one_card(client):
    first = client.get("/api/v1/reused").get_json()["results"][0]
    a, b = first["game"]["appid"], first["same_art"][0]["appid"]
    stacked = client.get(f"/api/v1/similar?game={a}&n=50&stacked=1").get_json()["results"]
    assert any(one["game"]["appid"] == b or b in [two["game"]["appid"] for two in one["stacked"]] for one in stacked)
    third = next(one["game"]["appid"] for one in stacked if one["game"]["appid"] not in (a, b))
    for one in client.get(f"/api/v1/games/{third}/neighbours?n=240&stacked=1").get_json()["results"]:
        members = {one["game"]["appid"], *(two["game"]["appid"] for two in one["stacked"])}
        assert len(members & {a, b}) in (0, 2)


def test_an_interrupted_pass_over_local_features_goes_on(shelf, covers, tmp_path):
    """A rerun reuses what is stored, and gives the same bits."""
    banners = tmp_path / "b"
    banners.mkdir()
    for appid in list(covers)[:24]:
        shutil.copy(covers[appid], banners)
    (banners / "games.csv").write_text("appid,name\n" + "".join(f"{a},G{a}\n" for a in list(covers)[:24]))
    arguments = [str(banners), "--encoder", "packaged", "--no-queries", "--no-artwork", "--no-map"]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    for appid in list(covers)[12:24]:
        (banners / f"{appid}.jpg").rename(tmp_path / f"{appid}.jpg")
    assert main([*arguments, "--out", str(tmp_path / "grown")]) in (0, 1)
    for appid in list(covers)[12:24]:
        (tmp_path / f"{appid}.jpg").rename(banners / f"{appid}.jpg")
    assert main([*arguments, "--out", str(tmp_path / "grown")]) == 0
    for name in ("parts", "parts_projection", "same_art"):
        one, other = ((tmp_path / folder / f"{name}.npy").read_bytes() for folder in ("whole", "grown"))
        assert one == other
    assert main([*arguments, "--out", str(tmp_path / "without"), "--no-parts"]) == 0
    assert not (tmp_path / "without" / "parts.npy").exists()
