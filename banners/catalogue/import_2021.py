"""The earlier system's export for its web app, read into the parts of a catalogue."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.errors import BadInput, one_line
from banners.games_csv import Game, valid_unicode
from banners.groups import connected
from banners.vectors.neighbours import Neighbours
from banners.views import View

_STEMS = ("matches_faiss", "matches")
_LETTERS: dict[View, str] = {"plain": "", "mirror": "x", "flip": "y", "rotate": "xy"}


@dataclass(frozen=True)
class Export:
    """`neighbours` have no similarities: the export threw them away. `duplicates`: int32 (n,),
    see `banners.groups`."""

    games: tuple[Game, ...]
    neighbours: dict[View, Neighbours]
    duplicates: npt.NDArray[np.int32]


def read_export(folder: Path) -> Export:
    """Read `app_ids.npy`, `app_names.json` and `matches.npy` or `matches_faiss.npy`, with the transformed queries'
    matches (`.x`, `.y`, `.xy`) where present.

    A row of matches holds row numbers, best first, and normally starts with the game itself. A plain row that starts
    with another game says that the two banners are identical: nothing else ties with a similarity of 1. Where some row
    does not name itself, as transformed queries may, it has one match more than the others.

    Raises `BadInput` when a file is missing, malformed or inconsistent.
    """
    appids = _load(folder / "app_ids.npy")
    if appids.ndim != 1 or not len(appids):
        raise BadInput(f"{folder / 'app_ids.npy'} is not a list of appids")
    if appids[0] < 1 or appids[-1] >= 2**32 or not (appids[1:] > appids[:-1]).all():
        raise BadInput(f"{folder / 'app_ids.npy'} is not strictly increasing within 1..2^32-1")
    names = _load_names(folder / "app_names.json", len(appids))
    tables = {view: _load_matches(path, len(appids)) for view in _LETTERS if (path := _find(folder, _LETTERS[view]))}
    if "plain" not in tables:
        raise BadInput(f"{folder} has neither matches_faiss.npy nor matches.npy")
    if len({matches.shape for matches in tables.values()}) > 1:
        raise BadInput(f"{folder}: the matches of the views differ in shape")
    others = {view: itself_last(matches) for view, matches in tables.items()}
    if all((rows[:, -1] == np.arange(len(rows))).all() for rows in others.values()):
        others = {view: rows[:, :-1] for view, rows in others.items()}
    return Export(
        tuple(map(Game, appids.tolist(), names)),
        {view: Neighbours(np.ascontiguousarray(rows), None) for view, rows in others.items()},
        connected(len(appids), enumerate(tables["plain"][:, 0].tolist())),
    )


def itself_last(matches: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Move each row's own number to the end of its matches, integer (n, m): int32 (n, m). The others keep their order.
    A row without its own number stays as it is."""
    own = matches == np.arange(len(matches))[:, None]
    return np.take_along_axis(matches.astype(np.int32), np.argsort(own, axis=1, kind="stable"), axis=1)


def _find(folder: Path, letters: str) -> Path | None:
    """The matches of one view, under either name and with the letters before or after `.npy`."""
    endings = (f".{letters}.npy", f".npy.{letters}") if letters else (".npy",)
    paths = [folder / f"{stem}{ending}" for stem in _STEMS for ending in endings]
    return next(filter(Path.is_file, paths), None)


def _load(path: Path) -> npt.NDArray[Any]:
    """An array of whole numbers."""
    try:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # neither archives nor pickles
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except Exception as error:  # a header may say anything
        raise BadInput(f"{path} is not a readable array: {one_line(error)}") from None
    if array.dtype.kind not in "iu":
        raise BadInput(f"{path} is {array.dtype}, not whole numbers")
    return array


def _load_names(path: Path, n: int) -> list[str]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not readable: {one_line(error)}") from None
    if not isinstance(names, list) or len(names) != n or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{path} is not a list of {n} names")
    return [valid_unicode(name) for name in names]


def _load_matches(path: Path, n: int) -> npt.NDArray[np.integer]:
    matches = _load(path)
    if matches.ndim != 2 or len(matches) != n or matches.shape[1] < 2 or matches.min() < 0 or matches.max() >= n:
        raise BadInput(f"{path} is not a table of {n} rows with two or more row numbers each, in 0..{n - 1}")
    repeated = np.flatnonzero((np.diff(np.sort(matches, axis=1), axis=1) == 0).any(axis=1))
    if len(repeated):
        raise BadInput(f"{path}: row {repeated[0]} names a match twice")
    return matches.astype(np.int32, copy=False)
