"""The catalogue folder: all that passes from the batch programs to the web app, and the only code that knows its files.

A catalogue is written beside its place and put there by one rename, so that whoever opens it sees the old one or the
new one, whole. Arrays are opened memory-mapped; a server that has one open keeps it while it is replaced.
"""

import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnknownGame
from banners.neighbours import Nearest
from banners.records import Game
from banners.views import VIEWS, View

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_SUFFIX_OF_VIEW: dict[View, str] = {view: "" if view == "plain" else f"_{view}" for view in VIEWS}


@dataclass(frozen=True)
class Neighbours:
    """One view's neighbours. `rows`: int32 (n, k); `similarities`: float32 (n, k), or None where not known."""

    rows: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue. Row i of every array and `games[i]` belong to `appids[i]`."""

    folder: Path
    manifest: Mapping[str, Any]
    appids: npt.NDArray[np.uint32]
    games: Sequence[Game]
    views: Mapping[View, Neighbours]
    duplicates: npt.NDArray[np.int32] | None = field(default=None)

    def __len__(self) -> int:
        return len(self.appids)

    @property
    def k(self) -> int:
        """How many neighbours each game has."""
        return int(self.manifest["k"])

    @cached_property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """float32 (n, d), rows L2-normalised, memory-mapped. Raises `NotInCatalogue` where there are none."""
        if "embeddings.npy" not in self.manifest["files"]:
            raise NotInCatalogue("This catalogue was imported without its embeddings.")
        return _load_array(self.folder / "embeddings.npy", np.float32, (len(self), int(self.manifest["d"])))

    def row_of(self, appid: int) -> int:
        """The row of `appid`. Raises `UnknownGame`."""
        if 0 <= appid < 2**32:  # outside, NumPy would raise or wrap around
            row = int(np.searchsorted(self.appids, np.uint32(appid)))
            if row < len(self.appids) and int(self.appids[row]) == appid:
                return row
        raise UnknownGame(appid)

    def view(self, view: View) -> Neighbours:
        """The neighbours of a view. Raises `NotInCatalogue`."""
        try:
            return self.views[view]
        except KeyError:
            raise NotInCatalogue(
                f"This catalogue has no neighbours for the {view} view; it was made with {', '.join(self.views)} only."
            ) from None


# -- writing ----------------------------------------------------------------------------------------------------


def check_target(folder: Path) -> None:
    """Raise `BadInput` unless a catalogue can be written at `folder`: nothing there, an empty folder, or a catalogue.

    Anything else is somebody's data and is not replaced.
    """
    if folder.is_symlink():
        raise BadInput(f"{folder} is a symbolic link; name the folder itself")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file, not a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise BadInput(f"{folder} holds other things than a catalogue; name an empty or a new folder")
    ancestor = next(parent for parent in folder.absolute().parents if parent.exists())
    if not os.access(ancestor, os.W_OK):
        raise BadInput(f"cannot write to {ancestor}")


def save(
    folder: Path,
    *,
    games: Sequence[Game],
    neighbours: Mapping[View, Nearest | Neighbours],
    about: Mapping[str, Any],
    embeddings: npt.NDArray[np.float32] | None = None,
    duplicates: npt.NDArray[np.int32] | None = None,
) -> None:
    """Write a catalogue at `folder`, replacing the one there in a single step.

    `games` are sorted by appid, every array has their order. `about` goes into the manifest as it is: encoder,
    source of the images, library versions. Raises `BadInput` where `folder` cannot be written, `BadCatalogue` if
    what was given does not make a valid catalogue; either way the old one stays as it was.
    """
    check_target(folder)
    folder = folder.absolute()
    _remove_abandoned(folder)
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    arrays: dict[str, npt.NDArray[Any]] = {"appids": np.array([game.appid for game in games], np.uint32)}
    if embeddings is not None:
        arrays["embeddings"] = embeddings
    for view, found in neighbours.items():
        arrays[f"neighbours{_SUFFIX_OF_VIEW[view]}"] = found.rows
        if found.similarities is not None:
            arrays[f"similarities{_SUFFIX_OF_VIEW[view]}"] = found.similarities
    if duplicates is not None:
        arrays["duplicates"] = duplicates
    try:
        fresh.mkdir(parents=True)
        for name, array in arrays.items():
            with (fresh / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                _flush(file)
        _write_json(fresh / "games.json", [{"name": game.name, **game.known} for game in games])
        manifest = {
            "format": "steam-clip-catalogue",
            "version": FORMAT_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "n": len(games),
            "d": None if embeddings is None else embeddings.shape[1],
            "k": neighbours["plain"].rows.shape[1],
            "dtype": None if embeddings is None else str(embeddings.dtype),
            "views": list(neighbours),
            **about,
            "files": {path.name: _measure(path) for path in sorted(fresh.iterdir())},
        }
        _write_json(fresh / MANIFEST, manifest)
        verify(fresh)
        _put_in_place(fresh, folder)
    except OSError as error:
        raise BadInput(f"cannot write the catalogue {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a killed run left beside `folder`; its process number is in the name."""
    for left in folder.parent.glob(f".{folder.name}.new-*"):
        pid = left.name.removeprefix(f".{folder.name}.new-").removesuffix("-old")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)


def _write_json(path: Path, data: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1 if path.name == MANIFEST else None)
        file.write("\n")
        _flush(file)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _measure(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename `fresh` to `folder`. Where one exists they change places, and the old one is left as `fresh`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        # Without the system call there is a moment with no catalogue; a server that has it open does not notice.
        old = fresh.with_name(fresh.name + "-old")
        folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux' renameat2 with RENAME_EXCHANGE); False where it is not supported."""
    at_cwd, rename_exchange = -100, 2
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# -- reading ----------------------------------------------------------------------------------------------------


def open_catalogue(folder: Path, check_hashes: bool = False) -> Catalogue:
    """Open and check the catalogue at `folder`: sizes, shapes, dtypes, order; with `check_hashes` every byte.

    Raises `BadCatalogue` with one line that says what is wrong.
    """
    manifest = _read_manifest(folder)
    files = manifest["files"]
    for name, expected in files.items():
        _check_file(folder / name, expected, check_hashes)
    n, k = manifest["n"], manifest["k"]
    for name in ("appids.npy", "games.json", "neighbours.npy"):
        if name not in files:
            raise BadCatalogue(f"{folder}: the manifest does not list {name}")
    appids = _load_array(folder / "appids.npy", np.uint32, (n,))
    if n and (appids[0] == 0 or not (appids[1:] > appids[:-1]).all()):
        raise BadCatalogue(f"{folder}: the appids are not strictly increasing")
    views: dict[View, Neighbours] = {}
    for view in VIEWS:
        name = f"neighbours{_SUFFIX_OF_VIEW[view]}.npy"
        if name not in files:
            continue
        rows = _load_array(folder / name, np.int32, (n, k))
        if rows.size and (rows.min() < 0 or rows.max() >= n):
            raise BadCatalogue(f"{folder}: {name} names rows outside 0..{n - 1}")
        if (rows == np.arange(n, dtype=np.int32)[:, None]).any():
            raise BadCatalogue(f"{folder}: {name} has a game among its own neighbours")
        name = f"similarities{_SUFFIX_OF_VIEW[view]}.npy"
        similarities = _load_array(folder / name, np.float32, (n, k)) if name in files else None
        if similarities is not None and similarities.size and not _are_cosines(similarities):
            raise BadCatalogue(f"{folder}: {name} is not descending within [-1, 1]")
        views[view] = Neighbours(rows, similarities)
    duplicates = None
    if "duplicates.npy" in files:
        duplicates = _load_array(folder / "duplicates.npy", np.int32, (n,))
        if n and (duplicates.min() < 0 or (duplicates > np.arange(n)).any()):
            raise BadCatalogue(f"{folder}: duplicates.npy names rows that are not the first of a group")
    catalogue = Catalogue(folder, manifest, appids, _read_games(folder, appids), views, duplicates)
    if "embeddings.npy" in files:
        _ = catalogue.embeddings  # checks dtype and shape; the numbers stay on disk
    return catalogue


def verify(folder: Path) -> Catalogue:
    """Open `folder` with every check there is: hashes, and that each embedding is finite and of length 1.

    Raises `BadCatalogue`.
    """
    catalogue = open_catalogue(folder, check_hashes=True)
    if "embeddings.npy" in catalogue.manifest["files"]:
        for start in range(0, len(catalogue), 4096):
            norms = np.linalg.norm(catalogue.embeddings[start : start + 4096], axis=1)
            if not (np.abs(norms - 1) < 1e-4).all():  # also false for NaN
                raise BadCatalogue(f"{folder}: embeddings.npy has rows that are not L2-normalised")
    return catalogue


def _are_cosines(similarities: npt.NDArray[np.float32]) -> bool:
    """NaN fails too: it compares false."""
    within = bool((similarities >= -1).all() and (similarities <= 1).all())
    return within and bool((similarities[:, :-1] >= similarities[:, 1:]).all())


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise BadCatalogue(f"no catalogue at {folder}: the folder {what}") from None
    except OSError as error:
        raise BadCatalogue(f"cannot read {folder / MANIFEST}: {error.strerror}") from None
    except ValueError as error:
        raise BadCatalogue(f"{folder / MANIFEST} is damaged: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != "steam-clip-catalogue":
        raise BadCatalogue(f"{folder / MANIFEST} is not a catalogue's manifest")
    if manifest.get("version") != FORMAT_VERSION:
        raise BadCatalogue(
            f"{folder} has format version {manifest.get('version')}, this program reads {FORMAT_VERSION};"
            " make the catalogue again"
        )
    counts_are_whole = all(type(manifest.get(key)) is int and manifest[key] >= 0 for key in ("n", "k"))
    if not counts_are_whole or not {"d", "dtype", "created"} <= manifest.keys():
        raise BadCatalogue(f"{folder / MANIFEST} lacks n, k, d, dtype or created")
    if not isinstance(manifest.get("files"), dict):
        raise BadCatalogue(f"{folder / MANIFEST} lists no files")
    if any(not isinstance(name, str) or Path(name).name != name for name in manifest["files"]):
        raise BadCatalogue(f"{folder / MANIFEST} lists files outside the folder")
    return manifest


def _check_file(path: Path, expected: Any, check_hash: bool) -> None:
    if not isinstance(expected, dict) or not {"size", "sha256"} <= expected.keys():
        raise BadCatalogue(f"{path.parent / MANIFEST} gives no size and SHA-256 for {path.name}")
    try:
        size = path.stat().st_size
        if size != expected["size"]:
            raise BadCatalogue(f"{path} has {size} bytes, the manifest says {expected['size']}")
        if check_hash and _measure(path)["sha256"] != expected["sha256"]:
            raise BadCatalogue(f"{path} was changed: its SHA-256 is not the manifest's")
    except FileNotFoundError:
        raise BadCatalogue(f"{path} is missing") from None
    except OSError as error:
        raise BadCatalogue(f"cannot read {path}: {error.strerror}") from None


def _load_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        # An empty array has no bytes to map.
        array = np.load(path, mmap_mode="r" if 0 not in shape else None, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise BadCatalogue(f"{path} is not a readable array: {' '.join(str(error).split())[:200]}") from None
    if array.dtype != dtype or array.shape != shape:
        raise BadCatalogue(f"{path} is {array.dtype} {array.shape}, the manifest asks for {np.dtype(dtype)} {shape}")
    # A plain array over the same mapping: indexing an np.memmap costs ten times as much.
    return np.asarray(array)


def _read_games(folder: Path, appids: npt.NDArray[np.uint32]) -> tuple[Game, ...]:
    path = folder / "games.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCatalogue(f"{path} is damaged: {error}") from None
    if not isinstance(records, list) or len(records) != len(appids):
        raise BadCatalogue(f"{path} has not one record for each of the {len(appids)} games")
    games: list[Game] = []
    for appid, record in zip(appids.tolist(), records, strict=True):
        if not isinstance(record, dict) or not isinstance(record.get("name"), str):
            raise BadCatalogue(f"{path}: the record of appid {appid} has no name")
        games.append(Game(appid, record.pop("name"), record))
    return tuple(games)
