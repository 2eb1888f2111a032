"""The walls."""

import html
import re

import numpy as np
import pytest

from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours, nearest
from tests.catalogues import save_catalogue
from tests.conftest import ROOT
from tests.webapp.small_site import NAMES, embeddings, linked, make_catalogue, text
from webapp import create_app
from webapp.pages.walls import WALLS, Wall

# -- every wall ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=WALLS, ids=lambda wall: wall.name)
def wall(request) -> Wall:
    return request.param


@pytest.fixture
def url(wall) -> str:
    return "/label?name=red" if wall.name == "label" else f"/{wall.name}?"


@pytest.fixture
def site(wall, client, colour_site, tmp_path):
    """A client of a catalogue that has something for the wall."""
    if wall.name == "reused":
        return create_app({"CATALOGUE": make_catalogue(tmp_path / "art", same_art=True)}).test_client()
    return create_app({"CATALOGUE": colour_site / "c"}).test_client() if wall.name == "label" else client


def grouped(wall, entry) -> list[dict]:
    """The games that stand beside that of an entry."""
    others = {"duplicates": entry["identical"], "reused": entry["same_art"]}
    return [one["game"] for one in entry["neighbours"]] if wall.name == "pairs" else others.get(wall.name, [])


def test_a_wall_and_its_json_list_the_same_games(site, wall, url):
    page = text(site, url)
    twin = html.unescape(re.search(r'type="application/json" href="([^"]+)"', page)[1])
    assert twin.startswith(f"/api/v1/{wall.name}")
    entries = site.get(twin).get_json()["results"]
    assert entries
    expected = [game["url"] for entry in entries for game in (entry["game"], *grouped(wall, entry))]
    if wall.name == "pairs":  # one link for both
        expected = [f"/compare/{one['game']['appid']}/{one['neighbours'][0]['game']['appid']}" for one in entries]
    assert re.findall(r'<h2 class="name"><a href="([^"]+)"', page) == expected
    assert [entry["rank"] for entry in entries] == list(range(1, len(entries) + 1))


def test_a_wall_has_a_tab_that_is_marked_as_the_current_one(site, wall, url):
    page = text(site, url)
    assert f'<a href="/{wall.tab_path or wall.name}" aria-current="page">{wall.tab}</a>' in page


def test_adult_banners_are_on_a_wall_only_if_asked_for(site, wall, url):
    without, whole = (site.get(f"/api/v1{url}&adult={flag}").get_json() for flag in (0, 1))
    assert not [entry for entry in without["results"] if entry["game"]["is_adult"]]
    assert without["paging"]["total"] <= whole["paging"]["total"]


def test_a_wall_ends_with_a_404_that_leads_back(site, url):
    page = text(site, f"{url}&page=7", 404)
    assert "There is no page 7" in page
    assert text(site, html.unescape(re.search(r'There is no page 7. <a href="([^"]+)"', page)[1]))


def test_a_wall_is_limited_to_years(site, url):
    assert linked(text(site, f"{url}&from=1980&to=1981")) == []
    text(site, f"{url}&from=1.5", 400)


def test_a_wall_that_a_catalogue_has_nothing_for_has_no_tab(tmp_path):
    save_catalogue(
        tmp_path / "c",
        games=[Game(appid, f"Game {appid}") for appid in (10, 20)],
        neighbours={"plain": Neighbours(np.array([[1], [0]], np.int32), None)},
    )
    page = text(create_app({"CATALOGUE": tmp_path / "c"}).test_client(), "/hubs")
    tabs = page.partition('<nav class="tabs"')[2].partition("</nav>")[0]
    assert re.findall(r'href="([^"]+)"', tabs) == ["/hubs"]


def test_every_wall_is_in_the_documents():
    documents = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    assert [wall.name for wall in WALLS if f"`/{wall.name}" not in documents] == []


# -- each wall ----------------------------------------------------------------------------------------------------


def test_the_newest_games_come_by_year_and_then_by_popularity(tmp_path):
    known_of = {10: {"year": 2001}, 20: {"year": 2003}, 30: {"year": 2003, "popularity": 9}, 40: {}}
    save_catalogue(
        tmp_path / "c",
        games=[Game(appid, f"Game {appid}", known) for appid, known in known_of.items()],
        neighbours={"plain": nearest(embeddings(4), k=3)},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    assert linked(text(client, "/newest")) == ["/render/30", "/render/20", "/render/10"]
    assert linked(text(client, "/newest?to=2002")) == ["/render/10"]


def test_unique_games_come_in_order_with_their_nearest(client):
    similarities = nearest(embeddings(), k=6).similarities[:, 0]
    order = [appid for _, appid in sorted(zip(similarities, NAMES, strict=True)) if appid not in (40, 60)]
    page = text(client, "/unique")
    assert linked(page) == [f"/render/{appid}" for appid in order]
    assert f"{100 * max(0, similarities.min() - 0.1) / 0.9:.0f} %<" in page
    assert "There is no page 99" in text(client, "/unique?page=99", 404)


def test_long_walls_are_paged_both_ways(tmp_path):
    rows = np.array([[(row + 1) % 100] for row in range(100)], np.int32)
    similarities = np.linspace(0.2, 0.9, 100, dtype=np.float32)[:, None]
    save_catalogue(
        tmp_path / "c",
        games=[Game(row + 1, f"Game {row}", {"popularity": 1}) for row in range(100)],
        neighbours={"plain": Neighbours(rows, similarities)},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    for url in ("/hubs?", "/search?q=game&amp;"):
        pages = [text(client, html.unescape(f"{url}page={page}")) for page in (1, 2, 3)]
        assert [len(linked(page)) for page in pages] == [48, 48, 4]
        assert f'href="{url}page=2" rel="next"' in pages[0]
        assert 'rel="prev"' not in pages[0]
        assert f'href="{url}page=1" rel="prev"' in pages[1]
        assert 'rel="next"' not in pages[2]
        assert "Page 3 of 3" in pages[2]
    assert len(linked(text(client, "/"))) == 8 + 6 * 2  # covers like no other; six games with their only look-alike
    assert "Popular games and their look-alikes" in text(client, "/")
    assert "More distinctive than 99 % of covers" in text(client, "/render/1")
    assert "distinctive" not in text(client, "/render/50")
    assert "A common look" in text(client, "/render/100")


def test_hubs_are_the_banners_that_are_near_most_others(client):
    rows = nearest(embeddings(), k=6).rows
    times = np.bincount(rows.ravel(), minlength=len(NAMES))
    page = text(client, "/hubs")
    shown = [int(url.rpartition("/")[2]) for url in linked(page)]
    counts = [times[list(NAMES).index(appid)] for appid in shown]
    assert counts == sorted(counts, reverse=True)
    assert set(shown) == {appid for appid, name in NAMES.items() if name and "Hentai" not in name}
    assert f"{counts[0]} games look like this" in page


def test_identical_banners_stand_in_groups(client):
    page = text(client, "/duplicates")
    assert linked(page) == ["/render/10", "/render/20"]
    assert "pixel for pixel" in page


def test_popular_games_stand_beside_their_neighbours(client):
    rows = nearest(embeddings(), k=6).rows
    page = text(client, "/popular")
    assert re.findall(r'<h2 class="name"><a href="/render/(\d+)"', page) == ["30", "20", "10"]
    first = page.partition('class="strip-matches"')[2].partition("</ol>")[0]
    near = [list(NAMES)[row] for row in rows[2] if list(NAMES)[row] != 60]
    near.remove(max((10, 20), key=near.index))  # their covers are identical: they are one card
    expected = [str(appid) for appid in near]
    assert re.findall(r'href="/render/(\d+)"', first) == expected


def test_a_wall_can_be_limited_to_years_and_to_a_similarity(client):
    assert len(linked(text(client, "/unique?from=2000&to=2000"))) == 3
    assert linked(text(client, "/unique?from=2001")) == []
    assert "No game fits these filters" in text(client, "/unique?below=-1")
    assert len(linked(text(client, "/unique?below=&from=&to="))) == len(linked(text(client, "/unique")))
    for url in ("/unique?below=x", "/unique?from=1.5", "/hubs?to=99999", "/popular?page=0"):
        text(client, url, 400)


def test_a_wall_keeps_its_limits_on_the_next_page(tmp_path):
    folder = tmp_path / "c"
    count = 120
    found = embeddings(count)
    save_catalogue(
        folder,
        games=[Game(appid, f"Game {appid}", {"year": 2000 + appid % 2}) for appid in range(1, count + 1)],
        neighbours={"plain": nearest(found, k=6)},
        embeddings=found,
        duplicates=None,
        about={"encoder": {"id": "e", "revision": "r"}},
    )
    client = create_app({"CATALOGUE": folder}).test_client()
    shown = []
    url = "/unique?from=2001&to=2001&below=1"
    while url:
        page = text(client, url)
        assert (
            'name="from" type="number" inputmode="numeric" min="2000" max="2001" placeholder="any" value="2001"' in page
        )
        shown += linked(page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        url = html.unescape(following[1]) if following else ""
    assert sorted(shown) == sorted(f"/render/{appid}" for appid in range(1, count + 1) if appid % 2)
