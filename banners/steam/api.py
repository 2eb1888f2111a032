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

from banners.steam import HEADER_IMAGE, IMAGE_PATH
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

    `paths` are those of its image below its folder on the CDN, best first; `path_2x` is that of the first one in twice
    its size, "" if there is none. `popularity` is the number of reviews. `tags` are names, the one given most often
    first. `parent_appid` is the game that it belongs to, 0 for none. `trouble` is why the store does not show it.

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
    """The store as it is asked: for an image of `kind` and `size` of each game, in the country of this code, with names
    and art in this language."""

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
        """The first `most` games of the store's list, None for all; `types` are of `FILTERS`. Also says which page is
        missing, "" for none. `on_page` is told how many games have come, and of how many.

        The list may change meanwhile. New games push others to a later page, where they are dropped as repeats; a total
        that falls has pulled others to the page before, whose end is asked for again. Raises `Unanswered` where there
        is no first page.
        """
        found: dict[int, Item] = {}
        start, skipped, total, gap, is_after_gap = 0, 0, 1, "", False
        while start < total and (most is None or len(found) < most):
            try:
                page, now = self._page(sort, types, start, found if start == len(found) + skipped else {})
                is_after_gap = False
            except Unanswered as error:
                if not found:
                    raise
                if is_after_gap:
                    break
                gap, is_after_gap = f"the list has {total} games, those from {start + 1} on did not come: {error}", True
                start, skipped = start + PAGE, skipped + PAGE
                continue
            found |= {appid: self.item(appid, record) for appid, record in page.items() if appid not in found}
            has_fallen = start > 0 and now < total
            start = start - (total - now) if has_fallen else min(start + len(page), len(found) + skipped)
            total = now
            on_page(len(found), total if most is None else min(total, most))
        is_enough = most is not None and len(found) >= most
        return dict(list(found.items())[:most]), "" if is_enough else gap

    def _page(
        self, sort: int, types: Sequence[str], start: int, before: Mapping[int, Item]
    ) -> tuple[dict[int, dict[str, Any]], int]:
        """The records of a page by appid, and the length of the list. Some must not be among those `before`."""
        filters = dict.fromkeys(("include_games", *(FILTERS[kind] for kind in types)), True)
        query: dict[str, object] = {"start": start, "count": PAGE, "sort": sort}
        query["filters"] = {"released_only": True, "type_filters": filters}

        def read(answer: Any) -> tuple[dict[int, dict[str, Any]], Any]:
            page = {appid: one for one in records(answer, "response", "store_items") if (appid := appid_of(one))}
            return page, at(answer, "response", "metadata", "total_matching_records")

        def check(answer: Any) -> str:
            page, total = read(answer)
            if type(total) is not int or (total > start and not page):
                return "an empty page of the list"
            return "a page of the list that was there before" if page and page.keys() <= before.keys() else ""

        return read(self._ask("IStoreQueryService/Query", {"query": query}, check))

    def items(self, appids: Sequence[int]) -> dict[int, Item]:
        """The details of at most `ITEMS_A_REQUEST` games; all of them, known or not. Raises `Unanswered`."""
        answer = self._ask("IStoreBrowseService/GetItems", {"ids": [{"appid": appid} for appid in appids]})
        known = {appid_of(one): one for one in records(answer, "response", "store_items")}
        if not any(known):  # of so many games it knows some; guessed addresses may lead to older banners
            raise Unanswered("GetItems answers without items")
        return {appid: self.item(appid, known.get(appid, {})) for appid in appids}

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

        def named(asset: str) -> list[str]:
            found = []
            for assets in (record.get("assets_without_overrides"), record.get("assets")):
                name = text(at(assets, asset))
                found.append(text(at(assets, "asset_url_format")).replace("${FILENAME}", name) if name else "")
            return found

        def usable(paths: Sequence[str]) -> list[str]:
            return [path for one in paths if IMAGE_PATH.fullmatch(path := one.removeprefix(f"steam/apps/{appid}/"))]

        if self.kind == "screenshot":
            shots = records(record, "screenshots", "all_ages_screenshots")[:1]
            return tuple(usable([text(shot.get("filename")) for shot in shots])), ""
        asset = _ASSETS[self.kind][0]
        own = [path for name in self._sized(asset) for path in named(name)]
        best = usable([*own, *self.plain_paths(), *named("header"), HEADER_IMAGE])
        first = {path.partition("?")[0]: path for path in reversed(best)}  # the number says which art it is
        larger = usable(named(f"{asset}_2x")) if self.size == "1x" else []
        return tuple(dict.fromkeys(first[path.partition("?")[0]] for path in best)), (*larger, "")[0]

    def plain_paths(self) -> tuple[str, ...]:
        """The names that banners had before their paths were hashed; older games still have them."""
        return tuple(f"{name}.jpg" for name in self._sized(_ASSETS[self.kind][1])) if self.kind in _ASSETS else ()

    def _sized(self, name: str) -> tuple[str, ...]:
        """The names of the image in this size, the better first."""
        return (f"{name}_2x", name) if self.size == "2x" else (name,)


def _names(record: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """The names of a kind of companies or franchises; who ported a game to another system is the same company."""
    names = [text(one.get("name")).replace(";", ",") for one in records(record, "basic_info", kind)[:10]]
    return tuple(dict.fromkeys(filter(None, (_PLATFORM.sub("", name) for name in names))))
