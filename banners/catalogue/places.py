"""The places of games on the map, and its regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from banners.arrays import StoredIndices

RegionKind = Literal["label", "tag", "developer", "franchise", "colour"]


@dataclass(frozen=True)
class Region:
    """A rectangle of the map, in cells, that is named after what `share` of its games have."""

    name: str
    kind: RegionKind
    x: int
    y: int
    width: int
    height: int
    share: float


@dataclass(frozen=True)
class Places:
    """`cells`: int32 (n, 2), column and row of each game. `regions`: the largest first."""

    cells: StoredIndices
    regions: Sequence[Region] = ()
