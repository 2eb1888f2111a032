"""`games.db`: what is known of each game, the search index, and the labels of the banners, in one SQLite file.

Anybody may open it with their own tools: `sqlite3 games.db "SELECT appid, name FROM games WHERE year = 2020"`.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from banners.catalogue import names, search
from banners.catalogue.database import Database
from banners.catalogue.places import Places, Region
from banners.catalogue.search import Hits
from banners.errors import BadCatalogue, one_line
from banners.games_csv import Game, valid_unicode
from banners.vectors.labels import Labels, Term

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
        columns TEXT NOT NULL,       -- all further columns of games.csv, as JSON
        title TEXT NOT NULL, joined TEXT NOT NULL, initials TEXT NOT NULL  -- the name as it is searched
    );
    -- kind is one of PROPERTIES; folded is the value without case and accents
    CREATE TABLE properties (kind TEXT, folded TEXT, row INTEGER, value TEXT, PRIMARY KEY (kind, folded, row))
        WITHOUT ROWID;
    CREATE TABLE terms (number INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, base_rate REAL NOT NULL);
    CREATE TABLE labels (row INTEGER, place INTEGER, term INTEGER, probability REAL, PRIMARY KEY (row, place))
        WITHOUT ROWID;
    CREATE TABLE term_games (term INTEGER, place INTEGER, row INTEGER, PRIMARY KEY (term, place)) WITHOUT ROWID;
    CREATE TABLE map (row INTEGER PRIMARY KEY, x INTEGER NOT NULL, y INTEGER NOT NULL); -- column and row of its cell
    CREATE TABLE regions (number INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL,
        x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, share REAL NOT NULL);
"""
PROPERTIES = {"developer": "developer", "publisher": "publisher", "tag": "tags"}  # kind: column of games.csv
_GAME = "SELECT appid, name, columns FROM games"
_COLUMNS = np.dtype([("popularity", "i8"), ("year", "i4"), ("is_adult", "?"), ("has_name", "?"), ("is_benchmark", "?")])
_MAX_YEAR = 9999
_FREQUENT = 60  # values of each kind


def write_games_db(
    path: Path, games: Sequence[Game], labels: Labels | None = None, places: Places | None = None
) -> None:
    """Write `games`, which are sorted by appid, to a new file. Raises `OSError`."""
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
        if places is not None:
            _write_places(db, places)
        db.execute("COMMIT")
        db.execute("VACUUM")
    except sqlite3.OperationalError as error:
        raise OSError(None, str(error)) from None
    finally:
        db.close()


def _record(rank: int, row: int, game: Game) -> tuple[object, ...]:
    name = valid_unicode(game.name)
    year = game.columns.get("year", 0)
    columns = {key: valid_unicode(value) if isinstance(value, str) else value for key, value in game.columns.items()}
    return (
        *(rank, row, game.appid, name, game.popularity),
        year if isinstance(year, int) and 0 < year <= _MAX_YEAR else 0,
        game.is_adult,
        bool(game.columns.get("benchmark")),
        json.dumps(columns, ensure_ascii=False),
        *names.search_columns(name),
    )


def _properties(game: Game) -> Iterator[tuple[str, str]]:
    for kind, column in PROPERTIES.items():
        for value in game.listed(column):
            yield kind, valid_unicode(value)


def _folded(value: str) -> str:
    """A name as filters compare it. Punctuation counts ("C#" is not "C++"); invisible characters do not."""
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
            for row, (numbers, likely) in enumerate(zip(labels.terms, labels.probabilities, strict=True))
            for place, (term, probability) in enumerate(zip(numbers.tolist(), likely.tolist(), strict=True))
            if probability
        ),
    )
    db.executemany(
        "INSERT INTO term_games VALUES (?, ?, ?)",
        ((term, place, row) for term, rows in enumerate(labels.banners.tolist()) for place, row in enumerate(rows)),
    )


def _write_places(db: sqlite3.Connection, places: Places) -> None:
    db.executemany("INSERT INTO map VALUES (?, ?, ?)", ((row, *at) for row, at in enumerate(places.cells.tolist())))
    db.executemany(
        "INSERT INTO regions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((number, *astuple(region)) for number, region in enumerate(places.regions)),
    )


class Games(Sequence[Game]):
    """The games of a catalogue by row number, read from `games.db` when they are asked for, by any number of threads.

    Raises `BadCatalogue` where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        try:
            self._count: int = self._db.execute("SELECT count(*) FROM games").fetchone()[0]
        except sqlite3.Error as error:
            raise BadCatalogue(f"cannot read {path}: {one_line(error)}") from None

    @property
    def _db(self) -> sqlite3.Connection:
        return self.database.connection

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> Game:  # type: ignore[override]  # no slices
        record = self._db.execute(f"{_GAME} WHERE row = ?", (int(row),)).fetchone()
        if record is None:
            raise IndexError(row)
        return _game(*record)

    def __iter__(self) -> Iterator[Game]:
        return (_game(*record) for record in self._db.execute(f"{_GAME} ORDER BY row"))

    def table(self) -> npt.NDArray[np.void]:
        """popularity, year, is_adult, has_name and is_benchmark of all games: (n,), by row. Raises `BadCatalogue`."""
        records = self._db.execute(
            "SELECT popularity, year, is_adult, name <> '', is_benchmark FROM games ORDER BY row"
        )
        return np.fromiter(records, _COLUMNS, len(self))

    def namesakes(self) -> list[int]:
        """The rows of games whose name another game has too, but for case, accents and punctuation."""
        records = self._db.execute(
            "SELECT row FROM games WHERE title IN"
            " (SELECT title FROM games WHERE title <> '' GROUP BY title HAVING count(*) > 1) ORDER BY row"
        )
        return [row for (row,) in records]

    def search(self, query: str, limit: int = 10, offset: int = 0) -> Hits:
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
        """The rows of games with a property of this kind and value, whatever its case and accents; see `PROPERTIES`."""
        records = self._db.execute("SELECT row FROM properties WHERE kind = ? AND folded = ?", (kind, _folded(value)))
        return [row for (row,) in records]

    @cached_property
    def frequent(self) -> dict[str, tuple[str, ...]]:
        """For each kind of properties the values that the most games have."""
        query = "SELECT min(value) FROM properties WHERE kind = ? GROUP BY folded ORDER BY count(*) DESC, 1 LIMIT ?"
        records = {kind: self._db.execute(query, (kind, _FREQUENT)) for kind in PROPERTIES}
        return {kind: tuple(value for (value,) in values) for kind, values in records.items()}

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The vocabulary that the banners were labelled with, without prompts; empty where they were not."""
        records = self._db.execute("SELECT name, kind FROM terms ORDER BY number")
        return tuple(Term(name, kind, ()) for name, kind in records)

    @cached_property
    def base_rates(self) -> npt.NDArray[np.float32]:
        """Each term's mean probability over all banners: float32 (L,)."""
        records = self._db.execute("SELECT base_rate FROM terms ORDER BY number")
        return np.array([base_rate for (base_rate,) in records], np.float32)

    @cached_property
    def places(self) -> Places | None:
        """The places of the games on the map. None if the catalogue has no map."""
        cells = np.array(self._db.execute("SELECT x, y FROM map ORDER BY row").fetchall(), np.int32)
        if len(cells) != len(self):
            return None
        records = self._db.execute("SELECT name, kind, x, y, width, height, share FROM regions ORDER BY number")
        return Places(cells, tuple(Region(*record) for record in records))

    def labels_of(self, row: int) -> list[tuple[Term, float]]:
        """The terms that fit a banner best, and their probabilities; see `banners.vectors.labels`."""
        records = self._db.execute("SELECT term, probability FROM labels WHERE row = ? ORDER BY place", (int(row),))
        return [(self.terms[term], probability) for term, probability in records]

    def rows_of_term(self, number: int) -> list[int]:
        """The rows whose banners fit a term best."""
        records: Iterable[tuple[int]] = self._db.execute(
            "SELECT row FROM term_games WHERE term = ? ORDER BY place", (number,)
        )
        return [row for (row,) in records]


def _game(appid: int, name: str, columns: str) -> Game:
    return Game(appid, name, json.loads(columns))
