"""Queries by example: games, words and a picture, with plus and minus, in an address that can be shared.

A picture is not kept: its embedding is part of the address, in 8 bits a number.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from banners.catalogue import labels
from banners.catalogue.names import appid_of, named_by_address
from banners.catalogue.vectors import nearest_to
from banners.encoders.views import View
from banners.errors import BadInput, CannotAnswer
from webapp.limits import charge, receiving
from webapp.params import MAX_ADDRESS, Appid, uploaded, words
from webapp.queries.filters import FilterQuery, Mask, SeriesFilterQuery, mask, without_series
from webapp.queries.uploads import MAX_BYTES, decode_upload, is_animated
from webapp.records import Label, Result
from webapp.served import ServedCatalogue

Vector = npt.NDArray[np.float32]
Kind = Literal["game", "text", "picture"]

MAX_PARTS = 8
MAX_TEXT = 200  # characters; CLIP reads some 70 words
MAX_RESULTS = 200
_NO_FILTERS = FilterQuery()
_COST: dict[Kind, float] = {"text": 1.0, "game": 0.25, "picture": 0.25}  # a model's work, or a pass over the matrix
_COST_OF_UPLOAD = 3.0

_Appids = Annotated[tuple[Appid, ...], Meta(max_length=MAX_PARTS)]
_Texts = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)], ...], Meta(max_length=MAX_PARTS)]
ResultCount = Annotated[int, Meta(ge=1, le=MAX_RESULTS, description="How many.")]


MatchView = Annotated[
    Literal["plain", "artwork"], Meta(description="What is compared: everything, or the artwork without lettering.")
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

    def kept(self) -> tuple[tuple[str, str], ...]:
        return (*([("view", self.view)] if self.view != "plain" else []), *super().kept())

    def parts(self) -> list["Part"]:
        """Raises `BadInput` for parts that cannot be combined."""
        given = [
            *([Part("picture", self.picture)] if self.picture else []),
            *(Part("game", str(appid)) for appid in self.game),
            *(Part("text", words(text)) for text in self.text),
            *(Part("game", str(appid), is_minus=True) for appid in self.not_game),
            *(Part("text", words(text), is_minus=True) for text in self.not_text),
        ]
        check(given)
        return given


@dataclass(frozen=True)
class Part:
    """A part of a query, which results should resemble or, with minus, should not: an appid, words, or a picture's
    embedding as text."""

    kind: Kind
    value: str
    is_minus: bool = False

    @property
    def parameter(self) -> str:
        return f"not_{self.kind}" if self.is_minus else self.kind

    @property
    def turned(self) -> "Part":
        return replace(self, is_minus=not self.is_minus)


@dataclass(frozen=True)
class SimilarGames:
    """The results of a query. `labels` describe the picture, if there is one. `picture` is its embedding, to be used in
    further queries, "" if there is none. `stands_out_percent` is the part of the catalogue's banners that have a nearer
    nearest neighbour than the one picture or game that was asked for, null if it is not known. `is_clear` is false
    where the words mean no more to the encoder than random letters. `is_first_frame` says that the picture is an
    animation, of which no more was looked at."""

    picture: str
    stands_out_percent: int | None
    is_clear: bool
    labels: tuple[Label, ...]
    results: tuple[Result, ...]
    is_first_frame: bool = False


Kept = Sequence[tuple[str, str]]


def url_of(parts: Sequence[Part], kept: Kept = (), path: str = "/mix", n: int | None = None) -> str:
    return f"{path}?{urlencode([*parameters_of(parts, kept), *([('n', str(n))] if n else [])])}"


def parameters_of(parts: Sequence[Part], kept: Kept = ()) -> tuple[tuple[str, str], ...]:
    """Names and values for an address, in the order of `SimilarQuery`; `kept` are its view and filters."""
    order = SimilarQuery.__struct_fields__
    ordered = sorted(parts, key=lambda part: order.index(part.parameter))
    return (*((part.parameter, part.value) for part in ordered), *kept)


def check(parts: Sequence[Part], kept: Kept = ()) -> None:
    """Raise `BadInput` for parts that cannot be combined, or that make an address too long together with the view and
    filters of `kept`."""
    if len(parts) > MAX_PARTS:
        raise BadInput(f"At most {MAX_PARTS} things can be combined, not {len(parts)}.")
    if len(set(parts)) < len(parts):
        raise BadInput("The same thing is asked for twice.")
    if len(url_of(parts, kept)) > MAX_ADDRESS:
        raise BadInput("This mix and its filters are too long for an address. Use shorter words, or fewer.")
    for part in parts:
        if part.kind == "text" and not 0 < len(part.value) <= MAX_TEXT:
            raise BadInput(f"A description has 1 to {MAX_TEXT} characters.")


def similar(
    served: ServedCatalogue,
    parts: Sequence[Part],
    count: int,
    view: View = "plain",
    given: FilterQuery = _NO_FILTERS,
) -> SimilarGames:
    """The `count` games that are nearest to all of `parts` in `view`, plain or artwork, and pass the filters, best
    first, never one of the games among them. The series that may be left out are those of games that results should
    resemble.

    Raises `UnknownGame`, `BadInput`, `CannotAnswer`, `NotInCatalogue` if there is no such view.
    """
    hides_series = isinstance(given, SeriesFilterQuery) and given.hide_series
    wanted = 3 * count + 50 if hides_series else count  # few series have more games
    rows, cosines, vector = nearest(served, parts, wanted, view, mask(served, given))
    if hides_series:
        row_of = served.catalogue.row_of
        games = [row_of(int(part.value)) for part in parts if part.kind == "game" and not part.is_minus]
        others = list(without_series(served, rows, games))[:count]
        cosines = None if cosines is None else [cosines[rows.index(row)] for row in others]
        rows = others
    results = served.results(rows, cosines, view)
    picture = next((part.value for part in parts if part.kind == "picture"), "")
    shown = _labels_of(served, _vector(served, Part("picture", picture))) if picture else ()
    stands_out = _stands_out(served, results, view) if is_comparable(parts) else None
    is_clear = view != "plain" or len(parts) > 1 or _is_clear(served, parts, results, vector)
    return SimilarGames(picture, stands_out, is_clear, shown, results)


def _is_clear(served: ServedCatalogue, parts: Sequence[Part], results: Sequence[Result], vector: Vector) -> bool:
    """Whether the best banner for some words stands out more than for random ones."""
    margin = served.catalogue.manifest.noise_margin
    best = results[0].similarity if results else None
    if margin is None or best is None or parts[0].kind != "text":
        return True
    return best - float(served.catalogue.mean @ vector) > margin


def is_comparable(parts: Sequence[Part]) -> bool:
    """Whether the similarities of the results are on the scale of those between banners. Those of words are not."""
    return not any(part.kind == "text" for part in parts)


def _stands_out(served: ServedCatalogue, results: Sequence[Result], view: View) -> int | None:
    known = served.catalogue.view(view).similarities
    if known is None or not known.size or not results or results[0].similarity is None:
        return None
    return int(100 * np.count_nonzero(known[:, 0] > results[0].similarity) / len(known))


def _labels_of(served: ServedCatalogue, vector: Vector) -> tuple[Label, ...]:
    """The labels of a picture, the likeliest first; empty if the catalogue has no labels."""
    opened = served.catalogue
    if opened.term_embeddings is None:
        return ()
    likely = labels.probabilities(vector[None], opened.term_embeddings, opened.manifest.text_scale)
    shown = (found[0].tolist() for found in labels.likeliest(likely, opened.games.base_rates))
    terms = opened.games.terms
    return tuple(Label(terms[term].name, terms[term].kind, round(p, 6)) for term, p in zip(*shown, strict=True) if p)


def nearest(
    served: ServedCatalogue, parts: Sequence[Part], count: int, view: View = "plain", passes: Mask | None = None
) -> tuple[list[int], list[float] | None, Vector]:
    """The rows nearest to all of `parts` together, best first; their cosines, None if more than one thing is asked for;
    and the vector that they are nearest to.

    Cosines of words to banners are lower and lie closer together than those of banners to banners. So each part counts
    in units of its own standard deviation over the catalogue; since that is linear, one vector stands for all of them.
    """
    check(parts)
    encoder, opened = served.query_encoder, served.catalogue
    matrix, artwork = opened.quantised, opened.artwork if view == "artwork" else None
    if matrix is None:
        raise CannotAnswer("Image search is not available for this catalogue.")
    opened.view(view)
    if not encoder.has_text and any(part.kind == "text" for part in parts):
        raise CannotAnswer("Search by words is not available for this catalogue.")
    charge(sum(_COST[part.kind] for part in parts))
    vectors = [_vector(served, part) for part in parts]
    asked = np.array([opened.row_of(int(part.value)) for part in parts if part.kind == "game"], np.intp)
    if passes is not None:
        asked = np.concatenate([asked, np.flatnonzero(~passes)])
    lengths = None if artwork is None else opened.artwork_lengths
    if artwork is not None:
        means = [opened.text_mean if part.kind == "text" else artwork.mean for part in parts]
        vectors = [artwork.query(vector, mean) for vector, mean in zip(vectors, means, strict=True)]
    rough = [matrix @ vector for vector in vectors]
    if artwork is not None and lengths is not None:
        for scores, vector in zip(rough, vectors, strict=True):
            scores -= artwork.mean @ vector
            scores /= lengths
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
    offset = 0.0 if artwork is None else float(artwork.mean @ vector)
    rows, cosines = nearest_to(vector, opened.embeddings, scores, count, asked, offset, lengths)
    return rows.tolist(), cosines.tolist() if is_single else None, vector


def _vector(served: ServedCatalogue, part: Part) -> Vector:
    """float32 (d,), L2-normalised. Raises `UnknownGame`, `BadInput`, `CannotAnswer`."""
    if part.kind == "game":
        return np.array(served.catalogue.embeddings[served.catalogue.row_of(int(part.value))])
    if part.kind == "picture":
        return vector_of(part.value, served.query_encoder.fingerprint, served.query_encoder.dim)
    return served.query_encoder.words(part.value)


def picture_of(vector: Vector, fingerprint: str) -> str:
    """An embedding as a part of an address, after the fingerprint of its encoder."""
    codes = np.rint(vector * (127 / np.abs(vector).max())).astype(np.int8)
    return fingerprint + base64.urlsafe_b64encode(codes.tobytes()).rstrip(b"=").decode("ascii")


def vector_of(picture: str, fingerprint: str, dim: int) -> Vector:
    """The embedding that `picture_of` wrote: float32 (dim,), L2-normalised. Raises `BadInput`, where it is another
    encoder's too."""
    encoded = picture[len(fingerprint) :]
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    codes = np.frombuffer(data, np.int8).astype(np.float32)
    if not picture.startswith(fingerprint) and codes.any():
        raise BadInput("This link was made with another encoder. Choose the picture again.")
    if len(codes) != dim or not codes.any():
        raise BadInput("This address holds no picture of this catalogue; choose the picture again.")
    return np.asarray(codes / np.linalg.norm(codes), np.float32)


def embed_upload(served: ServedCatalogue) -> tuple[Part, bool]:
    """The part of a query that this request's picture is, and whether it is the first frame of an animation.

    Raises `UnusableImage`, `CannotAnswer`, and errors of HTTP for too large a file or too many of them.
    """
    encoder = served.query_encoder
    side = 2 * max(encoder.preprocessing.height, encoder.preprocessing.width)
    with receiving():
        data = uploaded("picture", MAX_BYTES)
        charge(_COST_OF_UPLOAD)
        picture = picture_of(encoder.picture(decode_upload(data, side)), encoder.fingerprint)
        return Part("picture", picture), is_animated(data)


def meant(served: ServedCatalogue, text: str, is_minus: bool) -> Part | None:
    """The meaning of `text` that is added to a query: the game of this name, number or address, else words. If the
    catalogue knows no words, the only game with these words in its name; None if there are several or none, or if the
    game of an address is not in the catalogue."""
    games, appids = served.catalogue.games, served.catalogue.appids
    found = games.search(text, 1)
    rows = games.titled(text) or [row for row in found.rows if int(appids[row]) == appid_of(text)]
    if not rows and named_by_address(text) is None and served.query_encoder.has_text:
        return Part("text", text, is_minus)
    if not rows and found.total == 1 and not found.approximate:
        rows = found.rows
    return Part("game", str(appids[rows[0]]), is_minus) if rows else None
