"""What `make run` does again, and what it goes on with."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, skip_or_fail


@pytest.fixture
def run(tmp_path):
    """A function that runs `make` in a folder where the programs are stubs, which write down that they ran."""
    if not shutil.which("make"):
        skip_or_fail("needs make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in ("requirements.txt", "requirements-embed.txt"):
        (tmp_path / name).touch()
    stub = tmp_path / ".venv/bin/python"
    stub.write_text('#!/bin/bash\necho "${1%.py}" >> ran\nsource ./"${1%.py}"\n')
    stub.chmod(0o755)
    (tmp_path / ".venv/embed").touch()

    def call(fetch: str, embed: str) -> tuple[int, list[str]]:
        (tmp_path / "fetch_banners").write_text(fetch)
        (tmp_path / "embed_banners").write_text(embed)
        (tmp_path / "ran").write_text("")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        status = subprocess.run(
            ["make", "data/catalogue/manifest.json"], cwd=tmp_path, env=environment, capture_output=True, text=True
        ).returncode
        return status, (tmp_path / "ran").read_text().split()

    return call


FETCHED = "mkdir -p data/banners; touch data/banners/games.csv; "
EMBEDDED = "mkdir -p data/catalogue; touch data/catalogue/manifest.json; "


@pytest.mark.parametrize("some_failed", ["exit 0", "exit 1"])
def test_only_what_is_missing_is_done_again(run, some_failed):
    assert run(FETCHED + some_failed, EMBEDDED + some_failed) == (0, ["fetch_banners", "embed_banners"])
    assert run("exit 9", "exit 9") == (0, [])


@pytest.mark.parametrize("status", [130, 137])
def test_a_fetch_that_was_killed_is_gone_on_with(run, tmp_path, status):
    killed = f"{FETCHED} touch data/banners/.unfinished; exit {status}"
    assert run(killed, "exit 9") == (2, ["fetch_banners"])
    assert (tmp_path / "data/banners/games.csv").exists()
    assert run(killed, "exit 9") == (2, ["fetch_banners"])
    assert run(FETCHED + "rm data/banners/.unfinished", EMBEDDED) == (0, ["fetch_banners", "embed_banners"])
    assert run("exit 9", "exit 9") == (0, [])


def test_where_steam_is_gone_it_goes_on_with_the_banners_that_are_there(run, tmp_path):
    run(f"{FETCHED} touch data/banners/.unfinished; exit 137", "")
    assert run("exit 2", EMBEDDED) == (0, ["fetch_banners", "embed_banners"])


def test_without_any_banners_nothing_is_embedded(run):
    assert run("exit 2", EMBEDDED) == (2, ["fetch_banners"])


@pytest.mark.parametrize("embed", ["exit 2", "exit 137", "exit 1"])
def test_a_catalogue_that_was_not_made_is_not_served(run, tmp_path: Path, embed):
    assert run(FETCHED, embed) == (2, ["fetch_banners", "embed_banners"])
