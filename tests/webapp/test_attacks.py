"""Clients that mean no good, or are many: load, silence, hostile pictures. What takes long is run by `make soak`."""

import resource
import socket
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.servers import Server, serving
from tests.webapp.small_site import make_catalogue


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
def test_clients_that_never_read_are_let_go_without_a_traceback(tmp_path, large_banner):
    with serving(make_catalogue(tmp_path / "c"), large_banner, WEB_CONCURRENCY="1") as server:
        clients = [connect(server) for _ in range(6)]
        for client in clients:
            client.sendall(b"GET /banners/10.png HTTP/1.1\r\nHost: x\r\n\r\n")
        begun, status = time.monotonic(), 0
        while status != 200:
            assert time.monotonic() < begun + 90
            with suppress(OSError):
                status = server.get("/healthz")[0]
        for client in clients:
            client.close()
        assert server.get("/healthz")[0] == 200
        server.process.terminate()
        output = server.process.communicate()[0]
    assert "Traceback" not in output
    assert output.count("a client sent or read nothing for 20 seconds") >= 2


@pytest.mark.soak
def test_more_connections_than_files_may_be_open_kill_no_worker(tmp_path):
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
            assert server.processes() == before
            for client in clients:
                client.close()
            assert server.get("/render/10")[0] == 200
            assert server.processes() == before
            server.process.terminate()
            assert "Traceback" not in server.process.communicate()[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
