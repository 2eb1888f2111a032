"""What monitoring reads: requests by route and status, how long they took, what is on show; for Prometheus.

All workers count in one piece of memory that they share, each in its own part of it, so that whichever answers /metrics
tells of them all. It is made before they are forked and never grows: nothing that strangers ask for adds a counter, and
no disk can be full.
"""

import mmap
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from flask import Blueprint, Flask, Response, current_app
from flask.globals import request_ctx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from webapp.exhibition import Exhibition

metrics = Blueprint("metrics", __name__)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = {name: number for number, name in enumerate(("GET", "HEAD", "POST", "OPTIONS", "other"))}
_STATUSES = {
    status: number
    for number, status in enumerate(
        (
            *(200, 206, 301, 302, 303, 304, 308, 400, 403, 404, 405, 408, 411, 412, 413, 414, 415, 416, 422, 429, 431),
            *(500, 501, 502, 503, "other"),
        )
    )
}
_NO_ROUTE = "none"


class Counters(Collector):
    """Requests by route, method and status: float64 (workers, routes, methods, statuses), and by route and time:
    (workers, routes, buckets + 1 for the slower, + 1 for the sum of seconds)."""

    def __init__(self, routes: Sequence[str], workers: int, exhibition: Exhibition) -> None:
        self._routes = {route: number for number, route in enumerate(routes)}
        self._exhibition = exhibition
        answered = (workers, len(routes), len(_METHODS), len(_STATUSES))
        timed = (workers, len(routes), len(_SECONDS) + 2)
        sizes = [8 * int(np.prod(shape)) for shape in (answered, timed)]
        memory = np.frombuffer(mmap.mmap(-1, sum(sizes)), np.float64)
        self._answered = memory[: sizes[0] // 8].reshape(answered)
        self._timed = memory[sizes[0] // 8 :].reshape(timed)
        # One number in a view costs a tenth of what it costs in an array.
        self._answers, self._times = self._answered.data.cast("B").cast("d"), self._timed.data.cast("B").cast("d")
        self._worker, self._process = 0, 0
        self._lock = threading.Lock()  # of the threads of one worker; workers do not meet

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        if self._process != os.getpid():  # it was made before the workers were forked
            self._worker = int(os.environ.get("WORKER_NUMBER", "0")) % len(self._timed)
            self._process = os.getpid()
        at = self._worker * len(self._routes) + self._routes.get(route, self._routes[_NO_ROUTE])
        answer = (at * len(_METHODS) + _METHODS.get(method, _METHODS["other"])) * len(_STATUSES)
        answer += _STATUSES.get(status, _STATUSES["other"])
        times = at * (len(_SECONDS) + 2)
        with self._lock:
            self._answers[answer] += 1
            self._times[times + bisect_left(_SECONDS, seconds)] += 1
            self._times[times + len(_SECONDS) + 1] += seconds

    def collect(self) -> Iterator[Metric]:
        answered, timed = self._answered.sum(axis=0), self._timed.sum(axis=0)
        names, methods, statuses = list(self._routes), list(_METHODS), list(_STATUSES)
        requests = CounterMetricFamily("steam_clip_requests", "Requests answered", labels=["route", "method", "status"])
        for at, kind, answer in np.argwhere(answered).tolist():
            value = answered[at, kind, answer]
            requests.add_metric([names[at], methods[kind], str(statuses[answer])], float(value))
        yield requests
        seconds = HistogramMetricFamily("steam_clip_request_seconds", "Time to answer", labels=["route"])
        bounds = [*map(str, _SECONDS), "+Inf"]
        for at in np.flatnonzero(timed[:, :-1].any(axis=1)).tolist():
            reached = np.cumsum(timed[at, :-1]).tolist()
            seconds.add_metric([names[at]], list(zip(bounds, reached, strict=True)), float(timed[at, -1]))
        yield seconds
        catalogue = self._exhibition.shown.gallery.catalogue
        yield GaugeMetricFamily("steam_clip_games", "Games in the catalogue", len(catalogue))
        about = GaugeMetricFamily("steam_clip_catalogue_info", "The catalogue", labels=["encoder", "created"])
        about.add_metric([catalogue.manifest.encoder, catalogue.manifest.created], 1)
        yield about


def register(app: Flask) -> None:
    """Count every request; to be called when all routes are there."""
    app.register_blueprint(metrics)
    routes = sorted({_NO_ROUTE, *(rule.rule for rule in app.url_map.iter_rules())})
    # While workers are exchanged there are twice as many, and a signal to gunicorn adds some; see gunicorn.conf.py.
    workers = max(16, 2 * int(os.environ.get("WORKERS") or 1))
    counters = Counters(routes, workers, app.extensions["exhibition"])
    registry = CollectorRegistry()
    registry.register(counters)
    app.extensions["metrics"] = registry

    def begin() -> None:
        request_ctx.request.environ["steam_clip.begun"] = time.perf_counter()

    def count(response: Response) -> Response:
        # By route, not by address: strangers choose addresses, and there must not be one counter for each.
        asker = request_ctx.request
        route = asker.url_rule.rule if asker.url_rule else _NO_ROUTE
        counters.count(
            route, asker.method, response.status_code, time.perf_counter() - asker.environ["steam_clip.begun"]
        )
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, begin)  # before whatever answers early
    app.after_request(count)


@metrics.get("/metrics")
def show() -> Response:
    """The counters of all workers, in Prometheus' text format."""
    return Response(generate_latest(current_app.extensions["metrics"]), content_type=CONTENT_TYPE_LATEST)
