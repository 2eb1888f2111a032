"""What other sites show beside a link to a page: title, description and a picture of covers.

Pictures are drawn from images of this server only; it never fetches any. Without local images, a page is shown with its
first game's cover from Steam.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Annotated, Literal, Self

from flask import Blueprint, Response
from msgspec import Meta
from PIL import Image, ImageDraw, ImageOps

from banners.errors import NotInCatalogue, UnusableImage
from webapp.caching import cache
from webapp.current import current_site
from webapp.limits import charge
from webapp.local_images import LocalImage, one_at_a_time
from webapp.params import Appid, Query, address, read
from webapp.queries.similar import neighbours
from webapp.records import GameSummary
from webapp.site import Site

SHARE_SIZE = (1200, 630)  # as the Open Graph protocol's readers want it
MOST_COVERS = 12
_GROUND = (18, 20, 22)
_FRAME = (90, 96, 104)
_EDGE, _GAP = 40, 20
_LOOK_ALIKES = 6
_COST = 0.25  # of a picture, in queries
_NO_PICTURE = "There is no picture to share of this."

blueprint = Blueprint("sharing", __name__)
Size = tuple[int, int]
Form = Literal["large", "frame", "rows"]  # of a picture: a large cover or an empty frame before the others
Place = tuple[int, int, int, int]  # left, top, width, height


class CoversQuery(Query):
    """`frame`: an empty frame stands before them, for a picture that nobody has here."""

    game: Annotated[tuple[Appid, ...], Meta(max_length=MOST_COVERS)] = ()
    frame: bool = False


@dataclass(frozen=True)
class Share:
    """A page for other sites. `path` is its canonical address, `image` an address, "" if there is none; `is_large`:
    it has the size that the Open Graph protocol's readers want."""

    title: str
    description: str
    path: str
    image: str
    is_large: bool

    @classmethod
    def of(cls, site: Site, title: str, description: str, path: str, games: Iterable[GameSummary]) -> Self:
        """A page of `games`, whose covers are on the picture."""
        shown = [game for game in games if game.image and not game.is_adult][:MOST_COVERS]
        local = [game.appid for game in shown if game.appid in site.local_images]
        image = address("/share/covers.jpg", [("game", appid) for appid in local])
        return cls._with(title, description, path, image if local else "", shown)

    @classmethod
    def of_frame(cls, site: Site, title: str, description: str, path: str, games: Iterable[GameSummary]) -> Self:
        """The page of a reader's own picture, with its look-alikes around an empty frame."""
        shown = [game for game in games if not game.is_adult and game.appid in site.local_images][:_LOOK_ALIKES]
        image = address("/share/covers.jpg", [*(("game", game.appid) for game in shown), ("frame", "1")])
        return cls(title, description, path, image if shown else "", bool(shown))

    @classmethod
    def of_game(cls, site: Site, title: str, description: str, path: str, game: GameSummary) -> Self:
        """The page of a game; its look-alikes are on the picture too."""
        image = f"/share/{game.appid}.jpg" if game.appid in site.local_images and not game.is_adult else ""
        return cls._with(title, description, path, image, [] if game.is_adult else [game])

    @classmethod
    def _with(cls, title: str, description: str, path: str, image: str, games: Sequence[GameSummary]) -> Self:
        fallback = next((game.image for game in games if game.image), "")
        return cls(title, description, path, image or fallback or "", bool(image))


@blueprint.get("/share/<appid:appid>.jpg")
def share(appid: int) -> Response:
    """A game's cover, and six look-alikes in two rows beside it."""
    site = current_site()
    row, local = site.catalogue.row_of(appid), site.local_images
    if appid not in local or site.is_adult[row]:
        raise NotInCatalogue(_NO_PICTURE)
    near = (one.game for one in neighbours(site, row, 4 * _LOOK_ALIKES, "plain", stacked=True))
    chosen = [game.appid for game in near if not game.is_adult and game.appid in local][:_LOOK_ALIKES]
    return _picture(site, [appid, *chosen], "large")


@blueprint.get("/share/covers.jpg")
def covers() -> Response:
    """Some covers side by side, in up to two rows."""
    site, query = current_site(), read(CoversQuery)
    games = site.games(site.rows_of(query.game))
    shown = [game.appid for game in games if not game.is_adult and game.appid in site.local_images]
    if not shown:
        raise NotInCatalogue(_NO_PICTURE)
    return _picture(site, shown, "frame" if query.frame else "rows")


def _picture(site: Site, appids: Sequence[int], form: Form) -> Response:
    charge(_COST)
    images = tuple(LocalImage.of(site.local_images[appid]) for appid in appids)
    return cache(Response(_drawn(images, site.image_size, form), mimetype="image/jpeg"), "-")


def _large_and_small(cover: Size) -> list[Place]:
    """A large cover and two rows of three beside it."""
    height = SHARE_SIZE[1] - 2 * _EDGE
    width = min(round(height * cover[0] / cover[1]), SHARE_SIZE[0] // 2 - _EDGE)
    left, columns = _EDGE + width + 2 * _GAP, _LOOK_ALIKES // 2
    cell = ((SHARE_SIZE[0] - left - _EDGE - (columns - 1) * _GAP) // columns, (height - _GAP) // 2)
    columns_at = [left + column * (cell[0] + _GAP) for column in range(columns)]
    return [
        (_EDGE, _EDGE, width, height),
        *((x, y, *cell) for y in (_EDGE, _EDGE + cell[1] + _GAP) for x in columns_at),
    ]


def _in_rows(count: int, cover: Size) -> list[Place]:
    """Up to four covers in a row, more in two, in the middle."""
    rows = 1 if count <= 4 else 2
    columns = -(-count // rows)
    height = (SHARE_SIZE[1] - 2 * _EDGE - (rows - 1) * _GAP) // rows
    width = min(round(height * cover[0] / cover[1]), (SHARE_SIZE[0] - 2 * _EDGE - (columns - 1) * _GAP) // columns)
    height = min(height, round(width * cover[1] / cover[0]))
    left = (SHARE_SIZE[0] - columns * width - (columns - 1) * _GAP) // 2
    top = (SHARE_SIZE[1] - rows * height - (rows - 1) * _GAP) // 2
    at = ((number % columns, number // columns) for number in range(count))
    return [(left + x * (width + _GAP), top + y * (height + _GAP), width, height) for x, y in at]


@lru_cache(maxsize=64)
def _drawn(images: tuple[LocalImage, ...], cover: Size, form: Form) -> bytes:
    picture = Image.new("RGB", SHARE_SIZE, _GROUND)
    places = _in_rows(len(images), cover) if form == "rows" else _large_and_small(cover)
    if form == "frame":
        left, top, width, height = places.pop(0)
        corners = (left, top, left + width - 1, top + height - 1)
        ImageDraw.Draw(picture).rounded_rectangle(corners, 16, outline=_FRAME, width=4)
    drawn = []
    for image, (left, top, width, height) in zip(images, places, strict=False):
        try:
            with one_at_a_time:
                decoded = image.decode()
        except UnusableImage:  # the place stays empty
            continue
        covered = ImageOps.pad(decoded, (width, height), Image.Resampling.LANCZOS, _GROUND)
        picture.paste(covered, (left, top))
        drawn.append(image)
    if not drawn or (form == "large" and drawn[0] != images[0]):
        raise NotInCatalogue(_NO_PICTURE)
    file = BytesIO()
    picture.save(file, "JPEG", quality=85, optimize=True)
    return file.getvalue()
