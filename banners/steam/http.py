"""Polite HTTP: few connections, retries with backoff, Retry-After obeyed by all threads at once, bounded answers."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import urllib3
from urllib3 import exceptions
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.util import Retry

from banners.connections import REDIRECTS, USER_AGENT, connections_for, reason, redirect_target, shown
from banners.errors import BadInput, SteamClipError
from banners.files import write_whole

MAX_BYTES = 20_000_000

Check = Callable[[bytes], str]

_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth asking again
_LONGEST_WAIT = 1800.0  # seconds; if asked for more, the run ends, and the next one remembers
_LONGEST_ASKED = 7 * 24 * 3600
_WORTH_TELLING = 5.0
_REFUSALS = 10  # answers of 403, one after the other, after which a server is left alone
_ABANDONED = 0.1  # seconds after a failed answer, so that the server notices that it is not read
_READ_TIMEOUT = 10.0  # seconds without a byte
_NO_WAY = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyError)
_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}


class Refused(SteamClipError):
    """The server does not want to be asked any more."""


class Unanswered(SteamClipError):
    """A request that got no usable answer, for good."""


class Unreachable(Unanswered):
    """No connection to the server could be made."""


class _Temporary(Exception):
    """An answer that may be better next time."""


@dataclass(frozen=True)
class Answer:
    """`status` is 200, 304 or 404; `body` is empty except for 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """A client for any number of threads with at most `connections` connections to a server.

    `attempts` is how often a request is sent; the waits between grow from `pause`, in seconds. `timeout` is for one
    answer, in seconds. `remember` is a file that keeps how long a server asked to wait, for the next run. `on_wait` is
    told of waits of more than some seconds. The proxies of the environment (HTTPS_PROXY, NO_PROXY and so on) are used,
    and the certificates of SSL_CERT_FILE, which OpenSSL itself reads.
    """

    def __init__(
        self,
        connections: int = 8,
        attempts: int = 6,
        pause: float = 1.0,
        timeout: float = 30.0,
        remember: Path | None = None,
        on_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._pause, self._timeout, self._on_wait = pause, timeout, on_wait
        self._retry = Retry(
            total=attempts - 1,
            backoff_factor=pause,
            backoff_max=60 * pause,
            backoff_jitter=pause,
            retry_after_max=_LONGEST_ASKED,
        )
        read = min(_READ_TIMEOUT, timeout)
        self._slots = threading.BoundedSemaphore(connections)
        self._connections, self._read_timeout = connections, read
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._refusals = 0
        self._not_before = 0.0  # monotonic; a server that asked one thread to wait has asked all
        self._remember = remember
        if remember is not None:
            with suppress(OSError, ValueError):
                rest = float(remember.read_text(encoding="utf-8")) - time.time()
                self._not_before = time.monotonic() + min(max(0.0, rest), _LONGEST_ASKED)

    def get(self, url: str, headers: Mapping[str, str] | None = None, check: Check | None = None) -> Answer:
        """GET `url`. `check` gives the reason why a body is unusable, "" if it is not; such a body is asked for again.

        Raises `Unanswered` when no attempt gave an answer of status 200, 304 or 404, `Unreachable` when none reached a
        server, `Refused` when the server does not want to be asked for long.
        """
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{shown(url)} is not an http or https URL")
        retry, is_reached = self._retry, False
        while True:
            with self._slots:
                self._wait_until_welcome()
                try:
                    return self._get_once(url, headers or {}, check)
                except (_Temporary, HTTPError, OSError, ValueError) as error:  # ValueError: a malformed address
                    why = reason(error)
                    is_reached = is_reached or not isinstance(error, _NO_WAY)
                    self._sleep(_ABANDONED)
            try:
                retry = retry.increment("GET", url, error=_Temporary())
            except MaxRetryError:
                raise (Unanswered if is_reached else Unreachable)(f"{shown(url)}: {why}") from None
            self._sleep(retry.get_backoff_time())

    def stop(self) -> None:
        """Make the requests of all threads raise `Unanswered`. A request to a silent server ends at its timeout."""
        self._stopped.set()

    def _get_once(self, url: str, headers: Mapping[str, str], check: Check | None) -> Answer:
        deadline = time.monotonic() + self._timeout
        for _ in range(REDIRECTS + 1):
            response = connections_for(url, self._connections, self._read_timeout).request(
                "GET", url, headers={**_HEADERS, **headers}, preload_content=False, redirect=False, retries=False
            )
            status = response.status
            if status in _TEMPORARY:  # before the body, which may be malformed
                self._wait_as_told(response)
            body = self._read(response, deadline)
            following = redirect_target(response, url)
            if not following:
                break
            url = following
        else:
            raise _Temporary("it redirects in circles")
        if status in _TEMPORARY:
            raise _Temporary(f"status {status}")
        if status not in (200, 304, 404):
            with self._lock:
                self._refusals += status == 403
                if self._refusals >= _REFUSALS:  # it means this client
                    raise Refused(
                        f"{shown(url)}: the server answered {_REFUSALS} times with status 403; try again later"
                    )
            raise Unanswered(f"{shown(url)}: status {status}")
        self._refusals = 0
        flaw = check(body) if check is not None and status == 200 else ""
        if flaw:
            raise _Temporary(flaw)
        return Answer(status, response.headers, body if status == 200 else b"")

    def _read(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        """The body, if it ends within `MAX_BYTES` and before `deadline`."""
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), _hang_up, (response,))
        watchdog.daemon = True
        watchdog.start()  # a body may drip, or never get anywhere, inside one read
        body = bytearray()
        try:
            while chunk := response.read1(65_536):
                body += chunk
                if self._stopped.is_set():
                    raise Unanswered("interrupted")
                if len(body) > MAX_BYTES:
                    raise _Temporary(f"the answer is longer than {MAX_BYTES // 1_000_000} MB")
        except HTTPError:
            if time.monotonic() < deadline:
                raise
        finally:
            watchdog.cancel()
            response.close()  # the connection too, unless the body was read to its end
            response.release_conn()
        if time.monotonic() >= deadline:  # what was cut short may read like a whole body
            raise _Temporary("the answer takes too long")
        return bytes(body)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Unanswered("interrupted")

    def _wait_until_welcome(self) -> None:
        while True:
            rest = max(0.0, self._not_before - time.monotonic())
            if rest > _LONGEST_WAIT:
                raise Refused(f"the server asks to be left alone for {rest / 3600:.1f} hours; run again then")
            self._sleep(rest)
            if not rest:
                return

    def _wait_as_told(self, response: urllib3.BaseHTTPResponse) -> None:
        """Keep all threads from asking until the server allows it, and remember that for the next run."""
        seconds = self._pause if response.status == 429 else 0.0
        with suppress(InvalidHeader, ValueError, OverflowError):
            seconds = self._retry.get_retry_after(response) or seconds
        with self._lock:
            until = time.monotonic() + seconds
            is_news = seconds > _WORTH_TELLING and until > self._not_before + _WORTH_TELLING
            self._not_before = max(self._not_before, until)
            if seconds and self._remember is not None:
                with suppress(OSError):
                    write_whole(self._remember, str(time.time() + self._not_before - time.monotonic()).encode())
        if is_news:
            self._on_wait(seconds)


def _hang_up(response: urllib3.BaseHTTPResponse) -> None:
    with suppress(OSError, ValueError, RuntimeError):  # it was read to its end meanwhile
        response.shutdown()
