"""How tests and benchmarks write a catalogue from its vectors, as a build does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from banners.catalogue import writer
from banners.catalogue.manifest import Manifest
from banners.catalogue.reader import neighbour_arrays
from banners.games_csv import Game
from banners.vectors.nearest import quantise
from banners.vectors.neighbours import Neighbours
from banners.views import View


def save_catalogue(
    folder: Path,
    games: Sequence[Game],
    neighbours: Mapping[View, Neighbours],
    embeddings: np.ndarray | None = None,
    duplicates: np.ndarray | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write a catalogue and return `folder`. `arrays` are further ones by name; `about` are fields of the manifest, as
    its JSON has them."""
    written = neighbour_arrays(neighbours) | dict(arrays or {})
    if embeddings is not None:
        quantised = quantise(embeddings)
        written |= {"embeddings": embeddings, "quantised": quantised.codes, "quantised_scales": quantised.scales}
    if duplicates is not None:
        written["duplicates"] = duplicates
    computed = {
        "d": None if embeddings is None else embeddings.shape[1],
        "k": neighbours["plain"].rows.shape[1],
        "views": tuple(neighbours),
    }
    writer.save(folder, games, written, {}, None, msgspec.convert({**computed, **(about or {})}, Manifest))
    return folder
