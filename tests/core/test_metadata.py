"""What pictures hold beside their pixels: nearly all of it is left out, at no cost, and the rest stays."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from banners.images import decode
from banners.metadata import without_metadata
from tests.conftest import ROOT, picture
from tests.core.metadata_bombs import BOMBS

# Each bomb in a process of its own, whose peak of memory counts from where it begins.
_MEASURE = """
import io, json, os, sys, time
from pathlib import Path
from banners.audit import examine
from banners.games_csv import Banner
from banners.images import decode
from tests.core.metadata_bombs import BOMBS, jpeg, png, webp
from webapp.local_images import LocalImage, thumbnail
from webapp.queries.uploads import decode_upload, is_animated

def kilobytes(name):
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith(name))

def upload(path):
    data = path.read_bytes()
    decode_upload(data, 224), is_animated(data)

uses = {
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
for name, data in BOMBS.items():
    path.write_bytes(data)
    for use in uses:
        if os.fork():
            os.wait()
            continue
        Path("/proc/self/clear_refs").write_text("5")
        before, begun = kilobytes("VmRSS"), time.process_time()
        uses[use](path)
        print(json.dumps([name, use, time.process_time() - begun, (kilobytes("VmHWM") - before) / 1024]), flush=True)
        os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process' memory")
def test_whatever_a_small_picture_carries_costs_hardly_any_time_or_memory(tmp_path):
    command = [sys.executable, "-c", _MEASURE, str(tmp_path / "bomb")]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    measured = [json.loads(line) for line in lines]
    assert len(measured) == 4 * len(BOMBS)
    assert [one for one in measured if one[2] > 0.3 or one[3] > 60] == []


@pytest.mark.parametrize("name", BOMBS)
def test_their_pixels_and_orientation_count(name):
    image = decode(io.BytesIO(BOMBS[name]))
    assert image.size == ((96, 64) if "EXIF" in name and "text" not in name else (64, 96))
    assert np.abs(np.asarray(image).astype(int) - (255, 0, 0)).max() < 5


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
            assert without_metadata(file.getvalue()).orientation == 6
            file = io.BytesIO()
            picture(1).save(file, "WEBP", exif=exif.replace(b"\6", b"\x63") + bytes(8))
            assert without_metadata(file.getvalue()).orientation == 1


def test_animations_transparency_and_sixteen_bits_stay():
    clear = Image.new("RGBA", (60, 90), (200, 40, 40, 128))
    for format in ("PNG", "WEBP"):
        file = io.BytesIO()
        clear.save(file, format, save_all=True, append_images=[Image.new("RGBA", (60, 90), "blue")], lossless=True)
        with Image.open(io.BytesIO(without_metadata(file.getvalue()).data)) as image:
            assert (image.n_frames, image.mode, image.getpixel((0, 0))) == (2, "RGBA", (200, 40, 40, 128))
    deep = io.BytesIO()
    Image.fromarray(np.full((90, 60), 40_000, np.uint16)).save(deep, "PNG")
    with Image.open(io.BytesIO(without_metadata(deep.getvalue()).data)) as image:
        assert image.getpixel((0, 0)) == 40_000
