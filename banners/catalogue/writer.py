"""Writing a catalogue: beside its place, and put there by one rename, so that whoever opens it sees the old one or the
new one, whole."""

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.catalogue.artwork import Artwork
from banners.catalogue.games_db import write_games_db
from banners.catalogue.labels import Labels
from banners.catalogue.manifest import FORMAT, FORMAT_VERSION, MANIFEST, measure
from banners.catalogue.neighbours import Neighbours
from banners.catalogue.reader import suffix_of
from banners.encoders.views import View
from banners.errors import BadInput
from banners.files import alone_in
from banners.games_csv import Game


@dataclass(frozen=True)
class Queries:
    """What a catalogue gets so that the web app can embed queries: files to copy and arrays to write, by name, the
    banners' labels, and what the manifest says. `without` is the reason why labels are missing, "" if they are not."""

    files: Mapping[str, Path]
    arrays: Mapping[str, npt.NDArray[Any]]
    labels: Labels | None
    about: Mapping[str, Any]
    without: str


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
        # A folder is made and removed where the catalogue will be written: no other question is answered as surely.
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
    if not listed or names - listed - {MANIFEST}:
        raise BadInput(f"{folder} holds other things than a catalogue; name an empty or a new folder")


def save(
    folder: Path,
    *,
    games: Sequence[Game],
    neighbours: Mapping[View, Neighbours],
    about: Mapping[str, Any],
    embeddings: npt.NDArray[np.float32] | None = None,
    duplicates: npt.NDArray[np.int32] | None = None,
    artwork: Artwork | None = None,
    queries: Queries | None = None,
) -> None:
    """Write a catalogue at `folder`, replacing the one there in a single step.

    `games` are sorted by appid, every array has their order. `about` goes into the manifest as it is: encoder, source
    of the images, library versions. `queries` is what `banners.encoders.onnx` made. Raises `BadInput` where `folder`
    cannot be written; the old catalogue stays as it was then.
    """
    check_target(folder)
    folder = folder.resolve()
    appids = [game.appid for game in games]
    if appids != sorted(set(appids)):
        raise ValueError("the games are not sorted by appid")
    arrays: dict[str, npt.NDArray[Any] | None] = {"appids": np.array(appids, np.uint32)}
    arrays |= {"embeddings": embeddings, "duplicates": duplicates}
    for view, found in neighbours.items():
        arrays[f"neighbours{suffix_of(view)}"] = found.rows
        arrays[f"similarities{suffix_of(view)}"] = found.similarities
    if artwork is not None and embeddings is not None:
        arrays["artwork_mean"] = artwork.mean
        arrays["artwork_projection"] = artwork.projection
        arrays["artwork_lengths"] = artwork.lengths(embeddings)
    if queries is not None:
        arrays.update(queries.arrays)
    try:
        with _fresh_folder_beside(folder) as fresh:
            for name, array in arrays.items():
                if array is not None:
                    np.save(fresh / f"{name}.npy", array, allow_pickle=False)
            write_games_db(fresh / "games.db", games, None if queries is None else queries.labels)
            if queries is not None:
                for name, source in queries.files.items():
                    shutil.copyfile(source, fresh / name)
            files = {path.name: measure(path) for path in sorted(fresh.iterdir())}
            manifest = {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "n": len(games),
                "d": None if embeddings is None else embeddings.shape[1],
                "k": neighbours["plain"].rows.shape[1],
                "dtype": None if embeddings is None else str(embeddings.dtype),
                "views": list(neighbours),
                **about,
                **({} if queries is None else {"queries": queries.about}),
                "files": {name: {"size": size, "sha256": sha256} for name, (size, sha256) in files.items()},
            }
            text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
            (fresh / MANIFEST).write_text(text, encoding="utf-8")
            for path in fresh.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            _put_in_place(fresh, folder)
    except OSError as error:
        raise BadInput(f"cannot write the catalogue {folder}: {error.strerror or error}") from None


@contextmanager
def _fresh_folder_beside(folder: Path) -> Iterator[Path]:
    """An empty folder next to `folder`, for this run alone, removed in the end if it is still there.

    Raises `BadInput` if another run holds it.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    with alone_in(fresh):
        for left in fresh.iterdir():  # by a killed run
            left.unlink()
        fresh.chmod(0o755)  # whatever the umask: a server may run as somebody else
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`. Where one exists they change places, and the old one is left as `fresh`."""
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        # Without the system call there is a moment with no catalogue; a server that has it open does not notice, and
        # what a kill in this moment leaves is the old one under this name.
        old = Path(tempfile.mkdtemp(prefix=f"{folder.name}.old-", dir=folder.parent))
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
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
