"""A run that fetches banners: which games are asked about, their banners, and what is known of them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from banners.errors import BadInput
from banners.files import write_whole
from banners.games_csv import games_at, games_table
from banners.steam import api, download
from banners.steam.http import Client, Unanswered

UNFINISHED = ".unfinished"  # in a folder while banners are fetched into it, and after a run that was killed


@dataclass(frozen=True)
class Wanted:
    """The options of a run: which image of each game, whether demos are included, and after how many days to ask
    again."""

    kind: api.Kind
    size: api.Size
    has_demos: bool
    recheck_days: float
    connections: int

    @property
    def image(self) -> str:
        return f"{self.kind} {self.size}"


@dataclass
class Listener:
    """Told how a run goes on."""

    on_total: Callable[[int], object]
    on_outcome: Callable[[], object]
    on_warning: Callable[[str], None]


@dataclass
class Result:
    """The result of a run. `settled` is the number of games that did not have to be asked about."""

    games: int = 0
    settled: int = 0
    outcomes: list[download.Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[download.Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]


def fetch(
    client: Client,
    where: api.Addresses,
    folder: Path,
    apps: Mapping[int, api.App],
    wanted: Wanted,
    listener: Listener,
    result: Result,
) -> None:
    """Ask the store about those `apps` that are not settled, fetch their banners, and write `games.csv`. `result` is
    filled in as the run goes on, so that it is known after an interrupt too.

    Raises `BadInput`, `Refused`, `OSError`.
    """
    with download.Journal(folder) as journal:
        files = download.files_in(folder)
        others = {entry.image for entry in journal.settled.values()} - {wanted.image}
        if others:
            raise BadInput(f"{folder} holds {', '.join(sorted(others))} banners; name another folder with --out")
        foreign = download.foreign(files, journal.settled, games_at(folder))
        kept = len(foreign & apps.keys())
        if kept:
            listener.on_warning(f"{kept} banners were not fetched by this program and stay as they are")
        # Their rows stay too: a row that says "steam" would make their banners this program's in the next run.
        listed = {appid: app for appid, app in apps.items() if appid not in foreign}
        if wanted.has_demos:
            listed |= _demos((entry.item for entry in journal.settled.values()), listed, foreign)
        (folder / UNFINISHED).touch()
        # Written before too, so that a run after a killed one knows what is this program's.
        _write_games(folder, listed, journal)
        now = time()
        asked = download.to_ask(listed, journal.settled, files, wanted.image, now, wanted.recheck_days)
        result.games, result.settled = len(listed) + kept, len(listed) - len(asked)
        listener.on_total(len(asked))
        tags = _tag_names(client, where, listener) if asked else {}

        def items() -> Iterator[Sequence[api.Item]]:
            demos: dict[int, api.App] = {}
            for batch in _items(client, where, asked, wanted, tags, listener):
                if wanted.has_demos:
                    demos.update(_demos(batch, listed, foreign))
                yield batch
            more = download.to_ask(demos, journal.settled, files, wanted.image, now, wanted.recheck_days)
            listed.update(demos)
            result.games += len(demos)
            result.settled += len(demos) - len(more)
            listener.on_total(len(more))
            yield from _items(client, where, more, wanted, tags, listener)

        try:
            for outcome in download.download(
                client, where, folder, files, items(), journal, wanted.image, wanted.connections
            ):
                result.outcomes.append(outcome)
                listener.on_outcome()
        finally:  # an interrupt too: what is known by now is kept
            _write_games(folder, listed, journal)
        (folder / UNFINISHED).unlink(missing_ok=True)


def _write_games(folder: Path, listed: Mapping[int, api.App], journal: download.Journal) -> None:
    """Merge what is known into `games.csv` as it is now: somebody may have edited it meanwhile."""
    write_whole(folder / "games.csv", games_table(download.games(games_at(folder), listed, journal.settled)))


def _demos(items: Iterable[api.Item], listed: Mapping[int, api.App], foreign: Collection[int]) -> dict[int, api.App]:
    """The demos of those `items` that are listed, without those that are listed already or somebody else's."""
    demos = {demo for item in items if item.appid in listed for demo in item.demos}
    return {demo: api.App(demo) for demo in sorted(demos) if demo not in listed and demo not in foreign}


def _tag_names(client: Client, where: api.Addresses, listener: Listener) -> dict[int, str]:
    try:
        return api.tag_names(client, where)
    except Unanswered as error:
        listener.on_warning(f"{error}; a later run asks for tags again")
        return {}


def _items(
    client: Client,
    where: api.Addresses,
    appids: Sequence[int],
    wanted: Wanted,
    tags: Mapping[int, str],
    listener: Listener,
) -> Iterator[Sequence[api.Item]]:
    for start in range(0, len(appids), api.ITEMS_A_REQUEST):
        batch = appids[start : start + api.ITEMS_A_REQUEST]
        try:
            yield api.items(client, where, batch, wanted.kind, wanted.size, tags)
        except Unanswered as error:
            listener.on_warning(f"{error}; trying the plain addresses of {len(batch)} games")
            paths = api.plain_paths(wanted.kind, wanted.size)
            yield [api.Item(appid, paths=paths, is_known=False) for appid in batch]
