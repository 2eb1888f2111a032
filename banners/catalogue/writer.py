"""Write a catalogue beside its place, then rename it: a reader sees the old one or the new one, whole."""

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import structs

from banners.catalogue.games_db import write_games_db
from banners.catalogue.manifest import FORMAT, MANIFEST, ORIGIN, Manifest, measure, to_json
from banners.catalogue.places import Places
from banners.errors import BadInput
from banners.files import alone_in
from banners.games_csv import Game
from banners.vectors.labels import Labels


def check_target(folder: Path) -> None:
    """Raise `BadInput` unless a catalogue can be written at `folder`: nothing there, an empty folder, or a catalogue.

    Anything else is somebody's data and is not replaced.
    """
    try:
        if folder.is_symlink():
            raise BadInput(f"{folder} is a symbolic link; name the folder itself")
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file, not a folder")
        if folder.resolve() == Path.cwd():
            raise BadInput(f"{folder} is the current folder, which cannot be replaced; name a folder inside it")
        if folder.is_mount():
            raise BadInput(f"{folder} is a mount point, which cannot be replaced; name a folder inside it")
        if folder.exists():
            _check_is_ours(folder)
        # Creating a folder where the catalogue will be written is the only reliable test.
        ancestor = next(parent for parent in folder.resolve().parents if parent.exists())
        with tempfile.TemporaryDirectory(prefix=f".{folder.resolve().name}.", dir=ancestor):
            pass
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None


def _check_is_ours(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = set(data["files"]) if data["format"] == FORMAT else set()
    except (OSError, ValueError, TypeError, KeyError):
        listed = set()
    if not listed or names - listed - {MANIFEST, ORIGIN}:
        raise BadInput(f"{folder} holds other things than a catalogue; name an empty or a new folder")


def save(
    folder: Path,
    games: Sequence[Game],
    arrays: Mapping[str, npt.NDArray[Any]],
    files: Mapping[str, Path],
    labels: Labels | None,
    about: Manifest,
    places: Places | None = None,
) -> None:
    """Write a catalogue at `folder`, replacing the one there in a single step.

    `games` are sorted by appid. `arrays` become `<name>.npy`, `files` are copied under their names; the reader knows
    what they mean. The number of games, the date and the list of files are added to `about`. Raises `BadInput` if
    `folder` cannot be written; the old catalogue then stays.
    """
    check_target(folder)
    folder = folder.resolve()
    appids = [game.appid for game in games]
    if appids != sorted(set(appids)):
        raise ValueError("the games are not sorted by appid")
    try:
        with fresh_folder_beside(folder) as fresh:
            for name, array in {"appids": np.array(appids, np.uint32), **arrays}.items():
                np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            write_games_db(fresh / "games.db", games, labels, places)
            for name, source in files.items():
                shutil.copyfile(source, fresh / name)
            manifest = structs.replace(
                about,
                n=len(games),
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                files={path.name: measure(path) for path in sorted(fresh.iterdir())},
            )
            (fresh / MANIFEST).write_bytes(to_json(manifest))
            put_in_place(fresh, folder)
    except OSError as error:
        raise BadInput(f"cannot write the catalogue {folder}: {error.strerror or error}") from None


@contextmanager
def fresh_folder_beside(folder: Path, patience: float = 0.0) -> Iterator[Path]:
    """An empty folder next to `folder`, for this run alone, removed in the end if it is still there.

    Raises `BadInput` if another run holds it for more than `patience` seconds.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    with alone_in(folder.with_name(f".{folder.name}.lock"), patience):  # `fresh` itself will be another folder
        shutil.rmtree(fresh, ignore_errors=True)  # of a killed run
        fresh.mkdir()
        fresh.chmod(0o755)  # whatever the umask: a server may run as somebody else
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def put_in_place(fresh: Path, folder: Path) -> None:
    """Flush the files of `fresh` and rename it to `folder`. The old catalogue is removed or left at `fresh`."""
    for path in fresh.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        fresh.rename(folder)
    elif not exchange(fresh, folder):
        # Without the system call there is no catalogue for a moment. A server that has it open does not notice. A kill
        # in this moment leaves the old catalogue under this name.
        old = Path(tempfile.mkdtemp(prefix=f"{folder.name}.old-", dir=folder.parent))
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old)


def exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux' renameat2 with RENAME_EXCHANGE); False if it is not supported."""
    at_cwd, rename_exchange = -100, 2
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
