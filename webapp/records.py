"""The records that pages print and that the JSON API encodes: the same objects for both."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import request

from webapp.local_images import WIDTHS
from webapp.params import address, parameters_but


@dataclass(frozen=True, slots=True)
class GameSummary:
    """A game. `url` is where its cover links to; `image` is null if there is none, `year` if it is not known.
    `thumbnail` is the image in the size of a card, or the image itself if there is none so small. `image_2x` is the
    image in twice its size, null if there is none."""

    appid: int
    name: str
    year: int | None
    image: str | None
    thumbnail: str | None
    image_2x: str | None
    url: str
    is_adult: bool

    @property
    def hue(self) -> int:
        """One of 6 hues, for a cover that is missing: as static/missing-covers.js has it."""
        return sum(map(ord, self.name)) % 6

    @property
    def srcset(self) -> str:
        """The image's sizes for HTML's `srcset`; "" if there is only one."""
        if self.image is None or self.thumbnail is None:
            return ""
        if self.thumbnail != self.image:
            return ", ".join(f"{self.thumbnail.replace(f'/{WIDTHS[0]}/', f'/{width}/')} {width}w" for width in WIDTHS)
        return f"{self.image} 300w, {self.image_2x} 600w" if self.image_2x else ""


@dataclass(frozen=True, slots=True)
class Result:
    """A game that resembles the query. `similarity` is the cosine of the embeddings, null if it is not known or has
    no fixed scale. `strength`, its likeness, is the same between 0, a random pair, and 1, identical; null also for
    words. One in `rarity` random pairs of covers is as similar, null if many are or if it is not known. A result is
    weak if nine games in ten have a more similar cover. `stacked` are further results with the same cover, or other
    editions of the same game, if they were asked for as one."""

    rank: int
    game: GameSummary
    similarity: float | None
    strength: float | None = None
    rarity: int | None = None
    is_weak: bool = False
    is_identical: bool = False
    stacked: tuple["Result", ...] = ()

    @property
    def percent(self) -> int:
        """The likeness as pages show it, 0 if it is not known."""
        return round(100 * (self.strength or 0))

    @property
    def pairs(self) -> str:
        """Of how many pairs of covers one is as similar, in words; "" if that is nothing to speak of."""
        if self.is_identical or (self.rarity or 0) < 1000:
            return ""
        return "a thousand" if self.rarity == 1000 else "ten thousand"


def closest(results: Sequence[Result]) -> Result | None:
    """The most similar of some results, which may be in another order."""
    return max(results, key=lambda result: result.similarity or -1.0, default=None)


@dataclass(frozen=True)
class Label:
    """A term that describes covers. `probability` is among all terms of the vocabulary, null if the label is not about
    one cover."""

    name: str
    kind: str
    probability: float | None = None

    @property
    def url(self) -> str:
        return address("/label", [("name", self.name)])

    @property
    def percent(self) -> str:
        probability = self.probability or 0
        return "<1" if probability < 0.005 else f"{100 * probability:.0f}"


@dataclass(frozen=True)
class Paging:
    """The place of a page in a list. `previous` and `next` are addresses, null at the ends."""

    page: int
    pages: int
    total: int
    previous: str | None
    next: str | None

    @property
    def is_beyond(self) -> bool:
        """Whether this page lies behind the last one."""
        return self.page > self.pages


def paging(page: int, total: int, per_page: int) -> Paging:
    """The paging of this request's list of `total` items. The addresses keep all its parameters."""
    pages = max(1, -(-total // per_page))

    def url(number: int) -> str:
        return address(request.path, (*parameters_but("page"), ("page", number)))

    previous = url(min(page - 1, pages)) if page > 1 else None
    return Paging(page, pages, total, previous, url(page + 1) if page < pages else None)
