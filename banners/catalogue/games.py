"""`games.json` of a catalogue: one record a line, so that a server need not hold them all."""

import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from banners.errors import BadCatalogue
from banners.games_csv import Game, valid_unicode

_decode = json.JSONDecoder().raw_decode


def write_games(path: Path, games: Sequence[Game]) -> None:
    """Write a JSON array with a line for each game, in their order."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n")
        for number, game in enumerate(games):
            record = {"name": game.name, **game.known}
            record = {key: valid_unicode(one) if isinstance(one, str) else one for key, one in record.items()}
            line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            file.write(line + (",\n" if number < len(games) - 1 else "\n"))
        file.write("]\n")


class Games(Sequence[Game]):
    """The games of a catalogue, each read when it is asked for: a few microseconds, and no memory.

    Asking for a record that is damaged raises `BadCatalogue`.
    """

    def __init__(self, text: mmap.mmap, starts: npt.NDArray[np.int64], appids: npt.NDArray[np.uint32]) -> None:
        self._text, self._starts, self._appids = text, starts, appids

    def __len__(self) -> int:
        return len(self._appids)

    @overload
    def __getitem__(self, row: int) -> Game: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Game]: ...
    def __getitem__(self, row: int | slice) -> Game | Sequence[Game]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if not 0 <= row < len(self._appids):
            row = range(len(self))[row]
        appid = int(self._appids[row])
        try:
            line = str(self._text[self._starts[row] : self._starts[row + 1]], "utf-8").strip(", \t\r\n")
            record, end = _decode(line)  # a third of what json.loads takes
            if end < len(line):
                raise ValueError("more than one value")
        except (ValueError, RecursionError) as error:
            raise BadCatalogue(f"games.json is damaged: the record of appid {appid}: {str(error)[:200]}") from None
        if not isinstance(record, dict) or not isinstance(record.get("name"), str):
            raise BadCatalogue(f"games.json: the record of appid {appid} has no name")
        for key, value in record.items():
            if isinstance(value, str):
                if not value.isascii():
                    record[key] = valid_unicode(value)
            elif not isinstance(value, int):
                raise BadCatalogue(f"games.json: the record of appid {appid} holds other things than texts and numbers")
        return Game(appid, record.pop("name"), record)


def read_games(path: Path, appids: npt.NDArray[np.uint32]) -> Games:
    """The records of `path`, which belong to `appids` in their order. Each is checked when it is read.

    Raises `BadCatalogue` where there is not one line for each.
    """
    try:
        with path.open("rb") as file:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise BadCatalogue(f"{path} is damaged: {str(error)[:200]}") from None
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")).astype(np.int64) + 1
    n = len(appids)
    if len(ends) != n + 2 or text[: ends[0]] != b"[\n" or text[ends[n] :] != b"]\n":
        raise BadCatalogue(f"{path} has not one line for each of the {n} games")
    return Games(text, ends, appids)
