"""Gunicorn settings. Environment variables change them; see docs/deploying.md."""

import fcntl
import json
import logging
import os
import resource
import shutil
import socket
import struct
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.glogging import Logger as GunicornLogger

sys.path.insert(0, str(Path(__file__).parent))  # gunicorn does so only later
from banners import settings
from banners.errors import BadInput, SteamClipError
from banners.files import alone_in

# NumPy's BLAS would start a thread per core in every worker; the pages multiply nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _refuse(reason: object) -> NoReturn:
    sys.stderr.write(f"steam-clip: cannot start: {reason}\n")
    sys.exit(1)


def _number(name: str, default: int, least: int, most: int) -> int:
    try:
        return settings.whole(os.environ.get(name) or str(default), least, most, name)
    except BadInput as error:
        _refuse(error)


def _folder_for_metrics() -> Path:
    """A new folder in memory, or on a disk; on HUP the existing one is kept.

    It is locked as long as a process of this server lives. Those without a lock belong to servers that were killed.
    """
    there, prefix = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")), f"steam-clip-metrics-{os.getpid()}-"
    if there.name.startswith(prefix) and there.is_dir():
        return there
    for parent in ("/dev/shm", None):  # noqa: S108
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            fcntl.flock(os.open(made, os.O_RDONLY), fcntl.LOCK_EX)
            for other in made.parent.glob("steam-clip-metrics-*"):
                with suppress(OSError, BadInput), alone_in(other):
                    shutil.rmtree(other, ignore_errors=True)
            return made
    _refuse("no folder for temporary files can be written; name one in TMPDIR")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
        }
        if isinstance(record.args, dict) and "route" in record.args:  # of the access log
            line |= {name: record.args[atom] for name, atom in _ATOMS.items()}
            line["status"] = int(record.args["s"])
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Logger(GunicornLogger):
    """One format for all lines. What people typed and sent stays out of the access log."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        ours = logging.getLogger("webapp")
        ours.handlers, ours.propagate = self.error_log.handlers, False
        form = _Json() if _format == "json" else logging.Formatter(self.error_fmt, self.datefmt)
        for handler in (*self.access_log.handlers, *self.error_log.handlers):
            handler.setFormatter(form)
        ours.setLevel(self.error_log.level)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("a client sent or read nothing for %d seconds", _SILENCE)
        else:
            super().exception(msg, *args, **kwargs)

    # The app leaves the route and the request's id in `environ`; see webapp/operations.py.
    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> dict[str, Any]:
        path = ascii(environ["RAW_URI"].partition("?")[0])[1:-1]
        ours = {"U": path, "route": environ.get("steam_clip.route", "-"), "id": environ.get("steam_clip.id", "-")}
        return {**super().atoms(resp, req, environ, request_time), **ours}


_SILENCE = 20  # seconds; a client that sends or reads nothing for so long is closed
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
os.environ["WEB_THREADS"] = str(threads)  # the app keeps some of them free of uploads
# Each connection is an open file, and the worker needs some files itself. Further connections wait.
_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
worker_connections = max(threads + 1, min(1000, _files - 200)) if _files != resource.RLIM_INFINITY else 1000
preload_app = True  # the catalogue is read once and its memory shared
keepalive = 95  # longer than the 90 s for which a router keeps its connections
max_requests = 20_000
max_requests_jitter = 2_000
graceful_timeout = 20
forwarded_allow_ips = ""  # ProxyFix handles this, by PROXY_HOPS
limit_request_line = 8190
limit_request_fields = 60
sendfile = False  # Python's sendfile waits for ever for a client that does not read
_loads_queries = _number("QUERIES_AT_START", 0, 0, 1) == 1
control_socket_disable = True  # it would be opened in $HOME, which a host may not let us write
logger_class = Logger
accesslog = os.environ.get("ACCESS_LOG") or None
access_log_format = '%(h)s "%(m)s %(U)s %(H)s" %(s)s %(B)s bytes %(M)s ms route=%(route)s id=%(id)s'
_ATOMS = {"client": "h", "method": "m", "path": "U", "route": "route", "bytes": "B", "ms": "M", "id": "id"}
_format = os.environ.get("LOG_FORMAT") or "text"
if _format not in ("text", "json"):
    _refuse(f"LOG_FORMAT is {_format[:40]!r}, neither text nor json")

# All workers count their requests in this folder; see webapp/operations.py.
_metrics = _folder_for_metrics()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics)
worker_tmp_dir = str(_metrics.parent)  # a disk may stall the heartbeat


def when_ready(server: Any) -> None:
    """Connections inherit these timeouts: silent clients would hold all threads for ever."""
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _SILENCE, 0))


def on_exit(server: Any) -> None:
    shutil.rmtree(_metrics, ignore_errors=True)


def pre_fork(server: Any, worker: Any) -> None:
    """Give a worker the lowest free number. It continues the counts of the last worker with this number."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in range(len(taken) + 1) if number not in taken)
    try:
        for kind in ("counter", "histogram") if hasattr(os, "posix_fallocate") else ():  # not on macOS
            # Reserve the space now: on a full disk, the first write to a mapped page kills the worker (SIGBUS).
            with (_metrics / f"{kind}_{worker.number}.db").open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, 2**18)  # bytes; enough for all routes
    except OSError as error:
        server.log.error("no room for the counters in %s: %s", _metrics, error)


def post_fork(server: Any, worker: Any) -> None:
    os.environ["WORKER_NUMBER"] = str(worker.number)


def post_worker_init(worker: Any) -> None:
    """With QUERIES_AT_START=1 load the query encoder now; else the first query loads it and waits."""
    current = worker.wsgi.extensions.get("catalogue")
    if current is None:  # another app, in benchmarks/bench_pages.py
        return
    current.begin_worker(worker.wsgi)
    if "delivery" in worker.wsgi.extensions:
        worker.wsgi.extensions["delivery"].begin_worker()
    if not _loads_queries:
        return
    encoder = current.site.encoder
    if encoder is not None:
        try:
            encoder.load()
        except SteamClipError as error:  # names and neighbours are served all the same
            worker.log.error("no queries: %s", error)
