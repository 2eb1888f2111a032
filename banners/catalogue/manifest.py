"""`manifest.json` of a catalogue folder."""

import hashlib
import json
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from banners.errors import BadCatalogue, one_line

FORMAT = "steam-clip-catalogue"
FORMAT_VERSION = 5
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """`raw` is the whole file; the other fields are what programs use. `d` is None without embeddings. `source`
    says where the images come from: "steam", "demo", or "" for a local folder; `image_size` is (width, height),
    None if not known. `random_similarity` is the median similarity of random pairs, None if not measured,
    `artwork_random` the same in the view by artwork. `rare` are the similarities that one in ten, a hundred, ...
    random pairs reaches. `text_scale` turns cosines of texts and images into logits; `noise_margin` is how far
    random words stand out, None if not measured. `files` maps a name to its size in bytes and SHA-256.
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
    artwork_random: float | None
    rare: tuple[float, ...]
    artwork_rare: tuple[float, ...]
    text_scale: float
    noise_margin: float | None
    files: Mapping[str, tuple[int, str]]
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises `BadCatalogue`."""
        path = folder / MANIFEST
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise BadCatalogue(f"{path} is not a catalogue's manifest")
            if data["version"] != FORMAT_VERSION:
                raise BadCatalogue(
                    f"{folder} has format version {data['version']}, this program reads {FORMAT_VERSION};"
                    " make it again with embed_banners.py"
                )
            encoder, images = data.get("encoder", {}), data.get("images", {})
            text = data.get("queries", {}).get("text") or {}
            return cls(
                n=data["n"],
                d=data["d"],
                k=data["k"],
                created=data["created"],
                encoder=encoder.get("id", "unknown"),
                revision=encoder.get("revision", "unknown"),
                fit=data.get("fit", "unknown"),
                source=images.get("source", ""),
                image_size=(images["width"], images["height"])
                if images.get("width") and images.get("height")
                else None,
                random_similarity=data.get("random_similarity"),
                artwork_random=data.get("artwork", {}).get("random_similarity"),
                rare=tuple(data.get("rare_similarities", ())),
                artwork_rare=tuple(data.get("artwork", {}).get("rare_similarities", ())),
                text_scale=text.get("scale", 100.0),
                noise_margin=text.get("noise_margin"),
                files={name: (entry["size"], entry["sha256"]) for name, entry in data["files"].items()},
                raw=data,
            )
        except FileNotFoundError:
            what = f"has no {MANIFEST}" if folder.is_dir() else "does not exist"
            raise BadCatalogue(f"no catalogue at {folder}: the folder {what}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadCatalogue(f"cannot read {path}: {one_line(error)}") from None


def measure(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, expected: tuple[int, str], name: Path | None = None) -> None:
    """Raise `BadCatalogue` if size and SHA-256 are not the manifest's. `name` is shown, `path` by default."""
    if measure(path) != expected:
        raise BadCatalogue(f"{name or path} was changed: its SHA-256 is not the manifest's")


class OpenedFile:
    """A file of a catalogue that is read later. It stays the same file while another is put in its place. Raises
    `OSError`."""

    def __init__(self, path: Path, expected: tuple[int, str]) -> None:
        """`expected` are its size and SHA-256."""
        self._path, self._expected = path, expected
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def checked(self) -> Path:
        """A path that leads to the file. Raises `BadCatalogue` if its content has changed."""
        path = Path(f"/dev/fd/{self._descriptor}")
        check(path, self._expected, self._path)
        return path
