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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import Connection, sql
from psycopg_pool import ConnectionPool, PoolTimeout

from banners.arrays import Indices, Mask, Matrix, Vector
from banners.catalogue.manifest import Manifest
from banners.catalogue.reader import Catalogue
from banners.errors import Away
from banners.vectors import regions
from banners.vectors.artwork import Artwork
from banners.vectors.regions import Codes, CodesInFile, Evidence, LocalFeatures, Part
from banners.views import View

_EF_SEARCH = 500  # candidates that are kept; RESULTS.md has the recall of others
_SCANNED = 200_000  # rows at most, where many do not pass
_FEW = 10_000  # rows that pass: all are compared
_SHORTEST, _LONGER = 200, 8  # rows that are asked for first, and how many times as many then
_CONNECTIONS = 8  # of a process
_PATIENCE = 2.0  # seconds until the database counts as away
_WORDS_OF_A_CELL = 4  # of the part that is searched: the lists of so many are read
_SHORTLISTED = 2000  # banners whose local features are compared
_SAMPLE = 1000  # banners that stand for all
_NAMING = ("appids.npy", "neighbours", "similarities")  # files that every packed catalogue has
KINDS = ("vectors", "cells", "words")  # of tables
LOCKS = 0x5C11  # the class of our advisory locks

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


def lock_number(key: str) -> int:
    return int(key[:8], 16) - 2**31


def table_of(key: str, kind: str = "vectors") -> sql.Identifier:
    return sql.Identifier("steam_clip", f"{kind}_{key}")


def _numbers(vector: Vector) -> str:
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"


@dataclass(frozen=True)
class Facts:
    """The mean of all embeddings, float32 (d,), and the covariance of the vectors of each view, float32 (d, d)."""

    mean: Vector
    covariances: Mapping[View, Matrix]

    def data(self) -> bytes:
        return b"".join(matrix.astype("<f4").tobytes() for matrix in (self.mean, *self.covariances.values()))

    @classmethod
    def read(cls, data: bytes, dim: int) -> "Facts":
        numbers = np.frombuffer(data, "<f4")
        matrices = numbers[dim:].reshape(-1, dim, dim)
        return cls(numbers[:dim], dict(zip(("plain", "artwork"), matrices, strict=False)))


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
            tables = {kind: table_of(self.key, kind) for kind in KINDS}
            cursor.execute(sql.SQL(statement).format(**tables, column=sql.Identifier(view)), parameters)
            return cursor.fetchall()

    @cached_property
    def facts(self) -> Facts:
        ((data,),) = self.rows("SELECT facts FROM steam_clip.versions WHERE key = %s", (self.key,))
        return Facts.read(bytes(data), self._dim)

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
    db.execute("SELECT pg_advisory_lock_shared(%s, %s)", (LOCKS, lock_number(key)))


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
