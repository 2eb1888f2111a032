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
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from banners.catalogue import names
from banners.catalogue.arrays import map_array, release
from banners.catalogue.games import read_games, write_games
from banners.catalogue.labels import LISTED, SHOWN, Labels, Term
from banners.catalogue.manifest import FORMAT, FORMAT_VERSION, MANIFEST, Manifest
from banners.catalogue.names import NameIndex
from banners.catalogue.neighbours import Neighbours
from banners.catalogue.vectors import Quantised
from banners.encoders.views import VIEWS, View
from banners.errors import BadCatalogue, BadInput, NotInCatalogue, UnknownGame, one_line
from banners.files import locked
from banners.games_csv import Game

if TYPE_CHECKING:
    from banners.encoders.onnx import Queries

_SUFFIX_OF_VIEW: dict[View, str] = {view: "" if view == "plain" else f"_{view}" for view in VIEWS}


@dataclass(frozen=True)
class Catalogue:
    """An opened catalogue. Row i of every array and `games[i]` belong to `appids[i]`: uint32 (n,), increasing.

    `index` finds rows by name. `duplicates` is int32 (n,), see `banners.duplicates`; None where not known.
    """

    folder: Path
    manifest: Manifest
    appids: npt.NDArray[np.uint32]
    games: Sequence[Game]
    views: Mapping[View, Neighbours]
    index: NameIndex
    duplicates: npt.NDArray[np.int32] | None = field(default=None)

    def __len__(self) -> int:
        return len(self.appids)

    @property
    def k(self) -> int:
        """How many neighbours each game has."""
        return self.manifest.k

    @cached_property
    def embeddings(self) -> npt.NDArray[np.float32]:
        """float32 (n, d), rows L2-normalised, memory-mapped. Raises `NotInCatalogue` where there are none."""
        if "embeddings.npy" not in self.manifest.files or self.manifest.d is None:
            raise NotInCatalogue("This catalogue was imported without its embeddings.")
        return _load_array(self.folder / "embeddings.npy", np.float32, (len(self), self.manifest.d))

    @cached_property
    def quantised(self) -> Quantised | None:
        """The embeddings in 8 bits, see `banners.vectors`; None where the catalogue has none."""
        if "quantised.npy" not in self.manifest.files or self.manifest.d is None:
            return None
        return Quantised(
            _load_array(self.folder / "quantised.npy", np.int8, (len(self), self.manifest.d)),
            _load_array(self.folder / "quantised_scales.npy", np.float32, (len(self),)),
        )

    @cached_property
    def labels(self) -> Labels | None:
        """What the banners show, see `banners.labels`; None where nothing labelled them. Raises `BadCatalogue`."""
        if "labels.json" not in self.manifest.files:
            return None
        try:
            entries = json.loads((self.folder / "labels.json").read_text(encoding="utf-8"))
            vocabulary = tuple(Term(str(entry["name"]), str(entry["kind"]), ()) for entry in entries)
            if not all(term.name.isprintable() and term.kind.isprintable() for term in vocabulary):
                raise ValueError("a term holds what cannot be shown")
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadCatalogue(f"{self.folder}: labels.json is malformed: {str(error)[:200]}") from None
        count = len(vocabulary)
        shape = (len(self), min(SHOWN, count))
        found = Labels(
            vocabulary,
            _load_array(self.folder / "label_embeddings.npy", np.float32, (count, self.manifest.d or 0)),
            _load_array(self.folder / "label_terms.npy", np.int16, shape),
            _load_array(self.folder / "label_probabilities.npy", np.float32, shape),
            _load_array(self.folder / "label_banners.npy", np.int32, (count, min(LISTED, len(self)))),
        )
        for array, most in ((found.terms, count), (found.banners, len(self))):
            if array.size and (array.min() < 0 or array.max() >= most):
                raise BadCatalogue(f"{self.folder}: the labels name terms or games that are not there")
        return found

    def release(self) -> None:
        """Give back the memory of the arrays that were read as a whole; see `banners.arrays.release`."""
        self.index.release()
        for view in self.views:
            self.release_view(view)

    def release_view(self, view: View) -> None:
        """The same for a view whose rows were read here and there: a server would come to hold them all."""
        found = self.views[view]
        release(found.rows)
        if found.similarities is not None:
            release(found.similarities)

    def row_of(self, appid: int) -> int:
        """The row of `appid`. Raises `UnknownGame`."""
        if 0 <= appid < 2**32:  # outside, NumPy would raise or wrap around
            row = int(self.appids.searchsorted(np.uint32(appid)))
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
        with tempfile.TemporaryDirectory(prefix=_prefix(folder), dir=ancestor):
            pass
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None


def _prefix(folder: Path) -> str:
    """The beginning of the names of folders that are written beside `folder`."""
    return f".{folder.resolve().name}.new-"


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
    queries: "Queries | None" = None,
) -> None:
    """Write a catalogue at `folder`, replacing the one there in a single step.

    `games` are sorted by appid, every array has their order. `about` goes into the manifest as it is: encoder, source
    of the images, library versions. `queries` is what `banners.export` made. Raises `BadInput` where `folder` cannot
    be written, `BadCatalogue` if what was given does not make a valid catalogue; either way the old one stays as it
    was.
    """
    check_target(folder)
    folder = folder.resolve()
    arrays: dict[str, npt.NDArray[Any]] = {
        "appids": np.array([game.appid for game in games], np.uint32),
        "names": names.build(games),
    }
    if embeddings is not None:
        arrays["embeddings"] = embeddings
    for view, found in neighbours.items():
        arrays[f"neighbours{_SUFFIX_OF_VIEW[view]}"] = found.rows
        if found.similarities is not None:
            arrays[f"similarities{_SUFFIX_OF_VIEW[view]}"] = found.similarities
    if duplicates is not None:
        arrays["duplicates"] = duplicates
    if queries is not None:
        arrays.update(queries.arrays)
    try:
        with _fresh_folder_beside(folder) as fresh:
            for name, array in arrays.items():
                with (fresh / f"{name}.npy").open("wb") as file:
                    np.save(_Writer(file.write), array, allow_pickle=False)
                    _flush(file)
            write_games(fresh / "games.json", games)
            if queries is not None:
                for name, source in queries.files.items():
                    shutil.copyfile(source, fresh / name)
                    with (fresh / name).open("rb") as file:
                        _flush(file)
                for name, table in queries.tables.items():
                    _write_json(fresh / f"{name}.json", table)
            files = {path.name: _measure(path) for path in sorted(fresh.iterdir())}
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
            _write_json(fresh / MANIFEST, manifest)
            verify(fresh)
            _put_in_place(fresh, folder)
    except OSError as error:
        raise BadInput(f"cannot write the catalogue {folder}: {error.strerror or error}") from None


@contextmanager
def _fresh_folder_beside(folder: Path) -> Iterator[Path]:
    """A new folder next to `folder`, locked while it is written and removed in the end if it is still there.

    The lock dies with its process, so a folder that nobody holds was left by a killed run, and is removed here.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.iterdir():
        if left.name.startswith(_prefix(folder)):
            with suppress(FileNotFoundError, NotADirectoryError), locked(left) as is_free:
                if is_free:
                    shutil.rmtree(left, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
    try:
        with locked(fresh):
            fresh.chmod(0o755)  # mkdtemp makes it private; a server may run as somebody else
            yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@dataclass(frozen=True)
class _Writer:
    """What NumPy takes for no real file: its own way to write to those hides why it failed."""

    write: Callable[[bytes], int]


def _write_json(path: Path, data: object) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, allow_nan=False, indent=1 if path.name == MANIFEST else None)
        file.write("\n")
        _flush(file)


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _measure(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


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


def open_catalogue(folder: Path, check_hashes: bool = False, unread: Collection[str] = ()) -> Catalogue:
    """Open and check the catalogue at `folder`: sizes, shapes, dtypes, order; with `check_hashes` every byte but
    those of the `unread` files. A game's record is checked when it is read.

    Raises `BadCatalogue` with one line that says what is wrong.
    """
    for _ in range(3):
        before = _read_manifest_text(folder)
        try:
            opened = _open(folder, before, check_hashes, unread)
        except BadCatalogue:
            if _read_manifest_text(folder) == before:
                raise
        else:
            if _read_manifest_text(folder) == before:
                return opened
        # It was replaced while it was opened: what was read may be of both.
    raise BadCatalogue(f"{folder} is replaced again and again while it is opened")


def _open(folder: Path, manifest_text: str, check_hashes: bool, unread: Collection[str]) -> Catalogue:
    try:
        data = json.loads(manifest_text)
    except (ValueError, RecursionError) as error:
        raise BadCatalogue(f"{folder / MANIFEST} is damaged: {str(error)[:200]}") from None
    manifest = Manifest.from_json(data, folder / MANIFEST)
    for name, expected in manifest.files.items():
        _check_file(folder / name, expected, check_hashes and name not in unread)
    n, k = manifest.n, manifest.k
    appids = _load_array(folder / "appids.npy", np.uint32, (n,))
    if appids[0] == 0 or not (appids[1:] > appids[:-1]).all():
        raise BadCatalogue(f"{folder}: the appids are not strictly increasing")
    views: dict[View, Neighbours] = {}
    for view in VIEWS:
        name = f"neighbours{_SUFFIX_OF_VIEW[view]}.npy"
        if name not in manifest.files:
            continue
        rows = _load_array(folder / name, np.int32, (n, k))
        if rows.size and (rows.min() < 0 or rows.max() >= n):
            raise BadCatalogue(f"{folder}: {name} names rows outside 0..{n - 1}")
        if (rows == np.arange(n, dtype=np.int32)[:, None]).any():
            raise BadCatalogue(f"{folder}: {name} has a game among its own neighbours")
        name = f"similarities{_SUFFIX_OF_VIEW[view]}.npy"
        similarities = _load_array(folder / name, np.float32, (n, k)) if name in manifest.files else None
        if similarities is not None and similarities.size and not _are_cosines(similarities):
            raise BadCatalogue(f"{folder}: {name} is not descending within [-1, 1]")
        views[view] = Neighbours(rows, similarities)
    if list(views) != manifest.raw.get("views", list(views)):
        raise BadCatalogue(f"{folder / MANIFEST} lists other views than there are files of")
    duplicates = None
    if "duplicates.npy" in manifest.files:
        duplicates = _load_array(folder / "duplicates.npy", np.int32, (n,))
        if duplicates.min() < 0 or (duplicates > np.arange(n)).any() or (duplicates[duplicates] != duplicates).any():
            raise BadCatalogue(f"{folder}: duplicates.npy names rows that are not the first of a group")
    games = read_games(folder / "games.json", appids)
    index = NameIndex(_packed_names(folder, manifest, games), appids)
    catalogue = Catalogue(folder, manifest, appids, games, views, index, duplicates)
    if "embeddings.npy" in manifest.files:
        if manifest.d is None:
            raise BadCatalogue(f"{folder / MANIFEST}: d is missing")
        _ = catalogue.embeddings  # checks dtype and shape; the numbers stay on disk
    _ = (catalogue.quantised, catalogue.labels)
    return catalogue


def verify(folder: Path) -> Catalogue:
    """Open `folder` with every check there is: hashes, repeated neighbours, that each embedding is finite and of length
    1, and that the plain similarities are those of the embeddings.

    Raises `BadCatalogue`.
    """
    catalogue = open_catalogue(folder, check_hashes=True)
    for _ in catalogue.games:  # each is checked as it is read
        pass
    has_embeddings = "embeddings.npy" in catalogue.manifest.files
    for start in range(0, len(catalogue), 1024):  # bounded memory at any n
        block = slice(start, start + 1024)
        for view, found in catalogue.views.items():
            if (np.diff(np.sort(found.rows[block], axis=1), axis=1) == 0).any():
                raise BadCatalogue(f"{folder}: a game has the same neighbour twice in the {view} view")
        if has_embeddings:
            queries = catalogue.embeddings[block]
            if not (np.abs(np.linalg.norm(queries, axis=1) - 1) < 1e-4).all():  # also false for NaN
                raise BadCatalogue(f"{folder}: embeddings.npy has rows that are not L2-normalised")
            if catalogue.quantised is not None:
                codes, scales = catalogue.quantised.codes[block], catalogue.quantised.scales[block, None]
                if not (np.abs(codes * scales - queries) <= 0.51 * scales).all():
                    raise BadCatalogue(f"{folder}: quantised.npy is not that of embeddings.npy")
            plain = catalogue.view("plain")
            if plain.similarities is not None:
                # The first and the last neighbour: enough to notice another matrix or another order.
                for place in {0, catalogue.k - 1} if catalogue.k else ():
                    cosines = np.einsum("id,id->i", queries, catalogue.embeddings[plain.rows[block, place]])
                    if np.abs(cosines - plain.similarities[block, place]).max() > 1e-4:
                        raise BadCatalogue(f"{folder}: similarities.npy are not those of embeddings.npy")
    return catalogue


def _are_cosines(similarities: npt.NDArray[np.float32]) -> bool:
    """NaN fails too: it compares false."""
    within = bool((similarities >= -1).all() and (similarities <= 1).all())
    return within and bool((similarities[:, :-1] >= similarities[:, 1:]).all())


def _read_manifest_text(folder: Path) -> str:
    try:
        return (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        what = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise BadCatalogue(f"no catalogue at {folder}: the folder {what}") from None
    except OSError as error:
        raise BadCatalogue(f"cannot read {folder / MANIFEST}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadCatalogue(f"{folder / MANIFEST} is damaged: it is not UTF-8") from None


def _check_file(path: Path, expected: tuple[int, str], check_hash: bool) -> None:
    try:
        size = path.stat().st_size
        if size != expected[0]:
            raise BadCatalogue(f"{path} has {size} bytes, the manifest says {expected[0]}")
        if check_hash and _measure(path) != expected:
            raise BadCatalogue(f"{path} was changed: its SHA-256 is not the manifest's")
    except FileNotFoundError:
        raise BadCatalogue(f"{path} is missing") from None
    except OSError as error:
        raise BadCatalogue(f"cannot read {path}: {error.strerror}") from None


def _load_array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        array = map_array(path)
    except (OSError, ValueError) as error:
        raise BadCatalogue(f"{path} is not a readable array: {one_line(error)}") from None
    if array.dtype != dtype or array.shape != shape:
        raise BadCatalogue(f"{path} is {array.dtype} {array.shape}, the manifest asks for {np.dtype(dtype)} {shape}")
    return array


def _packed_names(folder: Path, manifest: Manifest, games: Sequence[Game]) -> npt.NDArray[np.uint8]:
    """The index of names; one from before there were such files is made now."""
    if "names.npy" not in manifest.files:
        return names.build(games)
    try:
        packed = map_array(folder / "names.npy")
    except (OSError, ValueError) as error:
        raise BadCatalogue(f"{folder / 'names.npy'} is not a readable array: {error}") from None
    if packed.dtype != np.uint8 or packed.ndim != 1:
        raise BadCatalogue(f"{folder / 'names.npy'} is {packed.dtype} {packed.shape}, not an index of names")
    return packed
