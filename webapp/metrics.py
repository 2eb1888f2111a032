"""What monitoring reads: requests by route and status, how long they took, what is on show; for Prometheus.

Under gunicorn each worker counts in files that all of them can read (see gunicorn.conf.py), so that whichever answers
/metrics tells of them all.
"""

import os
import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MultiProcessValue

from webapp.exhibition import Exhibition

metrics = Blueprint("metrics", __name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class _OnShow(Collector):
    """The catalogue, read when it is asked for."""

    def __init__(self, exhibition: Exhibition) -> None:
        self._exhibition = exhibition

    def collect(self) -> Iterator[Metric]:
        catalogue = self._exhibition.shown.gallery.catalogue
        yield GaugeMetricFamily("steam_clip_games", "Games in the catalogue", len(catalogue))
        about = GaugeMetricFamily("steam_clip_catalogue_info", "The catalogue", labels=["encoder", "created"])
        about.add_metric([catalogue.manifest.encoder, catalogue.manifest.created], 1)
        yield about


def _number() -> str:
    """Of this worker; no two that are alive have the same."""
    return os.environ.get("WORKER_NUMBER", "main")


def register(app: Flask) -> None:
    """Count every request from here on; to be called before whatever may answer one early."""
    registry = CollectorRegistry()
    is_one_of_many = "PROMETHEUS_MULTIPROC_DIR" in os.environ
    if is_one_of_many:
        values.ValueClass = MultiProcessValue(_number)  # type: ignore[no-untyped-call]
    requests = Counter("steam_clip_requests", "Requests answered", ["route", "method", "status"], registry=registry)
    seconds = Histogram("steam_clip_request_seconds", "Time to answer", ["route"], registry=registry, buckets=_SECONDS)
    if is_one_of_many:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(_OnShow(app.extensions["exhibition"]))
    app.extensions["metrics"] = registry

    def begin() -> None:
        g.begun = time.perf_counter()

    def count(response: Response) -> Response:
        # By route, not by address: strangers choose addresses, and there must not be one counter for each.
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.method in _METHODS else "other"
        requests.labels(route, method, response.status_code).inc()
        seconds.labels(route).observe(time.perf_counter() - g.begun)
        return response

    app.before_request(begin)
    app.after_request(count)
    app.register_blueprint(metrics)


@metrics.get("/metrics")
def show() -> Response:
    """The counters of all workers, in Prometheus' text format."""
    return Response(generate_latest(current_app.extensions["metrics"]), content_type=CONTENT_TYPE_LATEST)
