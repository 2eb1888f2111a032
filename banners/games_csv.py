"""Games and banners as the banners folder gives them: `<appid>.jpg|jpeg|png|webp` files beside a `games.csv`.

Tables are taken as people's programs write them: with commas, semicolons or tabs, in UTF-8 or UTF-16, numbers as
decimals or with their thousands set apart.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Self, cast

from banners.errors import BadInput, Unavailable, one_line
from banners.files import csv_text

MAX_APPID = 2**32 - 1
# The curated queries of the original benchmark, beside the hundred most played games.
CURATED = (620, 364470, 504230, 583950, 646570, 863550, 794600, 814380)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_OTHER_IMAGES = frozenset({".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl"})
_CANONICAL_APPID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_ADULT_DESCRIPTORS = frozenset({"3", "4"})  # Steam's content descriptors for adult-only and frequent nudity
_ADULT_WORDS = re.compile(r"hentai|futanari|porn|\b(sex|sexy|sexual|nude|milf|ecchi|nsfw)\b", re.IGNORECASE)
_DELIMITERS = ",;\t"
_MAX_NUMBER = 10**18 - 1
_ABSENT = frozenset({"nan", "na", "n/a", "none", "null", "-"})  # what programs write for a number that is not known
_NO = frozenset({"0", "0.0", "false", "no"})
_THOUSANDS = re.compile(
    r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[ '\u00a0\u202f][0-9]{3})+|[0-9]{1,3}(?:\.[0-9]{3}){2,}"
)
_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{0,18})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_YEAR = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}(?![0-9])", re.ASCII)
_BEFORE_HEADER = re.compile(r"[\s,;]*|\s*\"?sep=.\"?\s*", re.IGNORECASE)
_NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class Game:
    """One game: its appid, its name ("" where unknown) and any further columns of games.csv."""

    appid: int
    name: str
    columns: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def popularity(self) -> int:
        """Any measure that grows with popularity; 0 where unknown."""
        value = self.columns.get("popularity", 0)
        return min(max(value, 0), 2**63 - 1) if isinstance(value, int) else 0

    def listed(self, column: str) -> tuple[str, ...]:
        """The values of a column that may have several, with semicolons between them."""
        parts = (part.strip() for part in str(self.columns.get(column, "")).split(";"))
        return tuple(dict.fromkeys(part for part in parts if part))

    @property
    def is_adult(self) -> bool:
        """Whether the store's content descriptors or the name say that the banner may be explicit."""
        descriptors = re.findall(r"[0-9]+", str(self.columns.get("descriptors", "")))
        return bool(_ADULT_DESCRIPTORS & set(descriptors) or _ADULT_WORDS.search(self.name))


@dataclass(frozen=True, slots=True)
class Banner:
    """One image file and the appid its name gives."""

    appid: int
    path: Path


@dataclass(frozen=True)
class Table:
    """A `games.csv` as it was read: `games` by appid; `left_out`, the rows without a usable appid; `unread`, the
    optional cells that were taken for empty. Both name the line and the reason."""

    games: Mapping[int, Game] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class BannersFolder:
    """A banners folder as it was listed.

    `banners` is sorted by appid, one a game; `games` is keyed by appid. `misnamed` pairs a file name with the
    reason why it, and others like it, are no banners; `misnamed_files` counts all of these. `no_table` says why there
    is no `games.csv`, "" if there is one; `left_out` and `unread` are those of `Table`. `subfolders` counts the folders
    inside, which are not looked into.
    """

    banners: tuple[Banner, ...]
    games: Mapping[int, Game]
    misnamed: tuple[tuple[str, str], ...] = ()
    misnamed_files: int = 0
    no_table: str = ""
    left_out: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    subfolders: int = 0

    def without(self, appids: Collection[int]) -> Self:
        """The folder as if the banners and rows of `appids` were not there."""
        return replace(
            self,
            banners=tuple(banner for banner in self.banners if banner.appid not in appids),
            games={appid: game for appid, game in self.games.items() if appid not in appids},
        )

    @property
    def banners_without_row(self) -> list[int]:
        return [banner.appid for banner in self.banners if banner.appid not in self.games]

    @property
    def rows_without_banner(self) -> list[int]:
        return sorted(self.games.keys() - {banner.appid for banner in self.banners})


def folder_at(text: str) -> Path:
    """The path that `text` names. Where it is a URL (s3://bucket/banners) it is one of universal-pathlib, which has a
    path's methods and reads by fsspec.

    Raises `BadInput` for a URL that cannot be used, `Unavailable` where a library for it is not installed.
    """
    if "://" not in text:
        return Path(text)
    try:
        from upath import UPath

        folder = UPath(text)
        folder.fs  # noqa: B018 - this imports the library for the URL
    except ImportError as error:
        raise Unavailable(f"{text[:80]}: {one_line(error)} (requirements-cluster.txt has what s3 needs)") from None
    except Exception as error:  # each kind of storage has errors of its own
        raise BadInput(f"{text[:80]}: {one_line(error)}") from None
    return cast(Path, folder)


def is_url(path: Path) -> bool:
    """Whether a path is one of universal-pathlib, each kind of which raises errors of its own."""
    return type(path).__module__.startswith("upath.")


@contextmanager
def _reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn errors while reading `path` into `BadInput`; for a URL, the errors of its library too."""
    try:
        yield
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        what = f"{error.reason} at byte {error.start}"
        raise BadInput(f"{path} is not UTF-8: {what}; a spreadsheet saves it as “CSV UTF-8”") from None
    except OSError as error:
        raise BadInput(f"cannot read {what}{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:
        if is_url(path):
            raise BadInput(f"cannot read {what}{path}: {one_line(error)}") from None
        raise


def read_appids(path: Path) -> set[int]:
    """The appids of a file with one a line; empty lines and what follows a "#" do not count. Raises `BadInput`."""
    lines = enumerate(_text_of(path).splitlines(), 1)
    texts = ((number, line.partition("#")[0].strip()) for number, line in lines)
    return {_appid_of(text, f"{path}: line {number}: ") for number, text in texts if text}


def _text_of(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark. Raises `BadInput`."""
    with _reading(path):
        data = path.read_bytes()
        is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")


def parse_appid(text: str, where: str = "") -> int:
    """The appid that `text` spells, in 1..2^32-1. Raises `BadInput`, which says `where`, for anything else, leading
    zeros included."""
    if _CANONICAL_APPID.fullmatch(text) and int(text) <= MAX_APPID:
        return int(text)
    raise BadInput(f"{where}{text[:40]!r} is not an appid (a whole number from 1 to {MAX_APPID})")


def _appid_of(cell: str, where: str = "") -> int:
    """The appid of a cell, where "620.0" and "00620" are 620, "1,091,500" is 1091500. Raises `BadInput`."""
    if _THOUSANDS.fullmatch(cell) and " " not in cell:  # with blanks it may be two
        cell = re.sub("[^0-9]", "", cell)
    return parse_appid(re.sub(r"^0+(?=[0-9])|(?<=[0-9])\.0*$", "", cell), where)


def valid_unicode(text: str) -> str:
    """`text` with "?" for halves of surrogate pairs, which JSON can carry and no file or page can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def list_banners(folder: Path) -> list[Banner]:
    """The banners of `folder` by appid. Raises `BadInput` when it cannot be listed. Only names are looked at."""
    return list(_list(folder).banners)


def _list(folder: Path) -> BannersFolder:
    """List a folder, without its table. Hidden files are ignored, as are files that neither end like an image nor are
    named after an appid."""
    by_appid: dict[int, Banner] = {}
    misnamed: dict[str, list[str]] = {}
    others: list[Path] = []
    with _reading(folder, "the banners folder "):
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            suffix = path.suffix.lower()
            is_banner = suffix in SUFFIXES
            if path.name.startswith("."):
                continue
            if not is_banner and ((suffix not in _OTHER_IMAGES and not path.stem.isdigit()) or path.is_dir()):
                others.append(path)
                continue
            reason = _why_misnamed(path, is_banner, by_appid)
            if reason:
                misnamed.setdefault(reason, []).append(path.name)
            else:
                by_appid[int(path.stem)] = Banner(int(path.stem), path)
        subfolders = sum(path.is_dir() for path in others)
    named = {path.name.casefold(): path.name for path in others}
    why = f"{named['games.csv']} is not called games.csv" if "games.csv" in named else "there is no games.csv"
    return BannersFolder(
        tuple(by_appid[appid] for appid in sorted(by_appid)),
        {},
        tuple((names[0], f"{reason}{_others(names[1:])}") for reason, names in misnamed.items()),
        sum(map(len, misnamed.values())),
        no_table=f"{why}, so no game has a name",
        subfolders=subfolders,
    )


def _why_misnamed(path: Path, is_banner: bool, by_appid: Mapping[int, Banner]) -> str:
    """Why a file is no banner, "" if it is one."""
    stem = path.stem
    if not is_banner:
        return f"banners end in {', '.join(SUFFIXES)}"
    if re.fullmatch("0+[1-9][0-9]{0,9}", stem, re.ASCII):
        return "its appid has leading zeros"
    try:
        appid = parse_appid(stem)
    except BadInput:
        return "its name is not an appid, as in 620.jpg"
    if not path.is_file():
        return "it is not a regular file"
    return f"appid {appid} is already given by {by_appid[appid].path.name}" if appid in by_appid else ""


def _others(names: list[str]) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _NAMED_FILES else ""
    return f"; the same of {len(names)} other{'s' if len(names) > 1 else ''}: {', '.join(names[:_NAMED_FILES])}{more}"


def games_table(games: Iterable[Game]) -> bytes:
    """The bytes of a `games.csv` of `games`, by appid, with the columns that any of them knows."""
    rows = sorted(games, key=lambda game: game.appid)
    columns = list(dict.fromkeys(column for game in rows for column in game.columns))
    cells = ((game.appid, game.name, *(game.columns.get(column, "") for column in columns)) for game in rows)
    return csv_text(("appid", "name", *columns), cells).encode("utf-8", "replace")


def games_at(folder: Path) -> dict[int, Game]:
    """The games of the folder's `games.csv` by appid, none if it has no such file. For programs that write the file
    anew: cells that cannot be read keep their text, and a row that cannot be read is a `BadInput`."""
    path = folder / "games.csv"
    return read_games(path) if _is_there(path) else {}


def _is_there(path: Path) -> bool:
    with _reading(path):
        return path.exists() or path.is_symlink()


def read_games(path: Path) -> dict[int, Game]:
    """The games of a `games.csv` by appid, as `games_at` reads them. Raises `BadInput`."""
    table = read_table(path, keeps_unread=True)
    for trouble in table.left_out:
        raise BadInput(f"{path}: {trouble}")
    return dict(table.games)


def read_table(path: Path, keeps_unread: bool = False) -> Table:
    """Read a `games.csv`. Its header names at least `appid` and `name`, in any case. With `keeps_unread` a cell that
    cannot be read keeps its text instead of being taken for empty.

    Raises `BadInput` for a file that cannot be read or has no such header.
    """
    text = io.StringIO(_text_of(path), newline="")
    # Before the header there may be empty rows, and what spreadsheets write to name the delimiter.
    lines = ((number, line) for number, line in enumerate(text, 1) if not _BEFORE_HEADER.fullmatch(line))
    first, line = next(lines, (1, ""))
    header, delimiter = _header_of(line, f"{path}: line {first}")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    games: dict[int, Game] = {}
    left_out: list[str] = []
    unread: list[str] = []
    while True:
        where = f"line {first + reader.line_num + 1}"
        try:
            cells = next(reader)
            if any(map(str.strip, cells)):
                game, troubles = _game_of(header, cells, keeps_unread)
                if game.appid in games:
                    raise BadInput(f"it repeats the appid {game.appid}")
                games[game.appid] = game
                unread += [f"{where}: {trouble}" for trouble in troubles]
        except StopIteration:
            return Table(games, tuple(left_out), tuple(unread))
        except csv.Error as error:
            left_out.append(f"{where} is malformed: {error}")
        except BadInput as error:
            left_out.append(f"{where}: {error}")


def _header_of(line: str, where: str) -> tuple[list[str], str]:
    """The columns of a header in lower case, and the delimiter. Raises `BadInput`."""
    headers = {}
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        headers[delimiter] = [cell.strip().casefold() for cell in cells]
    delimiter = max(_DELIMITERS, key=lambda one: len({"appid", "name"} & set(headers[one])) * 1000 + len(headers[one]))
    header = headers[delimiter]
    missing = [column for column in ("appid", "name") if column not in header]
    if missing:
        seen = ", ".join(header)[:200] or "nothing"
        raise BadInput(f"{where} lacks the column {' and '.join(missing)}; it has: {seen}")
    named = [column for column in header if column]
    if len(set(named)) < len(named):
        raise BadInput(f"{where} names a column twice")
    return header, delimiter


def _game_of(header: list[str], cells: list[str], keeps_unread: bool) -> tuple[Game, list[str]]:
    """The game of a row, and what could not be read of it. Raises `BadInput`."""
    if any(map(str.strip, cells[len(header) :])):
        raise BadInput(f"it has {len(cells)} cells, the header has {len(header)}; are there quotation marks missing?")
    columns: dict[str, str | int] = {
        column: cell.strip() for column, cell in zip(header, cells, strict=False) if column
    }
    appid, name = _appid_of(str(columns.pop("appid", ""))), str(columns.pop("name", ""))
    troubles = []
    for column, (read, what) in _OPTIONAL.items():
        text = str(columns.get(column, ""))
        if text and text.casefold() not in _ABSENT:
            number = read(text)
            if number is not None:
                columns[column] = number
            else:
                columns[column] = text if keeps_unread else ""
                troubles.append(f"{column} is {text[:40]!r}, not {what}; it is taken for empty")
        elif text:
            columns[column] = ""
    if str(columns.get("benchmark", "")).casefold() in _NO:
        columns["benchmark"] = ""
    return Game(appid, name, {column: value for column, value in columns.items() if value != ""}), troubles


def _whole(text: str) -> int | None:
    """The whole number that people mean by `text`: "1500000", "1,500,000", "1.5E+06", "620.0"; None for none."""
    if _THOUSANDS.fullmatch(text):
        text = re.sub("[^0-9]", "", text)
    if not _DECIMAL.fullmatch(text):
        return None
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() and value <= _MAX_NUMBER else None


def _year(text: str) -> int | None:
    """The year of "2011", "2011.0" or a date; None unless `text` names exactly one year."""
    years = set(_YEAR.findall(text))
    number = _whole(text)
    if len(years) == 1:
        return int(years.pop())
    return number if number is not None and number <= 9999 else None


_OPTIONAL: dict[str, tuple[Callable[[str], int | None], str]] = {
    "popularity": (_whole, "a whole number"),
    "parent_appid": (_whole, "a whole number"),
    "year": (_year, "a year or a date"),
}


def read_banners_folder(folder: Path, takes_any_table: bool = False) -> BannersFolder:
    """List `folder` and read its `games.csv`; without that file every name is unknown.

    Raises `BadInput` for an unreadable folder and, unless `takes_any_table`, for a `games.csv` without its columns.
    """
    listed, path = _list(folder), folder / "games.csv"
    if not _is_there(path):
        return listed
    try:
        table = read_table(path)
    except BadInput as error:
        if not takes_any_table:
            raise
        return replace(listed, no_table=str(error))
    return replace(listed, games=table.games, no_table="", left_out=table.left_out, unread=table.unread)


def why_no_banners(folder: BannersFolder) -> str:
    """The end of the message that a folder has no banners: which names are needed, and what the folder has instead."""
    wanted = f" named <appid>{', '.join(SUFFIXES)}"
    if folder.misnamed:
        return f"{wanted}; {folder.misnamed[0][0]}: {folder.misnamed[0][1]}"
    return (
        f"{wanted}; it has {folder.subfolders} subfolders, which are not looked into" if folder.subfolders else wanted
    )
