"""Filters of lists: years, tag, developer, lesser known, and without the series."""

import html
import re
from urllib.parse import urlencode

import numpy as np
import pytest

from banners.catalogue.games_db import PROPERTIES
from banners.catalogue.reader import open_catalogue
from banners.games_csv import Game
from banners.series import same_series
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.conftest import ROOT
from tests.webapp.small_site import text
from webapp import create_app
from webapp.pages.walls import UniqueQuery
from webapp.queries.filters import Filter, SeriesFilterQuery, declared_filters
from webapp.site import Site

GAME = 9000280


@pytest.fixture
def client(gallery):
    overrides = {"CATALOGUE": gallery / "c", "BANNERS": gallery / "b", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides).test_client()


@pytest.fixture
def games(gallery):
    return {game.appid: game for game in open_catalogue(gallery / "c").games}


def found(client, url):
    return [one["game"]["appid"] for one in client.get(url).get_json()["results"]]


ALL = {field.encode_name: one for schema in (SeriesFilterQuery, UniqueQuery) for field, one in declared_filters(schema)}


def value_of(declared: Filter, site: Site) -> str:
    """A value that the form offers, which some games pass and some do not."""
    options = declared.options(site)
    return {
        "number": lambda: str(options[0] + (options[1] - options[0]) // 3),
        "range": lambda: f"{sum(options) / 2:.2f}",
        "choice": lambda: options[0],
        "select": lambda: options[-1][0],
        "switch": lambda: "1",
    }[declared.widget]()


@pytest.mark.parametrize("name", ALL)
def test_a_filter_that_is_declared_is_in_form_chip_address_json_and_document(client, name):
    declared, site = ALL[name], client.application.extensions["catalogue"].site
    is_of_wall = name not in SeriesFilterQuery.__struct_encode_fields__
    path = "/unique" if is_of_wall else f"/render/{GAME}"
    assert f'name="{name}"' in text(client, path)
    value = value_of(declared, site)
    page = html.unescape(text(client, f"{path}?{urlencode({name: value})}"))
    chip = f"Remove the filter: {declared.chip.format(value)}"
    assert f'href="{path}" rel="nofollow" aria-label="{chip}"' in page
    assert re.search(rf'name="{name}"[^>]*(value="{re.escape(value)}"| checked|>.*value="{value}" selected)', page)
    pair = re.escape(urlencode({name: value}))
    if not is_of_wall:
        assert re.search(rf'class="name"><a href="/render/\d+\?{pair}"', page)
    twin = re.search(r'<link rel="alternate" type="application/json" href="([^"]+)"', page)[1]
    assert re.search(pair, twin)
    answer = client.get(twin).get_json()
    assert answer["results"]
    if declared.mask is not None:
        passes = declared.mask(site, read_value(declared, value))
        assert 0 < passes.sum() < len(passes), "the gallery has no game, or no other game, of this value"
        assert all(passes[site.catalogue.row_of(one["game"]["appid"])] for one in answer["results"])
    assert answer != client.get(twin.partition("?")[0]).get_json()
    parameters = client.get("/api/v1/openapi.json").get_json()["paths"][
        "/api/v1/unique" if is_of_wall else "/api/v1/games/{appid}/neighbours"
    ]["get"]["parameters"]
    assert [one["description"] for one in parameters if one["name"] == name] != [""]


def read_value(declared: Filter, value: str) -> object:
    return {"number": int, "range": float}.get(declared.widget, str)(value)


def test_every_filter_is_in_the_documents():
    documents = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    assert [name for name in ALL if not re.search(f"`{name}[=`]", documents)] == []


NEIGHBOURS = f"/api/v1/games/{GAME}/neighbours?n=10&"


@pytest.mark.parametrize("view", ["plain", "artwork"])
def test_neighbours_that_pass_come_from_all_games(client, games, view):
    tag = games[GAME].listed("tags")[0].lower()
    wanted = {appid for appid, game in games.items() if tag in [one.lower() for one in game.listed("tags")]} - {GAME}
    assert (
        found(client, f"{NEIGHBOURS}tag={tag}&view={view}")
        == [appid for appid in found(client, f"/api/v1/similar?game={GAME}&n=79&view={view}") if appid in wanted][:10]
    )
    of_all = client.get(f"/api/v1/games/{GAME}/neighbours?n=1000&tag={tag}&view={view}").get_json()["results"]
    assert {one["game"]["appid"] for one in of_all} == wanted
    similarities = [one["similarity"] for one in of_all]
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("typed", ["Étoile", "étoile", "ÉTOILE", "etoile", " Étoile "])
def test_names_are_compared_without_case_and_accents_in_any_script(tmp_path, name, typed):
    values = ["Étoile", "ЗВЕЗДА", "C++", "C#", "नमस्ते\u200d खेल"]
    column = PROPERTIES[name]
    save_catalogue(
        tmp_path / "c",
        games=[Game(10 + row, f"Game {row}", {column: value}) for row, value in enumerate(values)],
        neighbours={"plain": nearest(np.eye(5, dtype=np.float32), k=4)},
        embeddings=np.eye(5, dtype=np.float32),
        about={"encoder": {"id": "test"}},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    for wanted, appid in ((typed, 10), ("звезда", 11), ("Звезда", 11), ("c++", 12), (values[-1], 14)):
        answer = client.get("/api/v1/games/13/neighbours", query_string={name: wanted}).get_json()
        assert [one["game"]["appid"] for one in answer["results"]] == [appid], wanted
    page = text(client, f"/render/13?{urlencode({name: typed})}")
    assert f'id="filter-{name}"' in page


def test_padded_filters_are_normalised_in_every_address_of_the_page(client):
    page = text(client, f"/render/{GAME}?{urlencode({'tag': '  Puzzle ' + chr(9) + ' '})}")
    assert "tag=Puzzle" in page
    assert not re.search(r'href="/render/[^"]*tag=(\+|%20)', page)


def test_a_mix_whose_filters_make_its_address_too_long_is_refused_before_the_redirect(client):
    long = dict.fromkeys(PROPERTIES, "五" * 200)
    answer = client.get("/mix", query_string={"game": GAME, "add": "9000290", "chosen": "9000290", **long})
    assert answer.status_code == 303
    assert len(answer.headers["Location"]) < 8190
    words = [str(number) + "五" * 180 for number in range(2)]
    answer = client.get("/mix", query_string={"text": words, "add": "9000290", "chosen": "9000290", **long})
    assert answer.status_code == 400
    assert "too long for an address" in answer.get_data(as_text=True)


def test_each_filter_leaves_what_it_says(client, games):
    developer = games[GAME].listed("developer")[0]
    for appid in found(client, f"{NEIGHBOURS}developer={developer}"):
        assert games[appid].listed("developer") == (developer,)
    assert {games[appid].columns["year"] for appid in found(client, f"{NEIGHBOURS}from=2010&to=2012")} <= {
        2010,
        2011,
        2012,
    }
    median = sorted(game.popularity for game in games.values())[len(games) // 2]
    assert all(games[appid].popularity <= median for appid in found(client, f"{NEIGHBOURS}lesser=1"))
    assert found(client, f"{NEIGHBOURS}tag=nothing+of+the+kind") == []
    assert client.get(f"{NEIGHBOURS}from=soon").status_code == 400


def test_a_series_can_be_hidden(client, games):
    plain, hidden = found(client, NEIGHBOURS), found(client, f"{NEIGHBOURS}hide_series=1")
    assert any(same_series(games[GAME], games[appid]) for appid in plain)
    assert not any(same_series(games[GAME], games[appid]) for appid in hidden)
    assert len(hidden) == 10
    mixed = found(client, f"/api/v1/similar?game={GAME}&hide_series=1&n=10")
    assert mixed == hidden


def test_filters_are_in_the_address_stay_and_can_be_removed(client):
    page = html.unescape(text(client, f"/render/{GAME}?tag=Puzzle&hide_series=1"))
    assert f'href="/render/{GAME}?hide_series=1" rel="nofollow" aria-label="Remove the filter: Puzzle"' in page
    assert f'href="/render/{GAME}?tag=Puzzle" rel="nofollow" aria-label="Remove' in page
    assert re.search(r'class="name"><a href="/render/\d+\?tag=Puzzle&hide_series=1"', page)
    assert f'href="/render/{GAME}?view=artwork&tag=Puzzle&hide_series=1"' in page
    assert f"/mix?game={GAME}&tag=Puzzle&hide_series=1&game=" in page
    assert f"/api/v1/games/{GAME}/neighbours?tag=Puzzle&hide_series=1" in page
    mixed = html.unescape(text(client, f"/mix?game={GAME}&tag=Puzzle"))
    assert f'href="/mix?game={GAME}" rel="nofollow" aria-label="Remove' in mixed
    assert '<input type="hidden" name="tag" value="Puzzle">' in mixed
    wall = html.unescape(text(client, "/unique?tag=Puzzle&from=2005"))
    assert 'href="/unique?tag=Puzzle" rel="nofollow" aria-label="Remove' in wall
    assert 'href="/hubs?from=2005&tag=Puzzle"' in wall


def test_a_wall_is_filtered_like_neighbours(client, games):
    listed = found(client, "/api/v1/unique?tag=puzzle")
    assert set(listed) == {appid for appid, game in games.items() if "Puzzle" in game.listed("tags")}


def test_what_passes_nothing_says_so(client):
    for url, unfiltered in (
        (f"/render/{GAME}?tag=none", f"/render/{GAME}"),
        (f"/mix?game={GAME}&developer=none", f"/mix?game={GAME}"),
    ):
        assert f'No game fits these filters. <a href="{unfiltered}">Clear filters</a>' in text(client, url)
    assert "No game fits these filters." in text(client, "/unique?tag=none")


def test_the_threshold_of_the_unusual_is_a_filter_that_can_be_removed_and_stays_on_its_wall(client):
    page = text(client, "/unique?below=0.9&from=2001")
    assert 'aria-label="Remove the filter: most similar cover below 0.9"' in page
    assert 'href="/unique?from=2001"' in page
    assert 'href="/hubs?from=2001"' in page


def test_filters_come_from_strangers(client):
    page = text(client, f'/render/{GAME}?tag="><script>alert(1)</script>')
    assert "<script>alert" not in page
    text(client, f"/render/{GAME}?tag={'x' * 300}", 400)


def test_a_game_page_shows_developer_and_tags(client, games):
    page = html.unescape(text(client, f"/render/{GAME}"))
    assert games[GAME].listed("developer")[0] in page
    assert ", ".join(games[GAME].listed("tags")) in page
    assert f"App {GAME}" not in page


def test_the_example_of_the_first_page_is_no_row_of_sequels(client, games):
    for _ in range(10):
        page = text(client, "/")
        example = page[page.index('class="example"') : page.index('class="example-caption')]
        shown = [int(appid) for appid in re.findall(r'src="/thumbnails/200/(\d+)', example)]
        assert len(shown) == 5
        assert not any(same_series(games[shown[0]], games[appid]) for appid in shown[1:])
