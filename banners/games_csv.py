"""Games and banners as the banners folder gives them: `<appid>.jpg|png|webp` files beside a `games.csv`."""

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, cast

from banners import settings
from banners.errors import BadInput, Unavailable, one_line
from banners.files import csv_text

MAX_APPID = 2**32 - 1
# The curated queries of the original benchmark, beside the hundred most played games.
CURATED = (620, 364470, 504230, 583950, 646570, 863550, 794600, 814380)
SUFFIXES = (".jpg", ".png", ".webp")
_OTHER_IMAGES = frozenset({".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl"})
_CANONICAL_APPID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_ADULT_DESCRIPTORS = frozenset({"3", "4"})  # Steam's content descriptors for adult-only and frequent nudity
_ADULT_WORDS = re.compile(r"hentai|futanari|porn|\b(sex|sexy|sexual|nude|milf|ecchi|nsfw)\b", re.IGNORECASE)
_NUMBERS = frozenset({"popularity", "year"})


@dataclass(frozen=True)
class Game:
    """One game: its appid, its name ("" where unknown) and any further columns of games.csv."""

    appid: int
    name: str
    known: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def popularity(self) -> int:
        """Any measure that grows with popularity; 0 where unknown."""
        value = self.known.get("popularity", 0)
        return min(max(value, 0), 2**63 - 1) if isinstance(value, int) else 0

    def listed(self, column: str) -> tuple[str, ...]:
        """The values of a column that may have several, with semicolons between them."""
        parts = (part.strip() for part in str(self.known.get(column, "")).split(";"))
        return tuple(dict.fromkeys(part for part in parts if part))

    @property
    def is_adult(self) -> bool:
        """Whether the store's content descriptors or the name say that the banner may be explicit."""
        descriptors = re.findall(r"[0-9]+", str(self.known.get("descriptors", "")))
        return bool(_ADULT_DESCRIPTORS & set(descriptors) or _ADULT_WORDS.search(self.name))


@dataclass(frozen=True)
class Banner:
    """One image file and the appid its name gives."""

    appid: int
    path: Path


@dataclass(frozen=True)
class BannersFolder:
    """A banners folder as it was listed.

    `banners` is sorted by appid, one a game; `games` is keyed by appid. `misnamed` pairs a file name with the
    reason why it is no banner.
    """

    banners: tuple[Banner, ...]
    games: Mapping[int, Game]
    misnamed: tuple[tuple[str, str], ...] = ()

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
        folder.fs  # noqa: B018 - made when first asked for, and only then is its library looked for
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
    """`BadInput` for whatever keeps `path` from being read: for a URL, errors of the library behind it too."""
    try:
        yield
    except BadInput:
        raise
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise BadInput(f"cannot read {what}{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:
        if is_url(path):
            raise BadInput(f"cannot read {what}{path}: {one_line(error)}") from None
        raise


def read_appids(path: Path) -> set[int]:
    """The appids of a file with one a line; empty lines and what follows a "#" do not count. Raises `BadInput`."""
    appids = set()
    with _reading(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip()
            if text:
                appids.add(parse_appid(text, f"{path}: line {number}: "))
    return appids


def parse_appid(text: str, where: str = "") -> int:
    """The appid that `text` spells, in 1..2^32-1. Raises `BadInput`, which says `where`, for anything else, leading
    zeros included."""
    if _CANONICAL_APPID.fullmatch(text) and int(text) <= MAX_APPID:
        return int(text)
    raise BadInput(f"{where}{text[:40]!r} is not an appid (a whole number from 1 to {MAX_APPID})")


def valid_unicode(text: str) -> str:
    """`text` with "?" for halves of surrogate pairs, which JSON can carry and no file or page can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def list_banners(folder: Path) -> tuple[list[Banner], list[tuple[str, str]]]:
    """The banners of `folder` by appid, and the names of files that are none, each with the reason.

    Raises `BadInput` when `folder` cannot be listed. Only names are looked at. Passed over are hidden files, folders
    that do not end like a banner, and what neither ends like an image nor is named after an appid.
    """
    by_appid: dict[int, Banner] = {}
    misnamed: list[tuple[str, str]] = []
    with _reading(folder, "the banners folder "):
        for path in sorted(folder.iterdir()):
            suffix = path.suffix.lower()
            is_banner = suffix in SUFFIXES
            if path.name.startswith(".") or not (is_banner or suffix in _OTHER_IMAGES or path.stem.isdigit()):
                continue
            if not is_banner and path.is_dir():
                continue
            try:
                appid = parse_appid(path.stem)
                if is_banner and not path.is_file():
                    misnamed.append((path.name, "it is not a regular file"))
                elif is_banner and appid in by_appid:
                    misnamed.append((path.name, f"appid {appid} is already given by {by_appid[appid].path.name}"))
                elif is_banner:
                    by_appid[appid] = Banner(appid, path)
                else:
                    misnamed.append((path.name, f"banners end in {', '.join(SUFFIXES)}"))
            except BadInput as error:
                misnamed.append((path.name, str(error)))
    return [by_appid[appid] for appid in sorted(by_appid)], misnamed


def games_table(games: Iterable[Game]) -> bytes:
    """The bytes of a `games.csv` of `games`, by appid, with the columns that any of them knows."""
    rows = sorted(games, key=lambda game: game.appid)
    columns = list(dict.fromkeys(column for game in rows for column in game.known))
    cells = ((game.appid, game.name, *(game.known.get(column, "") for column in columns)) for game in rows)
    return csv_text(("appid", "name", *columns), cells).encode("utf-8", "replace")


def games_at(folder: Path) -> dict[int, Game]:
    """The games of the folder's `games.csv` by appid, none if it has no such file. Raises `BadInput`."""
    path = folder / "games.csv"
    with _reading(path):
        is_there = path.exists() or path.is_symlink()
    return read_games(path) if is_there else {}


def read_games(path: Path) -> dict[int, Game]:
    """The games of a `games.csv` (UTF-8, with or without BOM; header with at least `appid,name`), by appid.

    Raises `BadInput` naming the line of the first malformed row.
    """
    games: dict[int, Game] = {}
    with _reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            header = reader.fieldnames or []
            if len(set(header)) < len(header):
                raise BadInput(f"{path}: line 1 names a column twice")
            missing = {"appid", "name"} - set(header)
            if missing:
                raise BadInput(f"{path}: line 1 lacks the column {' and '.join(sorted(missing))}")
            for row in reader:
                game = _game_of(row, f"{path}: line {reader.line_num}")
                if game.appid in games:
                    raise BadInput(f"{path}: line {reader.line_num} repeats the appid {game.appid}")
                games[game.appid] = game
        except csv.Error as error:
            raise BadInput(f"{path}: line {reader.reader.line_num} is malformed: {error}") from None
    return games


def _game_of(row: Mapping[str | None, str | None], where: str) -> Game:
    if None in row or None in row.values():
        raise BadInput(f"{where} has another number of columns than the header")
    cells = {str(column): str(value) for column, value in row.items()}
    appid = parse_appid(cells.pop("appid").strip(), f"{where}: ")
    name = cells.pop("name").strip()
    known: dict[str, str | int] = {column: text for column, text in cells.items() if text}
    for column in _NUMBERS & known.keys():
        known[column] = settings.whole(cells[column], 0, 10**18 - 1, f"{where}: {column}")
    return Game(appid, name, known)


def read_banners_folder(folder: Path) -> BannersFolder:
    """List `folder` and read its `games.csv`; without that file every name is unknown.

    Raises `BadInput` for an unreadable folder or a malformed `games.csv`.
    """
    banners, misnamed = list_banners(folder)
    return BannersFolder(tuple(banners), games_at(folder), tuple(misnamed))
