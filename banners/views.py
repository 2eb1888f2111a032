"""Views of a query: the banner as it is, mirrored, flipped, rotated, or by its artwork without its lettering."""

from collections.abc import Mapping
from typing import Literal, get_args

View = Literal["plain", "mirror", "flip", "rotate", "artwork"]
EmbeddedView = View | Literal["titled"]  # "titled" is the plain view of a banner with a title drawn on it
VIEWS: tuple[View, ...] = get_args(View)

# Which axes of pixels (B, 3, H, W) are reversed. Rotating by 180 degrees is mirroring and flipping.
# The artwork view is made of embeddings, not of pixels.
REVERSED: Mapping[View, tuple[int, ...]] = {"plain": (), "mirror": (3,), "flip": (2,), "rotate": (2, 3)}


def view_of(mirror: bool, flip: bool) -> View:
    """The view of a query that is mirrored, flipped, both, or neither."""
    return "rotate" if mirror and flip else "mirror" if mirror else "flip" if flip else "plain"
