"""Nothing that is run or imported reports to anybody, or leaves files in the home folder."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.colour_clip import coloured
from tests.conftest import ROOT, skip_or_fail
from tests.servers import serving
from tests.webapp.query_site import encoded

_LOOPBACK = re.compile(r'sin_addr=inet_addr\("127\.|inet_pton\(AF_INET6, "(::1|::ffff:127\.)')


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Path]:
    """A command that runs another and writes its connections to a file."""
    for name in ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)  # set by this process' own import of the core
    if shutil.which("strace") is None:
        skip_or_fail("no strace")
    log = tmp_path / "strace"
    under = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log)]
    if subprocess.run([*under, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let programs be traced")
    return under, log


def told_to_others(log: Path) -> list[str]:
    """Connections and messages to other machines, and to this one's resolver."""
    deadline = time.monotonic() + 10
    while not log.read_text().endswith("+++\n"):  # strace ends a little later than the program
        assert time.monotonic() < deadline
        time.sleep(0.05)
    lines = [line for line in log.read_text().splitlines() if "AF_INET" in line]
    return [line for line in lines if not _LOOPBACK.search(line) or "htons(53)" in line]


def test_a_server_tells_nothing_to_anybody_and_leaves_the_home_folder_empty(traced, tmp_path, colour_site):
    under, log = traced
    home = tmp_path / "home"
    home.mkdir()
    with serving(colour_site / "c", colour_site / "banners", under=under, HOME=str(home)) as server:
        assert server.get("/render/11")[0] == 200
        assert server.get("/api/v1/similar?text=red")[0] == 200
        assert server.post("/api/v1/pictures", encoded(coloured("red"))) == 200
    assert told_to_others(log) == []
    assert list(home.iterdir()) == []


def test_programs_tell_nothing_to_anybody_and_leave_the_home_folder_empty(traced, tmp_path, colour_site):
    under, log = traced
    home, banners, made = tmp_path / "home", colour_site / "banners", tmp_path / "c"
    home.mkdir()
    for command in (
        ["fetch_banners.py", "--demo", "5", "--out", tmp_path / "demo"],
        ["audit_banners.py", banners],
        ["embed_banners.py", banners, "--out", made, "--encoder", "packaged", "--device", "cpu"],
        ["evaluate_catalogue.py", made, banners, "--report", tmp_path / "report"],
        ["manage_catalogue.py", "verify", made],
        ["manage_catalogue.py", "info", made],
    ):
        log.unlink(missing_ok=True)
        finished = subprocess.run(
            [*under, sys.executable, *map(str, command)],
            cwd=ROOT,
            env=os.environ | {"HOME": str(home)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert finished.returncode in (0, 1), finished.stderr
        assert told_to_others(log) == [], command
    assert (made / "image_encoder.onnx").exists()
    assert list(home.iterdir()) == []
