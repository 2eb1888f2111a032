"""Local features: what stands where on a banner, for why two banners match, search by a part, and art used twice.

A banner is a grid of 70 cells. The feature of a cell is what a middle layer of a network has there, PCA-whitened over
the catalogue and L2-normalised, so that a product is a cosine. The last layer would know more of the whole and less of
the place. Whitening weighs down
what all covers have in common (H. Jégou and O. Chum, Negative Evidences and Co-occurrences in Image Retrieval, 2012).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Mask, Matrix, Vector
from banners.errors import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

CELLS = 70
CELL = 32  # pixels of a cell's side
SIDES = (10, 7)  # cells of the longer and the shorter side
CHANNELS = 80  # of the network's layer
DIMENSIONS = 32  # of a cell's feature
COINCIDES = 0.7  # the least cosine of two cells that show the same
SAME_ART = 0.5  # of the most evidence that a catalogue of this size allows; see `same_art_evidence`
WORDS = 4096  # of a vocabulary
PAIRED_AT_MOST = 200_000  # banners, which take 40 minutes of two cores; the time grows with the square

_SCALE = 127  # of a code
_BLOCK = 128  # banners at a time: as many as stay in a core's cache
_PART = 16  # cells of a part that count, evenly spread: more cost time and find no more
_ROWS = 128  # of all pairs at a time: as many as stay in a core's cache
_SAMPLE = 4_000  # cells that stand for all of a catalogue
_CELLS_OF_A_WORD = 40  # that it is the centre of, in the sample that a vocabulary is made of
_CENTRAL = 0.6  # how much less a square in a corner counts
_LEAST_DETAIL = 0.12  # how far the cells of a picture differ; 741 covers have 0.33 to 0.9, noise and gradients less

Codes = npt.NDArray[np.int8]
Box = tuple[float, float, float, float]  # x, y, width, height: fractions of the banner


@dataclass(frozen=True)
class Basis:
    """Layer outputs x, float32 (..., 80), become (x - `mean`) @ `projection`, L2-normalised: float32 (..., 32)."""

    mean: Vector
    projection: Matrix

    @classmethod
    def fit(cls, outputs: Matrix) -> "Basis":
        """The basis of a catalogue by the outputs of some of its cells: float32 (m, 80)."""
        mean = outputs.mean(axis=0, dtype=np.float64)
        centred = outputs - mean
        variances, directions = np.linalg.eigh(centred.T @ centred / len(outputs))
        leading, scales = directions[:, ::-1][:, :DIMENSIONS], variances[::-1][:DIMENSIONS]
        floor = max(1e-3 * float(variances.mean()), 1e-9)  # of a catalogue with few different banners
        return cls(mean.astype(np.float32), (leading * (scales + floor) ** -0.5).astype(np.float32))

    def cells(self, outputs: Matrix) -> Matrix:
        mapped = (outputs - self.mean) @ self.projection
        return np.asarray(mapped / np.maximum(np.linalg.norm(mapped, axis=-1, keepdims=True), 1e-9), np.float32)


def to_codes(cells: Matrix) -> Codes:
    """Cells in 8 bits, of the same shape; `to_cells` is the way back."""
    return np.rint(cells * _SCALE).astype(np.int8)


def to_cells(codes: Codes) -> Matrix:
    return codes.astype(np.float32) / np.float32(_SCALE)


class StoredCodes(Protocol):
    """The codes of all banners, in a file (`CodesInFile`) or in a database."""

    def read(self, rows: Sequence[int] | Indices) -> Codes:
        """The codes of some banners: int8 (m, 70, 32)."""
        ...

    def sample(self, count: int) -> Codes:
        """Some cells of all banners, evenly spread: int8 (m, 32), m at most `count`."""
        ...

    def shortlist(self, parts: Sequence["Part"], passes: Mask, count: int) -> Indices:
        """The rows, at least `count` if so many pass, that may have a part best by its best scale."""
        ...

    def evidence(self, cells: Matrix) -> "Evidence":
        """The evidence for each banner that it has the art of a picture, whose cells are float32 (70, 32)."""
        ...


@dataclass(frozen=True)
class LocalFeatures:
    """The local features of a catalogue. The grid of `codes` is `rows` x `columns`, row by row. `basis` makes cells of
    a network's output."""

    codes: StoredCodes
    rows: int
    columns: int
    basis: Basis

    @classmethod
    def of(cls, codes: StoredCodes, is_wide: bool, basis: Basis) -> "LocalFeatures":
        return cls(codes, *sides(is_wide), basis)

    @cached_property
    def common(self) -> Matrix:
        """Cells of a sample of all banners, which tell how common a cell is: float32 (m, 32)."""
        return to_cells(self.codes.sample(_SAMPLE))

    def cells(self, row: int) -> Matrix:
        """The cells of a banner: float32 (70, 32)."""
        return to_cells(self.codes.read([row])[0])

    def square(self, y: int, x: int) -> Box:
        """The box of a square of four cells."""
        return (
            round(x / self.columns, 4),
            round(y / self.rows, 4),
            round(2 / self.columns, 4),
            round(2 / self.rows, 4),
        )

    def rarity(self, cells: Matrix) -> Vector:
        """For cells, float32 (m, 32), -ln of the share of the catalogue's cells that show the same: float32 (m,)."""
        share = (cells @ self.common.T >= COINCIDES).mean(axis=1)
        return np.asarray(-np.log(np.maximum(share, 1 / (2 * len(self.common)))), np.float32)


def sides(is_wide: bool) -> tuple[int, int]:
    """Rows and columns of the grid."""
    return (SIDES[1], SIDES[0]) if is_wide else SIDES


# -- why two banners match ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """What two banners share: a box on each, and the means over its cells of the cosine, and of the cosine times how
    rare the cells are in the catalogue: `nats`, by `LocalFeatures.rarity`."""

    a: Box
    b: Box
    cosine: float
    nats: float


def shared_regions(features: LocalFeatures, a: Matrix, b: Matrix, count: int) -> list[Region]:
    """Up to `count` regions that two banners share, the most telling first. `a` and `b` are their cells: float32 (70,
    32).

    A region is a square of four cells on either that correspond, one by one. They weigh as much as they are rare, for
    plain ground matches plain ground, and less at the edge, where an encoder sees less. Larger regions say less:
    covered with the mean colour, they change the similarity of two covers no more than as much elsewhere does.
    """
    rows, columns = features.rows, features.columns
    rare = np.minimum(features.rarity(a)[:, None], features.rarity(b)[None, :])
    cosines = _squares((a @ b.T).reshape(rows, columns, rows, columns))
    told = _squares((a @ b.T * rare).reshape(rows, columns, rows, columns))
    central = _central(rows - 1, columns - 1)
    scores = told * central[:, :, None, None] * central  # (rows - 1, columns - 1, rows - 1, columns - 1)
    regions: list[Region] = []
    while len(regions) < count and np.isfinite(scores).any():
        place = np.unravel_index(int(scores.argmax()), scores.shape)
        (y, x), (y_b, x_b) = place[:2], place[2:]
        cosine, nats = float(cosines[place]), float(told[place])
        regions.append(Region(features.square(int(y), int(x)), features.square(int(y_b), int(x_b)), cosine, nats))
        scores[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = -np.inf  # what overlaps it
        scores[:, :, max(y_b - 1, 0) : y_b + 2, max(x_b - 1, 0) : x_b + 2] = -np.inf
    return regions


def _squares(pairs: Matrix) -> Matrix:
    """The means over squares of four cells of what is known of pairs of cells: of float32 (r, c, r, c), float32 (r - 1,
    c - 1, r - 1, c - 1)."""
    corners = (pairs[:-1, :-1, :-1, :-1], pairs[:-1, 1:, :-1, 1:], pairs[1:, :-1, 1:, :-1], pairs[1:, 1:, 1:, 1:])
    return np.asarray(sum(corners) / 4, np.float32)


def _central(rows: int, columns: int) -> Matrix:
    """What a place of a grid counts: 1 in the middle, less in the corners: float32 (rows, columns)."""
    down, across = (np.abs(np.linspace(-1, 1, count)) for count in (rows, columns))
    return np.asarray(1 - _CENTRAL * (down[:, None] + across) / 2, np.float32)


# -- search by a part -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A part of a picture at one scale. `cells`: float32 (m, 32); `places`: float32 (m, 2), the centre of each, x and y
    as fractions of the banner, from the centre of the part. `scale` is how much larger than the part they are."""

    cells: Matrix
    places: Matrix
    scale: float


def part_of(grid: Matrix, box: Box, scale: float) -> Part:
    """The cells of `grid`, float32 (rows, columns, 32), whose centres are in `box`; at least the one that is nearest to
    its centre. The grid is of the picture at `scale` times its size."""
    x, y, width, height = box
    rows, columns = grid.shape[:2]
    xs, ys = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
    across, down = (_within(xs, x, width), _within(ys, y, height))
    places = np.stack(np.meshgrid(xs[across] - x - width / 2, ys[down] - y - height / 2), axis=-1).reshape(-1, 2)
    cells = grid[np.ix_(down, across)].reshape(-1, grid.shape[2])
    some = np.linspace(0, len(cells) - 1, min(_PART, len(cells))).round().astype(np.intp)
    return Part(cells[some], places[some].astype(np.float32), scale)


def _within(centres: Vector, start: float, length: float) -> Indices:
    inside = np.flatnonzero((centres >= start) & (centres <= start + length))
    return inside if len(inside) else np.array([np.abs(centres - start - length / 2).argmin()])


def part_scores(codes: Codes, parts: Sequence[Part]) -> Matrix:
    """How well each banner has a part: float32 (n, len(parts)), for each scale of the part the mean over its cells of
    the largest cosine to any cell of the banner: MaxSim (O. Khattab and M. Zaharia, ColBERT, 2020, section 3.3).
    `codes`: int8 (n, 70, 32)."""
    queries = np.concatenate([part.cells for part in parts]) / np.float32(_SCALE)  # (q, 32)
    ends = np.cumsum([len(part.cells) for part in parts])[:-1]
    scores = np.empty((len(codes), len(parts)), np.float32)
    floats = np.empty((_BLOCK, *codes.shape[1:]), np.float32)  # used again: new memory would take longer to get
    products = np.empty((_BLOCK, codes.shape[1], len(queries)), np.float32)
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        cells, cosines = floats[: len(block)], products[: len(block)]
        cells[:] = block
        np.matmul(cells.reshape(-1, codes.shape[2]), queries.T, out=cosines.reshape(-1, len(queries)))
        best = _largest(cosines)  # (block, q)
        for number, of_part in enumerate(np.split(best, ends, axis=1)):
            scores[start : start + len(block), number] = of_part.mean(axis=1)
    return scores


def _largest(cosines: Matrix) -> Matrix:
    """The maximum over the middle axis of float32 (m, cells, q), in place: a third of the time that `max` takes."""
    count = cosines.shape[1]
    while count > 1:
        rest = count - count // 2
        first, last = cosines[:, : count // 2], cosines[:, rest:count]
        np.maximum(first, last, out=first)
        count = rest
    return cosines[:, 0]


def ranked_by_part(codes: StoredCodes, parts: Sequence[Part], passes: Mask, count: int) -> tuple[Indices, Vector]:
    """The rows, of those that pass, that have a part best by its best scale, best first, at most `count`, and their
    scores; see `part_scores`."""
    rows = codes.shortlist(parts, passes, count)
    scores = part_scores(codes.read(rows), parts).max(axis=1)
    order = np.argsort(-scores, kind="stable")[:count]
    return rows[order], scores[order]


def find_part(features: LocalFeatures, row: int, parts: Sequence[Part], box: Box) -> Box:
    """Where a banner has a part that is `box` on its own picture: by the scale that fits best, around the median of the
    places that its cells were found at."""
    cells = features.cells(row)
    part = max(parts, key=lambda one: float((one.cells @ cells.T).max(axis=1).mean()))
    cosines = part.cells @ cells.T  # (m, 70)
    ys, xs = np.divmod(cosines.argmax(axis=1), features.columns)
    at = np.stack([(xs + 0.5) / features.columns, (ys + 0.5) / features.rows], axis=1) - part.scale * part.places
    x, y = np.median(at, axis=0)
    width, height = (min(1.0, part.scale * side) for side in box[2:])
    left, top = min(max(x - width / 2, 0.0), 1 - width), min(max(y - height / 2, 0.0), 1 - height)
    return round(float(left), 4), round(float(top), 4), round(width, 4), round(height, 4)


# -- the same art ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """That banners have the art of a picture: `nats`: float32 (n,), and `share`: float32 (n,), how much of the picture
    coincides. `most` is what the picture itself would have.

    p of a cell is the share of banners that coincide with it. The evidence of a banner is the sum of -ln p over the
    cells that coincide with its own: plain ground, which many have, is worth next to nothing.
    """

    nats: Vector
    share: Vector
    most: float

    @classmethod
    def of(cls, hits: Mask, p: Vector) -> "Evidence":
        """`hits`: bool (n, 70), see `coincide`. `p`: (70,), more than 0."""
        told = -np.log(p)
        nats, share = np.empty(len(hits), np.float32), np.empty(len(hits), np.float32)
        for start in range(0, len(hits), _BLOCK):
            hit = hits[start : start + _BLOCK]
            nats[start : start + _BLOCK], share[start : start + _BLOCK] = hit @ told, hit.mean(axis=1)
        return cls(nats, share, float(told.sum()))


def coincide(codes: Codes, cells: Matrix) -> Mask:
    """Which cells of a picture, float32 (70, 32), banners have at the same places: of int8 (n, 70, 32), bool (n,
    70)."""
    hits = np.empty((len(codes), len(cells)), np.bool_)
    scaled = cells / np.float32(_SCALE)
    floats = np.empty((_BLOCK, *codes.shape[1:]), np.float32)  # used again, as in `part_scores`
    for start in range(0, len(codes), _BLOCK):
        block = codes[start : start + _BLOCK]
        others = floats[: len(block)]
        others[:] = block
        hits[start : start + _BLOCK] = np.einsum("nij,ij->ni", others, scaled) >= COINCIDES
    return hits


@dataclass(frozen=True)
class CodesInFile:
    """`StoredCodes` in an array, int8 (n, 70, 32). Each search compares all of it."""

    codes: Codes

    def read(self, rows: Sequence[int] | Indices) -> Codes:
        return self.codes[rows]

    def sample(self, count: int) -> Codes:
        flat = self.codes.reshape(-1, DIMENSIONS)
        return flat[np.linspace(0, len(flat) - 1, min(count, len(flat))).astype(np.intp)]

    def shortlist(self, parts: Sequence[Part], passes: Mask, count: int) -> Indices:
        """Every other cell of the part chooses them."""
        scores = part_scores(self.codes, [replace(part, cells=part.cells[::2]) for part in parts]).max(axis=1)
        scores[~passes] = -np.inf
        return np.argsort(-scores, kind="stable")[: min(int(np.count_nonzero(passes)), count)]

    def evidence(self, cells: Matrix) -> Evidence:
        hits = coincide(self.codes, cells)
        return Evidence.of(hits, np.maximum(hits.sum(axis=0), 1) / len(hits))


# -- visual words ---------------------------------------------------------------------------------------------------


def visual_words(codes: StoredCodes) -> Matrix:
    """A vocabulary of cells: the centres of clusters of some of them, float32 (w, 32), L2-normalised (J. Sivic and A.
    Zisserman, Video Google, 2003). Raises `Unavailable` without faiss."""
    try:
        import faiss
    except ImportError as error:
        raise Unavailable.library(error) from None
    cells = to_cells(codes.sample(_CELLS_OF_A_WORD * WORDS))
    count = min(WORDS, max(1, len(cells) // _CELLS_OF_A_WORD))
    clusters = faiss.Kmeans(DIMENSIONS, count, niter=8, seed=0, spherical=True)
    clusters.train(cells)
    return np.asarray(clusters.centroids, np.float32)


def words_of(codes: Codes, vocabulary: Matrix) -> npt.NDArray[np.uint16]:
    """The nearest word of each cell: of int8 (n, 70, 32), uint16 (n, 70)."""
    import faiss

    cells = to_cells(codes.reshape(-1, DIMENSIONS))
    _, nearest = faiss.knn(cells, vocabulary, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(nearest.reshape(-1, CELLS), np.uint16)


def same_art_evidence(n: int) -> float:
    """The least evidence, in nats, that two of n banners have the same art: half of 70 cells that nobody else has.

    On 741 covers 148 pairs reach it. Looked at, the first 50 groups of them are one picture each; a few of the pairs
    that just reach it share a template around other art.
    """
    return SAME_ART * CELLS * float(np.log(max(n, 2)))


@dataclass(frozen=True)
class SameArt:
    """Pairs of rows with the same art, most evidence first: int32 (m, 2); their `nats` and the `share` of cells that
    coincide, float32 (m,) each."""

    pairs: npt.NDArray[np.int32]
    nats: Vector
    share: Vector

    @classmethod
    def none(cls) -> "SameArt":
        return cls(np.empty((0, 2), np.int32), np.empty(0, np.float32), np.empty(0, np.float32))

    def where(self, is_wanted: Sequence[bool]) -> "SameArt":
        """Some of the pairs."""
        places = np.flatnonzero(is_wanted)
        return SameArt(self.pairs[places], self.nats[places], self.share[places])


def same_art(codes: Codes, device: str = "cpu", on_progress: Callable[[int], None] = lambda _: None) -> SameArt:
    """Compare all pairs of banners by `evidence`, that of the less telling one. `codes`: int8 (n, 70, 32).

    `on_progress` is called with numbers of finished rows.
    """
    import torch

    n, least = len(codes), same_art_evidence(len(codes))
    cells = torch.from_numpy(np.ascontiguousarray(codes.transpose(1, 0, 2))).to(device).float() / _SCALE  # (70, n, 32)
    every = torch.ones(n, device=device)
    found: dict[tuple[int, int], tuple[float, float]] = {}  # both directions of a pair
    for start in range(0, n, _ROWS):
        nats, share = _evidence_of_rows(cells, start, every)
        rows, others = (nats >= least).nonzero(as_tuple=True)
        values = torch.stack([nats[rows, others], share[rows, others]], dim=1).tolist()
        for row, other, (more, part) in zip((rows + start).tolist(), others.tolist(), values, strict=True):
            if row != other:
                found[row, other] = more, part
        on_progress(min(_ROWS, n - start))
    both = [
        (min(one[0], found[other, row][0]), min(one[1], found[other, row][1]), row, other)
        for (row, other), one in found.items()
        if row < other and (other, row) in found
    ]
    both.sort(key=lambda one: (-one[0], one[2:]))
    table = np.array(both, np.float64).reshape(-1, 4)
    return SameArt(table[:, 2:].astype(np.int32), table[:, 0].astype(np.float32), table[:, 1].astype(np.float32))


def _evidence_of_rows(cells: "Tensor", start: int, every: "Tensor") -> "tuple[Tensor, Tensor]":
    """The evidence and the share of some rows with all: float32 (rows, n) each."""
    import torch

    rows = cells[:, start : start + _ROWS]  # (70, rows, 32)
    nats = torch.zeros(rows.shape[1], cells.shape[1], device=cells.device)
    share = torch.zeros_like(nats)
    cosines = torch.empty_like(nats)
    for here, there in zip(rows, cells, strict=True):
        torch.mm(here, there.T, out=cosines)
        hits = cosines.ge_(COINCIDES)  # 0 or 1, in place: the quickest of many ways
        nats.addcmul_(hits, -torch.log((hits @ every).clamp(min=1) / len(every))[:, None])
        share.add_(hits, alpha=1 / len(cells))
    return nats, share


# -- detail ---------------------------------------------------------------------------------------------------------


def has_detail(cells: Matrix) -> bool:
    """Whether the cells of a picture, float32 (70, 32), show different things: noise, a pattern or a gradient is the
    same everywhere."""
    return float(1 - (cells.mean(axis=0) ** 2).sum()) >= _LEAST_DETAIL
