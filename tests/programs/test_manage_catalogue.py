import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import embed_banners
import fetch_banners
from banners.catalogue.reader import open_catalogue
from manage_catalogue import main
from tests.archive_server import archive_server
from tests.conftest import ROOT, picture
from tests.webapp.small_site import make_catalogue


def test_a_sound_catalogue_exits_with_0_a_damaged_one_with_1_a_mistake_with_2(tmp_path, capsys):
    folder = make_catalogue(tmp_path / "c")
    assert main(["verify", str(folder)]) == 0
    assert main(["info", str(folder)]) == 0
    (folder / "appids.npy").write_bytes(b"nothing")
    assert main(["verify", str(folder)]) == 1
    for command in ("verify", "info"):
        capsys.readouterr()
        assert main([command, str(tmp_path / "none")]) == 2
        assert capsys.readouterr().err == f"manage_catalogue.py: error: {tmp_path / 'none'} is not a folder\n"


def test_a_server_without_the_batch_programs_libraries_can_check_its_catalogue(tmp_path):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['tqdm', 'torch', 'transformers', 'onnx']));"
        "import manage_catalogue; sys.exit(manage_catalogue.main(sys.argv[1:]))"
    )
    for folder, status in ((make_catalogue(tmp_path / "c"), 0), (tmp_path / "none", 2)):
        command = [sys.executable, "-c", program, "verify", str(folder)]
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert finished.returncode == status, finished.stderr
        assert "Traceback" not in finished.stderr


def test_a_catalogue_is_packed_and_fetched_by_hand(tmp_path, capsys):
    folder = make_catalogue(tmp_path / "c")
    assert main(["pack", str(folder), "--out", str(tmp_path / "c.tar.gz"), "--without", "embeddings,map"]) == 0
    data = (tmp_path / "c.tar.gz").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert sha256 in capsys.readouterr().out
    with archive_server() as server:
        server.body = data
        for text in ("8 games, fetched", "8 games, up to date"):
            assert main(["fetch", f"{server.url}#sha256={sha256}", str(tmp_path / "new")]) == 0
            assert capsys.readouterr().out == f"{tmp_path / 'new'}: {text}\n"
        assert main(["verify", str(tmp_path / "new")]) == 0
        server.body = data[:-100]
        capsys.readouterr()
        assert main(["fetch", server.url, str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["fetch", "http://127.0.0.1:9/c.tar.gz", str(tmp_path / "none")]) == 2
    for target in ("", str(folder), "/dev/null"):
        assert main(["pack", str(folder), "--out", target]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["pack", str(folder), "--out", str(tmp_path / "c.tar.gz"), "--without", "games"])


@pytest.fixture
def made(tmp_path, steam, tiny_clip, monkeypatch):
    """A server of games, and what was fetched and embedded of it."""
    monkeypatch.chdir(tmp_path)
    server = steam(6, troubles=False)
    assert fetch_banners.main(["--all", "--recheck", "0", "--out", "b"]) == 0
    options = ["--encoder", str(tiny_clip()), "--neighbours", "3", "--device", "cpu"]
    options += ["--no-queries", "--no-artwork", "--no-parts", "--no-map"]
    assert embed_banners.main(["b", "--out", "c", *options]) == 0
    return server


def test_an_update_fetches_and_embeds_what_is_new_and_says_what_changed(tmp_path, made, capsys):
    made.count = 9
    made.etag_of[20] = '"new"'  # its art changed
    made.hidden.add(10)
    (tmp_path / "b" / "10.jpg").unlink()
    capsys.readouterr()
    assert main(["update", "b", "c"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:] == [
        "new      70 Game 70",
        "new      80 Game 80",
        "gone     10 Game 10",
        "changed  20 Game 20",
        "c: 2 new, 1 gone, 1 changed of 5 games",
    ]
    assert open_catalogue(tmp_path / "c").k == 3
    assert main(["update", "b", "c"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "c: 0 new, 0 gone, 0 changed of 5 games"


def test_a_refused_fetch_does_not_change_what_an_update_fetches(tmp_path, made, capsys):
    before = (tmp_path / "b" / ".fetch_options.json").read_bytes()
    assert fetch_banners.main(["--all", "--kind", "hero", "--out", "b"]) == 2
    assert (tmp_path / "b" / ".fetch_options.json").read_bytes() == before == b'["--all","--recheck","0"]'


def test_an_update_that_cannot_be_made_leaves_the_catalogue_and_says_why(tmp_path, made, capsys, monkeypatch):
    before = (tmp_path / "c" / "manifest.json").read_bytes()
    for name in ("STEAMSPY_URL", "STEAM_API_URL", "STEAM_CDN_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert main(["update", "b", "c"]) == 2
    make_catalogue(tmp_path / "imported")
    assert main(["update", "b", "imported"]) == 2
    assert "does not say how it was made; run embed_banners.py once" in capsys.readouterr().err
    assert main(["update", "b", "none"]) == 2
    assert (tmp_path / "c" / "manifest.json").read_bytes() == before


def test_a_poster_shows_the_map(gallery, tmp_path, capsys):
    out = tmp_path / "p.png"
    assert main(["poster", str(gallery / "c"), "--out", str(out), "--width", "900"]) == 0
    with Image.open(out) as image:
        assert image.width == 900
        assert 500 < image.height < 700
        colours = np.asarray(image.convert("L"), np.float32)
    assert colours.std() > 20
    assert f"{out}: 900x" in capsys.readouterr().out
    assert main(["poster", str(gallery / "c"), "--out", str(tmp_path / "no" / "p.png"), "--width", "90"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_banners_of_ones_own_are_only_embedded(tmp_path, banners_folder, tiny_clip, capsys):
    options = [
        "--encoder",
        str(tiny_clip()),
        "--no-queries",
        "--no-artwork",
        "--no-parts",
        "--no-map",
        "--device",
        "cpu",
    ]
    assert embed_banners.main([str(banners_folder), "--out", str(tmp_path / "c"), *options]) == 0
    picture(70).save(banners_folder / "70.png")
    assert main(["update", str(banners_folder), str(tmp_path / "c")]) == 0
    output = capsys.readouterr()
    assert "was not made by fetch_banners.py: nothing is fetched" in output.err
    assert output.out.splitlines()[-1] == f"{tmp_path / 'c'}: 1 new, 0 gone, 0 changed of 7 games"
