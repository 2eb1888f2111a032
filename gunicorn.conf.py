"""Gunicorn settings. Environment variables change them; see docs/deploying.md."""

import os
import shutil
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # gunicorn does so only later
from banners import settings
from banners.errors import BadInput, SteamClipError

# NumPy's BLAS would start a thread per core in every worker; the pages multiply nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _number(name: str, default: int, least: int, most: int) -> int:
    try:
        return settings.whole(os.environ.get(name) or str(default), least, most, name)
    except BadInput as error:
        sys.stderr.write(f"steam-clip: cannot start: {error}\n")
        sys.exit(1)


_port = _number("PORT", 8000, 0, 65535)
# Newer platforms route over IPv6; the dual-stack address answers both.
_host = os.environ.get("HOST") or ("[::]" if socket.has_dualstack_ipv6() else "0.0.0.0")  # noqa: S104
if ":" in _host and not _host.startswith("["):
    _host = f"[{_host}]"

bind = f"{_host}:{_port}"
wsgi_app = "webapp.wsgi:app"
workers = _number("WEB_CONCURRENCY", 2, 1, 64)
worker_class = "gthread"
threads = _number("WEB_THREADS", 4, 1, 256)
preload_app = True  # the catalogue is read once and its memory shared
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a disk may stall the heartbeat
keepalive = 95  # longer than the 90 s for which a router keeps its connections
max_requests = 20_000
max_requests_jitter = 2_000
graceful_timeout = 20
forwarded_allow_ips = ""  # whom to believe about the client is PROXY_HOPS' business
limit_request_line = 8190
limit_request_fields = 60
_RECEIVE_TIMEOUT = 20  # seconds without a byte of a request
_loads_queries = _number("QUERIES_AT_START", 0, 0, 1) == 1
control_socket_disable = True  # it would be opened in $HOME, which a host may not let us write
accesslog = os.environ.get("ACCESS_LOG") or None

# All workers count their requests in this folder; see webapp/operations.py.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="steam-clip-metrics-", dir=worker_tmp_dir)


def when_ready(server: Any) -> None:
    """Connections inherit this receive timeout: silent ones would hold all threads for ever."""
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _RECEIVE_TIMEOUT, 0))


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def pre_fork(server: Any, worker: Any) -> None:
    """Give a worker the lowest free number; its counts go on where those of an earlier one with this number ended."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    os.environ["WORKER_NUMBER"] = str(worker.number)


def post_worker_init(worker: Any) -> None:
    """With QUERIES_AT_START=1 nobody waits for the query encoder; else it is loaded when it is first asked for."""
    current = worker.wsgi.extensions.get("catalogue")
    if current is None:  # another app, in benchmarks/bench_pages.py
        return
    current.begin_worker(worker.wsgi)
    if not _loads_queries:
        return
    encoder = current.served.encoder
    if encoder is not None:
        try:
            encoder.load()
        except SteamClipError as error:  # names and neighbours are served all the same
            worker.log.error("no queries: %s", error)
