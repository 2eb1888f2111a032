import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageCms

from banners import images
from banners.errors import BadInput, UnusableImage
from banners.images import Preprocessing, decode, to_rgb
from tests.conftest import picture

CLIP = {
    "crop_size": {"height": 32, "width": 32},
    "do_center_crop": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"shortest_edge": 32},
}


def encoded(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def test_greyscale_cmyk_and_palette_images_become_rgb():
    rgb = picture(1)
    grey = decode(encoded(rgb.convert("L"), "JPEG"))
    assert grey.mode == "RGB"
    assert np.ptp(np.asarray(grey).astype(int), axis=2).max() == 0
    assert decode(encoded(rgb.convert("CMYK"), "JPEG")).mode == "RGB"
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(np.asarray(decode(encoded(palette, "PNG"))), np.asarray(palette.convert("RGB")))


def test_a_16_bit_greyscale_is_scaled_not_clipped():
    ramp = (np.arange(60 * 90).reshape(90, 60) * 12).astype(np.uint16)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG")))
    assert np.array_equal(pixels[:, :, 0], (ramp >> 8).astype(np.uint8))


def test_transparency_is_composited_on_black():
    image = Image.new("RGBA", (60, 90), (200, 100, 50, 0))
    image.putpixel((3, 4), (200, 100, 50, 255))
    pixels = np.asarray(decode(encoded(image, "PNG")))
    assert pixels[4, 3].tolist() == [200, 100, 50]
    assert pixels[0, 0].tolist() == [0, 0, 0]


def test_the_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees clockwise
    assert decode(encoded(picture(1, (60, 90)), "JPEG", exif=exif)).size == (90, 60)


def test_broken_metadata_do_not_condemn_whole_pixels():
    for format in ("JPEG", "PNG", "WEBP"):
        assert decode(encoded(picture(1), format, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x99" * 40)).size == (
            60,
            90,
        )


def png_of_declared_size(width: int, height: int) -> io.BytesIO:
    """A PNG that announces any size, and has next to no pixels."""
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(b"\0" * 1000),
    )
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in chunks)
    )


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (lambda: io.BytesIO(b""), "the file is empty"),
        (lambda: io.BytesIO(encoded(picture(1), "PNG").getvalue()[:20]), "unreadable: Truncated"),
        (lambda: io.BytesIO(encoded(picture(1), "PNG").getvalue()[:8]), "unreadable: a damaged PNG"),
        (lambda: io.BytesIO(b"<html>busy</html>"), "not a JPEG, PNG or WebP"),
        (lambda: encoded(picture(1), "GIF"), "not a JPEG, PNG or WebP"),
        (lambda: io.BytesIO(encoded(picture(1), "JPEG").getvalue()[:-200]), "unreadable"),
        (lambda: io.BytesIO(encoded(picture(1), "PNG").getvalue()[:-200]), "unreadable"),
        (lambda: io.BytesIO(encoded(picture(1), "WEBP").getvalue()[:-200]), "unreadable"),
        (lambda: png_of_declared_size(10_000, 10_000), "oversized"),
        (lambda: png_of_declared_size(60_000, 60_000), "oversized"),
        (lambda: encoded(Image.new("RGB", (10, 600)), "PNG"), "elongated: 10x600"),
        (
            lambda: encoded(picture(1), "WEBP", save_all=True, append_images=[picture(2)]),
            "animated: 2 frames",
        ),
        (lambda: encoded(picture(1), "PNG", save_all=True, append_images=[picture(2)]), "animated: 2 frames"),
    ],
)
def test_what_cannot_be_embedded_is_refused_with_its_reason(file, reason):
    with pytest.raises(UnusableImage, match=reason):
        decode(file())


def test_a_jpeg_that_is_cut_short_counts_only_if_every_pixel_is_there():
    rng = np.random.default_rng(3)
    image = Image.fromarray(rng.integers(0, 256, (90, 60, 3), np.uint8))
    whole = encoded(image, "JPEG", quality=30).getvalue()
    expected = decode(io.BytesIO(whole)).tobytes()
    usable = []
    for length in range(len(whole) - 200, len(whole)):
        with suppress(UnusableImage):
            assert decode(io.BytesIO(whole[:length])).tobytes() == expected, length
            usable.append(length)
    assert len(whole) - 2 in usable
    assert min(usable) >= len(whole) - 4
    assert decode(io.BytesIO(whole[:-2] + b"more of a phone" + whole[-2:])).tobytes() == expected


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"tEXt", b"a\0b", checksum=1),
        chunk(b"pHYs", b"\1"),
        chunk(b"iCCP", b"x"),
        chunk(b"tRNS", b"\1"),
        chunk(b"gAMA", b"\1"),
        chunk(b"eXIf", b"II*\0"),
    ],
)
def test_what_is_odd_beside_the_pixels_of_a_png_does_not_count(odd):
    whole = encoded(picture(1), "PNG").getvalue()
    expected = decode(io.BytesIO(whole)).tobytes()
    assert decode(io.BytesIO(whole[:33] + odd + whole[33:])).tobytes() == expected


def test_a_transparent_png_with_an_odd_chunk_keeps_its_transparency():
    image = Image.new("P", (60, 90))
    image.putpalette([200, 100, 50] * 256)
    whole = encoded(image, "PNG", transparency=0).getvalue()
    odd = whole[:33] + chunk(b"pHYs", b"\1") + whole[33:]
    assert np.asarray(decode(io.BytesIO(odd)))[0, 0].tolist() == [0, 0, 0]


def profile(gamut: float) -> bytes:
    """An ICC profile of RGB whose red is that of sRGB moved towards a wider gamut."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = made.index(b"rXYZ", made.index(b"XYZ "))
    entry = made.index(b"rXYZ")
    offset = int.from_bytes(made[entry + 4 : entry + 8])
    made[offset + 8 : offset + 12] = int(gamut * 65536).to_bytes(4)
    name = made.index("sRGB".encode("utf-16-be")) if "sRGB".encode("utf-16-be") in made else made.index(b"sRGB")
    made[name : name + 2] = b"\0X" if made[name] == 0 else b"XX"
    return bytes(made) if at else b""


def test_a_colour_profile_is_applied():
    red = Image.new("RGB", (60, 90), (200, 40, 40))
    plain = np.asarray(decode(encoded(red, "PNG")))[0, 0]
    wide = np.asarray(decode(encoded(red, "PNG", icc_profile=profile(0.6))))[0, 0]
    same = np.asarray(decode(encoded(red, "PNG", icc_profile=profile(0.4361))))[0, 0]
    assert wide[0] > plain[0] + 20
    assert np.abs(same.astype(int) - plain).max() <= 2
    for broken in (b"nonsense", profile(0.6)[:200]):
        assert np.asarray(decode(encoded(red, "PNG", icc_profile=broken)))[0, 0].tolist() == plain.tolist()
    grey = Image.new("L", (60, 90), 99)  # a profile of other colours than the picture's
    assert np.asarray(decode(encoded(grey, "PNG", icc_profile=profile(0.6))))[0, 0].tolist() == [99, 99, 99]


def test_a_picture_with_a_profile_is_upright_and_keeps_its_transparency():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture(1, (60, 90)), "JPEG", exif=exif, icc_profile=profile(0.6))
    assert decode(turned).size == (90, 60)
    red = Image.new("RGB", (60, 90), (200, 40, 40))
    clear = encoded(red, "PNG", transparency=(200, 40, 40), icc_profile=profile(0.6))
    assert np.asarray(decode(clear)).max() == 0


def test_every_truncation_of_a_file_is_refused_or_decoded_and_never_anything_else():
    for format in ("JPEG", "PNG", "WEBP"):
        whole = encoded(picture(1), format).getvalue()
        for length in range(0, len(whole), 37):
            try:
                decode(io.BytesIO(whole[:length]))
            except UnusableImage:
                continue


def test_random_damage_is_refused_or_decoded_and_never_anything_else():
    random = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP"):
        whole = np.frombuffer(encoded(picture(1), format).getvalue(), np.uint8)
        for _ in range(200):
            damaged = whole.copy()
            damaged[random.integers(len(whole), size=8)] = random.integers(256, size=8)
            try:
                assert decode(io.BytesIO(damaged.tobytes())).mode == "RGB"
            except UnusableImage:
                continue


def test_metadata_of_another_type_than_they_should_have_leave_the_pixels_whole():
    tags = struct.pack("<H", 2) + struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHII", 0x13B, 5, 1, 38)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + tags + bytes(4) + struct.pack("<II", 1, 2)
    file = io.BytesIO()
    picture(1).save(file, "JPEG", exif=exif)
    assert decode(file).size in ((60, 90), (90, 60))


def test_sixteen_bits_are_scaled_to_eight():
    grey = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    assert np.asarray(to_rgb(grey))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_squash_shows_the_whole_banner_and_crop_cuts_top_and_bottom():
    banner = Image.new("RGB", (60, 90), "white")
    banner.paste("black", (0, 0, 60, 10))
    squashed = Preprocessing.from_config(CLIP, "squash").pixels(banner)
    cropped = Preprocessing.from_config(CLIP, "crop").pixels(banner)
    assert squashed.shape == cropped.shape == (32, 32, 3)
    assert squashed[0].max() == 0
    assert cropped.min() == 255


def test_pad_keeps_the_aspect_and_fills_with_the_mean_colour():
    padded = Preprocessing.from_config(CLIP, "pad").pixels(Image.new("RGB", (60, 90), "white"))
    assert padded[16, 0].tolist() == [123, 117, 104]
    assert padded[:, 16].min() == 255


@pytest.mark.parametrize("size", [(300, 450), (460, 215), (301, 450), (32, 33), (20, 31), (333, 32)])
def test_crop_gives_what_hugging_face_gives(size):
    from transformers import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil(**CLIP)(picture(3, size), return_tensors="np")["pixel_values"]
    ours = Preprocessing.from_config(CLIP, "crop")
    scale, shift = ours.scale_and_shift
    normalised = ours.pixels(picture(3, size)) * np.array(scale) - np.array(shift)
    np.testing.assert_allclose(normalised.transpose(2, 0, 1)[None], theirs, atol=1e-5)


def test_configurations_of_the_old_form_read_the_same():
    old = {**CLIP, "size": 32, "crop_size": 32}
    assert Preprocessing.from_config(old, "crop") == Preprocessing.from_config(CLIP, "crop")


def test_an_encoder_that_does_not_normalise_takes_what_is_scaled():
    raw = Preprocessing.from_config({**CLIP, "do_normalize": False}, "crop")
    assert raw.scale_and_shift == ((1 / 255,) * 3, (0.0,) * 3)


def test_convnext_is_resized_by_its_crop_percentage_first():
    small = Preprocessing.from_config(
        {**CLIP, "do_center_crop": False, "crop_pct": 0.875, "size": {"shortest_edge": 224}}, "crop"
    )
    assert (small.height, small.width, small.shortest_edge) == (224, 224, 256)
    large = Preprocessing.from_config(
        {**CLIP, "do_center_crop": False, "crop_pct": 0.875, "size": {"shortest_edge": 384}}, "crop"
    )
    assert (large.height, large.shortest_edge) == (384, 384)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {**CLIP, "size": None},
        {**CLIP, "image_mean": [0.5]},
        {**CLIP, "crop_size": 10**9},
        {**CLIP, "resample": 99},
        {**CLIP, "image_std": [0.0, 1.0, 1.0]},
        {**CLIP, "image_mean": [float("nan")] * 3},
        {**CLIP, "do_rescale": False},
        {**CLIP, "rescale_factor": 1.0},
        {**CLIP, "rescale_offset": True},
        {**CLIP, "include_top": True},
        {**CLIP, "crop_size": float("inf")},
        {**CLIP, "size": 10**400},
        {**CLIP, "rescale_factor": 10**400},
        {**CLIP, "image_mean": [10**400] * 3},
        {**CLIP, "size": {"shortest_edge": 224}, "crop_pct": "0.0"},
        {**CLIP, "size": {"shortest_edge": 224}, "crop_pct": 1e-320},
        {**CLIP, "size": {"shortest_edge": 224}, "crop_pct": 1e-9},
    ],
)
def test_an_unusable_configuration_is_refused(config):
    with pytest.raises(BadInput, match=r"preprocessor_config\.json"):
        Preprocessing.from_config(config, "crop")


def test_a_file_too_long_for_a_banner_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    (tmp_path / "1.png").write_bytes(bytes(1001))
    with pytest.raises(UnusableImage, match="oversized"):
        images.read(tmp_path / "1.png")
