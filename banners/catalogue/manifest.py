"""`manifest.json` of a catalogue folder."""

import hashlib
import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self, get_args

import msgspec

from banners.errors import BadCatalogue, one_line
from banners.images import Preprocessing
from banners.views import View

FORMAT = "steam-clip-catalogue"
FORMAT_VERSION = 6
MANIFEST = "manifest.json"
TILES = "map.mbtiles"
ORIGIN = "origin.json"  # beside it in a catalogue that was fetched; see banners/catalogue/remote.py

# Of an exported encoder, smallest first. "int8" has weights and features in 8 bits, "int8 weights" only the weights.
ModelPrecision = Literal["int8", "int8 weights", "float32"]
MODEL_PRECISIONS: tuple[ModelPrecision, ...] = get_args(ModelPrecision)


class EncoderInfo(msgspec.Struct, frozen=True):
    """The encoder that embedded the banners."""

    id: str = "unknown"  # a hub id, or a name
    revision: str = "unknown"  # a hub commit, or "sha256:..." of its files
    output: str = ""  # which of the model's outputs is the embedding
    device: str = ""  # "cuda" or "cpu"
    precision: str = ""  # dtype of the computation


class Scale(msgspec.Struct, frozen=True):
    """What similarities mean in a view."""

    random: float | None = None  # median of random pairs
    rare: tuple[float, ...] = ()  # what one in `measures.RARITIES` random pairs reaches


class Images(msgspec.Struct, frozen=True):
    """The banners."""

    source: str = ""  # "steam", "demo", or "" for a local folder
    width: int = 0  # the most frequent size in pixels, 0 if it is not known
    height: int = 0


class ImageModel(msgspec.Struct, frozen=True):
    """The exported encoder of pictures."""

    precision: ModelPrecision
    cosine: float  # the least to the embeddings of the original, before quantising
    recall_at_10: float  # the share of the ten nearest banners that it finds


class TextModel(ImageModel, frozen=True):
    """The exported encoder of words."""

    length: int  # tokens at most
    padding: int | None  # the token that texts are filled up with, null if they are not
    scale: float  # turns cosines of texts and images into logits
    noise_margin: float  # how far the best banner stands out for random words


class QueryModels(msgspec.Struct, frozen=True):
    """What the web app embeds queries with."""

    image: ImageModel
    text: TextModel | None = None  # null where the encoder knows no texts


class Parts(msgspec.Struct, frozen=True):
    """The local features of banners; see `banners.vectors.regions`."""

    preprocessing: Preprocessing  # of a banner for their encoder
    same_art: float  # evidence in nats from which two banners have the same art
    pairs_tried: int = 0  # 0 if no pairs were compared
    pairs_found: int = 0  # with at least that evidence

    @property
    def is_wide(self) -> bool:
        return self.preprocessing.width > self.preprocessing.height


class Map(msgspec.Struct, frozen=True):
    """The map of all banners; see `banners.build.map`."""

    columns: int  # of its grid
    rows: int
    cell: tuple[int, int]  # width and height in pixels at the largest zoom
    zoom: int  # the largest; 0 is one tile for everything
    order: float  # see `banners.vectors.layout.order`
    moved: float | None = None  # share of the games that moved more than a tenth of the map since the catalogue before


class FileInfo(msgspec.Struct, frozen=True):
    """A file as it was written."""

    size: int  # bytes
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a catalogue is and how it was made."""

    format: str = FORMAT
    version: int = FORMAT_VERSION
    created: str = ""  # date and time, ISO 8601
    n: int = 0  # games
    d: int | None = None  # dimensions of an embedding, null without embeddings
    k: int = 0  # neighbours of each game
    dtype: str | None = None  # of the embeddings
    views: tuple[View, ...] = ("plain",)  # that have neighbours
    encoder: EncoderInfo = EncoderInfo()
    preprocessing: Preprocessing | None = None  # of a banner for the encoder, null if it is not known
    fit: str = "unknown"  # how a banner becomes the encoder's input: "squash", "crop" or "pad"
    scales: Mapping[View, Scale] = {}  # by view; transformed queries have that of "plain"
    recall: Mapping[View, float] = {}  # by view: the share of the ten nearest that an approximate search finds
    artwork_directions: int | None = None  # how many the view by artwork leaves out
    queries: QueryModels | None = None  # null if the web app cannot embed queries
    parts: Parts | None = None  # null without local features
    map: Map | None = None  # null without a map
    images: Images = Images()
    options: tuple[str, ...] | None = None  # of embed_banners.py, without folders; null if another program made it
    libraries: Mapping[str, str] = {}  # versions of what computed the numbers
    imported: str = ""  # the date, if it comes from the earlier system
    files: Mapping[str, FileInfo] = {}  # by name, all but this one

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
            return msgspec.convert(data, cls)
        except FileNotFoundError:
            what = f"has no {MANIFEST}" if folder.is_dir() else "does not exist"
            raise BadCatalogue(f"no catalogue at {folder}: the folder {what}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:  # of any JSON
            raise BadCatalogue(f"cannot read {path}: {one_line(error)}") from None

    def scale(self, view: View) -> Scale:
        return self.scales.get(view) or self.scales.get("plain") or Scale()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the banners in pixels, None if they are not known."""
        return (self.images.width, self.images.height) if self.images.width and self.images.height else None


def to_json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def measure(path: Path) -> FileInfo:
    with path.open("rb") as file:
        return FileInfo(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def check(path: Path, info: FileInfo, name: Path | None = None) -> None:
    """Raise `BadCatalogue` if size and SHA-256 are not the manifest's. `name` is shown, `path` by default."""
    if measure(path) != info:
        raise BadCatalogue(f"{name or path} was changed: its SHA-256 is not the manifest's")


class OpenedFile:
    """A file of a catalogue that is read later. Its descriptor is open, so that it can be read after the catalogue was
    replaced. Raises `OSError`."""

    def __init__(self, path: Path, info: FileInfo) -> None:
        self._path, self._info = path, info
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def checked(self) -> Path:
        """A path that leads to the file. Raises `BadCatalogue` if its content has changed."""
        path = Path(f"/dev/fd/{self._descriptor}")
        check(path, self._info, self._path)
        return path
