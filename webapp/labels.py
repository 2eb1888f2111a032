"""What banners show, as pages say it."""

from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt

from banners.catalogue import labels
from webapp.gallery import Gallery


@dataclass(frozen=True)
class Label:
    """`probability` among all terms of the vocabulary, None where it is not asked for."""

    name: str
    kind: str
    url: str
    probability: float | None

    @property
    def percent(self) -> str:
        probability = self.probability or 0
        return "<1" if probability < 0.005 else f"{100 * probability:.0f}"


def label_of(term: labels.Term, probability: float | None = None) -> Label:
    return Label(term.name, term.kind, f"/label?{urlencode({'name': term.name})}", probability)


def labels_of_vector(gallery: Gallery, vector: npt.NDArray[np.float32]) -> tuple[Label, ...]:
    """What a picture of the embedding `vector` (float32 (d,), L2-normalised) shows, the likeliest first; empty where
    the catalogue has no labels."""
    catalogue = gallery.catalogue
    if catalogue.term_embeddings is None:
        return ()
    likely = labels.probabilities(vector[None], catalogue.term_embeddings, catalogue.manifest.text_scale)[0]
    order = np.argsort(-likely, kind="stable")[: labels.SHOWN].tolist()
    return tuple(label_of(catalogue.games.terms[term], float(likely[term])) for term in order)


def labels_of_row(gallery: Gallery, row: int) -> tuple[Label, ...]:
    """What a game's banner shows, as it was found when the catalogue was made; empty where it has no labels."""
    return tuple(label_of(term, probability) for term, probability in gallery.catalogue.games.labels_of(row))
