"""`manifest.json` of a catalogue folder, checked once, so that nobody else has to doubt it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from banners.errors import BadCatalogue
from banners.games_csv import valid_unicode

FORMAT = "steam-clip-catalogue"
FORMAT_VERSION = 2
MANIFEST = "manifest.json"

_FILE_NAME = re.compile(r"[a-z0-9_]+\.(npy|json|onnx)", re.ASCII)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says, checked. `raw` is all of it; the other fields are what programs rely on.

    `d` and `dtype` are None without embeddings. `source` says where the images come from: "steam", "demo", or "" for a
    local folder; `image_size` is (width, height), None where not known. `random_similarity` is the median similarity of
    random pairs, None where not measured. `text_scale` turns cosines of texts and images into logits. `files` maps a
    name to its size in bytes and SHA-256.
    """

    n: int
    d: int | None
    k: int
    created: str
    encoder: str
    revision: str
    fit: str
    source: str
    image_size: tuple[int, int] | None
    random_similarity: float | None
    text_scale: float
    files: Mapping[str, tuple[int, str]]
    raw: Mapping[str, Any]

    @classmethod
    def from_json(cls, data: Any, where: Path) -> Self:
        """Check what was read from `where`. Raises `BadCatalogue` for anything missing, of another type or range."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BadCatalogue(f"{where} is not a catalogue's manifest")
        if data.get("version") != FORMAT_VERSION:
            raise BadCatalogue(
                f"{where.parent} has format version {str(data.get('version'))[:20]!r}, this program reads"
                f" {FORMAT_VERSION}; make the catalogue again"
            )
        encoder, images = data.get("encoder", {}), data.get("images", {})
        random_similarity = data.get("random_similarity")
        if not isinstance(encoder, dict) or not isinstance(images, dict):
            raise BadCatalogue(f"{where}: encoder and images are not objects")
        if random_similarity is not None and not _is_cosine(random_similarity):
            raise BadCatalogue(f"{where}: random_similarity is {str(random_similarity)[:20]}, not within [-1, 1]")
        d = data.get("d")
        return cls(
            n=_count(data.get("n"), 1, f"{where}: n"),
            d=None if d is None else _count(d, 1, f"{where}: d"),
            k=_count(data.get("k"), 0, f"{where}: k"),
            created=_text(data.get("created", ""), f"{where}: created"),
            encoder=_text(encoder.get("id", "unknown"), f"{where}: encoder.id"),
            revision=_text(encoder.get("revision", "unknown"), f"{where}: encoder.revision"),
            fit=_text(data.get("fit", "unknown"), f"{where}: fit"),
            source=_text(images.get("source", ""), f"{where}: images.source"),
            image_size=(
                _count(images["width"], 1, f"{where}: images.width"),
                _count(images["height"], 1, f"{where}: images.height"),
            )
            if images.get("width") and images.get("height")
            else None,
            text_scale=_scale(data.get("queries")),
            random_similarity=None if random_similarity is None else float(random_similarity),
            files=_files(data.get("files"), where),
            raw=data,
        )


def _count(value: Any, least: int, what: str) -> int:
    if type(value) is not int or not least <= value < 2**31:
        raise BadCatalogue(f"{what} is {str(value)[:20]!r}, not a whole number from {least}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadCatalogue(f"{what} is not a text")
    if not all(character.isprintable() or "\ud800" <= character <= "\udfff" for character in value):
        raise BadCatalogue(f"{what} holds what cannot be shown")
    return valid_unicode(value)


def _is_cosine(value: Any) -> bool:
    return isinstance(value, int | float) and -1 <= value <= 1  # false for NaN


def _scale(queries: Any) -> float:
    """By what cosines of texts and images are multiplied before they are compared; 100 where it is not known."""
    text = queries.get("text") if isinstance(queries, dict) else None
    scale = text.get("scale") if isinstance(text, dict) else None
    return float(scale) if isinstance(scale, int | float) and 0 < scale < 1e6 else 100.0


def _files(files: Any, where: Path) -> dict[str, tuple[int, str]]:
    if not isinstance(files, dict):
        raise BadCatalogue(f"{where} lists no files")
    checked = {}
    for name, entry in files.items():
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise BadCatalogue(f"{where} lists {name[:40]!r}, which is no file of a catalogue")
        if (
            not isinstance(entry, dict)
            or type(entry.get("size")) is not int
            or not isinstance(entry.get("sha256"), str)
        ):
            raise BadCatalogue(f"{where} gives no size and SHA-256 for {name}")
        checked[name] = (entry["size"], entry["sha256"])
    for name in ("appids.npy", "games.json", "neighbours.npy"):
        if name not in checked:
            raise BadCatalogue(f"{where} does not list {name}")
    return checked
