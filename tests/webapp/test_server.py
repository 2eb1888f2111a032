"""The app under gunicorn, as a host runs it."""

import http.client
import itertools
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from banners.errors import BadInput
from manage_catalogue import main as manage
from tests.conftest import with_file
from tests.servers import serving, start
from tests.webapp.small_site import make_catalogue


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import sample

    folder = tmp_path_factory.mktemp("published") / "c"
    assert manage(["import-matches", str(sample("steam-2021")), str(folder)]) == 0
    return folder


def test_two_workers_with_the_published_games_need_less_than_200_mb(published):
    with serving(published) as server:
        for number in range(60):
            assert server.get(f"/suggest?q={chr(97 + number % 26)}")[0] == 200
            assert server.get("/render/1091500")[0] == 200
            assert server.get("/")[0] == 200
        assert len(server.processes()) == 3
        assert server.proportional_set_size() < 200e6
        for pid in server.processes():
            mapped = Path(f"/proc/{pid}/maps").read_text()
            assert "libtorch" not in mapped
            assert "libfaiss" not in mapped


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def truncate(folder: Path) -> None:
    data = (folder / "neighbours.npy").read_bytes()
    (folder / "neighbours.npy").write_bytes(data[:-8])


def tamper(folder: Path) -> None:
    path = folder / "games.db"
    path.write_bytes(path.read_bytes().replace(b"Portal 2", b"Portal 3"))


@pytest.mark.parametrize("damage", [lose_the_manifest, truncate, tamper])
def test_the_server_refuses_a_damaged_catalogue_with_one_line(tmp_path, damage):
    damage(make_catalogue(tmp_path / "c"))
    server = start(tmp_path / "c")
    output, _ = server.process.communicate(timeout=30)
    assert server.process.returncode != 0
    assert output.count("\n") == 1, output
    assert output.startswith("steam-clip: cannot start: ")


def test_a_missing_banners_folder_is_refused_too(tmp_path):
    server = start(make_catalogue(tmp_path / "c"), tmp_path / "none")
    output, _ = server.process.communicate(timeout=30)
    assert server.process.returncode != 0
    assert "cannot read the banners folder" in output


def test_hostile_request_lines_get_no_500(tmp_path):
    import socket

    with serving(make_catalogue(tmp_path / "c")) as server:
        host, port = "127.0.0.1", int(server.url.rsplit(":", 1)[1])
        for target in (
            b"/search?q=\x00\x01\xff",
            b"/render/" + b"9" * 8000,
            b"/search?q=" + b"%E4" * 2500,
            b"/" + b"a" * 20_000,
        ):
            with socket.create_connection((host, port), timeout=10) as connection:
                connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                status = connection.makefile("rb").readline().split()[1]
            assert status[:1] in (b"2", b"4"), (target[:20], status)
        assert server.get("/healthz") == (200, "ok\n")


def test_malformed_bodies_are_a_400(tmp_path, colour_site):
    import socket

    with serving(colour_site / "c") as server:
        port = int(server.url.rsplit(":", 1)[1])
        for path in (b"/upload", b"/api/v1/pictures"):
            for body in (
                b"zz\r\nabc\r\n",
                b"-5\r\nabc\r\n",
                b"5\r\nabcdeXX\r\n0\r\n\r\n",
                b"5\r\nabcde\r\n0\r\nbad trailer\r\n\r\n",
                b"5\r\nabc",
            ):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(
                        b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body
                    )
                    connection.shutdown(socket.SHUT_WR)
                    answer = connection.makefile("rb").read()
                assert answer.split()[1] == b"400", (path, body, answer[:60])


def test_a_text_side_that_cannot_be_loaded_does_not_keep_the_server_from_starting(tmp_path, colour_site):
    folder = with_file(colour_site / "c", tmp_path / "c", "text_encoder.onnx", b"nothing")
    with serving(folder, QUERIES_AT_START="1") as server:
        assert server.get("/render/11")[0] == 200
        assert server.get("/api/v1/similar?text=red")[0] == 503


def test_an_impossible_number_of_proxies_is_refused(tmp_path):
    from webapp import create_app

    with pytest.raises(BadInput, match="PROXY_HOPS"):
        create_app({"CATALOGUE": make_catalogue(tmp_path / "c"), "PROXY_HOPS": "many"})


def test_a_catalogue_is_replaced_under_the_running_server_without_a_failed_request(tmp_path):
    folder = make_catalogue(tmp_path / "c")
    with serving(folder) as server:
        statuses: Counter[int] = Counter()
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                for path in ("/render/10", "/", "/search?q=portal", "/api/v1/unique", "/hubs"):
                    statuses[server.get(path)[0]] += 1

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        try:
            before = server.get("/api/v1/catalogue")[1]
            assert '"mirror"' in before
            make_catalogue(folder, views=False)
            deadline = time.monotonic() + 40
            # Each of the two workers notices by itself.
            while not all('"mirror"' not in server.get("/api/v1/catalogue")[1] for _ in range(8)):
                assert time.monotonic() < deadline
                time.sleep(0.3)
            (folder / "manifest.json").write_text("{}")  # one that cannot be served is not
            time.sleep(7)
        finally:
            done.set()
            for thread in asking:
                thread.join()
        assert server.get("/render/10")[0] == 200
        assert statuses.keys() == {200}
        assert statuses[200] > 100


def test_metrics_tell_of_all_workers_and_a_new_worker_counts_on(tmp_path):
    def counted(server) -> float:
        found = re.findall(r'_total{.*route="/about",status="200"} (.*)', server.get("/metrics")[1])
        return float(found[0]) if found else 0.0

    with serving(make_catalogue(tmp_path / "c")) as server:
        for _ in range(20):
            server.get("/about")
        assert {counted(server) for _ in range(10)} == {20.0}
        listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        while len(children := listed.read_text().split()) < 2:  # the second one may still be on its way
            time.sleep(0.05)
        os.kill(int(children[0]), signal.SIGKILL)
        while listed.read_text().split() == children:
            time.sleep(0.05)
        for _ in range(20):
            server.get("/about")
        assert counted(server) == 40.0


def test_a_worker_that_comes_later_serves_the_catalogue_of_now(tmp_path):
    folder = make_catalogue(tmp_path / "c")
    with serving(folder, WEB_CONCURRENCY="1") as server:
        assert '"mirror"' in server.get("/api/v1/catalogue")[1]
        make_catalogue(folder, views=False)
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        worker = children.read_text()
        os.kill(int(worker), signal.SIGTERM)
        while children.read_text() in (worker, ""):
            time.sleep(0.05)
        assert {'"mirror"' in server.get("/api/v1/catalogue")[1] for _ in range(4)} == {False}


@pytest.mark.soak
def test_twenty_replacements_fail_no_request_and_files_copied_over_the_served_ones_recover(tmp_path, measured):
    folder, others = make_catalogue(tmp_path / "c"), [make_catalogue(tmp_path / "d", views=False)]
    others.append(make_catalogue(tmp_path / "e"))
    with serving(folder) as server:
        failed: list[float] = []
        asked = itertools.count()
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                for path in ("/render/10", "/search?q=portal", "/api/v1/unique", "/hubs"):
                    next(asked)
                    try:
                        is_good = server.get(path)[0] == 200
                    except (OSError, http.client.HTTPException):
                        is_good = False
                    if not is_good:
                        failed.append(time.monotonic())

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        try:
            for number in range(20):
                make_catalogue(folder, views=number % 2 == 1)
                time.sleep(2)
            measured(f"{next(asked)} requests")
            assert failed == []
            for path in sorted(others[0].iterdir()):
                with (folder / path.name).open("r+b") as file:  # as cp does: the mapped file itself becomes shorter
                    file.truncate(0)
                    time.sleep(0.2)
                    file.write(path.read_bytes())
            for path in set(folder.iterdir()) - {folder / path.name for path in others[0].iterdir()}:
                path.unlink()
            copied = time.monotonic()
            time.sleep(45)
            assert [moment for moment in failed if moment > copied + 30] == []
            assert '"mirror"' not in server.get("/api/v1/catalogue")[1]
        finally:
            done.set()
            for thread in asking:
                thread.join()


def test_a_catalogue_that_arrives_file_by_file_is_served_in_the_end(tmp_path, monkeypatch):
    from webapp import create_app, current

    monkeypatch.setattr(current, "CHECK_EVERY", 0.0)
    monkeypatch.setattr(current, "CHECK_AFTER_FAILURE", 0.0)
    folder, other = make_catalogue(tmp_path / "c"), make_catalogue(tmp_path / "d", views=False)
    client = create_app({"CATALOGUE": folder}).test_client()
    for name in ("manifest.json", *sorted(path.name for path in other.iterdir() if path.name != "manifest.json")):
        assert client.get("/api/v1/catalogue").status_code == 200
        (folder / f"{name}.part").write_bytes((other / name).read_bytes())
        (folder / f"{name}.part").replace(folder / name)
    for path in set(folder.iterdir()) - {folder / path.name for path in other.iterdir()}:
        path.unlink()
    deadline = time.monotonic() + 20
    while "mirror" in client.get("/api/v1/catalogue").get_json()["views"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_host_that_is_no_name_is_a_400(tmp_path):
    with serving(make_catalogue(tmp_path / "c")) as server:
        for path in ("/about", "/render/10", "/api/v1/games/10", "/app?index=0", "/nothing", "/find"):
            connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
            connection.request("GET", path, headers={"Host": "a<b"})
            answer = connection.getresponse()
            assert answer.status == 400, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            connection.close()


def test_the_query_encoder_can_be_loaded_at_start(colour_site):
    with serving(colour_site / "c", WEB_CONCURRENCY="1", QUERIES_AT_START="1") as server:
        worker = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()[0]
        deadline = time.monotonic() + 20
        while "onnxruntime" not in Path(f"/proc/{worker}/maps").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.get("/api/v1/similar?text=red")[0] == 200
