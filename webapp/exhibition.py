"""What is on show: an opened catalogue, and the next one when it is put in its place.

A catalogue's folder is replaced in one step. A server notices that some seconds later, opens the new one in the
background, and goes on serving the old one until it is ready; one that cannot be served is left alone. A request sees
one catalogue from its beginning to its end.
"""

import threading
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Self

from flask import Flask, current_app, g

from banners.catalogue.manifest import MANIFEST
from webapp import pages
from webapp.gallery import Gallery

LOOK_EVERY = 5.0  # seconds
LOOK_AGAIN = 20.0  # after one that could not be served


@dataclass(frozen=True)
class Shown:
    """`version` changes with the catalogue and with the images that are at hand."""

    gallery: Gallery
    site: pages.Site
    version: str

    @classmethod
    def open(cls, catalogue: Path, banners: Path | None, threads: int) -> Self:
        """Raises `BadCatalogue` and `BadInput`."""
        gallery = Gallery.open(catalogue, banners, threads)
        local = {appid: path.suffix for appid, path in gallery.local_images.items()}
        version = blake2b(f"{gallery.catalogue.manifest.raw} {local}".encode("utf-8", "replace"), digest_size=16)
        return cls(gallery, pages.site(gallery), version.hexdigest())


class Exhibition:
    """Keeps what is shown up to date. Raises `BadCatalogue` and `BadInput` when there is nothing to begin with."""

    def __init__(self, catalogue: Path, banners: Path | None, threads: int) -> None:
        self._catalogue, self._banners, self._threads = catalogue, banners, threads
        self._stamp = self._look()
        self.shown = Shown.open(catalogue, banners, threads)
        self._next_look = time.monotonic() + LOOK_EVERY
        self._lock = threading.Lock()

    def _look(self) -> tuple[int, int, int]:
        """What is another one's after a catalogue was replaced; zeros where there is none."""
        try:
            status = (self._catalogue / MANIFEST).stat()
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size

    def begin_worker(self, app: Flask) -> None:
        """To be called in a process that was just forked: it opens `games.db` for itself, and whatever catalogue was
        put in place since its parent opened one."""
        stamp = self._look()
        if stamp in (self._stamp, (0, 0, 0)):
            self.shown.gallery.catalogue.games.connect()
        else:
            self._lock.acquire()
            self._replace(app, stamp)

    def refresh(self, app: Flask) -> None:
        """Begin to open another catalogue if there is one, and return at once; but wait for it where nobody has looked
        for a while, in a server that was idle, or a worker that was just forked from one that opened it long ago."""
        late = time.monotonic() - self._next_look
        if late < 0 or not self._lock.acquire(blocking=late > LOOK_EVERY):
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        stamp = self._look()
        if stamp in (self._stamp, (0, 0, 0)):
            self._lock.release()
        elif late > LOOK_EVERY:
            self._replace(app, stamp)
        else:
            threading.Thread(target=self._replace, args=(app, stamp), name="catalogue", daemon=True).start()

    def _replace(self, app: Flask, stamp: tuple[int, int, int]) -> None:
        try:
            shown = Shown.open(self._catalogue, self._banners, self._threads)
            shown.gallery.warm()
            self.shown, self._stamp = shown, stamp
            app.logger.warning("the catalogue was replaced: %d games", len(shown.gallery))
        except Exception as error:  # whatever is wrong with it, the other one is still there
            app.logger.error("the catalogue was replaced by one that cannot be served: %s", error)
            self._next_look = time.monotonic() + LOOK_AGAIN  # it may still be on its way, file by file
        finally:
            self._lock.release()


def shown() -> Shown:
    """What this request sees."""
    try:
        pinned: Shown = g.shown
    except AttributeError:
        pinned = g.shown = current_app.extensions["exhibition"].shown
    return pinned


def gallery() -> Gallery:
    return shown().gallery


def register(app: Flask, catalogue: Path, banners: Path | None, threads: int) -> None:
    """Queries are embedded by so many `threads`. Raises `BadCatalogue` and `BadInput`."""
    exhibition = app.extensions["exhibition"] = Exhibition(catalogue, banners, threads)
    app.before_request(lambda: exhibition.refresh(app))
    # What is left of a request may stay until the collector comes; the catalogue that it saw must not.
    app.teardown_request(lambda _: g.pop("shown", None))
