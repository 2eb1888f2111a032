"""Uploads: hostile pictures, metadata, sizes, and what is kept of them."""

import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from banners.errors import UnusableImage
from tests.colour_clip import coloured
from tests.webapp.query_site import encoded, form
from webapp.queries.uploads import MAX_BYTES, decode_upload


@pytest.fixture
def client(query_app):
    return query_app.test_client()


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares a size and has hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def scans(count: int) -> bytes:
    data = encoded(coloured("red"), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


GIF = encoded(coloured("red"), "GIF")


ANIMATED = encoded(coloured("red"), "WEBP", save_all=True, append_images=[coloured("blue")])


def with_segments(segment: bytes, count: int) -> bytes:
    whole = encoded(coloured("red"), "JPEG")
    return whole[:2] + segment * count + whole[2:]


def app1(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def with_chunks(kind: bytes, data: bytes, count: int) -> bytes:
    whole = encoded(coloured("red"))
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole[:33] + chunk * count + whole[33:]


def in_scans(width: int, height: int) -> bytes:
    """The beginning of a baseline JPEG of four components with a scan for each."""
    size = height.to_bytes(2) + width.to_bytes(2)
    frame = b"\xff\xc0\x00\x14\x08" + size + b"\x04" + b"".join(bytes([n, 0x11, 0]) for n in range(1, 5))
    return b"\xff\xd8" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(1000) + b"\xff\xd9"


HOSTILE = {
    "large JPEG in several scans": in_scans(9456, 9456),
    "segments of metadata": with_segments(app1(b"Exif\0\0" + b"x" * 100), 87_000),
    "empty segments": with_segments(b"\xff\xef\0\2", 2_400_000),
    "bytes that fill": with_segments(b"\xff", 9_800_000),
    "bytes between segments": with_segments(b"\0", 9_800_000),
    "compressed profiles": with_chunks(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 10**6, 9), 9600),
    "empty chunks": with_chunks(b"zzZz", b"", 800_000),
    "empty chunks of pixels": with_chunks(b"IDAT", b"", 800_000),
    "empty": b"",
    "text": b"hello",
    "gif": GIF,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "truncated": encoded(coloured("red"))[:200],
    "huge": bomb(60_000, 60_000),
    "large": bomb(10_000, 10_000),
    "elongated": bomb(1, 20_000),
    "zip after a header": b"\x89PNG\r\n\x1a\nPK\x03\x04" + b"x" * 100,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "scans": scans(200),
    "large and progressive": encoded(Image.new("RGB", (4000, 4000)), "JPEG", progressive=True),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_usable_picture_is_a_clear_4xx(client, name):
    started = time.process_time()
    response = client.post("/upload", **form(HOSTILE[name]))
    assert response.status_code == 415
    advice = "Make it smaller: 600x900 is enough" if name.startswith(("huge", "large")) else "Send a JPEG, PNG or WebP"
    assert advice in response.get_data(as_text=True)
    response = client.post("/api/v1/pictures", data=HOSTILE[name], content_type="image/png")
    assert (response.status_code, response.mimetype) == (415, "application/problem+json")
    assert time.process_time() - started < 2


@pytest.mark.parametrize(("side", "reason"), [(9456, "several scans"), (30, "unreadable")])
def test_a_large_jpeg_in_several_scans_is_refused_unseen(side, reason):
    with pytest.raises(UnusableImage, match=reason):
        decode_upload(in_scans(side, side), 100)


def test_pictures_with_the_metadata_that_cameras_write_are_taken(client):
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    profile = b"\0" * 2_000_000  # as many segments of a JPEG
    for kind in ("JPEG", "WEBP", "PNG"):
        data = encoded(coloured("green"), kind, exif=exif, icc_profile=profile if kind == "JPEG" else b"\0" * 200)
        assert client.post("/upload", **form(data)).status_code == 303


def test_a_picture_whose_type_is_wrong_and_one_with_something_behind_it_are_what_they_are(client):
    data = encoded(coloured("green"), "JPEG") + b"<script>alert(1)</script>PK\x03\x04"
    response = client.post("/upload", **form(data, "../../etc/passwd", "text/html"))
    assert response.status_code == 303


def test_of_an_animation_the_first_frame_is_looked_at_and_that_is_said(client):
    answer = client.post("/api/v1/pictures?n=2", data=ANIMATED, content_type="image/webp").get_json()
    assert answer["is_first_frame"]
    still = client.post(
        "/api/v1/pictures?n=2", data=encoded(coloured("red"), "WEBP"), content_type="image/png"
    ).get_json()
    assert not still["is_first_frame"]
    assert [one["game"] for one in answer["results"]] == [one["game"] for one in still["results"]]
    page = client.post("/upload", **form(ANIMATED), follow_redirects=True).get_data(as_text=True)
    assert "only its first frame was looked at" in page


def test_what_is_odd_beside_the_pixels_does_not_count(client):
    jpeg = encoded(coloured("red"), "JPEG")
    for data in (jpeg[:-2], jpeg[:-2] + b"phone" + jpeg[-2:], with_chunks(b"pHYs", b"1", 1)):
        assert client.post("/upload", **form(data)).status_code == 303
    answer = client.post("/upload", **form(b"\x89PNG\r\n\x1a\n"))
    assert answer.status_code == 415
    assert "a damaged PNG" in answer.get_data(as_text=True)


def test_the_form_says_the_limits(client):
    assert "up to 10 MB and 9 megapixels; 600x900 is enough" in client.get("/upload").get_data(as_text=True)


def test_a_photograph_of_a_phone_is_shrunk_while_it_is_decoded(client):
    data = encoded(coloured("blue").resize((8000, 6000)), "JPEG", quality=50)
    answer = client.post("/api/v1/pictures?n=2", data=data, content_type="image/jpeg").get_json()
    assert {result["game"]["appid"] for result in answer["results"]} == {31, 32}


def test_random_damage_is_never_more_than_a_415(client):
    random = np.random.default_rng(0)
    whole = [encoded(coloured("red"), kind) for kind in ("PNG", "JPEG", "WEBP")]
    for number in range(150):
        data = bytearray(whole[number % 3])
        for _ in range(random.integers(1, 20)):
            data[random.integers(0, len(data))] = random.integers(0, 256)
        response = client.post("/api/v1/pictures", data=bytes(data), content_type="image/png")
        assert response.status_code in (200, 415)


def test_too_many_bytes_are_a_413_too_many_fields_a_400_and_wrong_forms_a_415(client):
    large = b"x" * (MAX_BYTES + 20_000)
    assert client.post("/upload", **form(large)).status_code == 413
    assert client.post("/api/v1/pictures", data=large, content_type="image/png").status_code == 413
    assert client.post("/upload", data={"other": "x"}).status_code == 415
    assert client.post("/upload", data={"picture": "not a file"}).status_code == 415
    many = {f"field{n}": "x" for n in range(50)}
    assert client.post("/upload", data=many, content_type="multipart/form-data").status_code == 400


def test_of_an_upload_nothing_is_written_to_a_disk(client, monkeypatch):
    import tempfile

    def refuse(*_, **__):
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    data = encoded(Image.fromarray(noise))
    assert len(data) > 1_000_000
    assert client.post("/upload", **form(data)).status_code == 303


def test_fifty_uploads_at_once_are_all_answered(query_app):
    data = encoded(coloured("blue", 3, (600, 900)))
    statuses = []

    def send() -> None:
        response = query_app.test_client().post("/upload", **form(data))
        statuses.append(response.status_code)

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [303] * 50
