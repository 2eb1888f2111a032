"""What lists share: stacks, orders, the least likeness, tables, and one scale on every page."""

import csv
import html
import io
import re

import numpy as np
import pytest

from banners.games_csv import Game
from banners.series import edition
from banners.vectors.neighbours import nearest
from tests.catalogues import save_catalogue
from tests.webapp.small_site import make_catalogue, text
from webapp import create_app

GAME = 9000280


@pytest.fixture
def client(gallery):
    overrides = {"CATALOGUE": gallery / "c", "BANNERS": gallery / "b", "QUERIES_PER_MINUTE": "0"}
    return create_app(overrides).test_client()


def results(client, url):
    return client.get(url).get_json()["results"]


# -- stacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pit Fighter (Brazil)", "Pit Fighter (Europe) (Rev 1)"),
        ("Game", "Game: Deluxe Edition"),
        ("Game", "GAME™ – Game of the Year Edition"),
        ("The Game Definitive Edition", "Game [Japan]"),
        ("Game Demo", "Game Remastered"),
    ],
)
def test_editions_of_a_game_have_one_key(one, other):
    assert edition(Game(10, one)) == edition(Game(20, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Prey", "Prey (2006)"),
        ("Portal", "Portal 2"),
        ("Fallout 3", "Fallout: New Vegas"),
        ("", ""),
    ],
)
def test_other_games_have_another(one, other):
    assert edition(Game(10, one)) != edition(Game(20, other))


def test_games_of_one_title_by_different_developers_are_no_editions():
    one, other = Game(10, "Alone", {"developer": "A"}), Game(20, "Alone", {"developer": "B"})
    assert edition(one) != edition(other)
    assert edition(one) == edition(Game(30, "Alone (Demo)", {"developer": "A, Inc."}))


@pytest.fixture
def stacked(tmp_path):
    """Of six games beside Ten, two are editions and two have identical covers."""
    axes = np.eye(7, dtype=np.float32)
    vectors = axes[0] + 0.2 * np.arange(7, dtype=np.float32)[:, None] * axes
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = ["Ten", "Pit (Europe)", "Alpha", "Pit (Japan)", "Beta", "Gamma", "Delta"]
    save_catalogue(
        tmp_path / "c",
        games=[Game(10 * row + 10, name) for row, name in enumerate(names)],
        neighbours={"plain": nearest(vectors, k=6)},
        embeddings=vectors,
        duplicates=np.array([0, 1, 2, 3, 4, 2, 6], np.int32),
    )
    return create_app({"CATALOGUE": tmp_path / "c"}).test_client()


def test_editions_and_identical_covers_are_one_card(stacked):
    flat = [one["game"]["appid"] for one in results(stacked, "/api/v1/games/10/neighbours")]
    assert flat == [20, 30, 40, 50, 60, 70]
    answer = results(stacked, "/api/v1/games/10/neighbours?stacked=1")
    assert [(one["rank"], one["game"]["appid"]) for one in answer] == [(1, 20), (2, 30), (3, 50), (4, 70)]
    assert [[one["game"]["appid"] for one in entry["stacked"]] for entry in answer] == [[40], [60], [], []]
    page = text(stacked, "/render/10")
    assert re.findall(r'id="number-\d" data-appid="(\d+)"', page) == ["20", "30", "50", "70"]
    assert 'aria-label="1 more with this cover or title as Pit (Europe)">+1</button>' in page
    assert re.findall(r'class="menu-game" href="([^"]+)"', page) == ["/render/40", "/render/60"]
    two = results(stacked, "/api/v1/games/10/neighbours?stacked=1&n=2")
    assert [one["game"]["appid"] for one in two] == [20, 30]


# -- orders and the least likeness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [f"/api/v1/games/{GAME}/neighbours?n=15&", f"/api/v1/similar?game={GAME}&n=15&"])
def test_look_alikes_come_in_the_order_that_was_asked_for(client, url):
    site = client.application.extensions["catalogue"].site
    of = {"popularity": site.popularity, "year": site.years}
    for order, values in of.items():
        shown = [values[site.catalogue.row_of(one["game"]["appid"])] for one in results(client, f"{url}sort={order}")]
        assert shown == sorted(shown, reverse=True)
    assert results(client, f"{url}sort=likeness") == results(client, url)
    assert client.get(f"{url}sort=size").status_code == 400
    longer = url.replace("n=15", "n=20")
    assert results(client, f"{longer}sort=year")[:15] == results(client, f"{url}sort=year")  # a list goes on


def test_a_least_likeness_leaves_out_what_is_below(client):
    for url in (f"/api/v1/games/{GAME}/neighbours?n=70", f"/api/v1/similar?game={GAME}&n=70"):
        whole = results(client, url)
        assert any(one["strength"] < 0.3 for one in whole)
        wanted = [one["game"]["appid"] for one in whole if one["strength"] >= 0.3]
        for least in ("30", "0.3"):
            assert [one["game"]["appid"] for one in results(client, f"{url}&min_likeness={least}")] == wanted
    same = results(client, f"/api/v1/games/{GAME}/neighbours?min_likeness=100")
    assert all(one["strength"] == 1 for one in same)
    for wrong in ("101", "-1", "nan", "x"):
        assert client.get(f"/api/v1/games/{GAME}/neighbours?min_likeness={wrong}").status_code == 400


def test_walls_take_both_too(client):
    site = client.application.extensions["catalogue"].site
    for wall in ("unique", "hubs", "newest", "pairs"):
        popularity = [
            site.popularity[site.catalogue.row_of(one["game"]["appid"])]
            for one in results(client, f"/api/v1/{wall}?sort=popularity")
        ]
        assert popularity == sorted(popularity, reverse=True), wall
    nearest_of = [one["neighbours"][0]["strength"] for one in results(client, "/api/v1/unique?min_likeness=40")]
    assert nearest_of
    assert min(nearest_of) >= 0.4
    pairs = [one["neighbours"][0]["strength"] for one in results(client, "/api/v1/pairs?min_likeness=20")]
    assert all(strength >= 0.2 for strength in pairs)


# -- tables --------------------------------------------------------------------------------------------------------


def table(client, url):
    answer = client.get(url)
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


@pytest.mark.parametrize(
    "url",
    [
        f"/api/v1/games/{GAME}/neighbours?n=12",
        f"/api/v1/similar?game={GAME}&n=12",
        *("/api/v1/unique?x=", "/api/v1/newest?page=1", "/api/v1/games?q=alpha", "/api/v1/games?page=1"),
    ],
)
def test_any_list_is_a_table(client, url):
    answer = client.get(url).get_json()
    entries = answer.get("results") or answer["games"]
    rows = table(client, f"{url}&format=csv")
    assert list(rows[0]) == ["rank", "appid", "name", "year", "developer", "similarity"]
    assert [int(row["appid"]) for row in rows] == [one.get("game", one)["appid"] for one in entries]
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["developer"].startswith("Studio")
    assert client.get(f"{url}&format=xml").status_code == 400


def test_the_games_of_one_entry_have_one_rank(client, stacked):
    rows = table(stacked, "/api/v1/games/10/neighbours?stacked=1&format=csv")
    assert [(row["rank"], row["appid"]) for row in rows[:4]] == [("1", "20"), ("1", "40"), ("2", "30"), ("2", "60")]
    rows = table(client, "/api/v1/pairs?format=csv")
    assert [row["rank"] for row in rows[:4]] == ["1", "1", "2", "2"]
    assert table(stacked, "/api/v1/duplicates?format=csv")[1]["appid"] == "60"


def test_a_name_is_no_formula(tmp_path):
    names = ['=HYPERLINK("x")', "+1", "-KLAUS-", "@SUM", 'Quo"te, comma']
    save_catalogue(
        tmp_path / "c",
        games=[Game(10 + row, name) for row, name in enumerate(names)],
        neighbours={"plain": nearest(np.eye(5, dtype=np.float32), k=4)},
    )
    rows = table(create_app({"CATALOGUE": tmp_path / "c"}).test_client(), "/api/v1/games?format=csv")
    assert [row["name"] for row in rows] == [*(f"'{name}" for name in names[:4]), names[4]]


# -- one scale ------------------------------------------------------------------------------------------------------


def likeness_on(page: str, appid: int) -> tuple[str, bool]:
    """The percentage beside a game, and whether it is told to be weak."""
    card = re.search(rf'<li class="card[^"]*" id="number-\d+" data-appid="{appid}">.*?</h3>', page, re.DOTALL)[0]
    return "".join(re.findall(r"</span>(\d+ %)", card)), "bar-weak" in card and "card-weak" in card


def test_a_pair_looks_the_same_on_every_page(client):
    page, mix = text(client, f"/render/{GAME}/60"), text(client, f"/mix?game={GAME}&n=60")
    appids = [int(appid) for appid in re.findall(r'id="number-\d+" data-appid="(\d+)"', page)]
    assert len({likeness_on(page, appid)[1] for appid in appids}) == 2  # weak ones and others
    for appid in appids[::4]:
        on_game = likeness_on(page, appid)
        assert likeness_on(mix, appid) == on_game
        compare = text(client, f"/compare/{GAME}/{appid}")
        whole = compare[compare.index("Whole cover") :].partition("</dl>")[0]
        assert "".join(re.findall(r"</span>(\d+ %)", whole)) == on_game[0]
        assert ("bar-weak" in whole) == on_game[1]
    one = results(client, "/api/v1/pairs")[0]
    wall = html.unescape(text(client, "/pairs"))
    first = wall[wall.index('class="card pair"') :].partition("</li>")[0]
    there = client.get(f"/api/v1/compare?a={one['game']['appid']}&b={one['neighbours'][0]['game']['appid']}").get_json()
    assert one["neighbours"][0]["strength"] == there["plain"]["strength"]
    assert f"</span>{round(100 * there['plain']['strength'])} %" in first


def test_what_rounds_to_nothing_shows_no_number(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c")}).test_client()
    strengths = {one["game"]["appid"]: one["strength"] for one in results(client, "/api/v1/games/30/neighbours")}
    assert {round(100 * strength) == 0 for strength in strengths.values()} == {True, False}
    page = text(client, "/render/30/6")
    for appid in re.findall(r'id="number-\d+" data-appid="(\d+)"', page):
        percent = round(100 * strengths[int(appid)])
        assert likeness_on(page, int(appid))[0] == (f"{percent} %" if percent else "")


# -- pairs and comparisons -------------------------------------------------------------------------------------------


def test_pairs_are_alike_of_different_series_and_each_game_is_in_one(client, gallery):
    site = client.application.extensions["catalogue"].site
    entries = results(client, "/api/v1/pairs")
    strengths = [one["neighbours"][0]["strength"] for one in entries]
    assert strengths == sorted(strengths, reverse=True)
    pairs = [(one["game"]["appid"], one["neighbours"][0]["game"]["appid"]) for one in entries]
    assert len({appid for pair in pairs for appid in pair}) == 2 * len(pairs)
    for one, other in pairs:
        first, second = (site.catalogue.games[site.catalogue.row_of(appid)] for appid in (one, other))
        assert first.listed("franchise") != second.listed("franchise")
        assert first.popularity >= second.popularity
    assert not any(one["neighbours"][0]["is_weak"] for one in entries)


def test_two_games_are_compared_also_those_that_are_no_look_alikes(client):
    known = results(client, f"/api/v1/games/{GAME}/neighbours?n=20&view=artwork")[5]
    answer = client.get(f"/api/v1/compare?a={GAME}&b={known['game']['appid']}").get_json()
    assert answer["artwork"]["similarity"] == known["similarity"]
    far = client.get("/api/v1/similar", query_string={"game": GAME, "n": 71}).get_json()["results"][-1]
    answer = client.get(f"/api/v1/compare?a={GAME}&b={far['game']['appid']}").get_json()
    assert answer["similarity"] == pytest.approx(far["similarity"], abs=1e-5)
    back = client.get(f"/api/v1/compare?a={far['game']['appid']}&b={GAME}").get_json()
    assert back["similarity"] == pytest.approx(answer["similarity"], abs=1e-6)
    assert "No more alike than a random pair." in text(client, f"/compare/{GAME}/{far['game']['appid']}")


@pytest.mark.parametrize(("a", "b", "status"), [(GAME, GAME, 400), (GAME, 5, 404), (5, GAME, 404), (0, 0, 404)])
def test_what_cannot_be_compared_is_said(client, a, b, status):
    text(client, f"/compare/{a}/{b}", status)
    assert client.get(f"/api/v1/compare?a={a}&b={b}").status_code == status


def test_without_similarities_nothing_is_made_up(tmp_path):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c", similarities=False)}).test_client()
    assert "How alike they are is not known." in text(client, "/compare/10/30")
    assert client.get("/api/v1/compare?a=10&b=30").get_json()["plain"]["strength"] is None
    assert client.get("/api/v1/pairs").get_json()["results"] == []
    assert "/pairs" not in text(client, "/hubs")
