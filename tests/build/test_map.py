"""The map in the build: tiles, what is drawn again, places that stay, and names of regions."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from banners.build import tiles
from banners.build.places import name_regions
from banners.build.tiles import Picture, Pyramid, TileStore, draw_tiles
from banners.catalogue.reader import open_catalogue
from banners.games_csv import Game
from banners.vectors.layout import Grid
from embed_banners import main
from tests.conftest import picture

OPTIONS = ["--no-queries", "--no-artwork", "--no-parts"]


@pytest.fixture
def make(tmp_path, tiny_clip):
    banners = tmp_path / "b"
    banners.mkdir()

    def make(appids, *options: str):
        for path in banners.glob("*.png"):
            path.unlink()
        for appid in appids:
            picture(appid, (60, 90)).save(banners / f"{appid}.png")
        rows = "".join(f"{appid},Game {appid}\n" for appid in appids)
        (banners / "games.csv").write_text("appid,name\n" + rows)
        encoder = ["--encoder", str(tiny_clip())]
        assert main([str(banners), "--out", str(tmp_path / "c"), *encoder, *OPTIONS, *options]) == 0
        return open_catalogue(tmp_path / "c", check_hashes=True)

    return make


def test_a_map_of_another_encoder_is_laid_out_anew(make, tmp_path, capsys):
    make(range(1, 121))
    capsys.readouterr()
    after = make(range(1, 121), "--encoder", "packaged").manifest.map
    assert "laid out anew" in capsys.readouterr().err
    assert after.moved > 0.5
    shutil.rmtree(tmp_path / "c")
    assert make(range(1, 121), "--encoder", "packaged").manifest.map.order == after.order


class Stopped(Exception):
    pass


def test_a_run_that_was_stopped_among_tiles_draws_only_the_others(tmp_path, monkeypatch):
    """Each batch is on disk before the next one is drawn."""
    monkeypatch.setattr(tiles, "_AT_ONCE", 4)
    (tmp_path / "b").mkdir()
    grid = Grid.of(100, 2 / 3)
    pyramid = Pyramid.of(grid, 2 / 3)
    pictures = []
    for number in range(100):
        picture(number).save(tmp_path / "b" / f"{number}.png")
        pictures.append(Picture(tmp_path / "b" / f"{number}.png", bytes([number]), is_adult=False))

    def draw(folder: str, until: int | None = None) -> tuple[int, dict[str, bytes]]:
        """How many tiles were to be drawn, and all that there are."""
        totals, store = [], TileStore(tmp_path / folder)
        left = until

        class Bar:
            def update(self, count: int) -> None:
                nonlocal left
                if left is not None and (left := left - 1) == 0:
                    raise Stopped

        @contextmanager
        def bar(total: int) -> Iterator[Bar]:
            totals.append(total)
            yield Bar()

        with suppress(Stopped):
            draw_tiles(pyramid, pictures, np.arange(100), store, 2, bar)
        return totals[0], store.get(sorted(store.names()))

    whole, tiles_at_once = draw("at_once")
    assert draw("stopped", until=3)[0] == whole
    left, tiles_in_two = draw("stopped")
    assert left == whole - 12
    assert tiles_in_two == tiles_at_once
    pictures[17].path.rename(tmp_path / "away")  # a quiet cell, until it is back
    assert draw("quiet")[0] == whole
    (tmp_path / "away").rename(pictures[17].path)
    again, tiles_after_all = draw("quiet")
    assert pyramid.zoom + 1 <= again < whole / 2
    assert {name: tile for name, tile in tiles_after_all.items() if not name.endswith("-")} == tiles_at_once


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(BytesIO(data))


def test_a_pyramid_shows_every_cover_where_its_cell_is(make, tmp_path):
    catalogue = make(range(1, 61))
    about, places = catalogue.manifest.map, catalogue.games.places
    assert about.cell == (120, 180)
    assert about.columns * about.rows >= 60
    assert len({tuple(at) for at in places.cells.tolist()}) == 60
    top = opened(catalogue.tiles.tile(0, 0, 0))
    assert (top.format, top.size) == ("WEBP", (512, 512))
    for row in (0, 17, 59):
        left, top = (places.cells[row] * about.cell).tolist()
        x, y = left // 512, top // 512
        tile = opened(catalogue.tiles.tile(about.zoom, x, y)).convert("RGB")
        box = (left - 512 * x, top - 512 * y, min(512, left - 512 * x + 120), min(512, top - 512 * y + 180))
        shown = np.asarray(tile.crop(box), np.float32)
        cover = picture(int(catalogue.appids[row]), (60, 90)).convert("RGB").resize((120, 180))
        expected = np.asarray(cover.crop((0, 0, box[2] - box[0], box[3] - box[1])), np.float32)
        assert np.abs(shown - expected).mean() < 20
    assert catalogue.tiles.tile(about.zoom, 500, 500) is None
    with sqlite3.connect(tmp_path / "c" / "map.mbtiles") as db:
        assert dict(db.execute("SELECT name, value FROM metadata"))["format"] == "webp"
        assert db.execute("SELECT count(*) FROM tiles").fetchone()[0] > 5
    db.close()


def test_covers_stay_where_they_are_and_only_what_changed_is_drawn(make, capsys):
    before = make(range(1, 201))
    places = dict(zip(before.appids.tolist(), before.games.places.cells.tolist(), strict=True))
    capsys.readouterr()
    after = make([*range(1, 101), *range(102, 203)])  # one is gone, two are new
    now = dict(zip(after.appids.tolist(), after.games.places.cells.tolist(), strict=True))
    assert all(now[appid] == places[appid] for appid in now if appid in places)
    assert len({tuple(at) for at in now.values()}) == 201
    assert after.manifest.map.moved == 0
    err = capsys.readouterr().err
    assert "map: 0 % of the games moved more than a tenth of it" in err
    drawn = int(err.rpartition("tiles: 100%")[2].partition("/")[2].partition(" ")[0])
    assert 0 < drawn <= 3 * (2 + 3 * after.manifest.map.zoom) + 6
    grown = make(range(1, 400))
    assert len({tuple(at) for at in grown.games.places.cells.tolist()}) == 399
    assert grown.manifest.map.moved is not None


def test_the_same_run_twice_makes_the_same_tiles(make, tmp_path):
    make(range(1, 31))
    first = (tmp_path / "c" / "map.mbtiles").read_bytes()
    make(range(1, 31))
    assert (tmp_path / "c" / "map.mbtiles").read_bytes() == first
    shutil.rmtree(tmp_path / "c.rows")
    shutil.rmtree(tmp_path / "c")
    make(range(1, 31))
    with sqlite3.connect(tmp_path / "c" / "map.mbtiles") as db:
        names = db.execute("SELECT tile_id FROM images ORDER BY 1").fetchall()
    db.close()
    (tmp_path / "old").write_bytes(first)
    with sqlite3.connect(tmp_path / "old") as db:
        assert db.execute("SELECT tile_id FROM images ORDER BY 1").fetchall() == names
    db.close()


def test_without_a_map_there_is_none(make, tmp_path):
    catalogue = make(range(1, 6), "--no-map")
    assert catalogue.tiles is None
    assert catalogue.games.places is None
    assert json.loads((tmp_path / "c" / "manifest.json").read_text())["map"] is None


def test_explicit_covers_are_blurred_in_the_tiles(tmp_path, tiny_clip):
    banners = tmp_path / "b"
    banners.mkdir()
    stripes = Image.fromarray(np.tile(np.array([[0, 255]], np.uint8).repeat(4, 1), (90, 8))).convert("RGB")
    for appid in (1, 2):
        stripes.save(banners / f"{appid}.png")
    (banners / "games.csv").write_text("appid,name\n1,Hentai\n2,Two\n")
    arguments = [str(banners), "--out", str(tmp_path / "c"), "--encoder", str(tiny_clip()), *OPTIONS]
    assert main(arguments) == 0
    catalogue = open_catalogue(tmp_path / "c")
    tile = np.asarray(opened(catalogue.tiles.tile(catalogue.manifest.map.zoom, 0, 0)).convert("L"), np.float32)
    contrast = []
    for x, y in (catalogue.games.places.cells * catalogue.manifest.map.cell).tolist():
        contrast.append(tile[y + 40 : y + 140, x + 30 : x + 90].std())
    assert contrast[0] < 0.3 * contrast[1]


def test_regions_are_named_after_what_is_frequent_there_and_rare_elsewhere():
    grid = Grid(24, 12)
    cells = np.arange(288)
    x, y = cells % 24, cells // 24
    games = [
        Game(1 + cell, f"Game {cell}", {"tags": "Indie" + (";Pixel art" if x[cell] < 8 and y[cell] < 6 else "")})
        for cell in cells.tolist()
    ]
    colours = np.zeros((12, 24, 3), np.uint8)
    colours[6:, 12:] = (40, 60, 220)
    regions = name_regions(games, None, cells, grid, 2 / 3, colours)
    first = next(region for region in regions if region.kind == "tag")
    assert first.name == "Pixel art"
    assert (first.x + first.width / 2, first.y + first.height / 2) < (9, 7)
    assert {region.name for region in regions if region.kind == "tag"} == {"Pixel art"}
    assert any(region.name == "Blue" and region.x >= 8 for region in regions)
    for one in regions:
        for other in regions:
            if one is not other and (one.width, one.height) == (other.width, other.height):
                apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
                assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y
