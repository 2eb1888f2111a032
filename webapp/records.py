"""The records that pages print and that the JSON API encodes: the same objects for both."""

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import request

from webapp.local_images import WIDTHS
from webapp.params import parameters_but


@dataclass(frozen=True, slots=True)
class Game:
    """A game. `url` is where its banner links to; `image` is null if there is none, `year` if it is not known.
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
    def srcset(self) -> str:
        """The sizes in which there is the image, as HTML wants them; "" if there is only one."""
        if self.image is None or self.thumbnail is None:
            return ""
        if self.thumbnail != self.image:
            return ", ".join(f"{self.thumbnail.replace(f'/{WIDTHS[0]}/', f'/{width}/')} {width}w" for width in WIDTHS)
        return f"{self.image} 300w, {self.image_2x} 600w" if self.image_2x else ""


@dataclass(frozen=True, slots=True)
class Result:
    """A game that resembles the query. `similarity` is the cosine of the embeddings, null if it is not known or has
    no fixed scale. `strength` is the same between 0, a random pair, and 1, identical. One in `rarity` random pairs of
    banners is as similar, null if many are or if it is not known. A result is weak if nine games in ten have a nearer
    first neighbour."""

    rank: int
    game: Game
    similarity: float | None
    strength: float | None = None
    rarity: int | None = None
    is_weak: bool = False
    is_identical: bool = False


@dataclass(frozen=True)
class Label:
    """A term that describes banners. `probability` is among all terms of the vocabulary, null if the label is not about
    one banner."""

    name: str
    kind: str
    probability: float | None = None

    @property
    def url(self) -> str:
        return f"/label?{urlencode({'name': self.name})}"

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
        return f"{request.path}?{'&'.join(filter(None, (parameters_but('page'), f'page={number}')))}"

    previous = url(min(page - 1, pages)) if page > 1 else None
    return Paging(page, pages, total, previous, url(page + 1) if page < pages else None)


def json_url(path: str, **parameters: object) -> str:
    """The address of a page's JSON; parameters that are empty are left out."""
    given = {name: str(value) for name, value in parameters.items() if value not in ("", None)}
    return f"/api/v1/{path}" + (f"?{urlencode(given)}" if given else "")
