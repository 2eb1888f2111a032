"""A run that fetches banners: which games are asked about, their banners, and what is known of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from banners.errors import BadInput
from banners.files import write_whole
from banners.games_csv import games_at, games_table
from banners.steam import api, download
from banners.steam.http import Client, Unanswered

UNFINISHED = ".unfinished"  # in a folder while banners are fetched into it, and after a run that was killed


@dataclass
class Run:
    """A run into `folder`: its options, its callbacks, and its result, which is kept up to date for an interrupt.

    The run fetches an image of `kind` and `size` for each game, and with `has_demos` also for its demos. Images older
    than `recheck_days` are checked again. `settled` counts the games that needed no request.
    """

    client: Client
    where: api.Addresses
    folder: Path
    kind: api.Kind
    size: api.Size
    has_demos: bool
    recheck_days: float
    connections: int
    on_total: Callable[[int], object]
    on_outcome: Callable[[], object]
    on_warning: Callable[[str], None]
    games: int = 0
    settled: int = 0
    outcomes: list[download.Outcome] = field(default_factory=list)
    demos: set[int] = field(default_factory=set)  # of the games that were asked about

    @property
    def failed(self) -> list[download.Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    def fetch(self, apps: Mapping[int, api.App]) -> None:
        """Ask the store about those `apps` that are not settled, fetch their banners, and write `games.csv`.

        Raises `BadInput`, `Refused`, `OSError`.
        """
        folder, image = self.folder, f"{self.kind} {self.size}"
        journal = download.Journal(folder)
        files = download.files_in(folder)
        others = {entry.image for entry in journal.settled.values()} - {image}
        if others:
            raise BadInput(f"{folder} holds {', '.join(sorted(others))} banners; name another folder with --out")
        foreign = download.foreign(files, journal.settled, games_at(folder))
        self.games = len(foreign & apps.keys())
        if self.games:
            self.on_warning(f"{self.games} banners were not fetched by this program and stay as they are")
        # Their rows stay too: a row that says "steam" would make their banners this program's in the next run.
        listed = {appid: app for appid, app in apps.items() if appid not in foreign}
        (folder / UNFINISHED).touch()
        # Written before too, so that a run after a killed one knows what is this program's.
        _write_games(folder, listed, journal)

        def fetch_missing(apps: Mapping[int, api.App]) -> None:
            asked = download.to_ask(apps, journal.settled, files, image, time(), self.recheck_days)
            self.games += len(apps)
            self.settled += len(apps) - len(asked)
            self.on_total(len(asked))
            for outcome in download.download(
                self.client, self.where, folder, files, self._items(asked), journal, image, self.connections
            ):
                self.outcomes.append(outcome)
                self.on_outcome()

        try:
            fetch_missing(listed)
            if self.has_demos:
                settled = [journal.settled[appid].item for appid in listed if appid in journal.settled]
                demos = self.demos.union(*(item.demos for item in settled)) - listed.keys() - foreign
                listed |= {demo: api.App(demo) for demo in sorted(demos)}
                fetch_missing({demo: listed[demo] for demo in sorted(demos)})
        finally:  # an interrupt too: what is known by now is kept
            _write_games(folder, listed, journal)
        (folder / UNFINISHED).unlink(missing_ok=True)

    def _items(self, appids: Sequence[int]) -> Iterator[Sequence[api.Item]]:
        tags: dict[int, str] = {}
        if appids:
            try:
                tags = api.tag_names(self.client, self.where)
            except Unanswered as error:
                self.on_warning(f"{error}; a later run asks for tags again")
        for start in range(0, len(appids), api.ITEMS_A_REQUEST):
            batch = appids[start : start + api.ITEMS_A_REQUEST]
            try:
                items = api.items(self.client, self.where, batch, self.kind, self.size, tags)
            except Unanswered as error:
                self.on_warning(f"{error}; trying the plain addresses of {len(batch)} games")
                paths = api.plain_paths(self.kind, self.size)
                items = [api.Item(appid, paths=paths, is_known=False) for appid in batch]
            self.demos.update(demo for item in items for demo in item.demos)
            yield items


def _write_games(folder: Path, listed: Mapping[int, api.App], journal: download.Journal) -> None:
    """Merge what is known into `games.csv` as it is now: somebody may have edited it meanwhile."""
    write_whole(folder / "games.csv", games_table(download.games(games_at(folder), listed, journal.settled)))
