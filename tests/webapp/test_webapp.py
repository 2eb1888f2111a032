"""The pages and JSON of the app, through Flask's test client, over small catalogues."""

import gc
import gzip
import html
import io
import json
import os
import re
import subprocess
import sys
import tomllib
import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from banners.catalogue import writer
from banners.catalogue.neighbours import Neighbours, nearest
from banners.errors import BadCatalogue, BadInput
from banners.games_csv import Game
from manage_catalogue import main as manage
from tests.conftest import ROOT, picture
from webapp import create_app

NAMES = {
    10: "Portal",
    20: "Portal 2",
    30: 'A <script>alert("&amp;")</script> Name',
    40: "",
    50: "五十 / Fifty 🚀",
    60: "Hentai Puzzle",
    70: "L" + "o" * 490 + "ng",
    80: "Shalom\n\u202eevil",
}


def embeddings(count: int = len(NAMES)) -> np.ndarray:
    made = np.random.default_rng(1).normal(size=(count, 8)).astype(np.float32)
    made[1] = made[0]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def make_catalogue(folder: Path, *, views: bool = True, similarities: bool = True, source: str = "") -> Path:
    plain = embeddings()
    found = {"plain": nearest(plain, k=6)}
    if views:
        found["mirror"] = nearest(plain, k=6, queries=-plain)
    if not similarities:
        found = {view: Neighbours(one.rows, None) for view, one in found.items()}
    writer.save(
        folder,
        games=[
            Game(appid, name, {"popularity": appid, "year": 2000} if appid < 40 else {})
            for appid, name in NAMES.items()
        ],
        neighbours=found,
        embeddings=plain if similarities else None,
        duplicates=np.array([0, 0, 2, 3, 4, 5, 6, 7], np.int32),
        about={
            "encoder": {"id": "test-encoder", "revision": "r1"},
            "fit": "squash",
            "random_similarity": 0.1,
            "images": {"source": source, "width": 300, "height": 450},
        },
    )
    return folder


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    banners = tmp_path / "banners"
    banners.mkdir()
    picture(1).save(banners / "10.jpg")
    return create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": banners}).test_client()


@pytest.fixture
def bare_client(tmp_path: Path) -> FlaskClient:
    """An imported catalogue: no similarities, no further views, images on Steam's CDN."""
    folder = make_catalogue(tmp_path / "c", views=False, similarities=False, source="steam")
    return create_app({"CATALOGUE": folder}).test_client()


def text(client: FlaskClient, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status, (url, response.status_code)
    assert response.mimetype == "text/html"
    return response.get_data(as_text=True)


def linked(page: str) -> list[str]:
    """Where the banners of the cards link to, in order."""
    return [html.unescape(url) for url in re.findall(r'class="name"><a href="([^"]+)"', page)]


# -- game pages ---------------------------------------------------------------------------------------------------


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
    assert "knows 6 neighbours of each game" in everything
    assert "knows 6 neighbours" not in text(client, "/render/10")


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
    assert "This catalogue has no neighbours for the" in text(client, url, 404)


def test_store_pages_link_banners_to_the_store_in_every_view(client):
    for url in ("/store/10", "/store_x/10", "/store/10?mirror=1"):
        assert all(
            re.fullmatch(r"https://store\.steampowered\.com/app/\d+/", link) for link in linked(text(client, url))
        )


def test_every_banner_has_its_name_similarity_and_links(client):
    page = text(client, "/render/10")
    similarities = nearest(embeddings(), k=6).similarities[0]
    shown = re.findall(r'class="similarity"><span class="hidden">similarity </span>(-?[\d.]+)<', page)
    assert shown == [f"{similarity:.2f}" for similarity in similarities]
    for appid in (20, 10):
        assert f'href="https://store.steampowered.com/app/{appid}/"' in page
        assert f'href="https://steamdb.info/app/{appid}/"' in page
    assert 'identical<span class="hidden"> banner' in page
    assert '<span class="hidden">weak match</span>' in page


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
    assert "imported without similarities" in page
    assert "imported without similarities" in text(bare_client, "/unique", 404)
    assert "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps/10/library_600x900.jpg" in page


# -- search -------------------------------------------------------------------------------------------------------


def test_search_finds_games_and_keeps_the_query_in_the_box(client):
    page = text(client, "/search?q=portal")
    assert linked(page) == ["/render/10", "/render/20"]
    assert 'value="portal"' in page
    assert "2 games for" in page


def test_search_forgives_typos_and_admits_defeat(client):
    assert "Names like" in text(client, "/search?q=protal")
    assert "Nothing for" in text(client, "/search?q=zzzzqqq")
    assert "Type a name" in text(client, "/search?q=")
    assert "Type a name" in text(client, "/search?q=%00%00")
    for space in ("%E3%80%80", "%C2%A0", "%09", "+++"):
        assert client.get(f"/search?q=portal{space}2").headers["Location"] == "/render/20"
    assert "Type a name" in text(client, "/search")


def test_a_query_is_escaped_wherever_it_appears(client):
    page = text(client, "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert" not in page


def test_a_query_longer_than_any_name_is_refused_kindly(client):
    assert "longer than any name: 5000 characters" in text(client, "/search?q=" + "x" * 5000, 400)
    assert client.get("/suggest?q=" + "x" * 5000).get_json()["suggestions"] == []


def test_suggestions_are_json_for_the_search_box(client):
    response = client.get("/suggest?q=portal")
    assert response.get_json() == {
        "query": "portal",
        "suggestions": [
            {"appid": 10, "name": "Portal", "url": "/render/10", "image": "/banners/10.jpg", "is_adult": False},
            {"appid": 20, "name": "Portal 2", "url": "/render/20", "image": None, "is_adult": False},
        ],
        "hidden": 0,
        "approximate": False,
    }
    assert client.get("/suggest").get_json()["suggestions"] == []
    assert client.get("/suggest?q=40").get_json()["suggestions"][0]["name"] == "App 40"


# -- walls, images, operations ------------------------------------------------------------------------------------


def test_unique_games_come_in_order_with_their_nearest(client):
    similarities = nearest(embeddings(), k=6).similarities[:, 0]
    order = [appid for _, appid in sorted(zip(similarities, NAMES, strict=True)) if appid not in (40, 60)]
    page = text(client, "/unique")
    assert linked(page) == [f"/render/{appid}" for appid in order]
    assert f"{similarities.min():.2f}" in page
    assert "There is no page 99" in text(client, "/unique?page=99", 404)


def test_the_home_page_shows_banners_but_no_adult_ones(client):
    page = text(client, "/")
    assert "/render/10" in linked(page)
    assert "/render/60" not in linked(page)
    assert 'action="/search"' in page


def test_adult_banners_are_off_the_walls_and_blurred_elsewhere_until_the_reader_wants_them(client):
    """Game 60."""
    walls = [("/", 200), ("/unique", 200), ("/render/61", 404), ("/render/hentai", 404)]
    for url, status in walls:
        assert "/render/60" not in linked(text(client, url, status)), url
    page = text(client, "/render/60")
    assert '<html lang="en">' in page
    assert re.search(r'class="art view-plain art-adult">\s*<span class="adult-label">Adult', page)
    assert "/render/60" in linked(text(client, "/search?q=hentai"))
    assert client.get("/suggest?q=hentai").get_json()["suggestions"][0]["is_adult"] is True

    response = client.post("/adult", data={"show": "1", "back": "/render/60?mirror=1"})
    assert (response.status_code, response.headers["Location"]) == (303, "/render/60?mirror=1")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "/render/60" in linked(text(client, "/"))
    assert "/render/60" in linked(text(client, "/unique"))
    page = text(client, "/render/60")
    assert '<html lang="en" class="shows-adult">' in page
    assert client.get("/render/60").headers["Vary"] == "Cookie, Accept-Encoding"
    client.post("/adult", data={"show": "0", "back": "/"})
    assert "/render/60" not in linked(text(client, "/"))


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "",
        "/a\r\nSet-Cookie: x=1",
        "javascript:x",
        "/\t/evil",
    ],
)
def test_the_switch_leads_nowhere_else(client, back):
    response = client.post("/adult", data={"show": "1", "back": back})
    assert response.headers["Location"] == "/"
    assert len(response.headers.getlist("Set-Cookie")) == 1


def test_another_site_cannot_use_the_switch_and_nothing_large_is_taken(client):
    data = {"show": "1", "back": "/"}
    assert client.post("/adult", data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/adult", data=data, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert client.post("/adult", data={"show": "1", "back": "/adult"}).headers["Location"] == "/"
    assert client.post("/adult", data={"back": "x" * 100_000}).status_code == 413


def test_the_switch_goes_back_to_any_page_of_ours_also_one_with_letters_beyond_ascii(client):
    page = client.get("/caf%C3%A9?q=%C3%A9").get_data(as_text=True)
    back = re.search(r'name="back" value="([^"]*)"', page).group(1)
    assert client.post("/adult", data={"show": "1", "back": back}).headers["Location"] == "/caf%C3%A9?q=%C3%A9"


def test_a_catalogue_without_adult_games_has_no_switch(tmp_path):
    one = np.eye(2, dtype=np.float32)
    games = [Game(10, "One"), Game(20, "Two")]
    writer.save(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one, about={})
    page = text(create_app({"CATALOGUE": tmp_path / "c"}).test_client(), "/")
    assert "adult-switch" not in page


def test_a_catalogue_of_adult_games_alone_shows_none_unasked(tmp_path):
    one = np.eye(2, dtype=np.float32)
    games = [Game(10, "Hentai One"), Game(20, "Hentai Two")]
    writer.save(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one, about={})
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert linked(text(client, "/")) == []
    text(client, "/unique")
    assert "may be shown" in text(client, "/render/", 404)


def test_banners_of_a_steam_catalogue_come_from_the_stored_path_if_it_is_one(tmp_path):
    paths = ["0123abcd/library_capsule.jpg", "../../evil.jpg", "https://evil.example/x.jpg", "a.jpg?x=<b>", "", 7]
    rows = np.array([[(row + 1) % 6] for row in range(6)], np.int32)
    writer.save(
        tmp_path / "c",
        games=[Game(row + 1, "x", {"image_path": path}) for row, path in enumerate(paths)],
        neighbours={"plain": Neighbours(rows, None)},
        about={"images": {"source": "steam", "width": 460, "height": 215}},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    base = "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps"
    page = text(client, "/search?q=x")
    assert re.findall('src="(http[^"]*)"', page) == [
        f"{base}/1/0123abcd/library_capsule.jpg",
        *(f"{base}/{appid}/header.jpg" for appid in range(2, 7)),
    ]
    assert 'width="460" height="215"' in page
    assert client.get("/aspect.css?v=460x215").data == b":root { --aspect: 460 / 215; }\n"


def test_long_walls_are_paged_both_ways(tmp_path):
    rows = np.array([[(row + 1) % 100] for row in range(100)], np.int32)
    similarities = np.linspace(0.2, 0.9, 100, dtype=np.float32)[:, None]
    writer.save(
        tmp_path / "c",
        games=[Game(row + 1, f"Game {row}", {"popularity": 1}) for row in range(100)],
        neighbours={"plain": Neighbours(rows, similarities)},
        about={},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    for url in ("/unique?", "/search?q=game&amp;"):
        pages = [text(client, html.unescape(f"{url}page={page}")) for page in (1, 2, 3)]
        assert [len(linked(page)) for page in pages] == [48, 48, 4]
        assert f'href="{url}page=2" rel="next"' in pages[0]
        assert 'rel="prev"' not in pages[0]
        assert f'href="{url}page=1" rel="prev"' in pages[1]
        assert 'rel="next"' not in pages[2]
        assert "Page 3 of 3" in pages[2]
    assert len(linked(text(client, "/"))) == 24 + 12
    assert "Popular games" in text(client, "/")
    assert "More unusual than 100%" in text(client, "/render/1")
    assert "More unusual than 0%" in text(client, "/render/100")


def test_a_local_image_is_served_and_nothing_else_of_the_disk(client, tmp_path):
    response = client.get("/banners/10.jpg", buffered=True)
    assert response.mimetype == "image/jpeg"
    assert response.data == (tmp_path / "banners" / "10.jpg").read_bytes()
    again = client.get("/banners/10.jpg", headers={"If-None-Match": response.headers["ETag"]}, buffered=True)
    assert again.status_code == 304
    (tmp_path / "banners" / "11.jpg").write_text("later")
    for url in (
        "/banners/11.jpg",
        "/banners/10.png",
        "/banners/20.jpg",
        "/banners/../c/manifest.json",
        "/banners/%2e%2e/x.jpg",
    ):
        assert client.get(url).status_code == 404, url


def test_a_game_without_an_image_gets_no_broken_address(client):
    page = text(client, "/render/20")
    assert 'src="/banners/10.jpg"' in page
    assert "steamstatic" not in page


def test_metrics_count_requests_by_route_and_never_by_address(client):
    def counted() -> Counter:
        lines = client.get("/metrics").get_data(as_text=True).splitlines()
        return Counter({line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"})

    before = counted()
    for url in ("/render/10", "/render/20", "/render/11", "/nowhere/9", "/nowhere/8"):
        client.get(url)
    client.open("/", method="BREW")
    after = counted()
    route = 'route="/<mode:mode>/<appid:appid>"'
    assert (after - before)[f'steam_clip_requests_total{{method="GET",{route},status="200"}}'] == 2
    assert (after - before)[f'steam_clip_requests_total{{method="GET",{route},status="404"}}'] == 1
    assert (after - before)['steam_clip_requests_total{method="GET",route="none",status="404"}'] == 2
    assert (after - before)[f"steam_clip_request_seconds_count{{{route}}}"] == 3
    assert any('method="other"' in name for name in after - before)
    assert after["steam_clip_games"] == 8
    assert not any("nowhere" in name for name in after)


def test_the_version_names_program_and_catalogue(client):
    version = client.get("/version").get_json()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version["version"] == project["version"]
    assert version["catalogue"] == {
        "format_version": 3,
        "created": version["catalogue"]["created"],
        "encoder": "test-encoder",
        "revision": "r1",
        "games": 8,
    }


def test_operations(client):
    assert client.get("/healthz").data == b"ok\n"
    ready = client.get("/readyz").get_json()
    assert (ready["ready"], ready["games"], ready["encoder"]) == (True, 8, "test-encoder")
    assert b"User-agent: *" in client.get("/robots.txt").data
    about = text(client, "/about")
    assert "test-encoder" in about
    assert "2 games share theirs" in about


def test_no_page_allows_inline_code_or_strangers(client):
    for url in ("/", "/render/10", "/nowhere", "/suggest?q=a"):
        policy = client.get(url).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    for url in ("/", "/render/10", "/search?q=portal", "/unique", "/about", "/nowhere"):
        page = client.get(url).get_data(as_text=True)
        assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son[a-z]+=", page), url


def test_static_files_change_their_address_with_their_content(client):
    address = re.search(r"/static/site\.css\?v=[0-9a-f]{12}", text(client, "/")).group()
    assert "immutable" in client.get(address, buffered=True).headers["Cache-Control"]
    assert "immutable" not in client.get("/static/site.css?v=other", buffered=True).headers["Cache-Control"]


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/render/abc", 404),
        ("/render/-1", 404),
        ("/render/99999999999999999999", 404),
        ("/render/" + "9" * 5000, 404),
        ("/render/4294967296", 404),
        ("/render/10/abc", 404),
        ("/render/10/0", 400),
        ("/render/10/-5", 404),
        ("/render/10/100000", 200),
        ("/render/10/99999999999999999999", 200),
        ("/render/%00", 404),
        ("/render/10%00", 404),
        ("/render/１０", 404),
        ("/render/10?mirror=0", 200),
        ("/render/10?mirror=maybe", 400),
        ("/render/10?mirror=%00", 400),
        ("/render_z/10", 404),
        ("/search?q=%FF%FE", 200),
        ("/search?q=a&page=0", 400),
        ("/search?q=a&page=x", 400),
        ("/search?q=a&page=" + "9" * 5000, 400),
        ("/search?q=portal&page=99", 404),
        ("/unique?page=-1", 400),
        ("/" + "x" * 3000, 404),
    ],
)
def test_bad_input_has_a_clear_answer(client, url, status):
    page = text(client, url, status)
    assert "</html>" in page


def test_an_unknown_appid_offers_search_and_near_names(client):
    page = text(client, "/render/21", 404)
    assert "No game in this catalogue has the appid 21" in page
    assert 'action="/search"' in page
    assert "/render/20" in linked(page)
    assert "/render/60" not in linked(page)


def test_a_name_in_the_address_is_searched_for(client):
    page = text(client, "/render/protal", 404)
    assert linked(page)[0] in ("/render/10", "/render/20")
    assert 'value="protal"' in page


@pytest.mark.parametrize("host", ["a..b", ".com", "x" * 70, "evil.example:99999", "[::1", "a b"])
def test_a_malformed_host_is_no_server_error(client, host):
    for url in ("/", "/render/10", "/nowhere", "/render/"):
        assert client.get(url, headers={"Host": host}).status_code < 500


def test_no_redirect_leaves_for_where_the_host_header_says(client):
    for url in ("/render/", "/render//10", "//render/10", "/store_x"):
        location = client.get(url, headers={"Host": "evil.example"}).headers.get("Location", "/")
        assert location.startswith("/")
        assert not location.startswith("//")


@pytest.mark.parametrize("url", ["/render/10", "/render/10/", "/render/10/3", "/store_x", "/", "/search", "/readyz"])
def test_other_methods_are_told_which_are_allowed(client, url):
    assert client.post(url).status_code == 405
    assert "GET" in client.options(url).headers["Allow"]


def test_forwarded_headers_are_believed_from_as_many_proxies_as_there_are(tmp_path):
    from flask import request

    for hops, scheme in (("0", "http"), ("1", "https")):
        app = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": hops})
        app.add_url_rule("/scheme", view_func=lambda: request.scheme, endpoint="scheme")
        assert app.test_client().get("/scheme", headers={"X-Forwarded-Proto": "https"}).get_data(as_text=True) == scheme


def test_errors_of_json_addresses_are_problem_details(client):
    response = client.post("/suggest")
    assert response.status_code == 405
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["status"] == 405
    assert "GET" in response.headers["Allow"]


def test_a_catalogue_that_cannot_be_served_stops_the_start(tmp_path):
    with pytest.raises(BadCatalogue, match="does not exist"):
        create_app({"CATALOGUE": tmp_path / "none"})
    make_catalogue(tmp_path / "c")
    with pytest.raises(BadInput, match="cannot read the banners folder"):
        create_app({"CATALOGUE": tmp_path / "c", "BANNERS": tmp_path / "none"})
    data = bytearray((tmp_path / "c" / "neighbours.npy").read_bytes())
    data[-4] ^= 1
    (tmp_path / "c" / "neighbours.npy").write_bytes(data)
    with pytest.raises(BadCatalogue, match="was changed"):
        create_app({"CATALOGUE": tmp_path / "c"})


def test_a_single_game_has_a_page_of_its_own(tmp_path):
    one = np.ones((1, 1), np.float32)
    writer.save(tmp_path / "c", games=[Game(10, "Only")], neighbours={"plain": nearest(one)}, embeddings=one, about={})
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert "no other game to compare with" in text(client, "/render/10")
    for url in ("/", "/unique", "/about", "/search?q=onl", "/hubs", "/duplicates", "/popular"):
        text(client, url)


def test_the_web_app_imports_neither_torch_nor_transformers(tmp_path):
    code = (
        "import sys; from webapp import create_app; client = create_app().test_client();"
        "print([client.get(url).status_code for url in ('/', '/render/10', '/unique', '/suggest?q=portal')],"
        "sorted({'torch', 'transformers', 'faiss', 'tqdm'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CATALOGUE": str(make_catalogue(tmp_path / "c"))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == "[200, 200, 200, 200] []"


# -- the published result -------------------------------------------------------------------------------------------


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
        expected = [f"/render/{appids[other]}" for other in matches[row] if other != row]
        assert linked(text(client, f"/render/{appids[row]}")) == expected
    assert 'identical<span class="hidden"> banner' in text(client, f"/render/{appids[not_first[0]]}")


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


# -- walls --------------------------------------------------------------------------------------------------------


def test_hubs_are_the_banners_that_are_near_most_others(client):
    rows = nearest(embeddings(), k=6).rows
    times = np.bincount(rows.ravel(), minlength=len(NAMES))
    page = text(client, "/hubs")
    shown = [int(url.rpartition("/")[2]) for url in linked(page)]
    counts = [times[list(NAMES).index(appid)] for appid in shown]
    assert counts == sorted(counts, reverse=True)
    assert set(shown) == {appid for appid, name in NAMES.items() if name and "Hentai" not in name}
    assert f"neighbour of {counts[0]}" in page


def test_identical_banners_stand_in_groups(client):
    page = text(client, "/duplicates")
    assert linked(page) == ["/render/10", "/render/20"]
    assert "2 games in 1 group" in page


def test_popular_games_stand_beside_their_neighbours(client):
    rows = nearest(embeddings(), k=6).rows
    page = text(client, "/popular")
    assert re.findall(r'<h2 class="name"><a href="/render/(\d+)"', page) == ["30", "20", "10"]
    first = page.partition('class="strip-matches"')[2].partition("</ol>")[0]
    expected = [str(list(NAMES)[row]) for row in rows[2] if list(NAMES)[row] != 60]
    assert re.findall(r'href="/render/(\d+)"', first) == expected


def test_a_wall_can_be_limited_to_years_and_to_a_similarity(client):
    assert len(linked(text(client, "/unique?from=2000&to=2000"))) == 3
    assert linked(text(client, "/unique?from=2001")) == []
    assert "No game fits these limits" in text(client, "/unique?below=-1")
    assert len(linked(text(client, "/unique?below=&from=&to="))) == len(linked(text(client, "/unique")))
    for url in ("/unique?below=x", "/unique?from=1.5", "/hubs?to=99999", "/popular?page=0"):
        text(client, url, 400)


@pytest.mark.parametrize("url", ["/hubs", "/duplicates", "/popular", "/unique"])
def test_there_is_no_page_behind_the_last(client, url):
    assert "There is no page 7" in text(client, f"{url}?page=7", 404)


@pytest.mark.parametrize(
    ("url", "twin"),
    [
        ("/", "/api/v1/catalogue"),
        ("/render/10", "/api/v1/games/10/neighbours"),
        ("/store_x/10/3", "/api/v1/games/10/neighbours?view=mirror&n=3"),
        ("/search?q=a+name&page=1", "/api/v1/games?page=1&q=a+name"),
        ("/unique?below=0.9&from=2000", "/api/v1/unique?from=2000&below=0.9"),
        ("/hubs", "/api/v1/hubs"),
    ],
)
def test_every_page_names_its_json_twin_which_is_there(client, url, twin):
    page = text(client, url)
    named = html.unescape(re.search(r'<link rel="alternate" type="application/json" href="([^"]+)"', page).group(1))
    assert named == twin
    assert client.get(named).status_code == 200


# -- caching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["/render/10", "/search?q=portal", "/unique", "/hubs", "/api/v1/games/10", "/id?index=1", "/readyz"]
)
def test_a_page_that_is_there_already_is_not_sent_again(client, url):
    first = client.get(url)
    tag = first.headers["ETag"]
    assert "no-cache" in first.headers["Cache-Control"]
    again = client.get(url, headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == tag
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_catalogue_or_the_switch_makes_another_page(tmp_path, client):
    tag = client.get("/render/10").headers["ETag"]
    other = make_catalogue(tmp_path / "other", views=False)
    assert create_app({"CATALOGUE": other}).test_client().get("/render/10").headers["ETag"] != tag
    client.post("/adult", data={"show": "1", "back": "/"})
    assert client.get("/render/10").headers["ETag"] != tag


@pytest.mark.parametrize("url", ["/random", "/render/", "/render/11", "/nothing"])
def test_redirects_and_errors_have_no_tag(client, url):
    assert "ETag" not in client.get(url).headers


def test_answers_are_compressed_for_those_who_can_read_them(client):
    for url in ("/render/10", "/api/v1/openapi.json", "/static/site.css", "/static/suggest.js"):
        with client.get(url) as plain:
            plain.get_data()
        packed = client.get(url, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip", url
        assert gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 2
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert "Content-Encoding" not in plain.headers
    for url, accepted in (("/render/10", "identity"), ("/banners/10.jpg", "gzip")):
        with client.get(url, headers={"Accept-Encoding": accepted}) as whole:
            assert "Content-Encoding" not in whole.headers
    assert client.head("/render/10", headers={"Accept-Encoding": "gzip"}).data == b""


def test_pages_are_small(client):
    assert len(client.get("/render/10").data) < 30_000
    assert sum(path.stat().st_size for path in (ROOT / "static").iterdir() if path.suffix in (".css", ".js")) < 50_000


# -- what other sites show ----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("query", "place"), [("portal+2", "/render/20"), ("PORTAL+2", "/render/20"), ("10", "/render/10")]
)
def test_a_search_for_one_game_by_its_whole_name_goes_straight_to_it(client, query, place):
    response = client.get(f"/search?q={query}")
    assert (response.status_code, response.headers["Location"]) == (302, place)


@pytest.mark.parametrize("query", ["portal", "porta", "portl+2", "2", "zzz"])
def test_a_search_that_may_mean_others_lists_them(client, query):
    text(client, f"/search?q={query}")


def test_no_redirect_leads_to_whatever_the_host_header_says(client):
    for path in ("/find?q=x", "/dl?appid=10", "/api/v1", "/unique/", "//render//10", "/random", "/render/"):
        response = client.get(path, headers={"Host": "evil.example"})
        assert "evil" not in response.headers.get("Location", ""), path
        assert response.status_code != 308


def test_a_page_that_is_confirmed_varies_as_it_did(client):
    first = client.get("/render/10")
    confirmed = client.get("/render/10", headers={"If-None-Match": first.headers["ETag"]})
    assert confirmed.status_code == 304
    assert set(confirmed.headers["Vary"].split(", ")) == {"Accept-Encoding", "Cookie"}


@pytest.mark.parametrize("path", ["/api/v1/games/10", "//api/v1/games/11", "/find?appid=10", "//find?appid=10"])
def test_json_can_be_read_from_anywhere_however_its_address_begins(client, path):
    raw, _, query = path.partition("?")
    answer = client.get("/", query_string=query, environ_overrides={"PATH_INFO": raw})
    assert answer.is_json and answer.headers["Access-Control-Allow-Origin"] == "*"
    page = client.get("/", environ_overrides={"PATH_INFO": "//render/10"})
    assert not page.is_json and "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.parametrize("host", ["a b", "a@b", "[", "a..b", ".", "a" * 70 + ".example", "evil.example"])
def test_a_host_that_is_none_of_this_server_is_a_400(tmp_path, host):
    trusted = {"TRUSTED_HOSTS": ["good.example"]} if host == "evil.example" else {}
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), **trusted}).test_client()
    for path in ("/render/10", "/nothing", "/api/v1/games/10"):
        assert client.get(path, environ_overrides={"HTTP_HOST": host}).status_code == 400
        assert client.get(path, headers={"Host": "good.example:8000"}).status_code in (200, 404)


def test_a_scheme_of_a_proxys_is_http_or_https(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": "1"}).test_client()
    for scheme, status in (("https", 200), ("http", 200), ("javascript", 400)):
        assert client.get("/render/10", headers={"X-Forwarded-Proto": scheme}).status_code == status


def test_columns_that_no_store_would_send_are_served(tmp_path):
    odd = {"popularity": 10**30, "year": "1998\u202e\0", "image_path": "a\ud800.jpg"}
    one = np.ones((3, 1), np.float32)
    games = [Game(10, "Odd", odd), Game(20, "Older", {"popularity": -(10**30), "year": 10**20}), Game(30, "Other")]
    writer.save(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one, about={})
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    client.application.extensions["exhibition"].shown.gallery.warm()
    page = client.get("/render/10").get_data(as_text=True)
    assert "Odd" in page and "1998" not in page
    assert client.get("/popular").status_code == 200
    assert client.get("/api/v1/games/20").json["game"]["year"] is None


def test_cards_that_are_kept_stay_when_there_is_no_room_for_others(tmp_path, monkeypatch):
    from webapp import gallery

    monkeypatch.setattr(gallery, "_CARDS_KEPT", 3)
    opened = gallery.Gallery.open(make_catalogue(tmp_path / "c"), None)
    opened.warm()
    kept = dict(opened._cards)
    assert sorted(opened.card(row).appid for row in kept) == [10, 20, 30]  # the popular ones
    assert [opened.card(row).name for row in range(8)][:2] == ["Portal", "Portal 2"]
    assert opened._cards == kept


def test_a_catalogue_that_was_replaced_is_forgotten(tmp_path):
    """What is there before the workers are forked is frozen, see webapp/wsgi.py: a cycle would stay for ever."""
    folder = make_catalogue(tmp_path / "c")
    app = create_app({"CATALOGUE": folder})
    exhibition, client = app.extensions["exhibition"], app.test_client()
    exhibition.shown.gallery.warm()
    for url in ("/render/10", "/search?q=portal", "/suggest?q=p", "/unique", "/api/v1/games/10", "/find/?q=portal"):
        client.get(url)
    old = weakref.ref(exhibition.shown.gallery)
    gc.freeze()
    try:
        make_catalogue(folder, views=False)
        exhibition._next_look -= 100  # nobody has looked for a while
        assert client.get("/healthz").status_code == 200
        assert old() is None
    finally:
        gc.unfreeze()


def test_images_that_come_to_hand_make_another_page(tmp_path):
    make_catalogue(tmp_path / "c")
    tags = []
    for banners in (None, tmp_path / "b"):
        if banners:
            banners.mkdir()
            picture(1).save(banners / "10.png")
        page = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": banners or ""}).test_client().get("/render/10")
        tags.append(page.headers["ETag"])
    assert tags[0] != tags[1]


def test_only_images_are_handed_out_and_drawn(tmp_path):
    make_catalogue(tmp_path / "c")
    banners = tmp_path / "b"
    banners.mkdir()
    for appid in (10, 20, 30, 40, 60):
        picture(appid, (60, 90)).save(banners / f"{appid}.jpg")
    client = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": banners}).test_client()
    first = client.get("/share/10.jpg").data
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (banners / "20.jpg").unlink()
    (banners / "20.jpg").symlink_to(secret)
    (banners / "30.jpg").unlink()
    os.mkfifo(banners / "30.jpg")
    picture(40, (3000, 3000)).save(banners / "40.jpg")  # more than a banner has
    for appid in (20, 30):
        assert client.get(f"/banners/{appid}.jpg").status_code == 404
        assert client.get(f"/share/{appid}.jpg").status_code == 404
    assert client.get("/share/40.jpg").status_code == 404
    assert client.get("/share/10.jpg").data != first
    (banners / "10.jpg").unlink()
    assert client.get("/share/10.jpg").status_code == 404


def test_the_aspect_is_kept_for_long_only_under_its_own_name(client):
    right = re.search(r"/aspect.css\?v=([0-9x]+)", text(client, "/about"))[1]
    assert "max-age" in client.get(f"/aspect.css?v={right}").headers["Cache-Control"]
    for url in ("/aspect.css", "/aspect.css?v=1x1"):
        assert "max-age" not in client.get(url).headers.get("Cache-Control", "")


def test_a_wall_keeps_its_limits_on_the_next_page():
    from webapp.walls import years_of

    assert years_of(0, 9999) is None
    assert years_of(0, 2000) == (0, 2000)
    assert years_of(2000, 0) == (2000, 9999)
