"""Routes for whoever runs the server: health, version, robots, and metrics for Prometheus.

Under gunicorn all workers count in files of one folder (prometheus_client's multiprocess mode), so that any worker can
answer /metrics for all of them; see gunicorn.conf.py.
"""

import os
import platform
import time
from contextlib import suppress

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from banners.catalogue.manifest import FORMAT_VERSION
from webapp.current import catalogue

operations = Blueprint("operations", __name__)
PATHS = frozenset({"/healthz", "/readyz", "/version", "/robots.txt", "/metrics"})

# Every game has its page; the same banners under other addresses, and searches, are not worth a crawler's time.
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
    # A file for each number of a worker, not for each process: those that ended would fill the disk.
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
    """Whether it has a catalogue to serve. Without one the server does not start, so whoever answers is ready."""
    manifest = catalogue().catalogue.manifest
    return jsonify(ready=True, games=len(catalogue()), encoder=manifest.encoder, created=manifest.created)


@operations.get("/version")
def version() -> Response:
    """Which version of the program answers, and with what."""
    manifest = catalogue().catalogue.manifest
    return jsonify(
        version=current_app.config["VERSION"],
        python=platform.python_version(),
        catalogue={
            "format_version": FORMAT_VERSION,
            "created": manifest.created,
            "encoder": manifest.encoder,
            "revision": manifest.revision,
            "games": len(catalogue()),
        },
    )


@operations.get("/robots.txt")
def robots() -> Response:
    return Response(ROBOTS, mimetype="text/plain")


def register(app: Flask) -> None:
    """Count every request."""
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)  # before whatever answers early
    app.after_request(_count)


def _begin() -> None:
    g.begun = time.perf_counter()


def _count(response: Response) -> Response:
    # By route, not by address: strangers choose addresses, and there must not be one counter for each.
    route = request.url_rule.rule if request.url_rule else "none"
    method = request.method if request.method in _METHODS else "other"
    with suppress(OSError):  # somebody removed the folder
        _REQUESTS.labels(route, method, str(response.status_code)).inc()
        _TIMES.labels(route).observe(time.perf_counter() - g.begun)
    return response


class _Served(Collector):
    """The catalogue of the worker that answers."""

    def collect(self) -> list[GaugeMetricFamily]:
        catalogue = current_app.extensions["catalogue"].served.catalogue
        about = GaugeMetricFamily("steam_clip_catalogue_info", "The catalogue", labels=["encoder", "created"])
        about.add_metric([catalogue.manifest.encoder, catalogue.manifest.created], 1)
        return [GaugeMetricFamily("steam_clip_games", "Games in the catalogue", len(catalogue)), about]


@operations.get("/metrics")
def show() -> Response:
    """The counters of all workers, in Prometheus' text format."""
    served = CollectorRegistry()
    served.register(_Served())
    counted = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return Response(generate_latest(counted) + generate_latest(served), content_type=CONTENT_TYPE_LATEST)
