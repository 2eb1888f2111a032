import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from banners.catalogue import reader, writer
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnknownGame
from banners.files import alone_in
from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours, nearest
from tests.catalogues import save_catalogue

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
    save_catalogue(folder, **(parts | changes))
    return folder


def verify(folder: Path) -> Catalogue:
    return open_catalogue(folder, check_hashes=True)


def test_what_is_saved_is_what_is_opened(tmp_path):
    opened = verify(save(tmp_path / "c"))
    assert opened.appids.tolist() == [10, 20, 30, 4294967295]
    assert list(opened.games) == GAMES
    assert np.array_equal(opened.embeddings, EMBEDDINGS)
    assert opened.view("plain").rows.tolist()[0] == [1, 3]
    assert opened.duplicates.tolist() == [0, 0, 2, 3]
    assert (len(opened), opened.k, opened.manifest.encoder.id) == (4, 2, "test")


def test_rows_are_found_by_appid_and_unknown_ones_raise(tmp_path):
    opened = open_catalogue(save(tmp_path / "c"))
    assert opened.row_of(4294967295) == 3
    for appid in (0, -1, 11, 4294967296, 10**30):
        with pytest.raises(UnknownGame):
            opened.row_of(appid)


def test_optional_parts_are_missed_only_when_asked_for(tmp_path):
    plain = Neighbours(nearest(EMBEDDINGS, k=2).rows, None)
    opened = verify(save(tmp_path / "c", embeddings=None, duplicates=None, neighbours={"plain": plain}))
    assert opened.view("plain").similarities is None
    with pytest.raises(NotInCatalogue, match="without its embeddings"):
        _ = opened.embeddings
    with pytest.raises(NotInCatalogue, match="mirror"):
        opened.view("mirror")


def test_replacing_leaves_one_folder_and_an_open_catalogue_keeps_its_own(tmp_path):
    old = open_catalogue(save(tmp_path / "c"))
    save(tmp_path / "c", games=[Game(game.appid, "new") for game in GAMES])
    assert old.view("plain").rows.tolist()[0] == [1, 3]
    assert verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_games_in_another_order_than_their_appids_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="not sorted by appid"):
        save(tmp_path / "c", games=GAMES[::-1])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / ".c.new").mkdir()
    (tmp_path / ".c.new" / "appids.npy").touch()
    save(tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    verify(tmp_path / "c")


def test_two_runs_do_not_write_the_same_catalogue(tmp_path):
    with alone_in(tmp_path / ".c.lock"), pytest.raises(BadInput, match="another run is writing"):
        save(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_many_runs_lock_a_folder_in_turn_though_each_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    inside = []

    def lock_often(run: int) -> None:
        for _ in range(200):
            with alone_in(tmp_path / "c", patience=60):
                inside.append(run)
                assert inside == [run]
                inside.remove(run)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lock_often, range(4)))
    assert list(tmp_path.iterdir()) == []


def test_without_the_system_call_for_swapping_folders_replacing_works_and_a_failure_restores(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "exchange", lambda *_: False)
    save(tmp_path / "c")
    save(tmp_path / "c", games=[Game(game.appid, "new") for game in GAMES])
    assert verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    rename = Path.rename

    def fail_for_new_ones(self: Path, target: Path) -> Path:
        if self.name == ".c.new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_new_ones)
    with pytest.raises(BadInput, match="Input/output error"):
        save(tmp_path / "c")
    assert verify(tmp_path / "c").games[0].name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_catalogue_that_is_replaced_while_it_is_opened_is_read_whole(tmp_path, monkeypatch):
    save(tmp_path / "c")
    games, replaced = reader.Games, []

    def replace_in_between(path: Path) -> reader.Games:
        if not replaced:
            replaced.append(True)
            save(tmp_path / "c", games=[Game(game.appid, "a longer name") for game in GAMES])
        return games(path)

    monkeypatch.setattr(reader, "Games", replace_in_between)
    assert open_catalogue(tmp_path / "c").games[0].name == "a longer name"


def test_names_that_are_no_valid_unicode_are_mended_on_either_way(tmp_path):
    save(tmp_path / "c", games=[Game(game.appid, "half \ud800 pair") for game in GAMES])
    assert verify(tmp_path / "c").games[0].name == "half ? pair"


def test_games_are_a_sequence(tmp_path):
    games = open_catalogue(save(tmp_path / "c")).games
    assert list(games) == list(GAMES)
    assert games[2] == GAMES[2]
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
            writer.check_target(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["a**b", "a[b]c", "up/../d", "ü", "new/deep/er"])
def test_odd_names_of_folders_are_names(tmp_path, name):
    writer.check_target(tmp_path / name)
    save(tmp_path / name)
    verify((tmp_path / name).resolve())


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "c").mkdir()
    verify(save(tmp_path / "c"))


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


DAMAGES = {
    "no manifest": (lambda c: (c / "manifest.json").unlink(), r"has no manifest\.json"),
    "half a manifest": (lambda c: (c / "manifest.json").write_text('{"format": "st'), r"cannot read .*manifest\.json"),
    "a manifest that lacks things": (
        lambda c: (c / "manifest.json").write_text('{"format": "steam-clip-catalogue"}'),
        r"cannot read .*manifest\.json",
    ),
    "a manifest of something else": (lambda c: rewrite_manifest(c, format="x"), "not a catalogue's"),
    "an earlier version": (lambda c: rewrite_manifest(c, version=2), "make it again with embed_banners.py"),
    "no neighbours": (lambda c: (c / "neighbours.npy").unlink(), r"cannot read .*neighbours\.npy: No such file"),
    "a short array": (lambda c: os.truncate(c / "neighbours.npy", 140), "has 140 bytes"),
    "an empty array": (lambda c: os.truncate(c / "appids.npy", 0), "has 0 bytes"),
    "a short database": (lambda c: os.truncate(c / "games.db", 4096), "has 4096 bytes"),
    "a changed byte": (lambda c: flip_last_byte(c / "embeddings.npy"), "was changed"),
    "a changed name": (lambda c: flip_last_byte(c / "games.db"), "was changed"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalogue_is_refused_with_one_line(tmp_path, damage):
    act, complaint = DAMAGES[damage]
    act(save(tmp_path / "c"))
    with pytest.raises(BadCatalogue, match=complaint) as caught:
        verify(tmp_path / "c")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadCatalogue, match="does not exist"):
        open_catalogue(tmp_path / "none")
