import os
import subprocess
import sys
import time

import pytest

from banners import processes


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 64), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 64), ("", 64)]
)
def test_cores_are_those_of_the_process_within_the_quota_of_its_container(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(processes, "_QUOTA", tmp_path / "cpu.max")
    assert processes.available_cores() == cores


def test_a_worker_ends_with_its_program_also_while_nobody_waits_for_that():
    program = subprocess.Popen(["sleep", "60"])
    code = f"import time; from banners.processes import end_with; end_with({program.pid}); time.sleep(60)"
    worker = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.5)
        assert worker.poll() is None
        program.kill()  # a zombie until it is waited for
        assert worker.wait(timeout=10) == 1
    finally:
        worker.kill()
        worker.wait()
        program.wait()
