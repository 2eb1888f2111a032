"""What is embedded so far, kept beside a catalogue, so that a rerun embeds only what is new.

A folder for each encoder, in it one file a view of records of one length, appended as they are made. A record is keyed
by appid and by the hash of the banner's file, the folder by everything else that the numbers depend on: so nothing of
another encoder, fit or precision can get in, and a banner that changed counts as not embedded. Each record has a
checksum, and one that a kill or a full disk cut short counts for nothing.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from banners.embedding.decoding import Decoded
from banners.encoders.views import VIEWS, View
from banners.errors import BadInput
from banners.files import locked

Matrix = npt.NDArray[np.float32]
Records = npt.NDArray[np.void]

IDENTITY = "identity.json"
FLUSH_SECONDS = 5.0  # of work, at most, that a kill can undo
_FORMAT = 2
_COPIED = 8192  # records at a time
_CHECKSUM_BYTES = 4


@contextmanager
def alone_at(out: Path) -> Iterator[Path]:
    """The folder of the rows of the catalogue at `out`, held by this run alone.

    Raises `BadInput` when another run holds it, or when it cannot be written.
    """
    out = out.resolve()
    folder = out.with_name(f"{out.name}.rows")
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_free = held.enter_context(locked(folder))
        except OSError as error:
            raise BadInput(f"cannot write {folder}: {error.strerror or error}") from None
        if not is_free:
            raise BadInput(f"another run is writing {out}")
        try:
            yield folder
        finally:
            with suppress(OSError):
                folder.rmdir()  # where nothing was embedded


class Rows:
    """The embedded rows of one encoder. `identity` is all that its numbers depend on, `dim` their length.

    All methods raise `OSError` where the folder cannot be read or written, `BadInput` where something else than a file
    stands in the place of one.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], dim: int) -> None:
        text = json.dumps({"format": _FORMAT, "dim": dim, **identity}, sort_keys=True, indent=1) + "\n"
        self.dim = dim
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._dtype = np.dtype(
            [
                ("checksum", "<u4"),
                ("appid", "<u4"),
                ("content", "u1", 16),
                ("digest", "u1", 16),
                ("size", "<u4", 2),
                ("embedding", "<f4", dim),
            ]
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / IDENTITY).write_text(text, encoding="utf-8")
        self._waiting: dict[View, list[Records]] = {view: [] for view in VIEWS}
        self._flushed = time.monotonic()
        self._index: dict[View, dict[int, int]] = {}  # appid to number of its record, the last one where there are more
        self._count: dict[View, int] = {}
        for view in VIEWS:
            self._read_index(view)

    def _path(self, view: View) -> Path:
        return self._folder / f"{view}.records"

    def _records(self, view: View) -> Records:
        """All whole records on disk, memory-mapped, read-only."""
        path = self._path(view)
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is not a regular file; remove it")
        count = path.stat().st_size // self._dtype.itemsize if path.exists() else 0
        if not count:
            return np.empty(0, self._dtype)
        return np.asarray(np.memmap(path, self._dtype, "r", shape=(count,)))

    def _read_index(self, view: View) -> None:
        records = self._records(view)
        self._count[view] = len(records)
        self._index[view] = {
            appid: number
            for number, (appid, checksum) in enumerate(
                zip(records["appid"].tolist(), records["checksum"].tolist(), strict=True)
            )
            if checksum == self._checksum(view, records[number])
        }

    def _checksum(self, view: View, record: np.void) -> int:
        """Of a record in its place: one that was moved to another view or encoder is not whole there."""
        place = zlib.crc32(f"{self._folder.name}/{view}".encode())
        return zlib.crc32(record.tobytes()[_CHECKSUM_BYTES:], place)

    def contents(self, view: View) -> dict[int, bytes]:
        """The hash of the file that each appid was embedded from."""
        records = self._records(view)
        return {appid: records[number]["content"].tobytes() for appid, number in self._index[view].items()}

    def sources(self, appids: Sequence[int]) -> list[Decoded]:
        """What the plain rows of `appids` were made of."""
        records = self._records("plain")
        numbers = [self._index["plain"][appid] for appid in appids]
        return [
            Decoded(content.tobytes(), digest.tobytes(), (int(size[0]), int(size[1])))
            for content, digest, size in (
                (records[number]["content"], records[number]["digest"], records[number]["size"]) for number in numbers
            )
        ]

    def add(self, view: View, appids: Sequence[int], sources: Sequence[Decoded], embeddings: Matrix) -> None:
        """Keep rows: `embeddings` is float32 (m, dim). They are on disk some seconds later, or after `flush`."""
        records = np.zeros(len(appids), self._dtype)
        for number, (appid, source) in enumerate(zip(appids, sources, strict=True)):
            record = records[number]
            record["appid"] = appid
            record["content"] = np.frombuffer(source.content, np.uint8)
            record["digest"] = np.frombuffer(source.digest, np.uint8)
            record["size"] = source.size
            record["embedding"] = embeddings[number]
            record["checksum"] = self._checksum(view, record)
        self._waiting[view].append(records)

    def flush_after_a_while(self) -> None:
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put on disk what was added."""
        for view, waiting in self._waiting.items():
            if waiting:
                records = np.concatenate(waiting)
                with self._path(view).open("ab") as file:
                    file.truncate(self._count[view] * self._dtype.itemsize)  # what an earlier run left cut short
                    _write(file, records)
                first = self._count[view]
                self._index[view].update((appid, first + n) for n, appid in enumerate(records["appid"].tolist()))
                self._count[view] += len(records)
                waiting.clear()
        self._flushed = time.monotonic()

    def assemble(self, view: View, appids: Sequence[int]) -> Matrix:
        """The embeddings of `appids` in their order: float32 (n, dim), mapped from a file of this folder that `tidy`
        removes, so that they take no memory that another program could need."""
        if not appids:
            return np.empty((0, self.dim), np.float32)
        records = self._records(view)
        numbers = np.array([self._index[view][appid] for appid in appids])
        path = self._folder / f"{view}.assembled"
        with path.open("wb") as file:  # written, not mapped: writing to a mapped file on a full disk is a SIGBUS
            for start in range(0, len(numbers), _COPIED):
                file.write(records["embedding"][numbers[start : start + _COPIED]].tobytes())
        return np.asarray(np.memmap(path, np.float32, "r", shape=(len(appids), self.dim)))

    def tidy(self, appids: Sequence[int]) -> None:
        """Keep the rows of `appids` and nothing else. A kill meanwhile loses nothing."""
        for view in VIEWS:
            index, records = self._index[view], self._records(view)
            numbers = np.array([index[appid] for appid in appids if appid in index], np.int64)
            if len(numbers) != len(records):
                beside = self._path(view).with_suffix(".part")
                with beside.open("wb") as file:
                    for start in range(0, len(numbers), _COPIED):
                        _write(file, records[numbers[start : start + _COPIED]])
                beside.replace(self._path(view))
                self._read_index(view)
        for pattern in ("*.assembled", "*.part"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)


def _write(file: Any, records: Records) -> None:
    file.write(records.tobytes())
    file.flush()
    os.fsync(file.fileno())
