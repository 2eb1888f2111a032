"""Names as they are compared and searched: folded to words, and the other ways in which people name a game."""

import re
import unicodedata
from collections.abc import Iterator

from banners.errors import BadInput
from banners.games_csv import parse_appid

ROMAN = {
    roman: str(number)
    for number, roman in enumerate(
        "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split(), start=2
    )
}
_MARKS = re.compile(r"[™®©℠]")
_APOSTROPHES = re.compile(r"['’‘`´]")
_DOTTED = re.compile(r"(?<!\w)(?:[^\W\d_]\.){1,}[^\W\d_](?!\w)")  # S.T.A.L.K.E.R
_GREEK = re.compile("[\u03b1-\u03c9]")
# A word is a run of letters, a run of digits, or a single ideograph: "gta5" is "gta 5", and two ideographs of a name
# find it wherever they stand.
IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# In scripts of India and South-East Asia vowels are marks, which `\w` does not match.
_VOWELS = "".join(chr(code) for code in range(0x900, 0x1D00) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_WORD = re.compile(rf"[{IDEOGRAPH}]|[0-9]+|(?:(?![{IDEOGRAPH}0-9])[^\W_]|[{_VOWELS}])+")
# Scripts whose words are found wherever they stand in a title: without blanks, or (Hangul) with few.
PIECE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff]")


def _latin_letters() -> Iterator[tuple[int, str]]:
    """Yield letters that Unicode does not decompose, and their ASCII spelling: "o" for "ø", "l" for "ł"."""
    for code in range(0xC0, 0x250):
        letter = re.fullmatch(r"LATIN SMALL LETTER ([A-Z]) WITH .*", unicodedata.name(chr(code), ""))
        if letter:
            yield code, letter[1].lower()
    yield from zip(map(ord, "æœðþıŋ"), ("ae", "oe", "d", "th", "i", "n"), strict=True)


_LATIN = dict(_latin_letters())
# Addresses that name a game: store pages, Steam's own links, SteamDB.
_ADDRESS = re.compile(
    r"(?:https?://)?(?:[a-z0-9-]+\.)*(?:steampowered|steamcommunity|steamdb|steamstatic)\.[a-z]+/(?:[^?#]*/)?apps?/([0-9]+)(?:[/?#].*)?"
    r"|steam:/*(?:[a-z]+/)+([0-9]+)(?:[/?#].*)?|/?apps?/([0-9]+)(?:[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)


def fold(text: str, with_roman: bool = True) -> list[str]:
    """The words of a name as they are compared: no case, accents, punctuation or trademark signs; Roman numerals as
    digits unless `with_roman` is False."""
    words = _WORD.findall(fold_letters(_MARKS.sub("", _APOSTROPHES.sub("", text))))
    return [ROMAN.get(word, word) for word in words] if with_roman else words


def fold_letters(text: str) -> str:
    """`text` without case and accents, in any script."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    if plain.isascii():
        return plain
    return "".join(character for character in plain if not unicodedata.combining(character)).translate(_LATIN)


def also_called(name: str) -> list[str]:
    """Further words that a name is found by: "stalker" for "S.T.A.L.K.E.R.", "delta" and "v" for "ΔV"."""
    dotted = _DOTTED.findall(name) if "." in name else []
    words = [word for one in dotted for word in fold(one.replace(".", ""))]
    for word in [] if name.isascii() else fold(name):
        if _GREEK.search(word) and (len(word) == 1 or re.search("[a-z]", word)):
            words += _GREEK.sub(
                lambda letter: f" {unicodedata.name(letter[0]).rpartition(' ')[2].lower()} ", word
            ).split()
    return words


def named_by_address(text: str) -> int | None:
    """The appid in the address of a game's page on the store, in Steam or on SteamDB; None for any other text."""
    match = _ADDRESS.fullmatch(unicodedata.normalize("NFKC", text.strip()))
    return min(int(next(filter(None, match.groups()))[:20]), 2**62) if match else None


def appid_of(text: str) -> int | None:
    """The appid in `text`: digits, also full-width ones, or a game's address. None for other texts."""
    digits = unicodedata.normalize("NFKC", text.strip())
    try:
        return parse_appid(digits)
    except BadInput:
        return named_by_address(text)


def search_columns(name: str) -> tuple[str, str, str]:
    """The columns `title`, `joined` and `initials` of a game."""
    words = fold(name)
    # Numbers stay whole: "Grand Theft Auto V" is gta5.
    initials = "".join(word if word.isdigit() else word[0] for word in words) if len(words) > 1 else ""
    return " ".join(words), "".join(words), initials
