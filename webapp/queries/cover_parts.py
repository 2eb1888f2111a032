"""Search by a part of a cover: a box on a game's own or on a picture that was sent."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from zlib import crc32

import numpy as np
from msgspec import Meta
from PIL import Image

from banners.arrays import Matrix
from banners.errors import BadInput, CannotAnswer, UnusableImage
from banners.vectors import regions
from banners.vectors.regions import DIMENSIONS, Box, LocalFeatures, Part
from webapp.limits import charge
from webapp.local_images import LocalImage, one_at_a_time
from webapp.queries.filters import SeriesFilterQuery, mask, outside_series
from webapp.records import GameSummary
from webapp.site import Site

SCALES = (0.6, 1.0, 1.5)  # at which a part is searched where there are pixels
_COST = 1.0
_NAMES_COMPARED = 1_000
_LEAST_SIDE = 0.03  # of a box
_NUMBER = r"[01](\.[0-9]{1,6})?|\.[0-9]{1,6}"

BoxText = Annotated[
    str,
    Meta(
        pattern=f"^(({_NUMBER})(,({_NUMBER})){{3}})?$",
        description="The part of the cover: x, y, width and height with commas, as fractions of the cover.",
    ),
]


class PartQuery(SeriesFilterQuery):
    """A part of a cover, and which games are searched."""

    box: BoxText = ""
    n: Annotated[int, Meta(ge=1, le=200, description="How many.")] = 20

    @property
    def place(self) -> Box:
        """Raises `BadInput`."""
        return box_of(self.box)


@dataclass(frozen=True)
class PartResult:
    """A game whose cover has the part. `similarity` is the mean cosine of the part's cells to the most similar ones of
    the cover; `box` is where it was found: x, y, width and height as fractions of the cover."""

    rank: int
    game: GameSummary
    similarity: float
    box: Box


@dataclass(frozen=True)
class PartSearch:
    """The games that have a part of a cover. `box` is the part."""

    box: Box
    results: tuple[PartResult, ...]


def box_of(text: str) -> Box:
    """A box as in an address. Raises `BadInput`."""
    if not text:
        raise BadInput("Name the part as box=x,y,width,height in fractions of the cover, such as box=0.1,0.1,0.4,0.3.")
    x, y, width, height = (float(number) for number in text.split(","))
    width, height = min(width, 1 - x), min(height, 1 - y)
    if min(width, height) < _LEAST_SIDE:
        raise BadInput("The box is too small, or outside the cover.")
    return round(x, 4), round(y, 4), round(width, 4), round(height, 4)


def parts_of_image(site: Site, image: Image.Image, box: Box) -> list[Part]:
    """Raises `CannotAnswer`."""
    encoder = site.part_encoder
    if encoder is None:
        raise CannotAnswer("Search by a part is not available for this catalogue.")
    return [regions.part_of(encoder.grid(image, scale), box, scale) for scale in SCALES]


def parts_of_game(site: Site, row: int, box: Box) -> list[Part]:
    """At three scales where the server has the cover's pixels, at one from the stored features where it has not. Raises
    `CannotAnswer`."""
    features = site.local_features
    charge(_COST)
    local = site.local_images.get(int(site.catalogue.appids[row]))
    if local is not None:
        try:
            with one_at_a_time:
                image = LocalImage.of(local).decode()
            return parts_of_image(site, image, box)
        except UnusableImage:
            pass  # the stored features are of an earlier file
    return [regions.part_of(features.cells(row).reshape(features.rows, features.columns, -1), box, 1.0)]


def games_with(
    site: Site, parts: Sequence[Part], box: Box, query: PartQuery, of: Sequence[int] = ()
) -> tuple[PartResult, ...]:
    """The games that have a part, those of the query's rows `of` left out. Raises `CannotAnswer`."""
    features = site.local_features
    passes = mask(site, query)
    passes[list(of)] = False
    is_outside = outside_series(site, of if query.hide_series else [])
    rows, scores = regions.ranked_by_part(features.codes, parts, passes, _NAMES_COMPARED)
    ranked = [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if is_outside(row)]
    return tuple(
        PartResult(
            rank,
            site.game(row),
            round(score, 4),
            regions.find_part(features, row, parts, box),
        )
        for rank, (row, score) in enumerate(ranked[: query.n], 1)
    )


# -- in an address --------------------------------------------------------------------------------------------------


def encode_parts(site: Site, parts: Sequence[Part], box: Box) -> str:
    codes = regions.to_codes(np.concatenate([part.cells for part in parts]))
    return _fingerprint(site, box) + base64.urlsafe_b64encode(codes.tobytes()).rstrip(b"=").decode("ascii")


def decode_parts(site: Site, text: str, box: Box) -> list[Part]:
    """The parts that `encode_parts` wrote, for the same box. Raises `BadInput`, `CannotAnswer`."""
    features = site.local_features
    charge(_COST)
    frames = [regions.part_of(_empty(features, scale), box, scale) for scale in SCALES]
    try:
        encoded = text.removeprefix(_fingerprint(site, box))
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    codes = np.frombuffer(data, np.int8)
    if encoded == text or len(codes) != sum(frame.cells.size for frame in frames):
        raise BadInput("This address holds no part of a picture; choose the picture again.")
    ends = np.cumsum([len(frame.cells) for frame in frames])[:-1]
    cells = np.split(regions.to_cells(codes.reshape(-1, DIMENSIONS)), ends)
    return [Part(here, frame.places, frame.scale) for here, frame in zip(cells, frames, strict=True)]


def _fingerprint(site: Site, box: Box) -> str:
    """8 digits that tell catalogues and boxes apart: a part is read with the basis and the box that it was made
    with."""
    return f"{crc32(site.local_features.basis.projection.tobytes() + repr(box).encode()):08x}"


def _empty(features: LocalFeatures, scale: float) -> Matrix:
    """A grid of the size that a picture has at a scale."""
    rows, columns = (max(1, round(scale * side)) for side in (features.rows, features.columns))
    return np.zeros((rows, columns, DIMENSIONS), np.float32)
