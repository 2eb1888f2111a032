import pytest

from banners.steam import api as steam
from banners.steam.api import App, Item
from banners.steam.http import Client
from tests.steam.steam_server import Steam, serving

CAPSULE = {"asset_url_format": "steam/apps/10/${FILENAME}?t=1", "library_capsule": "ab12/library_capsule.jpg"}


@pytest.mark.parametrize(
    ("text", "owners"),
    [("1,000,000 .. 2,000,000", 1_500_000), ("0 .. 20,000", 10_000), ("", 0), (None, 0), ("many", 0)],
)
def test_owners_are_the_middle_of_their_range(text, owners):
    assert steam.middle_of(text) == owners


def test_a_hashed_path_comes_before_the_plain_one():
    assert steam.item_of(10, {"assets": CAPSULE}, "vertical", "1x").paths == (
        "ab12/library_capsule.jpg",
        "library_600x900.jpg",
    )


def test_kinds_and_sizes_have_their_own_paths():
    assets = CAPSULE | {"library_capsule_2x": "cd/l_2x.jpg", "header": "header.jpg", "library_hero": "ef/hero.jpg"}
    paths = {
        (kind, size): steam.item_of(10, {"assets": assets}, kind, size).paths
        for kind in steam.KINDS
        for size in steam.SIZES
    }
    assert paths["vertical", "2x"][:2] == ("cd/l_2x.jpg", "ab12/library_capsule.jpg")
    assert paths["horizontal", "1x"] == ("header.jpg",)
    assert paths["hero", "1x"] == ("ef/hero.jpg", "library_hero.jpg")
    assert paths["screenshot", "1x"] == ()


def test_a_screenshot_is_the_first_one():
    shots = {
        "all_ages_screenshots": [{"filename": "steam/apps/10/ss_1.jpg?t=5"}, {"filename": "steam/apps/10/ss_2.jpg"}]
    }
    assert steam.item_of(10, {"screenshots": shots}, "screenshot", "1x").paths == ("ss_1.jpg",)


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
    ],
)
def test_a_path_that_leads_elsewhere_is_not_taken(name):
    assert steam.item_of(10, {"assets": CAPSULE | {"library_capsule": name}}, "vertical", "1x").paths == (
        "library_600x900.jpg",
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
    for kind in steam.KINDS:
        item = steam.item_of(10, record, kind, "1x")
        assert (item.appid, item.name, item.year, item.descriptors) == (10, "", 0, ())


def test_what_is_known_of_a_game_is_read():
    record = {"name": " Half\nLife ", "content_descriptorids": [1, 3], "release": {"steam_release_date": 911_000_000}}
    assert steam.item_of(10, record, "screenshot", "1x") == Item(10, "Half Life", 1998, (1, 3), (), has_details=False)


def test_games_that_the_store_does_not_know_are_tried_by_their_plain_path():
    with serving(Steam(3)) as server:
        found = steam.items(Client(pause=0.01), steam.Addresses(api=f"{server.url}/api"), [30, 10])
    assert [item.appid for item in found] == [30, 10]
    assert found[1].name == "Game 10"


def test_the_most_played_come_first_and_the_rest_by_owners_with_a_pause_between_pages():
    pauses = []
    with serving(Steam(2500, troubles=False)) as server:
        where = steam.Addresses(spy=f"{server.url}/spy")
        apps = steam.popular(Client(pause=0.01), where, 1500, pause=60, sleep=pauses.append)
    assert len(apps) == 1500
    assert pauses == [60]
    assert all(app.in_benchmark for app in apps[:100])
    assert {app.appid for app in apps[:100]} == set(range(24_010, 25_010, 10))
    assert [app.appid for app in apps[100:103]] == [10, 20, 30]
    assert not apps[100].in_benchmark


def test_the_list_ends_where_steamspy_has_no_more():
    with serving(Steam(150, troubles=False)) as server:
        apps = steam.popular(Client(pause=0.01), steam.Addresses(spy=f"{server.url}/spy"), 5000, pause=0)
    assert len(apps) == 150
    assert apps[0] == App(510, "Game 510", 10_000_000_000, in_benchmark=True)
