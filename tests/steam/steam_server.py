"""A stand-in for SteamSpy, Steam's API and its CDN on loopback, which misbehaves on purpose and keeps a record."""

import io
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.conftest import picture

MODIFIED = "Wed, 21 Oct 2020 07:28:00 GMT"
TROUBLES = (
    "slow",
    "500",
    "reset",
    "html",
    "short image",
    "short answer",
    "wrong type",
    "redirect loop",
    "429",
    "endless",
    "drip",
    "no HTTP",
    "wrong length",
)  # 13, so that each meets games with and without banners, hashed and plain ones


@cache
def jpeg(appid: int) -> bytes:
    file = io.BytesIO()
    picture(appid, (60, 90)).save(file, "JPEG")
    return file.getvalue()


@cache
def animation() -> bytes:
    file = io.BytesIO()
    picture(1, (60, 90)).save(file, "PNG", save_all=True, append_images=[picture(2, (60, 90))])
    return file.getvalue()


TAGS = {19: "Action", 21: "Adventure; Story"}


@dataclass
class Steam:
    """`count` games, appids 10, 20, ...: every third has no banner, every other one a hashed path only.

    The first request for a game's banner meets the trouble of its number; `always` lists appids that fail for ever.
    """

    count: int
    troubles: bool = True
    always: frozenset[int] = frozenset()
    retry_after: float = 1.0
    items_down: bool = False
    query_down: bool = False
    spy_throttled: float = 0.0  # seconds from its first request
    page_troubles: dict[int, list[str]] = field(default_factory=dict)  # by start, each for one request
    has_chart: bool = True
    unsold: frozenset[int] = frozenset()  # in the US
    hidden: set[int] = field(default_factory=set)  # no longer in the list
    odd_records: frozenset[int] = frozenset()  # come without their appid
    art: int = 1  # the number of its version
    has_tags: bool = True
    items_answer: str = ""  # instead of the right one
    repeats: bool = False  # the same page of the list for ever
    forbids: bool = False
    redirects_to: str = ""
    animated: frozenset[int] = frozenset()
    name: str = "Game {}"
    owners: str = ""
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    bodies: Counter[int] = field(default_factory=Counter)
    most_at_once: int = 0
    too_early: list[str] = field(default_factory=list)
    etag_of: dict[int, str] = field(default_factory=dict)
    questions: list[dict[str, object]] = field(default_factory=list)
    _now: int = 0
    _spy_begun: float = 0.0
    _not_before: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def appids(self) -> list[int]:
        return [10 * number for number in range(1, self.count + 1)]

    def has_banner(self, appid: int) -> bool:
        return appid // 10 % 3 != 0

    def path(self, appid: int) -> str:
        return f"{appid:08x}/library_capsule.jpg" if appid // 10 % 2 else "library_600x900.jpg"

    def trouble(self, appid: int) -> str:
        return TROUBLES[appid // 10 % len(TROUBLES)] if self.troubles else "none"

    @property
    def available(self) -> dict[int, bytes]:
        return {appid: jpeg(appid) for appid in self.appids if self.has_banner(appid) and appid not in self.always}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "STEAMSPY_URL": f"{self.url}/spy",
            "STEAM_API_URL": f"{self.url}/api",
            "STEAM_CDN_URL": f"{self.url}/cdn",
            "STEAMSPY_PAUSE": "0",
            "FETCH_PAUSE": "0.02",
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    steam: Steam

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        steam = self.steam
        with steam._lock:
            steam._now += 1
            steam.most_at_once = max(steam.most_at_once, steam._now)
            steam.requests[self.path] += 1
            if time.monotonic() < steam._not_before.get(self.path, 0):
                steam.too_early.append(self.path)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                self.answer(urlsplit(self.path).path, parse_qs(urlsplit(self.path).query))
        finally:
            with steam._lock:
                steam._now -= 1

    def answer(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/spy":
            self.spy(query)
        elif path.startswith("/api/IStoreQueryService/Query/v1"):
            self.query(query)
        elif path.startswith("/api/ISteamChartsService/GetMostPlayedGames/v1") and self.steam.has_chart:
            self.send_json({"response": {"ranks": [{"rank": 1, "appid": self.steam.appids[-1]}, {"appid": "x"}]}})
        elif path.startswith("/api/IStoreBrowseService/GetItems"):
            self.items(query)
        elif path.startswith("/api/IStoreService/GetTagList"):
            named = [{"tagid": number, "name": name} for number, name in TAGS.items()]
            self.send_json({"response": {"tags": [*named, {"tagid": "x"}, None] if self.steam.has_tags else []}})
        elif path.startswith("/cdn/"):
            appid, _, name = path.removeprefix("/cdn/").partition("/")
            self.banner(int(appid), name)
        else:
            self.send(403 if path == "/forbidden" else 404, b"")

    def send(
        self, status: int, body: bytes, type: str = "text/html", length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, data: object) -> None:
        if self.steam.troubles and self.steam.requests[self.path] == 1:  # APIs sometimes answer so
            self.send(200, b"<html><body>Busy</body></html>")
        else:
            self.send(200, json.dumps(data).encode(), "application/json")

    def spy(self, query: dict[str, list[str]]) -> None:
        self.steam._spy_begun = self.steam._spy_begun or time.monotonic()
        if time.monotonic() - self.steam._spy_begun < self.steam.spy_throttled:
            status = 500 if len(self.steam.requests) % 2 else 200
            self.send(status, b"" if status == 500 else b"Too many connections, please try again in a minute.")
            return

        def record(appid: int) -> dict[str, object]:
            low = 1000 * (self.steam.count - appid // 10)
            return {"appid": appid, "name": f"Game {appid}", "owners": self.steam.owners or f"{low:,} .. {low + 500:,}"}

        appids = self.steam.appids
        if query["request"] == ["top100in2weeks"]:
            chosen = appids[-100:]
        else:
            page = 0 if self.steam.repeats else int(query["page"][0])
            chosen = appids[page * 1000 : page * 1000 + 1000]
        self.send_json({str(appid): record(appid) for appid in chosen})

    def query(self, query: dict[str, list[str]]) -> None:
        steam, question = self.steam, json.loads(query["input_json"][0])
        steam.questions.append(question)
        start, count = question["query"]["start"], question["query"]["count"]
        if steam.query_down:
            self.send(500, b"")
            return
        for trouble in steam.page_troubles.get(start, [])[:1]:
            steam.page_troubles[start].pop(0)
            if trouble == "empty":
                self.send_json({"response": {}})
                return
            if trouble == "repeat":
                start = 0
            if trouble == "grow":  # two games join the first page
                steam.hidden.clear()
            if trouble == "shrink":  # three games of the first page are gone
                steam.hidden |= {10, 20, 30}
        listed = [appid for appid in steam.appids if appid not in steam.hidden]
        assert question["query"]["sort"] in (2, 10)
        assert question["query"]["filters"]["released_only"]
        records = [{} if appid in steam.odd_records else self.record(appid) for appid in listed[start : start + count]]
        self.send_json({"response": {"metadata": {"total_matching_records": len(listed)}, "store_items": records}})

    def items(self, query: dict[str, list[str]]) -> None:
        steam, question = self.steam, json.loads(query["input_json"][0])
        steam.questions.append(question)
        if steam.items_down:
            self.send(500, b"")
            return
        if steam.items_answer:
            self.send(200, steam.items_answer.encode(), "application/json")
            return
        appids = [entry["appid"] for entry in question["ids"]]
        if len(appids) > 250:
            self.send(400, b"Bad Request")
            return
        self.send_json({"response": {"store_items": list(map(self.record, appids))}})

    def record(self, appid: int) -> dict[str, object]:
        steam, name = self.steam, self.steam.path(appid)
        if appid in steam.unsold:
            return {"appid": appid, "id": appid, "success": 15, "unvailable_for_country_restriction": True}
        assets = {
            "asset_url_format": f"steam/apps/{appid}/${{FILENAME}}?t={steam.art}",
            "library_capsule": name,
            "library_capsule_2x": name.replace(".jpg", "_2x.jpg"),
            "header": "header.jpg",
        }
        return {
            "appid": appid,
            "id": appid,
            "success": 1,
            "name": steam.name.format(appid),
            "assets": assets if "/" in name else {},
            "content_descriptorids": [3] if appid % 100 == 10 else [],
            "release": {"steam_release_date": 1_600_000_000},
            "reviews": {"summary_unfiltered": {"review_count": 1 + steam.count - appid // 10}},
            "basic_info": {
                "developers": [{"name": f"Studio {appid % 7}"}, {"name": "A; B"}, {}],
                "publishers": [{"name": "House"}],
                "franchises": [{"name": "Saga"}] if appid % 4 == 0 else None,
            },
            "tags": [{"tagid": 19, "weight": 9}, {"tagid": 999}, {"tagid": 21}, "x"],
        }

    def banner(self, appid: int, name: str) -> None:
        steam = self.steam
        if appid in steam.always:
            self.send(500, b"")
            return
        if steam.forbids:
            self.send(403, b"")
            return
        if steam.redirects_to and appid == 10:
            self.send(302, b"", Location=steam.redirects_to)
            return
        if not steam.has_banner(appid) or name != steam.path(appid):
            self.send(404, b"<html>Not Found</html>")
            return
        etag = steam.etag_of.get(appid, f'"{appid}"')
        body = animation() if appid in steam.animated else jpeg(appid + (1 if appid in steam.etag_of else 0))
        if self.headers.get("If-None-Match") == etag or self.headers.get("If-Modified-Since") == MODIFIED:
            self.send(304, b"", ETag=etag)
            return
        trouble = steam.trouble(appid) if steam.requests[self.path] == 1 else "none"
        steam.met[trouble] += 1
        if trouble == "500":
            self.send(500, b"oops")
        elif trouble == "429":
            with steam._lock:
                steam._not_before[self.path] = time.monotonic() + steam.retry_after
            self.send(429, b"", Retry_After=str(round(steam.retry_after)))
        elif trouble == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
        elif trouble == "html":
            self.send(200, b"<html>Sorry</html>", "image/jpeg")
        elif trouble == "short image":
            self.send(200, body[:-300], "image/jpeg")
        elif trouble == "short answer":
            self.send(200, body[:-300], "image/jpeg", length=len(body))
            self.close_connection = True
        elif trouble == "redirect loop":
            self.send(302, b"", Location=self.path)
            steam.requests[self.path] -= 1 if steam.requests[self.path + "#loop"] < 4 else 0
            steam.requests[self.path + "#loop"] += 1
        elif trouble == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(bytes(1_000_000))
        elif trouble == "drip":
            self.send_response(200)
            self.end_headers()
            for byte in body[:400]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.01)
            self.close_connection = True
        elif trouble == "wrong length":
            self.send(200, body, "image/jpeg", length=-5)
            self.close_connection = True
        elif trouble == "no HTTP":
            self.wfile.write(b"nonsense\r\n\r\n")
            self.close_connection = True
        else:
            if trouble == "slow":
                time.sleep(0.3)
            with steam._lock:
                steam.bodies[appid] += 1
            type = "text/html" if trouble == "wrong type" else "image/jpeg"
            self.send(200, body, type, ETag=etag, Last_Modified=MODIFIED)


@contextmanager
def serving(steam: Steam) -> Iterator[Steam]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"steam": steam}))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    steam.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield steam
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
