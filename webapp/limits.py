"""How often one client may ask for what costs the server a model's work."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from flask import Flask, current_app, request
from werkzeug.exceptions import TooManyRequests

_KNOWN = 10_000  # clients that are remembered, the latest; who is forgotten begins anew


@dataclass
class Limiter:
    """A bucket of tokens for each client: `per_minute` flow in, and a third of that is what it holds. 0 is no limit.

    Each worker process has its own; the whole server's limit is that many times as much.
    """

    per_minute: float
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, client: str, cost: float) -> float:
        """Take `cost` tokens of `client`'s and return 0, or else the seconds after which there will be so many."""
        if not self.per_minute:
            return 0.0
        most, flow = max(cost, self.per_minute / 3), self.per_minute / 60
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


def charge(cost: float) -> None:
    """Raise a 429 with Retry-After where this request's client asks for too much."""
    limiter: Limiter = current_app.extensions["limiter"]
    seconds = limiter.wait(request.remote_addr or "", cost)
    if seconds:
        raise TooManyRequests("That was a lot at once; ask again a little later.", retry_after=int(seconds) + 1)
