"""Lists of games: the store's own or, where it does not answer, SteamSpy's.

SteamSpy's api.php gives `top100in2weeks`, and `all` by pages of 1,000, one a minute. It throttles with status 200 and a
sentence, or with an empty 500, for a minute or more: neither says that it is unreachable, nor that the list ends.
"""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from banners.steam.answers import appid_in, get_json, text
from banners.steam.api import BY_APPID, BY_SALES, Item, Store
from banners.steam.http import Client, Refused, Unanswered, Unreachable

SPY = "https://steamspy.com/api.php"

_FULL_PAGE = 900  # SteamSpy's pages have 1,000 games, but any page may lack some
_WAITS = 3


@dataclass(frozen=True)
class Listed:
    """Games by appid, and which of them are on the benchmark list. `gap` says what is missing, "" for nothing."""

    games: dict[int, Item]
    benchmark: frozenset[int] = frozenset()
    gap: str = ""


@dataclass(frozen=True)
class SteamSpy:
    """`pause` is the time between two pages, and before a page that was refused is asked for again, in seconds."""

    client: Client
    url: str
    pause: float
    on_warning: Callable[[str], object]
    sleep: Callable[[float], object] = time.sleep

    def most_played(self) -> Sequence[int]:
        """The appids of the hundred games that were played most in two weeks. Raises `Unanswered`."""
        appids = list(self._ask({"request": "top100in2weeks"}))
        if not appids:
            raise Unanswered("SteamSpy answers without games")
        return appids

    def games(self, most: int | None) -> tuple[dict[int, Item], str]:
        """The `most` games with the most owners, None for all, and what is missing of the list. Raises `Unanswered` if
        there is not even a first page."""
        by_appid: dict[int, Item] = {}
        page, gap = 0, ""
        while most is None or len(by_appid) < most:
            if page:
                self.sleep(self.pause)
            try:
                games = self._page(page)
            except Unanswered as error:
                if not by_appid:
                    raise
                gap = f"SteamSpy's list ends after {len(by_appid)} games: {error}"
                break
            if games.keys() <= by_appid.keys():
                break
            by_appid = games | by_appid
            page += 1
            if len(games) < _FULL_PAGE:
                break
        ordered = sorted(by_appid.values(), key=lambda game: (-game.popularity, game.appid))[:most]
        return {game.appid: game for game in ordered}, gap

    def _page(self, page: int) -> dict[int, Item]:
        """A page of the list, once SteamSpy is willing to give it."""
        for wait in range(_WAITS):
            try:
                return self._ask({"request": "all", "page": str(page)})
            except Unreachable:
                raise
            except Unanswered as error:
                self.on_warning(f"{error}; asking again in {self.pause:.0f} s ({wait + 1} of {_WAITS})")
                self.sleep(self.pause)
        return self._ask({"request": "all", "page": str(page)})

    def _ask(self, query: dict[str, str]) -> dict[int, Item]:
        records = get_json(self.client, f"{self.url}?{urlencode(query)}").values()
        return {
            appid: Item(appid, text(one.get("name")), popularity=middle_of(one.get("owners")), is_known=False)
            for one in records
            if isinstance(one, dict) and (appid := appid_in(one.get("appid")))
        }


def middle_of(owners: Any) -> int:
    """The middle of a range of owners, "1,000,000 .. 2,000,000"; 0 of anything else."""
    bounds = [int(part.replace(",", "")[:12]) for part in re.findall(r"[0-9][0-9,]*", str(owners)[:100])[:2]]
    return sum(bounds) // len(bounds) if bounds else 0


def list_games(
    store: Store,
    spy: SteamSpy,
    most: int | None,
    types: Sequence[str],
    on_page: Callable[[int, int], object],
) -> Listed:
    """The `most` most popular games (None: every game of the store). `types` adds other kinds, see `api.FILTERS`.

    Raises `Unreachable` where neither Steam nor SteamSpy can be reached, `Unanswered` where there is no list.
    """
    try:
        games, gap = store.query(BY_APPID if most is None else BY_SALES, most, types, on_page)
    except Unanswered as error:
        if not isinstance(error, Unreachable):
            store.on_warning(f"{error}; asking SteamSpy for its list")
        try:
            games, gap = spy.games(most)
        except Unanswered as other:
            is_reached = not (isinstance(error, Unreachable) and isinstance(other, Unreachable))
            raise (Unanswered if is_reached else Unreachable)(f"{error}; {other}") from None
        without = f", which has no {', '.join(types)} of their own" if types else ""
        store.on_warning(f"the list is SteamSpy's{without}")
    return Listed(games, _benchmark(store, spy), gap)


def _benchmark(store: Store, spy: SteamSpy) -> frozenset[int]:
    """The most played games, by SteamSpy or else by Steam."""
    with suppress(Unanswered, Refused):
        return frozenset(spy.most_played())
    try:
        return frozenset(store.most_played())
    except (Unanswered, Refused) as error:
        store.on_warning(f"{error}; no game is marked as one of the most played")
        return frozenset()
