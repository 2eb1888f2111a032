"""Views of a query: the banner as it is, mirrored, flipped or rotated, to weaken what its title text contributes."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

View = Literal["plain", "mirror", "flip", "rotate"]
VIEWS: tuple[View, ...] = get_args(View)

# Each takes and gives pixels (B, H, W, 3). Rotating by 180 degrees is mirroring and flipping.
TRANSFORMS: dict[View, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
    "plain": lambda pixels: pixels,
    "mirror": lambda pixels: pixels[:, :, ::-1],
    "flip": lambda pixels: pixels[:, ::-1],
    "rotate": lambda pixels: pixels[:, ::-1, ::-1],
}
