"""The page about the site and its catalogue."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from banners.encoders.views import View
from webapp.current import catalogue
from webapp.pages.game import VIEW_NAMES
from webapp.records import json_url
from webapp.served import ServedCatalogue

blueprint = Blueprint("about", __name__)


@dataclass(frozen=True)
class AboutPage:
    """The catalogue and how it was made. `random_similarity` is the median of random pairs of banners, null where it
    is not known; `input_size` is the width and height of what the encoder sees, null if it is not known; `created` is a
    date and time, ISO 8601."""

    games: int
    neighbours: int
    views: tuple[View, ...]
    has_similarities: bool
    identical_banners: int
    random_similarity: float | None
    encoder: str
    revision: str
    fit: str
    input_size: tuple[int, ...] | None
    source: str
    created: str


def about_page(served: ServedCatalogue) -> AboutPage:
    manifest = served.catalogue.manifest
    preprocessing = manifest.raw.get("preprocessing")
    return AboutPage(
        games=len(served),
        neighbours=served.catalogue.k,
        views=tuple(served.catalogue.views),
        has_similarities=served.catalogue.view("plain").similarities is not None,
        identical_banners=sum(map(len, served.identical)),
        random_similarity=manifest.random_similarity,
        encoder=manifest.encoder,
        revision=manifest.revision,
        fit=manifest.fit,
        input_size=(preprocessing["width"], preprocessing["height"]) if preprocessing else None,
        source=manifest.source,
        created=manifest.created,
    )


@blueprint.get("/about")
def about() -> str:
    page = about_page(catalogue())
    views = [VIEW_NAMES[view].lower() for view in page.views]
    return render_template("about.html", page=page, views=views, json_url=json_url("catalogue"))
