"""A real gunicorn on a free port of loopback, as the Procfile starts it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.conftest import ROOT


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[str]

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and body."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def post(self, path: str, body: bytes) -> int:
        """The status of a picture's query."""
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        with closing(connection):
            with suppress(BrokenPipeError):  # refused before all was sent: the answer is there
                connection.request("POST", path, body, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def processes(self) -> list[int]:
        """The master and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def proportional_set_size(self) -> int:
        """Memory of all processes in bytes, shared pages counted once."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


def start(
    catalogue: Path,
    banners: Path | None = None,
    under: Sequence[str] = (),
    command: Sequence[str] = (sys.executable, "-m", "webapp"),
    **environment: str,
) -> Server:
    """`under` is a command that runs another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"CATALOGUE": str(catalogue), "BANNERS": str(banners or ""), "PORT": str(port), "HOST": "127.0.0.1"}
    process = subprocess.Popen(
        [*under, *command],
        cwd=ROOT,
        env=os.environ | given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Server(f"http://127.0.0.1:{port}", process)


@contextmanager
def serving(catalogue: Path, banners: Path | None = None, **options: Any) -> Iterator[Server]:
    """The options are those of `start`."""
    server = start(catalogue, banners, **options)
    try:
        for _ in range(600):  # a minute, on a machine that is busy
            try:
                server.get("/healthz")
                break
            except OSError:
                if server.process.poll() is not None:
                    raise AssertionError(server.process.communicate()[0]) from None
                time.sleep(0.1)
        else:
            raise AssertionError("the server does not answer")
        yield server
    finally:
        server.process.terminate()
        server.process.communicate(timeout=30)
