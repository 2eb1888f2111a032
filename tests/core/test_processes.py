import os

import pytest

from banners import processes


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 64), ("150000 100000", 2), ("50000 100000", 1), ("nonsense", 64), ("", 64)]
)
def test_cores_are_those_of_the_process_within_the_quota_of_its_container(tmp_path, monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(processes, "QUOTA", tmp_path / "cpu.max")
    assert processes.available_cores() == cores
