"""Put the vectors and local features of a catalogue into PostgreSQL; `postgres.py` reads them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import Connection, sql

from banners.arrays import Indices, Matrix
from banners.catalogue.postgres import KINDS, LOCKS, Facts, key_of, lock_number, table_of
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.errors import BadInput, one_line
from banners.vectors import regions
from banners.vectors.nearest import Searchable
from banners.vectors.regions import StoredCodes

_BLOCK = 4096  # rows in a transaction
_NODE_BYTES = 700  # of a game in an index under construction, beside its vector
_BINARY_COPY = b"PGCOPY\n\xff\r\n\0" + bytes(8)

_Bytes = npt.NDArray[np.uint8]


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
            _index(db, key, catalogue, say)
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
    if db.execute("SELECT pg_try_advisory_lock(%s, 0)", (LOCKS,)).fetchone() != (True,):
        raise BadInput("another push to this database is running")
    db.execute("SELECT pg_advisory_lock_shared(%s, %s)", (LOCKS, lock_number(key)))
    db.execute("INSERT INTO steam_clip.versions (key) VALUES (%s) ON CONFLICT DO NOTHING", (key,))


def _copy_vectors(db: Connection[Any], key: str, catalogue: Catalogue, on_progress: Callable[[int], None]) -> None:
    def fields(rows: Indices) -> dict[str, _Bytes]:
        return {name: _halfvecs(index.view(rows)) for name, index in catalogue.indexes.items()}

    dim = sql.Literal(catalogue.embeddings.shape[1])
    columns = sql.SQL("plain halfvec({dim}) NOT NULL, artwork halfvec({dim})").format(dim=dim)
    _copy(db, table_of(key), columns, len(catalogue), fields, on_progress)


def _copy_cells(db: Connection[Any], key: str, n: int, codes: StoredCodes) -> None:
    def fields(rows: Indices) -> dict[str, _Bytes]:
        return {"cells": codes.read(rows).reshape(len(rows), -1).view("u1")}

    _copy(db, table_of(key, "cells"), sql.SQL("cells bytea NOT NULL"), n, fields, lambda _: None)


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
    ((first,),) = db.execute(sql.SQL("SELECT coalesce(max(row) + 1, 0) FROM {}").format(table)).fetchall()
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


def _index(db: Connection[Any], key: str, catalogue: Catalogue, say: Callable[[str], None]) -> None:
    """Make the index of each view. Its graph must fit into `maintenance_work_mem`, or it takes many times as long."""
    megabytes = 64 + len(catalogue) * (2 * catalogue.embeddings.shape[1] + _NODE_BYTES) // 2**20
    db.execute(sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(f"{megabytes}MB")))
    for view in catalogue.indexes:
        name = f"{view}_{key}"
        if db.execute("SELECT to_regclass(%s)", (f"steam_clip.{name}",)).fetchone() != (None,):
            continue
        say(f"indexing {view}; that takes minutes for each 100,000 games, and {megabytes} MB of the database's memory")
        statement = sql.SQL(
            "CREATE INDEX {} ON {} USING hnsw ({} halfvec_ip_ops) WITH (m = 16, ef_construction = 64)"
        ).format(sql.Identifier(name), table_of(key), sql.Identifier(view))
        try:
            db.execute("SET max_parallel_maintenance_workers = 4")
            db.execute(statement)
        except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory):
            # Processes share the graph in /dev/shm, which is small in containers.
            db.execute("SET max_parallel_maintenance_workers = 0")
            db.execute(statement)
    db.execute(sql.SQL("ANALYZE {}").format(table_of(key)))


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
        table = table_of(key, "words")
        cursor.execute(sql.SQL("CREATE TABLE {} (word integer PRIMARY KEY, centre bytea, rows bytea)").format(table))
        insert = sql.SQL("INSERT INTO {} VALUES (%s, %s, %s)").format(table)
        cursor.executemany(insert, zip(range(len(vocabulary)), centres, lists, strict=True))


def _complete(db: Connection[Any], key: str, catalogue: Catalogue) -> None:
    covariances = {name: _covariance(index, len(catalogue)) for name, index in catalogue.indexes.items()}
    facts = Facts(catalogue.indexes["plain"].mean, covariances)
    statement = "UPDATE steam_clip.versions SET is_complete = true, facts = %s WHERE key = %s"
    db.execute(statement, (facts.data(), key))


def _drop_others(db: Connection[Any], key: str, say: Callable[[str], None]) -> None:
    others = db.execute("SELECT key FROM steam_clip.versions WHERE key <> %s", (key,)).fetchall()
    for (other,) in others:
        number = lock_number(other)
        if db.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCKS, number)).fetchone() != (True,):
            say(f"version {other} is still read by a server; a later push drops it")
            continue
        with db.transaction():
            tables = sql.SQL(", ").join(table_of(other, kind) for kind in KINDS)
            db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(tables))
            db.execute("DELETE FROM steam_clip.versions WHERE key = %s", (other,))
        db.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCKS, number))
        say(f"version {other} was dropped")


def _covariance(index: Searchable, n: int) -> Matrix:
    dim = index.view([0]).shape[1]
    squares, sums = np.zeros((dim, dim)), np.zeros(dim)
    for start in range(0, n, _BLOCK):
        rows = index.view(np.arange(start, min(start + _BLOCK, n)))
        squares += rows.T @ rows
        sums += rows.sum(axis=0, dtype=np.float64)
    return np.asarray(squares / n - np.outer(sums / n, sums / n), np.float32)
