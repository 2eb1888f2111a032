"""Zero-shot labels: each banner is compared with the terms of a vocabulary, without training."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from banners.arrays import Indices, Matrix, StoredIndices, Vector
from banners.errors import BadInput, one_line

VOCABULARY = Path(__file__).with_name("vocabulary.toml")
SHOWN = 5  # labels of a banner
LISTED = 96  # banners of a label
MAX_TERMS = 5000
_BLOCK = 4096
_TERMS = 8  # at a time, so that all embeddings are not read for each


@dataclass(frozen=True)
class Term:
    """A term of a vocabulary, and the sentences that stand for it."""

    name: str
    kind: str
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """`base_rates`: float32 (L,), each term's mean probability over all banners. For each banner, best first, `terms`:
    int16 (n, s) and `probabilities`: float32 (n, s), 0 if it is not shown; for each term `banners`: int32 (L, m), the
    rows that fit best."""

    vocabulary: Sequence[Term]
    base_rates: Vector
    terms: npt.NDArray[np.int16]
    probabilities: Matrix
    banners: StoredIndices


class _Kind(msgspec.Struct, forbid_unknown_fields=True):
    """A table of a vocabulary's file."""

    prompts: Annotated[list[Annotated[str, Meta(pattern=r"(?s)^(?!.*\{\}.*\{\}).*\{\}")]], Meta(min_length=1)]
    terms: Annotated[list[Annotated[str, Meta(min_length=1, max_length=60)]], Meta(min_length=1)]


def read_vocabulary(path: Path) -> tuple[Term, ...]:
    """The terms of a TOML file: for each kind a table with `prompts`, each with one {}, and `terms`.

    Raises `BadInput`.
    """
    try:
        kinds = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8-sig")), dict[str, _Kind])
    except (OSError, ValueError, RecursionError) as error:  # of a file that is no TOML, or not of this form
        form = "each kind has terms, and prompts with one {}"
        raise BadInput(f"cannot read the vocabulary {path}: {one_line(error)} ({form})") from None
    terms: dict[str, Term] = {}
    for kind, table in kinds.items():
        for name in map(str.strip, table.terms):
            term = Term(name, kind, tuple(prompt.replace("{}", name) for prompt in table.prompts))
            terms.setdefault(name.casefold(), term)  # the first of equal names counts
    if not 2 <= len(terms) <= MAX_TERMS or not all(name and name.isprintable() for name in terms):
        raise BadInput(f"{path} must have 2 to {MAX_TERMS} different terms, all of printable characters")
    return tuple(terms.values())


def embed_terms(vocabulary: Sequence[Term], embed: Callable[[Sequence[str]], Matrix]) -> Matrix:
    """float32 (L, d), L2-normalised: of each term the mean of its sentences' embeddings, as CLIP's authors do it.

    `embed` gives those of sentences: float32 (m, d), L2-normalised.
    """
    embedded = embed([prompt for term in vocabulary for prompt in term.prompts])
    ends = np.cumsum([len(term.prompts) for term in vocabulary])
    means = np.stack([rows.mean(axis=0) for rows in np.split(embedded, ends[:-1])])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def probabilities(embeddings: Matrix, terms: Matrix, scale: float) -> Matrix:
    """The probability of each term for each embedding: float32 (m, L), rows sum to 1."""
    logits = (embeddings @ terms.T) * np.float32(scale)
    logits -= logits.max(axis=1, keepdims=True)
    likely = np.exp(logits)
    return np.asarray(likely / likely.sum(axis=1, keepdims=True), np.float32)


def likeliest(likely: Matrix, base_rates: Vector) -> tuple[npt.NDArray[np.int16], Matrix]:
    """The terms to show for the probabilities `likely`: float32 (m, L). A term below its base rate fits the average
    banner better, so it is not shown.

    Returns, likeliest first, terms: int16 (m, s), and their probabilities: float32 (m, s), 0 for those not shown.
    """
    above = np.where(likely >= base_rates, likely, 0)
    order = np.argsort(-above, axis=1, kind="stable")[:, :SHOWN]
    return order.astype(np.int16), np.take_along_axis(above, order, axis=1)


def label(embeddings: Matrix, vocabulary: Sequence[Term], terms: Matrix, scale: float) -> Labels:
    """Label all banners by their `embeddings`: float32 (n, d). `terms` are the vocabulary's: float32 (L, d).

    A term's banners are those that are nearest to it. Probabilities would put first what few other terms describe.
    """
    n, listed = len(embeddings), min(LISTED, len(embeddings))
    blocks = [embeddings[start : start + _BLOCK] for start in range(0, n, _BLOCK)]
    base_rates = sum(probabilities(block, terms, scale).sum(axis=0, dtype=np.float64) for block in blocks) / n
    base_rates = np.asarray(base_rates, np.float32)
    best, likely = zip(*(likeliest(probabilities(block, terms, scale), base_rates) for block in blocks), strict=True)
    banners = np.empty((len(terms), listed), np.int32)
    for start in range(0, len(terms), _TERMS):
        for number, scores in enumerate((embeddings @ terms[start : start + _TERMS].T).T, start):
            banners[number] = _best(scores, listed)
    return Labels(vocabulary, base_rates, np.concatenate(best), np.concatenate(likely), banners)


def _best(scores: Vector, count: int) -> Indices:
    """The rows of the `count` largest scores, best first, the first of equals."""
    least = np.partition(scores, -count)[-count]
    rows = np.flatnonzero(scores >= least)
    return rows[np.argsort(-scores[rows], kind="stable")[:count]]
