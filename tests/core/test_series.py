"""Which games are of one series."""

import pytest

from banners.games_csv import Game
from banners.series import names_begin_alike, same_series
from tests.core.series_pairs import HIDDEN, KNOWN, UNRELATED


def test_most_pairs_of_well_known_series_are_recognised():
    assert len(KNOWN) == 60
    assert sum(names_begin_alike(one, other) for one, other in KNOWN) >= 54


def test_nearly_all_pairs_that_the_rule_hides_are_of_one_series():
    assert len(HIDDEN) == 100
    assert all(names_begin_alike(one, other) for one, other in HIDDEN)
    assert sum(one not in UNRELATED for one, _ in HIDDEN) >= 95


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dark Souls", "Dark Messiah"),
        ("The Labyrinth", "Labyrinth"),
        ("Escape from Tarkov", "Escape from Space"),
        ("Space Station Continuum", "Space Station Designer"),
        ("World of Warships", "World of Guns"),
        ("Star Wars", "Starbound"),
        ("", ""),
        ("", "Portal"),
        ("2", "2"),
        ("Area 51", "Arena"),
    ],
)
def test_names_of_different_games_are_told_apart(one, other):
    assert not names_begin_alike(one, other)
    assert not names_begin_alike(other, one)


def test_what_steam_says_of_a_family_counts():
    rise = Game(1, "Rise of the Tomb Raider", {"franchise": "Tomb Raider"})
    assert same_series(rise, Game(2, "Lara Croft GO", {"franchise": "Lara Croft; tomb raider"}))
    assert not same_series(rise, Game(2, "Another", {"franchise": ""}))


@pytest.mark.parametrize(
    "known",
    [
        {"franchise": "Ubisoft", "publisher": "Ubisoft"},
        {"franchise": "UBISOFT", "developer": "Ubisoft, Inc."},
        {"franchise": "Ubisoft Co., Ltd.", "publisher": "Somebody;ubisoft"},
    ],
)
def test_a_franchise_called_like_the_games_own_company_makes_no_series(known):
    assert not same_series(Game(1, "Far Away", known), Game(2, "Watching", known))
    both = known | {"franchise": f"{known['franchise']};Real Saga"}
    assert same_series(Game(1, "Far Away", both), Game(2, "Watching", both))
    demo = Game(3, "Playable Teaser", {"parent_appid": 4})
    assert same_series(demo, Game(4, "Gothic"))
    assert same_series(Game(4, "Gothic"), demo)
    assert same_series(demo, Game(5, "Artbook", {"parent_appid": "4"}))
    assert not same_series(Game(6, "One"), Game(7, "Two"))
