import json
from pathlib import Path

from msgspec.structs import replace

from banners.games_csv import Game
from banners.steam.api import Item
from banners.steam.download import File, Journal, Settled, foreign, games, to_ask

DAY = 24 * 3600.0


def settled(appid: int, file: str, image: str = "vertical 1x", at: float = 0.0) -> Settled:
    return Settled(Item(appid, "x"), image, file, "p", '"e"', at, 7 if file else 0)


def test_what_is_settled_is_not_asked_for_again_until_it_is_old_or_gone_or_of_another_kind():
    done = {
        10: settled(10, "10.jpg", at=9 * DAY),
        20: settled(20, "20.jpg", at=1 * DAY),  # too long ago
        30: settled(30, "30.jpg", at=9 * DAY),  # its file is gone
        40: settled(40, "40.jpg", "horizontal 1x", at=9 * DAY),
        50: settled(50, "", at=9 * DAY),  # not on the server
        60: settled(60, "", at=1 * DAY),  # not on the server, long ago
    }
    files = {appid: File(Path(f"folder/{appid}.jpg"), 7) for appid in (10, 20, 40)}
    listed = {appid: Item(appid) for appid in (10, 20, 30, 40, 50, 60, 70)}
    asked = to_ask(listed, done, files, "vertical 1x", now=10 * DAY, recheck_days=7)
    assert asked == [20, 30, 40, 60, 70]


def test_a_journal_keeps_the_last_line_of_each_game_and_forgets_what_a_kill_cut_short(tmp_path):
    journal = Journal(tmp_path)
    journal.append(settled(10, "10.png"))
    journal.append(settled(20, "20.jpg"))
    journal.append(settled(10, "10.jpg"))
    path = tmp_path / ".fetch.jsonl"
    path.write_text(path.read_text() + '{"item": {"appid": 30, "na')
    journal = Journal(tmp_path)
    assert journal.settled == {10: settled(10, "10.jpg"), 20: settled(20, "20.jpg")}
    journal.append(settled(40, ""))
    assert [json.loads(line)["item"]["appid"] for line in path.read_text().splitlines()] == [10, 20, 40]


def test_a_journal_that_is_nonsense_is_empty(tmp_path):
    (tmp_path / ".fetch.jsonl").write_bytes(b'\xff\xfe\n[]\n{"item": 3}\n{}\nnull\n{"item": {"appid": 0}}\n')
    assert Journal(tmp_path).settled == {}


def test_what_a_run_learns_replaces_what_was_known_and_what_it_does_not_learn_stays():
    earlier = {
        10: Game(10, "Mine", {"popularity": 5, "series": "s", "descriptors": "3"}),
        20: Game(20, "Other", {"year": 1999}),
    }
    listed = {
        10: Item(10, is_known=False),
        30: Item(30, "Thirty", popularity=70, is_known=False),
        40: Item(40, "Forty", popularity=4, paths=("h/c.jpg?t=2", "library_600x900.jpg"), path_2x="h/c_2x.jpg?t=2"),
        620: Item(620),
    }
    done = {
        10: Settled(Item(10, "Ten", 2001, (), ("p",)), "vertical 1x", "10.jpg", "p", "", 0.0),
        40: Settled(Item(40, "Old name"), "vertical 1x", "40.jpg", "h/c.jpg?t=1", "", 0.0),
    }
    merged = {game.appid: game for game in games(earlier, listed, {30}, done)}
    table = {"series": "s", "descriptors": "3", "year": 2001, "image_path": "p", "image_path_2x": ""}
    assert merged == {
        10: Game(10, "Ten", {"popularity": 5, **table, "source": "steam"}),
        20: earlier[20],
        30: Game(30, "Thirty", {"benchmark": "1", "source": "steam"}),  # owners are no reviews
        40: Game(
            *(40, "Forty"),
            {"popularity": 4, "image_path": "h/c.jpg?t=1", "image_path_2x": "h/c_2x.jpg?t=2", "source": "steam"},
        ),
        620: Game(620, "", {"benchmark": "1", "source": "steam"}),
    }


def test_the_larger_image_of_another_path_is_not_that_of_the_one_that_was_fetched():
    listed = {40: Item(40, "Forty", paths=("h/c.jpg", "library_600x900.jpg"), path_2x="h/c_2x.jpg")}
    done = {40: Settled(listed[40], "vertical 1x", "40.jpg", "library_600x900.jpg", "", 0.0)}
    earlier = {40: Game(40, "Forty", {"image_path": "h/c.jpg", "image_path_2x": "h/c_2x.jpg"})}
    known = games(earlier, listed, set(), done)[0].columns
    assert (known["image_path"], known["image_path_2x"]) == ("library_600x900.jpg", "")


def test_new_art_is_asked_for_before_its_time():
    entry = replace(settled(10, "10.jpg"), path="h/c.jpg?t=1")
    files = {10: File(Path("10.jpg"), 7)}
    for path, is_asked in (("h/c.jpg?t=1", False), ("h/c.jpg?t=2", True), ("other/c.jpg?t=1", True)):
        listed = {10: Item(10, paths=(path, "library_600x900.jpg"))}
        assert to_ask(listed, {10: entry}, files, "vertical 1x", now=1, recheck_days=7) == [10] * is_asked
    listed = {10: Item(10, is_known=False)}
    assert to_ask(listed, {10: entry}, files, "vertical 1x", now=1, recheck_days=7) == []


def test_files_that_the_journal_does_not_name_are_somebody_elses():
    files = {appid: File(Path(f"{appid}.jpg"), 7) for appid in (10, 20, 30, 40, 50, 60)} | {
        70: File(Path("70.png"), 7),
    }
    done = {
        10: settled(10, "10.jpg"),
        20: settled(20, ""),  # was not on the server; the file came later
        60: settled(60, "60.jpg"),
        70: settled(70, "70.jpg"),
    }
    rows = {
        30: Game(30, "", {"source": "steam", "image_path": "p"}),  # the journal was lost
        40: Game(40, "", {"source": "steam"}),  # never fetched
        60: Game(60, "", {"source": "local"}),
    }
    assert foreign(files, done, rows) == {20, 40, 50, 60, 70}


def test_a_file_of_another_length_than_the_journal_says_is_asked_for_again():
    entry = replace(settled(10, "10.jpg"), length=8)
    for length, asked in ((8, []), (7, [10]), (0, [10])):
        files = {10: File(Path("10.jpg"), length)}
        assert to_ask({10: Item(10)}, {10: entry}, files, "vertical 1x", now=1, recheck_days=7) == asked
