"""Queries by words, by a picture, and by several things at once, through tokenizer, ONNX Runtime, search and page.

The encoder is a small CLIP whose weights are constructed: it knows colours, in words and in pictures."""

import html
import re
from types import SimpleNamespace
from typing import cast
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from banners.build.parts import links
from banners.embedding import Embedded
from banners.errors import BadCatalogue, BadInput
from banners.vectors.neighbours import Neighbours
from embed_banners import main
from tests.colour_clip import COLOURS, coloured
from tests.conftest import with_file
from tests.webapp.query_site import encoded, form, shown, text
from webapp import create_app
from webapp.limits import client_of
from webapp.queries.parts import decode_vector, encode_vector
from webapp.site import Site


@pytest.fixture
def client(query_app):
    return query_app.test_client()


@pytest.mark.parametrize(("number", "colour"), list(enumerate(COLOURS, 1)))
def test_a_word_finds_the_banners_that_look_like_it(client, number, colour):
    page = text(client, f"/mix?text=a+{colour}+banner")
    assert set(shown(page)[:2]) == {10 * number + 1, 10 * number + 2}
    results = client.get(f"/api/v1/similar?text=a+{colour}+banner&n=2").get_json()["results"]
    assert {result["game"]["appid"] for result in results} == {10 * number + 1, 10 * number + 2}
    assert all(result["similarity"] > 0.9 for result in results)


def test_the_search_box_finds_names_first_and_then_looks_clearly_apart(client):
    page = text(client, "/search?q=green")
    assert shown(page)[0] == 11
    assert set(shown(page, "Covers that look like")[:2]) == {21, 22}
    page = text(client, "/search?q=turquoise+picture")
    assert "No game has a name like this" in page
    assert page.count("<h1") == 1
    assert set(shown(page, "Covers that look like")[:2]) == {61, 62}


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 60}), ("WEBP", {"quality": 60})])
def test_an_uploaded_picture_finds_what_looks_like_it(client, kind, options):
    data = encoded(coloured("violet", 99, (200, 120)), kind, **options)
    response = client.post("/upload", **form(data))
    assert response.status_code == 303
    assert response.location.startswith("/upload?picture=")
    page = text(client, response.location)
    assert set(shown(page)[:2]) == {51, 52}
    assert "Your cover shows" in page
    assert re.search(r'href="/label\?name=violet">violet <span>\d+ %', page)
    answer = client.post("/api/v1/pictures?n=2", data=data, content_type=f"image/{kind.lower()}").get_json()
    assert {result["game"]["appid"] for result in answer["results"]} == {51, 52}
    assert answer["labels"][0]["name"] == "violet"
    again = client.get("/api/v1/similar", query_string={"picture": answer["picture"], "n": 2}).get_json()
    assert again["results"] == answer["results"]


def test_plus_and_minus_can_be_combined_and_shared(client):
    # Red and blue have in common that there is no green; yellow without green leaves whatever has red in it.
    assert set(shown(text(client, "/mix?text=red&text=blue"))[:6]) == {11, 12, 31, 32, 51, 52}
    assert set(shown(text(client, "/mix?text=yellow&not_text=green"))[:6]) == {11, 12, 41, 42, 51, 52}
    page = text(client, "/mix?game=11&not_game=31")
    assert not {11, 31} & set(shown(page))
    assert set(shown(page)[:3]) == {12, 41, 42}  # red without blue
    picture = encode_vector(site_of(client), vector_of_colour(client, "green"))
    assert set(shown(text(client, f"/mix?picture={picture}&text=red"))[:6]) == {11, 12, 21, 22, 41, 42}


def test_an_empty_mix_offers_games_to_count_for_whatever_sign_was_chosen(client):
    page = text(client, "/mix?as=minus&add=")
    assert "/mix?game=" in page
    assert "not_game" not in page


def site_of(client):
    return client.application.extensions["catalogue"].site


def vector_of_colour(client, colour):
    with client.application.app_context():
        opened = client.application.extensions["catalogue"].site
        return opened.encoder.picture(coloured(colour, 5))


def test_what_is_typed_on_the_page_is_a_game_by_name_or_number_or_else_words(client):
    assert client.get("/mix?game=21&add=green+hills&as=minus").location == "/mix?game=21&not_game=11"
    assert client.get("/mix?add=31&as=plus").location == "/mix?game=31"
    assert client.get("/mix?add=dark+green&as=plus").location == "/mix?text=dark+green"
    assert client.get("/mix?add=999&as=plus").location == "/mix?text=999"
    assert client.get("/mix?add=hills&as=plus").location == "/mix?text=hills"  # a part of a name is no name
    assert client.get("/mix?add=hills&chosen=11&as=minus").location == "/mix?not_game=11"
    assert client.get("/mix?add=green+hills&chosen=words").location == "/mix?text=green+hills"
    text(client, "/mix?add=x&chosen=everything", 400)
    page = text(client, "/mix?game=21&add=21&as=plus", 400)
    assert "That is part of your mix already." in page
    assert shown(page)[0] == 22


def test_a_mix_that_no_address_can_hold_is_refused_with_a_message(client):
    parts = "&".join(f"text={quote(chr(0x4E00 + number) * 180)}" for number in range(4))
    assert client.get(f"/mix?{parts}&add=red").status_code == 303
    longer = f"{parts}&text={quote('A' + chr(0x4F00) * 150)}"
    assert "too long for an address" in text(client, f"/mix?{longer}&add={quote(chr(0x5000) * 60)}", 400)


def test_a_catalogue_without_words_offers_games_instead_of_a_guess(tmp_path, banners_folder):
    assert (
        main([str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", "packaged", "--no-parts", "--no-map"])
        == 0
    )
    app = create_app({"CATALOGUE": tmp_path / "c", "QUERIES_PER_MINUTE": "0"})
    client = app.test_client()
    assert client.get("/mix?add=ten").location == "/mix?game=10"
    assert client.get("/mix?add=thirty").location == "/mix?game=30"  # the only one with this word
    page = text(client, "/mix?game=10&add=twent&as=minus", 400)
    assert "No game here is called “twent”." in page
    assert 'value="twent"' in page
    assert {"/mix?game=10&amp;not_game=20", "/mix?game=10&amp;not_game=60"} <= set(re.findall('href="([^"]*)"', page))
    page = text(client, "/mix?game=10&add=qqqqqqq", 400)
    assert "No game here has a name like “qqqqqqq”." in page
    assert 'value="qqqqqqq"' in page
    assert page.count('class="part"') == 1


def test_chips_lead_to_the_query_without_them_and_the_other_way_round(client):
    page = html.unescape(text(client, "/mix?game=11&text=blue"))
    assert 'href="/mix?text=blue"' in page
    assert 'href="/mix?text=blue&not_game=11"' in page
    assert 'href="/mix?game=11"' in page
    assert 'href="/mix?game=11&not_text=blue"' in page
    assert "/api/v1/similar?game=11&text=blue&n=24" in page


def test_every_result_can_be_added_to_the_query_for_and_against_it(client):
    for url, mix in (
        ("/render/11", "/mix?game=11"),
        ("/mix?text=red", "/mix?text=red"),
        ("/search?q=red", "/mix?text=red"),
    ):
        page = html.unescape(text(client, url))
        assert f'href="{mix}&game=12"' in page
        assert f'href="{mix}&not_game=12"' in page
    full = "/mix?" + "&".join(f"text={word}" for word in "abcdefgh")
    assert "&not_game=" not in html.unescape(text(client, full))


def test_a_picture_joins_a_query_and_takes_the_place_of_another(client):
    data = encoded(coloured("violet", 99, (200, 120)))
    assert 'action="/upload?game=11&not_text=red"' in html.unescape(text(client, "/upload?game=11&not_text=red"))
    location = client.post("/upload?game=11&not_text=red", **form(data)).location
    assert re.fullmatch(r"/mix\?picture=[\w-]+&game=11&not_text=red", location)
    again = client.post(location.replace("/mix", "/upload"), **form(encoded(coloured("green", 3)))).location
    assert client.post("/upload?" + "&".join(f"text={word}" for word in "abcdefgh"), **form(data)).status_code == 400
    assert client.post("/upload?game=x", **form(data)).status_code == 400
    assert again.count("picture=") == 1
    assert again != location


def test_the_twin_of_a_mix_shows_the_same(client):
    for url in ("/mix?game=11&n=", "/mix?game=11&n=3", "/mix?text=red&foo=1"):
        page = html.unescape(text(client, url))
        twin = re.search(r'type="application/json" href="([^"]+)"', page)[1]
        results = client.get(twin).get_json()["results"]
        assert [result["game"]["appid"] for result in results] == shown(page)
    assert "application/json" not in text(client, "/mix?foo=1")


def test_games_are_labelled_and_terms_list_the_banners_that_fit(client):
    assert re.search(r"Seems to show.*?>blue <span>", text(client, "/render/31"), re.DOTALL)
    assert client.get("/api/v1/games/31").get_json()["labels"][0]["name"] == "blue"
    assert set(shown(text(client, "/label?name=Yellow"))[:2]) == {41, 42}
    assert len(client.get("/api/v1/labels").get_json()["labels"]) == 6
    assert 'href="/label?name=turquoise"' in text(client, "/labels")
    text(client, "/label?name=plaid", 404)


@pytest.mark.parametrize(
    "query",
    [
        "game=0",
        "game=x",
        "text=",
        "text=" + "a" * 201,
        "picture=xx",
        "picture=%00",
        "picture=AAAA",
        "picture=" + "A" * 4000,
        "picture=AQID&picture=AQIE",
        "game=11&game=11",
        "game=11&not_game=11",
        "text=red&not_text=red",
        "&".join(f"text={n}" for n in range(9)),
        "n=0",
        "n=1e9",
        "text=red&n=999",
    ],
)
def test_a_query_that_cannot_be_meant_is_a_400(client, query):
    text(client, f"/mix?{query}", 400)
    response = client.get(f"/api/v1/similar?{query}")
    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"


def test_an_unknown_game_is_a_404(client):
    text(client, "/mix?game=999", 404)
    assert client.get("/api/v1/similar?game=999").status_code == 404
    assert client.get("/api/v1/similar").status_code == 400


def addressing(dim: int, fingerprint: str = "0123abcd", basis: np.ndarray | None = None) -> Site:
    encoder = SimpleNamespace(dim=dim, fingerprint=fingerprint)
    return cast("Site", SimpleNamespace(query_encoder=encoder, catalogue=SimpleNamespace(link_basis=basis)))


def test_a_picture_survives_its_way_through_an_address():
    for dim in (3, 512):
        vector = np.random.default_rng(dim).normal(size=dim)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        picture = encode_vector(addressing(dim), vector)
        assert decode_vector(addressing(dim), picture) @ vector > 0.999
        with pytest.raises(BadInput, match="no picture of this catalogue"):
            decode_vector(addressing(dim + 1), picture)
        with pytest.raises(BadInput, match="another encoder"):
            decode_vector(addressing(dim, "0123abce"), picture)


def test_a_long_embedding_is_shortened_and_its_similarities_stay():
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 1280)) * np.geomspace(1, 0.01, 1280)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    basis = links(Embedded(np.arange(400, dtype=np.uint32), {"plain": rows}, (), None, (), 0)).arrays["link_basis"]
    site = addressing(1280, basis=basis)
    for _ in range(20):
        vector = rows[3] + random.normal(0, 0.02, 1280)  # most of which no row has
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        picture = encode_vector(site, vector)
        assert len(picture) == 691
        again = decode_vector(site, picture)
        assert np.linalg.norm(again) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(rows @ again, rows @ vector, atol=0.01)


def test_what_a_catalogue_cannot_do_is_not_offered_and_a_501(tmp_path):
    from tests.webapp.small_site import make_catalogue

    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c", similarities=False)}).test_client()
    for page in ("/", "/render/10", "/search?q=portal"):
        shown_page = text(client, page)
        for offer in ("/upload", "/mix", '"/label', "Covers that look like"):
            assert offer not in shown_page, (page, offer)
    for url in ("/upload", "/mix", "/mix?text=red", "/mix?game=10", "/labels", "/label?name=red"):
        assert "Not available here" in text(client, url, 501)
    for url in (
        "/api/v1/similar?text=red",
        "/api/v1/similar?game=10&view=artwork",
        "/api/v1/labels",
        "/api/v1/label?name=red",
    ):
        response = client.get(url)
        assert (response.status_code, response.mimetype) == (501, "application/problem+json")
        assert response.get_json()["detail"]
    assert client.post("/api/v1/pictures", data=b"x", content_type="image/png").status_code == 501


def test_games_are_mixed_without_an_encoder_for_words_and_pictures(colour_site, tmp_path):
    folder, options = tmp_path / "c", ["--no-queries", "--no-parts", "--no-map"]
    arguments = [str(colour_site / "banners"), "--out", str(folder), "--encoder", str(colour_site / "model"), *options]
    assert main(arguments) == 0
    client = create_app({"CATALOGUE": folder}).test_client()
    page = text(client, "/render/11")
    assert "/mix" in page
    assert "/upload" not in page
    assert shown(text(client, "/mix?game=11&game=21"))
    assert client.get("/mix?game=11&add=22&as=plus").status_code == 303
    assert "No game here" in text(client, "/mix?add=turquoise", 400)
    assert client.get("/api/v1/similar?game=11&game=21").get_json()["results"]
    for url in ("/mix?text=red", "/mix?game=11&text=red", "/upload", "/api/v1/similar?text=red"):
        assert client.get(url).status_code == 501, url
    limited = create_app({"CATALOGUE": folder, "QUERIES_PER_MINUTE": "1"}).test_client()
    asked = [limited.get(f"/api/v1/similar?picture={n}").status_code for n in range(9)]
    assert set(asked) == {501}  # which costs nothing


def test_who_asks_for_too_much_is_told_when_to_come_back(colour_site):
    client = create_app({"CATALOGUE": colour_site / "c", "QUERIES_PER_MINUTE": "3"}).test_client()
    assert client.get("/mix?game=11").status_code == 200  # a quarter of what words cost
    assert [client.get(f"/api/v1/similar?text={n}").status_code for n in range(3)] == [200, 200, 429]
    response = client.get("/api/v1/similar?text=9")
    assert 0 < int(response.headers["Retry-After"]) <= 60
    assert response.mimetype == "application/problem+json"
    assert client.get("/render/11").status_code == client.get("/mix").status_code == 200  # these cost nothing
    assert "Covers that look like" not in text(client, "/search?q=game")
    other = {"REMOTE_ADDR": "10.0.0.9"}
    assert client.get("/api/v1/similar?text=9", environ_base=other).status_code == 200


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:55", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:DB8::1", "2001:db8::/64"),
        ("2001:0db8:0:0:ffff::1", "2001:db8::/64"),
        ("[2001:db8::1]:99", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_client_is_known_by_its_address_however_that_is_written(address, client):
    assert client_of(address) == client


def test_what_a_catalogue_cannot_answer_costs_nothing(tmp_path, banners_folder):
    assert (
        main([str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", "packaged", "--no-parts", "--no-map"])
        == 0
    )
    client = create_app({"CATALOGUE": tmp_path / "c", "QUERIES_PER_MINUTE": "3"}).test_client()
    assert {client.get(f"/api/v1/similar?text={n}").status_code for n in range(6)} == {501}


@pytest.mark.parametrize("name", ["text_encoder.onnx", "tokenizer.json"])
def test_where_words_cannot_be_embedded_names_are_found_all_the_same(colour_site, tmp_path, name):
    folder = with_file(colour_site / "c", tmp_path / "c", name, b"{")
    client = create_app({"CATALOGUE": folder, "QUERIES_PER_MINUTE": "0"}).test_client()
    assert "Covers that look like" not in text(client, "/search?q=game")
    for url in ("/mix?text=red", "/api/v1/similar?text=red"):
        assert client.get(url).status_code == 503
    assert client.get("/mix?game=11").status_code == 200


def smaller(image: Image.Image) -> bytes:
    return encoded(image.resize((round(0.7 * image.width), round(0.7 * image.height))), "WEBP", quality=60)


def turned(image: Image.Image) -> bytes:
    """Rotated by 15 degrees, then cropped by 10 %, half of that on each side."""
    rotated = image.rotate(15, Image.Resampling.BICUBIC)
    width, height = rotated.size
    left, top = round(0.05 * width), round(0.05 * height)
    return encoded(rotated.crop((left, top, width - left, height - top)), "JPEG", quality=90)


def grey(image: Image.Image) -> bytes:
    return encoded(image.convert("L"), "JPEG", quality=90)


@pytest.mark.soak
def test_altered_covers_find_themselves_by_the_packaged_encoder(covers, tmp_path, measured):
    assert main([str(covers), "--out", str(tmp_path / "c"), "--encoder", "packaged"]) == 0
    app = create_app({"CATALOGUE": tmp_path / "c", "QUERIES_PER_MINUTE": "0"})
    client = app.test_client()
    identical = app.extensions["catalogue"].site
    chosen = sorted(covers.glob("*.jpg"))[:: len(list(covers.glob("*.jpg"))) // 200][:200]
    assert len(chosen) == 200
    shares = {}
    for alter in (smaller, turned, grey):
        found = 0
        for path in chosen:
            with Image.open(path) as image:
                data = alter(image.convert("RGB"))
            answer = client.post("/api/v1/pictures?n=1", data=data, content_type="image/jpeg").get_json()
            first = identical.catalogue.row_of(answer["results"][0]["game"]["appid"])
            found += bool(identical.groups[first] == identical.groups[identical.catalogue.row_of(int(path.stem))])
        shares[alter.__name__] = found / len(chosen)
    measured(f"found themselves: {shares}")
    assert shares["smaller"] >= 0.98, shares
    assert shares["turned"] >= 0.92, shares
    assert shares["grey"] >= 0.90, shares


def test_a_search_whose_words_could_not_be_looked_for_is_asked_for_again(client, monkeypatch):
    opened = client.application.extensions["catalogue"].site
    as_always = client.get("/search?q=red")

    def fail(*_):
        raise BadCatalogue("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(type(opened.encoder), "words", fail)
        failed = client.get("/search?q=red")
    assert failed.status_code == 200
    assert "cannot be searched by words at the moment" in failed.text
    assert failed.headers["ETag"] != as_always.headers["ETag"]


def test_words_that_mean_nothing_get_no_confident_banners(client):
    clear = client.get("/api/v1/similar?text=red").get_json()
    assert clear["is_clear"]
    assert "Covers that look like" in text(client, "/search?q=red")
    served = client.application.extensions["catalogue"].site
    assert served.catalogue.manifest.queries.text.noise_margin > 0
    words = next(one for one in ("zzzzqqq", "xkvq", "wqzj") if not is_clear(client, one))
    assert "I do not know these words. Here is a guess." in text(client, f"/mix?text={words}")
    assert "Covers that look like" not in text(client, f"/search?q={words}")


def is_clear(client, words):
    return client.get("/api/v1/similar", query_string={"text": words}).get_json()["is_clear"]


def test_a_picture_is_answered_by_a_catalogue_of_games_without_neighbours(query_app, monkeypatch):
    served = query_app.extensions["catalogue"].site
    found = served.catalogue.view("plain")
    monkeypatch.setitem(served.catalogue.views, "plain", Neighbours(found.rows[:, :0], found.similarities[:, :0]))
    with query_app.app_context():
        picture = encode_vector(served, served.encoder.picture(coloured("green", 5)))
    answer = query_app.test_client().get("/api/v1/similar", query_string={"picture": picture})
    assert answer.status_code == 200
    assert answer.get_json()["stands_out_percent"] is None


def test_a_game_is_added_to_a_mix_by_the_address_of_its_page(client):
    answer = client.get("/mix", query_string={"game": 11, "add": "https://store.steampowered.com/app/12/x/"})
    assert answer.headers["Location"] == "/mix?game=11&game=12"
    assert client.get("/mix?game=11&add=１２").headers["Location"] == "/mix?game=11&game=12"
    answer = client.get("/mix", query_string={"game": 11, "add": "https://store.steampowered.com/app/99999/x/"})
    assert answer.status_code == 400
    assert "This catalogue has no game of the address" in answer.get_data(as_text=True)
