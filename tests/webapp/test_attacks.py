"""Clients that mean no good, or are many: load, silence, hostile pictures. What takes long is run by `make soak`."""

import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from banners.catalogue.reader import open_catalogue
from manage_catalogue import main as manage
from tests.conftest import skip_or_fail
from tests.core.metadata_bombs import BOMBS, MALFORMED
from tests.core.metadata_bombs import LARGE as CARRYING
from tests.servers import Server, serving
from tests.webapp.query_site import form
from tests.webapp.small_site import make_catalogue
from tests.webapp.test_uploads import HOSTILE


def connect(server: Server, timeout: float = 30) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout)


@pytest.fixture
def large_banner(tmp_path: Path) -> Path:
    """A folder of local banners, one of them of 30 MB."""
    folder = tmp_path / "banners"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (3500, 2900, 3), np.uint8)
    Image.fromarray(noise).save(folder / "10.png", compress_level=0)
    return folder


@pytest.mark.soak
def test_clients_that_never_read_are_let_go_without_a_traceback(tmp_path, large_banner, measured):
    with serving(make_catalogue(tmp_path / "c"), large_banner, WEB_CONCURRENCY="1") as server:
        clients = [connect(server) for _ in range(6)]
        for client in clients:
            client.sendall(b"GET /banners/10.png HTTP/1.1\r\nHost: x\r\n\r\n")
        begun, status = time.monotonic(), 0
        while status != 200:
            assert time.monotonic() < begun + 90
            with suppress(OSError):
                status = server.get("/healthz")[0]
        measured(f"answers again after {time.monotonic() - begun:.0f} s")
        for client in clients:
            client.close()
        assert server.get("/healthz")[0] == 200
        server.process.terminate()
        output = server.process.communicate()[0]
    assert "Traceback" not in output
    assert output.count("a client sent or read nothing for 20 seconds") >= 2


@pytest.mark.soak
def test_more_connections_than_files_may_be_open_kill_no_worker(tmp_path, measured):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        under = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]
        with serving(make_catalogue(tmp_path / "c"), under=under) as server:
            assert server.get("/render/10")[0] == 200
            before, clients = server.processes(), []
            for _ in range(3000):
                try:
                    clients.append(
                        socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=1)
                    )
                except OSError:
                    break
            time.sleep(5)
            measured(f"{len(clients)} connections, 1,024 files")
            assert server.processes() == before
            for client in clients:
                client.close()
            assert server.get("/render/10")[0] == 200
            assert server.processes() == before
            server.process.terminate()
            assert "Traceback" not in server.process.communicate()[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


LARGE = b"x" * 34_000_000


@pytest.fixture(scope="module")
def queried(colour_site):
    with serving(colour_site / "c", colour_site / "banners", QUERIES_PER_MINUTE="0") as running:
        yield running


@pytest.mark.parametrize("kind", ["form", "body", "chunks"])
@pytest.mark.parametrize("path", ["/upload", "/api/v1/pictures"])
def test_a_picture_that_is_far_too_large_is_told_so_however_it_is_sent(queried, path, kind):
    body, headers = LARGE, {"Content-Type": "image/png"}
    if kind == "form":
        whole = form(LARGE)
        body, headers = whole["data"], {"Content-Type": whole["content_type"]}
    connection = http.client.HTTPConnection(queried.url.removeprefix("http://"), timeout=30)
    pieces = iter([body[:20_000_000], body[20_000_000:]])
    connection.request("POST", path, pieces if kind == "chunks" else body, headers, encode_chunked=kind == "chunks")
    answer = connection.getresponse()
    assert answer.status == 413
    assert "at most 10 MB" in answer.read().decode()
    connection.close()


def send_fifty(server: Server) -> tuple[list[list[int]], int]:
    """Send hostile pictures at once, each until it has an answer: their statuses, the largest worker in bytes."""
    largest, done = 0, threading.Event()

    def send(data: bytes) -> list[int]:
        statuses = [server.post("/api/v1/pictures", data)]
        while statuses[-1] == 503:
            time.sleep(2)  # Retry-After
            statuses.append(server.post("/api/v1/pictures", data))
        return statuses

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.02):
            largest = max([largest, *map(resident, server.processes()[1:])])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with ThreadPoolExecutor(50) as pool:
            kinds = [*BOMBS.values(), *CARRYING.values(), *MALFORMED.values(), *HOSTILE.values()]
            return list(pool.map(send, (kinds * 2)[:50])), largest
    finally:
        done.set()
        watching.join()


def test_fifty_hostile_pictures_at_once_are_all_answered_by_small_workers(queried):
    statuses, largest = send_fifty(queried)
    assert {one for sent in statuses for one in sent} <= {200, 415, 503}
    assert [sent[-1] for sent in statuses[: len(BOMBS | CARRYING)]] == [200] * len(BOMBS | CARRYING)
    assert 50e6 < largest < 260e6


# A process of its own: the fifty senders would keep this one's reader waiting.
_SLOWEST = """
import sys, time, urllib.request
from pathlib import Path
slowest = 0.0
while not Path(sys.argv[2]).exists():
    begun = time.perf_counter()
    urllib.request.urlopen(sys.argv[1], timeout=30).read()
    slowest = max(slowest, time.perf_counter() - begun)
print(slowest)
"""


@pytest.mark.soak
def test_fifty_hostile_pictures_at_once_leave_pages_fast(tmp_path, colour_site, measured):
    slowest = []
    with serving(colour_site / "c", QUERIES_PER_MINUTE="0", QUERIES_AT_START="1") as server:
        for number in range(5):
            done = tmp_path / f"done{number}"
            command = [sys.executable, "-c", _SLOWEST, f"{server.url}/render/11", str(done)]
            reading = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            try:
                send_fifty(server)
            finally:
                done.touch()
            slowest.append(float(reading.communicate()[0]))
    measured(f"slowest page {sorted(slowest)[2]:.2f} s, the median of five")
    assert sorted(slowest)[2] < 1, slowest  # the senders share the cores


def test_uploads_byte_by_byte_leave_threads_for_pages(colour_site):
    with serving(colour_site / "c", WEB_CONCURRENCY="1") as server:
        clients = [connect(server) for _ in range(6)]
        head = (
            b"POST /api/v1/pictures HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9000000\r\n\r\n"
        )
        for client in clients:
            client.sendall(head + b"\x89PNG")
        done = threading.Event()

        def drip() -> None:
            while not done.wait(0.5):
                for client in clients:
                    with suppress(OSError):
                        client.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            time.sleep(5)
            for _ in range(5):
                begun = time.monotonic()
                assert server.get("/render/11")[0] == 200
                assert time.monotonic() - begun < 3  # on a busy machine
        finally:
            done.set()
            dripping.join()
            for client in clients:
                client.close()


def resident(pid: int) -> int:
    """The memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


_LOAD = """
local paths = {}
for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
request = function() return wrk.format("GET", paths[math.random(#paths)]) end
delay = function() return tonumber(os.getenv("DELAY")) end
"""
_CONNECTIONS = 32


def load(server: Server, folder: Path, seconds: int, delay: float = 0) -> str:
    """What wrk says of `_CONNECTIONS` that wait `delay` milliseconds after each answer."""
    (folder / "load.lua").write_text(_LOAD if delay else _LOAD[: _LOAD.index("delay")])
    command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-s", str(folder / "load.lua"), server.url]
    environment = os.environ | {"PATHS": str(folder / "paths"), "DELAY": str(round(delay))}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def rate(said: str) -> float:
    """Requests a second, of what wrk says."""
    return float(said.partition("Requests/sec:")[2].split()[0])


@pytest.mark.soak
def test_five_minutes_of_load_over_restarts_fail_no_request_and_take_no_more_memory(tmp_path, steam_2021, measured):
    if shutil.which("wrk") is None:
        skip_or_fail("no wrk")
    assert manage(["import-matches", str(steam_2021), str(tmp_path / "c")]) == 0
    appids = open_catalogue(tmp_path / "c").appids[::10].tolist()
    searches = [f"/search?q={first}{second}" for first in "bcdfg" for second in "aeiou"]
    pages = [f"/render/{appid}" for appid in appids]
    (tmp_path / "paths").write_text("\n".join([*pages, *searches, "/", "/popular", "/hubs"]))
    with serving(tmp_path / "c") as server:
        capacity = rate(load(server, tmp_path, 10))
        pause = 1000 * _CONNECTIONS / (0.6 * capacity)
        pause -= 1000 * _CONNECTIONS / rate(load(server, tmp_path, 10, pause)) - pause  # the time of an answer
        sizes: dict[int, list[int]] = {}
        done = threading.Event()

        def restart_and_measure() -> None:
            for second in range(300):
                if second % 60 == 59:
                    os.kill(server.processes()[1 + second // 60 % 2], signal.SIGTERM)
                for pid in server.processes()[1:]:
                    with suppress(OSError):
                        sizes.setdefault(pid, []).append(resident(pid))
                if done.wait(1):
                    return

        watching = threading.Thread(target=restart_and_measure)
        watching.start()
        try:
            said = load(server, tmp_path, 300, max(1, pause))
        finally:
            done.set()
            watching.join()
    measured(f"{rate(said):.0f} of {capacity:.0f} requests/s, {len(sizes)} workers one after another")
    assert rate(said) > 0.5 * capacity
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    assert len(sizes) >= 6
    for memory in sizes.values():
        assert max(memory[60:], default=0) - max(memory[:60]) < 5e6
