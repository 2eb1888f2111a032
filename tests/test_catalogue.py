import io
import json
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from banners import catalogue
from banners.catalogue.neighbours import nearest
from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnknownGame
from banners.files import locked
from banners.games_csv import Game

EMBEDDINGS = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
GAMES = [Game(10, "Ten", {"popularity": 3}), Game(20, ""), Game(30, "三十"), Game(4294967295, "Last")]


def save(folder: Path, **changes: object) -> Path:
    parts = {
        "games": GAMES,
        "neighbours": {"plain": nearest(EMBEDDINGS, k=2)},
        "embeddings": EMBEDDINGS,
        "duplicates": np.array([0, 0, 2, 3], np.int32),
        "about": {"encoder": {"id": "test"}},
    }
    catalogue.save(folder, **(parts | changes))
    return folder


def test_what_is_saved_is_what_is_opened(tmp_path):
    opened = catalogue.verify(save(tmp_path / "c"))
    assert opened.appids.tolist() == [10, 20, 30, 4294967295]
    assert list(opened.games) == GAMES
    assert np.array_equal(opened.embeddings, EMBEDDINGS)
    assert opened.view("plain").rows.tolist()[0] == [1, 3]
    assert opened.duplicates.tolist() == [0, 0, 2, 3]
    assert (len(opened), opened.k, opened.manifest.encoder) == (4, 2, "test")


def test_rows_are_found_by_appid_and_unknown_ones_raise(tmp_path):
    opened = catalogue.open_catalogue(save(tmp_path / "c"))
    assert opened.row_of(4294967295) == 3
    for appid in (0, -1, 11, 4294967296, 10**30):
        with pytest.raises(UnknownGame):
            opened.row_of(appid)


def test_optional_parts_are_missed_only_when_asked_for(tmp_path):
    plain = catalogue.Neighbours(nearest(EMBEDDINGS, k=2).rows, None)
    opened = catalogue.verify(save(tmp_path / "c", embeddings=None, duplicates=None, neighbours={"plain": plain}))
    assert opened.view("plain").similarities is None
    with pytest.raises(NotInCatalogue, match="without its embeddings"):
        _ = opened.embeddings
    with pytest.raises(NotInCatalogue, match="mirror"):
        opened.view("mirror")


def test_replacing_leaves_one_folder_and_an_open_catalogue_keeps_its_own(tmp_path):
    old = catalogue.open_catalogue(save(tmp_path / "c"))
    save(tmp_path / "c", games=[Game(game.appid, "new") for game in GAMES])
    assert old.view("plain").rows.tolist()[0] == [1, 3]
    assert catalogue.verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_an_invalid_catalogue_is_not_put_in_place(tmp_path):
    save(tmp_path / "c")
    with pytest.raises(BadCatalogue, match="not strictly increasing"):
        save(tmp_path / "c", games=GAMES[::-1])
    with pytest.raises(BadCatalogue, match="not L2-normalised"):
        save(tmp_path / "c", embeddings=EMBEDDINGS * 2)
    assert catalogue.verify(tmp_path / "c").games[0].name == "Ten"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_a_killed_run_left_is_removed_and_a_running_one_is_not(tmp_path):
    (tmp_path / ".c.new-left").mkdir()
    (tmp_path / ".c.new-left" / "appids.npy").touch()
    (tmp_path / ".c.new-file").touch()
    (tmp_path / ".c.new-busy").mkdir()
    with locked(tmp_path / ".c.new-busy"):
        save(tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".c.new-busy", ".c.new-file", "c"]


def test_without_the_system_call_for_swapping_folders_replacing_works_and_a_failure_restores(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_exchange", lambda *_: False)
    save(tmp_path / "c")
    save(tmp_path / "c", games=[Game(game.appid, "new") for game in GAMES])
    assert catalogue.verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    rename = Path.rename

    def fail_for_new_ones(self: Path, target: Path) -> Path:
        if self.name.startswith(".c.new-"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new_ones)
    with pytest.raises(BadInput, match="Input/output error"):
        save(tmp_path / "c")
    assert catalogue.verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_catalogue_that_is_replaced_while_it_is_opened_is_read_whole(tmp_path, monkeypatch):
    save(tmp_path / "c")
    check = catalogue._check_file
    replaced = []

    def replace_in_between(*arguments: object) -> None:
        if not replaced:
            replaced.append(True)
            save(tmp_path / "c", games=[Game(game.appid, "a longer name") for game in GAMES])
        check(*arguments)

    monkeypatch.setattr(catalogue, "_check_file", replace_in_between)
    assert catalogue.open_catalogue(tmp_path / "c").games[0].name == "a longer name"


def test_names_that_are_no_valid_unicode_are_mended_on_either_way(tmp_path):
    save(tmp_path / "c", games=[Game(game.appid, "half \ud800 pair") for game in GAMES])
    assert catalogue.verify(tmp_path / "c").games[0].name == "half ? pair"
    record = json.dumps({"name": "\udfff", "year": "\udfff"}).encode()
    rewrite_file(tmp_path / "c", "games.json", b"[\n" + b",\n".join([record] * 4) + b"\n]\n")
    assert catalogue.verify(tmp_path / "c").games[0] == Game(10, "?", {"year": "?"})


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (b"[" * 100_000, "is damaged"),
        (b'{"name": "x"', "is damaged"),
        (b"[]", "has no name"),
        (b'{"name": 1}', "has no name"),
        (b'{"name": "x", "year": [1]}', "other things than texts and numbers"),
    ],
)
def test_a_damaged_record_of_a_game_is_refused_when_it_is_read(tmp_path, record, complaint):
    folder = save(tmp_path / "c")
    rewrite_file(folder, "games.json", b"[\n" + b",\n".join([b'{"name":"x"}'] * 3 + [record]) + b"\n]\n")
    assert catalogue.open_catalogue(folder).games[2].name == "x"
    with pytest.raises(BadCatalogue, match=complaint):
        catalogue.verify(folder)


def test_games_are_a_sequence(tmp_path):
    games = catalogue.open_catalogue(save(tmp_path / "c")).games
    assert list(games) == list(GAMES)
    assert list(games[1:3]) == list(GAMES[1:3])
    assert games[-1] == GAMES[-1]
    with pytest.raises(IndexError):
        games[4]


def test_other_peoples_folders_and_files_are_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    (tmp_path / "extension").mkdir()
    (tmp_path / "extension" / "manifest.json").write_text('{"name": "an extension", "files": []}')
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(save(tmp_path / "c"))
    (tmp_path / "c" / "notes.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    for name in ("photos", "extension", "file", "link", "c", "file/c", "x" * 250, "x" * 300):
        with pytest.raises(BadInput):
            save(tmp_path / name)
        with pytest.raises(BadInput):
            catalogue.check_target(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a**b", "a[b]c", "up/../d", "ü", "new/deep/er"])
def test_odd_names_of_folders_are_names(tmp_path, name):
    catalogue.check_target(tmp_path / name)
    save(tmp_path / name)
    catalogue.verify((tmp_path / name).resolve())


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "c").mkdir()
    catalogue.verify(save(tmp_path / "c"))


def rewrite_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_file(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and make the manifest agree, as a careful tamperer would."""
    (folder / name).write_bytes(data)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rewrite_manifest(folder, files=files | {name: {"size": len(data), "sha256": sha256(data).hexdigest()}})


def rewrite_array(folder: Path, name: str, array: np.ndarray) -> None:
    file = io.BytesIO()
    np.save(file, array)
    rewrite_file(folder, name, file.getvalue())


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


ROWS = nearest(EMBEDDINGS, k=2).rows
DAMAGES = {
    "no manifest": (lambda c: (c / "manifest.json").unlink(), r"has no manifest\.json"),
    "half a manifest": (lambda c: (c / "manifest.json").write_text('{"format": "st'), "is damaged"),
    "a manifest of something else": (lambda c: (c / "manifest.json").write_text("[]"), "not a catalogue's"),
    "a later version": (lambda c: rewrite_manifest(c, version=99), "format version '99'"),
    "n of another type": (lambda c: rewrite_manifest(c, n="4"), "n is '4'"),
    "no games": (lambda c: rewrite_manifest(c, n=0), "n is '0'"),
    "d of another type": (lambda c: rewrite_manifest(c, d=[]), "d is"),
    "no d": (lambda c: rewrite_manifest(c, d=None), "d is missing"),
    "an encoder of another type": (lambda c: rewrite_manifest(c, encoder="x"), "are not objects"),
    "images of another type": (lambda c: rewrite_manifest(c, images=[1]), "are not objects"),
    "a size of another type": (lambda c: rewrite_manifest(c, images={"width": "x", "height": 2}), "images.width"),
    "a similarity out of range": (lambda c: rewrite_manifest(c, random_similarity=10**400), "random_similarity"),
    "a similarity that is no number": (lambda c: rewrite_manifest(c, random_similarity=float("nan")), "random_sim"),
    "other views": (lambda c: rewrite_manifest(c, views=["plain", "flip"]), "lists other views"),
    "a path in the manifest": (lambda c: rewrite_manifest(c, files={"../x": {}}), "no file of a catalogue"),
    "no hash in the manifest": (lambda c: rewrite_manifest(c, files={"appids.npy": {"size": 1}}), "no size and"),
    "files that are no object": (lambda c: rewrite_manifest(c, files=[]), "lists no files"),
    "a deep manifest": (lambda c: (c / "manifest.json").write_text("[" * 100_000), "is damaged"),
    "games in one line": (lambda c: rewrite_file(c, "games.json", b'[{"name": "x"}]'), "not one line for each"),
    "an empty list of games": (lambda c: rewrite_file(c, "games.json", b""), "is damaged"),
    "too few games": (lambda c: rewrite_file(c, "games.json", b'[\n{"name":"x"}\n]\n'), "not one line for each"),
    "an archive": (lambda c: rewrite_file(c, "neighbours.npy", b"PK\3\4" + b"x" * 90), "not a readable array"),
    "a header that lies": (
        lambda c: rewrite_file(
            c, "appids.npy", (c / "appids.npy").read_bytes().replace(b"(4,), }", b"(4000000000,), }")
        ),
        "not a readable array",
    ),
    "a header of brackets": (
        lambda c: rewrite_file(c, "appids.npy", b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 118),
        "not a readable array",
    ),
    "a neighbour twice": (
        lambda c: rewrite_array(c, "neighbours.npy", np.array([[1, 1], [0, 2], [0, 1], [0, 1]], np.int32)),
        "same neighbour twice",
    ),
    "neighbours in another order": (lambda c: rewrite_array(c, "neighbours.npy", ROWS[:, ::-1].copy()), "not those of"),
    "groups that are chains": (
        lambda c: rewrite_array(c, "duplicates.npy", np.array([0, 0, 1, 2], np.int32)),
        "not the first of a group",
    ),
    "no neighbours": (lambda c: (c / "neighbours.npy").unlink(), r"neighbours\.npy is missing"),
    "a short array": (lambda c: os.truncate(c / "neighbours.npy", 140), "has 140 bytes"),
    "an empty array": (lambda c: os.truncate(c / "appids.npy", 0), "has 0 bytes"),
    "a changed byte": (lambda c: flip_last_byte(c / "embeddings.npy"), "was changed"),
    "rows out of range": (lambda c: rewrite_array(c, "neighbours.npy", ROWS + np.int32(9)), "outside 0..3"),
    "self-matches": (
        lambda c: rewrite_array(c, "neighbours.npy", np.tile(np.arange(4, dtype=np.int32)[:, None], 2)),
        "among its own",
    ),
    "another dtype": (lambda c: rewrite_array(c, "neighbours.npy", ROWS.astype(np.int64)), "is int64"),
    "a pickle": (
        lambda c: rewrite_array(c, "neighbours.npy", np.array([{}], object)),
        "not a readable array",
    ),
    "ascending similarities": (
        lambda c: rewrite_array(c, "similarities.npy", np.tile(np.float32([0.1, 0.2]), (4, 1))),
        "not descending",
    ),
    "similarities that are no numbers": (
        lambda c: rewrite_array(c, "similarities.npy", np.full((4, 2), np.nan, np.float32)),
        "not descending",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalogue_is_refused_with_one_line(tmp_path, damage):
    act, complaint = DAMAGES[damage]
    act(save(tmp_path / "c"))
    with pytest.raises(BadCatalogue, match=complaint) as caught:
        catalogue.verify(tmp_path / "c")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadCatalogue, match="does not exist"):
        catalogue.open_catalogue(tmp_path / "none")
