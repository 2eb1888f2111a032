import csv
import io
import os
import threading
from pathlib import Path

import pytest

from banners.errors import BadInput, Unavailable
from banners.games_csv import (
    Game,
    folder_at,
    games_at,
    games_table,
    parse_appid,
    read_appids,
    read_banners_folder,
    read_games,
    read_table,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["0", "-1", "01", "4294967296", "1.5", "", "٣", "1e3", "ten", "9" * 5000])
def test_an_appid_is_a_canonical_whole_number_from_1_to_32_bits(text):
    with pytest.raises(BadInput):
        parse_appid(text)


def test_the_largest_appid_is_accepted():
    assert parse_appid("4294967295") == 4294967295


def test_games_keep_their_further_columns(tmp_path):
    path = write(tmp_path / "games.csv", "appid,name,popularity,series\n10,Half-Life,7000000000000,hl\n20,Portal,,\n")
    assert read_games(path) == {
        10: Game(10, "Half-Life", {"popularity": 7_000_000_000_000, "series": "hl"}),
        20: Game(20, "Portal", {}),
    }


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path):
    path = tmp_path / "games.csv"
    path.write_bytes("appid,name\r\n10,Ü\r\n".encode("utf-8-sig"))
    assert read_games(path) == {10: Game(10, "Ü")}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("AppID , title\n10,x\n", "line 1 lacks the column name; it has: appid, title"),
        ("", "line 1 lacks the column appid and name; it has: nothing"),
        ("appid,name\n10,x\nx,y\n", "line 3: 'x' is not an appid"),
        ("appid,name\n10,x\n10,y\n", "line 3: it repeats the appid 10"),
        ("appid,name\n10,x\n0,y\n", "line 3: '0' is not an appid"),
        ("appid,name\n4294967296,x\n", "line 2: '4294967296' is not an appid"),
        ('appid,name\n10,"two\nlines"\n0,y\n', "line 4: '0' is not an appid"),
        ("appid,name\n10,a,b\n", "line 2: it has 3 cells, the header has 2"),
        ('appid,name\n10,"a\n', "is malformed"),
        ('appid,name\n10,a\n20,"b"c\n', "line 3 is malformed"),
        ("appid,name,name\n10,a,b\n", "line 1 names a column twice"),
    ],
)
def test_a_malformed_games_csv_is_refused_with_its_line(tmp_path, text, complaint):
    with pytest.raises(BadInput, match=complaint):
        read_games(write(tmp_path / "games.csv", text))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark"])
@pytest.mark.parametrize("before", ["", "sep={}\r\n", '"sep={}"\n', "\r\n  \r\n", ";;;\n"])
def test_tables_of_spreadsheets_are_read(tmp_path, delimiter, encoding, before):
    rows = [
        [" AppID", "Name ", "", "YEAR", "Popularity", ""],
        ["620.0", "Pørtal; 2, \tthe", "", "2011-04-18", "1,500,000", ""],
        [""] * 6,
        ["00730", "CS", "", "", "", ""],
        ["", "", "", "", "", "", ""],
        ["10", "Ten"],
    ]
    table = io.StringIO()
    csv.writer(table, delimiter=delimiter).writerows(rows)
    text = before.format(delimiter) + table.getvalue()
    mark, encoding = ("\ufeff", "utf-16-be") if "mark" in encoding else ("", encoding)
    (tmp_path / "games.csv").write_bytes((mark + text).encode(encoding))
    assert read_games(tmp_path / "games.csv") == {
        620: Game(620, "Pørtal; 2, \tthe", {"year": 2011, "popularity": 1_500_000}),
        730: Game(730, "CS"),
        10: Game(10, "Ten"),
    }


@pytest.mark.parametrize(
    ("text", "year"),
    [
        *(("2011", 2011), ("2011.0", 2011), ("2011-04-18", 2011), ("18.04.2011", 2011), ("Apr 18, 2011", 2011)),
        *(("2011-04-18T10:00:00Z", 2011), ("Q4 2011", 2011), ("0", 0), ("nan", None), ("", None)),
    ],
)
def test_the_year_of_a_date_is_a_year(tmp_path, text, year):
    game = read_games(write(tmp_path / "games.csv", f'appid,name,year\n10,x,"{text}"\n'))[10]
    assert game.columns.get("year") == year


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("1500000", 1_500_000), ("1,500,000", 1_500_000), ("1.5E+06", 1_500_000), ("1.500.000", 1_500_000)),
        *(("1 500 000", 1_500_000), ("1\u202f500\u202f000", 1_500_000), ("12.0", 12), ("1,500", 1500), ("N/A", None)),
    ],
)
def test_numbers_are_read_as_programs_and_people_write_them(tmp_path, text, number):
    game = read_games(write(tmp_path / "games.csv", f'appid,name,popularity\n10,x,"{text}"\n'))[10]
    assert game.columns.get("popularity") == number


@pytest.mark.parametrize("text", ["many", "-5", "1.5", "1e99", "1,50", "inf", "٣", "9" * 5000, "1e-3"])
def test_what_is_no_number_is_empty_and_said_with_its_line(tmp_path, text):
    table = read_table(write(tmp_path / "games.csv", f'appid,name,popularity,year\n1,x,5,\n10,x,"{text}",soon\n'))
    assert table.games == {1: Game(1, "x", {"popularity": 5}), 10: Game(10, "x")}
    assert table.left_out == ()
    assert table.unread == (
        f"line 3: popularity is {text[:40]!r}, not a whole number; it is taken for empty",
        "line 3: year is 'soon', not a year or a date; it is taken for empty",
    )


@pytest.mark.parametrize("text", ["1091500", "1,091,500", "1091500.0", "01091500", "1091500.", "1.091.500"])
def test_the_appid_of_a_table_is_read_where_its_meaning_is_clear(tmp_path, text):
    assert list(read_games(write(tmp_path / "games.csv", f'appid,name\n"{text}",x\n'))) == [1091500]


@pytest.mark.parametrize("text", ["1.0915E+06", "620.5", "-620", "#620", "620 730", ""])
def test_an_appid_that_might_be_another_is_not_guessed(tmp_path, text):
    table = read_table(write(tmp_path / "games.csv", f'appid,name\n"{text}",x\n'))
    assert table.games == {}
    assert table.left_out[0].startswith(f"line 2: {text!r} is not an appid")


def test_rows_that_cannot_be_read_are_left_out_each_with_its_line(tmp_path):
    path = write(
        tmp_path / "games.csv", 'appid,name\n1,a\nx,b\n2,"b"c\n3,"two\nlines"\n1,again\n4,d,e\n5,f,\n6,"g\n7,h\n'
    )
    table = read_table(path)
    assert {appid: game.name for appid, game in table.games.items()} == {1: "a", 3: "two\nlines", 5: "f"}
    assert [text.partition(":")[0] for text in table.left_out] == [
        *("line 3", "line 4 is malformed", "line 7", "line 8", "line 10 is malformed")
    ]


def test_who_writes_a_table_anew_loses_no_cell_of_it(tmp_path):
    write(tmp_path / "games.csv", "appid,name,year\n10,x,soon\n")
    games = games_at(tmp_path)
    assert (games[10].columns["year"], games[10].popularity) == ("soon", 0)
    assert b"soon" in games_table(games.values())


@pytest.mark.parametrize(("text", "marked"), [("1", "1"), ("True", "True"), ("0", None), ("False", None), ("no", None)])
def test_a_mark_of_no_is_none(tmp_path, text, marked):
    game = read_games(write(tmp_path / "games.csv", f"appid,name,benchmark\n10,x,{text}\n"))[10]
    assert game.columns.get("benchmark") == marked


def test_why_no_game_has_a_name_is_said(tmp_path):
    (tmp_path / "10.jpg").touch()
    assert read_banners_folder(tmp_path).no_table == "there is no games.csv, so no game has a name"
    write(tmp_path / "Games.CSV", "appid,name\n10,x\n")
    assert read_banners_folder(tmp_path).no_table == "Games.CSV is not called games.csv, so no game has a name"


def test_two_hundred_thousand_rows_are_read(tmp_path):
    rows = "".join(f"{appid},Game {appid},{appid % 7}\n" for appid in range(1, 200_001))
    games = read_games(write(tmp_path / "games.csv", "appid,name,popularity\n" + rows))
    assert len(games) == 200_000
    assert games[200_000] == Game(200_000, "Game 200000", {"popularity": 3})


def test_a_table_of_games_is_read_as_it_was_written(tmp_path):
    games = [Game(20, 'A "quoted", name\nof two lines', {"year": 7, "mine": "x"}), Game(3, "Ü 五", {"source": "demo"})]
    (tmp_path / "games.csv").write_bytes(games_table(games))
    assert (tmp_path / "games.csv").read_bytes().startswith(b"appid,name,source,year,mine\n3,")
    assert read_games(tmp_path / "games.csv") == {game.appid: game for game in games}


def test_a_games_csv_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "games.csv").write_bytes("appid,name\n10,Ü\n".encode("latin-1"))
    with pytest.raises(BadInput, match="not UTF-8"):
        read_games(tmp_path / "games.csv")


def test_a_folder_is_listed_by_appid_with_what_does_not_fit(tmp_path):
    for name in ("100.JPG", "20.png", "3.webp", "20.jpg", "cover.jpg", "7.gif", "8", "notes.txt", ".9.jpg", "5.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "4.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "9.jpg").mkdir()
    (tmp_path / "007").mkdir()
    (tmp_path / "more").mkdir()
    for name in ("620p.jpg", "620_library_600x900.jpg", "730p.jpg", "00620.jpg"):
        (tmp_path / name).touch()
    write(tmp_path / "games.csv", "appid,name\n20,Twenty\n50,Fifty\n")
    folder = read_banners_folder(tmp_path)
    assert [banner.appid for banner in folder.banners] == [3, 5, 20, 100]
    assert dict(folder.misnamed) == {
        "00620.jpg": "its appid has leading zeros",
        "20.png": "appid 20 is already given by 20.jpg",
        "4.jpg": "it is not a regular file; the same of 1 other: 9.jpg",
        "620_library_600x900.jpg": "its name is not an appid, as in 620.jpg; the same of 3 others: 620p.jpg, 730p.jpg,"
        " cover.jpg",
        "7.gif": "banners end in .jpg, .jpeg, .png, .webp; the same of 1 other: 8",
    }
    assert (folder.subfolders, folder.misnamed_files) == (2, 10)
    assert folder.banners_without_row == [3, 5, 100]
    assert folder.rows_without_banner == [50]


def test_a_missing_folder_and_a_file_in_its_place_are_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot read the banners folder"):
        read_banners_folder(tmp_path / "none")
    with pytest.raises(BadInput, match="Not a directory"):
        read_banners_folder(write(tmp_path / "file", ""))


@pytest.mark.parametrize(
    ("name", "descriptors", "adult"),
    [
        ("Portal", "", False),
        ("Portal", "1;2;5", False),
        ("Portal", "1;3", True),
        ("Portal", "[4]", True),
        ("Portal", "34", False),
        ("HENTAI Puzzle", "", True),
        ("Essex Farm", "", False),
    ],
)
def test_adult_games_are_told_by_descriptors_or_by_name(name, descriptors, adult):
    assert Game(10, name, {"descriptors": descriptors}).is_adult is adult


@pytest.mark.parametrize(
    "url",
    [
        "nosuch://bucket",
        "http://[::1",
        "http://127.0.0.1:9/banners",
        "ftp://127.0.0.1:9/banners",
        "gs://bucket",
        "sftp://127.0.0.1:9/banners",
        "reference://x",
        "zip://a::file:///no/such.zip",
        "file:///no/such/folder",
        "://",
    ],
)
@pytest.mark.filterwarnings("ignore:.*filesystem not explicitly implemented")
def test_a_url_that_cannot_be_read_is_a_mistake_in_one_line(url):
    with pytest.raises((BadInput, Unavailable)) as caught:
        read_banners_folder(folder_at(url))
    assert "\n" not in str(caught.value)


def test_a_list_of_appids_may_come_through_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("10\n# 20\n30\n",))
    writer.start()
    assert read_appids(pipe) == {10, 30}
    writer.join()


def test_a_games_csv_that_leads_nowhere_is_not_passed_over(tmp_path):
    (tmp_path / "games.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"cannot read .*games\.csv: No such file"):
        read_banners_folder(tmp_path)
