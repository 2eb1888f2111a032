"""Matching by artwork, in pages and in the JSON."""

import html
import io
import re

import pytest

from tests.webapp.small_site import text
from webapp import create_app

GAME = 9000280


@pytest.fixture
def client(gallery):
    overrides = {"CATALOGUE": gallery / "c", "BANNERS": gallery / "b", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides).test_client()


def found(client, url):
    return [(one["game"]["appid"], one["similarity"]) for one in client.get(url).get_json()["results"]]


def test_a_game_page_compares_the_whole_cover_or_the_art_only(client):
    plain, artwork = text(client, f"/render/{GAME}"), html.unescape(text(client, f"/render/{GAME}?view=artwork"))
    ignores = 'title="Art only ignores the lettering">Art<span> only</span></a>'
    assert f'<a href="/render/{GAME}?view=artwork" rel="nofollow" {ignores}' in plain
    assert '<a href="/render/9000280" rel="nofollow">Whole<span> cover</span></a>' in artwork
    assert f'rel="nofollow" aria-current="true" {ignores}' in artwork
    named = [int(appid) for appid in re.findall(r'class="name"><a href="/render/(\d+)\?view=artwork"', artwork)]
    assert named == [appid for appid, _ in found(client, f"/api/v1/games/{GAME}/neighbours?view=artwork&stacked=1")]
    assert f'/mix?game={GAME}&view=artwork&game={named[0]}"' in artwork
    assert f"/render/{GAME}/20?view=artwork" not in plain
    assert f'<link rel="canonical" href="http://localhost/render/{GAME}">' in artwork
    text(client, f"/render/{GAME}?view=letters", 400)


def test_free_queries_by_artwork_find_what_is_stored(client):
    stored = found(client, f"/api/v1/games/{GAME}/neighbours?view=artwork&n=8")
    asked = found(client, f"/api/v1/similar?game={GAME}&view=artwork&n=8")
    assert stored != found(client, f"/api/v1/games/{GAME}/neighbours?n=8")
    assert [appid for appid, _ in asked] == [appid for appid, _ in stored]
    assert [cosine for _, cosine in asked] == pytest.approx([cosine for _, cosine in stored], abs=1e-4)


def test_a_picture_finds_itself_by_artwork_and_the_mix_stays_in_the_view(client):
    banner = client.get(f"/banners/{GAME}.jpg", buffered=True).data
    answer = client.post("/api/v1/pictures?view=artwork", data={"picture": (io.BytesIO(banner), "x.jpg")}).get_json()
    assert answer["results"][0]["game"]["appid"] == GAME
    assert answer["results"][0]["similarity"] > 0.98
    page = html.unescape(text(client, f"/mix?game={GAME}&game=9000290&view=artwork"))
    assert f'href="/mix?game={GAME}&view=artwork"' in page
    assert f'href="/mix?game={GAME}&game=9000290" rel="nofollow">Whole<span> cover</span></a>' in page
    assert 'name="view" value="artwork"' in page
    assert client.get("/mix?game=9000290&view=artwork&add=9000280").location == (
        f"/mix?game=9000290&game={GAME}&view=artwork"
    )


def test_a_catalogue_without_this_view_says_so(query_app):
    client = query_app.test_client()
    assert "Art only" not in text(client, "/render/11")
    text(client, "/render/11?view=artwork", 404)
    text(client, "/mix?game=11&view=artwork", 404)
    assert client.get("/api/v1/similar?game=11&view=artwork").status_code == 404
