"""How similarities are shown: between a random pair and an identical one, with the weak ones marked."""

from bisect import bisect_right
from dataclasses import dataclass

from banners.catalogue.reader import Catalogue
from banners.vectors import measures
from banners.views import View

_MOST_RANDOM = 0.99  # of a catalogue whose banners are all alike


@dataclass(frozen=True)
class Likeness:
    """The scale of a view. `random` is the similarity of a random pair, `rare` are those that one in
    `measures.RARITIES` pairs reaches. A neighbour below `weak_below` is weak, see `measures.weak_below`."""

    random: float
    rare: tuple[float, ...]
    weak_below: float

    def strength(self, similarity: float) -> float:
        """0 for a random pair, 1 for an identical one."""
        return round(min(1.0, max(0.0, (similarity - self.random) / (1 - self.random))), 4)

    def similarity(self, strength: float) -> float:
        """The least similarity that has this strength; cosines of identical vectors may lack a millionth of 1."""
        return self.random + strength * (1 - self.random) - 1e-6

    def rarity(self, similarity: float) -> int | None:
        """One in so many random pairs is as similar; None if many are or if it is not known."""
        return (None, *measures.RARITIES)[bisect_right(self.rare, similarity)]

    def is_weak(self, similarity: float) -> bool:
        return similarity < self.weak_below


def likeness_of(catalogue: Catalogue, view: View) -> Likeness:
    scale, first = catalogue.manifest.scale(view), catalogue.views[view].first_similarities
    weak_below = -1.0 if first is None else measures.weak_below(first)
    return Likeness(min(scale.random or 0.0, _MOST_RANDOM), scale.rare, weak_below)
