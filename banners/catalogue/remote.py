"""A packed catalogue behind a URL: fetched beside its place, checked, and renamed into place."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from banners.catalogue import archive, writer
from banners.catalogue.manifest import ORIGIN
from banners.connections import REDIRECTS, USER_AGENT, connections_for, reason, redirect_target, shown
from banners.errors import BadCatalogue, BadInput, Unavailable
from banners.files import write_whole

LONGEST = 3600.0  # seconds for the whole archive
_SILENCE = 20.0  # seconds without a byte
_PIECE = 1 << 17  # bytes
# A connection that is kept would be shared by the processes that are forked later.
_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}


class Source(msgspec.Struct, frozen=True):
    """Where a packed catalogue lies, or came from: the file `origin.json` of a fetched one."""

    url: str = ""  # in the file without its query, which may be a signature
    sha256: str = ""  # of the archive, "" for whatever lies there
    etag: str = ""

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Read `https://host/file.tar.gz#sha256=<64 digits>`. Raises `BadInput`, which shows no password."""
        url, mark, fragment = text.strip().partition("#")
        sha256 = fragment.strip().lower().removeprefix("sha256=")
        if not _is_allowed(url) or (mark and not re.fullmatch("[0-9a-f]{64}", sha256, re.ASCII)):
            raise BadInput(f"{name} is no address such as https://example.org/c.tar.gz, or with #sha256=<64 digits>")
        return cls(url, sha256)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The source of the catalogue at `folder`; empty if it was not fetched."""
        try:
            return msgspec.json.decode((folder / ORIGIN).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return cls()


def fetch(source: Source, folder: Path, report: Callable[[str], object]) -> bool:
    """Put the packed catalogue of `source` at `folder`; False if it is there already. `report` gets a line for each
    tenth of it. Other processes that fetch to the same place wait for this one.

    Raises `Unavailable`, `BadCatalogue` or `BadInput`; `folder` is then unchanged.
    """
    began, folder = time.monotonic(), folder.resolve()
    if source.sha256 and source.sha256 == Source.of(folder).sha256:  # nothing to write: the disk may be read-only
        return False
    writer.check_target(folder)
    try:
        with writer.fresh_folder_beside(folder, patience=LONGEST) as fresh:
            origin = Source.of(folder)
            if source.sha256 and source.sha256 == origin.sha256:
                return False
            is_known = origin.url == shown(source.url) and not source.sha256
            if is_known and seconds_since_check(folder) < time.monotonic() - began:
                return False  # by the process that this one waited for
            headers = {"If-None-Match": origin.etag} if is_known and origin.etag else {}
            with closing(_open(source.url, headers)) as response:
                if response.status == 304:
                    os.utime(folder / ORIGIN)
                    return False
                download = _Download(response, report)
                archive.unpack(download, fresh)
            new = Source(shown(source.url), download.sha256.hexdigest(), response.headers.get("ETag", ""))
            if source.sha256 not in ("", new.sha256):
                raise BadCatalogue(f"its SHA-256 is {new.sha256}, expected {source.sha256}")
            if new.sha256 == origin.sha256:  # of a server without entity tags
                write_whole(folder / ORIGIN, msgspec.json.encode(new))
                return False
            (fresh / ORIGIN).write_bytes(msgspec.json.encode(new))
            writer.put_in_place(fresh, folder)
    except (HTTPError, ValueError) as error:
        raise Unavailable(f"{shown(source.url)}: {reason(error)}") from None
    except BadCatalogue as error:
        raise BadCatalogue(f"{shown(source.url)}: {error}") from None
    except OSError as error:
        raise BadInput(f"cannot write {folder}: {error.strerror or error}") from None
    return True


def seconds_since_check(folder: Path) -> float:
    """How long ago the catalogue at `folder` was fetched or found to be the latest one."""
    try:
        return time.time() - (folder / ORIGIN).stat().st_mtime
    except OSError:
        return float("inf")


def _is_allowed(url: str) -> bool:
    """Whether a catalogue may be fetched from there: https, http on this machine only, no user's name."""
    match = re.fullmatch(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/[!-~]*", url, re.ASCII)
    return match is not None and (match[1] == "https" or match[2] in ("localhost", "127.0.0.1", "[::1]"))


def _open(url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """The answer: 200, or 304 if `headers` ask for it. Raises `BadInput`, `ValueError` and urllib3's errors."""
    for _ in range(REDIRECTS + 1):
        response = connections_for(url, 1, _SILENCE).request(
            "GET", url, headers={**_HEADERS, **headers}, preload_content=False, redirect=False, retries=False
        )
        following = redirect_target(response, url)
        if not following:
            break
        response.close()
        if not _is_allowed(following):
            raise ValueError("it redirects to where no catalogue is fetched from")
        url = following
    if response.status != 200 and (response.status != 304 or not headers):
        response.close()
        raise ValueError(f"status {response.status}")
    return response


class _Download:
    """The body of an answer as it is read. Raises `Unavailable` for one that takes too long."""

    def __init__(self, response: urllib3.BaseHTTPResponse, report: Callable[[str], object]) -> None:
        length = response.headers.get("Content-Length", "")
        self._total = int(length) if re.fullmatch("[0-9]{1,15}", length, re.ASCII) else 0
        self._response, self._report, self._deadline = response, report, time.monotonic() + LONGEST
        self._step = max(self._total // 10, 1_000_000) if self._total else 50_000_000
        self.received, self.sha256 = 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        # `read` would wait for all bytes; gzip needs its first two at once.
        read = self._response.read1 if size > 2 else self._response.read
        data: bytes = read(min(size, _PIECE) if size > 0 else _PIECE, decode_content=False)
        self.received += len(data)
        if time.monotonic() > self._deadline:
            raise Unavailable(f"the archive takes longer than {LONGEST / 60:.0f} minutes")
        self.sha256.update(data)
        if self.received // self._step > (self.received - len(data)) // self._step:
            self._report(f"fetching the catalogue: {self.received / 1e6:.0f} of {round(self._total / 1e6) or '?'} MB")
        return data
