"""Which games are of one series, by Steam's data or by their names.

Two games are of one series if they have the same franchise, one is the other's demo or DLC, both belong to the same
game, or their names begin alike. Names begin alike if they differ only in editions, numbers and a subtitle after a
colon or a dash, or if they share their first two words. Articles do not count. Names that begin with common words only,
such as "Dark" or "Space Station", may differ only in editions and numbers. The same name alone makes no series. A
franchise named after a game's own developer or publisher is ignored: all their games have it.
"""

import re
from itertools import takewhile

from banners.catalogue.names import fold
from banners.games_csv import Game

_SUBTITLE = re.compile(r":|\s[-–—|~]\s|\s?[([]")
_ARTICLES = frozenset({"the", "a", "an", "sid", "meiers", "tom", "clancys", "disney", "marvel", "marvels"})
# What follows the name of a series without being part of it.
_EDITIONS = frozenset(
    """
    3d anniversary beta bundle chapter chronicles classic classics collection complete cut definitive deluxe demo
    digital directors dlc edition enhanced ep episode episodes extended final free game games gold goty hd legacy
    lite multiplayer online origins pack part pc playtest prologue redux reforged reloaded remake remaster
    remastered season singleplayer soundtrack special standard trial trilogy ultimate vol volume vr year
    """.split()
)
_FUNCTION = frozenset(
    """
    a about an and are as at be by do for from how i in is it lets me my no not of on or our out that the this to up
    was we what when where who why with you your
    """.split()
)
_COMPANY_FORMS = frozenset(
    "ab ag as bv co company corp corporation gmbh inc incorporated kg limited llc ltd oy plc pty sa sas spa srl".split()
)
# First words that many unrelated names have in common.
_COMMON = frozenset(
    """
    abyss adam adventure adventures age agony alien angry anomaly apocalypse area army art bad battle big black
    blood blue box brain capsule captive card castle cat chaos chess chill christmas city civil colony color command
    conflict constructor contact corona covid crash crazy creature crisis crossfire cube curse cyber danger dark
    darkness dawn day daylight days dead death defense demon descent desert destiny diamond divine doctor dog dragon
    dream dungeon dungeons earth easy eclipse edge element elements ember emergency empire endless enemy energy
    engine epic era escape essence eternal event evil evolution exile exodus expedition eye face factory faith fall
    family fantasy farm fate fear field fighter fire first flame flight flying fog force forest forever forge
    forgotten fortress freedom frontier frontline frozen fun fury future galaxy genesis ghost girl girls gladiators
    god gods golden good gravity great green guns haunted heart hentai hero heroes hidden holy home horror house
    hunter ice infection infinite into invasion iron island jigsaw jump jungle king kingdom knight labyrinth last
    legend legends little lost love mad maelstrom magic mall master maze mega memory mini monster moon mystery
    nemesis neon new night ninja novel object one origin outbreak panzer paper paradise party path phantom phoenix
    pirate pirates pixel planet police power project pull pulse puzzle puzzles quest race racing rage raid random
    real rebel rebellion red redemption resistance retro revenge revolution rise ritual rocket rogue room rpg rush
    samurai save scp sea secret shadow shadows shattered shift signal silence simple simulator sky slime small
    sniper snow soul space speed sphere spirit sports star stars station stealth steam steel stone storm story
    street strike super support surge survival sword tale tales tank tanks tech time tiny titan tower train trap
    tycoon ultra under unity vector vertigo virtual visual void vortex war warrior warriors water way white wild
    winter wizard wizards word world worlds wreck z zombie zombies
    """.split()
)
# Not years, and not what tells parts of a series apart.
_BRACKETS = re.compile(
    r"[(\[](?![0-9]+[)\]])(?![^)\]]*\b(?:chapter|part|episode|ep|vol|volume|act|book|season)\b)[^)\]]*[)\]]",
    re.IGNORECASE,
)
_REISSUE = re.compile(
    r"(?: (?:the )?(?:anniversary|beta|collectors|complete|definitive|deluxe|demo|digital|directors cut|edition"
    r"|enhanced|extended|final cut|game of the year|gold|goty|hd|playtest|premium|remastered|special|standard"
    r"|ultimate))+$"
)


def edition(game: Game) -> str:
    """A key that all editions of a game share: its title without regions and editions, and its developer. A year in
    brackets tells games of one title apart."""
    title = " ".join(_words(_BRACKETS.sub(" ", game.name)) or _words(game.name)) or f"#{game.appid}"
    return f"{_REISSUE.sub('', title)}/{' '.join(map(_company, game.listed('developer')[:1]))}"


def same_series(one: Game, other: Game) -> bool:
    """Whether two games are of one series; see the module."""
    return (
        bool(_franchises(one) & _franchises(other))
        or _family(one) == _family(other)
        or names_begin_alike(one.name, other.name)
    )


def _franchises(game: Game) -> set[str]:
    named = {_company(part) for part in game.listed("franchise") or game.listed("series")}
    return named - {_company(part) for column in ("developer", "publisher") for part in game.listed(column)} - {""}


def _company(name: str) -> str:
    """A name as it is compared: without case, punctuation and the form of a company."""
    words = fold(name)
    while len(words) > 1 and words[-1] in _COMPANY_FORMS:
        words.pop()
    return " ".join(words)


def _family(game: Game) -> int:
    """The appid of the game that it belongs to, its own if it belongs to none."""
    parent = str(game.columns.get("parent_appid", ""))
    return int(parent) if re.fullmatch("[1-9][0-9]{0,9}", parent) else game.appid


def names_begin_alike(one: str, other: str) -> bool:
    """Whether two names are those of a series."""
    first, second = _words(one), _words(other)
    if not first or not second or first == second:  # two games of one name are rarely related
        return False
    stem = _stem(one)
    if stem == _stem(other):
        is_bare = _without_ending(first) == _without_ending(second) == stem
        return is_bare or _says_something(stem)
    shared = [left for left, right in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))]
    while shared and (shared[-1] in _EDITIONS or shared[-1] in _FUNCTION or shared[-1].isdigit()):
        shared.pop()
    return len(shared) > 1 and _says_something(shared)


def _words(name: str) -> list[str]:
    words = fold(name)
    while words and words[0] in _ARTICLES:
        words = words[1:]
    return words


def _stem(name: str) -> list[str]:
    """The words before the subtitle, without editions and numbers at the end."""
    return _without_ending(_words(_SUBTITLE.split(name.strip(), maxsplit=1)[0]) or _words(name))


def _without_ending(words: list[str]) -> list[str]:
    """Without editions and numbers at the end; one word stays."""
    end = len(words)
    while end > 1 and (words[end - 1] in _EDITIONS or words[end - 1][0].isdigit()):
        end -= 1
    return words[:end]


def _says_something(words: list[str]) -> bool:
    """Whether words can be the name of a series: three of them, or one that is neither common nor a number."""
    return len(words) > 2 or any(
        len(word) > 2 and word not in _COMMON and word not in _FUNCTION and not word.isdigit() for word in words
    )
