import json

import numpy as np
import pytest

from banners.names import NameIndex, fold
from banners.records import Game


def index(*names: str, popularity: dict[str, int] | None = None) -> NameIndex:
    known = popularity or {}
    return NameIndex([Game(10 + 10 * row, name, {"popularity": known.get(name, 0)}) for row, name in enumerate(names)])


def find(names: NameIndex, query: str) -> list[int]:
    return names.search(query).rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Witcher® 3: Wild Hunt™", ["the", "witcher", "3", "wild", "hunt"]),
        ("Final Fantasy VII", ["final", "fantasy", "7"]),
        ("Señor Müller's Café", ["senor", "mullers", "cafe"]),
        ("GTA5", ["gta", "5"]),
        ("戦国無双", ["戦", "国", "無", "双"]),
        ("ＦＵＬＬ　Width", ["full", "width"]),
        ("Straße", ["strasse"]),
        ("🚀!?", []),
        ("", []),
    ],
)
def test_names_are_folded_to_the_words_people_type(text, words):
    assert fold(text) == words


def test_case_accents_word_order_and_unfinished_words_do_not_matter():
    names = index("Half-Life 2", "Pokémon Café", "The Witcher 3: Wild Hunt")
    assert find(names, "HALF life") == [0]
    assert find(names, "cafe pokemon") == [1]
    assert find(names, "wild wit") == [2]


def test_an_exact_appid_comes_first():
    assert find(index("Thirty", "20", "30 Days"), "30") == [2]
    assert find(index("30 Days", "20", "Other"), "30") == [2, 0]


def test_an_exact_title_comes_before_longer_ones_and_popular_before_others():
    names = index(
        "Portal Knights", "Portal 2", "Portal", "Bridge Portal", popularity={"Portal 2": 9, "Bridge Portal": 99}
    )
    assert find(names, "portal") == [2, 1, 0, 3]


def test_a_name_that_begins_with_the_word_comes_before_one_that_holds_it():
    assert find(index("Old Rust Age", "Rust Belt Saga of Old"), "rust") == [1, 0]
    assert find(index("Lost Rust", "The Rust"), "rust") == [1, 0]


def test_typos_find_what_resembles_the_query_and_say_so():
    found = index("Portal 2", "Stardew Valley", "Terraria").search("stradew vally")
    assert found.rows == [1]
    assert found.approximate


def test_two_letters_in_the_wrong_order_are_one_typo():
    assert find(index("Protagon VR", "Protagonism", "Portal", "Portal 2"), "protal")[:2] == [2, 3]


def test_cjk_queries_of_two_characters_find_names_that_hold_them():
    assert find(index("真・戦国無双", "三国志", "Portal"), "戦国") == [0]


def test_empty_endless_and_meaningless_queries_find_nothing():
    names = index("Portal", "")
    for query in ("", "   ", "\0", "!!!", "x" * 5000, "🚀", "zzzzqqqq"):
        assert find(names, query) == []


def test_pages_of_results_continue_each_other():
    names = index(*(f"Game {number}" for number in range(30)))
    whole = names.search("game", limit=30)
    assert whole.total == 30
    assert names.search("game", limit=10, offset=10).rows == whole.rows[10:20]
    assert names.search("game", limit=10, offset=500).rows == []


def test_an_empty_catalogue_of_names_can_be_searched():
    assert find(index(""), "portal") == []


def test_every_real_name_finds_its_game(steam_2021):
    appids = np.load(steam_2021 / "app_ids.npy").tolist()
    names = json.loads((steam_2021 / "app_names.json").read_text())
    games = [Game(appid, name) for appid, name in zip(appids, names, strict=True)]
    built = NameIndex(games)
    for row in range(0, len(games), 61):
        if fold(names[row]):
            found = built.search(names[row]).rows
            assert names[row] in [names[other] for other in found], names[row]
    for row in range(0, len(games), 977):
        assert built.search(str(appids[row])).rows[0] == row
    assert names[built.search("witcher 3").rows[0]].startswith("The Witcher® 3")
    assert names[built.search("stardew vally").rows[0]] == "Stardew Valley"
