"""Banners: local files, Steam's CDN, and the card that other sites show."""

import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from banners.errors import BadInput
from banners.games_csv import Game
from banners.vectors.neighbours import Neighbours
from tests.catalogues import save_catalogue
from tests.conftest import picture
from tests.webapp.small_site import make_catalogue, text
from webapp import create_app


def test_banners_of_a_steam_catalogue_come_from_the_stored_path_if_it_is_one(tmp_path):
    paths = ["0123abcd/library.capsule.jpg", "../../evil.jpg", "https://evil.example/x.jpg", "a.jpg?x=<b>", "", 7]
    rows = np.array([[(row + 1) % 6] for row in range(6)], np.int32)
    save_catalogue(
        tmp_path / "c",
        games=[Game(row + 1, "x", {"image_path": path}) for row, path in enumerate(paths)],
        neighbours={"plain": Neighbours(rows, None)},
        about={"images": {"source": "steam", "width": 460, "height": 215}},
    )
    client = create_app({"CATALOGUE": tmp_path / "c"}).test_client()
    base = "https://shared.akamai.steamstatic.com/store_item_assets/steam/apps"
    page = text(client, "/search?q=x")
    assert re.findall('src="(http[^"]*)"', page) == [
        f"{base}/1/0123abcd/library.capsule.jpg",
        *(f"{base}/{appid}/header.jpg" for appid in range(2, 7)),
    ]
    assert 'width="460" height="215"' in page
    assert client.get("/aspect.css?v=460x215").data == b":root { --aspect: 460 / 215; }\n"


def test_the_picture_host_the_version_and_the_larger_size_are_those_that_are_known(tmp_path):
    known = [
        {"image_path": "ab/library_capsule.jpg?t=7", "image_path_2x": "cd/library_capsule_2x.jpg?t=7"},
        {"image_path": "ab/library_capsule.jpg?t=7"},
        {"image_path": "library_600x900.jpg?t=8"},
        {"image_path": "ab/library_capsule.jpg?t=7", "image_path_2x": "https://evil.example/x.jpg"},
    ]
    save_catalogue(
        tmp_path / "c",
        games=[Game(row + 1, "x", one) for row, one in enumerate(known)],
        neighbours={"plain": Neighbours(np.array([[(row + 1) % 4] for row in range(4)], np.int32), None)},
        about={"images": {"source": "steam", "width": 300, "height": 450}},
    )
    client = create_app({"CATALOGUE": tmp_path / "c", "STEAM_CDN_URL": "https://covers.example/apps/"}).test_client()
    found = re.findall('src="(http[^"]*)"(?: srcset="([^"]*)")?', text(client, "/search?q=x"))
    base = "https://covers.example/apps"
    assert found == [
        (
            f"{base}/1/ab/library_capsule.jpg?t=7",
            f"{base}/1/ab/library_capsule.jpg?t=7 300w, {base}/1/cd/library_capsule_2x.jpg?t=7 600w",
        ),
        (f"{base}/2/ab/library_capsule.jpg?t=7", ""),
        (
            f"{base}/3/library_600x900.jpg?t=8",
            f"{base}/3/library_600x900.jpg?t=8 300w, {base}/3/library_600x900_2x.jpg?t=8 600w",
        ),
        (f"{base}/4/ab/library_capsule.jpg?t=7", ""),
    ]
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "img-src 'self' https://covers.example;" in policy
    with pytest.raises(BadInput, match="STEAM_CDN_URL"):
        create_app({"CATALOGUE": tmp_path / "c", "STEAM_CDN_URL": "covers.example"})


def test_a_local_image_is_served_and_nothing_else_of_the_disk(client, tmp_path):
    response = client.get("/banners/10.jpg", buffered=True)
    assert response.mimetype == "image/jpeg"
    assert response.data == (tmp_path / "banners" / "10.jpg").read_bytes()
    again = client.get("/banners/10.jpg", headers={"If-None-Match": response.headers["ETag"]}, buffered=True)
    assert again.status_code == 304
    (tmp_path / "banners" / "11.jpg").write_text("later")
    for url in (
        "/banners/11.jpg",
        "/banners/10.png",
        "/banners/20.jpg",
        "/banners/../c/manifest.json",
        "/banners/%2e%2e/x.jpg",
    ):
        assert client.get(url).status_code == 404, url


def test_a_game_without_an_image_gets_no_broken_address(client):
    page = text(client, "/render/20")
    assert 'src="/thumbnails/200/10.webp' in page
    assert re.search(r'<span class="art-title hue-[0-5]" aria-hidden="true">Portal 2</span>', page)
    assert "steamstatic" not in page


def test_images_that_come_to_hand_make_another_page(tmp_path):
    make_catalogue(tmp_path / "c")
    tags = []
    for banners in (None, tmp_path / "b"):
        if banners:
            banners.mkdir()
            picture(1).save(banners / "10.png")
        page = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": banners or ""}).test_client().get("/render/10")
        tags.append(page.headers["ETag"])
    assert tags[0] != tags[1]


def test_only_images_are_handed_out_and_drawn(tmp_path):
    make_catalogue(tmp_path / "c")
    banners = tmp_path / "b"
    banners.mkdir()
    for appid in (10, 20, 30, 40, 60):
        picture(appid, (60, 90)).save(banners / f"{appid}.jpg")
    client = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": banners}).test_client()
    first = client.get("/share/10.jpg").data
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (banners / "20.jpg").unlink()
    (banners / "20.jpg").symlink_to(secret)
    (banners / "30.jpg").unlink()
    os.mkfifo(banners / "30.jpg")
    picture(40, (3000, 3000)).save(banners / "40.jpg")  # more than a banner has, and embedded all the same
    for appid in (20, 30):
        assert client.get(f"/banners/{appid}.jpg").status_code == 404
        assert client.get(f"/share/{appid}.jpg").status_code == 404
    assert client.get("/share/40.jpg").status_code == 200
    assert client.get("/thumbnails/200/40.webp").status_code == 200
    assert client.get("/share/10.jpg").data != first
    (banners / "10.jpg").unlink()
    assert client.get("/share/10.jpg").status_code == 404


def test_the_aspect_is_kept_for_long_only_under_its_own_name(client):
    right = re.search(r"/aspect.css\?v=([0-9x]+)", text(client, "/about"))[1]
    assert "max-age=31536000" in client.get(f"/aspect.css?v={right}").headers["Cache-Control"]
    for url in ("/aspect.css", "/aspect.css?v=1x1"):
        assert "max-age=86400" in client.get(url).headers["Cache-Control"]


def test_banners_come_in_the_size_of_a_card_under_an_address_that_changes_with_them(client, tmp_path):
    for width in (200, 400):
        url = re.search(rf"/thumbnails/{width}/10\.webp\?v=\w+", text(client, "/render/20"))[0]
        picture(width, (600, 900)).save(tmp_path / "banners" / "10.jpg")
        stale = client.get(url)
        assert "max-age=86400" in stale.headers["Cache-Control"]  # the file is another by now
        app = create_app({"CATALOGUE": tmp_path / "c", "BANNERS": tmp_path / "banners"})
        url = re.search(rf"/thumbnails/{width}/10\.webp\?v=\w+", text(app.test_client(), "/render/20"))[0]
        response = app.test_client().get(url)
        assert "max-age=31536000" in response.headers["Cache-Control"]
        with Image.open(io.BytesIO(response.data)) as small:
            assert (small.format, small.size) == ("WEBP", (width, width * 3 // 2))
    assert client.get("/thumbnails/300/10.webp").status_code == 404
    assert client.get("/thumbnails/200/20.webp").status_code == 404
    (tmp_path / "banners" / "10.jpg").write_bytes(b"no image")
    assert client.get("/thumbnails/200/10.webp").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status"), [("bytes=0-1", 206), ("bytes=0-1,5-6", 200), ("items=0-1", 200), ("bytes=x", 200)]
)
def test_unknown_and_multiple_ranges_are_ignored(client, asked, status):
    with client.get("/banners/10.jpg", headers={"Range": asked}) as answer:
        assert answer.status_code == status


def test_a_very_long_banner_has_thumbnails(tmp_path):
    (tmp_path / "banners").mkdir()
    Image.new("RGB", (340, 16_900), "red").save(tmp_path / "banners" / "10.jpg")
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "banners"}).test_client()
    for width in (200, 400):
        thumbnail = client.get(f"/thumbnails/{width}/10.webp")
        assert thumbnail.status_code == 200
        assert max(Image.open(io.BytesIO(thumbnail.data)).size) <= 16_383
    assert client.get("/share/10.jpg").status_code == 200


def test_a_file_larger_than_any_that_is_embedded_is_neither_sent_nor_read(tmp_path):
    (tmp_path / "banners").mkdir()
    picture(1).save(tmp_path / "banners" / "10.jpg")
    with (tmp_path / "banners" / "10.jpg").open("r+b") as file:
        file.truncate(5_000_000_000)  # sparse
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": tmp_path / "banners"}).test_client()
    for address in ("/banners/10.jpg", "/thumbnails/200/10.webp", "/share/10.jpg"):
        assert client.get(address).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_truncated_while_it_is_sent_ends_the_connection(tmp_path, method):
    folder = tmp_path / "banners"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    Image.fromarray(noise).save(folder / "10.png", compress_level=0)
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "BANNERS": folder}).test_client()
    response = client.open("/banners/10.png", method=method, buffered=False)
    assert response.content_length == (folder / "10.png").stat().st_size
    if method == "HEAD":
        response.close()
        return
    chunks = response.iter_encoded()
    next(chunks)
    with (folder / "10.png").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(ConnectionResetError):
        list(chunks)
    response.close()


@pytest.mark.parametrize("address", ["/banners/10.jpg", "/render/10", "/api/v1/games/10", "/static/site.css"])
def test_preconditions_are_those_of_rfc_9110(client, address):
    assert client.get(address, headers={"If-Match": "*"}, buffered=True).status_code == 200
    other = client.get(address, headers={"If-Match": '"of another version"'}, buffered=True)
    assert other.status_code == 412
    assert other.data == b""
    assert other.headers["Cache-Control"] == "no-store"
