"""Metrics, versions, the start, and what is kept in memory."""

import gc
import logging
import os
import subprocess
import sys
import threading
import time
import tomllib
import weakref
from collections import Counter

import pytest

from banners.catalogue import reader
from banners.catalogue.manifest import FORMAT_VERSION
from banners.errors import BadCatalogue, BadInput
from tests.conftest import ROOT
from tests.webapp.small_site import make_catalogue, text
from webapp import create_app


def test_metrics_count_requests_by_route_and_never_by_address(client):
    def counted() -> Counter:
        lines = client.get("/metrics").get_data(as_text=True).splitlines()
        return Counter({line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"})

    before = counted()
    for url in ("/render/10", "/render/20", "/render/11", "/nowhere/9", "/nowhere/8"):
        client.get(url)
    client.open("/", method="BREW")
    after = counted()
    route = 'route="/<variant:variant>/<appid:appid>"'
    assert (after - before)[f'steam_clip_requests_total{{method="GET",{route},status="200"}}'] == 2
    assert (after - before)[f'steam_clip_requests_total{{method="GET",{route},status="404"}}'] == 1
    assert (after - before)['steam_clip_requests_total{method="GET",route="none",status="404"}'] == 2
    assert (after - before)[f"steam_clip_request_seconds_count{{{route}}}"] == 3
    assert any('method="other"' in name for name in after - before)
    assert after["steam_clip_games"] == 8
    assert not any("nowhere" in name for name in after)


@pytest.mark.parametrize(
    ("readers", "request_headers", "address", "status"),
    [
        ("loopback", {}, "127.0.0.1", 200),
        ("loopback", {}, "::ffff:127.0.0.1", 200),
        ("loopback", {}, "192.0.2.1", 403),
        ("loopback", {}, "", 403),
        ("loopback", {"X-Forwarded-For": "192.0.2.1"}, "127.0.0.1", 403),
        ("all", {}, "192.0.2.1", 200),
        ("a-token-of-16-or-more", {}, "127.0.0.1", 403),
        ("a-token-of-16-or-more", {"Authorization": "Bearer other"}, "127.0.0.1", 403),
        ("a-token-of-16-or-more", {"Authorization": "Bearer \u00fc"}, "127.0.0.1", 403),
        ("a-token-of-16-or-more", {"Authorization": "Bearer a-token-of-16-or-more"}, "192.0.2.1", 200),
    ],
)
def test_metrics_are_for_this_machine_or_a_token(tmp_path, readers, request_headers, address, status):
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "METRICS": readers}).test_client()
    answer = client.get("/metrics", headers=request_headers, environ_overrides={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert ("steam_clip_info" in answer.get_data(as_text=True)) == (status == 200)


@pytest.mark.parametrize("readers", ["none", "loopbak", "1"])
def test_a_misspelt_reader_of_metrics_is_no_token(tmp_path, readers):
    with pytest.raises(BadInput, match="METRICS is neither"):
        create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "METRICS": readers})


def test_an_answer_has_the_id_of_the_router_or_one_of_its_own(client):
    assert client.get("/", headers={"X-Request-ID": "abc-123-def"}).headers["X-Request-ID"] == "abc-123-def"
    for sent in ({}, {"X-Request-ID": "x"}, {"X-Request-ID": 'a" forged="' * 3}, {"X-Request-ID": "a" * 200}):
        assert len(client.get("/", headers=sent).headers["X-Request-ID"]) == 16


def test_the_version_names_program_and_catalogue(client):
    version = client.get("/version").get_json()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version["version"] == project["version"]
    assert version["catalogue"] == {
        "format_version": FORMAT_VERSION,
        "created": version["catalogue"]["created"],
        "encoder": "test-encoder",
        "revision": "r1",
        "games": 8,
    }


def test_operations(client):
    assert client.get("/healthz").data == b"ok\n"
    ready = client.get("/readyz").get_json()
    assert (ready["ready"], ready["games"], ready["encoder"]) == (True, 8, "test-encoder")
    assert b"User-agent: *" in client.get("/robots.txt").data
    about = text(client, "/about")
    assert "test-encoder" in about
    assert "2 games share theirs" in about


def test_a_catalogue_that_cannot_be_served_stops_the_start(tmp_path):
    with pytest.raises(BadCatalogue, match="does not exist"):
        create_app({"CATALOGUE": tmp_path / "none"})
    make_catalogue(tmp_path / "c")
    with pytest.raises(BadInput, match="cannot read the banners folder"):
        create_app({"CATALOGUE": tmp_path / "c", "BANNERS": tmp_path / "none"})
    data = bytearray((tmp_path / "c" / "neighbours.npy").read_bytes())
    data[-4] ^= 1
    (tmp_path / "c" / "neighbours.npy").write_bytes(data)
    with pytest.raises(BadCatalogue, match="was changed"):
        create_app({"CATALOGUE": tmp_path / "c"})


def test_the_web_app_imports_neither_torch_nor_transformers(tmp_path):
    code = (
        "import sys; from webapp import create_app; client = create_app().test_client();"
        "print([client.get(url).status_code for url in ('/', '/render/10', '/unique', '/suggest?q=portal')],"
        "sorted({'torch', 'transformers', 'faiss', 'tqdm'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CATALOGUE": str(make_catalogue(tmp_path / "c"))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.strip() == "[200, 200, 200, 200] []"


def test_games_that_are_kept_stay_when_there_is_no_room_for_others(tmp_path, monkeypatch):
    from webapp import site

    monkeypatch.setattr(site, "GAMES_KEPT", 3)
    opened = site.Site(make_catalogue(tmp_path / "c"), None)
    opened.warm()
    for _ in range(2):
        assert [opened.game(row).name for row in range(8)][:2] == ["Portal", "Portal 2"]
        kept = [row for row in range(8) if opened.game(row) is opened.game(row)]
        assert kept == [0, 1, 2]  # the popular ones


def test_a_catalogue_that_was_replaced_is_forgotten(tmp_path):
    """What is there before the workers are forked is frozen, see webapp/wsgi.py: a cycle would stay for ever."""
    folder = make_catalogue(tmp_path / "c")
    app = create_app({"CATALOGUE": folder})
    current, client = app.extensions["catalogue"], app.test_client()
    current.site.warm()
    for url in ("/render/10", "/search?q=portal", "/suggest?q=p", "/unique", "/api/v1/games/10", "/find/?q=portal"):
        client.get(url)
    old = weakref.ref(current.site)
    gc.freeze()
    try:
        make_catalogue(folder, views=False)
        current.next_check -= 100
        deadline = time.monotonic() + 20
        while old() is not None:
            assert client.get("/healthz").status_code == 200
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        gc.unfreeze()


def test_a_catalogue_that_opens_slowly_holds_up_no_request(tmp_path, monkeypatch):
    folder = make_catalogue(tmp_path / "c")
    app = create_app({"CATALOGUE": folder})
    current, client = app.extensions["catalogue"], app.test_client()
    opened = threading.Event()
    monkeypatch.setattr("webapp.current.Site", lambda *_: opened.wait(20))
    make_catalogue(folder, views=False)
    current.next_check -= 100
    started = time.monotonic()
    assert [client.get(url).status_code for url in ("/healthz", "/render/10", "/hubs")] == [200, 200, 200]
    assert time.monotonic() - started < 5
    opened.set()


def test_the_hashes_of_large_files_are_checked_after_the_first_answer(tmp_path, monkeypatch, caplog):
    folder = make_catalogue(tmp_path / "c")
    with (folder / "embeddings.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(BadCatalogue, match="was changed"):
        create_app({"CATALOGUE": folder})
    monkeypatch.setattr(reader, "LARGE", 300)
    client = create_app({"CATALOGUE": folder}).test_client()
    caplog.set_level(logging.ERROR)
    response = client.get("/render/10")
    assert response.status_code == 200
    assert not caplog.records
    response.close()
    for _ in range(100):
        if caplog.records:
            break
        time.sleep(0.05)
    assert [record.message for record in caplog.records] == [
        f"the catalogue is damaged: {folder / 'embeddings.npy'} was changed: its SHA-256 is not the manifest's"
    ]
    client.get("/render/10").close()
    time.sleep(0.1)
    assert len(caplog.records) == 1  # it is said once


def test_a_catalogue_that_is_replaced_before_its_hashes_are_checked_is_not_called_damaged(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(reader, "LARGE", 300)
    client = create_app({"CATALOGUE": make_catalogue(tmp_path / "c")}).test_client()
    make_catalogue(tmp_path / "c", similarities=False)
    client.get("/healthz").close()
    time.sleep(0.3)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_large_database_that_is_damaged_ends_the_start_with_one_line(tmp_path, monkeypatch):
    folder = make_catalogue(tmp_path / "c")
    with (folder / "games.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"x" * 40_000)
    monkeypatch.setattr(reader, "LARGE", 300)
    with pytest.raises(BadCatalogue, match=r"cannot read .*games\.db"):
        create_app({"CATALOGUE": folder})
