"""Queries by example: games, words and a picture, with plus and minus, in an address that can be shared.

A picture is not kept: its embedding travels in the address, in 8 bits a number.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt

from banners.catalogue.query_encoder import QueryEncoder
from banners.catalogue.search import MAX_QUERY
from banners.catalogue.vectors import nearest_to
from banners.errors import BadInput, CannotAnswer
from webapp.gallery import Card, Gallery
from webapp.labels import Label, labels_of_vector
from webapp.limits import charge
from webapp.pages import Match, card, match_of
from webapp.uploads import decode_upload

Vector = npt.NDArray[np.float32]
Kind = Literal["game", "text", "picture"]

MIXED = 24  # results, if no number is asked for
STARTS = 12  # games to begin with
MAX_PARTS = 8
MAX_TEXT = 200  # characters; CLIP reads some 70 words
MAX_NEAREST = 200
_COST: dict[Kind, float] = {"text": 1.0, "game": 0.25, "picture": 0.25}  # a model's work, or a pass over the matrix
_COST_OF_UPLOAD = 3.0

# The parameters of an address, in this order.
PARAMETERS: dict[str, tuple[Kind, bool]] = {
    "picture": ("picture", False),
    "game": ("game", False),
    "text": ("text", False),
    "not_game": ("game", True),
    "not_text": ("text", True),
}


@dataclass(frozen=True)
class Part:
    """What a result shall look like or, with minus, shall not: an appid, words, or a picture's embedding as text."""

    kind: Kind
    value: str
    is_minus: bool

    @property
    def parameter(self) -> str:
        return f"not_{self.kind}" if self.is_minus else self.kind


@dataclass(frozen=True)
class Chip:
    """A part as it stands on the page, with the addresses of the query without it, and with it the other way round."""

    part: Part
    card: Card | None
    without_url: str
    other_url: str | None


@dataclass(frozen=True)
class MixPage:
    """`labels` are those of the picture, where one is asked for; `complaint` is what was wrong with what was added
    last. `starts` are cards that lead to a query, where there is none yet."""

    chips: tuple[Chip, ...]
    matches: tuple[Match, ...]
    labels: tuple[Label, ...]
    parameters: tuple[tuple[str, str], ...]
    more_url: str | None
    complaint: str
    starts: tuple[Card, ...]

    @property
    def likes(self) -> list[Chip]:
        return [chip for chip in self.chips if not chip.part.is_minus]

    @property
    def unlikes(self) -> list[Chip]:
        return [chip for chip in self.chips if chip.part.is_minus]

    @property
    def has_similarities(self) -> bool:
        return any(match.similarity is not None for match in self.matches)


@dataclass(frozen=True)
class UploadPage:
    """`parameters` are those of the query that the picture joins, `complaint` what was wrong with the last one."""

    parameters: tuple[tuple[str, str], ...]
    complaint: str


def url_of(parts: Sequence[Part], path: str = "/mix", n: int | None = None) -> str:
    given = [(part.parameter, part.value) for name in PARAMETERS for part in parts if part.parameter == name]
    return f"{path}?{urlencode([*given, *([('n', str(n))] if n else [])])}"


def check(parts: Sequence[Part]) -> None:
    """Raise `BadInput` for what is no query."""
    if len(parts) > MAX_PARTS:
        raise BadInput(f"At most {MAX_PARTS} things can be combined, not {len(parts)}.")
    if len(set(parts)) < len(parts):
        raise BadInput("The same thing is asked for twice.")
    if sum(part.kind == "picture" for part in parts) > 1:
        raise BadInput("One picture at a time can be asked for.")
    for part in parts:
        if part.kind == "text" and not 0 < len(part.value) <= MAX_TEXT:
            raise BadInput(f"A description has 1 to {MAX_TEXT} characters.")


def encoder_of(gallery: Gallery) -> QueryEncoder:
    """What embeds this catalogue's queries. Raises `CannotAnswer`."""
    if gallery.encoder is None:
        raise CannotAnswer("This catalogue was made without what embeds queries, so it knows its own banners only.")
    return gallery.encoder


def _vector(gallery: Gallery, part: Part) -> Vector:
    """float32 (d,), L2-normalised. Raises `UnknownGame`, `BadInput`, `CannotAnswer`."""
    if part.kind == "game":
        return np.array(gallery.catalogue.embeddings[gallery.catalogue.row_of(int(part.value))])
    if part.kind == "picture":
        return vector_of(part.value, gallery.catalogue.embeddings.shape[1])
    return encoder_of(gallery).words(part.value)


def nearest(gallery: Gallery, parts: Sequence[Part], count: int) -> list[tuple[int, float | None]]:
    """The rows nearest to all of `parts` together, best first, never one of the games among them, with their cosine
    where only one thing is asked for.

    Cosines of words to banners are lower and lie closer together than those of banners to banners. So each part counts
    in units of its own standard deviation over the catalogue; since that is linear, one vector stands for all of them.
    """
    check(parts)
    if not parts:
        return []
    encoder, matrix = encoder_of(gallery), gallery.catalogue.quantised
    if matrix is None:
        raise CannotAnswer("This catalogue was made without what queries are compared with.")
    if not encoder.has_text and any(part.kind == "text" for part in parts):
        raise CannotAnswer("This catalogue's encoder knows pictures only, no words.")
    charge(sum(_COST[part.kind] for part in parts))
    vectors = [_vector(gallery, part) for part in parts]
    asked = np.array([gallery.catalogue.row_of(int(part.value)) for part in parts if part.kind == "game"], np.intp)
    rough = [matrix @ vector for vector in vectors]
    vector, scores = vectors[0], rough[0]
    is_single = len(parts) == 1 and not parts[0].is_minus
    if not is_single:
        signs = [-1.0 if part.is_minus else 1.0 for part in parts]
        weights = np.array([sign / max(float(one.std()), 1e-6) for sign, one in zip(signs, rough, strict=True)])
        length = float(np.linalg.norm(weights @ np.stack(vectors)))
        if length < 1e-3:
            raise BadInput("These cancel each other out.")
        weights = (weights / length).astype(np.float32)
        vector, scores = weights @ np.stack(vectors), weights @ np.stack(rough)
    rows, cosines = nearest_to(vector, gallery.catalogue.embeddings, scores, count, asked)
    return list(zip(rows.tolist(), cosines.tolist() if is_single else [None] * len(rows), strict=True))


def picture_of(vector: Vector) -> str:
    """An embedding as a part of an address."""
    codes = np.rint(vector * (127 / np.abs(vector).max())).astype(np.int8)
    return base64.urlsafe_b64encode(codes.tobytes()).rstrip(b"=").decode("ascii")


def vector_of(picture: str, dim: int) -> Vector:
    """The embedding that `picture_of` wrote: float32 (dim,), L2-normalised. Raises `BadInput`."""
    try:
        data = base64.b64decode(picture + "=" * (-len(picture) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    codes = np.frombuffer(data, np.int8).astype(np.float32)
    if len(codes) != dim or not codes.any():
        raise BadInput("This address holds no picture of this catalogue; choose the picture again.")
    return np.asarray(codes / np.linalg.norm(codes), np.float32)


def embed_upload(gallery: Gallery, data: bytes) -> Vector:
    """Embed a picture that somebody sent. Raises `UnusableImage`, `CannotAnswer`."""
    encoder = encoder_of(gallery)
    charge(_COST_OF_UPLOAD)
    side = 2 * max(encoder.preprocessing.height, encoder.preprocessing.width)
    return encoder.picture(decode_upload(data, side))


def parameters_of(parts: Sequence[Part]) -> tuple[tuple[str, str], ...]:
    return tuple((part.parameter, part.value) for part in parts)


def meant(gallery: Gallery, text: str, is_minus: bool) -> Part | None:
    """What somebody means who adds `text` to a query: the game of this name or number, or the only one with these words
    in its name, else words; where the catalogue knows none, the game whose name comes closest. None where none does."""
    index = gallery.catalogue.games
    titled = index.titled(text)
    if titled:
        return Part("game", str(gallery.catalogue.appids[titled[0]]), is_minus)
    found = index.search(text[:MAX_QUERY], 1)
    is_sure = found.total == 1 and not found.approximate
    if found.rows and (is_sure or not encoder_of(gallery).has_text):
        return Part("game", str(gallery.catalogue.appids[found.rows[0]]), is_minus)
    return Part("text", text, is_minus) if encoder_of(gallery).has_text else None


def mix_page(gallery: Gallery, parts: Sequence[Part], count: int, complaint: str = "") -> MixPage:
    """Raises what `nearest` raises."""
    found = nearest(gallery, parts, count)
    mix_url = url_of(parts) if parts and len(parts) < MAX_PARTS else ""
    # Cosines of words to banners are on a scale of their own: only the order is shown.
    has_scale = not any(part.kind == "text" for part in parts)
    matches = tuple(
        match_of(gallery, rank, row, cosine if has_scale else None, mix_url)
        for rank, (row, cosine) in enumerate(found, 1)
    )
    chips = []
    for part in parts:
        others = [other for other in parts if other != part]
        turned = Part(part.kind, part.value, not part.is_minus)
        shown = card(gallery, gallery.catalogue.row_of(int(part.value))) if part.kind == "game" else None
        can_turn = part.kind != "picture" and turned not in parts
        chips.append(Chip(part, shown, url_of(others), url_of([*others, turned]) if can_turn else None))
    pictures = [part for part in parts if part.kind == "picture"]
    shown_labels = labels_of_vector(gallery, _vector(gallery, pictures[0])) if pictures else ()
    more = min(MAX_NEAREST, len(gallery), 2 * count)
    return MixPage(
        tuple(chips),
        matches,
        shown_labels,
        parameters_of(parts),
        url_of(parts, n=more) if parts and more > len(matches) == count else None,
        complaint,
        () if parts else _starts(gallery),
    )


def _starts(gallery: Gallery) -> tuple[Card, ...]:
    """Games to begin a query with: popular ones, or some from all over the catalogue."""
    rows = gallery.popular.safe[:STARTS]
    if not len(rows):
        named = gallery.named.safe
        rows = named[np.linspace(0, len(named) - 1, min(STARTS, len(named))).astype(np.intp)]
    return tuple(replace(one, url=f"/mix?game={one.appid}") for one in map(gallery.card, rows.tolist()))
