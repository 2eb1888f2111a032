"""CATALOGUE_URL: a packed catalogue is fetched before the server starts, and looked for again while it runs."""

import threading
import time
from contextlib import suppress
from pathlib import Path

from flask import Flask

from banners.catalogue import remote
from banners.catalogue.manifest import MANIFEST
from banners.connections import shown
from banners.errors import SteamClipError, Unavailable

_PAUSES = (2, 8)  # seconds, before a start without a catalogue asks again


class Delivery:
    """Brings the catalogue of CATALOGUE_URL to CATALOGUE. The workers look again after `recheck` minutes, 0 for never;
    a new catalogue is then served like any that replaces another. Raises `BadInput` for an invalid address."""

    def __init__(self, app: Flask, recheck: int) -> None:
        self._app, self._every = app, 60 * recheck
        self._source = remote.Source.parse(app.config["CATALOGUE_URL"], "CATALOGUE_URL")
        self._folder = Path(app.config["CATALOGUE"])
        if self._every and self._source.sha256:
            app.logger.warning("CATALOGUE_URL names one archive by its SHA-256: CATALOGUE_RECHECK has no effect")
            self._every = 0

    def bring_before_start(self) -> None:
        """Fetch the catalogue unless there is one that the workers look after. Raises `SteamClipError`."""
        if self._every and remote.Source.of(self._folder).url == shown(self._source.url):
            return
        for pause in _PAUSES:
            with suppress(Unavailable):
                self.bring()
                return
            self._app.logger.error("CATALOGUE_URL gives no catalogue; once more in %d seconds", pause)
            time.sleep(pause)
        self.bring()

    def bring(self) -> None:
        """Fetch the catalogue unless it is up to date. Raises `SteamClipError` if there is none to serve."""
        try:
            if remote.fetch(self._source, self._folder, self._app.logger.info):
                self._app.logger.info("fetched the catalogue of CATALOGUE_URL to %s", self._folder)
        except SteamClipError as error:
            if not (self._folder / MANIFEST).exists():
                raise
            self._app.logger.error("keeping the present catalogue: %s", error)

    def begin_worker(self) -> None:
        """Call this in a process that was just forked."""
        if self._every:
            threading.Thread(target=self._look_again, name="delivery", daemon=True).start()

    def _look_again(self) -> None:
        # All workers do this, as they come and go. The time of the last check is that of a file, so one of them checks.
        while True:
            if remote.seconds_since_check(self._folder) >= self._every:
                with suppress(SteamClipError):  # there is no catalogue any more; what was opened is served on
                    self.bring()
            left = self._every - remote.seconds_since_check(self._folder)
            time.sleep(left if left > 0 else self._every)


def register(app: Flask, recheck: int) -> None:
    """Fetch the catalogue of CATALOGUE_URL, if that is set. Raises `SteamClipError`."""
    if app.config["CATALOGUE_URL"]:
        app.extensions["delivery"] = Delivery(app, recheck)
        app.extensions["delivery"].bring_before_start()
