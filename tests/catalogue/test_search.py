import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from banners.catalogue.games_db import Games, write_games_db
from banners.catalogue.names import fold, named_by_address
from banners.catalogue.search import MOST_COUNTED
from banners.games_csv import Game


def index(*names: str, popularity: dict[str, int] | None = None) -> Games:
    known = popularity or {}
    return of([Game(10 + 10 * row, name, {"popularity": known.get(name, 0)}) for row, name in enumerate(names)])


def of(games: list[Game]) -> Games:
    with tempfile.TemporaryDirectory() as folder:
        write_games_db(Path(folder) / "games.db", games)
        return Games(Path(folder) / "games.db")  # stays open


def find(names: Games, query: str) -> list[int]:
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


@pytest.mark.parametrize(
    "query", ["drgon", "drgaon", "dragin", "ddragon", "drgon quest", "quset dragon", "quest drgon"]
)
def test_a_mistyped_word_is_taken_for_the_one_that_it_is_nearest_to(query):
    """Wherever it stands in the name, and however long that is."""
    names = index(
        *("Ages of War and Peace", "The Very Long Quest for the Last Dragon of the Northern Mountains", "Drag Race"),
        *("Quest for Gold", "Dragon Quest Builders and the Extraordinarily Long Subtitle of It"),
        popularity={"Drag Race": 99, "Dragon Quest Builders and the Extraordinarily Long Subtitle of It": 9},
    )
    found = names.search(query)
    assert found.approximate
    assert found.rows[:2] == [4, 1]


def test_of_words_that_names_have_but_none_has_together_any_may_be_mistyped():
    names = index("Dark Souls", "Draken", "Soulcalibur", "Drakensang and a Subtitle")
    assert find(names, "drak souls")[0] == 0
    assert find(names, "dark sould")[0] == 0


def test_a_title_with_one_typo_comes_before_others_with_the_word():
    names = index("Portal Knights", "Portal", "Portal 2", popularity={"Portal Knights": 9})
    assert find(names, "protal")[0] == 1
    assert find(names, "portl 2")[0] == 2


def test_short_words_and_numbers_are_not_mistyped():
    assert find(index("War", "Wax", "Game 2016"), "wat") == []
    assert find(index("Car Game 2016 with a Long Name"), "2017 car") == []


def test_many_mistyped_words_take_bounded_time():
    names = index(*(f"Word{number:05}x Other{number % 97}" for number in range(20_000)))
    begun = time.perf_counter()
    names.search(" ".join(f"wrod{number:05}" for number in range(40)))
    assert time.perf_counter() - begun < 2


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


def test_results_are_counted_up_to_a_bound_that_their_pages_end_at():
    names = index(*(f"Game {number}" for number in range(MOST_COUNTED + 100)))
    assert names.search("gam").total == names.search("game").total == MOST_COUNTED
    assert len(names.search("game", limit=100, offset=MOST_COUNTED - 10).rows) == 10


def test_an_empty_catalogue_of_names_can_be_searched():
    assert find(index(""), "portal") == []


def test_every_real_name_finds_its_game(steam_2021):
    appids = np.load(steam_2021 / "app_ids.npy").tolist()
    names = json.loads((steam_2021 / "app_names.json").read_text())
    games = [Game(appid, name) for appid, name in zip(appids, names, strict=True)]
    built = of(games)
    for row in range(0, len(games), 61):
        if fold(names[row]):
            found = built.search(names[row]).rows
            assert names[row] in [names[other] for other in found], names[row]
    for row in range(0, len(games), 977):
        assert built.search(str(appids[row])).rows[0] == row
    assert names[built.search("witcher 3").rows[0]].startswith("The Witcher® 3")
    assert names[built.search("stardew vally").rows[0]] == "Stardew Valley"


def test_initials_and_nicknames_are_understood():
    names = index(
        "Counter-Strike: Global Offensive",
        "Grand Theft Auto V",
        "Red Dead Redemption 2",
        "PLAYERUNKNOWN'S BATTLEGROUNDS",
        "METAL GEAR SOLID V: THE PHANTOM PAIN",
        "Age of Empires II: HD Edition",
        "Left 4 Dead 2",
        "World at Rest",
        "War Thunder",
    )
    for query, row in (
        ("csgo", 0),
        ("CS:GO", 0),
        ("gta 5", 1),
        ("gta5", 1),
        ("gta v", 1),
        ("rdr2", 2),
        ("pubg", 3),
        ("mgs5", 4),
        ("mgsv", 4),
        ("aoe2", 5),
        ("l4d2", 6),
    ):
        assert find(names, query)[:1] == [row], query


def test_an_alias_never_hides_a_game_of_that_name():
    names = index("League of Legends", "LOL", "Path of Exile", "Poe", popularity={"League of Legends": 9})
    assert find(names, "lol") == [1, 0]
    assert find(names, "poe") == [3, 2]


def test_names_that_differ_in_case_only_are_found_as_they_are_typed():
    names = index("ROOT", "Root", "Root Letter", popularity={"ROOT": 9})
    assert find(names, "Root")[:2] == [1, 0]
    assert find(names, "ROOT")[:2] == [0, 1]
    assert names.titled("Root") == [1, 0]


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("gta san andreas", 0),
        ("cod black ops 2", 1),
        ("cs source", 2),
        ("wh40k dawn of war", 3),
        ("ffvii", 4),
        ("rainbow 6", 5),
        ("mountblade", 6),
        ("metrolastlight", 7),
        ("dawn of war goty", 3),
    ],
)
def test_aliases_of_single_words_glued_words_and_extra_words_are_understood(query, row):
    names = index(
        "Grand Theft Auto: San Andreas",
        "Call of Duty®: Black Ops II",
        "Counter-Strike: Source",
        "Warhammer 40,000: Dawn of War",
        "FINAL FANTASY VII",
        "Tom Clancy's Rainbow Six Siege",
        "Mount & Blade",
        "Metro: Last Light Redux",
    )
    assert find(names, query)[0] == row


def test_the_total_counts_each_game_once():
    names = index("Portal", "Portal 2", "Portal Knights", "The Portal")
    found = names.search("portal", limit=2)
    assert (found.rows, found.total) == ([0, 1], 4)
    assert names.search("20", limit=1).total == 1


def test_an_unfinished_word_may_be_a_roman_numeral_by_chance():
    names = index("Victory", "Final Fantasy VI", "Viking VI", "6 Days")
    assert set(find(names, "vi")) == {0, 1, 2, 3}
    assert names.search("vi").total == 4
    assert find(names, "viking vi") == [2]
    assert find(names, "vi viking") == [2]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("stalker", "S.T.A.L.K.E.R.: Shadow of Chernobyl"),
        ("stalker shadow", "S.T.A.L.K.E.R.: Shadow of Chernobyl"),
        ("s.t.a.l.k.e.r", "S.T.A.L.K.E.R.: Shadow of Chernobyl"),
        ("s t a l k e r shadow", "S.T.A.L.K.E.R.: Shadow of Chernobyl"),
        ("fear 3", "F.E.A.R. 3"),
        ("worms wmd", "Worms W.M.D"),
        ("la noire", "L.A. Noire: The VR Case Files"),
        ("delta v", "ΔV: Rings of Saturn"),
        ("δv rings", "ΔV: Rings of Saturn"),
        ("delta time", "Δ Time"),
        ("rode", "Røde"),
        ("røde", "Røde"),
        ("lodz", "Łódź"),
        ("łódź", "Łódź"),
        ("aesir", "Æsir"),
        ("thor", "Þór"),
        ("dorde", "Đorđe"),
        ("savasci", "Son Savaşçı"),
        ("귀환", "화산귀환"),
        ("화산 귀환", "화산귀환"),
        ("화사", "화산귀환"),
        ("ภัย", "ผจญภัยในป่า"),
        ("ในป่า", "ผจญภัยในป่า"),
        ("ผจญภัย", "ผจญภัยในป่า"),
        ("खोज", "महान खोज"),
    ],
)
def test_names_are_found_as_people_without_their_letters_or_blanks_type_them(query, name):
    names = index("Something else", "Stars 3 of Fear", name, "Delta Force", "화산 고래")
    found = names.search(query)
    assert (2 in found.rows, found.approximate) == (True, False)


def test_the_ideographs_of_a_query_count_in_their_order_first():
    popular = {"国三": 9, "三人国": 8}
    names = index("国三", "三人国", "新三国志", "三国", popularity=popular)
    assert find(names, "三国") == [3, 2, 1, 0]
    assert find(names, "三国志") == [2]


@pytest.mark.parametrize(
    "address",
    [
        "https://store.steampowered.com/app/620/Portal_2/",
        "http://store.steampowered.com/app/620",
        "store.steampowered.com/app/620?curator_clanid=" + "9" * 300,
        "https://store.steampowered.com/agecheck/app/620/",
        "HTTPS://STORE.STEAMPOWERED.COM/APP/620/",
        "https://steamcommunity.com/app/620/discussions/",
        "https://steamdb.info/app/620/",
        "https://steamdb.info/app/620/charts/#max",
        "steam://rungameid/620",
        "steam://run/620//-novid",
        "steam://nav/games/details/620",
        "steam://store/620",
        "app/620",
        " /app/620/ ",
        "https://store.steampowered.com/app/６２０/",
    ],
)
def test_the_address_of_a_page_names_its_game(address):
    names = of([Game(10, "App 620"), Game(620, "Portal 2"), Game(6200, "Another")])
    found = names.search(address)
    assert (found.rows, found.total) == ([1], 1)
    assert names.titled(address) == [1]
    other = address.replace("620", "621").replace("６２０", "６２１")
    assert (names.search(other).rows, names.titled(other)) == ([], [])


def test_an_appid_may_be_typed_in_full_width_digits():
    assert find(of([Game(620, "Portal 2"), Game(700, "Other")]), "６２０") == [0]


@pytest.mark.parametrize("text", ["app", "app/", "apps/x", "steam://", "https://example.com/app/620", "my app/620 b"])
def test_other_texts_are_no_addresses(text):
    assert named_by_address(text) is None
