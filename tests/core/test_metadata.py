"""What pictures hold beside their pixels: nearly all of it is left out, at no cost, and the rest stays."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from banners.errors import UnusableImage
from banners.images import decode
from banners.metadata import without_metadata
from tests.conftest import ROOT, picture
from tests.core.metadata_bombs import BOMBS, LARGE, MALFORMED, chunk, fractions, jpeg, png, segment

# Each bomb in a process of its own, whose peak of memory counts from where it begins.
_MEASURE = """
import io, json, os, sys, time
from contextlib import suppress
from pathlib import Path
from PIL import Image, ImageCms, ImageOps
from banners.audit import examine
from banners.games_csv import Banner
from banners.images import decode
from tests.core.metadata_bombs import BOMBS, LARGE, MALFORMED, jpeg, png, webp
from webapp.local_images import LocalImage, thumbnail
from webapp.queries.uploads import decode_upload, header_of

def kilobytes(name):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(name))

def upload(path):
    data = path.read_bytes()
    header_of(data, decode_upload(data, 224))

def pillow(path):
    with Image.open(path) as image:
        ImageOps.exif_transpose(image)
        if "icc_profile" in image.info:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))

uses = {
    "pillow": pillow,
    "decode": lambda path: decode(path),
    "upload": upload,
    "audit": lambda path: examine(Banner(1, path)),
    "thumbnail": lambda path: thumbnail(LocalImage.of(path), 200),
}
path = Path(sys.argv[1])
for make in (jpeg, png, webp):  # what is loaded once
    path.write_bytes(make())
    for use in uses.values():
        use(path)
for name, data in (BOMBS | LARGE | MALFORMED).items():
    path.write_bytes(data)
    for use in sys.argv[2:]:
        if os.fork():
            os.wait()
            continue
        Path("/proc/self/clear_refs").write_text("5")
        before, begun = kilobytes("VmRSS"), time.process_time()
        with suppress(Exception):
            uses[use](path)
        print(json.dumps([name, use, time.process_time() - begun, (kilobytes("VmHWM") - before) / 1024]), flush=True)
        os._exit(0)
"""


def costly(folder: Path, *uses: str) -> set[str]:
    """The bombs that cost more than 0.3 s of a core or 60 MB in any of these uses."""
    if sys.platform != "linux":
        pytest.skip("Linux tells the peak of a process' memory")
    command = [sys.executable, "-W", "ignore", "-c", _MEASURE, str(folder / "bomb"), *uses]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    measured = [json.loads(line) for line in lines]
    assert len(measured) == len(uses) * len(BOMBS | LARGE | MALFORMED)
    return {name for name, _, seconds, megabytes in measured if seconds > 0.3 or megabytes > 60}


def test_whatever_a_small_picture_carries_costs_hardly_any_time_or_memory(tmp_path):
    assert costly(tmp_path, "decode", "upload", "audit", "thumbnail") == set()


@pytest.mark.soak
def test_the_bombs_harm_a_decoder_that_sees_them(tmp_path):
    assert costly(tmp_path, "pillow") >= set(BOMBS)


@pytest.mark.parametrize("name", BOMBS | LARGE)
def test_their_pixels_and_orientation_count(name):
    image = decode(io.BytesIO((BOMBS | LARGE)[name]))
    assert image.size == ((96, 64) if "EXIF" in name else (64, 96))
    assert np.abs(np.asarray(image).astype(int) - (255, 0, 0)).max() < 5


@pytest.mark.parametrize("name", MALFORMED)
def test_a_file_without_order_is_refused(name):
    with pytest.raises(UnusableImage):
        decode(io.BytesIO(MALFORMED[name]))


def test_bytes_that_do_not_belong_there_hide_neither_pixels_nor_orientation():
    exif = segment(0xE1, b"Exif\0\0" + fractions(200))
    for between in (b"\0", b"\0\1\2", b"\xff" * 30, b"\xff\xd0"):
        assert decode(io.BytesIO(jpeg(between, exif))).size == (96, 64)


def test_a_png_may_have_many_chunks_beside_its_pixels():
    assert decode(io.BytesIO(png(*[chunk(b"mkBT", b"x" * 100)] * 400))).size == (64, 96)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(format, orientation):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture(1).save(file, format, exif=exif)
    with Image.open(file) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert decode(file).tobytes() == expected.tobytes()


def test_other_byte_orders_and_types_of_the_orientation_are_read():
    for order, number in (("II", "little"), ("MM", "big")):
        for kind, size in ((3, 2), (4, 4)):
            entry = b"".join(
                value.to_bytes(length, number) for value, length in ((0x112, 2), (kind, 2), (1, 4), (6, size))
            )
            exif = order.encode() + (42).to_bytes(2, number) + (8).to_bytes(4, number) + (1).to_bytes(2, number) + entry
            file = io.BytesIO()
            picture(1).save(file, "WEBP", exif=exif + bytes(8))
            assert without_metadata(file.getvalue())[1] == 6
            file = io.BytesIO()
            picture(1).save(file, "WEBP", exif=exif.replace(b"\6", b"\x63") + bytes(8))
            assert without_metadata(file.getvalue())[1] == 1


def test_animations_transparency_and_sixteen_bits_stay():
    clear = Image.new("RGBA", (60, 90), (200, 40, 40, 128))
    for format in ("PNG", "WEBP"):
        file = io.BytesIO()
        clear.save(file, format, save_all=True, append_images=[Image.new("RGBA", (60, 90), "blue")], lossless=True)
        with Image.open(io.BytesIO(without_metadata(file.getvalue())[0])) as image:
            assert (image.n_frames, image.mode, image.getpixel((0, 0))) == (2, "RGBA", (200, 40, 40, 128))
    deep = io.BytesIO()
    Image.fromarray(np.full((90, 60), 40_000, np.uint16)).save(deep, "PNG")
    with Image.open(io.BytesIO(without_metadata(deep.getvalue())[0])) as image:
        assert image.getpixel((0, 0)) == 40_000
