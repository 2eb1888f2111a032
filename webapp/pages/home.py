"""The first page: a search box in front, an example, and banners to start from."""

import random
from dataclasses import dataclass

from flask import Blueprint, render_template

from webapp.current import catalogue
from webapp.params import shows_adult
from webapp.records import Game, Label, Result, json_url
from webapp.served import ServedCatalogue

SHOWN = 24
UNIQUE = 12
LOOK_ALIKES = 4
TERMS = 6

blueprint = Blueprint("home", __name__)


@dataclass(frozen=True)
class HomePage:
    """`example` is one of the `games`, with the banners closest to its own; `terms` are some of the labels."""

    example: Game | None
    look_alikes: tuple[Result, ...]
    title: str
    games: tuple[Game, ...]
    unique: tuple[Game, ...]
    terms: tuple[Label, ...]


def home_page(served: ServedCatalogue, adult: bool) -> HomePage:
    """The popular games if popularity is known, else a random choice."""
    title, rows = "Popular games", served.without_adult(served.popular, adult)[: SHOWN + 1].tolist()
    if not rows:
        named = served.without_adult(served.named, adult).tolist()
        title, rows = "A random choice", random.sample(named, min(SHOWN + 1, len(named)))
    unique = served.without_adult(served.unique_first, adult)
    unique = unique[served.has_name[unique]][:UNIQUE]
    example = random.choice(rows) if rows and served.catalogue.k else None
    near = () if example is None else served.neighbours(example, 2 * LOOK_ALIKES)
    look_alikes = tuple(result for result in near if adult or not result.game.is_adult)[:LOOK_ALIKES]
    terms = served.catalogue.games.terms
    return HomePage(
        example=None if example is None or not look_alikes else served.game(example),
        look_alikes=look_alikes,
        title=title,
        games=served.games([row for row in rows if row != example][:SHOWN]),
        unique=served.games(unique.tolist()),
        terms=tuple(Label(term.name, term.kind) for term in random.sample(terms, min(TERMS, len(terms)))),
    )


@blueprint.get("/")
def home() -> str:
    return render_template("home.html", page=home_page(catalogue(), shows_adult()), json_url=json_url("catalogue"))
