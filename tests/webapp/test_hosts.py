"""What hosts and their operators do to a server: files that are away, settings, names, and stores that fail."""

import json
import os
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from banners.catalogue import manifest
from banners.errors import BadInput
from tests.colour_clip import coloured
from tests.conftest import with_file
from tests.servers import Server, serving, start
from tests.webapp.query_site import encoded, form
from tests.webapp.small_site import make_catalogue
from webapp import create_app
from webapp.app import misspelt


def workers(server: Server) -> list[int]:
    return server.processes()[1:]


def replace_workers(server: Server, how: signal.Signals) -> None:
    """End all workers, or have the master replace them, and wait for the new ones."""
    while len(workers(server)) < 2:
        time.sleep(0.05)
    before = set(workers(server))
    if how == signal.SIGHUP:
        os.kill(server.process.pid, how)
    deadline = time.monotonic() + 40
    while (old := before & set(workers(server))) or len(workers(server)) < 2:
        for pid in old if how != signal.SIGHUP else ():  # again, for one that was not ready for signals
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def output_of(server: Server) -> str:
    server.process.terminate()
    return server.process.communicate(timeout=30)[0]


# -- files that are away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("away", ["", "games.db"])
def test_a_catalogue_that_is_away_when_workers_restart_is_served_on(tmp_path, how, away):
    folder = make_catalogue(tmp_path / "c")
    with serving(folder) as server:
        (folder / away).rename(tmp_path / "away")
        replace_workers(server, how)
        for _ in range(8):
            assert server.get("/render/10")[0] == 200
            assert "Portal 2" in server.get("/search?q=portal")[1]
        (tmp_path / "away").rename(folder / away)
        assert server.get("/render/20")[0] == 200
        output = output_of(server)
    assert "Traceback" not in output
    assert output.count(f"files of {folder} are missing; those that were opened are served on") >= 2


def other_site(folder: Path, site: Path) -> Path:
    """A catalogue whose image encoder is another one's."""
    return with_file(site / "c", folder, "image_encoder.onnx", b"of another encoder")


def test_a_refused_or_a_sound_replacement_never_mixes_vectors_with_another_encoder(tmp_path, colour_site):
    folder = tmp_path / "c"
    shutil.copytree(colour_site / "c", folder)
    picture = encoded(coloured("red"))
    client = create_app({"CATALOGUE": folder, "QUERIES_PER_MINUTE": "0"}).test_client()
    shutil.rmtree(folder)
    other_site(folder, colour_site)
    answer = client.post("/api/v1/pictures?n=2", data=picture, content_type="image/png")
    assert {result["game"]["appid"] for result in answer.get_json()["results"]} == {11, 12}
    again = client.get("/api/v1/similar", query_string={"picture": answer.get_json()["picture"], "n": 2}).get_json()
    assert again["results"] == answer.get_json()["results"]


def test_an_encoder_that_is_overwritten_before_it_is_read_is_a_503(tmp_path, colour_site):
    folder = tmp_path / "c"
    shutil.copytree(colour_site / "c", folder)
    client = create_app({"CATALOGUE": folder, "QUERIES_PER_MINUTE": "0"}).test_client()
    with (folder / "image_encoder.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"overwritten")
    assert client.post("/api/v1/pictures", data=encoded(coloured("red"))).status_code == 503
    assert client.get("/render/11").status_code == 200


def test_the_picture_in_a_link_is_known_by_its_encoder(query_app, tmp_path, colour_site):
    folder = tmp_path / "c"
    shutil.copytree(colour_site / "c", folder)
    data = json.loads((folder / manifest.MANIFEST).read_text())
    data["encoder"]["revision"] = "another"
    (folder / manifest.MANIFEST).write_text(json.dumps(data))
    client = query_app.test_client()
    link = client.post("/upload", **form(encoded(coloured("red")))).location
    assert client.get(link).status_code == 200
    other = create_app({"CATALOGUE": folder}).test_client().get(link)
    assert other.status_code == 400
    assert "made with another encoder" in other.get_data(as_text=True)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "is_fine"), [("", True), ("1", True), ("two", False), ("0", False)])
def test_a_number_of_workers_that_is_none_is_one_line_and_an_empty_one_the_default(tmp_path, value, is_fine):
    folder = make_catalogue(tmp_path / "c")
    if is_fine:
        with serving(folder, WEB_CONCURRENCY=value) as server:
            assert server.get("/healthz")[0] == 200
        return
    output, _ = start(folder, WEB_CONCURRENCY=value).process.communicate(timeout=30)
    assert output == f"steam-clip: cannot start: WEB_CONCURRENCY is '{value}', not a whole number from 1 to 64\n"


def test_misspelt_settings_are_named_and_those_of_others_are_not(tmp_path):
    settings = {"CATALOG": "x", "PROXY_HOP": "1", "RATELIMIT_STORAGE_URL": "", "catalogue": "x", "WEB_THREAD": "4"}
    assert dict(misspelt(settings)) == {
        "CATALOG": "CATALOGUE",
        "PROXY_HOP": "PROXY_HOPS",
        "RATELIMIT_STORAGE_URL": "RATELIMIT_STORAGE_URI",
        "catalogue": "CATALOGUE",
        "WEB_THREAD": "WEB_THREADS",
    }
    others = (
        "HOSTNAME",
        "HOME",
        "http_proxy",
        "PYTHONPATH",
        "CATALOGUE_SERVICE_HOST",
        "REDIS_URL",
        "CATALOGUE",
        "PORT",
    )
    assert dict(misspelt(dict.fromkeys(others, "x"))) == {}


def test_the_log_says_what_is_served_in_lines_of_one_form(tmp_path):
    with serving(make_catalogue(tmp_path / "c"), PROXY_HOP="1", ACCESS_LOG="-") as server:
        server.get("/search?q=secret", Authorization="Basic YWxpY2UKOng=", Referer="http://h/mix?picture=secret")
        server.get("/render/10%0Aforged")
        lines = output_of(server).splitlines()
    assert any(f"8 games of {tmp_path / 'c'}, encoder test-encoder, queries by games" in line for line in lines)
    assert any("PROXY_HOP is no setting; is PROXY_HOPS meant?" in line for line in lines)
    assert any('127.0.0.1 "GET /search HTTP/1.1" 200' in line for line in lines)
    assert any('"GET /render/10%0Aforged HTTP/1.1"' in line for line in lines)
    assert not re.search("secret|alice|^forged", "\n".join(lines), re.MULTILINE)
    form = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[[A-Z]+\] "
    assert [line for line in lines if not re.match(form, line)] == []


def test_a_line_of_the_access_log_has_client_route_status_time_and_id(tmp_path):
    sent = {"X-Forwarded-For": "192.0.2.7, 198.51.100.1", "X-Request-ID": "router-id-1"}
    settings = {"GUNICORN_CMD_ARGS": "--access-logfile -", "PROXY_HOPS": "1"}  # as Heroku sets it
    with serving(make_catalogue(tmp_path / "c"), **settings) as server:
        server.get("/render/10?n=3", **sent)
        lines = output_of(server).splitlines()
    line = next(line for line in lines if "/render/10" in line)
    assert re.search(
        r'198\.51\.100\.1 "GET /render/10 HTTP/1.1" 200 \d+ bytes \d+ ms route=/<.*>/<.*> id=router-id-1$', line
    )


def test_with_log_format_json_every_line_is_an_object(tmp_path):
    with serving(make_catalogue(tmp_path / "c"), ACCESS_LOG="-", LOG_FORMAT="json") as server:
        server.get("/render/10%0Aforged")
        server.get("/nowhere")
        lines = [json.loads(line) for line in output_of(server).splitlines()]
    assert {"time", "level", "process"} <= set.intersection(*(set(line) for line in lines))
    requests = [line for line in lines if line.get("path", "/healthz") != "/healthz"]
    assert [(line["route"], line["status"]) for line in requests] == [("none", 404), ("none", 404)]
    assert all(line["client"] == "127.0.0.1" and line["id"] and line["ms"] >= 0 for line in requests)
    output, _ = start(tmp_path / "c", LOG_FORMAT="xml").process.communicate(timeout=60)
    assert output == "steam-clip: cannot start: LOG_FORMAT is 'xml', neither text nor json\n"


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_new_master_takes_over_by_usr2(tmp_path):
    with serving(make_catalogue(tmp_path / "c")) as server:
        os.kill(server.process.pid, signal.SIGUSR2)
        deadline = time.monotonic() + 30
        while not (new := [pid for pid in children(server.process.pid) if children(pid)]):
            assert time.monotonic() < deadline, server.process.terminate()
            time.sleep(0.1)
        assert server.get("/render/10")[0] == 200
        os.kill(new[0], signal.SIGTERM)
        while new[0] in children(server.process.pid):
            time.sleep(0.1)
        assert "Traceback" not in output_of(server)


def test_pages_outlive_the_folder_of_the_counters(tmp_path):
    with serving(make_catalogue(tmp_path / "c")) as server:
        for folder in Path("/dev/shm").glob(f"steam-clip-metrics-{server.process.pid}-*"):
            shutil.rmtree(folder)
        replace_workers(server, signal.SIGKILL)
        for path in ("/render/10", "/hubs", "/search?q=portal"):
            assert server.get(path)[0] == 200


def test_what_killed_servers_leave_in_memory_is_removed_by_the_next_and_counts_survive_a_reload(tmp_path):
    shared = Path("/dev/shm")
    folder = make_catalogue(tmp_path / "c")

    def of(server: Server) -> list[Path]:
        return list(shared.glob(f"steam-clip-metrics-{server.process.pid}-*"))

    here = shared / f"steam-clip-metrics-{os.getpid()}-left"  # of a container whose process had the same number
    here.mkdir(exist_ok=True)
    killed = start(folder)
    with serving(folder) as living:
        while not of(killed):
            assert killed.process.poll() is None, killed.process.communicate()[0]
            time.sleep(0.05)
        children = killed.processes()
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        killed.process.communicate(timeout=60)
        start(tmp_path / "none").process.communicate(timeout=60)
        for _ in range(20):
            living.get("/about")
        replace_workers(living, signal.SIGHUP)
        assert len(of(living)) == 1
        assert 'route="/about",status="200"} 20.0' in living.get("/metrics")[1]
        with serving(folder) as other:
            assert of(killed) == []
            assert not here.exists()
            assert len(of(living)) == len(of(other)) == 1
    assert of(living) == of(other) == []


_WITHOUT = """
import sys, tempfile
make = tempfile.mkdtemp
def refuse(prefix, dir):
    if dir or sys.argv.pop() == "nothing":
        raise PermissionError(13, "Permission denied")
    return make(prefix=prefix, dir=dir)
tempfile.mkdtemp = refuse
from gunicorn.app.wsgiapp import run
run()
"""


def test_without_memory_for_the_counters_a_disk_serves_and_without_both_the_start_ends_with_one_line(tmp_path):
    command = [sys.executable, "-c", _WITHOUT]
    with serving(make_catalogue(tmp_path / "c"), command=[*command, "--log-level", "info"]) as server:
        assert server.get("/render/10")[0] == 200
        assert 'route="/render' in server.get("/metrics")[1] or "steam_clip_games 8.0" in server.get("/metrics")[1]
    output, _ = start(tmp_path / "c", command=[*command, "nothing"]).process.communicate(timeout=30)
    assert output == "steam-clip: cannot start: no folder for temporary files can be written; name one in TMPDIR\n"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def app_of(tmp_path):
    folder = make_catalogue(tmp_path / "c")
    return lambda **settings: create_app({"CATALOGUE": folder, **settings}).test_client()


@pytest.mark.parametrize("host", ["", "a b", "evil.example", "[", "a..b"])
def test_operations_answer_whatever_the_host(app_of, host):
    client = app_of(TRUSTED_HOSTS="good.example")
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/robots.txt"):
        assert client.get(path, environ_overrides={"HTTP_HOST": host}).status_code == 200


@pytest.mark.parametrize("host", ["steam_clip:8000", "my_app.name_space.svc", "", "localhost", "[::1]:8000"])
def test_pages_answer_under_the_names_of_container_networks(app_of, host):
    page = app_of().get("/render/10", environ_overrides={"HTTP_HOST": host})
    assert page.status_code == 200
    assert f'<link rel="canonical" href="http://{host or "localhost"}/render/10">' in page.get_data(as_text=True)


@pytest.mark.parametrize(
    "names", ["https://good.example", "*", "[::1]", ":8000", "good.example,a/b", "a..b", "xn--a", "a" * 70]
)
def test_trusted_hosts_that_are_no_names_are_refused(app_of, names):
    with pytest.raises(BadInput, match="TRUSTED_HOSTS has"):
        app_of(TRUSTED_HOSTS=names)


def test_a_refused_host_says_what_to_change(app_of):
    answer = app_of(TRUSTED_HOSTS="good.example").get("/render/10", environ_overrides={"HTTP_HOST": "evil.example"})
    assert answer.status_code == 400
    assert "'evil.example' is not a name of this server" in answer.get_data(as_text=True)
    assert "TRUSTED_HOSTS" in answer.get_data(as_text=True)


def test_trusted_hosts_are_compared_without_case(app_of):
    client = app_of(TRUSTED_HOSTS="münchen.example,Good.Example:99999999, .wild.example,my_app")
    assert client.get("/healthz", environ_overrides={"HTTP_HOST": "x"}).status_code == 200
    for host in (
        "xn--mnchen-3ya.example",
        "GOOD.example:8000",
        "good.example",
        "a.WILD.example",
        "wild.example",
        "My_App:80",
    ):
        assert client.get("/render/10", environ_overrides={"HTTP_HOST": host}).status_code == 200, host
    for host in ("bad.example", "evilwild.example"):
        assert client.get("/render/10", environ_overrides={"HTTP_HOST": host}).status_code == 400, host
