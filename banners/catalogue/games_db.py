"""`games.db`: what is known of each game, the search index, and the labels of the banners, in one SQLite file.

Anybody may open it with their own tools: `sqlite3 games.db "SELECT appid, name FROM games WHERE year = 2020"`.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from banners.catalogue import names, search
from banners.catalogue.labels import Labels, Term
from banners.catalogue.search import Found
from banners.errors import BadCatalogue, Unavailable, one_line
from banners.games_csv import Game, valid_unicode

_SCHEMA = """
    CREATE TABLE games (
        rank INTEGER PRIMARY KEY,    -- by popularity, then the shorter name; the rowid of every search table
        row INTEGER NOT NULL UNIQUE, -- of the arrays of the catalogue
        appid INTEGER NOT NULL UNIQUE,
        name TEXT NOT NULL,
        popularity INTEGER NOT NULL,
        year INTEGER NOT NULL,       -- of release, 0 if it is not known
        is_adult INTEGER NOT NULL,
        is_benchmark INTEGER NOT NULL,
        known TEXT NOT NULL,         -- all further columns of games.csv, as JSON
        title TEXT NOT NULL, joined TEXT NOT NULL, initials TEXT NOT NULL  -- the name as it is searched
    );
    -- kind is developer, publisher or tag; folded is the value without case and accents
    CREATE TABLE properties (kind TEXT, folded TEXT, row INTEGER, value TEXT, PRIMARY KEY (kind, folded, row))
        WITHOUT ROWID;
    CREATE TABLE terms (number INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, base_rate REAL NOT NULL);
    CREATE TABLE labels (row INTEGER, place INTEGER, term INTEGER, probability REAL, PRIMARY KEY (row, place))
        WITHOUT ROWID;
    CREATE TABLE term_games (term INTEGER, place INTEGER, row INTEGER, PRIMARY KEY (term, place)) WITHOUT ROWID;
"""
_GAME = "SELECT appid, name, known FROM games"
_COLUMNS = np.dtype([("popularity", "i8"), ("year", "i4"), ("is_adult", "?"), ("has_name", "?"), ("is_benchmark", "?")])
_MAX_YEAR = 9999
_CACHE_KB = 500  # of a connection; the system keeps the file's pages for all of them


def write_games_db(path: Path, games: Sequence[Game], labels: Labels | None = None) -> None:
    """Write `games`, which are sorted by appid, to a new file. Raises `OSError`, `Unavailable` where this SQLite lacks
    FTS5 with the trigram tokenizer (3.34)."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA + search.SCHEMA)
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO games VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (_record(rank, row, games[row]) for rank, row in enumerate(search.by_rank(games), 1)),
        )
        db.executemany(
            "INSERT OR IGNORE INTO properties VALUES (?, ?, ?, ?)",
            ((kind, _folded(value), row, value) for row, game in enumerate(games) for kind, value in _properties(game)),
        )
        search.build_index(db)
        if labels is not None:
            _write_labels(db, labels)
        db.execute("COMMIT")
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if "fts5" in str(error) or "tokenizer" in str(error):
            raise Unavailable(f"this Python's SQLite {sqlite3.sqlite_version} lacks FTS5 with trigrams") from None
        raise OSError(None, str(error)) from None
    finally:
        db.close()


def _record(rank: int, row: int, game: Game) -> tuple[object, ...]:
    name = valid_unicode(game.name)
    year = game.known.get("year", 0)
    known = {key: valid_unicode(value) if isinstance(value, str) else value for key, value in game.known.items()}
    return (
        *(rank, row, game.appid, name, game.popularity),
        year if isinstance(year, int) and 0 < year <= _MAX_YEAR else 0,
        game.is_adult,
        bool(game.known.get("benchmark")),
        json.dumps(known, ensure_ascii=False),
        *names.search_columns(name),
    )


def _properties(game: Game) -> Iterator[tuple[str, str]]:
    for kind, column in (("developer", "developer"), ("publisher", "publisher"), ("tag", "tags")):
        for value in game.listed(column):
            yield kind, valid_unicode(value)


def _folded(value: str) -> str:
    """A name as filters compare it: "C#" and "C++" are two. Characters that nobody sees, as joiners, do not count."""
    return " ".join("".join(filter(str.isprintable, " ".join(names.fold_letters(value).split()))).split())


def _write_labels(db: sqlite3.Connection, labels: Labels) -> None:
    terms = zip(labels.vocabulary, labels.base_rates.tolist(), strict=True)
    db.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?)",
        ((number, term.name, term.kind, base_rate) for number, (term, base_rate) in enumerate(terms)),
    )
    db.executemany(
        "INSERT INTO labels VALUES (?, ?, ?, ?)",
        (
            (row, place, term, round(probability, 6))
            for row, (found, likely) in enumerate(zip(labels.terms, labels.probabilities, strict=True))
            for place, (term, probability) in enumerate(zip(found.tolist(), likely.tolist(), strict=True))
            if probability
        ),
    )
    db.executemany(
        "INSERT INTO term_games VALUES (?, ?, ?)",
        ((term, place, row) for term, rows in enumerate(labels.banners.tolist()) for place, row in enumerate(rows)),
    )


class _Connection(sqlite3.Connection):
    """Closes itself when its thread or its catalogue is gone; since 3.13 Python warns of connections left open."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


@dataclass
class Games(Sequence[Game]):
    """The games of a catalogue by row number, read from `games.db` when they are asked for, by any number of threads.

    Raises `BadCatalogue` where the file cannot be opened.
    """

    path: Path

    def __post_init__(self) -> None:
        self.begin_process()
        try:
            self._first = self._open()
            self._identity = self._identity_of_file()
            self._count: int = self._first.execute("SELECT count(*) FROM games").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            raise BadCatalogue(f"cannot read {self.path}: {one_line(error)}") from None

    def begin_process(self) -> None:
        """Call this in a process that was just forked: its threads open the file for themselves. `_first` is kept as
        the source of a copy if the file is gone. That is safe: an immutable file is neither locked nor written."""
        self._local, self._copying = threading.local(), threading.Lock()

    @property
    def is_in_place(self) -> bool:
        """Whether the file that was opened is still there."""
        with suppress(OSError):
            return self._identity_of_file() == self._identity
        return False

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection. Python's connections must not be used by two threads at once: they share prepared
        statements."""
        try:
            db: sqlite3.Connection = self._local.db
        except AttributeError:
            db = self._local.db = self._connection_to_the_same_file()
        return db

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1"
        # Each thread uses its own connection, but any thread may collect it as garbage.
        db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, factory=_Connection)
        db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        return db

    def _identity_of_file(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino, status.st_mtime_ns

    def _connection_to_the_same_file(self) -> sqlite3.Connection:
        """Another connection to the file that was opened, or to a copy in memory if it was replaced or is gone."""
        with suppress(sqlite3.Error):
            db = self._open()
            if self.is_in_place:
                return db
        with self._copying:
            uri = self._copy
        return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, factory=_Connection)

    @cached_property
    def _copy(self) -> str:
        """The URI of a copy in memory, which all threads share (https://sqlite.org/src/file/src/memdb.c)."""
        uri = f"file:/{id(self)}?vfs=memdb"
        self._keeper = sqlite3.connect(uri, uri=True, check_same_thread=False, factory=_Connection)
        self._first.backup(self._keeper)
        return uri

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Game:  # type: ignore[override]  # no slices
        found = self._db.execute(f"{_GAME} WHERE row = ?", (int(row),)).fetchone()
        if found is None:
            raise IndexError(row)
        return _game(*found)

    def __iter__(self) -> Iterator[Game]:
        return (_game(*found) for found in self._db.execute(f"{_GAME} ORDER BY row"))

    def columns(self) -> npt.NDArray[np.void]:
        """popularity, year, is_adult, has_name and is_benchmark of all games: (n,), by row."""
        found = self._db.execute("SELECT popularity, year, is_adult, name <> '', is_benchmark FROM games ORDER BY row")
        return np.fromiter(found, _COLUMNS, len(self))

    def search(self, query: str, limit: int = 10, offset: int = 0) -> Found:
        """See `banners.catalogue.search.search`."""
        return search.search(self._db, query, limit, offset)

    def nearest_names(self, query: str, count: int) -> list[int]:
        """The rows of the `count` names that are the fewest edits away from `query`, the popular first of equals."""
        rows, titles = self._titles
        return [rows[place] for place in search.nearest_titles(titles, query, count)]

    @cached_property
    def _titles(self) -> tuple[list[int], list[str]]:
        return search.titles(self._db)

    def titled(self, name: str) -> list[int]:
        """See `banners.catalogue.search.titled`."""
        return search.titled(self._db, name)

    def rows_with(self, kind: str, value: str) -> list[int]:
        """The rows of games with a "developer", "publisher" or "tag" of this name, whatever its case and accents."""
        found = self._db.execute("SELECT row FROM properties WHERE kind = ? AND folded = ?", (kind, _folded(value)))
        return [row for (row,) in found]

    def most_frequent(self, kind: str, count: int) -> tuple[str, ...]:
        """The developers, publishers or tags of the most games."""
        found = self._db.execute(
            "SELECT min(value) FROM properties WHERE kind = ? GROUP BY folded ORDER BY count(*) DESC, 1 LIMIT ?",
            (kind, count),
        )
        return tuple(value for (value,) in found)

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The vocabulary that the banners were labelled with, without prompts; empty where they were not."""
        found = self._db.execute("SELECT name, kind FROM terms ORDER BY number")
        return tuple(Term(name, kind, ()) for name, kind in found)

    @cached_property
    def base_rates(self) -> npt.NDArray[np.float32]:
        """Each term's mean probability over all banners: float32 (L,)."""
        found = self._db.execute("SELECT base_rate FROM terms ORDER BY number")
        return np.array([base_rate for (base_rate,) in found], np.float32)

    def labels_of(self, row: int) -> list[tuple[Term, float]]:
        """The terms that fit a banner best, and their probabilities; see `banners.catalogue.labels`."""
        found = self._db.execute("SELECT term, probability FROM labels WHERE row = ? ORDER BY place", (int(row),))
        return [(self.terms[term], probability) for term, probability in found]

    def rows_of_term(self, number: int) -> list[int]:
        """The rows whose banners fit a term best."""
        found: Iterable[tuple[int]] = self._db.execute(
            "SELECT row FROM term_games WHERE term = ? ORDER BY place", (number,)
        )
        return [row for (row,) in found]


def _game(appid: int, name: str, known: str) -> Game:
    return Game(appid, name, json.loads(known))
