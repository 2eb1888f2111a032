"""Banners from the store's CDN into a banners folder: only what is missing or changed, and never half a file.

A journal beside the files has one line of JSON for each game that is settled. The line is appended before the file is
put in place, so the journal names all files of this program. A game is fetched again if its line is cut short, or if
its file is missing or has another length.
"""

import errno
import os
import random
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Literal

import msgspec
from msgspec.structs import replace

from banners.errors import UnusableImage
from banners.files import write_whole
from banners.games_csv import CURATED, Game, list_banners
from banners.images import decode
from banners.metadata import JPEG, PNG
from banners.steam import art_name
from banners.steam.api import Item
from banners.steam.http import Answer, Client, Unanswered

JOURNAL = ".fetch.jsonl"
SOURCE = "steam"  # the `source` column of games.csv
ONE_DAY = 24 * 3600.0
MAX_PIXELS = 20_000_000  # the largest kind, a hero of 3840x1240, has 5 million; eight are decoded at a time

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]*"')  # RFC 9110, section 8.8.3, but for bytes beyond ASCII

Status = Literal["fetched", "unchanged", "missing", "failed"]
_SUFFIXES = ((JPEG, ".jpg"), (PNG, ".png"), (b"RIFF", ".webp"))  # by what a picture begins with


@dataclass(frozen=True)
class File:
    """A banner's file in the folder, and its length in bytes."""

    path: Path
    length: int


class Settled(msgspec.Struct, frozen=True):
    """A journal's line: what became of one game's banner."""

    item: Item
    image: str  # the kind and size that were asked for
    file: str  # its name in the folder, "" if the server has none
    path: str  # on the CDN
    etag: str
    at: float  # seconds since 1970
    length: int = 0  # bytes
    modified: str = ""  # the Last-Modified header

    def is_of(self, file: File | None) -> bool:
        """Whether this is what is in the folder."""
        if file is None:
            return not self.file
        return (self.file, self.length) == (file.path.name, file.length)

    def conditions(self) -> dict[str, str]:
        """Headers that spare the body of a file that has not changed."""
        if _ETAG.fullmatch(self.etag):
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


@dataclass(frozen=True)
class Outcome:
    """The result for one game in this run. `detail` is the reason where it failed."""

    appid: int
    status: Status
    detail: str = ""


class Journal:
    """The settled games of a banners folder. Safe to append to from any number of threads. Raises `OSError`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._lock = Lock()
        self.settled: dict[int, Settled] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_bytes().splitlines():
                with suppress(ValueError, RecursionError):  # no JSON, of another form, or not UTF-8
                    entry = msgspec.json.decode(line, type=Settled)
                    self.settled[entry.item.appid] = entry
            # Written anew: later lines replace earlier ones, and a line cut short would spoil the next.
            write_whole(self._path, b"".join(map(_line, self.settled.values())))

    def append(self, entry: Settled) -> None:
        with self._lock, self._path.open("ab") as file:
            self.settled[entry.item.appid] = entry
            file.write(_line(entry))


def _line(entry: Settled) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def files_in(folder: Path) -> dict[int, File]:
    """The banners of a folder by appid. Raises `BadInput` if it cannot be listed."""
    files = {}
    for banner in list_banners(folder):
        with suppress(FileNotFoundError):  # it vanishes just now
            files[banner.appid] = File(banner.path, banner.path.stat().st_size)
    return files


def foreign(files: Mapping[int, File], settled: Mapping[int, Settled], games: Mapping[int, Game]) -> set[int]:
    """The appids whose files this program never fetches, overwrites or removes: `games.csv` names another source or the
    journal does not name the file. If the journal does not have the game, `image_path` in `games.csv` counts."""

    def is_foreign(appid: int, file: File) -> bool:
        columns = games[appid].columns if appid in games else {}
        if columns.get("source", SOURCE) != SOURCE:
            return True
        if appid in settled:
            return settled[appid].file != file.path.name
        return not columns.get("image_path")

    return {appid for appid, file in files.items() if is_foreign(appid, file)}


def to_ask(
    listed: Mapping[int, Item],
    settled: Mapping[int, Settled],
    files: Mapping[int, File],
    image: str,
    now: float,
    recheck_days: float,
) -> list[int]:
    """Which of the games must be asked about: those not settled for this kind of image within `recheck_days`, and those
    whose file is gone or damaged, or whose art is new. `files` are those in the folder by appid."""

    def is_settled(appid: int) -> bool:
        entry, paths = settled.get(appid), listed[appid].paths
        return (
            entry is not None
            and entry.item.is_known
            and entry.image == image
            and 0 <= now - entry.at < recheck_days * ONE_DAY
            and entry.is_of(files.get(appid))
            and not (paths and "?" in entry.path and entry.path not in paths)
        )

    return [appid for appid in listed if not is_settled(appid)]


def download(
    client: Client,
    cdn: str,
    folder: Path,
    files: Mapping[int, File],
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
                # In random order: games that the server always refuses must not hold up the others in each run.
                mixed = random.sample(batch, len(batch))
                waiting = [
                    pool.submit(fetch_one, client, cdn, folder, files.get(item.appid), item, journal, image)
                    for item in mixed
                ]
                for future in as_completed(waiting):
                    yield future.result()
        except BaseException:  # an interrupt too: stop all downloads
            client.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def fetch_one(
    client: Client, cdn: str, folder: Path, present: File | None, item: Item, journal: Journal, image: str
) -> Outcome:
    """Fetch one banner from the first path that exists, add it to the journal, then write it. `present` is the game's
    file so far."""
    entry = journal.settled.get(item.appid)

    def failed(reason: str) -> Outcome:
        return Outcome(item.appid, "failed", reason)

    if item.trouble:
        return failed(item.trouble)
    if present is not None and not item.is_known:  # a guessed address may have an older banner
        return failed("the store could not be asked where its banner is; the one that is here stays")
    for path in item.paths:
        is_same = entry and (entry.image, art_name(entry.path)) == (image, art_name(path)) and entry.is_of(present)
        same = entry if is_same else None
        try:
            answer = client.get(f"{cdn}/{item.appid}/{path}", same.conditions() if same else {}, _check)
        except Unanswered as error:
            return failed(str(error))
        if answer.status == 404:
            continue
        if answer.status == 304:
            if same is None:
                return failed("status 304, which was not asked for")
            journal.append(
                replace(same, item=item, path=path, etag=answer.headers.get("ETag", same.etag), at=time.time())
            )
            return Outcome(item.appid, "unchanged")
        try:
            _write(folder, present, answer, item, image, path, journal)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # the next ones would fail too
                raise
            return failed(error.strerror or str(error))
        return Outcome(item.appid, "fetched")
    if not item.is_known:
        return failed("the store could not be asked where its banner is")
    if present is None:
        journal.append(Settled(item, image, "", "", "", time.time()))
    return Outcome(item.appid, "missing")


def _check(body: bytes) -> str:
    """Why a body is no banner: servers send error pages and cut-off images with status 200. An animation passes, since
    another request would bring the same file; the audit reports it."""
    try:
        decode(BytesIO(body), MAX_PIXELS, allow_animated=True)
    except UnusableImage as error:
        return str(error)
    return ""


def _write(
    folder: Path, present: File | None, answer: Answer, item: Item, image: str, path: str, journal: Journal
) -> None:
    """Put a banner in place of `present`, and its line into the journal before that. Raises `OSError`."""
    suffix = next(suffix for begin, suffix in _SUFFIXES if answer.body.startswith(begin))
    file = folder / f"{item.appid}{suffix}"
    if os.path.lexists(file) and (present is None or present.path != file):
        raise FileExistsError(errno.EEXIST, f"{file.name} is there already, and not fetched by this program")
    etag, modified = (answer.headers.get(name, "") for name in ("ETag", "Last-Modified"))
    journal.append(Settled(item, image, file.name, path, etag, time.time(), len(answer.body), modified))
    write_whole(file, answer.body)
    if present is not None and present.path != file:
        present.path.unlink(missing_ok=True)


def games(
    earlier: Mapping[int, Game],
    listed: Mapping[int, Item],
    benchmark: Collection[int],
    settled: Mapping[int, Settled],
) -> list[Game]:
    """The games of this run and of `earlier` ones; what this run does not know keeps its earlier value."""
    merged = dict(earlier)
    # Numbers of reviews and of owners are two scales.
    has_reviews = any(item.is_known for item in listed.values())
    for appid, item in listed.items():
        before = earlier.get(appid, Game(appid, ""))
        if before.columns.get("source", SOURCE) != SOURCE:
            continue  # somebody else's
        entry = settled.get(appid)
        if entry and entry.item.is_known and not item.is_known:
            item = entry.item
        now: dict[str, str | int] = {
            "popularity": item.popularity if item.is_known or not has_reviews else 0,
            "year": item.year,
            "developer": ";".join(item.developers),
            "publisher": ";".join(item.publishers),
            "franchise": ";".join(item.franchises),
            "tags": ";".join(item.tags),
            "parent_appid": item.parent_appid,
            "descriptors": ";".join(map(str, item.descriptors)),
            "benchmark": "1" if appid in benchmark or appid in CURATED else "",
            "source": SOURCE,
        }
        now = {column: value for column, value in now.items() if value}
        if entry and entry.path:
            is_first = art_name(entry.path) in map(art_name, item.paths[:1])
            now |= {"image_path": entry.path, "image_path_2x": item.path_2x if is_first else ""}
        merged[appid] = Game(appid, item.name or before.name, {**before.columns, **now})
    return list(merged.values())
