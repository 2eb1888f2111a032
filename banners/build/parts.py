"""The parts of a catalogue, one function each. Row i of every array belongs to the i-th embedded banner."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from banners.arrays import Matrix
from banners.build import titles
from banners.build.engine import Engine
from banners.build.export import export_queries
from banners.build.plan import Options, Part, Progress
from banners.catalogue.manifest import Scale
from banners.catalogue.reader import FINER, LONGEST_LINK, neighbour_arrays
from banners.embedding import Embedded
from banners.encoders import Choice
from banners.errors import SteamClipError
from banners.games_csv import Banner
from banners.groups import group_identical
from banners.vectors import measures
from banners.vectors.artwork import Artwork, find_artwork
from banners.vectors.nearest import quantise
from banners.vectors.neighbours import Neighbours, Search, approximate, nearest
from banners.views import View

APPROXIMATE_FROM = 100_000  # games: fewer are compared in minutes


def vectors(embedded: Embedded) -> Part:
    """The embeddings, the same in 8 bits, and which banners are identical."""
    matrix = embedded.embeddings["plain"]
    quantised = quantise(matrix)
    return Part(
        arrays={
            "embeddings": matrix,
            "quantised": quantised.codes,
            "quantised_scales": quantised.scales,
            "duplicates": group_identical(embedded.digests),
        },
        about={"d": matrix.shape[1], "dtype": str(matrix.dtype)},
    )


def links(embedded: Embedded) -> Part:
    """What shortens a picture's embedding for an address: the leading principal directions, each as long as embeddings
    reach along it (root mean square), float16 (d, 512); nothing if an embedding is short enough.

    The second column is the first one again, shorter: what rounding leaves of it. That direction is the mean, by far
    the longest; rounded like the others it would change all similarities by up to 0.01.
    """
    matrix = embedded.embeddings["plain"]
    if matrix.shape[1] <= LONGEST_LINK:
        return Part()
    moments, directions = np.linalg.eigh(matrix.T @ matrix / len(matrix))
    leading = directions[:, ::-1] * np.sqrt(np.maximum(moments[::-1], 1e-8))
    basis = np.hstack([leading[:, :1], leading[:, :1] / FINER, leading[:, 1 : LONGEST_LINK - 1]])
    return Part({"link_basis": basis.astype(np.float16)})


def fit_artwork(embedded: Embedded, titled: Embedded | None) -> Artwork | None:
    """Fit the view by artwork. None if too few banners could be embedded with a title drawn on them."""
    if titled is None or len(titled.appids) < titles.LEAST:
        return None
    rows = embedded.appids.searchsorted(titled.appids)
    return find_artwork(embedded.embeddings["plain"], rows, titled.embeddings["titled"])


def artwork(artwork: Artwork | None, embedded: Embedded) -> Part:
    """The view by artwork."""
    if artwork is None:
        return Part()
    arrays = {
        "artwork_mean": artwork.mean,
        "artwork_projection": artwork.projection,
        "artwork_lengths": artwork.lengths(embedded.embeddings["plain"]),
    }
    return Part(arrays, about={"artwork_directions": artwork.directions})


def neighbours(
    embedded: Embedded, artwork: Artwork | None, options: Options, engine: Engine, progress: Progress
) -> Part:
    """The nearest neighbours in each view, and in that by artwork if there is one."""
    plain = embedded.embeddings["plain"]
    spaces = {view: (plain, embedded.embeddings[view]) for view in options.views}  # (rows to search, queries)
    if artwork is not None:
        mapped = artwork.view(plain)
        spaces["artwork"] = (mapped, mapped)
    nearest_in: dict[View, Neighbours] = {}
    search: Search | None = None
    searched: Matrix | None = None
    recall: dict[View, float] = {}
    for view, (matrix, queries) in spaces.items():
        if options.is_approximate and len(matrix) >= APPROXIMATE_FROM:
            if matrix is not searched:
                progress.say(f"neighbours, {view}: dividing the games into lists, minutes for a million")
                search = None  # frees the memory of the other one
                search, share = approximate(matrix) or (None, 1.0)
                searched = matrix
                if search is None:
                    progress.say(f"neighbours, {view}: most lists would be searched, so all pairs are compared")
            recall[view] = share
        with progress.bar(f"neighbours, {view}", len(matrix), "game") as bar:
            nearest_in[view] = nearest(
                matrix, options.neighbours, queries, engine.device, bar.update, engine.spread, search
            )
    scales = {view: _scale(matrix) for view, (matrix, _) in spaces.items() if view in ("plain", "artwork")}
    about = {"views": tuple(nearest_in), "k": nearest_in["plain"].rows.shape[1], "scales": scales, "recall": recall}
    return Part(neighbour_arrays(nearest_in), about=about)


def _scale(matrix: Matrix) -> Scale:
    return Scale(measures.random_similarity(matrix), tuple(measures.rare_similarities(matrix)))


def queries(
    choice: Choice,
    banners: Sequence[Banner],
    embedded: Embedded,
    options: Options,
    scratch: Path,
    say: Callable[[str], None],
) -> Part:
    """The encoder for the web app and the labels of the banners; nothing, with a warning, if the export fails. Files go
    to `scratch`."""
    say("exporting the encoder for queries by words and pictures")
    local = replace(choice, device="cpu", precision="float32")
    plain = embedded.embeddings["plain"]
    try:
        return export_queries(local.name, local.open(), banners, plain, options.vocabulary, scratch, say)
    except SteamClipError as error:  # the vectors are there, and worth a catalogue
        say(f"warning: no queries by words or pictures: {error}")
        return Part()
