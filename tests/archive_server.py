"""A server on loopback that has a packed catalogue, and misbehaves on purpose."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from banners.catalogue import archive


class ArchiveServer:
    """Answers every GET with `body`. `trouble` is called instead if it is set; `asked` counts."""

    def __init__(self) -> None:
        self.body, self.etag, self.url = b"", '"1"', ""
        self.trouble: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked = self.sent = 0

    def put(self, folder: Path, etag: str = '"1"') -> str:
        """Pack a catalogue for the next answers. Returns the SHA-256 of the archive."""
        packed = folder.with_name(f"{folder.name}.tar.gz")
        info = archive.pack(folder, packed)
        self.body, self.etag = packed.read_bytes(), etag
        packed.unlink()
        return info.sha256


def redirect(to: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return status(302, Location=to)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def sending(data: bytes, length: int | None = None, pause: float = 0.0) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send `data`, in ten parts with pauses, and say that there are `length` bytes; None: say nothing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        step = len(data) // 10 + 1
        for start in range(0, len(data), step):
            handler.wfile.write(data[start : start + step])
            time.sleep(pause)
        handler.close_connection = True

    return answer


def dripping(data: bytes, pause: float) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send byte by byte."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for number in range(len(data)):
            handler.wfile.write(data[number : number + 1])
            time.sleep(pause)

    return answer


def chunked(data: bytes, is_whole: bool = True) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(data), 1000):
            part = data[start : start + 1000]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if is_whole:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer


@contextmanager
def archive_server() -> Iterator[ArchiveServer]:
    state = ArchiveServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            if state.trouble is not None:
                state.trouble(self)
            elif state.etag and self.headers.get("If-None-Match") == state.etag:
                status(304, ETag=state.etag)(self)
            else:
                state.sent += 1
                self.send_response(200)
                self.send_header("ETag", state.etag)
                self.send_header("Content-Length", str(len(state.body)))
                self.end_headers()
                self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/c.tar.gz"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
