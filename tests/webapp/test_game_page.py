"""The page of a game, through Flask's test client."""

import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours, nearest
from manage_catalogue import main as manage
from tests.catalogues import save_catalogue
from tests.conftest import picture
from tests.webapp.small_site import NAMES, embeddings, linked, make_catalogue, text
from webapp import create_app


def test_a_game_is_shown_with_its_neighbours_in_order_and_without_itself(client):
    rows = nearest(embeddings(), k=6).rows
    expected = [f"/render/{list(NAMES)[row]}" for row in rows[0]]
    for url in ("/render/10", "/render/10/"):
        page = text(client, url)
        assert linked(page) == expected
        assert "<title>Portal — games that look like it" in page


def test_a_number_chooses_how_many_neighbours(client):
    assert len(linked(text(client, "/render/10/3"))) == 3
    assert linked(text(client, "/render/10/3/"))[0].endswith("/3")
    everything = text(client, "/render/10/100000")
    assert len(linked(everything)) == 6
    assert "all the look-alikes that are known" in everything
    assert "all the look-alikes" not in text(client, "/render/10")


@pytest.mark.parametrize(
    "view", ["/render_x/10", "/render/10?mirror=1", "/render_x/10?mirror=0", "/render/10?mirror=true&flip=0"]
)
def test_the_mirrored_query_has_its_own_neighbours(client, view):
    rows = nearest(embeddings(), k=6, queries=-embeddings()).rows
    page = text(client, view)
    assert linked(page) == [f"/render_x/{list(NAMES)[row]}" for row in rows[0]]
    assert 'class="art view-mirror"' in page


def test_zero_is_no(client):
    assert linked(text(client, "/render/10?mirror=0&flip=0")) == linked(text(client, "/render/10"))


@pytest.mark.parametrize("url", ["/render_y/10", "/render_xy/10", "/render/10?mirror=1&flip=1", "/store_y/10"])
def test_a_view_that_the_catalogue_lacks_is_said_to_be_absent(client, url):
    assert "This catalogue has no look-alikes for the" in text(client, url, 404)


def test_store_pages_link_banners_to_the_store_in_every_view(client):
    for url in ("/store/10", "/store_x/10", "/store/10?mirror=1"):
        assert all(
            re.fullmatch(r"https://store\.steampowered\.com/app/\d+/", link) for link in linked(text(client, url))
        )


def test_every_banner_has_its_name_and_likeness(client):
    page = text(client, "/render/10")
    similarities = nearest(embeddings(), k=6).similarities[0]
    shown = re.findall(r'class="similarity"><span class="hidden">likeness </span>(\d+) %<', page)
    strengths = [f"{100 * max(0, similarity - 0.1) / 0.9:.0f}" for similarity in similarities]  # 0.1 is a random pair
    assert shown == [strength for strength in strengths if strength != "0"]  # which shows no number
    assert 'identical<span class="hidden"> cover' in page
    assert '<span class="hidden">weak</span>' in page


def test_where_nothing_comes_close_the_page_says_so(client):
    for appid, row in ((30, 2), (50, 4), (70, 6), (80, 7)):
        page = text(client, f"/render/{appid}")
        first = client.get(f"/api/v1/games/{appid}/neighbours").get_json()["results"][0]
        assert ("Nothing comes close." in page) == first["is_weak"]
        assert first["rarity"] == (10 if nearest(embeddings(), k=6).similarities[row, 0] >= 0.5 else None)
        assert "as close as one pair" not in page  # one in ten is nothing to speak of


def test_a_rare_likeness_is_told_with_the_name_of_the_look_alike(tmp_path):
    rows = np.array([[1, 2], [0, 2], [1, 0]], np.int32)
    similarities = np.array([[0.95, 0.2], [0.95, 0.1], [0.7, 0.2]], np.float32)
    save_catalogue(
        tmp_path / "c",
        games=[Game(10, "Ten"), Game(20, "Twenty"), Game(30, "Thirty")],
        neighbours={"plain": Neighbours(rows, similarities)},
        about={"scales": {"plain": {"random": 0.0, "rare": [0.5, 0.6, 0.8, 0.9]}}},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert "Only one pair in ten thousand is as close as <bdi>Twenty</bdi>." in text(client, "/render/10")
    assert "as close as" not in text(client, "/render/30")


def test_games_of_steam_link_to_the_store_and_no_others(client, bare_client):
    page = text(bare_client, "/render/10")
    for appid in (20, 10):
        assert f'href="https://store.steampowered.com/app/{appid}/"' in page
        assert f'href="https://steamdb.info/app/{appid}/"' in page
    assert "steampowered.com/app" not in text(client, "/render/10")


def test_a_random_game_is_never_adult_or_nameless(client):
    for url in ("/render/", "/render", "/store/", "/render_x/"):
        for _ in range(20):
            response = client.get(url)
            assert response.status_code == 302
            assert re.fullmatch(url.rstrip("/") + "/(10|20|30|50|70|80)", response.headers["Location"])
            assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("appid", [*NAMES])
def test_names_are_shown_as_they_are_and_escaped(client, appid):
    name = {40: "App 40", 80: "Shalom  evil"}.get(appid, NAMES[appid])  # what could break the line around it is gone
    for url in (f"/render/{appid}", f"/search?q={appid}"):
        page = client.get(url, follow_redirects=True).get_data(as_text=True)
        assert "<script>alert" not in page
        assert name in [html.unescape(shown) for shown in re.findall("<bdi>(.*?)</bdi>", page, re.DOTALL)]


def test_a_catalogue_without_similarities_says_so(bare_client):
    page = text(bare_client, "/render/10")
    assert len(linked(page)) == 6
    assert 'class="similarity"' not in page
    assert "In order of likeness." in page
    assert "imported without likeness" in text(bare_client, "/unique", 404)
    assert "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps/10/library_600x900.jpg" in page


def test_a_single_game_has_a_page_of_its_own(tmp_path):
    one = np.ones((1, 1), np.float32)
    save_catalogue(tmp_path / "c", games=[Game(10, "Only")], neighbours={"plain": nearest(one)}, embeddings=one)
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert "no other game to compare with" in text(client, "/render/10")
    for url in ("/", "/unique", "/about", "/search?q=onl", "/hubs", "/duplicates", "/popular"):
        text(client, url)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    from tests.conftest import sample

    source = sample("steam-2021")
    folder = tmp_path_factory.mktemp("published") / "c"
    assert manage(["import-matches", str(source), str(folder)]) == 0
    return create_app({"CATALOGUE": folder}).test_client(), source


def test_the_published_neighbours_are_shown_in_order_without_the_game_itself(published):
    client, source = published
    appids = np.load(source / "app_ids.npy").tolist()
    matches = np.load(source / "matches.npy")
    not_first = np.flatnonzero(matches[:, 0] != np.arange(len(matches))).tolist()
    assert len(not_first) == 63
    for row in [appids.index(1091500), *not_first]:
        expected = [appids[other] for other in matches[row] if other != row]
        answer = client.get(f"/api/v1/games/{appids[row]}/neighbours").get_json()
        assert [one["game"]["appid"] for one in answer["results"]] == expected
        page = text(client, f"/render/{appids[row]}")
        cards = [int(appid) for appid in re.findall(r'class="card[^"]*" id="number-\d+" data-appid="(\d+)"', page)]
        stacked = [int(appid) for appid in re.findall(r'class="menu-game" href="/render/(\d+)"', page)]
        assert sorted(cards + stacked) == sorted(expected)
        assert cards == [appid for appid in expected if appid in cards]
    assert 'identical<span class="hidden"> cover' in text(client, f"/render/{appids[not_first[0]]}")


def test_difficult_real_names_are_right_on_pages_in_titles_and_suggestions(published):
    client, source = published
    appids = np.load(source / "app_ids.npy").tolist()
    names = json.loads((source / "app_names.json").read_text())
    difficult = [row for row, name in enumerate(names) if re.search(r"[<>]|[\U00010000-\U0010ffff]", name)]
    difficult += [row for row, name in enumerate(names) if "&" in name or "/" in name or not name][::20]
    difficult += [appids.index(1219280), appids.index(1374330)]
    for row in difficult:
        name = names[row] or f"App {appids[row]}"
        page = text(client, f"/render/{appids[row]}")
        title = re.search(r"<title>(.*?)</title>", page, re.DOTALL).group(1)
        assert html.unescape(title) == f"{name} — games that look like it · Steam CLIP"
        assert html.unescape(re.search(r"<h1[^>]*><bdi>(.*?)</bdi></h1>", page, re.DOTALL).group(1)) == name
        assert client.get(f"/suggest?q={appids[row]}").get_json()["suggestions"][0]["name"] == name


def test_a_link_to_a_game_carries_a_picture_of_it_and_its_neighbours(tmp_path):
    (tmp_path / "b").mkdir()
    for appid in (10, 20, 30, 60):
        picture(appid, (300, 450)).save(tmp_path / "b" / f"{appid}.png")
    (tmp_path / "b" / "70.png").write_bytes(b"no image")
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "b"}).test_client()
    page = text(client, "/render/10")
    assert '<meta property="og:title" content="Portal — games that look like it">' in page
    address = re.search(r'property="og:image" content="http://localhost([^"]+)"', page).group(1)
    response = client.get(address)
    assert (response.status_code, response.mimetype) == (200, "image/jpeg")
    with Image.open(io.BytesIO(response.data)) as shared:
        assert shared.size == (1200, 630)
        near = np.asarray(shared.crop((40, 40, 406, 590)).resize((30, 45))).astype(int)
    own = np.asarray(picture(10, (300, 450)).resize((30, 45))).astype(int)
    assert np.abs(near - own).mean() < 6
    assert client.get("/share/40.jpg").status_code == 404  # no image of it here
    assert client.get("/share/60.jpg").status_code == 404  # explicit
    assert client.get("/share/11.jpg").status_code == 404
    assert "og:image" not in text(client, "/render/60")
    assert "og:image" not in text(client, "/render/40")


def test_of_a_game_on_steam_its_banner_is_shown(bare_client):
    assert 'og:image" content="https://shared.akamai.steamstatic.com/' in text(bare_client, "/render/10")


def test_columns_that_no_store_would_send_are_served(tmp_path):
    odd = {"popularity": 10**30, "year": "1998\u202e\0", "image_path": "a\ud800.jpg"}
    one = np.ones((3, 1), np.float32)
    games = [Game(10, "Odd", odd), Game(20, "Older", {"popularity": -(10**30), "year": 10**20}), Game(30, "Other")]
    save_catalogue(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one)
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    client.application.extensions["catalogue"].site.warm()
    page = client.get("/render/10").get_data(as_text=True)
    assert "Odd" in page and "1998" not in page
    assert client.get("/popular").status_code == 200
    assert client.get("/api/v1/games/20").json["game"]["year"] is None


def test_minus_one_means_all_neighbours(client):
    assert len(linked(text(client, "/render/10/-1"))) == 6
