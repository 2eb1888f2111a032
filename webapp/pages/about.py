"""The page about the site and its catalogue."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from banners.views import View
from webapp.current import current_site
from webapp.pages.variants import VIEW_NAMES
from webapp.params import API
from webapp.site import Site

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


def about_page(site: Site) -> AboutPage:
    manifest = site.catalogue.manifest
    preprocessing = manifest.preprocessing
    return AboutPage(
        games=len(site),
        neighbours=site.catalogue.k,
        views=tuple(site.catalogue.views),
        has_similarities=site.catalogue.view("plain").similarities is not None,
        identical_banners=sum(map(len, site.orders.identical)),
        random_similarity=manifest.scale("plain").random,
        encoder=manifest.encoder.id,
        revision=manifest.encoder.revision,
        fit=manifest.fit,
        input_size=(preprocessing.width, preprocessing.height) if preprocessing else None,
        source=manifest.images.source,
        created=manifest.created,
    )


@blueprint.get("/about")
def about() -> str:
    page = about_page(current_site())
    views = [VIEW_NAMES[view].lower() for view in page.views]
    return render_template("about.html", page=page, views=views, json_url=f"{API}catalogue")
