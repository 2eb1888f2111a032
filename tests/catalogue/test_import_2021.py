import json
from pathlib import Path

import numpy as np
import pytest

from banners.catalogue import import_2021
from banners.catalogue.reader import open_catalogue
from banners.errors import BadInput
from banners.vectors.measures import neighbour_of
from manage_catalogue import main
from webapp import create_app


def export(folder: Path, matches: list[list[int]], name: str = "matches.npy") -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "app_ids.npy", np.arange(10, 10 + 10 * len(matches), 10, np.uint32))
    (folder / "app_names.json").write_text(json.dumps([f"Game {row}" for row in range(len(matches))]))
    with (folder / name).open("wb") as file:
        np.save(file, np.array(matches, np.uint16))
    return folder


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.uint64])
def test_the_row_itself_is_removed_by_number_wherever_it_stands(tmp_path, dtype):
    folder = export(tmp_path, [[0, 1, 2], [0, 1, 2], [1, 0, 2]])
    np.save(folder / "matches.npy", np.load(folder / "matches.npy").astype(dtype))
    read = import_2021.read_export(folder)
    assert read.neighbours["plain"].rows.tolist() == [[1, 2], [0, 2], [1, 0]]
    assert read.neighbours["plain"].rows.dtype == np.int32


def test_a_row_without_itself_keeps_all_its_matches(tmp_path):
    read = import_2021.read_export(export(tmp_path, [[1, 2, 3], [1, 0, 2], [3, 2, 0], [3, 1, 2]])).neighbours["plain"]
    assert [read.of(row).tolist() for row in range(4)] == [[1, 2, 3], [0, 2], [3, 0], [1, 2]]
    assert neighbour_of(read.rows).tolist() == [2, 2, 3, 2]
    catalogue = tmp_path / "c"
    assert main(["import-matches", str(tmp_path), str(catalogue)]) == 0
    client = create_app({"CATALOGUE": catalogue}).test_client()
    assert client.get("/matches?index=0").get_json() == [0, 1, 2, 3]
    assert client.get("/matches?index=1").get_json() == [1, 0, 2]
    for appid, count in ((10, 3), (20, 2)):
        results = client.get(f"/api/v1/games/{appid}/neighbours?hide_series=0&to=0").get_json()["results"]
        assert len(results) == count


def test_games_whose_first_match_is_another_are_identical_to_it(tmp_path):
    read = import_2021.read_export(export(tmp_path, [[0, 1, 2], [0, 1, 2], [2, 0, 1]]))
    assert read.duplicates.tolist() == [0, 0, 2]


@pytest.mark.parametrize("form", ["matches_faiss.{}.npy", "matches_faiss.npy.{}", "matches.{}.npy"])
def test_views_are_read_in_every_spelling(tmp_path, form):
    export(tmp_path, [[0, 1, 2], [1, 0, 2], [2, 1, 0]], "matches_faiss.npy")
    for letters in ("x", "xy"):
        export(tmp_path, [[1, 2, 0], [0, 2, 1], [0, 1, 2]], form.format(letters))
    read = import_2021.read_export(tmp_path)
    assert list(read.neighbours) == ["plain", "mirror", "rotate"]
    assert read.neighbours["rotate"].rows.tolist() == [[1, 2], [0, 2], [0, 1]]


def with_header(header: str) -> bytes:
    """An array file of twelve bytes of numbers."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(12)


@pytest.mark.parametrize(
    "shape",
    [
        "(-1,)",
        "(3, -4)",
        f"({10**30},)",
        "(2**62,)",
        "('x',)",
        "(1.5,)",
        "3",
        "(True,)",
        "((3,),)",
        "(" * 50,
        "(0,)",
        "()",
    ],
)
@pytest.mark.parametrize("name", ["app_ids.npy", "matches.npy"])
def test_a_header_with_an_odd_shape_is_one_line(tmp_path, capsys, name, shape):
    folder = export(tmp_path / "export", [[0, 1, 2], [1, 0, 2], [2, 0, 1]])
    (folder / name).write_bytes(with_header(f"{{'descr': '<u4', 'fortran_order': False, 'shape': {shape}}}"))
    assert main(["import-matches", str(folder), str(tmp_path / "c")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "app_ids.npy").unlink(), r"app_ids\.npy is missing"),
        (lambda f: (f / "matches.npy").unlink(), "neither matches_faiss"),
        (lambda f: (f / "matches.npy").write_bytes(b"\x93NUMPY"), "not a readable array"),
        (lambda f: (f / "app_names.json").write_text('["one"]'), "not a list of 3 names"),
        (lambda f: (f / "app_names.json").write_text("["), "not readable"),
        (lambda f: (f / "app_names.json").write_text("[" * 100_000), "not readable"),
        (lambda f: (f / "matches.npy").write_bytes(b"PK\3\4" + b"x" * 90), "not a readable array"),
        (lambda f: np.save(f / "app_ids.npy", np.array([1, 2, 3], "m8[s]")), "not whole numbers"),
        (lambda f: np.save(f / "app_ids.npy", np.uint32([3, 2, 1])), "not strictly increasing"),
        (lambda f: np.save(f / "matches.npy", np.uint16([[0, 1], [1, 9], [2, 0]])), r"in 0\.\.2"),
        (
            lambda f: np.save(f / "matches.npy", np.uint16([[0, 1], [1, 1], [2, 0]])),
            "row 1 names a match twice",
        ),
        (lambda f: np.save(f / "matches.npy", np.float32([[0, 1]] * 3)), "not whole numbers"),
    ],
)
def test_a_malformed_export_is_refused(tmp_path, spoil, complaint):
    spoil(export(tmp_path, [[0, 1, 2], [1, 0, 2], [2, 0, 1]]))
    with pytest.raises(BadInput, match=complaint):
        import_2021.read_export(tmp_path)


def test_the_published_result_is_imported_whole(tmp_path, steam_2021, capsys):
    assert main(["import-matches", str(steam_2021), str(tmp_path / "c")]) == 0
    assert "29982 games" in capsys.readouterr().out
    imported = open_catalogue(tmp_path / "c")
    matches = np.load(steam_2021 / "matches.npy").astype(int)
    rows = imported.view("plain").rows
    expected = [[match for match in row if match != own] for own, row in enumerate(matches.tolist())]
    assert rows.tolist() == expected
    assert imported.games[imported.row_of(1219280)].name == ""
    _, sizes = np.unique(imported.duplicates, return_counts=True)
    assert ((sizes > 1).sum(), sizes[sizes > 1].sum()) == (57, 120)


def test_importing_onto_something_else_is_a_mistake_of_the_user(tmp_path, capsys):
    (tmp_path / "photo.jpg").touch()
    assert main(["import-matches", str(export(tmp_path / "e", [[0, 1], [1, 0]])), str(tmp_path)]) == 2
    assert "holds other things" in capsys.readouterr().err
