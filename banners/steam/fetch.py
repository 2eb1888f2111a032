"""A run that fetches banners: which games are asked about, their banners, and what is known of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time

from banners.errors import BadInput
from banners.files import write_whole
from banners.games_csv import games_at, games_table
from banners.steam import api, download
from banners.steam.api import Item
from banners.steam.http import Client, Unanswered
from banners.steam.lists import Listed

UNFINISHED = ".unfinished"  # in a folder while banners are fetched into it, and after a run that was killed


@dataclass
class Run:
    """A run into `folder`: its options, its callbacks, and its result so far, which is valid after an interrupt too.

    `store` describes games. `client` gets their banners from `cdn` over `connections` connections. Banners older than
    `recheck_days` are checked again. `settled` counts the games that needed no request.
    """

    store: api.Store
    client: Client
    cdn: str
    folder: Path
    recheck_days: float
    connections: int
    on_total: Callable[[int], object]
    on_outcome: Callable[[], object]
    on_warning: Callable[[str], None]
    games: int = 0
    settled: int = 0
    outcomes: list[download.Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[download.Outcome]:
        failed = (outcome for outcome in self.outcomes if outcome.status == "failed")
        return sorted(failed, key=lambda outcome: outcome.appid)

    def fetch(self, wanted: Listed) -> None:
        """Ask the store about those games that are neither known nor settled, fetch the banners, write `games.csv`.

        Raises `BadInput`, `Refused`, `OSError`.
        """
        folder, image = self.folder, f"{self.store.kind} {self.store.size}"
        if self.store.language != "english":  # which may have art of its own
            image += f" {self.store.language}"
        journal = download.Journal(folder)
        files = download.files_in(folder)
        others = {entry.image for entry in journal.settled.values()} - {image}
        if others:
            raise BadInput(f"{folder} holds {', '.join(sorted(others))} banners; name another folder with --out")
        foreign = download.foreign(files, journal.settled, games_at(folder)) & wanted.games.keys()
        if foreign:
            self.on_warning(f"{len(foreign)} banners were not fetched by this program and stay as they are")
        # Their rows in games.csv stay as they are, too.
        listed = {appid: item for appid, item in wanted.games.items() if appid not in foreign}
        appids = download.to_ask(listed, journal.settled, files, image, time(), self.recheck_days)
        self.games, self.settled = len(wanted.games), len(listed) - len(appids)
        self.on_total(len(appids))

        def write_games() -> None:
            # Merged into the file as it is now: somebody may have edited it meanwhile.
            games = download.games(games_at(folder), listed, wanted.benchmark, journal.settled)
            write_whole(folder / "games.csv", games_table(games))

        (folder / UNFINISHED).touch()
        write_games()  # before too, so that a run after a killed one knows what is this program's
        try:
            items = self._items(appids, listed)
            done = download.download(self.client, self.cdn, folder, files, items, journal, image, self.connections)
            for outcome in done:
                self.outcomes.append(outcome)
                self.on_outcome()
        finally:  # an interrupt too: what is known by now is kept
            write_games()
        (folder / UNFINISHED).unlink(missing_ok=True)

    def _items(self, appids: Sequence[int], listed: dict[int, Item]) -> Iterator[Sequence[Item]]:
        """The games by batches, with what the store says of those that are not known; `listed` gets that too."""
        unknown = [appid for appid in appids if not listed[appid].is_known]
        yield [listed[appid] for appid in appids if listed[appid].is_known]
        for start in range(0, len(unknown), api.ITEMS_A_REQUEST):
            batch = {appid: listed[appid] for appid in unknown[start : start + api.ITEMS_A_REQUEST]}
            try:
                items = self.store.items(list(batch))
                batch = {appid: replace(item, name=item.name or batch[appid].name) for appid, item in items.items()}
            except Unanswered as error:
                self.on_warning(f"{error}; trying the plain addresses of {len(batch)} games")
                batch = {appid: replace(item, paths=self.store.plain_paths()) for appid, item in batch.items()}
            listed |= batch
            yield list(batch.values())
