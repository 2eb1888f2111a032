"""The parts of a query: games, words and a picture, with plus and minus, in an address that can be shared.

A picture is not kept: its embedding is part of the address, in 8 bits a number.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from banners.arrays import Matrix, Vector
from banners.catalogue.names import appid_of, named_by_address
from banners.errors import BadInput
from webapp.params import MAX_ADDRESS, Appid, Pairs, address, words
from webapp.queries.filters import SeriesFilterQuery
from webapp.site import Site

PartKind = Literal["game", "text", "picture"]

MAX_PARTS = 8
_STEPS = 32  # of a shortened embedding's numbers, from 0 to what they usually reach
MAX_TEXT = 200  # characters; CLIP reads some 70 words
MAX_RESULTS = 200

_Appids = Annotated[tuple[Appid, ...], Meta(max_length=MAX_PARTS)]
_Texts = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)], ...], Meta(max_length=MAX_PARTS)]
ResultCount = Annotated[int, Meta(ge=1, le=MAX_RESULTS, description="How many.")]
MatchView = Annotated[
    Literal["plain", "artwork"], Meta(description="What is compared: the whole cover, or the art without lettering.")
]


class SimilarQuery(SeriesFilterQuery):
    """The parts of a query, in the order in which an address names them."""

    picture: Annotated[str, Meta(max_length=8000, description="A picture's embedding, as POST /pictures gives it.")] = (
        ""
    )
    game: Annotated[_Appids, Meta(description="Appids of games that results should look like.")] = ()
    text: Annotated[_Texts, Meta(description="Words for what results should look like.")] = ()
    not_game: Annotated[_Appids, Meta(description="Appids of games that results should not look like.")] = ()
    not_text: Annotated[_Texts, Meta(description="Words for what results should not look like.")] = ()
    n: ResultCount = 24
    view: MatchView = "plain"

    def view_and_filters(self) -> Pairs:
        return (*self.pairs("view"), *self.filters())

    def parts(self) -> "list[QueryPart]":
        """Raises `BadInput` for parts that cannot be combined."""
        parts = [
            *([QueryPart("picture", self.picture)] if self.picture else []),
            *(QueryPart("game", str(appid)) for appid in self.game),
            *(QueryPart("text", words(text)) for text in self.text),
            *(QueryPart("game", str(appid), is_minus=True) for appid in self.not_game),
            *(QueryPart("text", words(text), is_minus=True) for text in self.not_text),
        ]
        check(parts)
        return parts


@dataclass(frozen=True)
class QueryPart:
    """A part of a query, which results should resemble or, with minus, should not: an appid, words, or a picture's
    embedding as text."""

    kind: PartKind
    value: str
    is_minus: bool = False

    @property
    def parameter(self) -> str:
        return f"not_{self.kind}" if self.is_minus else self.kind

    @property
    def turned(self) -> "QueryPart":
        return replace(self, is_minus=not self.is_minus)


def pairs_of(parts: Iterable[QueryPart]) -> Pairs:
    """Names and values for an address, in the order of `SimilarQuery`."""
    order = SimilarQuery.__struct_fields__
    ordered = sorted(parts, key=lambda part: order.index(part.parameter))
    return tuple((part.parameter, part.value) for part in ordered)


def mix_address(parts: Iterable[QueryPart], *others: tuple[str, object]) -> str:
    """The address of a mix; `others` are further parameters."""
    return address("/mix", (*pairs_of(parts), *others))


def check(parts: Sequence[QueryPart], others: Pairs = ()) -> None:
    """Raise `BadInput` for parts that cannot be combined, or that make an address too long together with `others`, its
    view and filters."""
    if len(parts) > MAX_PARTS:
        raise BadInput(f"At most {MAX_PARTS} things can be combined, not {len(parts)}.")
    if len(set(parts)) < len(parts):
        raise BadInput("The same thing is asked for twice.")
    if len(mix_address(parts, *others)) > MAX_ADDRESS:
        raise BadInput("This mix and its filters are too long for an address. Use shorter words, or fewer.")
    for part in parts:
        if part.kind == "text" and not 0 < len(part.value) <= MAX_TEXT:
            raise BadInput(f"A description has 1 to {MAX_TEXT} characters.")


def parse_part(site: Site, text: str, is_minus: bool) -> QueryPart | None:
    """What `text` means: the game with this name, appid or address, else words. A catalogue without search by words
    takes the only game with these words in its name. None if there are several or none, or if the game of an address is
    not in the catalogue."""
    games, appids = site.catalogue.games, site.catalogue.appids
    hits = games.search(text, 1)
    rows = games.titled(text) or [row for row in hits.rows if int(appids[row]) == appid_of(text)]
    if not rows and named_by_address(text) is None and site.facts.takes_words:
        return QueryPart("text", text, is_minus)
    if not rows and hits.total == 1 and not hits.approximate:
        rows = hits.rows
    return QueryPart("game", str(appids[rows[0]]), is_minus) if rows else None


def encode_vector(site: Site, vector: Vector) -> str:
    """An embedding, float32 (d,), as a part of an address: after the fingerprint of its encoder, shortened to 512
    numbers where it has more."""
    basis = site.catalogue.link_basis
    if basis is None:
        codes = vector * (127 / np.abs(vector).max())
    else:
        directions = basis.astype(np.float32)
        first = _rounded(vector, directions[:, :1])
        rest = vector - directions[:, 0] * np.float32(first[0] / _STEPS)
        codes = np.concatenate([first, _rounded(rest, directions[:, 1:])])
    codes = np.clip(np.rint(codes), -127, 127).astype(np.int8)
    return site.query_encoder.fingerprint + base64.urlsafe_b64encode(codes.tobytes()).rstrip(b"=").decode("ascii")


def _rounded(vector: Vector, directions: Matrix) -> Vector:
    """How far a vector reaches along directions, in steps."""
    return np.asarray(np.rint(_STEPS * (vector @ directions) / np.maximum((directions**2).sum(axis=0), 1e-9)))


def decode_vector(site: Site, picture: str) -> Vector:
    """The embedding that `encode_vector` wrote: float32 (d,), L2-normalised. Raises `BadInput`, also if another encoder
    made it."""
    encoder, basis = site.query_encoder, site.catalogue.link_basis
    encoded = picture[len(encoder.fingerprint) :]
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    codes = np.frombuffer(data, np.int8).astype(np.float32)
    if not picture.startswith(encoder.fingerprint) and codes.any():
        raise BadInput("This link was made with another encoder. Choose the picture again.")
    if len(codes) != (encoder.dim if basis is None else basis.shape[1]) or not codes.any():
        raise BadInput("This address holds no picture of this catalogue; choose the picture again.")
    return codes / np.float32(np.linalg.norm(codes)) if basis is None else _lengthened(codes, basis.astype(np.float32))


def _lengthened(codes: Vector, basis: Matrix) -> Vector:
    """The embedding of shortened `codes`: float32 (d,), L2-normalised. What the basis does not hold of it, which is
    like no embedding of the catalogue, becomes some vector that is at right angles to the basis: or all similarities
    would be too large."""
    vector = basis @ (codes / _STEPS)
    directions = np.delete(basis, 1, axis=1)  # the first one again, see `banners.build.parts.links`
    directions /= np.maximum(np.linalg.norm(directions, axis=0), 1e-9)
    other = np.random.default_rng(0).normal(size=len(vector))
    other -= directions @ (directions.T @ other)
    missing = max(1 - float(vector @ vector), 0.0)
    vector = vector + other * (missing**0.5 / max(float(np.linalg.norm(other)), 1e-9))
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
