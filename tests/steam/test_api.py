import pytest

from banners.steam import api
from banners.steam.api import Item, Kind, Size, Store
from banners.steam.http import Client, Unanswered
from tests.steam.steam_server import Steam, serving

CAPSULE = {"asset_url_format": "steam/apps/10/${FILENAME}?t=1", "library_capsule": "ab12/library_capsule.jpg"}


def item(record: object, kind: Kind = "vertical", size: Size = "1x", **about: str) -> Item:
    store = Store(Client(attempts=1), "http://127.0.0.1:9", kind, size, **about)
    store.tags = {}
    return store.item(10, record)


def test_a_hashed_path_comes_before_the_plain_one():
    assert item({"assets": CAPSULE}).paths == (
        "ab12/library_capsule.jpg?t=1",
        "library_600x900.jpg",
        "header.jpg",
    )


def test_kinds_and_sizes_have_their_own_paths():
    assets = CAPSULE | {"library_capsule_2x": "cd/l_2x.jpg", "header": "header.jpg", "library_hero": "ef/hero.jpg"}
    paths = {(kind, size): item({"assets": assets}, kind, size).paths for kind in api.KINDS for size in api.SIZES}
    assert paths["vertical", "2x"][:2] == ("cd/l_2x.jpg?t=1", "ab12/library_capsule.jpg?t=1")
    assert paths["horizontal", "1x"] == ("header.jpg?t=1",)
    assert paths["hero", "1x"] == ("ef/hero.jpg?t=1", "library_hero.jpg", "header.jpg?t=1")
    assert paths["screenshot", "1x"] == ()


def test_a_screenshot_is_the_first_one():
    shots = {
        "all_ages_screenshots": [{"filename": "steam/apps/10/ss_1.jpg?t=5"}, {"filename": "steam/apps/10/ss_2.jpg"}]
    }
    assert item({"screenshots": shots}, "screenshot", "1x").paths == ("ss_1.jpg?t=5",)


@pytest.mark.parametrize(
    "name",
    [
        "../../x.jpg",
        "https://evil.example/x.jpg",
        "//evil/x.jpg",
        "a b.jpg",
        "x.exe",
        "",
        None,
        7,
        "a/../b.jpg",
        "x.jpg?y",
        "x.jpg?t=1&u=2",
    ],
)
def test_a_path_that_leads_elsewhere_is_not_taken(name):
    assert item({"assets": CAPSULE | {"library_capsule": name}}).paths == (
        "library_600x900.jpg",
        "header.jpg",
    )


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"assets": 7},
        {"assets": []},
        {"release": []},
        {"release": {"steam_release_date": 10**30}},
        {"name": 5},
        {"content_descriptorids": {"a": 1}},
        {"content_descriptorids": ["3", None]},
        {"screenshots": {"all_ages_screenshots": [7]}},
    ],
)
def test_an_odd_record_is_a_game_of_which_little_is_known(record):
    for kind in api.KINDS:
        found = item(record, kind, "1x")
        assert (found.appid, found.name, found.year, found.descriptors) == (10, "", 0, ())


def test_what_is_known_of_a_game_is_read():
    record = {"name": " Half\nLife ", "content_descriptorids": [1, 3], "release": {"steam_release_date": 911_000_000}}
    assert item(record, "screenshot", "1x") == Item(10, "Half Life", 1998, (1, 3), ())


def test_the_lasting_art_comes_before_that_of_a_sale():
    sale = {"asset_url_format": "steam/apps/10/${FILENAME}?t=9", "library_capsule": "sale/library_capsule.jpg"}
    sale["library_capsule_2x"] = "sale/library_capsule_2x.jpg"
    assert item({"assets": sale, "assets_without_overrides": CAPSULE}).path_2x == ""
    found = item({"assets": sale, "assets_without_overrides": CAPSULE | {"library_capsule_2x": "ab12/l_2x.jpg"}})
    assert found.paths[:2] == ("ab12/library_capsule.jpg?t=1", "sale/library_capsule.jpg?t=9")
    assert found.path_2x == "ab12/l_2x.jpg?t=1"
    assert item({"assets": sale}).path_2x == "sale/library_capsule_2x.jpg?t=9"
    assert item({"assets": CAPSULE | {"header_2x": "x/header_2x.jpg"}}, "horizontal").path_2x == ""


def test_a_missing_banner_falls_back_to_the_plain_one_and_then_to_the_header():
    assets = CAPSULE | {"header": "ef/header.jpg"}
    assert item({"assets": assets}).paths == (
        *("ab12/library_capsule.jpg?t=1", "library_600x900.jpg", "ef/header.jpg?t=1", "header.jpg"),
    )
    plain = CAPSULE | {"library_capsule": "library_600x900.jpg"}
    assert item({"assets": plain}).paths == ("library_600x900.jpg?t=1", "header.jpg")


def test_the_year_is_that_of_the_first_release():
    release = {"steam_release_date": 1_600_000_000, "original_steam_release_date": 911_000_000}
    assert item({"release": release}).year == 1998
    assert item({"release": release | {"original_steam_release_date": 0}}).year == 2020


def test_who_ports_a_game_is_its_developer():
    names = ["Valve", "Valve (Mac)", "Aspyr (Mac/Linux)", "Aspyr (Mac, Linux & PC)", "Studio (Oslo)", "(Mac)"]
    found = item({"basic_info": {"developers": [{"name": name} for name in names]}})
    assert found.developers == ("Valve", "Aspyr", "Studio (Oslo)")


def test_a_game_that_the_store_does_not_show_says_why():
    assert item({"success": 15}, country="DE").trouble == "not sold in DE"
    assert item({"success": 1, "unvailable_for_country_restriction": True}).trouble == "not sold in US"
    assert item({"success": 2}).trouble == "hidden or gone (success 2)"
    assert item({"success": {"a": 1}}).trouble.startswith("hidden or gone")
    assert item({}).trouble == ""


def test_popularity_is_the_number_of_reviews():
    def reviews(**counts: object) -> int:
        return item(
            {"reviews": {f"summary_{kind}": {"review_count": count} for kind, count in counts.items()}}
        ).popularity

    assert reviews(unfiltered=1200, filtered=1000) == 1200
    assert reviews(filtered=1000) == 1000
    assert reviews(unfiltered="9", filtered=-1) == reviews(unfiltered=10**20) == 0


# -- lists ----------------------------------------------------------------------------------------------------------


def asked(server: Steam, most: int | None = None) -> tuple[dict[int, Item], str, list[tuple[int, int]]]:
    pages: list[tuple[int, int]] = []
    store = Store(Client(pause=0.01, attempts=3), f"{server.url}/api")
    found, gap = store.query(2, most, on_page=lambda *at: pages.append(at))
    return found, gap, pages


def test_the_store_lists_its_games_with_their_details():
    with serving(Steam(1300, troubles=False)) as server:
        found, gap, pages = asked(server)
        assert (list(found), gap) == (server.appids, "")
        assert pages == [(500, 1300), (1000, 1300), (1300, 1300)]
        assert found[40] == Item(
            *(40, "Game 40", 2020, (), ("library_600x900.jpg", "header.jpg"), "", 1297),
            developers=("Studio 5", "A, B"),
            publishers=("House",),
            franchises=("Saga",),
            tags=("Action", "Adventure, Story"),
        )
        assert [question["query"]["start"] for question in server.questions] == [0, 500, 1000]


def test_of_the_popular_ones_no_more_is_asked_for_than_needed():
    with serving(Steam(1300, troubles=False)) as server:
        found, gap, pages = asked(server, most=700)
        assert (list(found), gap) == (server.appids[:700], "")
        assert pages == [(500, 700), (1000, 700)]


@pytest.mark.parametrize("trouble", ["empty", "repeat"])
def test_an_odd_page_is_asked_for_again(trouble):
    with serving(Steam(1300, troubles=False, page_troubles={0: ["empty"], 500: [trouble] * 2})) as server:
        found, gap, _ = asked(server)
        assert (list(found), gap) == (server.appids, "")


@pytest.mark.parametrize("trouble", ["empty", "repeat"])
def test_a_page_that_does_not_come_ends_the_list_which_says_so(trouble):
    with serving(Steam(1300, troubles=False, page_troubles={500: [trouble] * 9})) as server:
        found, gap, _ = asked(server)
        assert list(found) == server.appids[:500]
        assert gap.startswith("the list ends after 500 of 1300 games: ")


def test_games_that_join_the_list_while_it_is_read_push_none_out_of_it():
    with serving(Steam(1300, troubles=False, hidden={10, 20}, page_troubles={500: ["grow"]})) as server:
        found, gap, _ = asked(server)
        assert (sorted(found), gap) == (server.appids[2:], "")
        assert len(server.questions) == 3


def test_a_record_that_is_none_ends_no_list():
    with serving(Steam(700, troubles=False, odd_records=frozenset({400, 6990}))) as server:
        found, gap, _ = asked(server)
        assert (list(found), gap) == ([appid for appid in server.appids if appid not in (400, 6990)], "")
        assert len(server.questions) == 2


@pytest.mark.parametrize(("count", "start"), [(1300, 500), (1300, 1000), (1000, 500), (503, 500)])
def test_games_that_leave_the_list_while_it_is_read_cost_no_other(count, start):
    with serving(Steam(count, troubles=False, page_troubles={start: ["shrink"]})) as server:
        found, gap, _ = asked(server)
        assert (sorted(found), gap) == (server.appids, "")


def test_a_store_that_does_not_answer_has_no_list():
    with serving(Steam(3, query_down=True)) as server, pytest.raises(Unanswered, match="status 500"):
        asked(server)


def test_games_that_the_store_does_not_know_are_tried_by_their_plain_path():
    with serving(Steam(3)) as server:
        store = Store(Client(pause=0.01), f"{server.url}/api")
        found = store.items([30, 10])
    assert list(found) == [30, 10]
    assert found[10].name == "Game 10"
