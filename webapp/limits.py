"""Rate limits for queries, which cost the server a model's work."""

import ipaddress
import time

from flask import Flask, current_app, request
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import TooManyRequests

from banners.errors import BadInput

_PARTS = 4  # the least that anything costs is a quarter
_IPV6_NETWORK = 64  # bits; all addresses of such a network are one customer's


def register(app: Flask, per_minute: int, storage: str) -> None:
    """Allow each client `per_minute` queries, 0 for any number. `storage` is a URI of the limits library: with
    "memory://" each worker process counts for itself. Raises `BadInput` for one that cannot be used."""
    try:
        limiter = FixedWindowRateLimiter(storage_from_string(storage))
    except Exception as error:  # each kind of storage has errors of its own
        # Its text is not shown: a URI may hold a password.
        raise BadInput(f"RATELIMIT_STORAGE_URI cannot be used: {type(error).__name__}") from None
    limit = RateLimitItemPerMinute(_PARTS * max(3, per_minute)) if per_minute else None  # a picture costs 3
    app.extensions["limiter"] = (limiter, limit)


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
    limiter, limit = current_app.extensions["limiter"]
    client = client_of(request.remote_addr or "")
    if limit is not None and not limiter.hit(limit, client, cost=max(1, round(_PARTS * cost))):
        seconds = limiter.get_window_stats(limit, client).reset_time - time.time()
        raise TooManyRequests("That was a lot at once; ask again a little later.", retry_after=max(1, round(seconds)))
