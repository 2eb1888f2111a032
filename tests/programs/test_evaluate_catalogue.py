"""The program that says how good matches are."""

import json
import shutil

import pytest

from embed_banners import main as embed
from evaluate_catalogue import main


def test_a_report_has_figures_and_pictures_for_each_view(gallery, tmp_path, capsys):
    options = [str(gallery / "c"), str(gallery / "b"), "--report", str(tmp_path / "report"), "--sample", "20"]
    assert main([*options, "--against", str(gallery / "c")]) == 0
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert list(figures["views"]) == ["plain", "artwork"]
    for view in figures["views"].values():
        for name in ("hit_at_1", "recall_at_10", "map_at_10", "clean_first_under_foreign_title"):
            low, high = view[f"{name}_interval"]
            assert 0 <= low <= view[name] <= high <= 1
        assert view["series_queries"] > 20
        assert view["identical_banner_first"] is None
        assert view["altered_copy_first"] > 0.5
        assert view["common_title_word"]["share"] > view["common_title_word"]["chance"]
    assert figures["overlap_with_other"] == 1
    hits = [f"{100 * view['hit_at_1']:.0f} %" for view in figures["views"].values()]
    assert (
        f"|  | everything | artwork |\n| --- | --- | --- |\n| an edition of the same game comes first | {hits[0]} |"
        in printed
    )
    assert f" {hits[1]} |" in printed
    assert "neighbours in common with the other catalogue: 100 %" in printed
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Worst: games of a series, artwork" in page
    for line in page.split('src="')[1:]:
        assert (tmp_path / "report" / line.partition('"')[0]).is_file()


def test_without_an_encoder_the_rest_is_said(colour_site, tmp_path, tiny_clip, capsys):
    arguments = [
        str(colour_site / "banners"),
        "--out",
        str(tmp_path / "c"),
        "--encoder",
        str(tiny_clip()),
        "--no-queries",
        "--no-parts",
        "--no-map",
    ]
    assert embed(arguments) == 0
    assert main([str(tmp_path / "c"), str(colour_site / "banners")]) == 0
    printed = capsys.readouterr()
    assert "no figures on altered copies" in printed.err
    assert "| an edition of the same game comes first | - |" in printed.out
    assert main([str(tmp_path / "c"), str(colour_site / "banners"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["views"]["plain"]["clean_first_under_foreign_title"] is None
    assert figures["views"]["plain"]["hit_at_1"] is None


def test_titles_are_escaped(gallery, tmp_path, tiny_clip):
    folder = tmp_path / "b"
    shutil.copytree(gallery / "b", folder)
    rows = [f"{path.stem},<script>alert(1)</script>,x" for path in folder.glob("*.jpg")]
    (folder / "games.csv").write_text("\n".join(["appid,name,series", *rows]) + "\n", encoding="utf-8")
    options = ["--encoder", str(tiny_clip()), "--no-queries", "--no-artwork", "--no-parts", "--no-map"]
    assert embed([str(folder), "--out", str(tmp_path / "c"), *options]) == 0
    assert main([str(tmp_path / "c"), str(folder), "--report", str(tmp_path / "r")]) == 0
    page = (tmp_path / "r" / "index.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_report_that_cannot_be_written_is_refused_before_the_work(gallery, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(gallery / "c"), str(gallery / "b"), "--report", str(tmp_path / "file")]) == 2
    assert "examining" not in capsys.readouterr().err


@pytest.mark.parametrize("banners", ["none", "empty"])
def test_a_mistake_is_one_line(gallery, tmp_path, capsys, banners):
    (tmp_path / "empty").mkdir()
    assert main([str(gallery / "c"), str(tmp_path / banners)]) == 2
    assert main([str(tmp_path / "empty"), str(gallery / "b")]) == 2
    errors = capsys.readouterr().err
    assert errors.count("evaluate_catalogue.py: error: ") == 2
    assert "Traceback" not in errors
