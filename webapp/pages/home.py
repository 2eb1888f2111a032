"""The first page: a search box in front, an example, and banners to start from."""

import random

import numpy as np
from flask import Blueprint, render_template

from webapp.current import catalogue
from webapp.params import shows_adult
from webapp.queries.filters import without_series
from webapp.records import Game, Label, json_url
from webapp.served import ServedCatalogue

SHOWN = 24
UNIQUE = 12
LOOK_ALIKES = 4
TERMS = 6

blueprint = Blueprint("home", __name__)


def _look_alikes(served: ServedCatalogue, row: int, adult: bool) -> tuple[Game, ...]:
    """The nearest games that are not of the game's series: those would say nothing of their art."""
    near = served.catalogue.view("plain").of(row)
    others = without_series(
        served, served.without_adult(near.astype(np.intp), adult)[: 5 * LOOK_ALIKES].tolist(), [row]
    )
    return served.games(list(others)[:LOOK_ALIKES])


@blueprint.get("/")
def home() -> str:
    """The popular games if popularity is known, else a random choice; one of them with the banners closest to its own,
    unusual banners, and some labels."""
    served, adult = catalogue(), shows_adult()
    title, rows = "Popular games", served.without_adult(served.popular, adult)[: SHOWN + 1].tolist()
    if not rows:
        named = served.without_adult(served.named, adult).tolist()
        title, rows = "A random choice", random.sample(named, min(SHOWN + 1, len(named)))
    unique = served.without_adult(served.unique_first, adult)
    unique = unique[served.has_name[unique]][: UNIQUE + 1].tolist()
    example = random.choice(rows) if rows and served.catalogue.k else None
    look_alikes = () if example is None else _look_alikes(served, example, adult)
    terms = served.catalogue.games.terms
    return render_template(
        "home.html",
        example=None if example is None or len(look_alikes) < LOOK_ALIKES else served.game(example),
        look_alikes=look_alikes,
        title=title,
        games=served.games([row for row in rows if row != example][:SHOWN]),
        unique=served.games([row for row in unique if row != example][:UNIQUE]),
        terms=[Label(term.name, term.kind) for term in random.sample(terms, min(TERMS, len(terms)))],
        json_url=json_url("catalogue"),
    )
