"""Embedding on a local Ray cluster, in processes of its own: what it starts and logs concerns no other test."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from banners.catalogue.reader import open_catalogue
from embed_banners import main
from tests.conftest import ROOT, picture
from tests.embedding.test_resume import plain_rows

BANNERS = 300


@pytest.fixture(scope="module")
def many_banners(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "banners"
    folder.mkdir()
    for appid in range(1, BANNERS + 1):
        picture(appid, (30, 45)).save(folder / f"{appid}.png")
    (folder / "3.png").write_bytes(b"nothing")
    return folder


def workers(program: int) -> list[int]:
    """The processes that hold a model, of the cluster that `program` started."""
    found = []
    for child in psutil.Process(program).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "ray::_Worker" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def test_a_cluster_makes_the_same_catalogue_also_when_a_worker_dies_in_the_middle(many_banners, tmp_path, tiny_clip):
    views = [
        "--views",
        "plain,mirror",
        "--batch-size",
        "8",
        "--no-queries",
        "--no-parts",
        "--no-map",
        "--encoder",
        str(tiny_clip()),
    ]
    # Nothing is embedded by this machine's own process, titles neither: it does without torch.
    program = (
        "import sys, embed_banners; status = embed_banners.main(sys.argv[1:])\n"
        "print('torch' in sys.modules); sys.exit(status)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, many_banners.as_uri(), "--out", str(tmp_path / "c"), "--cluster", *views],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not plain_rows(str(tmp_path / "c")):  # the first are on disk, not all
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed = workers(process.pid)
    assert killed
    os.kill(killed[0], signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 1, err  # one image is unusable
    assert f"{BANNERS - 1} games" in out
    assert "1 skipped" in out
    assert out.endswith("False\n")
    assert "skipped 3.png: not a JPEG, PNG or WebP picture" in err
    assert "by a cluster with" in err
    assert "Traceback" not in err
    assert main([str(many_banners), "--out", str(tmp_path / "d"), *views]) == 1
    clustered, alone = (
        open_catalogue(tmp_path / "c", check_hashes=True),
        open_catalogue(tmp_path / "d", check_hashes=True),
    )
    assert np.array_equal(clustered.appids, alone.appids)
    np.testing.assert_allclose(clustered.embeddings, alone.embeddings, atol=1e-6)
    assert clustered.artwork.directions == alone.artwork.directions
    for view in ("plain", "mirror"):
        np.testing.assert_allclose(clustered.view(view).similarities, alone.view(view).similarities, atol=2e-6)
    assert np.array_equal(clustered.duplicates, alone.duplicates)


_KILLED = """
import sys, os, signal, psutil
import numpy as np
from banners.embedding import cluster
from banners.encoders import Choice
from banners.vectors.neighbours import nearest

random = np.random.default_rng(0)
rows = random.standard_normal((20_000, 96), dtype=np.float32)
rows[10_000:10_100] = rows[:100]
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
killed = []

def kill(_):
    if not killed:
        processes = psutil.Process().children(recursive=True)
        worker = next(one.pid for one in processes if "ray::_Worker" in " ".join(one.cmdline()))
        os.kill(worker, signal.SIGKILL)
        killed.append(worker)

with cluster.connected("", Choice("packaged")) as workers:
    together = nearest(rows, 30, on_progress=kill, spread=workers.nearest_blocks)
alone = nearest(rows, 30)
assert killed
assert np.array_equal(together.rows, alone.rows)
assert together.similarities.tobytes() == alone.similarities.tobytes()
print("the same bits")
"""


def test_a_cluster_finds_the_same_neighbours_also_when_a_worker_dies_in_the_middle():
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    finished = subprocess.run(
        [sys.executable, "-c", _KILLED], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert finished.stdout.endswith("the same bits\n"), finished.stderr[-2000:]


def test_a_cluster_that_is_not_there_is_a_mistake_within_seconds(banners_folder, tmp_path, capsys):
    started = time.monotonic()
    arguments = [str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", "packaged"]
    assert main([*arguments, "--cluster", "127.0.0.1:9"]) == 2
    assert "cannot connect to the Ray cluster at 127.0.0.1:9" in capsys.readouterr().err
    assert time.monotonic() - started < 20


def test_a_url_of_no_known_kind_is_a_mistake(tmp_path, capsys):
    assert main(["nosuch://bucket/banners", "--out", str(tmp_path / "c")]) == 2
    assert "nosuch://bucket/banners" in capsys.readouterr().err


@pytest.mark.soak
def test_what_fails_on_a_worker_is_one_line(banners_folder, tmp_path, tiny_clip):
    """The model's weights disappear after the cluster has described it."""
    model = shutil.copytree(tiny_clip(), tmp_path / "model")
    program = (
        "import sys, pathlib, embed_banners; from banners.embedding import cluster\n"
        "encode = cluster.Cluster.encode_with\n"
        "def broken(self, batch_size, draw):\n"
        "    (pathlib.Path(sys.argv[6]) / 'model.safetensors').unlink()\n"
        "    return encode(self, batch_size, draw)\n"
        "cluster.Cluster.encode_with = broken\n"
        "sys.exit(embed_banners.main(sys.argv[1:]))\n"
    )
    arguments = [str(banners_folder), "--out", str(tmp_path / "c"), "--cluster", "--encoder", str(model)]
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert finished.returncode == 2, finished.stderr
    assert "cannot load model" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_rays_client_is_refused_with_the_way_out(banners_folder, tmp_path, capsys):
    assert main([str(banners_folder), "--out", str(tmp_path / "c"), "--cluster", "ray://127.0.0.1:10001"]) == 2
    assert "name the head as host:6379" in capsys.readouterr().err
