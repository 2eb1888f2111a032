"""The store's lists and details of games, and the paths of their banners. None of it needs a key.

Endpoints, none of them documented by Steam:
IStoreQueryService/Query lists the store by pages, with the details of each game; without a `sort` pages repeat games.
IStoreBrowseService/GetItems gives the same details of about 250 appids a request; 300 are refused.
IStoreService/GetTagList names the tags. ISteamChartsService/GetMostPlayedGames is a list of a hundred appids.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from banners.steam import HEADER_IMAGE, IMAGE_PATH, art_name
from banners.steam.answers import appid_in, appid_of, at, count, get_json, listed, records, text, year
from banners.steam.http import Client, Unanswered

Kind = Literal["vertical", "horizontal", "hero", "screenshot"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Size = Literal["1x", "2x"]
SIZES: tuple[Size, ...] = get_args(Size)
# What a list may hold beside games, and the name of its filter.
FILTERS = {kind: f"include_{kind}" for kind in ("demos", "dlc", "software", "hardware", "mods", "series", "music")}
FILTERS["videos"] = "include_video"
BY_APPID, BY_SALES = 2, 10  # orders of a list
API = "https://api.steampowered.com"

PAGE = 500
ITEMS_A_REQUEST = 250
_TAGS = 20  # of a game
_TOTAL = ("response", "metadata", "total_matching_records")
_NOT_SOLD_HERE = 15

# The asset's name for each kind, and its guessable name on the CDN; "_2x" is added for the larger size.
_ASSETS = {
    "vertical": ("library_capsule", "library_600x900"),
    "horizontal": ("header", "header"),
    "hero": ("library_hero", "library_hero"),
}
_PLATFORM = re.compile(r"\s*\((?:mac|macos|os x|linux|windows|pc|steamos|[/,&+ ])+\)$", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One game as the store describes it.

    `paths` lead to its image, below its folder on the CDN, best first. `path_2x` leads to an upright image of twice the
    size, "" if there is none. `popularity` is the number of reviews. `tags` are names, the most frequent first.
    `parent_appid` is the game that it belongs to, 0 for none. `trouble` is why the store does not show it.

    `is_known` is False where the store was not asked: then the paths are guessed, and popularity is SteamSpy's number
    of owners.
    """

    appid: int
    name: str = ""
    year: int = 0
    descriptors: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    path_2x: str = ""
    popularity: int = 0
    is_known: bool = True
    developers: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    franchises: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parent_appid: int = 0
    trouble: str = ""


@dataclass
class Store:
    """The store's API, asked for images of `kind` and `size`, and for names and art in `language`, in the store of
    `country`."""

    client: Client
    api: str
    kind: Kind = "vertical"
    size: Size = "1x"
    language: str = "english"
    country: str = "US"
    on_warning: Callable[[str], object] = lambda _: None

    @cached_property
    def tags(self) -> dict[int, str]:
        """The names of the store's tags by number; empty, with a warning, where they do not come."""
        try:
            answer = self._get("IStoreService/GetTagList", {"language": self.language})
        except Unanswered as error:
            self.on_warning(f"{error}; tags come with a later run")
            return {}
        tags = [(count(one.get("tagid")), text(one.get("name"))) for one in records(answer, "response", "tags")]
        if not tags:
            self.on_warning("GetTagList answers without tags, which come with a later run")
        return {number: name.replace(";", ",") for number, name in tags if number and name}

    def most_played(self) -> list[int]:
        """The appids of the hundred games that are played most. Raises `Unanswered`."""
        ranks = records(self._get("ISteamChartsService/GetMostPlayedGames", {}), "response", "ranks")
        appids = [appid for one in ranks if (appid := appid_in(one.get("appid")))]
        if not appids:
            raise Unanswered("GetMostPlayedGames answers without games")
        return appids

    def query(
        self,
        sort: int,
        most: int | None = None,
        types: Sequence[str] = (),
        on_page: Callable[[int, int], object] = lambda *_: None,
    ) -> tuple[dict[int, Item], str]:
        """The first `most` games of the store's list, None for all, and why it ends early, "" if it does not. `types`
        are keys of `FILTERS`. `on_page` gets the number of games so far, and the total.

        The list may change between two pages. A new game moves others to a later page, where repeats are dropped. A
        removed game lowers the total and moves others to the page before, so the end of that is read again. Raises
        `Unanswered` without a first page.
        """
        games: dict[int, Item] = {}
        start, total, is_back = 0, 1, False
        while start < total and (most is None or len(games) < most):
            try:
                records, now = self._page(sort, types, start, {} if is_back else games)
            except Unanswered as error:
                if not games:
                    raise
                return games, f"the list ends after {len(games)} of {total} games: {error}"
            for record in records:
                appid = appid_of(record)
                if appid and appid not in games:
                    games[appid] = self.item(appid, record)
            is_back = start > 0 and now < total
            start = max(0, start - (total - now)) if is_back else start + len(records)
            total = now
            on_page(len(games), total if most is None else min(total, most))
        if most is None and len(games) < total:
            self.on_warning(f"the store counts {total} games, its list has {len(games)}")
        return dict(list(games.items())[:most]), ""

    def _page(
        self, sort: int, types: Sequence[str], start: int, before: Mapping[int, Item]
    ) -> tuple[list[dict[str, Any]], int]:
        """The records of a page, and the length of the list. Raises `Unanswered` for an empty page before the end, and
        for a full one whose games are all in `before`."""
        filters = dict.fromkeys(("include_games", *(FILTERS[kind] for kind in types)), True)
        query: dict[str, object] = {"start": start, "count": PAGE, "sort": sort}
        query["filters"] = {"released_only": True, "type_filters": filters}

        def check(answer: Any) -> str:
            page, total = records(answer, "response", "store_items"), at(answer, *_TOTAL)
            if type(total) is not int or (total > start and not page):
                return "an empty page of the list"
            is_repeated = len(page) == PAGE and {appid_of(one) for one in page} <= before.keys()
            return "a page of the list that was there before" if is_repeated else ""

        answer = self._ask("IStoreQueryService/Query", {"query": query}, check)
        return records(answer, "response", "store_items"), at(answer, *_TOTAL)

    def items(self, appids: Sequence[int]) -> dict[int, Item]:
        """The details of at most `ITEMS_A_REQUEST` games, unknown ones too. Raises `Unanswered`."""
        answer = self._ask("IStoreBrowseService/GetItems", {"ids": [{"appid": appid} for appid in appids]})
        by_appid = {appid_of(one): one for one in records(answer, "response", "store_items")}
        if not any(by_appid):  # of so many games it knows some; guessed addresses may lead to older banners
            raise Unanswered("GetItems answers without items")
        return {appid: self.item(appid, by_appid.get(appid, {})) for appid in appids}

    def _ask(self, method: str, question: Mapping[str, Any], check: Callable[[Any], str] = lambda _: "") -> Any:
        wanted = "assets assets_without_overrides release basic_info reviews".split()
        requested: dict[str, object] = {f"include_{what}": True for what in wanted}
        requested |= {"include_tag_count": _TAGS, "include_screenshots": self.kind == "screenshot"}
        context = {"language": self.language, "country_code": self.country, "steam_realm": 1}
        whole = {**question, "context": context, "data_request": requested}
        return self._get(method, {"input_json": json.dumps(whole, separators=(",", ":"))}, check)

    def _get(self, method: str, query: Mapping[str, str], check: Callable[[Any], str] = lambda _: "") -> Any:
        return get_json(self.client, f"{self.api}/{method}/v1/?{urlencode(query)}", check)

    # -- records --

    def item(self, appid: int, record: Mapping[str, Any]) -> Item:
        """Read a game's record. Any part of it may be missing or have another type."""
        release, success = at(record, "release"), record.get("success", 1)
        paths, path_2x = self._paths(appid, record)
        trouble = ""
        if success == _NOT_SOLD_HERE or record.get("unvailable_for_country_restriction") is True:
            trouble = f"not sold in {self.country}"
        elif success != 1:
            trouble = f"hidden or gone (success {str(success)[:10]})"
        return Item(
            appid,
            text(record.get("name")),
            year(at(release, "original_steam_release_date")) or year(at(release, "steam_release_date")),
            tuple(filter(None, map(count, listed(record, "content_descriptorids")[:50]))),
            paths,
            path_2x,
            count(at(record, "reviews", "summary_unfiltered", "review_count"))
            or count(at(record, "reviews", "summary_filtered", "review_count")),
            developers=_names(record, "developers"),
            publishers=_names(record, "publishers"),
            franchises=_names(record, "franchises"),
            tags=self._tags(record),
            parent_appid=appid_in(at(record, "related_items", "parent_appid")) or 0,
            trouble=trouble,
        )

    def _tags(self, record: Mapping[str, Any]) -> tuple[str, ...]:
        numbers = [count(one.get("tagid")) for one in records(record, "tags")[:_TAGS]]
        return tuple(self.tags[number] for number in numbers if number in self.tags)

    def _paths(self, appid: int, record: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
        """The paths of the image, best first, and that of twice its size. `assets_without_overrides` is the lasting
        art, `assets` may be that of a sale."""

        def path(assets: Any, asset: str) -> str:
            form, name = text(at(assets, "asset_url_format")), text(at(assets, asset))
            path = form.replace("${FILENAME}", name).removeprefix(f"steam/apps/{appid}/") if name else ""
            return path if IMAGE_PATH.fullmatch(path) else ""

        if self.kind == "screenshot":
            shots = records(record, "screenshots", "all_ages_screenshots")[:1]
            shown = [text(shot.get("filename")).removeprefix(f"steam/apps/{appid}/") for shot in shots]
            return tuple(filter(IMAGE_PATH.fullmatch, shown)), ""
        asset, lasting, now = _ASSETS[self.kind][0], record.get("assets_without_overrides"), record.get("assets")
        own = [path(assets, name) for name in self._sized(asset) for assets in (lasting, now)]
        best: dict[str, str] = {}
        for one in (*own, *self.plain_paths(), path(lasting, "header"), path(now, "header"), HEADER_IMAGE):
            best.setdefault(art_name(one), one)
        best.pop("", None)
        has_2x = self.kind == "vertical" and self.size == "1x"
        larger = path(lasting if path(lasting, asset) else now, f"{asset}_2x") if has_2x else ""
        return tuple(best.values()), larger

    def plain_paths(self) -> tuple[str, ...]:
        """The names that banners had before their paths were hashed; older games still have them."""
        return tuple(f"{name}.jpg" for name in self._sized(_ASSETS[self.kind][1])) if self.kind in _ASSETS else ()

    def _sized(self, name: str) -> tuple[str, ...]:
        """The names of the image in this size, the better first."""
        return (f"{name}_2x", name) if self.size == "2x" else (name,)


def _names(record: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names under `kind`: companies or franchises. "A" and "A (Mac)" are one company."""
    names = [text(one.get("name")).replace(";", ",") for one in records(record, "basic_info", kind)[:10]]
    return tuple(dict.fromkeys(filter(None, (_PLATFORM.sub("", name) for name in names))))
