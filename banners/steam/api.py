"""Lists and details of games from Steam and SteamSpy, and the addresses of their banners.

Endpoints and their limits, as documented or observed: SteamSpy's api.php (`top100in2weeks`; `all` by pages of 1,000,
one a minute); IStoreService/GetAppList (needs a key; at most 50,000 a page); IStoreBrowseService/GetItems (no key;
about 250 appids a request, 300 are refused); banners on the store's CDN.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from banners.errors import BadInput
from banners.games_csv import MAX_APPID, valid_unicode
from banners.steam import CDN, IMAGE_PATH
from banners.steam.http import Client, Unanswered

Kind = Literal["vertical", "horizontal", "hero", "screenshot"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Size = Literal["1x", "2x"]
SIZES: tuple[Size, ...] = get_args(Size)

TAGS = 20  # of a game
ITEMS_A_REQUEST = 250
APPS_A_PAGE = 50_000
MAX_NAME = 500

# The asset's name in GetItems for each kind, and its guessable name on the CDN; "_2x" is added for the larger size.
_ASSETS = {
    "vertical": ("library_capsule", "library_600x900"),
    "horizontal": ("header", "header"),
    "hero": ("library_hero", "library_hero"),
}


@dataclass(frozen=True)
class Addresses:
    """Base URLs. Environment variables replace them, so that another server can stand in."""

    spy: str = "https://steamspy.com/api.php"
    api: str = "https://api.steampowered.com"
    cdn: str = CDN

    @classmethod
    def from_environment(cls) -> "Addresses":
        """Raises `BadInput` for what is no address."""
        names = {"spy": "STEAMSPY_URL", "api": "STEAM_API_URL", "cdn": "STEAM_CDN_URL"}
        given = {field: os.environ[name].rstrip("/") for field, name in names.items() if os.environ.get(name)}
        for name, url in given.items():
            if not re.fullmatch(r"https?://[!-~]+", url, re.ASCII):
                raise BadInput(f"{names[name]} is {url[:60]!r}, which is not an http or https URL")
        return cls(**given)


@dataclass(frozen=True)
class App:
    """One game of a list. `popularity` grows with the number of owners, 0 where unknown."""

    appid: int
    name: str = ""
    popularity: int = 0
    in_benchmark: bool = False


@dataclass(frozen=True)
class Item:
    """One game as GetItems describes it. `paths` are those of its image below its folder on the CDN, best first.

    `demos` are the appids of its demos, which no list names; `parent_appid` is the game that it belongs to, 0 for none.
    `tags` are names, the one given most often first. `is_known` is False where GetItems could not be asked and the
    paths are guessed, `has_details` where developers and the like were not asked for, as earlier versions did not.
    """

    appid: int
    name: str = ""
    year: int = 0
    descriptors: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    demos: tuple[int, ...] = ()
    is_known: bool = True
    developers: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    franchises: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent_appid: int = 0
    has_details: bool = True


# -- lists ----------------------------------------------------------------------------------------------------------


def popular(
    client: Client,
    where: Addresses,
    count: int,
    pause: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    on_gap: Callable[[str], None] = lambda _: None,
) -> list[App]:
    """The `count` most popular games: SteamSpy's hundred of the last two weeks, then all others by owners.

    `pause` is the time between two pages of `all`, in seconds, which SteamSpy asks for. `on_gap` is told where the list
    ends before its end. Raises `Unanswered` if there is not even a first page.
    """
    found: dict[int, App] = {}
    for rank, app in enumerate(_spy(client, where, {"request": "top100in2weeks"})):
        # Above every number of owners, since most played is most popular; the list comes in its order.
        found[app.appid] = App(app.appid, app.name, 10_000_000_000 - rank, in_benchmark=True)
    page = 0
    while len(found) < count:
        if page:
            sleep(pause)
        try:
            apps = _spy(client, where, {"request": "all", "page": str(page)})
        except Unanswered as error:
            if page == 0:
                raise
            # Past the last page SteamSpy may answer with an error too; which of both it was cannot be known.
            on_gap(f"the list ends after {len(found)} games: {error}")
            break
        if not apps or found.keys() >= {app.appid for app in apps}:
            break
        for app in sorted(apps, key=lambda app: -app.popularity):
            found.setdefault(app.appid, app)
        page += 1
    return sorted(found.values(), key=lambda app: (-app.popularity, app.appid))[:count]


def _spy(client: Client, where: Addresses, query: Mapping[str, str]) -> list[App]:
    data = _get_json(client, f"{where.spy}?{urlencode(query)}")
    apps = []
    for record in data.values():
        appid = _appid(record.get("appid")) if isinstance(record, dict) else None
        if appid:
            apps.append(App(appid, _text(record.get("name")), middle_of(record.get("owners"))))
    return apps


def middle_of(owners: Any) -> int:
    """The middle of a range of owners, "1,000,000 .. 2,000,000"; 0 of anything else."""
    bounds = [int(part.replace(",", "")[:12]) for part in re.findall(r"[0-9][0-9,]*", str(owners)[:100])[:2]]
    return sum(bounds) // len(bounds) if bounds else 0


def all_apps(client: Client, where: Addresses, key: str, include: Sequence[str] = ()) -> Iterator[App]:
    """Every game of the store. `include` adds "dlc", "software", "videos" or "hardware". Raises `Unanswered`."""
    query = {"key": key, "max_results": str(APPS_A_PAGE), "include_games": "true"}
    query |= {f"include_{kind}": "true" for kind in include}
    last = 0
    while True:
        url = f"{where.api}/IStoreService/GetAppList/v1/?{urlencode(query | {'last_appid': str(last)})}"
        answer = _get_json(client, url)
        if not isinstance(_at(answer, "response", "apps"), list):
            raise Unanswered(f"GetAppList answers without a list after appid {last}")
        highest = last
        for record in _records(answer, "response", "apps"):
            appid = _appid(record.get("appid"))
            if appid and appid > last:
                highest = max(highest, appid)
                yield App(appid, _text(record.get("name")))
        if not _at(answer, "response", "have_more_results"):
            return
        following = _appid(_at(answer, "response", "last_appid"))
        if highest == last or following is None or following < highest:
            raise Unanswered("GetAppList says that there is more, but not after which appid")
        last = following


# -- items ----------------------------------------------------------------------------------------------------------


def tag_names(client: Client, where: Addresses) -> dict[int, str]:
    """The names of the store's tags by number. Raises `Unanswered`."""
    answer = _get_json(client, f"{where.api}/IStoreService/GetTagList/v1/?language=english")
    named = {}
    for record in _records(answer, "response", "tags"):
        number, name = _appid(record.get("tagid")), _text(record.get("name"))
        if number and name:
            named[number] = name.replace(";", ",")
    if not named:
        raise Unanswered("GetTagList answers without tags")
    return named


def items(
    client: Client,
    where: Addresses,
    appids: Sequence[int],
    kind: Kind = "vertical",
    size: Size = "1x",
    tags: Mapping[int, str] = MappingProxyType({}),
) -> list[Item]:
    """The store's details of at most `ITEMS_A_REQUEST` games, in the order of `appids`; all of them, known or not.
    `tags` are the names of tags; without them the details count as not complete.

    Raises `Unanswered`.
    """
    wanted: dict[str, bool | int] = {"include_assets": True, "include_release": True, "include_basic_info": True}
    wanted |= {"include_tag_count": TAGS, "include_screenshots": kind == "screenshot"}
    question = {
        "ids": [{"appid": appid} for appid in appids],
        "context": {"language": "english", "country_code": "US"},
        "data_request": wanted,
    }
    query = urlencode({"input_json": json.dumps(question, separators=(",", ":"))})
    answer = _get_json(client, f"{where.api}/IStoreBrowseService/GetItems/v1/?{query}")
    known = {}
    for record in _records(answer, "response", "store_items"):
        appid = _appid(record.get("appid") or record.get("id"))
        if appid:
            known[appid] = item_of(appid, record, kind, size, tags)
    if not known:  # of so many games it knows some; guessed addresses may lead to older banners
        raise Unanswered("GetItems answers without items")
    guessed = plain_paths(kind, size)
    return [known.get(appid) or Item(appid, paths=guessed, has_details=bool(tags)) for appid in appids]


def plain_paths(kind: Kind, size: Size) -> tuple[str, ...]:
    """The names that banners had before their paths were hashed; older games still have them."""
    return tuple(f"{name}.jpg" for name in _sized(_ASSETS[kind][1], size)) if kind in _ASSETS else ()


def _sized(name: str, size: Size) -> tuple[str, ...]:
    """The names of the image in this size, the better first."""
    return (f"{name}_2x", name) if size == "2x" else (name,)


def item_of(
    appid: int, record: Mapping[str, Any], kind: Kind, size: Size, tags: Mapping[int, str] = MappingProxyType({})
) -> Item:
    """Read a game's record from GetItems. Any part of it may be missing or have another type."""
    if kind == "screenshot":
        shots = _records(record, "screenshots", "all_ages_screenshots")[:1]
        names = [_text(shot.get("filename")).partition("?")[0] for shot in shots]
    else:
        form = _text(_at(record, "assets", "asset_url_format")).partition("?")[0]
        assets = [_text(_at(record, "assets", asset)) for asset in _sized(_ASSETS[kind][0], size)]
        names = [form.replace("${FILENAME}", asset) for asset in assets if asset]
    paths = [name.removeprefix(f"steam/apps/{appid}/") for name in names]
    moment = _at(record, "release", "steam_release_date")
    return Item(
        appid,
        _text(record.get("name")),
        datetime.fromtimestamp(moment, UTC).year if isinstance(moment, int) and 0 < moment < 2**33 else 0,
        tuple(
            value for value in _list(record, "content_descriptorids")[:50] if type(value) is int and 0 <= value < 1000
        ),
        tuple(dict.fromkeys((*filter(IMAGE_PATH.fullmatch, paths), *plain_paths(kind, size)))),
        tuple(filter(None, map(_appid, _list(record, "related_items", "demo_appid")[:10]))),
        developers=_names(record, "developers"),
        publishers=_names(record, "publishers"),
        franchises=_names(record, "franchises"),
        tags=_tags(record, tags),
        parent_appid=_appid(_at(record, "related_items", "parent_appid")) or 0,
        has_details=bool(tags),
    )


def _names(record: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names of a kind of companies or franchises in the basic information."""
    names = [_text(one.get("name")).replace(";", ",") for one in _records(record, "basic_info", kind)[:10]]
    return tuple(dict.fromkeys(filter(None, names)))


def _tags(record: Mapping[str, Any], names: Mapping[int, str]) -> tuple[str, ...]:
    """The names of a game's tags, which come with the most frequent first."""
    numbers = [one.get("tagid") for one in _records(record, "tags")[:TAGS]]
    return tuple(names[number] for number in numbers if isinstance(number, int) and number in names)


# -- answers of strangers -------------------------------------------------------------------------------------------


def _get_json(client: Client, url: str) -> dict[str, Any]:
    answer = client.get(url, check=_is_json_object)
    if answer.status != 200:
        raise Unanswered(f"{url.partition('?')[0]}: status {answer.status}")
    data: dict[str, Any] = json.loads(answer.body)
    return data


def _is_json_object(body: bytes) -> str:
    """APIs sometimes answer 200 with an HTML error page."""
    try:
        return "" if isinstance(json.loads(body), dict) else "the answer is no JSON object"
    except (ValueError, RecursionError):
        return "the answer is no JSON"


def _at(data: Any, *keys: str) -> Any:
    """The value under nested keys, None if it is not there."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _list(data: Any, *keys: str) -> list[Any]:
    """The list under nested keys, empty if it is not there."""
    found = _at(data, *keys)
    return found if isinstance(found, list) else []


def _records(data: Any, *keys: str) -> list[dict[str, Any]]:
    """The objects of the list under nested keys."""
    return [one for one in _list(data, *keys) if isinstance(one, dict)]


def _appid(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_APPID else None


def _text(value: Any) -> str:
    return valid_unicode(" ".join(value[:1000].split()))[:MAX_NAME] if isinstance(value, str) else ""


def read_key() -> str:
    """The key of `--all` from `STEAM_API_KEY`. Raises `BadInput` if there is none."""
    key = os.environ.get("STEAM_API_KEY", "")
    if not re.fullmatch(r"[0-9A-Za-z]{1,64}", key):
        raise BadInput("--all needs a Steam web API key in STEAM_API_KEY; --popular N needs none")
    return key
