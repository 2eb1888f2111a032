"""Banners from the store's CDN into a banners folder: only what is missing or changed, and never half a file.

What was done is kept in a journal beside the files, one line of JSON for each game that is settled, appended after its
file is in place. A line that a kill cut short counts for nothing.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import formatdate, parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal, Self

from PIL import Image

from banners.errors import BadInput, UnusableImage
from banners.http import Client, Unanswered
from banners.images import FORMATS, decode
from banners.records import Game, parse_appid, valid_unicode
from banners.steam import CURATED, MAX_NAME, Addresses, App, Item

JOURNAL = ".fetch.jsonl"
SOURCE = "steam"  # the `source` column of games.csv
ONE_DAY = 24 * 3600.0

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')  # RFC 9110, section 8.8.3, but for bytes beyond ASCII

Status = Literal["fetched", "unchanged", "missing", "failed"]
_SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True)
class Settled:
    """A journal's line: what became of one game's banner, and when (seconds since 1970). `file` is "" where there is
    none on the server; `image` names the kind and size that were asked for."""

    item: Item
    image: str
    file: str
    path: str
    etag: str
    at: float

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Raises `BadInput`, `TypeError`, `KeyError` or `ValueError` for what is no such line."""
        item = data["item"]
        return cls(
            Item(
                parse_appid(str(item["appid"])),
                valid_unicode(str(item["name"])[:MAX_NAME]),
                int(item["year"]),
                tuple(map(int, item["descriptors"])),
                tuple(map(str, item["paths"])),
                tuple(parse_appid(str(appid)) for appid in item.get("demos", ())),
                bool(item.get("is_known", True)),
            ),
            image=str(data["image"]),
            file=str(data["file"]),
            path=str(data["path"]),
            etag=str(data["etag"]),
            at=float(data["at"]),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of one game in this run. `detail` is the reason where it failed."""

    settled: Settled
    status: Status
    detail: str = ""


class Journal:
    """The settled games of a banners folder. Safe to append to from any number of threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._lock = Lock()
        self._file: IO[str] | None = None
        self.settled: dict[int, Settled] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(BadInput, ValueError, KeyError, TypeError, OverflowError, RecursionError, AttributeError):
                    entry = Settled.from_json(json.loads(line))
                    self.settled[entry.item.appid] = entry

    def __enter__(self) -> Self:
        # Written anew first: later lines replace earlier ones, and a line cut short would spoil the next.
        beside = self._path.with_name(self._path.name + ".part")
        beside.write_text("".join(map(_line, self.settled.values())), encoding="utf-8")
        beside.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, entry: Settled) -> None:
        with self._lock:
            self.settled[entry.item.appid] = entry
            if self._file is not None:
                self._file.write(_line(entry))
                self._file.flush()


def _line(entry: Settled) -> str:
    return json.dumps(asdict(entry), separators=(",", ":")) + "\n"


def to_ask(
    appids: Iterable[int],
    settled: Mapping[int, Settled],
    files: Mapping[int, Path],
    image: str,
    now: float,
    recheck_days: float,
) -> list[int]:
    """Which of `appids` must be asked about: those not settled for this kind of image within `recheck_days`, and those
    whose file is gone. `files` are those in the folder by appid."""

    def is_settled(appid: int) -> bool:
        entry = settled.get(appid)
        return (
            entry is not None
            and entry.item.is_known
            and entry.image == image
            and 0 <= now - entry.at < recheck_days * ONE_DAY
            and entry.file == (files[appid].name if appid in files else "")
        )

    return [appid for appid in appids if not is_settled(appid)]


def download(
    client: Client,
    where: Addresses,
    folder: Path,
    files: Mapping[int, Path],
    items: Iterator[Sequence[Item]],
    journal: Journal,
    image: str,
    connections: int = 8,
) -> Iterator[Outcome]:
    """Fetch the banners of `items`, which come in batches, and yield what became of each as it is settled. `files` are
    those that were in the folder before, by appid."""
    with ThreadPoolExecutor(connections, thread_name_prefix="fetch") as pool:
        try:
            for batch in items:
                waiting = [
                    pool.submit(fetch_one, client, where, folder, files.get(item.appid), item, journal, image)
                    for item in batch
                ]
                for future in as_completed(waiting):
                    yield future.result()
        except BaseException:  # an interrupt too: what is not begun is not wanted any more
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def fetch_one(
    client: Client, where: Addresses, folder: Path, present: Path | None, item: Item, journal: Journal, image: str
) -> Outcome:
    """Fetch one banner along its paths, write it beside and rename it, and put it into the journal. `present` is the
    game's file so far."""
    known = journal.settled.get(item.appid)

    def failed(reason: str) -> Outcome:
        return Outcome(Settled(item, image, "", "", "", 0.0), "failed", reason)

    for path in item.paths:
        is_same = present is not None and (known is None or (known.image == image and known.path == path))
        try:
            answer = client.get(
                f"{where.cdn}/{item.appid}/{path}", _conditions(present, known) if is_same else {}, _check
            )
        except Unanswered as error:
            return failed(str(error))
        if answer.status == 404:
            continue
        etag = answer.headers.get("ETag", "")
        if answer.status == 304 and present is None:
            return failed("status 304, which was not asked for")
        if answer.status == 304 and present is not None:
            entry = Settled(item, image, present.name, path, etag or (known.etag if known else ""), time.time())
            journal.append(entry)
            return Outcome(entry, "unchanged")
        try:
            written = _write(folder, item.appid, answer.body, answer.headers.get("Last-Modified", ""))
        except OSError as error:
            return failed(error.strerror or str(error))
        if present is not None and present != written:
            present.unlink(missing_ok=True)
        entry = Settled(item, image, written.name, path, etag, time.time())
        journal.append(entry)
        return Outcome(entry, "fetched")
    entry = Settled(item, image, present.name if present else "", "", "", time.time())
    if not item.is_known:
        return failed("the store could not be asked where its banner is")
    if present is None:
        journal.append(entry)
    return Outcome(entry, "missing")


def _conditions(present: Path | None, known: Settled | None) -> dict[str, str]:
    """Headers that spare the body of a file that has not changed; without a journal's line by the file's own date."""
    if present is None:
        return {}
    if known is not None and _ETAG.fullmatch(known.etag):
        return {"If-None-Match": known.etag}
    return {"If-Modified-Since": formatdate(present.stat().st_mtime, usegmt=True)}


def _check(body: bytes) -> str:
    """Why a body is no banner; servers answer 200 with error pages and cut images short. An animated one is whole, and
    asking again would bring the same: the audit says what it is."""
    try:
        decode(BytesIO(body), allow_animated=True)
    except UnusableImage as error:
        return str(error)
    return ""


def _write(folder: Path, appid: int, body: bytes, modified: str) -> Path:
    with Image.open(BytesIO(body), formats=FORMATS) as image:
        suffix = _SUFFIX_OF_FORMAT.get(image.format or "", ".jpg")  # MPO is a JPEG
    path = folder / f"{appid}{suffix}"
    beside = folder / f".{path.name}.part"
    try:
        beside.write_bytes(body)
        with suppress(TypeError, ValueError, OverflowError):
            moment = parsedate_to_datetime(modified).timestamp()
            os.utime(beside, (moment, moment))  # asked for by date if a kill comes before the journal's line
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return path


def games(earlier: Mapping[int, Game], apps: Mapping[int, App], settled: Mapping[int, Settled]) -> list[Game]:
    """The games of this run and of `earlier` ones; what this run does not know keeps its earlier value."""
    merged = dict(earlier)
    for appid, app in apps.items():
        before = earlier.get(appid, Game(appid, ""))
        if before.known.get("source", SOURCE) != SOURCE:
            continue  # somebody else's
        entry = settled.get(appid)
        item = entry.item if entry else Item(appid)
        now: dict[str, str | int] = {
            "popularity": app.popularity,
            "year": item.year,
            "descriptors": ";".join(map(str, item.descriptors)),
            "benchmark": "1" if app.in_benchmark or appid in CURATED else "",
            "image_path": entry.path if entry else "",
            "source": SOURCE,
        }
        known = {**before.known, **{column: value for column, value in now.items() if value}}
        merged[appid] = Game(appid, item.name or app.name or before.name, known)
    return list(merged.values())
