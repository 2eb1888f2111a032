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


def test_memory_is_what_the_machine_and_the_container_leave(monkeypatch, tmp_path):
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    monkeypatch.setattr(processes, "MEMORY", memory)
    monkeypatch.setattr(processes, "CONTAINER", tmp_path)
    assert processes.available_memory() == 4000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert processes.available_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert processes.available_memory() == 4000 * 1024
    memory.unlink()
    assert processes.available_memory() is None
