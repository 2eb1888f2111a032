"""Which catalogue is served, and its replacement.

A catalogue's folder is replaced in one step. The server notices it some seconds later, opens the new catalogue in the
background, and serves the old one until the new one is ready. A new catalogue that cannot be served is ignored. Each
request sees one catalogue from beginning to end.
"""

import os
import threading
import time
from functools import partial
from pathlib import Path

from flask import Flask, Response, current_app, g

from banners.catalogue.manifest import MANIFEST
from banners.errors import BadCatalogue, one_line
from webapp.site import Site

CHECK_EVERY = 5.0  # seconds
CHECK_AFTER_FAILURE = 20.0
_ABSENT = (0, 0, 0)


class CurrentCatalogue:
    """Keeps `site` up to date. Raises `BadCatalogue` and `BadInput` if there is nothing to begin with."""

    def __init__(self, catalogue: Path, banners: Path | None, threads: int, cdn: str, database_url: str) -> None:
        self._catalogue = catalogue
        self._stamp = self._read_stamp()
        self._open = partial(Site, catalogue, banners, threads, cdn, database_url=database_url)
        self.site = self._open(but_large=True)
        self._has_unchecked_files = True
        self.next_check = time.monotonic() + CHECK_EVERY
        self._lock = threading.Lock()

    def _read_stamp(self) -> tuple[int, int, int]:
        """The manifest's inode, time and size, which change when a catalogue is replaced; zeros if there is none."""
        try:
            status = (self._catalogue / MANIFEST).stat()
        except OSError:
            return _ABSENT
        return status.st_ino, status.st_mtime_ns, status.st_size

    def begin_worker(self, app: Flask) -> None:
        """Call this in a process that was just forked. It opens the new catalogue if one was put in place since the
        parent opened it; if there is none, it goes on with what the parent opened."""
        stamp, is_in_place = self._read_stamp(), self.site.catalogue.games.database.is_in_place
        if stamp == _ABSENT or (stamp == self._stamp and not is_in_place):
            app.logger.warning("files of %s are missing; those that were opened are served on", self._catalogue)
        elif stamp != self._stamp:
            self._lock.acquire()
            self._replace(app, stamp)

    def refresh(self, app: Flask) -> None:
        """Start to open a new catalogue if there is one, and return at once."""
        if time.monotonic() < self.next_check or not self._lock.acquire(blocking=False):
            return
        self.next_check = time.monotonic() + CHECK_EVERY
        stamp = self._read_stamp()
        if stamp in (self._stamp, _ABSENT):
            self._lock.release()
            return
        try:
            threading.Thread(target=self._replace, args=(app, stamp), name="catalogue", daemon=True).start()
        except RuntimeError as error:  # too many threads
            self._lock.release()
            app.logger.error("a new catalogue is not opened yet: %s", error)

    def _replace(self, app: Flask, stamp: tuple[int, int, int]) -> None:
        try:
            site = self._open()
            site.warm()
            self.site, self._stamp, self._has_unchecked_files = site, stamp, False
            app.logger.warning("the catalogue was replaced: %d games", len(site))
        except Exception as error:  # whatever is wrong with the new catalogue, the old one is still there
            app.logger.error("the catalogue was replaced by one that cannot be served: %s", error)
            self.next_check = time.monotonic() + CHECK_AFTER_FAILURE  # it may still be copied, file by file
        finally:
            self._lock.release()

    def check_after(self, response: Response, app: Flask) -> Response:
        """Check the hashes of large files once the first answer was sent, in one of the workers."""
        if self._has_unchecked_files and os.environ.get("WORKER_NUMBER", "0") == "0":
            self._has_unchecked_files = False
            response.call_on_close(threading.Thread(target=self._check, args=(app,), name="hashes", daemon=True).start)
        return response

    def _check(self, app: Flask) -> None:
        try:
            self.site.catalogue.check_large_files()
        except (BadCatalogue, OSError) as error:
            if self._read_stamp() == self._stamp:  # else these are files of another catalogue
                app.logger.error("the catalogue is damaged: %s", one_line(error))


def current_site() -> Site:
    """The catalogue that this request sees."""
    try:
        pinned: Site = g.site
    except AttributeError:
        pinned = g.site = current_app.extensions["catalogue"].site
    return pinned


def register(app: Flask, catalogue: Path, banners: Path | None, threads: int, cdn: str, database_url: str) -> None:
    """Queries are embedded by `threads` threads; `cdn` is the base URL of Steam's banners; `database_url` is as for
    `Site`. Raises `BadCatalogue` and `BadInput`."""
    current = app.extensions["catalogue"] = CurrentCatalogue(catalogue, banners, threads, cdn, database_url)
    app.before_request(lambda: current.refresh(app))
    app.after_request(lambda response: current.check_after(response, app))
    # A request context may live until the next garbage collection; the catalogue that it used must not.
    app.teardown_request(lambda _: g.pop("site", None))
