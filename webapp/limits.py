"""Rate limits for queries, which cost the server a model's work."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from banners.errors import BadInput

_PARTS = 4  # of a query; the cheapest request costs one part
_IPV6_NETWORK = 64  # bits; all addresses of such a network are one customer's
_PATIENCE = 0.12  # seconds for which a storage on another machine is waited for; an upload asks it twice
_TURN = 2.0  # seconds for which an upload waits for another one
_PAUSE = 60.0  # seconds until it is tried again
_TIMEOUTS = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}  # of Redis, in the background


Quota = tuple[bool, int, int]  # whether a query may be answered; how many more may be; seconds until all may be again


class Limiter:
    """Counts the queries of each client: in the storage that was named, and in memory while that does not answer."""

    def __init__(self, limit: RateLimitItem | None, storage: str) -> None:
        """`limit` is None for any number. Raises `BadInput` for a storage that cannot be used."""
        kind = storage.partition(":")[0]
        self.queries = limit.amount // _PARTS if limit else 0
        self._limit, self._here, self._shared = limit, FixedWindowRateLimiter(MemoryStorage()), None
        if kind != "memory":
            try:
                options = _TIMEOUTS if kind.startswith(("redis", "valkey")) else {}
                self._shared = FixedWindowRateLimiter(storage_from_string(storage, **options))
            except Exception as error:  # each kind of storage has errors of its own
                # Its text is not shown: a URI may hold a password.
                reason = f"pip install 'limits[{kind}]'" if "prerequisite" in str(error) else type(error).__name__
                raise BadInput(f"RATELIMIT_STORAGE_URI cannot be used: {reason}") from None
        # Names that cannot be resolved, and answers byte by byte, outlast any timeout of a socket.
        self._pool, self._away_until = ThreadPoolExecutor(4, "limits"), 0.0

    def count(self, client: str, cost: int) -> Quota | None:
        """Count a query; None if there is no limit."""
        if self._limit is None:
            return None
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return self._pool.submit(_hit, self._shared, self._limit, client, cost).result(_PATIENCE)
            except Exception as error:  # as above
                if time.monotonic() >= self._away_until:
                    message = "queries are counted in memory: RATELIMIT_STORAGE_URI fails (%s)"
                    current_app.logger.warning(message, type(error).__name__)
                self._away_until = time.monotonic() + _PAUSE
        return _hit(self._here, self._limit, client, cost)


def _hit(limiter: RateLimiter, limit: RateLimitItem, client: str, cost: int) -> Quota:
    is_allowed, stats = limiter.hit(limit, client, cost=cost), limiter.get_window_stats(limit, client)
    seconds = stats.reset_time - time.time()
    if seconds > limit.get_expiry() + 1:  # the clock was set back
        limiter.clear(limit, client)
        is_allowed, seconds = True, limit.get_expiry()
    return is_allowed, stats.remaining // _PARTS, max(1, round(seconds))


def register(app: Flask, per_minute: int, storage: str, threads: int) -> None:
    """Allow each client `per_minute` queries, 0 for any number. `storage` is a URI of the limits library: with
    "memory://" each worker process counts for itself. Of the `threads` that answer requests, 0 for any number, all but
    two may receive pictures, and one more waits. Raises `BadInput` for a storage that cannot be used."""
    limit = RateLimitItemPerMinute(_PARTS * max(3, per_minute)) if per_minute else None  # a picture costs 3
    app.extensions["limiter"] = Limiter(limit, storage)
    app.after_request(_tell_quota)
    app.extensions["receiving"] = threading.BoundedSemaphore(max(1, threads - 2) if threads else 1000)
    app.extensions["next to receive"] = threading.Semaphore(0 if 0 < threads < 3 else 1)


def _tell_quota(response: Response) -> Response:
    """Headers of the draft draft-ietf-httpapi-ratelimit-headers."""
    if quota := g.get("quota"):
        response.headers["RateLimit-Policy"] = f'"queries";q={current_app.extensions["limiter"].queries};w=60'
        response.headers["RateLimit"] = f'"queries";r={quota[1]};t={quota[2]}'
    return response


def client_of(address: str) -> str:
    """The client of an address as a proxy may write it: without the port, for IPv6 the /64 network."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 4 or mapped:
        return str(mapped or parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))


def charge(cost: float) -> None:
    """Count this request's query. Raises a 429 with Retry-After if its client asks for too much."""
    client = client_of(request.remote_addr or "")
    g.quota = quota = current_app.extensions["limiter"].count(client, max(1, round(_PARTS * cost)))
    if quota is not None and not quota[0]:
        raise TooManyRequests("That was a lot at once; ask again a little later.", retry_after=quota[2])


@contextmanager
def receiving() -> Iterator[None]:
    """Wrap the reception of a picture, which may take long. Raises a 503 if too many threads receive one: pages need
    threads, too."""
    turns, next_one = current_app.extensions["receiving"], current_app.extensions["next to receive"]
    is_admitted = turns.acquire(blocking=False)
    if not is_admitted and next_one.acquire(blocking=False):  # one more may wait, and the last thread is for pages
        is_admitted = turns.acquire(timeout=_TURN)
        next_one.release()
    if not is_admitted:
        discard_body(0.2)
        raise ServiceUnavailable("Too many uploads at once. Try again in a moment.", retry_after=2)
    try:
        yield
    finally:
        turns.release()


def discard_body(patience: float) -> None:
    """Read the rest of a body, up to 130 MB, while each megabyte comes within `patience` seconds. Otherwise a client
    that still sends would see a broken connection instead of the answer."""
    connection = request.environ.get("gunicorn.socket")
    for _ in range(130):
        # A client that sends byte by byte would keep the thread in one `read`.
        stop = threading.Timer(patience, connection.shutdown if connection else int, [socket.SHUT_RD])
        stop.start()
        try:
            if not request.environ["wsgi.input"].read(2**20):
                return
        except OSError:
            return
        finally:
            stop.cancel()
