"""The program as a whole: arguments, exit codes, what it prints, what it leaves."""

import errno
import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from banners.catalogue.reader import open_catalogue
from banners.encoders.encoder import library_versions
from embed_banners import main
from tests.conftest import ROOT


def run(banners, out, *options, encoder):
    return main(
        [str(banners), "--out", str(out), "--encoder", str(encoder), "--no-queries", "--no-parts", "--no-map", *options]
    )


def test_a_folder_becomes_a_catalogue(banners_folder, tmp_path, tiny_clip, capsys):
    assert run(banners_folder, tmp_path / "c", "--views", "mirror,rotate", encoder=tiny_clip()) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1
    assert "6 games with 5 neighbours in 3 view(s), 6 embedded now, 0 before, 0 skipped" in printed.out
    assert "img/s" in printed.err
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    assert [game.name for game in made.games] == [
        "Ten",
        "Twenty",
        "Thirty & <b>more</b>",
        "",
        "五十",
        "Twenty",
    ]
    assert made.games[1].popularity == 50
    assert list(made.views) == ["plain", "mirror", "rotate"]
    assert made.duplicates.tolist() == [0, 1, 2, 3, 4, 1]
    assert made.view("plain").rows[1, 0] == 5
    assert made.view("plain").similarities[1, 0] == pytest.approx(1)
    assert made.manifest.encoder.id == tiny_clip().name
    assert made.manifest.encoder.revision.startswith("sha256:")
    assert made.manifest.fit == "squash"
    assert (made.manifest.images.source, made.manifest.image_size) == ("", (60, 90))
    assert made.manifest.preprocessing.mean == (0.48145466, 0.4578275, 0.40821073)
    assert {"python", *library_versions()} == made.manifest.libraries.keys()


def test_unusable_images_are_named_and_the_rest_is_written(banners_folder, tmp_path, tiny_clip, capsys):
    (banners_folder / "10.png").write_bytes(b"")
    (banners_folder / "30.png").write_bytes(b"GIF89a")
    (banners_folder / "cover.jpg").touch()
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 1
    printed = capsys.readouterr()
    assert "skipped 30.png: not a JPEG, PNG or WebP picture" in printed.err
    assert "skipped cover.jpg: its name is not an appid" in printed.err
    assert "3 skipped" in printed.out
    assert open_catalogue(tmp_path / "c", check_hashes=True).appids.tolist() == [20, 40, 50, 60]


def test_an_untidy_table_and_folder_are_used_and_what_is_left_out_is_said(banners_folder, tiny_clip, tmp_path, capsys):
    (banners_folder / "10.png").rename(banners_folder / "10.PNG")
    (banners_folder / "more").mkdir()
    for name in ("620p.jpg", "730p.jpg"):
        (banners_folder / name).touch()
    (banners_folder / "games.csv").write_text(
        "sep=;\nAppID;Name;Year;\n10,0;Ten;;\n20.0;Twenty;2011-04-18;\n30;Thirty;soon;\n;;;\n", encoding="utf-16"
    )
    arguments = [str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", str(tiny_clip())]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert "games.csv: left out: line 3: '10,0' is not an appid" in err
    assert "warning: games.csv: line 5: year is 'soon', not a year or a date; it is taken for empty" in err
    assert "warning: 1 subfolders of the banners folder are not looked into" in err
    assert err.count("is not an appid, as in 620.jpg") == 1
    games = open_catalogue(tmp_path / "c").games
    assert [(game.appid, game.name, game.columns.get("year")) for game in games][:3] == [
        *((10, "", None), (20, "Twenty", 2011), (30, "Thirty", None))
    ]


def test_a_catalogue_inside_the_banners_folder_is_refused(banners_folder, capsys):
    for out in (banners_folder / "c", banners_folder / "deep" / "c"):
        assert main([str(banners_folder), "--out", str(out)]) == 2
        assert "is inside the banners folder" in capsys.readouterr().err
    assert not (banners_folder / "c").exists()


def test_a_header_that_lacks_appid_is_one_line_that_shows_it(banners_folder, tiny_clip, tmp_path, capsys):
    (banners_folder / "games.csv").write_text("id\ttitle\n10\tTen\n")
    assert main([str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", str(tiny_clip())]) == 2
    assert capsys.readouterr().err.endswith("line 1 lacks the column appid and name; it has: id, title\n")


def test_rows_and_banners_without_each_other_are_reported(banners_folder, tmp_path, tiny_clip, capsys):
    (banners_folder / "10.png").rename(banners_folder / "70.png")
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 0
    err = capsys.readouterr().err
    assert "1 banners have no row in games.csv, so no name: 70" in err
    assert "1 rows of games.csv have no banner: 10" in err


def test_no_usable_image_writes_nothing_and_keeps_the_old_catalogue(banners_folder, tmp_path, tiny_clip, capsys):
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 0
    for path in banners_folder.glob("*.png"):
        path.write_bytes(b"")
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 1
    assert "not one banner could be embedded" in capsys.readouterr().err
    assert len(open_catalogue(tmp_path / "c", check_hashes=True)) == 6


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["nowhere", "--out", "c"], "cannot read the banners folder nowhere"),
        (["empty", "--out", "c"], "has no banners"),
        (["banners", "--out", "banners"], "holds other things than a catalogue"),
        (["banners", "--out", "c", "--encoder", "no such"], "no encoder 'no such'"),
        (["banners", "--out", "c"], "use --encoder packaged"),
    ],
)
def test_a_mistake_is_one_clear_line(banners_folder, tmp_path, monkeypatch, capsys, options, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(options) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "c.rows").exists()


def test_an_unreachable_hub_is_one_line_within_seconds(banners_folder, tmp_path):
    finished = subprocess.run(
        [sys.executable, "embed_banners.py", str(banners_folder), "--out", str(tmp_path / "c")],
        cwd=ROOT,
        env=os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert "use --encoder packaged" in finished.stderr


def test_another_encoder_stands_in_only_where_it_is_asked_for_and_weights_cannot_be_had(
    banners_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments = [
        str(banners_folder),
        "--out",
        str(tmp_path / "c"),
        "--no-queries",
        "--no-parts",
        "--no-map",
        "--fallback",
        "packaged",
    ]
    assert main(arguments) == 0
    assert "; using the encoder packaged instead" in capsys.readouterr().err
    assert "efficientnet" in json.loads((tmp_path / "c/manifest.json").read_text())["encoder"]["id"]
    assert main([*arguments, "--encoder", "no such"]) == 2
    assert "no encoder 'no such'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--fit", "stretch"], ["--views", "plain,upside"], ["--neighbours", "0"], ["--batch-size", "-1"], []],
)
def test_impossible_options_exit_with_2(options):
    finished = subprocess.run(
        [sys.executable, "embed_banners.py", *options, "--out", "x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1, finished.stderr


def test_one_banner_is_a_catalogue_without_neighbours(banners_folder, tmp_path, tiny_clip):
    for path in banners_folder.glob("[2-6]0.png"):
        path.unlink()
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 0
    made = open_catalogue(tmp_path / "c", check_hashes=True)
    assert (len(made), made.k) == (1, 0)
    assert made.manifest.scale("plain").random is None


def test_every_fit_gives_another_catalogue(banners_folder, tmp_path, tiny_clip):
    made = {}
    for fit in ("squash", "crop", "pad"):
        run(banners_folder, tmp_path / fit, "--fit", fit, encoder=tiny_clip())
        made[fit] = open_catalogue(tmp_path / fit, check_hashes=True).embeddings
        assert json.loads((tmp_path / fit / "manifest.json").read_text())["fit"] == fit
    assert not np.allclose(made["squash"], made["crop"], atol=1e-4)
    assert not np.allclose(made["squash"], made["pad"], atol=1e-4)


@pytest.mark.parametrize("output", ["| exec 0<&-", "2>&1 | exec 0<&-", ">/dev/full 2>&1", ">&- 2>&-"])
def test_work_is_done_where_nobody_reads_of_it(banners_folder, tmp_path, output):
    less = [f"--no-{part}" for part in ("queries", "parts", "artwork", "map")]
    options = ["--out", tmp_path / "c", "--encoder", "packaged", *less]
    for command in (["embed_banners.py", banners_folder, *options], ["manage_catalogue.py", "info", tmp_path / "c"]):
        line = f"{shlex.join([sys.executable, *map(str, command)])} {output}; exit ${{PIPESTATUS[0]}}"
        finished = subprocess.run(["/bin/bash", "-c", line], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr
        assert "Exception" not in finished.stderr
    assert len(open_catalogue(tmp_path / "c", check_hashes=True)) == 6


def test_the_folder_one_stands_in_is_not_replaced(banners_folder, tmp_path, tiny_clip, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(banners_folder, ".", encoder=tiny_clip()) == 2
    assert ". is the current folder, which cannot be replaced" in capsys.readouterr().err


def test_a_url_is_no_place_for_a_catalogue(banners_folder, tmp_path, tiny_clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(banners_folder, "s3://bucket/catalogue", encoder=tiny_clip())
    assert "is a URL" in capsys.readouterr().err
    assert not list(tmp_path.glob("s3*"))


def test_a_list_that_leaves_nothing_is_named(banners_folder, tmp_path, tiny_clip, capsys):
    (tmp_path / "all").write_text("10\n20\n30\n40\n50\n60\n")
    assert run(banners_folder, tmp_path / "c", "--exclude", str(tmp_path / "all"), encoder=tiny_clip()) == 2
    assert "leaves out every banner" in capsys.readouterr().err


def test_a_disk_that_is_full_while_the_encoder_is_exported_is_one_clear_line(
    banners_folder, tmp_path, tiny_clip, capsys, monkeypatch
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("torch.onnx.export", full)
    assert main([str(banners_folder), "--out", str(tmp_path / "c"), "--encoder", str(tiny_clip())]) == 2
    assert "error: cannot write or read a file: No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_what_will_not_fit_into_memory_is_said_beforehand(banners_folder, tmp_path, tiny_clip, monkeypatch, capsys):
    monkeypatch.setattr("banners.build.available_memory", lambda: 3000)
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 0
    assert "6 banners need some" in capsys.readouterr().err
    monkeypatch.setattr("banners.build.available_memory", lambda: None)
    assert run(banners_folder, tmp_path / "c", encoder=tiny_clip()) == 0
    assert "GB of memory" not in capsys.readouterr().err
