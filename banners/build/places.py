"""Name regions of the map after what is over-represented in them."""

import colorsys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from banners.arrays import Indices, Matrix
from banners.catalogue.places import Region, RegionKind
from banners.games_csv import Game
from banners.vectors.labels import Labels
from banners.vectors.layout import Grid

_LARGEST, _SMALLEST = 3, 3  # a region is a third of the map's height, or three cells high
_WIDE = 1.5  # times as wide as high, as a picture
_SHARE = 0.3  # of the games of a region that have what it is named for, at least
_LIFT = 2.0  # how many times more frequent it is than on the whole map
_LEAST = 3  # games
_LIKELY = 0.1  # probability of a label
_REPEATED = 2  # regions of one size with the same name, at most
_COMMON = 400  # names of each kind

Name = tuple[RegionKind, str]
Names = Mapping[Name, Indices]  # the cells of the games that have it

_COLUMNS: dict[RegionKind, str] = {"tag": "tags", "developer": "developer", "franchise": "franchise"}
_HUES = ((0.04, "Red"), (0.1, "Orange"), (0.19, "Yellow"), (0.44, "Green"), (0.53, "Turquoise"), (0.7, "Blue"),
         (0.8, "Violet"), (0.94, "Pink"), (1.01, "Red"))  # fmt: skip


def name_regions(
    games: Sequence[Game],
    labels: Labels | None,
    cells: Indices,
    grid: Grid,
    aspect: float,
    colours: npt.NDArray[np.uint8],
) -> list[Region]:
    """The regions of all sizes that have a name, the largest first, and of one size the most telling first. `aspect` is
    a cell's width by its height, `colours` uint8 (rows, columns, 3). Where no label, tag, developer or franchise tells
    a region apart, a colour may."""
    named, coloured = _named(games, labels, cells), _coloured(cells, colours, grid)
    taken = np.zeros(len(grid), np.float32)
    taken[cells] = 1
    games_in = _sums(taken, grid)
    regions: list[Region] = []
    height = max(_SMALLEST, round(grid.rows / _LARGEST))
    while True:
        width = min(grid.columns, max(_SMALLEST, round(height * _WIDE / aspect)))
        regions += _regions(named, coloured, games_in, grid, (width, min(height, grid.rows)))
        if height <= _SMALLEST:
            return regions
        height = max(_SMALLEST, height // 2)


def _named(games: Sequence[Game], labels: Labels | None, cells: Indices) -> Names:
    """The cells of the games that have a label, tag, developer or franchise."""
    rows: dict[Name, list[int]] = defaultdict(list)
    for row, game in enumerate(games):
        for kind, column in _COLUMNS.items():
            for value in game.listed(column):
                rows[kind, value].append(row)
    if labels is not None:
        for row, (terms, likely) in enumerate(zip(labels.terms.tolist(), labels.probabilities.tolist(), strict=True)):
            for term, probability in zip(terms, likely, strict=True):
                if probability >= _LIKELY:
                    rows["label", labels.vocabulary[term].name].append(row)
    frequent: dict[RegionKind, int] = defaultdict(int)
    named = {}
    for key, having in sorted(rows.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        frequent[key[0]] += 1
        if len(having) >= _LEAST and frequent[key[0]] <= _COMMON:
            named[key] = cells[having]
    return named


def _coloured(cells: Indices, colours: npt.NDArray[np.uint8], grid: Grid) -> Names:
    words = np.array([_colour_word(*colour) for colour in colours.reshape(len(grid), 3)[cells].tolist()])
    return {("colour", str(word)): cells[words == word] for word in np.unique(words)}


def _colour_word(red: int, green: int, blue: int) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.2:
        return "Black"
    if saturation < 0.2:
        return "White" if value > 0.75 else "Grey"
    word = next(word for end, word in _HUES if hue < end)
    return f"Dark {word.lower()}" if value < 0.4 else word


def _sums(values: Matrix, grid: Grid) -> Matrix:
    """Sums over all rectangles that begin at the top left: float32 (rows + 1, columns + 1)."""
    sums = np.zeros((grid.rows + 1, grid.columns + 1), np.float32)
    sums[1:, 1:] = values.reshape(grid.rows, grid.columns).cumsum(axis=0).cumsum(axis=1)
    return sums


def _regions(
    named: Names,
    coloured: Names,
    games_in: Matrix,
    grid: Grid,
    size: tuple[int, int],
) -> list[Region]:
    """Regions of one size, none over another: first by names, then by colours where there is room."""
    width, height = size
    xs = np.unique(np.append(np.arange(0, grid.columns - width, max(1, width // 3)), grid.columns - width))
    ys = np.unique(np.append(np.arange(0, grid.rows - height, max(1, height // 3)), grid.rows - height))

    def within(sums: Matrix) -> Matrix:
        right, bottom = xs + width, ys + height
        return np.asarray(
            sums[np.ix_(bottom, right)] - sums[np.ix_(ys, right)] - sums[np.ix_(bottom, xs)] + sums[np.ix_(ys, xs)]
        )

    games = within(games_in)  # (windows down, windows across)
    total = float(games_in[-1, -1])
    chosen: list[Region] = []
    is_free = np.ones((grid.rows, grid.columns), np.bool_)
    for names in (named, coloured):
        found = list(_candidates(names, games, total, within, grid))
        for _, y, x, share, (kind, name) in sorted(found, key=lambda one: (-one[0], one[1], one[2], one[4])):
            room = is_free[ys[y] : ys[y] + height, xs[x] : xs[x] + width]
            if room.all() and sum(region.name == name for region in chosen) < _REPEATED:
                room[:] = False
                chosen.append(Region(name, kind, int(xs[x]), int(ys[y]), width, height, round(share, 3)))
    return chosen


def _candidates(
    names: Names,
    games: Matrix,
    total: float,
    within: Callable[[Matrix], Matrix],
    grid: Grid,
) -> Iterator[tuple[float, int, int, float, Name]]:
    """Yield the evidence, the window, the share and the name for each name that fits a window. The evidence, in nats,
    is the log-likelihood ratio of the name's share in the window to its share on the whole map."""
    for key, having in names.items():
        count = within(_sums(np.bincount(having, minlength=len(grid)).astype(np.float32), grid))
        share, usual = count / np.maximum(games, 1), len(having) / total
        fits = (count >= _LEAST) & (share >= _SHARE) & (share >= _LIFT * usual)
        for y, x in np.argwhere(fits).tolist():
            here, others = float(share[y, x]), 1 - float(share[y, x])
            nats = here * np.log(here / usual) + (others * np.log(others / (1 - usual)) if others > 0 else 0.0)
            yield float(games[y, x] * nats), y, x, here, key
