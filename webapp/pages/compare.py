"""Two games side by side: how alike their covers are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flask import Blueprint, render_template, request
from PIL import Image
from werkzeug.exceptions import RequestEntityTooLarge, ServiceUnavailable

from banners.arrays import Matrix
from banners.errors import Away, BadInput, CannotAnswer, UnusableImage
from banners.series import same_series
from banners.vectors.regions import CELLS, Box, LocalFeatures, same_art_evidence, shared_regions
from banners.views import View
from webapp.current import current_site
from webapp.pages.game import GameDetails, game_details
from webapp.pages.sharing import Share
from webapp.params import API, address
from webapp.queries.parts import decode_vector, encode_vector
from webapp.queries.uploads import reason, received
from webapp.queries.verdicts import other_shape
from webapp.records import Result
from webapp.site import Site

_REGIONS, _LEAST_REGIONS = 5, 3  # where anything corresponds, and where nothing does
_TELLS = 2.5  # nats of a region: about one in ten of all cells is like its own
_ALIKE, _SAME = 0.6, 0.8  # cosines of two cells
_SHARED = 4  # words at most
_ASKED = "How alike are their covers?"
_LETTERING = 0.15  # by how much the likeness in one view exceeds the other

blueprint = Blueprint("compare", __name__)


@dataclass(frozen=True)
class SharedRegion:
    """What two covers share: a box on each, x, y, width and height as fractions of the cover. `cosine` is the mean of
    its four cells; `nats` is the mean of the cosine times -ln of the share of all covers' cells that show the same."""

    a: Box
    b: Box
    cosine: float
    nats: float


@dataclass(frozen=True)
class Comparison:
    """Two games. `similarity` is the cosine of their covers' embeddings, null if it is not known. `plain` is the second
    game as a result of the first; `artwork` is the same without what lettering adds, null if the catalogue has no such
    view. `regions` are what corresponds on the covers, the most telling first, empty without local features; `sentence`
    says what that is. `coincide_percent` is how much of the covers is the same picture, null if they are not."""

    a: GameDetails
    b: GameDetails
    similarity: float | None
    plain: Result
    artwork: Result | None
    regions: tuple[SharedRegion, ...]
    sentence: str
    coincide_percent: int | None

    @property
    def corresponds(self) -> bool:
        """Whether anything does on the two covers."""
        return _corresponds(self.regions)


def comparison(site: Site, a: int, b: int) -> Comparison:
    """Raises `UnknownGame`, and `BadInput` for one and the same game."""
    row, other = site.catalogue.row_of(a), site.catalogue.row_of(b)
    if row == other:
        raise BadInput("A game is compared with another one; these are the same.")

    def compared(view: View) -> Result:
        return site.results([(other, _similarity(site, row, other, view))], view, query=row)[0]

    plain = compared("plain")
    artwork = compared("artwork") if "artwork" in site.catalogue.views else None
    found = _regions(site, row, other)
    percent = 100 if plain.is_identical else site.coincide_percent(row, other)
    return Comparison(
        a=game_details(site, row),
        b=game_details(site, other),
        similarity=plain.similarity,
        plain=plain,
        artwork=artwork,
        regions=found or (),
        sentence="" if found is None else _sentence(found, plain, artwork, percent),
        coincide_percent=percent,
    )


def _regions(site: Site, row: int, other: int) -> tuple[SharedRegion, ...] | None:
    """None without local features, or if their database is away."""
    features = site.catalogue.local_features
    if features is None:
        return None
    try:
        return _shared(features, features.cells(row), features.cells(other))
    except Away:
        return None


def _shared(features: LocalFeatures, a: Matrix, b: Matrix) -> tuple[SharedRegion, ...]:
    regions = tuple(
        SharedRegion(one.a, one.b, round(one.cosine, 3), round(one.nats, 2))
        for one in shared_regions(features, a, b, _REGIONS)
    )
    return regions if _corresponds(regions) else regions[:_LEAST_REGIONS]


def _corresponds(regions: Sequence[SharedRegion]) -> bool:
    return bool(regions) and regions[0].cosine >= _ALIKE


def _sentence(
    found: Sequence[SharedRegion], plain: Result, artwork: Result | None, coincide_percent: int | None
) -> str:
    if coincide_percent is not None:
        return f"They are one picture: {coincide_percent} % of it coincides."
    if not _corresponds(found):
        return "Nothing in particular corresponds. They are alike as a whole, if at all."
    if found[0].nats < _TELLS:
        return "Only plain ground or a common pattern corresponds."
    lettering = (plain.strength or 0) - (artwork.strength or 0) if artwork else 0.0
    if lettering >= _LETTERING:
        return "The lettering corresponds, more than the art."
    if lettering <= -_LETTERING:
        return "The art corresponds, under other lettering."
    return "The same figure, sign or frame stands on both." if found[0].cosine >= _SAME else "Some shapes correspond."


def _similarity(site: Site, row: int, other: int, view: View) -> float | None:
    """The stored one, which lists show, or else the computed one; None without embeddings."""
    near = site.catalogue.view(view)
    for one, two in ((row, other), (other, row)):
        places = np.flatnonzero(near.of(one) == two)
        if len(places) and near.similarities is not None:
            return float(near.similarities[one, places[0]])
    index = site.catalogue.indexes.get(view)
    if index is None:
        return None
    try:
        return index.cosine(index.query(index.embedding(row)), other)
    except Away:  # the rest of the page is known
        return None


@dataclass(frozen=True)
class CoverComparison:
    """A reader's own cover and a game, see `Comparison`. `a` is None: the server does not have it."""

    a: None
    b: GameDetails
    plain: Result
    artwork: Result | None
    regions: tuple[SharedRegion, ...]
    sentence: str

    @property
    def corresponds(self) -> bool:
        """Whether anything does on the two covers."""
        return _corresponds(self.regions)


@dataclass(frozen=True)
class ComparePage:
    """`answer` is its JSON, or for a reader's own cover a `CoverComparison`. `steps` are the addresses that compare the
    first game with the look-alike before and after the second one, "" where there is none. `shared` are words that
    describe both: label, developer, tags."""

    answer: "Comparison | CoverComparison"
    steps: tuple[str, str]
    shared: tuple[str, ...]


def compare_page(site: Site, a: int, b: int) -> ComparePage:
    """Raises what `comparison` raises."""
    answer = comparison(site, a, b)
    near = [int(site.catalogue.appids[row]) for row in site.catalogue.view("plain").of(site.catalogue.row_of(a))]
    place = near.index(b) if b in near else -1
    around = (near[place - 1] if place > 0 else 0, near[place + 1] if place + 1 < len(near) else 0)
    one, two = answer.a, answer.b
    shared = [
        *(f"both by {name}" for name in one.developers if name in two.developers),
        *(f"both “{label.name}”" for label in one.labels if label.name in [other.name for other in two.labels]),
        *(f"both {tag}" for tag in one.tags if tag in two.tags),
    ]
    same = same_series(*(site.catalogue.games[site.catalogue.row_of(appid)] for appid in (a, b)))
    return ComparePage(
        answer,
        (_step(a, around[0]), _step(a, around[1])),
        (*(("of one series",) if same else ()), *shared[:_SHARED]),
    )


def _step(a: int, b: int) -> str:
    return f"/compare/{a}/{b}" if b else ""


@blueprint.get("/compare/<appid:a>/<appid:b>")
@blueprint.get("/compare/<appid:a>/<appid:b>/")
def compare(a: int, b: int) -> str:
    """Show two covers beside each other, and what corresponds on them."""
    page = compare_page(current_site(), a, b)
    games = current_site().games(current_site().rows_of((a, b)))
    title = f"{games[0].name} and {games[1].name}"
    share = Share.of(current_site(), title, page.answer.sentence or _ASKED, f"/compare/{a}/{b}", games)
    json_url = address(f"{API}compare", [("a", a), ("b", b)])
    return render_template("compare.html", page=page, share=share, json_url=json_url)


def compare_with_cover(site: Site, image: Image.Image, appid: int) -> ComparePage:
    """A picture and a game. Raises `UnknownGame`, `CannotAnswer`."""
    row, features, encoder = site.catalogue.row_of(appid), site.local_features, site.part_encoder
    if encoder is None:
        raise CannotAnswer("Search by a part is not available for this catalogue.")
    # As it is in the address of the verdict, so that both pages show the same likeness.
    vector = decode_vector(site, encode_vector(site, site.query_encoder.picture(image)))

    def compared(view: View) -> Result:
        index = site.catalogue.indexes[view]
        return site.results([(row, index.cosine(index.query(vector), row))], view)[0]

    plain = compared("plain")
    artwork = compared("artwork") if "artwork" in site.catalogue.indexes else None
    cells = encoder.grid(image).reshape(CELLS, -1)
    found = _shared(features, cells, features.cells(row))
    told = features.codes.evidence(cells)
    is_same = told.nats[row] >= same_art_evidence(len(site))
    sentence = _sentence(found, plain, artwork, round(100 * float(told.share[row])) if is_same else None)
    answer = CoverComparison(None, game_details(site, row), plain, artwork, found, sentence)
    return ComparePage(answer, ("", ""), ())


@blueprint.route("/compare/cover/<appid:appid>", methods=["GET", "POST"])
def compare_cover(appid: int) -> str | tuple[str, int]:
    """Show a reader's own cover beside a game's. It is not kept."""
    site = current_site()
    game = site.game(site.catalogue.row_of(appid))
    _ = site.local_features, site.query_encoder
    complaint, status = "", 200
    if request.method == "POST":
        try:
            upload = received(site)
            image = upload.middle(site.image_size) if other_shape(site, upload) else upload.image
            return render_template("compare.html", page=compare_with_cover(site, image, appid))
        except UnusableImage as error:
            complaint, status = reason(error), 415
        except (RequestEntityTooLarge, ServiceUnavailable) as error:
            complaint, status = error.description or "", error.code or 500
    action = f"/compare/cover/{appid}"
    return render_template("compare_cover.html", game=game, action=action, complaint=complaint), status
