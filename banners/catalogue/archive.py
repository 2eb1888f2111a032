"""A catalogue as one file, `<name>.tar.gz`: the manifest first, then the files that it names.

The same catalogue gives the same bytes. An archive may be hostile. It is unpacked as a stream, and only the files that
its manifest names are written, in the sizes that it gives.
"""

import gzip
import io
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

from msgspec import structs

from banners.catalogue.manifest import MANIFEST, ORIGIN, TILES, FileInfo, Manifest, measure, to_json
from banners.catalogue.query_encoder import IMAGE_MODEL, PART_MODEL, TEXT_MODEL, TOKENIZER
from banners.catalogue.reader import open_catalogue
from banners.errors import BadCatalogue, BadInput, one_line

_QUERIES = (IMAGE_MODEL, TEXT_MODEL, TOKENIZER, "term_embeddings.npy")
_VECTORS = (
    "embeddings",
    "link_basis",
    "quantised",
    "quantised_scales",
    "artwork_mean",
    "artwork_projection",
    "artwork_lengths",
)
_PARTS = ("parts", "parts_mean", "parts_projection", "same_art", "same_art_nats", "same_art_share")
# Parts that pages can do without: their files, and the fields of the manifest that are null without them.
OPTIONAL: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "embeddings": (  # a query is compared with them
        (*(f"{name}.npy" for name in _VECTORS), *_QUERIES),
        ("d", "dtype", "artwork_directions", "queries"),
    ),
    # With DATABASE_URL they are there.
    "vectors": (("embeddings.npy", "quantised.npy", "quantised_scales.npy", "artwork_lengths.npy", "parts.npy"), ()),
    "map": ((TILES,), ("map",)),
    "parts": ((*(f"{name}.npy" for name in _PARTS), PART_MODEL), ("parts",)),
    "queries": (_QUERIES, ("queries",)),
}

LARGEST_MANIFEST = 10_000_000  # bytes
LARGEST = 50_000_000_000  # bytes of all files
_MOST_RATIO = 50  # of unpacked to packed bytes; real catalogues have less than 3
_HEADER_BYTES = 100_000  # before a file; a header of tar may claim any length, and is read into memory
_BLOCK = 1 << 20


class Archive(Protocol):
    """A packed catalogue as it arrives; `received` counts its bytes so far."""

    received: int

    def read(self, size: int = -1, /) -> bytes: ...


def pack(folder: Path, out: Path, without: Sequence[str] = ()) -> FileInfo:
    """Write the catalogue at `folder` to the file `out`, without parts named in `OPTIONAL`. The files are checked.

    Raises `BadCatalogue`, and `BadInput` if `out` cannot be written.
    """
    manifest = open_catalogue(folder, check_hashes=True).manifest
    left_out = {name for part in without for name in OPTIONAL[part][0]}
    files = {name: info for name, info in manifest.files.items() if name not in left_out}
    empty = {field: None for part in without for field in OPTIONAL[part][1]}
    manifest = structs.replace(manifest, files=files, **empty)
    out = out.resolve()
    if out.exists() and not out.is_file():
        raise BadInput(f"{out} is not a file that can be replaced")
    beside = out.with_name(f".{out.name}.part")
    try:
        with beside.open("wb") as raw:
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w|") as tar:
                data = to_json(manifest)
                tar.addfile(_entry(MANIFEST, len(data)), io.BytesIO(data))
                for name in sorted(files):
                    with (folder / name).open("rb") as file:
                        tar.addfile(_entry(name, files[name].size), file)
            os.fsync(raw.fileno())
        packed = measure(beside)
        beside.replace(out)
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return packed


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def unpack(archive: Archive, folder: Path) -> None:
    """Unpack an archive into an empty folder and check that it is a catalogue. `archive` is read to its end.

    Raises `BadCatalogue` for anything but a whole catalogue as `pack` writes it, and `OSError`.
    """
    unzipped = _Unzipped(archive)
    try:
        with tarfile.open(fileobj=unzipped, mode="r|") as tar:
            _unpack(tar, unzipped, folder)
            while unzipped.read(_BLOCK):  # to the end, so that the hash of all is known
                pass
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, OverflowError) as error:
        raise BadCatalogue(f"the archive is truncated or damaged: {one_line(error)}") from None
    open_catalogue(folder, check_hashes=True)


def _unpack(tar: tarfile.TarFile, unzipped: "_Unzipped", folder: Path) -> None:
    first = tar.next()
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > LARGEST_MANIFEST:
        raise BadCatalogue(f"not a packed catalogue: it does not begin with {MANIFEST}")
    _copy(tar, first, unzipped, folder)
    expected = {name: info.size for name, info in Manifest.read(folder).files.items()}
    for name, size in expected.items():
        is_name = re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", name, re.ASCII)
        if not is_name or name in (MANIFEST, ORIGIN) or size < 0:
            raise BadCatalogue(f"its manifest names the file {name[:60]!r}")
    total, free = sum(expected.values()), shutil.disk_usage(folder).free
    if total > min(LARGEST, free):
        raise BadCatalogue(f"its files take {total / 1e6:,.0f} MB, and there is room for {free / 1e6:,.0f}")
    while (member := tar.next()) is not None:
        if not member.isreg() or member.issparse() or member.size != expected.pop(member.name, None):
            raise BadCatalogue(f"{member.name[:60]!r} in the archive is not a file that its manifest names")
        _copy(tar, member, unzipped, folder)
    if expected:
        raise BadCatalogue(f"the archive lacks {min(expected)}")


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, unzipped: "_Unzipped", folder: Path) -> None:
    unzipped.allow(member.size)
    with (folder / member.name).open("xb") as file:
        shutil.copyfileobj(cast(IO[bytes], tar.extractfile(member)), file, _BLOCK)


class _Unzipped(gzip.GzipFile):
    """The decompressed archive, as far as it may be read."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(fileobj=archive, mode="rb")  # type: ignore[call-overload]
        self._archive, self._count, self._most = archive, 0, _HEADER_BYTES

    def allow(self, size: int) -> None:
        """Allow a file of `size` bytes and the header of the next one."""
        self._most = self._count + size + _HEADER_BYTES

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._count += len(data)
        if self._count > min(self._most, _MOST_RATIO * self._archive.received + _BLOCK):
            raise BadCatalogue("the archive holds more than its manifest says")
        return data
