"""The verdict on a picture as a game's cover: whether it stands out, or what it is taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from banners.arrays import Mask
from banners.vectors import regions
from banners.views import View
from webapp.queries.filters import FilterQuery, mask
from webapp.queries.parts import QueryPart
from webapp.queries.similar import SimilarGames, closest_to, stands_out
from webapp.queries.uploads import Upload
from webapp.records import GameSummary, Result
from webapp.site import Site

Kind = Literal[
    "same", "taken_for", "one_of_many", "own_look", "stands_out", "nothing_like_it", "wrong_shape", "no_detail"
]

_OFF_SHAPE = 0.03  # of the catalogue's shape
_NEAR = 0.35  # of the evidence of the same art: one in a hundred covers with a large foreign title has less
_SAME_SHARE = 0.8  # of all that a plain cover's cells tell
_SAME_STRENGTH = 0.97  # of a catalogue without local features
_TAKEN, _MANY, _OWN = 10, 34, 66  # percent of covers that are less distinctive
_NAMED = 4  # games with the same art
_DETAIL = 0.03  # the least contrast, see `_contrast`
_PLACES = (24, 36)

# Width and height of what Steam calls the other pictures of a game.
_STEAM_NAMES = {
    **dict.fromkeys(((920, 430), (460, 215), (292, 136)), "header"),
    **dict.fromkeys(((462, 174), (231, 87), (184, 69), (120, 45)), "small capsule"),
    **dict.fromkeys(((1232, 706), (616, 353)), "main capsule"),
    **dict.fromkeys(((748, 896), (374, 448)), "vertical capsule"),
    **dict.fromkeys(((600, 900), (300, 450)), "library capsule"),
    **dict.fromkeys(((3840, 1240), (1920, 620)), "library hero"),
}


@dataclass(frozen=True)
class Verdict:
    """`sentence` is the heading, `detail` what it rests on. `game` is the one that the picture is or is taken for, null
    for other kinds. `stands_out` is the share of covers, in percent, that are less distinctive, by view, empty where
    there is no verdict; `games` is their number. `competitors` and `among_them` are the same for the games that pass
    the filters, null without filters."""

    kind: Kind
    sentence: str
    detail: str
    game: GameSummary | None
    stands_out: Mapping[View, int]
    games: int
    competitors: int | None = None
    among_them: int | None = None


@dataclass(frozen=True)
class Look:
    """What only the pixels of a picture tell. `size`: width and height if its shape is not that of covers, else None.
    `has_detail`; `same` and `near`: rows of games with the same art, and of those with some of it, most evidence
    first."""

    size: tuple[int, int] | None = None
    has_detail: bool = True
    same: Sequence[int] = ()
    near: Sequence[int] = ()


def other_shape(site: Site, upload: Upload) -> tuple[int, int] | None:
    """Width and height of a picture whose shape is not that of covers; None if it is."""
    width, height = upload.size
    shape = site.image_size[0] / site.image_size[1]
    return upload.size if abs(width / height / shape - 1) > _OFF_SHAPE else None


def look_at(site: Site, image: Image.Image, without: Sequence[int] = ()) -> Look:
    """What the pixels of an RGB image tell. The rows `without` are left out."""
    has_contrast, features = _contrast(image) >= _DETAIL, site.catalogue.local_features
    if features is None or site.part_encoder is None or not has_contrast:
        return Look(has_detail=has_contrast)
    cells = site.part_encoder.grid(image).reshape(regions.CELLS, -1)
    if not regions.has_detail(cells):
        return Look(has_detail=False)
    told = features.codes.evidence(cells)
    nats = told.nats.copy()
    nats[list(without)] = 0
    least = regions.same_art_evidence(len(site))
    rows = np.argsort(-nats, kind="stable")[:_NAMED].tolist()
    is_same = [nats[row] >= least or nats[row] >= max(_SAME_SHARE * told.most, _NEAR * least) for row in rows]
    same = [row for row, is_one in zip(rows, is_same, strict=True) if is_one]
    return Look(same=same, near=[row for row in rows if row not in same and nats[row] >= _NEAR * least])


def verdict(
    site: Site,
    picture: QueryPart,
    answer: SimilarGames,
    view: View,
    filters: FilterQuery,
    look: Look,
    without: Sequence[int] = (),
) -> Verdict:
    """`answer` are the look-alikes of the picture that pass the filters, in `view`."""
    games = len(site) - len(set(without))
    if look.size or not look.has_detail:
        kind: Kind = "wrong_shape" if look.size else "no_detail"
        return Verdict(kind, *(_shape(site, look.size) if look.size else _NO_DETAIL), None, {}, games)
    counted = np.ones(len(site), np.bool_)
    counted[list(without)] = False
    passes = mask(site, filters) & counted
    views: list[View] = [one for one in ("plain", "artwork") if one in site.catalogue.indexes]
    closest = {one: closest_to(site, picture, one, counted) for one in views}
    percents = {one: stands_out(site, one, similarity) for one, (_, similarity) in closest.items()}
    known = {one: percent for one, percent in percents.items() if percent is not None}
    competitors = int(np.count_nonzero(passes)) if np.count_nonzero(passes) < games else None
    percent = known.get(view) if competitors is None else answer.stands_out_percent
    row, similarity = closest[view] if competitors is None else closest_to(site, picture, view, passes)
    first = None if row is None else site.results([(row, similarity)], view)[0]
    kind, game = _kind(site, first, look, passes, view, percent)
    sentence, detail = _words(kind, game, percent, first, games if competitors is None else None)
    return Verdict(kind, sentence, detail, game, known, games, competitors, None if competitors is None else percent)


def _kind(
    site: Site, first: Result | None, look: Look, passes: Mask, view: View, percent: int | None
) -> tuple[Kind, GameSummary | None]:
    """`first` is the closest of the games that pass."""
    same, near = (site.games([row for row in rows if passes[row]]) for rows in (look.same, look.near))
    if same:  # of several, as pictures that are sold twice, that which looks most like it
        return "same", first.game if first and first.game in same else same[0]
    if near:
        return "taken_for", near[0]
    if first is None or first.similarity is None or percent is None:
        return "nothing_like_it", None
    if site.catalogue.local_features is None and (first.strength or 0) >= _SAME_STRENGTH:
        return "same", first.game
    if first.rarity is None:
        return "nothing_like_it", None
    if percent < _TAKEN:
        return "taken_for", first.game
    return ("one_of_many" if percent < _MANY else "own_look" if percent < _OWN else "stands_out"), None


_NO_DETAIL = (
    "There is next to nothing on it",
    "It is nearly the same everywhere, so nothing can be said of it as a cover.",
)


def _shape(site: Site, size: tuple[int, int]) -> tuple[str, str]:
    width, height = size
    name = _STEAM_NAMES.get(size)
    form = "upright" if site.image_size[0] < site.image_size[1] else "wide"
    what = f"is Steam’s {name}" if name else "has another shape than covers"
    own = "{}x{}".format(*site.image_size)
    return f"{width}x{height} {what}", f"Covers here are {form}, {own}: cut it to that shape for a verdict."


def _words(
    kind: Kind, game: GameSummary | None, percent: int | None, first: Result | None, among: int | None
) -> tuple[str, str]:
    """The heading, and what it rests on. `first` is the closest game. `among`: all covers, None for those that pass
    filters."""
    if first is None:
        return "Nothing to compare it with", "No cover here passes the filters."
    covers = f"{among:,} covers" if among is not None else "the covers that pass the filters"
    more = f"{100 - (percent or 0)} of 100 covers here are more distinctive."
    rare = f"Only one pair of covers in {first.pairs} is as close. " if first and first.pairs else ""
    if kind == "same" and game:
        return f"This is the cover of {game.name}", "The pictures coincide, whatever is written on them."
    if kind == "taken_for" and game:
        coincides = "Much of the two covers is the same, in the same places."
        return f"Easily taken for {game.name}", f"{rare}{more}" if (percent or 0) < _TAKEN else coincides
    if kind == "one_of_many":
        return "It looks like many others", f"{rare}{more}"
    if kind == "own_look":
        return "Its own look, with relatives", f"More distinctive than {percent} % of {covers}."
    if kind == "stands_out":
        return "It stands out", f"More distinctive than {percent} % of {covers}."
    return (
        "It stands out: nothing here looks like it",
        f"More distinctive than {percent} % of {covers}. Check that it reads as a game’s cover at small size.",
    )


def _contrast(image: Image.Image) -> float:
    """How far the places of a picture differ from those around them, 0 to 1: the standard deviation of 24 x 36 places
    from the mean of 5 x 5. 741 covers have at least 0.044, noise and gradients at most 0.023."""
    places = np.asarray(image.resize(_PLACES, Image.Resampling.BOX), np.float32) / 255  # (36, 24, 3)
    padded = np.pad(places, ((2, 2), (2, 2), (0, 0)), "edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1)).mean(axis=(3, 4))
    return float(np.sqrt(((places - around) ** 2).mean()))
