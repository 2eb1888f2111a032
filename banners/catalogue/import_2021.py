"""The earlier system's export for its web app, read into the parts of a catalogue."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.catalogue.measures import connected
from banners.catalogue.neighbours import Neighbours, others
from banners.encoders.views import View
from banners.errors import BadInput, one_line
from banners.games_csv import Game, valid_unicode

_STEMS = ("matches_faiss", "matches")
_LETTERS: dict[View, str] = {"mirror": "x", "flip": "y", "rotate": "xy"}


@dataclass(frozen=True)
class Export:
    """`neighbours` have no similarities: the export threw them away. `duplicates`: int32 (n,),
    see `measures.connected`."""

    games: tuple[Game, ...]
    neighbours: dict[View, Neighbours]
    duplicates: npt.NDArray[np.int32]


def read_export(folder: Path) -> Export:
    """Read `app_ids.npy`, `app_names.json` and `matches.npy` or `matches_faiss.npy`, with the transformed queries'
    matches (`.x`, `.y`, `.xy`) where present.

    A row of matches holds row numbers, best first, and normally starts with the game itself. A plain row that starts
    with another game says that the two banners are identical: nothing else ties with a similarity of 1.

    Raises `BadInput` when a file is missing, malformed or inconsistent.
    """
    appids = _load(folder / "app_ids.npy")
    if appids.ndim != 1 or not len(appids):
        raise BadInput(f"{folder / 'app_ids.npy'} is not a list of appids")
    if appids[0] < 1 or appids[-1] >= 2**32 or not (appids[1:] > appids[:-1]).all():
        raise BadInput(f"{folder / 'app_ids.npy'} is not strictly increasing within 1..2^32-1")
    names = _load_names(folder / "app_names.json", len(appids))
    plain = _find(folder, "")
    if plain is None:
        raise BadInput(f"{folder} has neither matches_faiss.npy nor matches.npy")
    matches = _load_matches(plain, len(appids))
    neighbours: dict[View, Neighbours] = {"plain": Neighbours(without_itself(matches), None)}
    for view, letters in _LETTERS.items():
        path = _find(folder, letters)
        if path is not None:
            neighbours[view] = Neighbours(without_itself(_load_matches(path, len(appids))), None)
    if len({found.rows.shape for found in neighbours.values()}) > 1:
        raise BadInput(f"{folder}: the matches of the views differ in shape")
    first = matches[:, 0]
    elsewhere = np.flatnonzero(first != np.arange(len(matches)))
    pairs = zip(elsewhere.tolist(), first[elsewhere].tolist(), strict=True)
    duplicates = connected(len(matches), pairs)
    games = tuple(Game(appid, name) for appid, name in zip(appids.tolist(), names, strict=True))
    return Export(games, neighbours, duplicates)


def without_itself(matches: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Remove each row's own number from integer (n, m) matches, wherever it stands: int32 (n, m - 1).

    A row that does not name itself loses its last match instead, since all rows have the same length.
    """
    n, m = matches.shape
    kept: npt.NDArray[np.int32] = matches.astype(np.int32)[others(matches, np.arange(n))].reshape(n, m - 1)
    return kept


def _find(folder: Path, letters: str) -> Path | None:
    """The matches of one view, under either name and with the letters before or after `.npy`."""
    for stem in _STEMS:
        names = (f"{stem}.{letters}.npy", f"{stem}.npy.{letters}") if letters else (f"{stem}.npy",)
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def _load(path: Path) -> npt.NDArray[Any]:
    """An array of whole numbers."""
    try:
        array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # neither archives nor pickles
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} is not a readable array: {one_line(error)}") from None
    if array.dtype.kind not in "iu":
        raise BadInput(f"{path} is {array.dtype}, not whole numbers")
    return array


def _load_names(path: Path, n: int) -> list[str]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not readable: {str(error)[:200]}") from None
    if not isinstance(names, list) or len(names) != n or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{path} is not a list of {n} names")
    return [valid_unicode(name) for name in names]


def _load_matches(path: Path, n: int) -> npt.NDArray[np.integer]:
    matches = _load(path)
    if matches.ndim != 2 or len(matches) != n:
        raise BadInput(f"{path} has the shape {matches.shape}, not ({n}, m)")
    if matches.shape[1] < 2:
        raise BadInput(f"{path} has {matches.shape[1]} matches a game, at least 2 are needed")
    if matches.min() < 0 or matches.max() >= n:
        raise BadInput(f"{path} names rows outside 0..{n - 1}")
    repeated = np.flatnonzero((np.diff(np.sort(matches, axis=1), axis=1) == 0).any(axis=1))
    if len(repeated):
        raise BadInput(f"{path}: row {repeated[0]} names a match twice")
    return matches.astype(np.int32, copy=False)
