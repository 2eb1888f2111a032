"""Rate limits for queries, which cost the server a model's work."""

import ipaddress
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from flask import Flask, current_app, request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter, RateLimiter
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from banners.errors import BadInput
from webapp.params import discard_body

_PARTS = 4  # the least that anything costs is a quarter
_IPV6_NETWORK = 64  # bits; all addresses of such a network are one customer's
_PATIENCE = 0.12  # seconds for which a storage on another machine is waited for; an upload asks it twice
_PAUSE = 60.0  # seconds until it is tried again
_TIMEOUTS = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}  # of Redis, in the background


class Limiter:
    """Counts the queries of each client: in the storage that was named, and in memory while that does not answer."""

    def __init__(self, limit: RateLimitItem | None, storage: str) -> None:
        """`limit` is None for any number. Raises `BadInput` for a storage that cannot be used."""
        kind = storage.partition(":")[0]
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

    def seconds_to_wait(self, client: str, cost: int) -> float:
        """Count a query. 0 if it may be answered."""
        if self._limit is None:
            return 0
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return self._pool.submit(_hit, self._shared, self._limit, client, cost).result(_PATIENCE)
            except Exception as error:  # as above
                if time.monotonic() >= self._away_until:
                    message = "queries are counted in memory: RATELIMIT_STORAGE_URI fails (%s)"
                    current_app.logger.warning(message, type(error).__name__)
                self._away_until = time.monotonic() + _PAUSE
        return _hit(self._here, self._limit, client, cost)


def _hit(limiter: RateLimiter, limit: RateLimitItem, client: str, cost: int) -> float:
    if limiter.hit(limit, client, cost=cost):
        return 0
    seconds = limiter.get_window_stats(limit, client).reset_time - time.time()
    if seconds > limit.get_expiry() + 1:  # the clock was set back
        limiter.clear(limit, client)
        return 0
    return max(1.0, seconds)


def register(app: Flask, per_minute: int, storage: str, threads: int) -> None:
    """Allow each client `per_minute` queries, 0 for any number. `storage` is a URI of the limits library: with
    "memory://" each worker process counts for itself. Of the `threads` that answer requests, 0 for any number, all but
    two may receive pictures. Raises `BadInput` for a storage that cannot be used."""
    limit = RateLimitItemPerMinute(_PARTS * max(3, per_minute)) if per_minute else None  # a picture costs 3
    app.extensions["limiter"] = Limiter(limit, storage)
    app.extensions["receiving"] = threading.BoundedSemaphore(max(1, threads - 2) if threads else 1000)


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
    """Raise a 429 with Retry-After where this request's client asks for too much."""
    client = client_of(request.remote_addr or "")
    seconds = current_app.extensions["limiter"].seconds_to_wait(client, max(1, round(_PARTS * cost)))
    if seconds:
        raise TooManyRequests("That was a lot at once; ask again a little later.", retry_after=round(seconds))


@contextmanager
def receiving() -> Iterator[None]:
    """Around the reception of a picture, which may take long. Raises a 503 where too many threads are at it: pages
    need some, too."""
    turns = current_app.extensions["receiving"]
    if not turns.acquire(blocking=False):
        discard_body(0.2)
        raise ServiceUnavailable("Too many uploads at once. Try again in a moment.", retry_after=2)
    try:
        yield
    finally:
        turns.release()
