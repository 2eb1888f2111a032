"""Banners that may be explicit, and the switch for them."""

import re

import numpy as np
import pytest

from banners.games_csv import Game
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.webapp.small_site import linked, text
from webapp import create_app


def test_adult_banners_are_off_the_walls_and_blurred_elsewhere_until_the_reader_wants_them(client):
    """Game 60."""
    walls = [("/", 200), ("/unique", 200), ("/render/61", 404), ("/render/hentai", 404)]
    for url, status in walls:
        assert "/render/60" not in linked(text(client, url, status)), url
    page = text(client, "/render/60")
    assert '<html lang="en">' in page
    title = r'<span class="art-title hue-\d" aria-hidden="true">Hentai Puzzle</span>'
    assert re.search(rf'art-adult">\s*{title}\s*<span', page)
    assert page.count('action="/adult"') == 1  # at the cover, not at the foot too
    assert text(client, "/render/10").count('action="/adult"') == 1
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
    save_catalogue(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one)
    page = text(create_app({"CATALOGUE": tmp_path / "c"}).test_client(), "/")
    assert "adult-switch" not in page


def test_a_catalogue_of_adult_games_alone_shows_none_unasked(tmp_path):
    one = np.eye(2, dtype=np.float32)
    games = [Game(10, "Hentai One"), Game(20, "Hentai Two")]
    save_catalogue(tmp_path / "c", games=games, neighbours={"plain": nearest(one)}, embeddings=one)
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert linked(text(client, "/")) == []
    text(client, "/unique")
    assert "may be shown" in text(client, "/render/", 404)
