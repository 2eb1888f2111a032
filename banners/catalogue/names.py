"""Finding games by what people type of their names: any case, accents or word order, unfinished words, initials, typos.

The index is a handful of flat arrays, built once beside the other files of a catalogue and memory-mapped by the server:
it costs neither time at start nor memory of each worker.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from banners.catalogue.arrays import release
from banners.errors import BadCatalogue, BadInput
from banners.games_csv import Game, parse_appid

MAX_QUERY = 200  # characters; the longest name on the store has 137
MAX_WORDS = 16  # of a query are looked up; the work for a query is bounded

_ROMAN = {
    roman: str(number)
    for number, roman in enumerate(
        "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split(), start=2
    )
}
_MARKS = re.compile(r"[™®©℠]")
_APOSTROPHES = re.compile(r"['’‘`´]")
# A word is a run of letters, a run of digits, or a single ideograph: "gta5" is "gta 5", and two ideographs of a name
# find it wherever they stand.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[0-9]+|(?:(?![{_IDEOGRAPH}0-9])[^\W_])+")
_ARTICLES = frozenset({"the", "a", "an"})

# What people say that no rule gives.
_ALIASES = {
    "pubg": "playerunknowns battlegrounds",
    "kotor": "star wars knights of the old republic",
    "kotor 2": "star wars knights of the old republic 2",
    "mgsv": "metal gear solid 5",
    "gtav": "grand theft auto 5",
    "cs": "counter strike",
    "cod": "call of duty",
    "civ": "civilization",
    "poe": "path of exile",
    "lol": "league of legends",
    "bl2": "borderlands 2",
    "bl3": "borderlands 3",
}
_SHORTEST_INITIALS = 3

_PLACES_KEPT = 4096  # of words and beginnings of words: somebody who types asks for most of them again
_BETWEEN_LANDMARKS = 64  # keys; a search among those that are held needs no look into the file

_SHORTEST_MISTYPED, _LONG = 4, 8  # letters; in long words two typos are forgiven
_NEAR_WORDS = 20  # of each length
_FUZZY_CANDIDATES = 100
_FUZZY_CUTOFF = 0.7  # one typo in a word of five letters scores 0.8


def fold(text: str, numerals: Mapping[str, str] = _ROMAN) -> list[str]:
    """The words of a name as they are compared: no case, accents, punctuation or trademark signs, Roman as digits."""
    plain = _APOSTROPHES.sub("", text)
    if plain.isascii():
        plain = plain.lower()
    else:
        plain = unicodedata.normalize("NFKD", _MARKS.sub("", plain)).casefold()
        plain = "".join(character for character in plain if not unicodedata.combining(character))
    return [numerals.get(word, word) for word in _WORD.findall(plain)]


@dataclass(frozen=True)
class Found:
    """`rows` in order, best first; `total` counts those before any limit. `approximate`: no name has all the words,
    these resemble the query."""

    rows: list[int]
    total: int
    approximate: bool


# The sections of an index, in the order in which `build` packs them.
_SECTIONS: dict[str, type[np.generic]] = {
    "titles": np.uint8,  # folded, one after the other, UTF-8
    "title_starts": np.int64,  # (n + 1,)
    "rank": np.int32,  # (n,) by popularity, then the shorter name
    "first_word": np.int32,  # (n,) the number of the first word that is no article, -1 for none
    **{
        f"{kind}_{part}": dtype
        for kind in ("words", "trigrams", "initials")
        for part, dtype in (("keys", np.uint8), ("key_starts", np.int64), ("row_starts", np.int64), ("rows", np.int32))
    },
}


def build(games: Sequence[Game]) -> npt.NDArray[np.uint8]:
    """The index of the names of `games`, which are sorted by appid, as one array for a file: uint8."""
    words = [fold(game.name) for game in games]
    folded = [" ".join(row) for row in words]
    word_keys, word_postings = _postings(set(row) for row in words)
    number_of = {word: number for number, word in enumerate(word_keys)}
    first = (next((word for word in row if word not in _ARTICLES), "") for row in words)
    lengths = np.array([len(title) for title in folded], np.int64)
    popularity = np.array([game.popularity for game in games], np.int64)
    rank = np.empty(len(games), np.int32)
    rank[np.lexsort((lengths, -popularity))] = np.arange(len(games), dtype=np.int32)
    titles, title_starts = _packed(folded)
    sections: dict[str, npt.NDArray[np.generic]] = {
        "titles": titles,
        "title_starts": title_starts,
        "rank": rank,
        "first_word": np.array([number_of.get(word, -1) for word in first], np.int32),
    }
    trigram_keys, trigram_postings = _postings(_trigrams(title) for title in folded)
    initial_keys, initial_postings = _postings({_initials(row)} - {""} for row in words)
    for kind, keys, postings in (
        ("words", word_keys, word_postings),
        ("trigrams", trigram_keys, trigram_postings),
        ("initials", initial_keys, initial_postings),
    ):
        texts, starts = _packed(keys)
        sections |= {f"{kind}_keys": texts, f"{kind}_key_starts": starts}
        sections |= {f"{kind}_row_starts": postings[0], f"{kind}_rows": postings[1]}
    return _join([np.ascontiguousarray(sections[name], dtype) for name, dtype in _SECTIONS.items()])


def _postings(
    keys_of_rows: Iterable[Iterable[str]],
) -> tuple[list[str], tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
    """The keys, sorted as UTF-8, and for each the rows that have it: where they start, and the rows."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, keys in enumerate(keys_of_rows):
        for key in keys:
            rows_of[key].append(row)
    keys = sorted(rows_of, key=str.encode)
    lengths = [len(rows_of[key]) for key in keys]
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return keys, (starts, np.fromiter((row for key in keys for row in rows_of[key]), np.int32, sum(lengths)))


def _packed(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    starts = np.zeros(len(texts) + 1, np.int64)
    starts[1:] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), starts


def _join(sections: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.uint8]:
    """The lengths in bytes as int64, then the sections, each from a multiple of eight bytes on."""
    lengths = np.array([section.nbytes for section in sections], np.int64)
    parts = [lengths.tobytes()]
    for section in sections:
        parts += [section.tobytes(), bytes(-section.nbytes % 8)]
    return np.frombuffer(b"".join(parts), np.uint8)


def _split(packed: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
    """Raises `ValueError`."""
    at = 8 * len(_SECTIONS)
    lengths = packed[:at].view(np.int64).tolist()
    sections = {}
    for (name, dtype), length in zip(_SECTIONS.items(), lengths, strict=True):
        if not 0 <= length <= len(packed) - at:
            raise ValueError(f"{name} is longer than the file")
        sections[name] = packed[at : at + length].view(dtype)
        at += length + -length % 8
    return sections


class NameIndex:
    """An index over the names of a catalogue's games, read by any number of threads.

    `packed` is what `build` gave for them, uint8, in memory or mapped from a file. Raises `BadCatalogue` where it is no
    index of `len(appids)` names; `appids` is sorted.
    """

    def __init__(self, packed: npt.NDArray[np.uint8], appids: npt.NDArray[np.uint32]) -> None:
        self._appids, self._packed = appids, packed
        n = len(appids)
        try:
            sections = _split(packed)
            self._titles = _Texts(sections["titles"], sections["title_starts"])
            self._rank, self._first_word = sections["rank"], sections["first_word"]
            if {len(self._titles), len(self._rank), len(self._first_word)} != {n}:
                raise ValueError("it is of another number of games")
            self._words, self._trigrams, self._of_initials = (
                _Postings(
                    _Texts(sections[f"{kind}_keys"], sections[f"{kind}_key_starts"]),
                    sections[f"{kind}_row_starts"],
                    sections[f"{kind}_rows"],
                    n,
                )
                for kind in ("words", "trigrams", "initials")
            )
        except ValueError as error:
            raise BadCatalogue(f"the index of names is damaged: {error}") from None
        self._length = np.diff(self._titles.starts).astype(np.float32)

    def search(self, query: str, limit: int = 10, offset: int = 0) -> Found:
        """The games that `query` means: its appid, its exact title, its initials, names with all its words (the last
        may be unfinished, in fact any), else names that resemble it. Longer queries than `MAX_QUERY` find nothing."""
        as_typed = fold(query[: MAX_QUERY + 1], {})
        words = [_ROMAN.get(word, word) for word in as_typed]
        if len(query) > MAX_QUERY or not (words or query.strip()):
            return Found([], 0, approximate=False)
        words = _ALIASES.get(" ".join(words), " ".join(words)).split()
        wanted = offset + limit
        exact = [*self._by_appid(query), *self._titled(words), *self._by_initials("".join(words))]
        forms: list[tuple[str, ...]] = list(zip(list(dict.fromkeys(words))[:MAX_WORDS], strict=True))
        if as_typed and _ROMAN.get(as_typed[-1]) == words[-1] == forms[-1][0]:
            forms[-1] = (words[-1], as_typed[-1])  # "vi" may become "viking"
        found, total = self._by_words(forms, wanted + len(exact))
        rows = list(dict.fromkeys([*exact, *found]))
        if rows:
            # Those in front may be among the others too, also beyond those that were sorted out.
            total += sum(not self._has_words(row, forms) for row in dict.fromkeys(exact))
            return Found(rows[offset:wanted], max(total, len(rows)), approximate=False)
        folded = " ".join(words)
        scored = self._by_resemblance(folded)
        one_edit = 1 - 1 / max(1, len(folded))
        close = [row for score, row in scored if score >= one_edit]
        rows = list(dict.fromkeys([*close, *self._by_corrected(forms), *(row for _, row in scored)]))
        return Found(rows[offset:wanted], len(rows), approximate=True)

    def release(self) -> None:
        """Give back the memory of what was read to check it; see `banners.arrays.release`."""
        release(self._packed)

    def titled(self, name: str) -> list[int]:
        """The rows of the games called `name`, but for case, accents and punctuation, the most popular first."""
        return self._titled(fold(name[:1000]))

    def _titled(self, words: Sequence[str]) -> list[int]:
        if not words:
            return []
        title = " ".join(words).encode()
        rows = self._words.of(max(words, key=len))
        if not len(rows):
            return []
        rows = rows[self._length[rows] == len(title)]
        return sorted((row for row in rows.tolist() if self._titles[row] == title), key=self._rank.__getitem__)

    def _by_appid(self, query: str) -> list[int]:
        if not query.strip()[:1].isdigit():
            return []
        try:
            appid = parse_appid(query.strip())
        except BadInput:
            return []
        row = int(np.searchsorted(self._appids, np.uint32(appid)))
        return [row] if row < len(self._appids) and self._appids[row] == appid else []

    def _by_initials(self, initials: str) -> list[int]:
        """Names with exactly these initials, then some that begin with them."""
        if len(initials) < _SHORTEST_INITIALS:
            return []
        exact = self._of_initials.of(initials).tolist()
        longer = self._of_initials.with_prefix(initials).tolist() if any(map(str.isdigit, initials)) else []
        by_rank = sorted(exact, key=self._rank.__getitem__) + sorted(longer, key=self._rank.__getitem__)
        return list(dict.fromkeys(by_rank))[:10]

    def _has_words(self, row: int, words: Sequence[tuple[str, ...]]) -> bool:
        own = self._titles[row].decode(errors="replace").split()
        return bool(words) and all(any(one.startswith(forms) for one in own) for forms in words)

    def _by_words(self, words: Sequence[tuple[str, ...]], wanted: int) -> tuple[list[int], int]:
        """The best `wanted` of the rows that have each of `words` in any of its forms, and how many there are."""
        if not words:
            return [], 0
        places = [[self._words.places(form) for form in forms] for forms in words]
        ranges = [[(low, high) for low, _, high in found] for found in places]
        counts = [sum(self._words.count(low, high) for low, high in found) for found in ranges]
        if not all(counts):
            return [], 0
        order = sorted(range(len(words)), key=counts.__getitem__)
        rows = self._sorted_rows(ranges[order[0]])  # of the rarest
        for number in order[1:]:
            rows = rows[self._are_in(rows, ranges[number])]
        if len(rows) < 2:
            return rows[:wanted].tolist(), len(rows)
        first = self._first_word[rows]
        others = np.ones(len(rows), bool)  # those that do not begin with the first word
        for low, high in ranges[0]:
            others &= (first < low) | (first >= high)
        whole = np.ones(len(rows), bool)
        for found in places:
            if any(own < high for _, own, high in found):  # else all that begin with it are it
                whole &= self._are_in(rows, [(low, own) for low, own, _ in found])
        keys = self._rank[rows].astype(np.int64)
        keys[others] += 2**32
        keys[~whole] += 2**33
        if wanted < len(rows):
            best = np.argpartition(keys, wanted - 1)[:wanted] if wanted else np.empty(0, np.intp)
        else:
            best = np.arange(len(rows))
        return rows[best[np.argsort(keys[best])]].tolist(), len(rows)

    def _sorted_rows(self, ranges: Sequence[tuple[int, int]]) -> npt.NDArray[np.int32]:
        """The rows that have any key of the ranges, each once."""
        if len(ranges) == 1 and ranges[0][1] - ranges[0][0] == 1:
            return self._words.rows_of(*ranges[0])
        found = np.concatenate([self._words.rows_of(*one) for one in ranges])
        if len(found) < len(self._appids) // 50:
            found.sort()
            is_new = np.ones(len(found), bool)
            np.not_equal(found[1:], found[:-1], out=is_new[1:])
            return found[is_new]
        has_key = np.zeros(len(self._appids), bool)  # several times as fast for many
        has_key[found] = True
        return np.flatnonzero(has_key).astype(np.int32)

    def _are_in(self, rows: npt.NDArray[np.int32], ranges: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
        """Which of `rows` have any key of the ranges."""
        if len(ranges) == 1 and ranges[0][1] - ranges[0][0] <= 1:
            having = self._words.rows_of(*ranges[0])  # of one key, so sorted
            places = having.searchsorted(rows)
            return having.take(places, mode="clip") == rows if len(having) else np.zeros(len(rows), bool)
        has_key = np.zeros(len(self._appids), bool)
        for low, high in ranges:
            has_key[self._words.rows_of(low, high)] = True
        return has_key[rows]

    def _by_corrected(self, words: Sequence[tuple[str, ...]]) -> list[int]:
        """Names with each of `words` or one that it may be a typo of: of words that no name has; where there are none,
        of any."""
        ranges = [[self._words.places(form) for form in forms] for forms in words]
        unknown = [number for number, found in enumerate(ranges) if all(low == high for low, _, high in found)]
        corrected = list(words)
        for number in unknown or range(len(words)):
            corrected[number] = (*words[number], *self._vocabulary.near(words[number][0]))
        return self._by_words(corrected, _FUZZY_CANDIDATES)[0] if corrected != list(words) else []

    @cached_property
    def _vocabulary(self) -> "_Vocabulary":
        """Made when somebody mistypes: some MB."""
        return _Vocabulary(self._words.keys())

    def _by_resemblance(self, folded: str) -> list[tuple[float, int]]:
        """Scores, and rows, of the titles that resemble the query as a whole, the best first."""
        if not folded:
            return []
        trigrams = _trigrams(folded)
        rows = np.concatenate([self._trigrams.of(trigram) for trigram in trigrams])
        if not len(rows):
            return []
        shared = np.bincount(rows, minlength=len(self._appids))
        # What resembles the query enough to be shown shares at least a third of its trigrams.
        likely = np.flatnonzero(shared >= max(1, len(trigrams) // 3))
        likeness = shared[likely] / (len(trigrams) + self._length[likely])  # Dice's coefficient, but for a factor
        if len(likely) > _FUZZY_CANDIDATES:
            likely = likely[np.argpartition(-likeness, _FUZZY_CANDIDATES)[:_FUZZY_CANDIDATES]]
        scored = [
            (_resemblance(folded, self._titles[row].decode(errors="replace")), -int(self._rank[row]), row)
            for row in likely.tolist()
        ]
        return [(score, row) for score, _, row in sorted(scored, reverse=True) if score >= _FUZZY_CUTOFF]


class _Texts:
    """Texts one after the other. Raises `ValueError` where the starts are not those of `data`."""

    def __init__(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> None:
        _check_starts(starts, len(data))
        self.starts = starts
        # A slice of an array costs three times as much.
        self._bytes, self._starts = data.data, starts.data

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._bytes[self._starts[number] : self._starts[number + 1]])


class _Postings:
    """For each key the rows that have it; keys are sorted, so that a prefix is a range. `n` is the number of rows."""

    def __init__(self, keys: _Texts, starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int32], n: int) -> None:
        _check_starts(starts, len(rows))
        if len(starts) != len(keys.starts):
            raise ValueError("keys and rows do not belong together")
        if len(rows) and not (rows.min() >= 0 and rows.max() < n):
            raise ValueError("it names games that there are not")
        self._keys, self._starts, self._rows = keys, starts, rows
        self._landmarks = [keys[number] for number in range(0, len(keys), _BETWEEN_LANDMARKS)]
        self._longest = int(np.diff(keys.starts).max(initial=0))
        self._places: dict[str, tuple[int, int, int]] = {}

    def _place(self, key: bytes) -> int:
        """How many keys are less than `key`."""
        high = bisect_left(self._landmarks, key) * _BETWEEN_LANDMARKS
        return bisect_left(self._keys, key, max(0, high - _BETWEEN_LANDMARKS), min(high, len(self._keys)))

    def places(self, prefix: str) -> tuple[int, int, int]:
        """(low, own, high): at positions [low, high) are the keys that start with `prefix`, at [low, own) itself."""
        found = self._places.get(prefix)
        if found is None:
            if len(self._places) >= _PLACES_KEPT:
                self._places.clear()
            encoded = prefix.encode()
            low = self._place(encoded)
            own = low + (low < len(self._keys) and self._keys[low] == encoded)
            found = self._places[prefix] = low, own, self._place(encoded + b"\xff")
        return found

    def of(self, key: str) -> npt.NDArray[np.int32]:
        if len(key) > self._longest:  # no key has fewer bytes than letters
            return self._rows[:0]
        low, own, _ = self.places(key)
        return self.rows_of(low, own)

    def keys(self) -> Iterator[str]:
        return (self._keys[number].decode(errors="replace") for number in range(len(self._keys)))

    def count(self, low: int, high: int) -> int:
        return int(self._starts[high] - self._starts[low])

    def rows_of(self, low: int, high: int) -> npt.NDArray[np.int32]:
        """The rows of the keys [low, high); one that has several of them is there as often."""
        return self._rows[self._starts[low] : self._starts[high]]

    def with_prefix(self, prefix: str) -> npt.NDArray[np.int32]:
        low, _, high = self.places(prefix)
        return self.rows_of(low, high)


class _Vocabulary:
    """Words by length, for those that differ by a typo."""

    def __init__(self, words: Iterable[str]) -> None:
        self._of_length: dict[int, list[str]] = defaultdict(list)
        for word in words:
            self._of_length[len(word)].append(word)

    def near(self, word: str) -> list[str]:
        """The other words that are the fewest edits away from `word`: one, or two from long words; none from short
        ones."""
        if len(word) < _SHORTEST_MISTYPED or word.isdigit():
            return []
        most = 2 if len(word) >= _LONG else 1
        found = [
            (distance, near)
            for length in range(len(word) - most, len(word) + most + 1)
            for near, distance, _ in process.extract(
                word, self._of_length.get(length, ()), scorer=OSA.distance, score_cutoff=most, limit=_NEAR_WORDS
            )
            if distance
        ]
        least = min(found, default=(0, ""))[0]
        return [near for distance, near in found if distance == least]


def _check_starts(starts: npt.NDArray[np.int64], end: int) -> None:
    if not len(starts) or starts[0] != 0 or starts[-1] != end or not (starts[1:] >= starts[:-1]).all():
        raise ValueError("its parts do not follow each other")


def _initials(words: Sequence[str]) -> str:
    """The first letters of words, and numbers whole: "Grand Theft Auto V" is gta5. "" for names of one word."""
    if len(words) < 2:
        return ""
    return "".join(word if word.isdigit() else word[0] for word in words)


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
