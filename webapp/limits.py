"""How often one client may ask for what costs the server a model's work."""

import ipaddress
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from flask import Flask, current_app, request
from werkzeug.exceptions import TooManyRequests

_KNOWN = 10_000  # clients that are remembered, the latest; who is forgotten begins anew
_LEAST_HELD = 3.0  # the most that one thing costs: else it could never be asked for
_IPV6_NETWORK = 64  # bits; all addresses of such a network are one customer's


@dataclass
class Limiter:
    """A bucket of tokens for each client: `per_minute` flow in, and a third of that, 3 at least, is what it holds. 0 is
    no limit.

    Each worker process has its own; the whole server's limit is that many times as much.
    """

    per_minute: float
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, client: str, cost: float) -> float:
        """Take `cost` tokens of `client`'s and return 0, or else the seconds after which there will be so many."""
        if not self.per_minute or not cost:
            return 0.0
        most, flow = max(_LEAST_HELD, self.per_minute / 3), self.per_minute / 60
        now = time.monotonic()
        with self._lock:
            held, since = self._buckets.pop(client, (most, now))
            held = min(most, held + (now - since) * flow)
            is_enough = held >= cost
            self._buckets[client] = (held - cost if is_enough else held, now)
            while len(self._buckets) > _KNOWN:
                self._buckets.popitem(last=False)
        return 0.0 if is_enough else (cost - held) / flow


def register(app: Flask, per_minute: int) -> None:
    app.extensions["limiter"] = Limiter(per_minute)


def client_of(address: str) -> str:
    """Whose an address is, as a proxy may write it: without a port, and of IPv6 the network."""
    host = address.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False))
    return str(parsed)


def charge(cost: float) -> None:
    """Raise a 429 with Retry-After where this request's client asks for too much."""
    limiter: Limiter = current_app.extensions["limiter"]
    seconds = limiter.wait(client_of(request.remote_addr or ""), cost)
    if seconds:
        raise TooManyRequests("That was a lot at once; ask again a little later.", retry_after=int(seconds) + 1)
