"""Routes for whoever runs the server: health, version, robots, and metrics for Prometheus.

Under gunicorn all workers count in files of one folder (prometheus_client's multiprocess mode), so that any worker can
answer /metrics for all of them; see gunicorn.conf.py.
"""

import hmac
import os
import platform
import re
import secrets
import time
from contextlib import suppress

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from banners.catalogue.manifest import FORMAT_VERSION
from banners.errors import BadInput
from webapp.current import current_site

operations = Blueprint("operations", __name__)
PATHS = frozenset({"/healthz", "/readyz", "/version", "/robots.txt", "/metrics"})

# Every game has its page. The same banners under other addresses, and mixes, are not worth a crawler's time.
ROBOTS = """User-agent: *
Disallow: /render_x
Disallow: /render_y
Disallow: /store
Disallow: /suggest
Disallow: /mix
Disallow: /render/$
Disallow: /render/*/*
Disallow: /metrics
"""

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # One file for each worker number, not for each process: files of ended processes would fill the disk.
    values.ValueClass = values.MultiProcessValue(lambda: os.environ.get("WORKER_NUMBER", "0"))  # type: ignore[no-untyped-call]

_METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS"))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REQUESTS = Counter("steam_clip_requests", "Requests answered", ["route", "method", "status"])
_TIMES = Histogram("steam_clip_request_seconds", "Time to answer", ["route"], buckets=_SECONDS)


@operations.get("/healthz")
def healthz() -> Response:
    """Whether the process answers."""
    return Response("ok\n", mimetype="text/plain")


@operations.get("/readyz")
def readyz() -> Response:
    """Whether there is a catalogue to serve. Without one the server does not start, so any answer means ready."""
    manifest = current_site().catalogue.manifest
    return jsonify(ready=True, games=len(current_site()), encoder=manifest.encoder.id, created=manifest.created)


@operations.get("/version")
def version() -> Response:
    """Which version of the program answers, and with what."""
    manifest = current_site().catalogue.manifest
    return jsonify(
        version=current_app.config["VERSION"],
        python=platform.python_version(),
        catalogue={
            "format_version": FORMAT_VERSION,
            "created": manifest.created,
            "encoder": manifest.encoder.id,
            "revision": manifest.encoder.revision,
            "games": len(current_site()),
        },
    )


@operations.get("/robots.txt")
def robots() -> Response:
    return Response(ROBOTS, mimetype="text/plain")


def register(app: Flask) -> None:
    """Count every request, and name it for the access log. Raises `BadInput` for a token that is easily guessed."""
    if app.config["METRICS"] not in ("loopback", "all") and len(app.config["METRICS"]) < 16:
        raise BadInput("METRICS is neither loopback nor all, nor a token of 16 characters or more")
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)  # before whatever answers early
    app.after_request(_count)


def _begin() -> None:
    g.begun = time.perf_counter()
    sent = request.headers.get("X-Request-ID", "")  # a router's, so that its log and ours can be joined
    is_id = re.fullmatch("[A-Za-z0-9._-]{8,80}", sent, re.ASCII)
    request.environ["steam_clip.id"] = sent if is_id else secrets.token_hex(8)


def _count(response: Response) -> Response:
    # By route, not by address: strangers could create any number of counters.
    route = request.url_rule.rule if request.url_rule else "none"
    request.environ["steam_clip.route"] = route
    response.headers["X-Request-ID"] = request.environ["steam_clip.id"]
    method = request.method if request.method in _METHODS else "other"
    with suppress(OSError):  # somebody removed the folder
        _REQUESTS.labels(route, method, str(response.status_code)).inc()
        _TIMES.labels(route).observe(time.perf_counter() - g.begun)
    return response


class _Served(Collector):
    """The version, and the catalogue of the worker that answers."""

    def collect(self) -> list[GaugeMetricFamily]:
        catalogue = current_app.extensions["catalogue"].site.catalogue
        about = GaugeMetricFamily("steam_clip_catalogue_info", "The catalogue", labels=["encoder", "created"])
        about.add_metric([catalogue.manifest.encoder.id, catalogue.manifest.created], 1)
        program = GaugeMetricFamily("steam_clip_info", "The program", labels=["version"])
        program.add_metric([current_app.config["VERSION"]], 1)
        return [GaugeMetricFamily("steam_clip_games", "Games in the catalogue", len(catalogue)), about, program]


def _may_read_metrics(readers: str) -> bool:
    if readers == "loopback":
        is_forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
        return request.remote_addr in ("127.0.0.1", "::1", "::ffff:127.0.0.1") and not is_forwarded
    token = request.headers.get("Authorization", "").partition(" ")[2]  # after "Bearer"
    return readers == "all" or hmac.compare_digest(token.strip().encode(), readers.strip().encode())


@operations.get("/metrics")
def show() -> Response:
    """The counters of all workers, in Prometheus' text format, for those whom METRICS allows to read them."""
    if not _may_read_metrics(current_app.config["METRICS"]):
        return Response("Not allowed here; METRICS gives access, see docs/deploying.md\n", 403, mimetype="text/plain")
    served = CollectorRegistry()
    served.register(_Served())
    counted = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return Response(generate_latest(counted) + generate_latest(served), content_type=CONTENT_TYPE_LATEST)
