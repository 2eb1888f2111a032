"""Polite HTTP: few connections, retries with backoff, Retry-After obeyed by all threads at once, bounded answers."""

import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Self
from urllib.parse import urljoin

import tenacity
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from banners.errors import BadInput, SteamClipError

USER_AGENT = "steam-clip/0.1 (banner similarity; one polite client)"
MAX_BYTES = 20_000_000

Check = Callable[[bytes], str]

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth asking again
_LONGEST_WAIT = 1800.0  # seconds; who is asked to wait longer ends, and remembers
_LONGEST_ASKED = 7 * 24 * 3600.0
_WORTH_TELLING = 5.0
_REDIRECTS = 3
_REFUSALS = 10  # answers of 403, one after the other, after which a server is left alone
_ABANDONED = 0.1  # seconds for a server to notice that an answer is not wanted any more, before it is asked again


class Refused(SteamClipError):
    """The server does not want to be asked any more."""


class Unanswered(SteamClipError):
    """A request that got no usable answer, for good."""


class _Passing(Exception):
    """An answer that may be better next time."""


@dataclass(frozen=True)
class Answer:
    """`status` is 200, 304 or 404; `body` is empty but for 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Exchange:
    """One request and its answer, redirects included. At its deadline its lines are hung up, however slowly they drip:
    a timeout alone begins anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self.is_over = threading.Event()
        self._lines: list[socket.socket] = []
        self._watchdog = threading.Timer(seconds, self.hang_up)
        self._watchdog.daemon = True

    def __enter__(self) -> Self:
        self._watchdog.start()
        _of_thread.exchange = self
        return self

    def __exit__(self, *_: object) -> None:
        _of_thread.exchange = None
        self._watchdog.cancel()

    def on(self, line: socket.socket) -> None:
        self._lines.append(line)
        if self.is_over.is_set():
            raise TimeoutError("the answer takes too long")

    def hang_up(self) -> None:
        self.is_over.set()
        for line in self._lines:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # not TLS's own, which another thread is reading from


_of_thread = threading.local()


def _tell_line(connection: HTTPConnection) -> None:
    exchange: _Exchange | None = getattr(_of_thread, "exchange", None)
    if exchange is not None and isinstance(connection.sock, socket.socket):
        exchange.on(connection.sock)


class _Connection(HTTPConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3
        _tell_line(self)
        return super().getresponse()


class _SecureConnection(HTTPSConnection):
    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        _tell_line(self)
        return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Client:
    """A client for any number of threads that asks at most `connections` things at a time.

    `pause` scales the waits between tries (seconds before the second one; it doubles). `timeout` is for one answer as a
    whole, its redirects included, in seconds. `remember` is a file that keeps what a server asked to wait, for a run
    that comes after a killed one. `on_wait` is told of waits of more than some seconds. `secret` is a text that must
    not be shown, such as a key.
    """

    def __init__(
        self,
        connections: int = 8,
        attempts: int = 6,
        pause: float = 1.0,
        timeout: float = 30.0,
        remember: Path | None = None,
        on_wait: Callable[[float], None] = lambda _: None,
        secret: str = "",
    ) -> None:
        self._timeout: Final = timeout
        self._pause: Final = pause
        self._on_wait: Final = on_wait
        self._secret: Final = secret
        self._slots = threading.BoundedSemaphore(connections)
        # A connection belongs to a thread, so that a server sees the next request of a thread after its last answer.
        self._of_thread = threading.local()
        self._pools: list[urllib3.PoolManager] = []
        weakref.finalize(self, _close, self._pools)  # threads end before their connections are closed
        self._not_before = 0.0  # monotonic; a server that asked one thread to wait has asked all
        self._remember: Final = remember
        if remember is not None and remember.is_file():
            with suppress(OSError, ValueError):
                rest = float(remember.read_text(encoding="utf-8")) - time.time()
                self._not_before = time.monotonic() + min(max(0.0, rest), _LONGEST_ASKED)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._exchanges: set[_Exchange] = set()
        self._refusals = 0
        self._retrying: Final = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_exponential_jitter(multiplier=pause, max=60 * pause, jitter=pause),
            sleep=self._sleep,
            reraise=True,
        )

    @property
    def _pool(self) -> urllib3.PoolManager:
        pool: urllib3.PoolManager | None = getattr(self._of_thread, "pool", None)
        if pool is None:
            pool = self._of_thread.pool = urllib3.PoolManager(
                num_pools=2,
                maxsize=1,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
                timeout=urllib3.Timeout(connect=min(10.0, self._timeout), read=self._timeout),
                retries=False,
            )
            pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
            self._pools.append(pool)
        return pool

    def get(self, url: str, headers: Mapping[str, str] | None = None, check: Check | None = None) -> Answer:
        """GET `url`. `check` gives the reason why a body is not what it should be, "" if it is; a bad one is asked for
        again.

        Raises `Unanswered` when no try gave an answer of status 200, 304 or 404, `Refused` when the server does not
        want to be asked for long.
        """
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{shown(url)} is not an http or https URL")
        try:
            return self._retrying.copy()(self._once, url, dict(headers or {}), check)
        except _Passing as error:
            raise Unanswered(f"{shown(url)}: {self._without_secret(str(error))}") from None

    def stop(self) -> None:
        """End what is under way, in all threads: what waits for an answer or for its turn is unanswered."""
        self._stopped.set()
        with self._lock:
            for exchange in self._exchanges:
                exchange.hang_up()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Unanswered("interrupted")

    def _once(self, url: str, headers: Mapping[str, str], check: Check | None) -> Answer:
        with self._slots:
            self._wait_until_welcome()
            try:
                status, answered, body = self._exchange(url, headers)
            except (urllib3.exceptions.LocationValueError, ValueError):
                raise _Passing("its address, or the one it redirects to, is malformed") from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _Passing(_reason(error)) from None
        if status in _PASSING:
            raise _Passing(f"status {status}")
        if status not in (200, 304, 404):
            self._count_refusal(url, status)
            raise Unanswered(f"{shown(url)}: status {status}")
        self._refusals = 0
        if check is not None and status == 200:
            reason = check(body)
            if reason:
                raise _Passing(reason)
        return Answer(status, answered, body if status == 200 else b"")

    def _exchange(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """One request and its answer, redirects followed, each read to the end so that its connection can be used
        again. Raises `ValueError` for a redirect to what is not an http or https URL."""
        # The pool's own headers are replaced, not completed, by those of a request.
        complete = {**self._pool.headers, **headers}
        with _Exchange(self._timeout) as exchange, self._listed(exchange):
            for _ in range(_REDIRECTS + 1):
                try:
                    response = self._pool.request("GET", url, headers=complete, preload_content=False, redirect=False)
                    if response.status in _PASSING:  # before the body, which may take long or be malformed
                        told = _retry_after(response.headers.get("Retry-After", ""))
                        self._be_unwelcome(told or (self._pause if response.status == 429 else 0.0))
                    body = self._read(response, exchange)
                except Exception:
                    if exchange.is_over.is_set():
                        raise _Passing("the answer takes too long") from None
                    raise
                location = response.get_redirect_location()
                if not location:
                    return response.status, response.headers, body
                following = urljoin(url, location)
                if not following.startswith(("https://",) if url.startswith("https://") else ("http://", "https://")):
                    raise ValueError("a redirect out of the web, or to where anybody may listen")
                url = following
        raise _Passing("it redirects in circles")

    @contextmanager
    def _listed(self, exchange: _Exchange) -> Iterator[None]:
        with self._lock:
            if self._stopped.is_set():
                raise Unanswered("interrupted")
            self._exchanges.add(exchange)
        try:
            yield
        finally:
            with self._lock:
                self._exchanges.discard(exchange)

    def _read(self, response: urllib3.BaseHTTPResponse, exchange: _Exchange) -> bytes:
        """The body, if it ends within `MAX_BYTES` and in time."""
        chunks, size = [], 0
        try:
            while chunk := response.read1(65_536):  # what is there, so that a drip is noticed
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    raise _Passing(f"the answer is longer than {MAX_BYTES // 1_000_000} MB")
            if exchange.is_over.is_set():  # one that was cut short reads like a whole one
                raise _Passing("the answer takes too long")
        except BaseException:
            response.close()
            self._sleep(_ABANDONED)
            raise
        return b"".join(chunks)

    def _count_refusal(self, url: str, status: int) -> None:
        """Stop asking a server that forbids one thing after the other: it means us."""
        with self._lock:
            self._refusals += status == 403
            if self._refusals >= _REFUSALS:
                raise Refused(f"{shown(url)}: the server answered {_REFUSALS} times with status 403; try again later")

    def _wait_until_welcome(self) -> None:
        while (rest := self._not_before - time.monotonic()) > 0:
            if rest > _LONGEST_WAIT:
                raise Refused(f"the server asks to be left alone for {rest / 3600:.1f} hours; run again then")
            self._sleep(rest)

    def _be_unwelcome(self, seconds: float) -> None:
        with self._lock:
            until = time.monotonic() + seconds
            is_news = until > self._not_before + _WORTH_TELLING
            self._not_before = max(self._not_before, until)
            if seconds and self._remember is not None:
                with suppress(OSError):
                    beside = self._remember.with_name(self._remember.name + ".part")
                    beside.unlink(missing_ok=True)
                    beside.write_text(str(time.time() + self._not_before - time.monotonic()), encoding="utf-8")
                    beside.replace(self._remember)
        if is_news and seconds > _WORTH_TELLING:
            self._on_wait(seconds)

    def _without_secret(self, text: str) -> str:
        return re.sub(re.escape(self._secret), "...", text, flags=re.IGNORECASE) if self._secret else text


def _close(pools: list[urllib3.PoolManager]) -> None:
    for pool in pools:
        pool.clear()


def shown(url: str) -> str:
    """`url` as it may be printed: without its query, which may hold a key, and short."""
    return url.partition("?")[0][:120]


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    # What follows a question mark may be a query, and a query may hold a key.
    text = re.sub(r"^\w+\(host=[^)]*\): ", "", str(inner).partition("?")[0])  # the address is named anyway
    return " ".join(text.split())[:200] or type(inner).__name__


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header, in either of its forms, at most a week; 0 where there is none. Of a header sent
    twice, or with a fraction, the whole seconds that come first."""
    seconds = re.match(r"\s*([0-9]{1,9})(?![0-9A-Za-z])", text, re.ASCII)
    if seconds:
        return min(float(seconds[1]), _LONGEST_ASKED)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()), _LONGEST_ASKED)
    except (TypeError, ValueError, OverflowError):
        return 0.0
