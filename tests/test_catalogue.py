import json
import os
from pathlib import Path

import numpy as np
import pytest

from banners import catalogue
from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnknownGame
from banners.neighbours import nearest
from banners.records import Game

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
    assert (len(opened), opened.k, opened.manifest["encoder"]["id"]) == (4, 2, "test")


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
    (tmp_path / ".c.new-999999999").mkdir()
    (tmp_path / f".c.new-{os.getppid()}").mkdir()
    save(tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".c.new-{os.getppid()}", "c"]


def test_other_peoples_folders_and_files_are_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    (tmp_path / "file").touch()
    for name in ("photos", "file"):
        with pytest.raises(BadInput):
            save(tmp_path / name)
    assert (tmp_path / "photos" / "1.jpg").exists()


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "c").mkdir()
    catalogue.verify(save(tmp_path / "c"))


def rewrite_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Replace an array and make the manifest agree, as a careful tamperer would."""
    np.save(folder / name, array)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = catalogue._measure(folder / name)
    rewrite_manifest(folder, files=manifest["files"])


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


ROWS = nearest(EMBEDDINGS, k=2).rows
DAMAGES = {
    "no manifest": (lambda c: (c / "manifest.json").unlink(), r"has no manifest\.json"),
    "half a manifest": (lambda c: (c / "manifest.json").write_text('{"format": "st'), "is damaged"),
    "a manifest of something else": (lambda c: (c / "manifest.json").write_text("[]"), "not a catalogue's"),
    "a later version": (lambda c: rewrite_manifest(c, version=99), "format version 99"),
    "n of another type": (lambda c: rewrite_manifest(c, n="4"), "lacks n"),
    "a path in the manifest": (lambda c: rewrite_manifest(c, files={"../x": {}}), "outside the folder"),
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
