"""Load and faults: two workers behind nginx, as deploy/nginx.conf has it, at 70 % of what they were measured to answer.

Requests begin at fixed times, whether or not earlier ones were answered, and their time counts from there: a server
that stops for a second is found out. With --faults, workers and servers are killed, reloaded and replaced meanwhile,
catalogues too, the disk of the counters is filled, Redis stops, and 200 slow clients hold connections. Needs nginx, and
for --faults redis-server and root. Prints JSON with a verdict; exit status 1 if a limit is exceeded. Example:

    bench_load.py --catalogue data/catalogue --pictures data/banners --minutes 20
    bench_load.py --catalogue data/catalogue --pictures data/banners --minutes 8 --faults
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

APP, FRONT, REDIS = 8791, 8792, 8793
CONNECTIONS = 64
WORDS = "castle dark forest space knight red anime girl tank snow robot cat city night".split()
SLOWEST_PAGE_MS = 100.0  # p99
GROWTH = 1.05  # of memory after the first minute
NGINX = """
user {user};
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


# Share, kind and address. Queries cost the work of an encoder or a search; "" is an upload.
REQUESTS = (
    (0.005, "query", ""),
    (0.03, "query", "/api/v1/similar?text={words}"),
    (0.015, "query", "/mix?game={appid}&text={words}"),
    (0.03, "query", "/render/{appid}?from=2003&to=2010"),
    (0.08, "page", "/suggest?q={start}"),
    (0.08, "page", "/search?q=Game+number+{appid}"),
    (0.08, "page", "/api/v1/games/{appid}/neighbours"),
    (0.06, "page", "{wall}"),
    (0.62, "page", "/render/{appid}"),
)
WALLS = ("/", "/unique", "/hubs", "/popular", "/newest", "/about")


class Traffic:
    """The requests of many readers, as bytes."""

    def __init__(self, appids: list[int], pictures: list[bytes]) -> None:
        self._appids, self._pictures, self._random = appids, pictures, random.Random(0)

    def next(self) -> tuple[str, bytes]:
        """The kind of a request, and the request."""
        choose = self._random
        ((_, kind, address),) = choose.choices(REQUESTS, [share for share, *_ in REQUESTS])
        if not address:
            body = choose.choice(self._pictures)
            length = f"Content-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            return kind, f"POST /api/v1/pictures HTTP/1.1\r\nHost: x\r\n{length}".encode() + body
        words = "+".join(choose.sample(WORDS, 2))
        path = address.format(
            appid=choose.choice(self._appids),
            words=words,
            start=words[: choose.randint(1, 6)],
            wall=choose.choice(WALLS),
        )
        return kind, f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode()


class Readers:
    """So many connections to nginx. `record` gets kind, status (0: no answer) and seconds of each request."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.records: list[tuple[float, str, int, float]] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, due: float) -> None:
        kind, request = self._traffic.next()
        status = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            async with asyncio.timeout(60):
                while self._idle and self._idle[-1][0].at_eof():  # nginx closes connections that were idle for long
                    self._idle.pop()[1].close()
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", FRONT)
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: (\d+)", head)
                if length:
                    await reader.readexactly(int(length.group(1)))
                elif "chunked" in head.lower():
                    while size := int(await reader.readline(), 16):
                        await reader.readexactly(size + 2)
                    await reader.readline()
                status = int(head.split(" ", 2)[1])
                if "connection: close" in head.lower():
                    writer.close()
                else:
                    self._idle.append((reader, writer))
        self.records.append((due, kind, status, time.monotonic() - due))

    async def as_fast_as_possible(self, seconds: float, readers: int = 16) -> float:
        """Requests a second of so many readers, each of whom asks again as soon as it was answered."""
        end, begun = time.monotonic() + seconds, len(self.records)

        async def one() -> None:
            while (now := time.monotonic()) < end:
                await self.ask(now)

        await asyncio.gather(*(one() for _ in range(readers)))
        return (len(self.records) - begun) / seconds

    async def at_rate(self, rate: float, seconds: float) -> None:
        """Requests that begin at fixed times."""
        begun, tasks = time.monotonic(), set()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            if (rest := due - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


class Site:
    """gunicorn and nginx, and what is done to them."""

    def __init__(self, folder: Path, catalogue: Path, with_redis: bool) -> None:
        self.folder, self.catalogue, self.source = folder, folder / "catalogue", catalogue
        self.killed: list[float] = []  # when a process with connections was killed
        shutil.copytree(catalogue, self.catalogue)
        site = (ROOT / "deploy" / "nginx.conf").read_text().replace("127.0.0.1:8000", f"127.0.0.1:{APP}")
        site = re.sub(r"(?m)^ *listen \[::\]:80;\n", "", site).replace("listen 80;", f"listen 127.0.0.1:{FRONT};")
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=getpass.getuser()))
        self.redis = self.start_redis() if with_redis else None
        self.environment = os.environ | {
            "CATALOGUE": str(self.catalogue),
            "BANNERS": "",
            "HOST": "127.0.0.1",
            "PORT": str(APP),
            "PROXY_HOPS": "1",
            "WEB_CONCURRENCY": "2",
            "QUERIES_PER_MINUTE": "1000000",
            **({"RATELIMIT_STORAGE_URI": f"redis://127.0.0.1:{REDIS}"} if with_redis else {}),
        }
        self._log = (folder / "app.log").open("ab")
        self.master = self._start_app().pid
        self.nginx = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"])
        self._wait_until_ready()

    def _start_app(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "webapp"]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self._log, stderr=self._log)

    def _wait_until_ready(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{FRONT}/readyz", timeout=5).close()
                return
            time.sleep(0.1)
        raise SystemExit(f"no answer; see {self.folder / 'app.log'}")

    def start_redis(self) -> "subprocess.Popen[bytes]":
        command = ["redis-server", "--port", str(REDIS), "--save", "", "--dir", str(self.folder)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def children(self, pid: int) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def memory(self) -> float:
        """Proportional set size of master and workers in MB."""
        total = 0.0
        for pid in (self.master, *self.children(self.master)):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
        return total

    def stop(self) -> None:
        for pid in (self.master, self.nginx.pid, *([self.redis.pid] if self.redis else [])):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        time.sleep(2)

    # -- faults -------------------------------------------------------------------------------------------------------

    async def kill_worker(self) -> None:
        self.killed.append(time.monotonic())
        os.kill(self.children(self.master)[0], signal.SIGKILL)

    async def reload(self) -> None:
        os.kill(self.master, signal.SIGHUP)

    async def take_over(self) -> None:
        old = self.master
        workers = set(self.children(old))
        os.kill(old, signal.SIGUSR2)
        while not (new := [pid for pid in set(self.children(old)) - workers if len(self.children(pid)) == 2]):
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)
        self.master = new[0]
        os.kill(old, signal.SIGTERM)

    def put(self, damage: Callable[[Path], None] | None = None) -> None:
        """Put a copy of the catalogue in place, as embed_banners.py does."""
        from banners.catalogue.writer import put_in_place

        fresh = self.catalogue.with_name("fresh")
        shutil.copytree(self.source, fresh)
        if damage:
            damage(fresh)
        put_in_place(fresh, self.catalogue)
        shutil.rmtree(fresh, ignore_errors=True)

    async def replace(self) -> None:
        for _ in range(10):
            await asyncio.to_thread(self.put)
            await asyncio.sleep(2.5)

    async def break_catalogue(self) -> None:
        await asyncio.to_thread(self.put, lambda folder: (folder / "games.db").write_bytes(b"broken"))
        await asyncio.sleep(12)
        await asyncio.to_thread(self.put)

    async def remove_catalogue(self) -> None:
        away = self.catalogue.with_name("away")
        self.catalogue.rename(away)
        await asyncio.sleep(12)
        away.rename(self.catalogue)

    async def fill_disk(self) -> None:
        """Where counters and heartbeats are; --faults has a small one mounted there."""
        fill = Path("/dev/shm/fill")  # noqa: S108
        with contextlib.suppress(OSError), fill.open("wb") as file:
            while True:
                file.write(bytes(2**16))
                file.flush()
        await asyncio.sleep(10)
        fill.unlink()

    async def stop_redis(self) -> None:
        assert self.redis
        self.redis.kill()
        self.redis.wait()
        await asyncio.sleep(10)
        self.redis = self.start_redis()

    async def slow_clients(self) -> None:
        """200 clients that send a header's byte, or read one, every second."""
        lines = []
        for number in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", FRONT, limit=64)
            request = b"GET /unique HTTP/1.1\r\nHost: x\r\n"
            writer.write(request if number % 2 else request + b"\r\n")
            lines.append((number, reader, writer))
        for _ in range(20):
            for number, reader, writer in lines:
                with contextlib.suppress(OSError, TimeoutError):
                    if number % 2:
                        writer.write(b"X")
                    else:
                        await asyncio.wait_for(reader.read(1), 0.01)
            await asyncio.sleep(1)
        for *_, writer in lines:
            writer.close()


async def cause_faults(site: Site, seconds: float) -> Counter[str]:
    """One fault after the other; those of a round are 14, with 10 replacements each in five of them."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    faults: list[Callable[[], Awaitable[None]]] = [
        site.replace,
        site.kill_worker,
        site.reload,
        site.replace,
        site.take_over,
        site.break_catalogue,
        site.replace,
        site.remove_catalogue,
        site.fill_disk,
        site.replace,
        site.stop_redis,
        site.slow_clients,
        site.replace,
        site.kill_worker,
    ]
    for fault in faults:
        if time.monotonic() > end:
            break
        await asyncio.sleep(4)
        print(f"{fault.__name__} ...", file=sys.stderr)
        await fault()
        done[fault.__name__] += 1
    return done


async def measure(site: Site, traffic: Traffic, minutes: float, share: float, faults: bool) -> dict[str, object]:
    readers = Readers(traffic)
    await readers.as_fast_as_possible(5)  # encoders are loaded, pages are in the cache
    capacity = await readers.as_fast_as_possible(15)
    readers.records.clear()
    memory: list[tuple[float, float]] = []
    begun = time.monotonic()

    async def watch() -> None:
        while True:
            memory.append((time.monotonic() - begun, site.memory()))
            await asyncio.sleep(5)

    watching = asyncio.create_task(watch())
    causing = asyncio.create_task(cause_faults(site, 60 * minutes)) if faults else None
    await readers.at_rate(share * capacity, 60 * minutes)
    watching.cancel()
    records = readers.records
    pages = np.array([seconds for _, kind, _, seconds in records if kind == "page"]) * 1000
    queries = np.array([seconds for _, kind, _, seconds in records if kind == "query"]) * 1000
    # A killed process takes the answers with it that it was giving.
    excused = [
        (status, due)
        for due, _, status, seconds in records
        if (status >= 500 or not status) and any(due - 1 <= killed <= due + seconds for killed in site.killed)
    ]
    failed = sum(status >= 500 or not status for _, _, status, _ in records) - len(excused)
    early = np.median([one for at, one in memory if 60 <= at < 90] or [memory[0][1]])
    late = np.median([one for _, one in memory[-6:]])
    p99 = float(np.percentile(pages, 99))
    figures: dict[str, object] = {
        "capacity_rps": round(capacity),
        "rate_rps": round(share * capacity),
        "minutes": minutes,
        "requests": len(records),
        "statuses": dict(sorted(Counter(status for _, _, status, _ in records).items())),
        "failed": failed,
        "failed_with_a_killed_process": len(excused),
        "pages_p50_ms": round(float(np.percentile(pages, 50)), 1),
        "pages_p99_ms": round(p99, 1),
        "pages_max_ms": round(float(pages.max())),
        "queries_p50_ms": round(float(np.percentile(queries, 50)), 1),
        "queries_p99_ms": round(float(np.percentile(queries, 99)), 1),
        "memory_after_a_minute_mb": round(float(early)),
        "memory_at_the_end_mb": round(float(late)),
    }
    sound = failed == 0
    if causing:
        figures["faults"] = dict(await causing)
    else:
        sound = sound and p99 <= SLOWEST_PAGE_MS and late <= GROWTH * early
    figures["verdict"] = "passed" if sound else "failed"
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR", help="JPEGs that readers upload")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.7, help="of the measured capacity (default: %(default)s)")
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    if options.faults and "LOAD_INSIDE" not in os.environ:  # in a mount namespace whose /dev/shm can be filled
        inside = ['mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$@"', "sh", sys.executable, *sys.argv]
        return subprocess.call(["unshare", "-m", "sh", "-c", *inside], env=os.environ | {"LOAD_INSIDE": "1"})
    appids = [int(appid) for appid in np.load(options.catalogue / "appids.npy")]
    pictures = [path.read_bytes() for path in sorted(options.pictures.glob("*.jpg"))[:50]]
    with tempfile.TemporaryDirectory() as scratch:
        site = Site(Path(scratch), options.catalogue, options.faults)
        try:
            figures = asyncio.run(
                measure(site, Traffic(appids, pictures), options.minutes, options.share, options.faults)
            )
        finally:
            site.stop()
        log = (Path(scratch) / "app.log").read_text(errors="replace")
        figures["tracebacks"] = log.count("Traceback")
        if figures["verdict"] == "failed" or figures["tracebacks"]:
            print(log[-3000:], (Path(scratch) / "nginx.log").read_text()[-2000:], file=sys.stderr)
    print(json.dumps(figures))
    return figures["verdict"] != "passed"


if __name__ == "__main__":
    sys.exit(main())
