"""Boards, and what other sites show beside a link."""

import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from tests.webapp.small_site import linked, make_catalogue, text
from webapp import create_app
from webapp.pages.board import MAX_GAMES


@pytest.fixture
def client(tmp_path):
    (tmp_path / "b").mkdir()
    for appid in (10, 20, 30, 60, 70):
        picture(appid, (300, 450)).save(tmp_path / "b" / f"{appid}.png")
    return create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "b"}).test_client()


def shared(page: str) -> dict[str, str]:
    found = re.findall(r'<meta (?:property|name)="((?:og|twitter):[a-z]+)" content="([^"]*)"', page)
    return {name: html.unescape(content) for name, content in found}


@pytest.mark.parametrize(
    ("url", "path", "title"),
    [
        ("/render/10", "/render/10", "Portal — games that look like it"),
        ("/render/10/3?tag=x", "/render/10", "Portal — games that look like it"),
        ("/compare/10/30", "/compare/10/30", 'Portal and A <script>alert("&amp;")</script> Name'),
        ("/board?game=30&game=10&name=Mine", "/board?game=30&game=10&name=Mine", "Mine"),
        ("/board?game=30", "/board?game=30", "A board of covers"),
        ("/unique?page=1", "/unique", "Covers like no other"),
        ("/pairs", "/pairs", "Nearly the same cover"),
        ("/", "/", "Which games look alike?"),
    ],
)
def test_a_link_shows_title_and_picture(client, url, path, title):
    page = text(client, url)
    tags = shared(page)
    assert tags["og:url"] == f"http://localhost{path}"
    assert tags["og:title"] == title
    assert f'<link rel="canonical" href="http://localhost{html.escape(path)}">' in page
    assert "<script>alert" not in page
    response = client.get(tags["og:image"].removeprefix("http://localhost"))
    assert (response.status_code, response.mimetype) == (200, "image/jpeg")
    with Image.open(io.BytesIO(response.data)) as image:
        assert image.size == (1200, 630)
    assert tags["twitter:card"] == "summary_large_image"


def test_a_mix_names_its_parts(query_app):
    client = query_app.test_client()
    tags = shared(client.get("/mix?game=11&text=blue&not_text=red").get_data(as_text=True))
    assert tags["og:title"] == "Green Hills, “blue”, without “red”"
    assert client.get(tags["og:image"].removeprefix("http://localhost")).status_code == 200


def test_covers_on_a_picture_are_whole_and_in_order(client):
    response = client.get("/share/covers.jpg?game=30&game=10")
    with Image.open(io.BytesIO(response.data)) as image:
        pair = [image.crop((left, 40, left + 367, 590)) for left in (223, 610)]
    for appid, shown in zip((30, 10), pair, strict=True):
        own = np.asarray(picture(appid, (300, 450)).resize((30, 45))).astype(int)
        assert np.abs(np.asarray(shown.resize((30, 45))).astype(int) - own).mean() < 8


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("game=10&game=20&game=30&game=70", 200),
        ("game=10&game=10", 200),
        ("game=10&game=60&game=40", 200),  # one is explicit, one has no cover here
        ("game=60", 404),
        ("game=40", 404),
        ("game=999", 404),
        ("", 404),
        ("game=x", 400),
        ("&".join(f"game={number}" for number in range(1, 14)), 400),
    ],
)
def test_pictures_are_of_what_is_here(client, query, status):
    assert client.get(f"/share/covers.jpg?{query}").status_code == status


def test_pictures_cost_queries(client, tmp_path):
    app = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": tmp_path / "b", "QUERIES_PER_MINUTE": "3"})
    statuses = [app.test_client().get("/share/covers.jpg?game=10&game=20").status_code for _ in range(14)]
    assert statuses == [200] * 12 + [429] * 2


def test_of_games_on_steam_the_first_cover_is_shown(bare_client):
    tags = shared(text(bare_client, "/board?game=60&game=20&game=10"))
    assert tags["og:image"].endswith("/apps/20/library_600x900.jpg")  # the first that is not explicit
    assert tags["twitter:card"] == "summary"


# -- boards --------------------------------------------------------------------------------------------------------


def test_a_board_shows_the_games_of_its_address_in_their_order(client):
    page = text(client, "/board?game=30&game=10&game=30&game=999&game=998&name=%22%3E%3Cb%3E+x")
    assert linked(page) == ["/render/30", "/render/10"]
    assert "2 games of it are not here." in page
    assert "<bdi>&#34;&gt;&lt;b&gt; x</bdi>" in page
    assert linked(text(client, "/board")) == []
    assert "Press ♡ on a cover" in text(client, "/board")
    assert '<meta name="robots" content="noindex">' in page


def test_a_board_leads_to_a_mix_of_its_first_games(query_app):
    client = query_app.test_client()
    games = "&".join(f"game={number}{end}" for number in range(1, 7) for end in (1, 2))
    page = html.unescape(client.get(f"/board?{games}").get_data(as_text=True))
    assert 'href="/mix?game=11&game=12&game=21&game=22&game=31&game=32&game=41&game=42"' in page


@pytest.mark.parametrize("query", ["game=x", "game=0", "game=-1", f"name={'x' * 61}", "&".join(["game=10"] * 61)])
def test_a_board_that_cannot_be_meant_is_a_400(client, query):
    assert MAX_GAMES == 60
    text(client, f"/board?{query}", 400)
