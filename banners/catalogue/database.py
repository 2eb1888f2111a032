"""A SQLite file of a catalogue, read by any number of threads and processes at once."""

import os
import sqlite3
import threading
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from banners.errors import BadCatalogue, one_line

_CACHE_KB = 500  # of a connection; the system keeps the file's pages for all of them


class Database:
    """A read-only SQLite file. It stays readable after it is replaced or removed.

    Each thread has its own connection, in a forked child too: two threads must not use one connection at once, since
    its prepared statements are shared. With `is_copied`, the file is copied to memory where a thread comes to it only
    after that; else such a thread gets an error. Raises `BadCatalogue` if the file cannot be opened.
    """

    def __init__(self, path: Path, is_copied: bool = True) -> None:
        self.path, self._is_copied = path, is_copied
        self._local, self._copying = threading.local(), threading.Lock()
        try:
            self._first = self._open()
            self._first.execute("SELECT 1 FROM sqlite_schema").fetchone()
            self._identity = self._identity_of_file()
        except (OSError, sqlite3.Error) as error:
            raise BadCatalogue(f"cannot read {path}: {one_line(error)}") from None

    @property
    def is_in_place(self) -> bool:
        """Whether the file that was opened is still there."""
        with suppress(OSError):
            return self._identity_of_file() == self._identity
        return False

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        if getattr(self._local, "process", None) != os.getpid():
            self._local.process, self._local.connection = os.getpid(), self._connection_to_the_same_file()
        connection: sqlite3.Connection = self._local.connection
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = _connect(f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        return connection

    def _identity_of_file(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns

    def _connection_to_the_same_file(self) -> sqlite3.Connection:
        """Another connection to the file that was opened, or to a copy in memory if that was replaced or is gone.

        The copy is made by the first connection, after a fork too: an immutable file is neither locked nor written.
        """
        with suppress(sqlite3.Error):
            connection = self._open()
            if self.is_in_place:
                return connection
        if not self._is_copied:
            raise BadCatalogue(f"{self.path} was replaced")
        with self._copying:
            uri = self._copy
        return _connect(uri)

    @cached_property
    def _copy(self) -> str:
        """The URI of a copy in memory, which all threads share (https://sqlite.org/src/file/src/memdb.c)."""
        uri = f"file:/{id(self)}?vfs=memdb"
        self._keeper = _connect(uri)
        self._first.backup(self._keeper)
        return uri


class _Connection(sqlite3.Connection):
    """Closes itself when its thread or its catalogue is gone; since 3.13 Python warns of connections left open."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


def _connect(uri: str) -> sqlite3.Connection:
    # Each thread uses its own connection, but any thread may collect it as garbage.
    return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, factory=_Connection)
