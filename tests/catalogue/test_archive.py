"""A catalogue as one file, and archives that are none."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from banners.catalogue import archive
from banners.catalogue.manifest import MANIFEST, Manifest
from banners.catalogue.reader import open_catalogue
from banners.errors import BadCatalogue, BadInput
from tests.webapp.small_site import make_catalogue


class Arriving(io.BytesIO):
    """Bytes as they arrive."""

    received = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.received += len(data)
        return data


@pytest.fixture
def folder(tmp_path):
    return make_catalogue(tmp_path / "c")


def unpack(data: bytes, folder: Path) -> Path:
    folder.mkdir()
    archive.unpack(Arriving(data), folder)
    return folder


def test_a_packed_catalogue_is_the_same_after_unpacking(folder, tmp_path):
    packed = archive.pack(folder, tmp_path / "c.tar.gz")
    data = (tmp_path / "c.tar.gz").read_bytes()
    assert packed.size == len(data)
    again = unpack(data, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_the_same_catalogue_gives_the_same_bytes_whatever_the_files_names_and_times(folder, tmp_path):
    one = archive.pack(folder, tmp_path / "one.tar.gz")
    for path in folder.iterdir():
        path.touch()
    assert archive.pack(folder.rename(tmp_path / "elsewhere"), tmp_path / "other.tgz") == one


def test_parts_may_be_left_out_and_the_manifest_says_so(colour_site, tmp_path):
    sizes = {}
    most = ("embeddings", "parts", "map")
    for without in ((), ("queries",), ("embeddings",), ("embeddings", "parts"), most, tuple(archive.OPTIONAL)):
        sizes[without] = archive.pack(colour_site / "c", tmp_path / "c.tar.gz", without).size
        catalogue = open_catalogue(unpack((tmp_path / "c.tar.gz").read_bytes(), tmp_path / "-".join(["u", *without])))
        assert (catalogue.manifest.queries is None) == bool(without)
        assert (catalogue.matrix is None) == ("embeddings" in without)
        assert bool(catalogue.indexes) == ("embeddings" not in without)
        assert (catalogue.tiles is None) == (catalogue.manifest.map is None) == ("map" in without)
        assert catalogue.views["plain"].rows.shape[0] == len(catalogue)
    assert sizes[()] > sizes[("queries",)] > sizes[("embeddings",)] > sizes[("embeddings", "parts")]
    assert sizes[("embeddings", "parts")] > sizes[most] == sizes[tuple(archive.OPTIONAL)]


def test_a_damaged_catalogue_is_not_packed(folder, tmp_path):
    (folder / "neighbours.npy").write_bytes(b"x" * (folder / "neighbours.npy").stat().st_size)
    with pytest.raises(BadCatalogue, match=r"neighbours\.npy was changed"):
        archive.pack(folder, tmp_path / "c.tar.gz")
    assert not list(tmp_path.glob("*.gz*"))


def test_a_place_that_cannot_be_written_is_said_and_nothing_is_left(folder, tmp_path):
    with pytest.raises(BadInput, match="cannot write"):
        archive.pack(folder, tmp_path / "none" / "c.tar.gz")
    with pytest.raises(BadInput, match="is not a file that can be replaced"):
        archive.pack(folder, folder)


def packed_by(folder: Path, change: Callable[[tarfile.TarFile, Path], None]) -> bytes:
    """An archive that begins with the manifest, and what `change` adds."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        tar.add(folder / MANIFEST, MANIFEST)
        change(tar, folder)
    return written.getvalue()


def files(tar: tarfile.TarFile, folder: Path, but: str = "") -> None:
    for name in Manifest.read(folder).files:
        if name != but:
            tar.add(folder / name, name)


def link(kind: bytes, target: str) -> Callable[[tarfile.TarFile, Path], None]:
    def change(tar: tarfile.TarFile, folder: Path) -> None:
        entry = tarfile.TarInfo("appids.npy")
        entry.type, entry.linkname = kind, target
        tar.addfile(entry)

    return change


def named(name: str) -> Callable[[tarfile.TarFile, Path], None]:
    def change(tar: tarfile.TarFile, folder: Path) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = (folder / "appids.npy").stat().st_size
        tar.addfile(entry, io.BytesIO((folder / "appids.npy").read_bytes()))

    return change


def lacking(tar: tarfile.TarFile, folder: Path) -> None:
    files(tar, folder, but="games.db")


def twice(tar: tarfile.TarFile, folder: Path) -> None:
    files(tar, folder)
    tar.add(folder / "appids.npy", "appids.npy")


def other_content(tar: tarfile.TarFile, folder: Path) -> None:
    files(tar, folder, but="appids.npy")
    entry = tarfile.TarInfo("appids.npy")
    entry.size = (folder / "appids.npy").stat().st_size
    tar.addfile(entry, io.BytesIO(bytes(entry.size)))


def long_header(tar: tarfile.TarFile, folder: Path) -> None:
    entry = tarfile.TarInfo("appids.npy")
    entry.pax_headers = {"comment": "x" * 5_000_000}
    tar.addfile(entry)


def negative(name: str) -> Callable[[tarfile.TarFile, Path], None]:
    def change(tar: tarfile.TarFile, folder: Path) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = -1
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        tar.fileobj.write(header)
        tar.offset += len(header)

    return change


HOSTILE = {
    "a size below zero": negative("../outside"),
    "a link": link(tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": link(tarfile.LNKTYPE, "/etc/passwd"),
    "a device": link(tarfile.CHRTYPE, ""),
    "an absolute path": named("/tmp/steam-clip-outside"),
    "a path upwards": named("../outside"),
    "a folder": named("sub/appids.npy"),
    "a hidden name": named(".profile"),
    "a file too few": lacking,
    "a file twice": twice,
    "another content": other_content,
    "a header of megabytes": long_header,
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_in_one_line_and_nothing_is_written_outside(folder, tmp_path, change):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadCatalogue) as caught:
        unpack(packed_by(folder, change), tmp_path / "new")
    assert "\n" not in str(caught.value)
    outside = [path for path in sorted(tmp_path.rglob("*")) if tmp_path / "new" not in (path, *path.parents)]
    assert outside == before
    assert not Path("/tmp/steam-clip-outside").exists()


@pytest.mark.parametrize("sizes", [(10**15, -(10**15)), (-1, 5)])
def test_sizes_in_a_manifest_cannot_cancel_each_other(folder, tmp_path, sizes):
    data = json.loads((folder / MANIFEST).read_text())
    for name, size in zip(("appids.npy", "games.db"), sizes, strict=True):
        data["files"][name]["size"] = size
    (folder / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(BadCatalogue, match=r"its manifest names the file|there is room for"):
        unpack(packed_by(folder, lambda *_: None), tmp_path / "new")


def test_a_manifest_that_names_a_place_outside_is_refused(folder, tmp_path):
    manifest = (folder / MANIFEST).read_text()
    for name in ("../appids.npy", "/appids.npy", "a/b", "..", "", "manifest.json", "origin.json"):
        (folder / MANIFEST).write_text(manifest.replace('"appids.npy"', f'"{name}"'))
        with pytest.raises(BadCatalogue, match="its manifest names the file"):
            unpack(packed_by(folder, lambda *_: None), tmp_path / f"new{len(list(tmp_path.iterdir()))}")


@pytest.mark.parametrize("size", [2 * 10**9, 10**15])
def test_a_bomb_is_refused_before_it_fills_the_disk(folder, tmp_path, size):
    manifest = (folder / MANIFEST).read_text()
    real = (folder / "appids.npy").stat().st_size
    (folder / MANIFEST).write_text(manifest.replace(f'"size": {real}', f'"size": {size}'))

    content = (folder / MANIFEST).read_bytes()
    heads = []
    for name, length in ((MANIFEST, len(content)), ("appids.npy", size)):
        entry = tarfile.TarInfo(name)
        entry.size = length
        heads.append(entry.tobuf(tarfile.GNU_FORMAT))
    bomb = heads[0] + content.ljust(-(-len(content) // 512) * 512, b"\0") + heads[1] + bytes(200_000_000)
    with pytest.raises(BadCatalogue, match=r"more than its manifest says|there is room for"):
        unpack(gzip.compress(bomb), tmp_path / "new")
    assert sum(path.stat().st_size for path in (tmp_path / "new").iterdir()) < 60_000_000


def test_archives_cut_off_anywhere_are_refused(folder, tmp_path):
    archive.pack(folder, tmp_path / "c.tar.gz")
    data = (tmp_path / "c.tar.gz").read_bytes()
    for number, length in enumerate([0, 1, 9, 15, 100, len(data) // 2, len(data) - 9, len(data) - 1]):
        with pytest.raises(BadCatalogue):
            unpack(data[:length], tmp_path / f"new{number}")


@pytest.mark.parametrize(
    "data", [b"<html>Not found</html>", gzip.compress(b"no tar", mtime=0), b"\x1f\x8b" + bytes(100)]
)
def test_what_is_no_archive_is_refused(tmp_path, data):
    with pytest.raises(BadCatalogue):
        unpack(data, tmp_path / "new")
