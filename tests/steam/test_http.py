import base64
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import pytest

from banners.errors import BadInput
from banners.steam.http import Client, Refused, Unanswered, Unreachable
from tests.steam.steam_server import Steam, serving


def client(**options: object) -> Client:
    return Client(**({"pause": 0.01} | options))


@pytest.mark.parametrize(
    ("header", "hours"), [(b"86400", "24.0"), (b"999999999", "168.0"), (b"Fri, 31 Dec 9999 23:59:59 GMT", "168.0")]
)
def test_a_server_that_asks_for_hours_is_left_alone_for_at_most_a_week(header, hours):
    answer = busy(b"Retry-After: " + header + b"\r\n")
    with raw_server(answer) as url, pytest.raises(Refused, match=f"for {hours} hours"):
        client().get(url)


@pytest.mark.parametrize(
    "header", [b"x", b"-1", b"7x", b"\xb2", b"9" * 5000, b"Wed, 21 Oct 99999999999999999999 07:28:00 GMT"]
)
def test_nonsense_in_retry_after_is_ignored(header):
    with raw_server(busy(b"Retry-After: " + header + b"\r\n")) as url:
        started = time.monotonic()
        with pytest.raises(Unanswered, match="status 503"):
            client(attempts=2).get(url)
        assert time.monotonic() - started < 1


def test_retry_after_may_be_a_date():
    from email.utils import formatdate

    asked: list[float] = []
    header = f"Retry-After: {formatdate(time.time() + 2, usegmt=True)}\r\n".encode()
    with raw_server(busy(header, asked)) as url, pytest.raises(Unanswered):
        client(attempts=2).get(url)
    assert 0.5 < asked[1] - asked[0] < 3


def test_a_missing_page_is_an_answer_and_a_refusal_is_none():
    with serving(Steam(3, troubles=False)) as steam:
        assert client().get(f"{steam.url}/nowhere").status == 404
        with pytest.raises(Unanswered, match="status 403"):
            client().get(f"{steam.url}/forbidden")


def test_a_server_that_fails_for_ever_is_given_up_after_the_attempts():
    with serving(Steam(3, always=frozenset({10}))) as steam:
        with pytest.raises(Unanswered, match="status 500"):
            client(attempts=3).get(f"{steam.url}/cdn/10/x.jpg")
        assert steam.requests["/cdn/10/x.jpg"] == 3


def test_an_unusable_body_is_asked_for_again():
    with serving(Steam(3, troubles=False)) as steam:
        bodies = []

        def check(body: bytes) -> str:
            bodies.append(body)
            return "" if len(bodies) == 2 else "not yet"

        assert client().get(f"{steam.url}/cdn/20/library_600x900.jpg", check=check).status == 200
        assert len(bodies) == 2


def test_all_threads_wait_as_long_as_one_was_told_and_so_does_the_next_run(tmp_path):
    number = 8  # the ninth trouble is a 429
    with serving(Steam(20, retry_after=1.0)) as steam:
        path = f"/cdn/{number * 10}/{steam.path(number * 10)}"
        assert steam.trouble(number * 10) == "429"
        with pytest.raises(Unanswered):
            client(attempts=1, remember=tmp_path / "wait").get(steam.url + path)
        started = time.monotonic()
        assert client(attempts=1, remember=tmp_path / "wait").get(f"{steam.url}/nowhere").status == 404
        assert 0.7 < time.monotonic() - started < 3


def test_an_answer_that_drips_is_cut_off():
    with serving(Steam(40)) as steam:
        appid = next(appid for appid in steam.appids if steam.trouble(appid) == "drip" and steam.has_banner(appid))
        path = f"/cdn/{appid}/{steam.path(appid)}"
        started = time.monotonic()
        with pytest.raises(Unanswered, match=r"too long|timed out"):
            client(attempts=1, timeout=0.5).get(steam.url + path)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize("url", ["http://", "nonsense", "http://[::1"])
def test_what_is_no_address_is_said_to_be_none(url):
    with pytest.raises((BadInput, Unanswered)):
        client(attempts=1).get(url)


@contextmanager
def raw_server(
    *answers: Callable[[socket.socket], None], heard: list[bytes] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that answers each connection with the next of `answers`, the last one for ever. `heard` gets the
    requests, `context` encrypts them."""
    listener = socket.create_server(("127.0.0.1", 0))
    remaining = list(answers)
    wrap = nullcontext if context is None else partial(context.wrap_socket, server_side=True)

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line, suppress(OSError), wrap(line) as line:
                asked = line.recv(65536)
                if heard is not None:
                    heard.append(asked)
                (remaining.pop(0) if len(remaining) > 1 else remaining[0])(line)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def busy(header: bytes, asked: list[float] | None = None) -> Callable[[socket.socket], None]:
    """Answers 503 with a header, and notes when it was asked."""

    def answer(line: socket.socket) -> None:
        if asked is not None:
            asked.append(time.monotonic())
        line.sendall(b"HTTP/1.1 503 Busy\r\n" + header + b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    return answer


def endless(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def answer(line: socket.socket) -> None:
        line.sendall(head)
        while True:
            line.sendall(part)
            time.sleep(0.005)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08"


@pytest.mark.parametrize(
    "answer",
    [
        endless(CHUNKED + b"1\r\na\r\n0\r\n", b"X: y\r\n"),
        endless(CHUNKED + b"1;", b"aaaa"),
        endless(GZIPPED + bytes(7), b"\x00\x00\x00\xff\xff"),
        endless(GZIPPED + b"\x08" + bytes(6), b"name"),
    ],
    ids=["trailers", "chunk extension", "empty blocks", "file name"],
)
def test_a_body_that_never_gets_anywhere_is_cut_off(answer):
    with raw_server(answer) as url:
        started = time.monotonic()
        with pytest.raises(Unanswered, match="too long"):
            client(attempts=1, timeout=0.5).get(url)
        assert time.monotonic() - started < 2


def test_redirects_share_the_time_of_one_answer():
    def slow_redirect(line: socket.socket) -> None:
        time.sleep(0.3)
        line.sendall(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_server(slow_redirect) as url:
        started = time.monotonic()
        with pytest.raises(Unanswered, match="too long"):
            client(attempts=1, timeout=0.5).get(url)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("body", [b"Content-Length: 99\r\n\r\nx", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_a_wait_that_is_asked_for_counts_whatever_is_wrong_with_the_body(body):
    asked = []

    def wait(line: socket.socket) -> None:
        asked.append(time.monotonic())
        line.sendall(b"HTTP/1.1 429 Busy\r\nRetry-After: 1\r\n" + body)

    with raw_server(wait) as url, pytest.raises(Unanswered):
        client(attempts=2).get(url)
    assert asked[1] - asked[0] >= 1


def test_a_server_that_wants_to_be_left_alone_for_hours_is_and_the_next_run_knows(tmp_path):
    with raw_server(busy(b"Retry-After: 86400\r\n")) as url:
        for _ in range(2):
            with pytest.raises(Refused, match=r"for 24\.0 hours"):
                client(remember=tmp_path / "wait").get(url)


def test_a_wait_is_announced_and_ends_when_the_client_is_stopped():
    told = []

    with raw_server(busy(b"Retry-After: 60\r\n")) as url:
        waiting = client(on_wait=told.append)
        threading.Timer(0.5, waiting.stop).start()
        started = time.monotonic()
        with pytest.raises(Unanswered, match="interrupted"):
            waiting.get(url)
        assert time.monotonic() - started < 2
    assert told == [60]


def test_stopping_hangs_up_what_is_under_way():
    with raw_server(endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")) as url:
        waiting = client()
        threading.Timer(0.3, waiting.stop).start()
        started = time.monotonic()
        with pytest.raises(Unanswered):
            waiting.get(url)
        assert time.monotonic() - started < 1


@pytest.fixture
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_proxies")
def test_the_proxy_of_the_environment_is_used_but_for_hosts_that_it_leaves_out(monkeypatch):
    heard: list[bytes] = []

    def proxy(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_server(proxy, heard=heard) as url, serving(Steam(3, troubles=False)) as steam:
        monkeypatch.setenv("HTTP_PROXY", url.replace("http://", "http://me:p%40ss@"))
        assert client().get("http://steam.example/x").status == 404
        assert heard[0].startswith(b"GET http://steam.example/x HTTP/1.1")
        assert b"proxy-authorization: basic " + base64.b64encode(b"me:p@ss").lower() in heard[0].lower()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert client().get(f"{steam.url}/cdn/20/library_600x900.jpg").status == 200
        monkeypatch.setenv("NO_PROXY", steam.url.removeprefix("http://"))
        assert client().get(f"{steam.url}/cdn/20/library_600x900.jpg").status == 200
        assert len(heard) == 1


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_does_not_let_us_through_leaves_the_server_unreachable(monkeypatch):
    def refuse(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_server(refuse) as url:
        monkeypatch.setenv("HTTPS_PROXY", url.removeprefix("http://"))  # as many write it
        with pytest.raises(Unreachable, match="403"):
            client(attempts=1).get("https://steam.example/x")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("proxy", ["socks5://me:secret@h:1", "http://[::1:secret", "nonsense://secret"])
def test_what_is_no_proxy_is_a_mistake_and_shows_no_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(BadInput, match="proxy") as caught:
        client(attempts=1).get("http://steam.example/x")
    assert "secret" not in str(caught.value)


@pytest.mark.usefixtures("no_proxies")
def test_a_certificate_is_trusted_if_the_environment_names_it(tmp_path, monkeypatch):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with raw_server(answer, context=context) as url:
        url = url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(Unanswered, match="SSL_CERT_FILE") as caught:
            client(attempts=1).get(url)
        assert not isinstance(caught.value, Unreachable)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert client(attempts=1).get(url).status == 404


def test_a_server_that_answers_oddly_is_not_unreachable():
    with pytest.raises(Unreachable) as caught:
        client(attempts=1).get("http://127.0.0.1:9/x")
    assert "Errno" not in str(caught.value)
    with raw_server(lambda line: line.sendall(b"nonsense\r\n\r\n")) as url:
        with pytest.raises(Unanswered) as caught:
            client(attempts=2).get(url)
        assert not isinstance(caught.value, Unreachable)


def test_only_refusals_one_after_the_other_end_a_run():
    def answer(status: bytes) -> Callable[[socket.socket], None]:
        return lambda line: line.sendall(
            b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )

    no, yes = answer(b"403"), answer(b"404")
    with raw_server(*[no] * 9, yes, *[no] * 10) as url:
        asking = client()
        for _ in range(9):
            with pytest.raises(Unanswered):
                asking.get(url)
        assert asking.get(url).status == 404
        for _ in range(9):
            with pytest.raises(Unanswered):
                asking.get(url)
        with pytest.raises(Refused, match="10 times with status 403"):
            asking.get(url)
