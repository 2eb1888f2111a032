"""A board: games that somebody chose, in an address. Nothing of it is stored here."""

from dataclasses import dataclass
from typing import Annotated

from flask import Blueprint, render_template
from msgspec import Meta

from webapp.current import current_site
from webapp.pages.sharing import Share
from webapp.params import Appid, Pairs, Query, address, read, words
from webapp.queries.parts import MAX_PARTS, QueryPart, mix_address
from webapp.records import GameSummary
from webapp.site import Site

MAX_GAMES = 60  # of static/reader.js too

blueprint = Blueprint("board", __name__)


class BoardQuery(Query):
    game: Annotated[tuple[Appid, ...], Meta(max_length=MAX_GAMES)] = ()
    name: Annotated[str, Meta(max_length=60)] = ""


@dataclass(frozen=True)
class BoardPage:
    """The games of a board in their order. `missing` counts those that this catalogue does not have."""

    name: str
    games: tuple[GameSummary, ...]
    missing: int
    mix_url: str

    @property
    def pairs(self) -> Pairs:
        return (*(("game", str(game.appid)) for game in self.games), ("name", self.name))


def board_page(site: Site, query: BoardQuery) -> BoardPage:
    games = site.games(site.rows_of(query.game))
    parts = [QueryPart("game", str(game.appid)) for game in games[:MAX_PARTS]]
    mix_url = mix_address(parts) if parts and site.facts.takes_games else ""
    return BoardPage(words(query.name), games, len(set(query.game)) - len(games), mix_url)


@blueprint.get("/board")
def board() -> str:
    """Show the games of the address."""
    page = board_page(current_site(), read(BoardQuery, from_form=True))
    names = ", ".join(game.name for game in page.games[:5])
    share = Share.of(current_site(), page.name or "A board of covers", names, address("/board", page.pairs), page.games)
    return render_template("board.html", page=page, share=share)
