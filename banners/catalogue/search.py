"""Search by name: an FTS5 index beside the games in `games.db`, built once and read by the web app.

The rowid of every search table is the game's rank (by popularity, then the shorter name), so `ORDER BY rowid LIMIT n`
stops early however many names match.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, product
from string import ascii_lowercase

import numpy as np

from banners.catalogue.names import IDEOGRAPH, PIECE, ROMAN, also_called, appid_of, fold, named_by_address
from banners.games_csv import Game

MAX_QUERY = 200  # characters; the longest name on the store has 137
MAX_WORDS = 16  # of a query are looked up, so that the work for a query is bounded
MOST_COUNTED = 5_000  # results; counting 300,000 would take longer than finding the first ten

# Every character that `fold` leaves is part of a token, also those newer than SQLite's Unicode tables (Cn).
_UNICODE61 = "unicode61 remove_diacritics 0 categories 'L* N* M* Co Cn So'"
SCHEMA = f"""
    CREATE INDEX games_name ON games (name);
    CREATE INDEX games_title ON games (title);
    CREATE INDEX games_joined ON games (joined);
    CREATE INDEX games_initials ON games (initials);
    CREATE VIRTUAL TABLE words USING fts5(title, content='', detail=none, prefix='1 2 3 4 5 6 7 8',
        tokenize="{_UNICODE61}");
    CREATE TABLE word_counts (term TEXT PRIMARY KEY, doc INTEGER) WITHOUT ROWID; -- names that have the word
    CREATE VIRTUAL TABLE vocabulary USING fts5(word, tokenize='trigram');
    CREATE VIRTUAL TABLE trigrams USING fts5(title, content='', detail=none, columnsize=0, tokenize='trigram');
    CREATE TABLE trigram_counts (term TEXT PRIMARY KEY, doc INTEGER) WITHOUT ROWID;
"""

_LETTERS_AND_ROMAN = re.compile(rf"([a-z]{{2,}}?)({'|'.join(sorted(ROMAN, key=len, reverse=True))})")
_ARTICLES = ("the ", "a ", "an ")


# Short names that no rule gives, by folded words.
_ALIASES = {
    "pubg": "playerunknowns battlegrounds",
    "kotor": "star wars knights of the old republic",
    "cs": "counter strike",
    "cod": "call of duty",
    "civ": "civilization",
    "gta": "grand theft auto",
    "poe": "path of exile",
    "lol": "league of legends",
    "bl": "borderlands",
    "wh 40 k": "warhammer 40 000",
    "rainbow 6": "rainbow six",
}
_SHORTEST_INITIALS = 3
_INITIALS_LISTED = 10

_LISTED = 100  # names that resemble a query
_ALIASED = 10
_SHORTEST_JOINED = 8
_SORTED = 200  # matches of whole words that are put in order by how the name begins
_SHORTEST_MISTYPED, _SHORT, _LONG = 4, 6, 8  # letters; in long words two typos are forgiven
_NEAR_WORDS, _CORRECTED_QUERIES = 5, 12
_WORD_CANDIDATES, _TITLE_CANDIDATES = 200, 400
_RARE_TRIGRAMS, _MOST_TRIGRAMS = 8, 24
_LEAST_RATIO = 70.0  # of 100; one typo in a word of five letters scores 80


@dataclass(frozen=True)
class Hits:
    """`rows` of the catalogue, best first. `total` counts the results, at most `MOST_COUNTED`. `approximate`: no name
    has all the words of the query, these resemble it."""

    rows: list[int]
    total: int
    approximate: bool


def by_rank(games: Sequence[Game]) -> list[int]:
    """Row numbers of `games` in the order of their rank."""
    popularity = np.fromiter((game.popularity for game in games), np.int64, len(games))
    lengths = np.fromiter((len(game.name) for game in games), np.int64, len(games))
    return [int(row) for row in np.lexsort((lengths, -popularity))]


def build_index(db: sqlite3.Connection) -> None:
    """Fill the search tables, made by `SCHEMA`, from the games that `db` holds."""
    db.execute("CREATE TEMP TABLE further (rank INTEGER PRIMARY KEY, words TEXT)")
    named = db.execute("SELECT rank, name FROM games")
    further = ((rank, " ".join(words)) for rank, name in named if (words := also_called(name)))
    db.executemany("INSERT INTO further VALUES (?, ?)", further)
    db.execute(
        "INSERT INTO words (rowid, title) SELECT rank, title || coalesce(' ' || words, '')"
        " FROM games LEFT JOIN further USING (rank) ORDER BY rank"
    )
    db.execute("INSERT INTO trigrams (rowid, title) SELECT rank, title FROM games ORDER BY rank")
    for counts, table in (("word_counts", "words"), ("trigram_counts", "trigrams")):
        db.execute(f"CREATE VIRTUAL TABLE temp.counted USING fts5vocab('main', '{table}', 'row')")
        db.execute(f"INSERT INTO {counts} SELECT term, doc FROM counted")  # noqa: S608 - names from this line
        db.execute("DROP TABLE counted")
    db.execute("INSERT INTO vocabulary (word) SELECT term FROM word_counts WHERE length(term) > 2 ORDER BY term")
    for table in ("words", "trigrams", "vocabulary"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('optimize')")  # noqa: S608 - names from this line


def titled(db: sqlite3.Connection, name: str) -> list[int]:
    """Rows of the games called `name`: those spelled exactly so first, then those that differ in case, accents or
    punctuation, each by rank. The address of a game's page is a name too."""
    appid = named_by_address(name)
    if appid is not None:
        return _rows(db, _ranks(db, "appid = ?", appid))
    title = " ".join(fold(name[:1000]))
    records = db.execute(
        "SELECT row FROM games WHERE name = ? OR (title = ? AND title <> '') ORDER BY name <> ?, rank",
        (name, title, name),
    )
    return [row for (row,) in records]


def titles(db: sqlite3.Connection) -> tuple[list[int], list[str]]:
    """The rows and folded titles of all games, by rank."""
    rows, names = zip(*db.execute("SELECT row, title FROM games ORDER BY rank"), strict=True)
    return list(rows), list(names)


def nearest_titles(among: Sequence[str], query: str, count: int) -> list[int]:
    """The places of the `count` titles that are the fewest edits away from `query` (Levenshtein), ties in order."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    typed = " ".join(fold(query[:MAX_QUERY]))
    near = process.extract(typed, among, processor=None, scorer=Levenshtein.distance, limit=count)
    return [place for _, _, place in near]


def search(db: sqlite3.Connection, query: str, limit: int = 10, offset: int = 0) -> Hits:
    """Find games by appid, exact name, initials, and names with all words of `query`, which may be unfinished. If there
    are none, find names that resemble it. The address of a game's page finds only that game. A query longer than
    `MAX_QUERY` finds nothing."""
    appid = named_by_address(query)
    if appid is not None:
        rows = titled(db, query)
        return Hits(rows[offset : offset + limit], len(rows), approximate=False)
    words = fold(query[: MAX_QUERY + 1])[:MAX_WORDS]
    if len(query) > MAX_QUERY or not (words or query.strip()):
        return Hits([], 0, approximate=False)
    wanted = min(offset + limit, MOST_COUNTED)
    names = _Names(db, query.strip(), words, fold(query, with_roman=False)[:MAX_WORDS])
    ranks = names.first(wanted)
    if ranks or not words:
        total = min(len({*ranks, *names.beginning}), MOST_COUNTED)
        return Hits(_rows(db, ranks[offset:wanted]), total, approximate=False)
    for tier in (_by_aliases, _by_likeness, _by_fewer_words):
        ranks = list(dict.fromkeys(tier(db, words)))
        if ranks:
            break
    return Hits(_rows(db, ranks[offset:wanted]), len(ranks), approximate=True)


def _rows(db: sqlite3.Connection, ranks: Iterable[int]) -> list[int]:
    return [db.execute("SELECT row FROM games WHERE rank = ?", (rank,)).fetchone()[0] for rank in ranks]


def _ranks(db: sqlite3.Connection, condition: str, *values: object, limit: int = -1) -> list[int]:
    records = db.execute(f"SELECT rank FROM games WHERE {condition} ORDER BY rank LIMIT {limit}", values)  # noqa: S608
    return [rank for (rank,) in records]


# -- names with the words of the query ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Names:
    """Names that have the words of a query. `typed` is all of it, `as_typed` its words with Roman numerals."""

    db: sqlite3.Connection
    typed: str
    words: Sequence[str]
    as_typed: Sequence[str]

    @cached_property
    def beginning(self) -> list[int]:
        """Ranks of names in which every word of the query begins a word, the first `MOST_COUNTED`."""
        if not self.words:
            return []
        forms = [_prefix(word) for word in self.words]
        if self.words[-1:] != self.as_typed[-1:]:
            forms[-1] = f"({forms[-1]} OR {_prefix(self.as_typed[-1])})"  # "vi" may become "viking"
        return _match(self.db, " AND ".join(forms), MOST_COUNTED)

    @cached_property
    def exact(self) -> list[int]:
        """Ranks of games whose appid, name, words or initials are the query."""
        db, ranks = self.db, [*_by_appid(self.db, self.typed), *_ranks(self.db, "name = ?", self.typed)]
        if self.words:
            ranks += _ranks(db, "title = ?", " ".join(self.words))
            ranks += _ranks(db, "joined = ?", "".join(self.words))
            ranks += _by_initials(db, "".join(self.words))
        return list(dict.fromkeys(ranks))

    @cached_property
    def aliased(self) -> list[int]:
        alias = _ALIASES.get(" ".join(self.words), "").split()
        return _match(self.db, _all(alias), _ALIASED) if alias else []

    @cached_property
    def containing(self) -> list[int]:
        """Titles with the ideographs of the query side by side, or its pieces of Korean, Thai and the like anywhere."""
        text = " ".join(self.words)
        if re.search(f"[{IDEOGRAPH}]", text):
            pieces = re.findall(rf"[{IDEOGRAPH}](?: [{IDEOGRAPH}])+", text)
        else:
            pieces = [word for word in self.words if PIECE.search(word)]
        trigrams = [piece[at : at + 3] for piece in pieces for at in range(len(piece) - 2)][:_MOST_TRIGRAMS]
        if not trigrams:
            return []
        records = self.db.execute(
            "SELECT games.rank, games.title FROM trigrams CROSS JOIN games ON games.rank = trigrams.rowid"
            " WHERE trigrams MATCH ? ORDER BY trigrams.rowid LIMIT ?",
            (_all(trigrams), _SORTED),
        )
        # Other words of the query must begin a word of the title.
        parts = [*pieces, *(f" {word}" for word in self.words if word not in " ".join(pieces).split())]
        return [rank for rank, title in records if all(part in f" {title}" for part in parts)]

    def first(self, wanted: int) -> list[int]:
        """The first `wanted` ranks, or more."""
        if not self.words:
            return self.exact
        whole = _match(self.db, _all(self.words), max(_SORTED, wanted))
        ranks = [*self.exact, *self._beginning_first(self.containing), *self._beginning_first(whole), *self.aliased]
        if len(ranks) < wanted + len(self.exact):
            if len(self.words) > 1:
                last = _all([*self.words[:-1]], _prefix(self.words[-1]))
                ranks += _match(self.db, last, wanted + len(ranks))
            ranks += self.beginning
        return list(dict.fromkeys(ranks))

    def _beginning_first(self, ranks: list[int]) -> list[int]:
        """Of the first `_SORTED` ranks, put names that begin with the first word first."""
        marks = ",".join("?" * len(ranks[:_SORTED]))
        records = self.db.execute(f"SELECT rank, title FROM games WHERE rank IN ({marks})", ranks[:_SORTED])  # noqa: S608
        title_of = dict(records)

        def begins(rank: int) -> bool:
            title = title_of[rank]
            title = next((title.removeprefix(article) for article in _ARTICLES if title.startswith(article)), title)
            return f"{title} ".startswith(f"{self.words[0]} ")

        return [*sorted(ranks[:_SORTED], key=begins, reverse=True), *ranks[_SORTED:]]


def _all(words: Sequence[str], *more: str) -> str:
    return " AND ".join([*map(_quoted, words), *more])


def _quoted(word: str) -> str:
    return f'"{word}"'  # a folded word holds no quotation mark


def _prefix(word: str) -> str:
    return f'"{word}"*'


def _match(db: sqlite3.Connection, match: str, limit: int) -> list[int]:
    records = db.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid LIMIT ?", (match, limit))
    return [rank for (rank,) in records]


def _by_appid(db: sqlite3.Connection, typed: str) -> list[int]:
    appid = appid_of(typed)
    return [] if appid is None else _ranks(db, "appid = ?", appid)


def _by_initials(db: sqlite3.Connection, initials: str) -> list[int]:
    """Names with exactly these initials. If they contain a number, names with longer initials follow."""
    spelled = _LETTERS_AND_ROMAN.fullmatch(initials)
    forms = [initials, *([spelled[1] + ROMAN[spelled[2]]] if spelled else [])]
    ranks: list[int] = []
    for form in forms:
        if len(form) >= _SHORTEST_INITIALS:
            ranks += _ranks(db, "initials = ?", form, limit=_INITIALS_LISTED)
            if any(map(str.isdigit, form)):
                ranks += _ranks(db, "initials > ? AND initials < ?", form, f"{form}\U0010ffff", limit=_INITIALS_LISTED)
    return list(dict.fromkeys(ranks))[:_INITIALS_LISTED]


# -- names that resemble the query ----------------------------------------------------------------------------------


def _with_words(db: sqlite3.Connection, words: Sequence[str]) -> list[int]:
    names = _Names(db, " ".join(words), words, words)
    return names.first(_LISTED) if names.beginning else []


def _by_aliases(db: sqlite3.Connection, words: Sequence[str]) -> list[int]:
    """Names for the query with each alias in it written out."""
    text = changed = f" {' '.join(words)} "
    for alias, meant in _ALIASES.items():
        changed = changed.replace(f" {alias} ", f" {meant} ")
    return _with_words(db, changed.split()) if changed != text else []


def _by_likeness(db: sqlite3.Connection, words: Sequence[str]) -> Iterator[int]:
    """Names for corrected words, for glued words cut in two, and names that look like the query as a whole."""
    from rapidfuzz.distance import OSA  # imported late: writing an index does not need it

    folded, joined = " ".join(words), "".join(words)
    alike = _by_ratio(db, folded)
    yield from (rank for rank, title in alike if OSA.distance(folded, title) == 1)
    if len(joined) >= _SHORTEST_JOINED:
        yield from _ranks(db, "joined > ? AND joined < ?", joined, f"{joined}\U0010ffff", limit=_LISTED)
    for corrected in _corrected(db, words):
        yield from _with_words(db, corrected)
    for at, word in enumerate(words):
        for halves in _cut(db, word):
            yield from _with_words(db, [*words[:at], *halves, *words[at + 1 :]])
    yield from (rank for rank, _ in alike)


def _by_fewer_words(db: sqlite3.Connection, words: Sequence[str]) -> Iterator[int]:
    """Names for the query without one word; the last says least and goes first: "witcher 3 goty"."""
    for at in reversed(range(len(words))):
        if len(words) > 1 and not words[at].isdigit():
            yield from _with_words(db, [*words[:at], *words[at + 1 :]])


def _corrected(db: sqlite3.Connection, words: Sequence[str]) -> Iterator[list[str]]:
    """Queries in which the nearest known words replace the unknown ones or, if there are none, any of the words."""
    unknown = [at for at, word in enumerate(words) if not _begins_a_word(db, word)]
    choices: list[Sequence[str]] = [[word] for word in words]
    for at in unknown or range(len(words)):
        near = _near_words(db, words[at])
        if near:
            choices[at] = near if unknown else [words[at], *near]
    for corrected in islice(product(*choices), _CORRECTED_QUERIES):
        if list(corrected) != list(words):
            yield list(corrected)


def _near_words(db: sqlite3.Connection, word: str) -> list[str]:
    """Known words with the fewest edits to `word`: at most one, two for long words. Short words have none."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    if len(word) < _SHORTEST_MISTYPED or word.isdigit():
        return []
    most = 2 if len(word) >= _LONG else 1
    candidates = chain(_with_changed_letters(db, word), _sharing_trigrams(db, word))
    near = process.extract(word, set(candidates) - {word}, scorer=OSA.distance, score_cutoff=most, limit=None)
    least = min((distance for _, distance, _ in near), default=0)
    nearest = [other for other, distance, _ in near if distance == least]
    counts = {other: _count(db, other) for other in nearest}
    return sorted(nearest, key=lambda other: (-counts[other], other))[:_NEAR_WORDS]


def _with_changed_letters(db: sqlite3.Connection, word: str) -> list[str]:
    """Words that differ by two swapped letters or, where `word` is short, by one other letter. They may share no
    trigram with it: "drak" and "dark", "reiel" and "revel"."""
    changed = [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]
    if len(word) <= _SHORT:
        changed += [word[:at] + letter + word[at + 1 :] for at in range(len(word)) for letter in ascii_lowercase]
    return [other for other in changed if _count(db, other)]


def _sharing_trigrams(db: sqlite3.Connection, word: str) -> list[str]:
    match = " OR ".join(_quoted(word[at : at + 3]) for at in range(len(word) - 2))
    records = db.execute(
        "SELECT word FROM vocabulary WHERE vocabulary MATCH ? ORDER BY bm25(vocabulary) LIMIT ?",
        (match, _WORD_CANDIDATES),
    )
    return [other for (other,) in records]


def _begins_a_word(db: sqlite3.Connection, word: str) -> bool:
    record = db.execute("SELECT term FROM word_counts WHERE term >= ? ORDER BY term LIMIT 1", (word,)).fetchone()
    return record is not None and str(record[0]).startswith(word)


def _count(db: sqlite3.Connection, word: str) -> int:
    """How many names have `word`."""
    record = db.execute("SELECT doc FROM word_counts WHERE term = ?", (word,)).fetchone()
    return int(record[0]) if record else 0


def _cut(db: sqlite3.Connection, word: str) -> Iterator[tuple[str, str]]:
    """`word` as two words that names have: "mountblade"."""
    if not _begins_a_word(db, word):
        for at in range(2, len(word) - 1):
            if _count(db, word[:at]) and _count(db, word[at:]):
                yield word[:at], word[at:]


def _by_ratio(db: sqlite3.Connection, folded: str) -> list[tuple[int, str]]:
    """Ranks and titles that resemble the whole query, best first. Candidates are looked up by its rarest trigrams; the
    whole phrase would find next to nothing."""
    from rapidfuzz import fuzz

    counts = {}
    for trigram in {folded[at : at + 3] for at in range(len(folded) - 2)}:
        record = db.execute("SELECT doc FROM trigram_counts WHERE term = ?", (trigram,)).fetchone()
        if record:
            counts[trigram] = record[0]
    candidates: dict[int, str] = {}
    for trigram in sorted(counts, key=lambda trigram: (counts[trigram], trigram))[:_RARE_TRIGRAMS]:
        candidates |= db.execute(
            "SELECT games.rank, games.title FROM trigrams CROSS JOIN games ON games.rank = trigrams.rowid"
            " WHERE trigrams MATCH ? ORDER BY trigrams.rowid LIMIT ?",
            (_quoted(trigram), _TITLE_CANDIDATES - len(candidates)),
        )
        if len(candidates) >= _TITLE_CANDIDATES:
            break
    scored = sorted((-fuzz.ratio(folded, title), rank, title) for rank, title in candidates.items())
    return [(rank, title) for score, rank, title in scored if -score >= _LEAST_RATIO]
