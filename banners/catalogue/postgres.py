"""The vectors and local features of a catalogue in PostgreSQL with pgvector (https://github.com/pgvector/pgvector), for
hosts that they outgrow.

Each version has tables of its own, named after the catalogue: a server reads the version of the catalogue that it
serves, whatever is pushed meanwhile. Whoever reads one holds a lock in the database; the next push drops those that
nobody reads.

Search by a part has an inverted file: for each visual word the rows that have it (J. Sivic and A. Zisserman, Video
Google, 2003). The words of the part give a shortlist, whose local features are compared as those in files are.
"""

import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import Connection, sql
from psycopg_pool import ConnectionPool, PoolTimeout

from banners.arrays import Indices, Mask, Matrix, Vector
from banners.catalogue.manifest import Manifest
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.errors import Away, BadInput, one_line
from banners.vectors import regions
from banners.vectors.artwork import Artwork
from banners.vectors.regions import Codes, CodesInFile, Evidence, LocalFeatures, Part, StoredCodes
from banners.views import View

_BLOCK = 4096  # rows in a transaction
_EF_SEARCH = 500  # candidates that are kept; RESULTS.md has the recall of others
_SCANNED = 200_000  # rows at most, where many do not pass
_FEW = 10_000  # rows that pass: all are compared
_SHORTEST, _LONGER = 200, 8  # rows that are asked for first, and how many times as many then
_CONNECTIONS = 8  # of a process
_PATIENCE = 2.0  # seconds until the database counts as away
_BINARY_COPY = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_WORDS_OF_A_CELL = 4  # of the part that is searched: the lists of so many are read
_SHORTLISTED = 2000  # banners whose local features are compared
_SAMPLE = 1000  # banners that stand for all
_NAMING = ("appids.npy", "neighbours", "similarities")  # files that every packed catalogue has
_KINDS = ("vectors", "cells", "words")  # of tables
_LOCKS = 0x5C11  # the class of our advisory locks

_Bytes = npt.NDArray[np.uint8]

logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # each attempt to connect would be a line of several

_SETTINGS = (
    f"SET hnsw.ef_search = {_EF_SEARCH}",
    "SET hnsw.iterative_scan = strict_order",
    f"SET hnsw.max_scan_tuples = {_SCANNED}",
    "SET jit = off",
    "SET statement_timeout = '10s'",
)


def key_of(manifest: Manifest) -> str:
    """The name of a catalogue's version: 16 hexadecimal digits. Packing it without its vectors keeps the name."""
    files = [f"{name} {info.sha256}" for name, info in sorted(manifest.files.items()) if name.startswith(_NAMING)]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()[:16]


def _lock_number(key: str) -> int:
    return int(key[:8], 16) - 2**31


def _table(key: str, kind: str = "vectors") -> sql.Identifier:
    return sql.Identifier("steam_clip", f"{kind}_{key}")


def _numbers(vector: Vector) -> str:
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"


# -- writing --------------------------------------------------------------------------------------------------------


def push(
    folder: Path, url: str, say: Callable[[str], None], on_progress: Callable[[int], None] = lambda _: None
) -> tuple[str, int]:
    """Put the vectors and local features of a catalogue into the database at `url`. A second push continues one that
    was stopped. Servers read a version once it is complete. Other versions that nobody reads are dropped. Returns the
    version and the number of its rows. `on_progress` is called with numbers of finished rows.

    Raises `BadCatalogue` and `BadInput`.
    """
    catalogue = open_catalogue(folder, check_hashes=True)
    if catalogue.matrix is None:
        raise BadInput(f"{folder} was packed without its vectors; push the whole catalogue")
    key = key_of(catalogue.manifest)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as db:
            _prepare(db, key)
            _copy_vectors(db, key, catalogue, on_progress)
            _index(db, key, catalogue.artwork is not None, say)
            if catalogue.local_features is not None:
                _copy_cells(db, key, len(catalogue), catalogue.local_features.codes)
                _index_words(db, key, len(catalogue), catalogue.local_features.codes, say)
            _complete(db, key, catalogue)
            _drop_others(db, key, say)
    except psycopg.Error as error:
        raise BadInput(f"the database refused: {one_line(error)}") from None
    return key, len(catalogue)


def _prepare(db: Connection[Any], key: str) -> None:
    db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    db.execute("CREATE SCHEMA IF NOT EXISTS steam_clip")
    db.execute(
        "CREATE TABLE IF NOT EXISTS steam_clip.versions (key text PRIMARY KEY, is_complete boolean NOT NULL"
        " DEFAULT false, facts bytea, pushed timestamptz NOT NULL DEFAULT now())"
    )
    row = db.execute("SELECT pg_try_advisory_lock(%s, 0)", (_LOCKS,)).fetchone()
    if not row or not row[0]:
        raise BadInput("another push to this database is running")
    db.execute("SELECT pg_advisory_lock_shared(%s, %s)", (_LOCKS, _lock_number(key)))
    db.execute("INSERT INTO steam_clip.versions (key) VALUES (%s) ON CONFLICT DO NOTHING", (key,))


def _copy_vectors(db: Connection[Any], key: str, catalogue: Catalogue, on_progress: Callable[[int], None]) -> None:
    dim, artwork = sql.Literal(catalogue.embeddings.shape[1]), catalogue.artwork
    columns = sql.SQL("plain halfvec({dim}) NOT NULL, artwork halfvec({dim})").format(dim=dim)

    def fields(rows: Indices) -> dict[str, _Bytes]:
        embeddings = catalogue.embeddings[rows]
        plain = {"plain": _halfvecs(embeddings)}
        return plain if artwork is None else plain | {"artwork": _halfvecs(artwork.view(embeddings))}

    _copy(db, _table(key), columns, len(catalogue), fields, on_progress)


def _copy_cells(db: Connection[Any], key: str, n: int, codes: StoredCodes) -> None:
    def fields(rows: Indices) -> dict[str, _Bytes]:
        return {"cells": codes.read(rows).reshape(len(rows), -1).view("u1")}

    _copy(db, _table(key, "cells"), sql.SQL("cells bytea NOT NULL"), n, fields, lambda _: None)


def _copy(
    db: Connection[Any],
    table: sql.Identifier,
    columns: sql.Composable,
    n: int,
    fields: Callable[[Indices], Mapping[str, _Bytes]],
    on_progress: Callable[[int], None],
) -> None:
    """Blocks arrive in their order and as a whole, so the largest row tells how many are there."""
    db.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} (row integer PRIMARY KEY, {})").format(table, columns))
    there = db.execute(sql.SQL("SELECT coalesce(max(row) + 1, 0) FROM {}").format(table)).fetchone()
    first = there[0] if there else 0
    on_progress(first)
    for start in range(first, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        block = fields(rows)
        names = sql.SQL(", ").join(map(sql.Identifier, ("row", *block)))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table, names)
        with db.transaction(), db.cursor().copy(statement) as copy:
            copy.write(_BINARY_COPY + _tuples(start, list(block.values())) + b"\xff\xff")
        on_progress(len(rows))


def _halfvecs(matrix: Matrix) -> _Bytes:
    """In pgvector's binary form: the dimension, two bytes that are 0, and the numbers, the high byte first."""
    dim = matrix.shape[1]
    rows = np.zeros(len(matrix), [("dim", ">i2"), ("unused", ">i2"), ("numbers", ">f2", (dim,))])
    rows["dim"], rows["numbers"] = dim, matrix
    return rows.view("u1").reshape(len(matrix), -1)


def _tuples(first: int, columns: Sequence[_Bytes]) -> bytes:
    """Rows for a binary COPY: the number of fields, then each with its length. `columns` have the bytes of their
    fields: uint8 (n, length)."""
    fields: list[Any] = [("fields", ">i2"), ("length", ">i4"), ("row", ">i4")]
    for number, column in enumerate(columns):
        fields += [(f"length{number}", ">i4"), (f"bytes{number}", "u1", (column.shape[1],))]
    rows = np.zeros(len(columns[0]), fields)
    rows["fields"], rows["length"], rows["row"] = 1 + len(columns), 4, first + np.arange(len(rows))
    for number, column in enumerate(columns):
        rows[f"length{number}"], rows[f"bytes{number}"] = column.shape[1], column
    return rows.tobytes()


def _index(db: Connection[Any], key: str, has_artwork: bool, say: Callable[[str], None]) -> None:
    db.execute("SET maintenance_work_mem = '1GB'")
    db.execute("SET max_parallel_maintenance_workers = 4")
    for view in ("plain", "artwork") if has_artwork else ("plain",):
        name = f"{view}_{key}"
        if db.execute("SELECT to_regclass(%s)", (f"steam_clip.{name}",)).fetchone() != (None,):
            continue
        say(f"indexing {view}; that takes minutes for each 100,000 games")
        db.execute(
            sql.SQL("CREATE INDEX {} ON {} USING hnsw ({} halfvec_ip_ops) WITH (m = 16, ef_construction = 64)").format(
                sql.Identifier(name), _table(key), sql.Identifier(view)
            )
        )
    db.execute(sql.SQL("ANALYZE {}").format(_table(key)))


def _index_words(db: Connection[Any], key: str, n: int, codes: StoredCodes, say: Callable[[str], None]) -> None:
    """A table of visual words: the centre of each, float32 (32,), and the rows that have it, int32 (m,)."""
    if db.execute("SELECT to_regclass(%s)", (f"steam_clip.words_{key}",)).fetchone() != (None,):
        return
    say("indexing parts; that takes a minute for each 100,000 games")
    vocabulary = regions.visual_words(codes)
    words = np.empty((n, regions.CELLS), np.uint16)
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        words[rows] = regions.words_of(codes.read(rows), vocabulary)
    order = np.argsort(words.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(words.ravel(), minlength=len(vocabulary)))[:-1]
    lists = (np.unique(cells // regions.CELLS).astype("<i4").tobytes() for cells in np.split(order, ends))
    centres = (centre.astype("<f4").tobytes() for centre in vocabulary)
    with db.transaction(), db.cursor() as cursor:
        table = _table(key, "words")
        cursor.execute(sql.SQL("CREATE TABLE {} (word integer PRIMARY KEY, centre bytea, rows bytea)").format(table))
        insert = sql.SQL("INSERT INTO {} VALUES (%s, %s, %s)").format(table)
        cursor.executemany(insert, zip(range(len(vocabulary)), centres, lists, strict=True))


def _complete(db: Connection[Any], key: str, catalogue: Catalogue) -> None:
    facts = _Facts.of(catalogue).data()
    db.execute("UPDATE steam_clip.versions SET is_complete = true, facts = %s WHERE key = %s", (facts, key))


def _drop_others(db: Connection[Any], key: str, say: Callable[[str], None]) -> None:
    others = db.execute("SELECT key FROM steam_clip.versions WHERE key <> %s", (key,)).fetchall()
    for (other,) in others:
        number = _lock_number(other)
        row = db.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCKS, number)).fetchone()
        if not row or not row[0]:
            say(f"version {other} is still read by a server; a later push drops it")
            continue
        with db.transaction():
            tables = sql.SQL(", ").join(_table(other, kind) for kind in _KINDS)
            db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(tables))
            db.execute("DELETE FROM steam_clip.versions WHERE key = %s", (other,))
        db.execute("SELECT pg_advisory_unlock(%s, %s)", (_LOCKS, number))
        say(f"version {other} was dropped")


@dataclass(frozen=True)
class _Facts:
    """The mean of all embeddings, float32 (d,), and the covariance of the vectors of each view, float32 (d, d)."""

    mean: Vector
    covariances: dict[str, Matrix]

    @classmethod
    def of(cls, catalogue: Catalogue) -> "_Facts":
        embeddings, artwork = catalogue.embeddings, catalogue.artwork
        mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        covariances = {"plain": _covariance(embeddings, lambda rows: rows)}
        if artwork is not None:
            covariances["artwork"] = _covariance(embeddings, artwork.view)
        return cls(mean, covariances)

    def data(self) -> bytes:
        return b"".join(matrix.astype("<f4").tobytes() for matrix in (self.mean, *self.covariances.values()))

    @classmethod
    def read(cls, data: bytes, dim: int) -> "_Facts":
        numbers = np.frombuffer(data, "<f4")
        matrices = numbers[dim:].reshape(-1, dim, dim)
        return cls(numbers[:dim], dict(zip(("plain", "artwork"), matrices, strict=False)))


def _covariance(embeddings: Matrix, view: Callable[[Matrix], Matrix]) -> Matrix:
    dim = embeddings.shape[1]
    squares, sums = np.zeros((dim, dim)), np.zeros(dim)
    for start in range(0, len(embeddings), _BLOCK):
        rows = view(embeddings[start : start + _BLOCK])
        squares += rows.T @ rows
        sums += rows.sum(axis=0, dtype=np.float64)
    mean = sums / len(embeddings)
    return np.asarray(squares / len(embeddings) - np.outer(mean, mean), np.float32)


# -- reading --------------------------------------------------------------------------------------------------------


class VectorDatabase:
    """One version of the vectors, as a server reads it. Each process has a pool of its own, opened when it is needed.
    All methods raise `Away` where the database does not answer or does not have this version."""

    def __init__(self, url: str, manifest: Manifest) -> None:
        self.key, self._url, self._dim = key_of(manifest), url, manifest.d or 0
        self._pools: dict[int, ConnectionPool[Connection[Any]]] = {}
        self._lock = threading.Lock()
        self._is_there = False
        weakref.finalize(self, _close, self._pools)  # then a push may drop the version

    def has_version(self) -> bool:
        """Whether it is there and complete."""
        with self._errors(), psycopg.connect(self._url, connect_timeout=round(_PATIENCE)) as db:
            if db.execute("SELECT to_regclass('steam_clip.versions')").fetchone() == (None,):
                return False
            found = db.execute("SELECT is_complete FROM steam_clip.versions WHERE key = %s", (self.key,)).fetchone()
            return found == (True,)

    def rows(
        self, statement: LiteralString, parameters: Sequence[object] | Mapping[str, object], view: View = "plain"
    ) -> list[Any]:
        """The rows that a statement selects, with values in binary form. The statement may name the tables {vectors},
        {cells} and {words}, and {column} for the column of a view."""
        if not self._is_there and not self.has_version():
            raise Away("The database does not have this catalogue. Push it.")
        self._is_there = True
        with self._errors(), self._pool().connection(_PATIENCE) as db, db.cursor(binary=True) as cursor:
            tables = {kind: _table(self.key, kind) for kind in _KINDS}
            cursor.execute(sql.SQL(statement).format(**tables, column=sql.Identifier(view)), parameters)
            return cursor.fetchall()

    @cached_property
    def facts(self) -> _Facts:
        ((data,),) = self.rows("SELECT facts FROM steam_clip.versions WHERE key = %s", (self.key,))
        return _Facts.read(bytes(data), self._dim)

    def _pool(self) -> "ConnectionPool[Connection[Any]]":
        with self._lock:
            pool = self._pools.get(os.getpid())
            if pool is None:
                pool = self._pools[os.getpid()] = ConnectionPool(
                    self._url,
                    min_size=1,
                    max_size=_CONNECTIONS,
                    kwargs={"autocommit": True, "connect_timeout": round(_PATIENCE)},
                    configure=partial(_configure, self.key),
                    check=ConnectionPool.check_connection,
                    reconnect_timeout=10,
                    open=True,
                )
            return pool

    def close(self) -> None:
        """Close the connections of this process; the next use opens others."""
        _close(self._pools)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.UndefinedTable:
            self._is_there = False
            raise Away("The database does not have this catalogue any more. Push it.") from None
        except (psycopg.Error, PoolTimeout) as error:
            raise Away(f"The database does not answer ({type(error).__name__}).") from None


def _configure(key: str, db: Connection[Any]) -> None:
    for setting in _SETTINGS:
        db.execute(setting)
    # As long as this connection is open, no push drops the version.
    db.execute("SELECT pg_advisory_lock_shared(%s, %s)", (_LOCKS, _lock_number(key)))


def _close(pools: dict[int, ConnectionPool[Connection[Any]]]) -> None:
    pool = pools.pop(os.getpid(), None)
    if pool is not None:
        pool.close()


@dataclass(frozen=True)
class DatabaseIndex:
    """As `banners.vectors.nearest.Index`, in the database: approximate, and in half precision. A query is compared with
    vectors that are mapped already, so it is the mapped vector itself."""

    database: VectorDatabase
    view_name: View
    artwork: Artwork | None = None

    @property
    def mean(self) -> Vector:
        return self.database.facts.mean

    def query(self, vector: Vector, mean: Vector | None = None) -> Vector:
        if self.artwork is None:
            return vector
        mapped = (vector - (self.artwork.mean if mean is None else mean)) @ self.artwork.projection
        return np.asarray(mapped / max(float(np.linalg.norm(mapped)), 1e-6), np.float32)

    def embedding(self, row: int) -> Vector:
        found = self._vectors("plain", [row])[0]
        return np.asarray(found / np.linalg.norm(found), np.float32)

    def view(self, rows: Indices | Sequence[int]) -> Matrix:
        return self._vectors(self.view_name, np.asarray(rows).tolist())

    def cosine(self, query: Vector, row: int) -> float:
        return min(1.0, max(-1.0, float(self._vectors(self.view_name, [row])[0] @ query)))

    def deviation(self, query: Vector) -> float:
        variance = float(query @ self.database.facts.covariances[self.view_name] @ query)
        return float(np.sqrt(max(variance, 0.0)))

    def nearest(self, query: Vector, count: int, passes: Mask | None = None) -> Iterator[tuple[int, float]]:
        """If few rows pass, all of them are compared. Otherwise rows are read from the index until enough pass."""
        passing = None if passes is None else np.flatnonzero(passes)
        if passing is not None and len(passing) <= _FEW:
            if len(passing):
                yield from self._ranked(query, len(passing), passing)
            return
        share = 1.0 if passes is None else float(passes.mean())
        done: set[int] = set()
        limit = max(_SHORTEST, round(2 * count / share))
        while True:
            found = self._ranked(query, limit, None)
            for row, cosine in found:
                if row not in done and (passes is None or passes[row]):
                    yield row, cosine
                done.add(row)
            if len(found) < limit or limit >= _SCANNED:
                return
            limit *= _LONGER

    def _ranked(self, query: Vector, limit: int, rows: Indices | None) -> list[tuple[int, float]]:
        values: dict[str, object] = {"query": _numbers(query), "limit": limit}
        order: LiteralString = " ORDER BY {column} <#> %(query)s::halfvec LIMIT %(limit)s"
        statement: LiteralString = "SELECT row, -({column} <#> %(query)s::halfvec) FROM {vectors}"
        if rows is not None:
            values["rows"] = rows.tolist()
            statement += " WHERE row = ANY(%(rows)s)"
        found = self.database.rows(statement + order, values, self.view_name)
        cosines = [(row, min(1.0, max(-1.0, cosine))) for row, cosine in found]
        return sorted(cosines, key=lambda one: (-round(one[1], 6), one[0]))

    def _vectors(self, view: View, rows: Sequence[int]) -> Matrix:
        """float32 (m, d), in the order of `rows`."""
        statement: LiteralString = "SELECT row, {column} FROM {vectors} WHERE row = ANY(%s)"
        found = dict(self.database.rows(statement, (list(rows),), view))
        return np.stack([_halves(found[row]) for row in rows])


def _halves(data: bytes) -> npt.NDArray[np.float32]:
    return np.frombuffer(data, ">f2", offset=4).astype(np.float32)


@dataclass(frozen=True)
class CodesInDatabase:
    """As `banners.vectors.regions.CodesInFile`, in the database; of n banners. Only a shortlist is compared."""

    database: VectorDatabase
    n: int

    def read(self, rows: Sequence[int] | Indices) -> Codes:
        asked = np.asarray(rows).tolist()
        found = dict(self.database.rows("SELECT row, cells FROM {cells} WHERE row = ANY(%s)", (asked,)))
        codes = [np.frombuffer(found[row], np.int8) for row in asked]
        return np.array(codes, np.int8).reshape(-1, regions.CELLS, regions.DIMENSIONS)

    def sample(self, count: int) -> Codes:
        return CodesInFile(self._some).sample(count)

    @cached_property
    def _some(self) -> Codes:
        return self.read(np.linspace(0, self.n - 1, min(_SAMPLE, self.n)).astype(np.intp))

    @cached_property
    def _centres(self) -> Matrix:
        """float32 (w, 32)."""
        rows = self.database.rows("SELECT centre FROM {words} ORDER BY word", ())
        return np.stack([np.frombuffer(centre, "<f4") for (centre,) in rows])

    def shortlist(self, parts: Sequence[Part], passes: Mask, count: int) -> Indices:
        """Each cell of a part counts as much as the closest word that it has in common with a banner is like it."""
        cosines = [part.cells @ self._centres.T for part in parts]  # (cells, w) each
        words = [np.argsort(-one, axis=1)[:, :_WORDS_OF_A_CELL] for one in cosines]
        asked = np.unique(np.concatenate([one.ravel() for one in words])).tolist()
        lists = dict(self.database.rows("SELECT word, rows FROM {words} WHERE word = ANY(%s)", (asked,)))
        best, of_cell = np.zeros(self.n, np.float32), np.zeros(self.n, np.float32)
        for cosines_of_part, words_of_part in zip(cosines, words, strict=True):
            scores = np.zeros(self.n, np.float32)
            for cosine, its_words in zip(cosines_of_part, words_of_part, strict=True):
                of_cell[:] = 0
                for word in its_words[::-1].tolist():  # the closest last
                    of_cell[np.frombuffer(lists[word], "<i4")] = cosine[word]
                scores += of_cell
            np.maximum(best, scores / len(words_of_part), out=best)
        best[~passes] = 0
        rows = np.argsort(-best, kind="stable")[: max(count, _SHORTLISTED)]
        return rows[best[rows] > 0]

    def evidence(self, cells: Matrix) -> Evidence:
        """How many banners coincide with a cell is known of a sample, and of those that may have the art."""
        picture = Part(cells, np.zeros((len(cells), 2), np.float32), 1.0)
        rows = self.shortlist([picture], np.ones(self.n, np.bool_), 1)
        hits = regions.coincide(self.read(rows), cells)
        of_sample = regions.coincide(self._some, cells).mean(axis=0)
        told = Evidence.of(hits, np.maximum(of_sample, np.maximum(hits.sum(axis=0), 1) / self.n))
        nats, share = np.zeros(self.n, np.float32), np.zeros(self.n, np.float32)
        nats[rows], share[rows] = told.nats, told.share
        return Evidence(nats, share, told.most)


def local_features(catalogue: Catalogue, database: VectorDatabase) -> LocalFeatures | None:
    """The local features in the database; None if the catalogue was made without local features."""
    about, basis = catalogue.manifest.parts, catalogue.basis
    if about is None or basis is None:
        return None
    return LocalFeatures.of(CodesInDatabase(database, len(catalogue)), about.is_wide, basis)


def indexes(catalogue: Catalogue, url: str) -> dict[View, DatabaseIndex]:
    """The searchable views of a catalogue whose vectors are in the database at `url`."""
    database = VectorDatabase(url, catalogue.manifest)
    found: dict[View, DatabaseIndex] = {"plain": DatabaseIndex(database, "plain")}
    if catalogue.artwork is not None:
        found["artwork"] = DatabaseIndex(database, "artwork", catalogue.artwork)
    return found
