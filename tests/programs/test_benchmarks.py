"""Benchmarks whose figures have limits: load, faults and growth."""

import getpass
import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from manage_catalogue import main as manage
from tests.conftest import ROOT, skip_or_fail

pytestmark = pytest.mark.soak


def figures(script: str, *options: object) -> dict[str, Any]:
    command = [sys.executable, f"benchmarks/{script}", *map(str, options)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def test_search_by_name_among_two_hundred_thousand(steam_2021, tmp_path, measured):
    assert manage(["import-matches", str(steam_2021), str(tmp_path / "c")]) == 0
    found = figures("bench_search.py", "--catalogue", tmp_path / "c")
    measured(f"as typed {found['as_typed_p95_ms']} ms, with a typo {found['typo_p95_ms']} ms (p95)")
    assert found["as_typed_p95_ms"] <= 5
    assert found["typo_p95_ms"] <= 40


def test_a_cluster_with_a_killed_worker_finds_the_neighbours_of_one_process(measured):
    found = figures("bench_neighbours.py", "--cluster", "--rows", 50_000)
    measured(f"{found['cluster_s']} s, alone {found['alone_s']} s")
    assert found["same_rows"]
    assert found["same_bits"]


def test_postgresql_finds_what_is_near_after_a_killed_push(covers, measured):
    found = figures("bench_postgres.py", "--banners", covers, "--rows", 50_000)
    (recall, _, slow), (filtered, _, filtered_slow) = found["all_pass"], found["filtered"]
    measured(f"recall@10 {recall}, p95 {slow} ms; 2 % pass: {filtered}, {filtered_slow} ms")
    assert recall >= 0.97
    assert slow <= 50
    assert filtered >= 0.9
    assert filtered_slow <= 120


def test_postgresql_switches_versions_under_load(covers, measured):
    switch = figures("bench_postgres.py", "--banners", covers, "--switch", 20_000)["switch"]
    measured(f"{switch['old']} answers of the old version, {switch['new']} of the new one, none failed")
    assert switch["old"]
    assert switch["new"]
    assert switch["other"] == switch["failed"] == 0


@pytest.mark.parametrize("options", [["--minutes", 5], ["--minutes", 5.5, "--share", 0.5, "--faults"]])
def test_load_behind_nginx(covers, colour_site, measured, options):
    needed = ("nginx", "redis-server") if "--faults" in options else ("nginx",)
    if not all(map(shutil.which, needed)) or getpass.getuser() != "root":
        skip_or_fail("needs nginx, redis-server and root")
    found = figures("bench_load.py", "--catalogue", colour_site / "c", "--pictures", covers, *options)
    lost = found["failed_with_a_killed_process"]
    measured(
        f"{found['requests']} requests at {found['rate_rps']}/s, none failed but {lost} of a killed process; pages p99"
        f" {found['pages_p99_ms']} ms; {found['memory_after_a_minute_mb']}, then {found['memory_at_the_end_mb']} MB"
    )
    assert found["tracebacks"] == 0
