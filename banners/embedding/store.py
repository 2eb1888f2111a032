"""The store of finished embeddings, `rows.db` beside a catalogue: a rerun embeds only new files.

A row is keyed by its appid, its view, and the identity of the encoder: everything else that the numbers depend on. It
names the hash of the banner's file, so that a banner that changed counts as not embedded. SQLite makes each commit
whole or undone, whatever kills the program.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from banners.arrays import Matrix
from banners.embedding.decoding import Decoded
from banners.errors import BadInput
from banners.views import EmbeddedView

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS rows (
        identity TEXT, view TEXT, appid INTEGER,
        content BLOB, digest BLOB, width INTEGER, height INTEGER, -- see `Decoded`
        embedding BLOB,                                           -- (d,), of the store's dtype
        PRIMARY KEY (identity, view, appid)
    )
"""


@contextmanager
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a store, closed at the end. Raises `BadInput` for any error of SQLite."""
    try:
        with closing(sqlite3.connect(path)) as db:
            yield db
    except sqlite3.Error as error:
        raise BadInput(f"cannot write {path}: {error}") from None


class EmbeddingStore:
    """The embedded rows of one encoder. `identity` is all that its numbers depend on, `dim` their length, `dtype` how
    they are kept.

    All methods raise `BadInput` where the file cannot be read or written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], dim: int, dtype: npt.DTypeLike = np.float32) -> None:
        text = json.dumps({"dim": dim, **identity}, sort_keys=True)
        self.dim, self._dtype = dim, np.dtype(dtype)
        self._identity = hashlib.sha256(text.encode()).hexdigest()
        self._path = folder / "rows.db"
        folder.mkdir(parents=True, exist_ok=True)
        with self._connection() as db:
            db.execute(_SCHEMA)

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]:
        return connection(self._path)

    def contents(self, view: EmbeddedView) -> dict[int, bytes]:
        """The hash of the file that each appid was embedded from."""
        with self._connection() as db:
            return dict(
                db.execute("SELECT appid, content FROM rows WHERE identity = ? AND view = ?", (self._identity, view))
            )

    def sources(self, appids: Sequence[int]) -> list[Decoded]:
        """What the plain rows of `appids` were made of."""
        with self._connection() as db:
            records = db.execute(
                "SELECT appid, content, digest, width, height FROM rows WHERE identity = ? AND view = 'plain'",
                (self._identity,),
            )
            by_appid = {row[0]: Decoded(row[1], row[2], (row[3], row[4])) for row in records}
        return [by_appid[appid] for appid in appids]

    def add(self, view: EmbeddedView, appids: Sequence[int], sources: Sequence[Decoded], embeddings: Matrix) -> None:
        """Put rows on disk: `embeddings` is float32 (m, dim)."""
        rows = (
            (self._identity, view, appid, source.content, source.digest, *source.size, embedding.tobytes())
            for appid, source, embedding in zip(appids, sources, embeddings.astype(self._dtype), strict=True)
        )
        with self._connection() as db, db:  # which commits
            db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def assemble(self, view: EmbeddedView, appids: Sequence[int]) -> Matrix:
        """The embeddings of `appids`, which are sorted, in their order: float32 (n, dim)."""
        matrix = np.empty((len(appids), self.dim), np.float32)
        query = (
            "SELECT embedding FROM rows WHERE identity = ? AND view = ?"
            " AND appid IN (SELECT value FROM json_each(?)) ORDER BY appid"
        )
        with self._connection() as db:
            records = db.execute(query, (self._identity, view, json.dumps(list(appids))))
            for place, (embedding,) in enumerate(records):
                matrix[place] = np.frombuffer(embedding, self._dtype)
        return matrix

    def tidy(self, appids: Sequence[int], *others: Self) -> None:
        """Keep the rows of `appids` of this store and of `others`, which share its folder, and nothing else."""
        identities = [store._identity for store in (self, *others)]
        with self._connection() as db:
            with db:
                removed = db.execute(
                    "DELETE FROM rows WHERE identity NOT IN (SELECT value FROM json_each(?))"
                    " OR appid NOT IN (SELECT value FROM json_each(?))",
                    (json.dumps(identities), json.dumps(list(appids))),
                ).rowcount
            if removed:
                db.execute("VACUUM")
