"""How good the packaged encoder's matches are, on real covers."""

from pathlib import Path

import numpy as np
import pytest

from banners.build import titles
from banners.build.titles import draw_title
from banners.catalogue.query_encoder import QueryEncoder
from banners.catalogue.reader import Catalogue, open_catalogue
from banners.encoders import Choice
from banners.games_csv import list_banners
from banners.images import decode
from banners.views import View
from embed_banners import main
from tests.conftest import sample


@pytest.fixture
def real_catalogue(made_once) -> Catalogue:
    def make(folder: Path) -> None:
        options = ["--neighbours", "10", "--encoder", "packaged", "--no-parts", "--no-map"]
        assert main([str(sample("covers")), "--out", str(folder / "c"), *options]) == 0

    return open_catalogue(made_once("real_covers", make) / "c", check_hashes=True)


def series_scores(made: Catalogue, view: View) -> tuple[float, float]:
    """hit@1 and recall@10 on the series of games.csv."""
    series = np.array([str(game.columns.get("series", "")) for game in made.games])
    rows = made.view(view).rows  # (741, 10)
    siblings = np.array([(series == one).sum() - 1 if one else 0 for one in series])
    found = (series[rows] == series[:, None])[siblings > 0]  # (139, 10)
    assert len(found) == 139
    return found[:, 0].mean(), (found.sum(axis=1) / siblings[siblings > 0]).mean()


def test_editions_of_a_game_are_found_among_real_covers(real_catalogue):
    """The quality that the packaged encoder must reach: hit@1 0.58, recall@10 0.63."""
    hit, recall = series_scores(real_catalogue, "plain")
    assert hit >= 0.58
    assert recall >= 0.63


def test_titles_drawn_on_real_covers_lead_astray_less_by_artwork(real_catalogue, covers):
    """Of covers that were not used to find the view, with a foreign title on each: how many do not find themselves. The
    series are found as well as in the plain view."""
    used = {banner.appid for banner in titles.sample(list_banners(covers))}
    rows = [row for row, appid in enumerate(real_catalogue.appids.tolist()) if appid not in used][::4]
    random = np.random.default_rng(7)
    encoder = Choice("packaged").open()
    pixels = []
    for row in rows:
        title = real_catalogue.games[int(random.integers(len(real_catalogue)))].name
        image = decode(covers / f"{real_catalogue.appids[row]}.jpg")
        pixels.append(encoder.preprocessing.pixels(draw_title(image, title, random, is_large=True)))
    asked = np.concatenate([encoder.embed(np.stack(pixels[at : at + 32])) for at in range(0, len(pixels), 32)])
    embeddings, artwork = real_catalogue.embeddings, real_catalogue.artwork
    plain = ((asked @ embeddings.T).argmax(axis=1) != rows).sum()
    seen = ((artwork.view(asked) @ artwork.view(embeddings).T).argmax(axis=1) != rows).sum()
    assert plain >= 1
    assert seen <= 0.6 * plain, (seen, plain)
    assert series_scores(real_catalogue, "artwork")[1] >= series_scores(real_catalogue, "plain")[1] - 0.01


def test_real_covers_are_found_by_the_exported_encoder(real_catalogue, covers):
    encoder = QueryEncoder.of(real_catalogue)
    for row, appid in enumerate(real_catalogue.appids[:40].tolist()):
        vector = encoder.picture(decode(covers / f"{appid}.jpg").resize((210, 315)))
        assert int(np.argmax(real_catalogue.embeddings @ vector)) == row
