"""CATALOGUE_URL: the catalogue is fetched before the start, and looked for again while the server runs."""

import os
import shutil
import time
from collections.abc import Iterator

import pytest

from banners.errors import BadCatalogue, BadInput, Unavailable
from tests.archive_server import ArchiveServer, archive_server, sending, status
from tests.servers import serving, start
from tests.webapp.small_site import make_catalogue
from webapp import create_app


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with archive_server() as served:
        yield served


def settings(tmp_path, url, **more):
    return {"CATALOGUE": str(tmp_path / "c"), "CATALOGUE_URL": url, **more}


def test_an_empty_place_is_filled_before_the_start_and_no_request_fetches(tmp_path, server):
    sha256 = server.put(make_catalogue(tmp_path / "source"))
    client = create_app(settings(tmp_path, f"{server.url}#sha256={sha256}")).test_client()
    for path in ("/", "/render/10", "/readyz"):
        assert client.get(path).status_code == 200
    assert server.asked == 1


@pytest.mark.parametrize("trouble", [status(500), sending(b"<html>"), sending(b"x", length=100)])
def test_what_cannot_be_fetched_is_served_as_it_was_or_ends_the_start(tmp_path, server, caplog, monkeypatch, trouble):
    server.trouble = trouble
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises((Unavailable, BadCatalogue)):
        create_app(settings(tmp_path, server.url))
    make_catalogue(tmp_path / "c")
    client = create_app(settings(tmp_path, server.url)).test_client()
    assert client.get("/render/10").status_code == 200
    assert "keeping the present catalogue: http://127.0.0.1" in caplog.text


def test_a_start_without_a_catalogue_asks_again_and_one_with_a_catalogue_does_not_wait(tmp_path, server, monkeypatch):
    server.put(make_catalogue(tmp_path / "source"))
    server.trouble = status(503)
    # Threads of other tests may sleep too, before the first request.
    monkeypatch.setattr(time, "sleep", lambda _: server.asked and setattr(server, "trouble", None))
    assert create_app(settings(tmp_path, server.url)).test_client().get("/render/10").status_code == 200
    assert server.asked == 2
    create_app(settings(tmp_path, server.url, CATALOGUE_RECHECK="60"))
    assert server.asked == 2
    create_app(settings(tmp_path, server.url))
    assert server.asked == 3


@pytest.mark.parametrize("more", [{"CATALOGUE_URL": "http://example.org/c"}, {"CATALOGUE_RECHECK": "often"}])
def test_settings_that_mean_nothing_end_the_start_even_if_there_is_a_catalogue(tmp_path, server, more):
    make_catalogue(tmp_path / "c")
    with pytest.raises(BadInput):
        create_app(settings(tmp_path, server.url) | more)


def test_a_start_without_a_catalogue_is_one_line(tmp_path):
    url = "http://127.0.0.1:9/c.tar.gz"
    output, _ = start(tmp_path / "c", CATALOGUE_URL=url, CATALOG_URL="x").process.communicate(timeout=60)
    lines = output.splitlines()
    assert lines[-1].startswith(f"steam-clip: cannot start: {url}: ")
    assert "CATALOG_URL is no setting; is CATALOGUE_URL meant?" in lines[0]
    assert ["once more in" in line for line in lines] == [False, True, True, False]


def test_one_worker_looks_again_and_all_serve_the_new_catalogue(tmp_path, server):
    server.put(make_catalogue(tmp_path / "source"))
    create_app(settings(tmp_path, server.url))
    server.put(make_catalogue(tmp_path / "other", views=False), etag='"2"')
    # The time of the last check is that of a file: make it old. Both workers are due at once when they begin.
    long_ago = time.time() - 3600
    os.utime(tmp_path / "c" / "origin.json", (long_ago, long_ago))
    with serving(tmp_path / "c", CATALOGUE_URL=server.url, CATALOGUE_RECHECK="1") as served:
        deadline = time.monotonic() + 60
        while not all('"mirror"' not in served.get("/api/v1/catalogue")[1] for _ in range(8)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert server.sent == 2


def test_a_pinned_archive_is_not_looked_for_again_and_the_log_says_so(tmp_path, server):
    sha256 = server.put(make_catalogue(tmp_path / "source"))
    url = f"{server.url}#sha256={sha256}"
    with serving(tmp_path / "c", CATALOGUE_URL=url, CATALOGUE_RECHECK="1") as served:
        served.get("/")
        shutil.rmtree(tmp_path / "source")
        served.process.terminate()
        output = served.process.communicate(timeout=30)[0]
    assert output.count("CATALOGUE_RECHECK has no effect") == 1
    assert server.asked == 1
