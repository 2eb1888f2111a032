import numpy as np
import pytest

from banners import demo
from banners.demo.canvas import PALETTES
from banners.demo.lettering import LETTERINGS
from banners.demo.scenes import SCENES
from banners.games_csv import Game
from banners.groups import group_identical, members
from fetch_banners import main


def test_a_larger_set_begins_with_the_smaller_one():
    assert demo.plan(300)[:40] == demo.plan(40)


def test_the_store_has_franchises_identical_banners_and_names_of_every_kind():
    games = demo.plan(300)
    names = [game.game.name for game in games]
    series = [game.game.columns["series"] for game in games if "series" in game.game.columns]
    assert len({game.game.appid for game in games}) == 300
    assert len(set(series)) > 20
    assert 0.3 < len(series) / 300 < 0.8
    twins = members(group_identical([(game.scene, game.palette, game.title, game.seed) for game in games]))
    assert len(twins) >= 3
    assert len(demo.plan(demo.MOST)) == demo.MOST
    for wanted in ("星降る谷", "Ночной Экспресс", "Salt & Iron", "I <3 Robots", "Señor Müller's Café"):
        assert wanted in names


def test_banners_of_a_franchise_look_alike_and_are_not_the_same():
    games = [game for game in demo.plan(60) if game.game.columns.get("series") == "Savage Abyss"]
    assert len({(game.scene, game.lettering) for game in games}) == 1
    first, second = (np.asarray(demo.draw(game)).astype(int) for game in games[:2])
    assert 2 < np.abs(first - second).mean() < 60


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_is_drawn_the_same_each_time_at_the_size_of_a_banner(scene):
    game = demo.DemoGame(Game(10, "x"), scene, PALETTES[0], LETTERINGS[0], ("Ünïon & <Co>",), True, 7)
    drawn = [demo.draw(game) for _ in range(2)]
    assert drawn[0].size == (300, 450)
    assert drawn[0].mode == "RGB"
    assert np.array_equal(np.asarray(drawn[0]), np.asarray(drawn[1]))
    assert np.asarray(drawn[0]).std() > 15


@pytest.mark.parametrize("count", [0, demo.MOST + 1])
def test_an_impossible_number_of_games_is_refused(count):
    with pytest.raises(ValueError, match="1 to"):
        demo.plan(count)


def test_the_program_draws_a_banners_folder_and_later_only_what_is_missing(tmp_path, capsys):
    assert main(["--demo", "4", "--out", str(tmp_path)]) == 0
    assert "4 drawn now" in capsys.readouterr().out
    kept = (tmp_path / "9000010.jpg").stat().st_mtime_ns
    (tmp_path / "9000020.jpg").unlink()
    assert main(["--demo", "5", "--out", str(tmp_path)]) == 0
    assert "5 demo banners, 2 drawn now" in capsys.readouterr().out
    assert (tmp_path / "9000010.jpg").stat().st_mtime_ns == kept
    assert main(["--demo", "3", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".demo",
        ".fetch_options.json",
        "9000010.jpg",
        "9000020.jpg",
        "9000030.jpg",
        "games.csv",
    ]
    assert (tmp_path / "games.csv").read_text().count("\n") == 4


def test_banners_that_are_no_demo_are_left_alone(banners_folder, capsys):
    before = sorted(path.name for path in banners_folder.iterdir())
    assert main(["--demo", "3", "--out", str(banners_folder)]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert sorted(path.name for path in banners_folder.iterdir()) == before


def test_an_interrupted_larger_set_leaves_nothing_in_a_smaller_one(tmp_path):
    (tmp_path / ".demo").touch()
    for number in range(4):
        (tmp_path / f"90000{number + 1}0.jpg").write_bytes(b"")
    assert main(["--demo", "2", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".demo",
        ".fetch_options.json",
        "9000010.jpg",
        "9000020.jpg",
        "games.csv",
    ]
    assert (tmp_path / "9000010.jpg").stat().st_size > 1000


def test_banners_without_a_table_are_no_demo_either(tmp_path, capsys):
    (tmp_path / "10.jpg").touch()
    assert main(["--demo", "2", "--out", str(tmp_path)]) == 2
    assert "holds other things than a demo set" in capsys.readouterr().err
