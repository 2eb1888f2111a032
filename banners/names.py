"""Finding games by what people type of their names: any case, accents or word order, unfinished words, typos."""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from banners.errors import BadInput
from banners.records import Game, parse_appid

MAX_QUERY = 200  # characters; the longest name on the store has 137
MAX_WORDS = 16  # of a query are looked up; the work for a query is bounded

_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "x": "10"}
_MARKS = re.compile(r"[™®©℠]")
_APOSTROPHES = re.compile(r"['’‘`´]")
# A word is a run of letters, a run of digits, or a single ideograph: "gta5" is "gta 5", and two ideographs of a name
# find it wherever they stand.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[0-9]+|(?:(?![{_IDEOGRAPH}0-9])[^\W_])+")
_ARTICLES = frozenset({"the", "a", "an"})

_FUZZY_CANDIDATES = 200
_FUZZY_CUTOFF = 0.7  # one typo in a word of five letters scores 0.8


def fold(text: str) -> list[str]:
    """The words of a name as they are compared: no case, accents, punctuation or trademark signs, Roman as digits."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", _MARKS.sub("", text)))
    plain = "".join(character for character in plain.casefold() if not unicodedata.combining(character))
    return [_ROMAN.get(word, word) for word in _WORD.findall(plain)]


@dataclass(frozen=True)
class Found:
    """`rows` in order, best first; `total` counts those before any limit. `approximate`: no name has all the words,
    these resemble the query."""

    rows: list[int]
    total: int
    approximate: bool


class NameIndex:
    """An index over the names of a catalogue's games, built once and read by any number of threads."""

    def __init__(self, games: Sequence[Game]) -> None:
        self._row_of_appid = {game.appid: row for row, game in enumerate(games)}
        words = [fold(game.name) for game in games]
        self._folded = [" ".join(row) for row in words]
        self._row_of_title: dict[str, list[int]] = defaultdict(list)
        for row, title in enumerate(self._folded):
            if title:
                self._row_of_title[title].append(row)
        self._words = _Postings(set(row) for row in words)
        first = (next((word for word in row if word not in _ARTICLES), "") for row in words)
        self._first_word = np.fromiter((self._words.key_number(word) for word in first), np.int32, len(words))
        self._trigrams = _Postings(_trigrams(title) for title in self._folded)
        popularity = np.array([game.popularity for game in games])
        self._length = np.array([len(title) for title in self._folded], np.float32)
        order = np.lexsort((self._length, -popularity))
        self._rank = np.empty(len(games), np.int32)  # by popularity, then the shorter name
        self._rank[order] = np.arange(len(games), dtype=np.int32)

    def search(self, query: str, limit: int = 10, offset: int = 0) -> Found:
        """The games that `query` means: its appid, its exact title, names with all its words (the last may be
        unfinished, in fact any), else names that resemble it. Longer queries than `MAX_QUERY` find nothing."""
        words = fold(query[: MAX_QUERY + 1])
        if len(query) > MAX_QUERY or not (words or query.strip()):
            return Found([], 0, approximate=False)
        rows = self._by_appid(query) + sorted(self._row_of_title.get(" ".join(words), ()), key=self._rank.__getitem__)
        rows += self._by_words(list(dict.fromkeys(words))[:MAX_WORDS])
        rows = list(dict.fromkeys(rows))
        if rows:
            return Found(rows[offset : offset + limit], len(rows), approximate=False)
        rows = self._by_resemblance(" ".join(words))
        return Found(rows[offset : offset + limit], len(rows), approximate=True)

    def titled(self, name: str) -> list[int]:
        """The rows of the games called `name`, but for case, accents and punctuation, the most popular first."""
        return sorted(self._row_of_title.get(" ".join(fold(name[:1000])), ()), key=self._rank.__getitem__)

    def _by_appid(self, query: str) -> list[int]:
        try:
            return [self._row_of_appid[parse_appid(query.strip())]]
        except (BadInput, KeyError):
            return []

    def _by_words(self, words: list[str]) -> list[int]:
        if not words:
            return []
        matching = np.ones(len(self._folded), bool)
        for word in sorted(words, key=len, reverse=True):  # long words are rare: what is nowhere is soon known
            has_word = np.zeros(len(self._folded), bool)
            has_word[self._words.with_prefix(word)] = True
            matching &= has_word
            if not matching.any():
                return []
        rows = np.flatnonzero(matching)
        low, high = self._words.prefix_range(words[0])
        begins = (self._first_word[rows] >= low) & (self._first_word[rows] < high)
        whole = np.logical_and.reduce([np.isin(rows, self._words.of(word)) for word in words])
        return rows[np.lexsort((self._rank[rows], ~begins, ~whole))].tolist()  # type: ignore[no-any-return]

    def _by_resemblance(self, folded: str) -> list[int]:
        if not folded:
            return []
        trigrams = _trigrams(folded)
        shared = np.zeros(len(self._folded), np.float32)
        for trigram in trigrams:
            shared[self._trigrams.of(trigram)] += 1
        likeness = shared / (len(trigrams) + self._length)  # Dice's coefficient, but for a factor
        count = min(_FUZZY_CANDIDATES, len(shared))
        candidates = np.argpartition(-likeness, count - 1)[:count]
        scored = [
            (_resemblance(folded, self._folded[row]), -int(self._rank[row]), row)
            for row in candidates[shared[candidates] > 0].tolist()
        ]
        return [row for score, _, row in sorted(scored, reverse=True) if score >= _FUZZY_CUTOFF]


class _Postings:
    """For each key the rows that have it, as two flat arrays; keys are sorted, so that a prefix is a range."""

    def __init__(self, keys_of_rows: Iterable[Iterable[str]]) -> None:
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, keys in enumerate(keys_of_rows):
            for key in keys:
                rows_of[key].append(row)
        self._keys = sorted(rows_of)
        lengths = [len(rows_of[key]) for key in self._keys]
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        self._rows = np.fromiter((row for key in self._keys for row in rows_of[key]), np.int32, sum(lengths))

    def key_number(self, key: str) -> int:
        """The position of `key`, -1 where no row has it."""
        position = bisect_left(self._keys, key)
        return position if position < len(self._keys) and self._keys[position] == key else -1

    def of(self, key: str) -> npt.NDArray[np.int32]:
        number = self.key_number(key)
        return self._rows[self._starts[number] : self._starts[number + 1]] if number >= 0 else self._rows[:0]

    def prefix_range(self, prefix: str) -> tuple[int, int]:
        """Positions [low, high) of the keys that start with `prefix`."""
        return bisect_left(self._keys, prefix), bisect_left(self._keys, prefix + "\U0010ffff")

    def with_prefix(self, prefix: str) -> npt.NDArray[np.int32]:
        low, high = self.prefix_range(prefix)
        return self._rows[self._starts[low] : self._starts[high]]


def _resemblance(query: str, title: str) -> float:
    """How alike two folded names are, 0..1: edits of letters and swaps of neighbouring ones, against the whole title or
    its beginning; or, discounted, whatever order and part of the words."""
    return max(
        OSA.normalized_similarity(query, title),
        0.97 * OSA.normalized_similarity(query, title[: len(query)]),
        0.8 * fuzz.WRatio(query, title) / 100,
    )


def _trigrams(folded: str) -> set[str]:
    padded = f" {folded} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}
