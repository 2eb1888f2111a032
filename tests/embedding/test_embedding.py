import dataclasses

import numpy as np
import pytest

from banners import embedding
from banners.embedding import missing_views
from banners.embedding.store import EmbeddingStore
from banners.encoders import Choice
from banners.encoders.encoder import Encoder
from banners.games_csv import list_banners
from banners.images import Preprocessing
from tests.conftest import picture


def embed(banners, encoder, rows, views=("plain",), batch_size=32, on_progress=lambda _: None):
    return embedding.embed(embedding.encode_with(encoder, batch_size), banners, rows, views, on_progress)


@pytest.fixture
def encoder(tiny_clip) -> Encoder:
    return Choice(str(tiny_clip())).open()


@pytest.fixture
def rows(tmp_path, encoder) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "c.rows", {"encoder": "tiny"}, encoder.dim)


def test_every_banner_keeps_its_appid(banners_folder, encoder, rows):
    banners = list_banners(banners_folder)
    embedded = embed(banners, encoder, rows, batch_size=4)
    assert embedded.appids.tolist() == [10, 20, 30, 40, 50, 60]
    assert embedded.appids.dtype == np.uint32
    alone = [encoder.embed(encoder.preprocessing.pixels(picture(appid))[None])[0] for appid in (10, 20, 30, 40, 50, 20)]
    np.testing.assert_allclose(embedded.embeddings["plain"], alone, atol=1e-6)


def test_a_skipped_banner_takes_its_appid_with_it(banners_folder, encoder, rows):
    (banners_folder / "30.png").write_bytes(b"")
    (banners_folder / "10.png").write_bytes((banners_folder / "10.png").read_bytes()[:100])
    banners = list_banners(banners_folder)
    embedded = embed(banners, encoder, rows, batch_size=2)
    assert embedded.appids.tolist() == [20, 40, 50, 60]
    assert [skipped.banner.appid for skipped in embedded.skipped] == [10, 30]
    np.testing.assert_allclose(
        embedded.embeddings["plain"][1],
        encoder.embed(encoder.preprocessing.pixels(picture(40))[None])[0],
        atol=1e-6,
    )


def test_a_banner_that_vanishes_is_skipped(banners_folder, encoder, rows):
    banners = list_banners(banners_folder)
    (banners_folder / "50.png").unlink()
    assert [skipped.banner.appid for skipped in embed(banners, encoder, rows).skipped] == [50]


def test_nothing_usable_gives_empty_arrays(tmp_path, encoder, rows):
    (tmp_path / "1.jpg").write_bytes(b"no image")
    embedded = embed(list_banners(tmp_path), encoder, rows, ("plain", "flip"))
    assert embedded.appids.shape == (0,)
    assert embedded.embeddings["flip"].shape == (0, 24)


def test_identical_banners_have_equal_digests(banners_folder, encoder, rows):
    digests = embed(list_banners(banners_folder), encoder, rows).digests
    assert digests[1] == digests[5]
    assert len(set(digests)) == 5


def test_views_embed_the_transformed_pixels(banners_folder, encoder, rows):
    banners = list_banners(banners_folder)
    embedded = embed(banners, encoder, rows, ("plain", "mirror", "flip", "rotate"))
    pixels = encoder.preprocessing.pixels(picture(10))
    for view, transformed in (
        ("mirror", np.fliplr(pixels)),
        ("flip", np.flipud(pixels)),
        ("rotate", np.rot90(pixels, 2)),
    ):
        np.testing.assert_allclose(embedded.embeddings[view][0], encoder.embed(transformed[None].copy())[0], atol=1e-6)


def test_an_embedding_that_is_not_finite_is_skipped(banners_folder, tmp_path):
    import torch

    preprocessing = Preprocessing(8, 8, 8, "squash", 3, (0.5,) * 3, (0.5,) * 3)

    def forward(pixels):
        same = (pixels == dark).all(dim=(1, 2, 3))
        return torch.where(same[:, None], torch.nan, pixels.mean(dim=(2, 3)))

    broken = Encoder("broken", "0", "x", 3, preprocessing, "cpu", "float32", forward)
    dark = broken.normalise(torch.from_numpy(preprocessing.pixels(picture(30))[None].copy()))
    embedded = embed(list_banners(banners_folder), broken, EmbeddingStore(tmp_path / "broken", {}, 3))
    assert 30 not in embedded.appids
    assert [(s.banner.appid, s.reason) for s in embedded.skipped] == [(30, "the encoder's output is not finite")]


def test_progress_counts_every_banner_once(banners_folder, encoder, rows):
    (banners_folder / "30.png").write_bytes(b"")
    seen = []
    embed(list_banners(banners_folder), encoder, rows, batch_size=4, on_progress=seen.append)
    assert seen == [0, 4, 2]


def test_views_are_missing_where_nothing_or_another_file_was_embedded():
    assert missing_views(None, {}, ["plain", "mirror"]) == ("plain", "mirror")
    assert missing_views(b"new", {"plain": b"old", "mirror": None}, ["plain", "mirror"]) == ("plain", "mirror")
    assert missing_views(b"same", {"plain": b"same", "mirror": None}, ["plain", "mirror"]) == ("mirror",)
    assert missing_views(b"same", {"plain": b"same"}, ["plain"]) == ()


def test_a_rerun_embeds_only_what_is_new_or_changed_and_gives_the_same_bits(banners_folder, tmp_path, encoder, rows):
    views = ("plain", "mirror")
    embed(list_banners(banners_folder), encoder, rows, views, batch_size=8)
    picture(21).save(banners_folder / "20.png")
    picture(70).save(banners_folder / "70.webp")
    (banners_folder / "10.png").unlink()
    again = EmbeddingStore(tmp_path / "c.rows", {"encoder": "tiny"}, encoder.dim)
    resumed = embed(list_banners(banners_folder), encoder, again, views, batch_size=8)
    assert resumed.reused == 4
    fresh = EmbeddingStore(tmp_path / "fresh", {"encoder": "tiny"}, encoder.dim)
    at_once = embed(list_banners(banners_folder), encoder, fresh, views, batch_size=8)
    assert at_once.reused == 0
    assert resumed.appids.tolist() == at_once.appids.tolist() == [20, 30, 40, 50, 60, 70]
    for view in views:
        assert resumed.embeddings[view].tobytes() == at_once.embeddings[view].tobytes()
    assert resumed.digests == at_once.digests
    assert resumed.size == at_once.size


@pytest.mark.parametrize("batch_size", [1, 5, 7])
def test_odd_batches_give_the_same_bits_wherever_a_banner_stands(tmp_path, encoder, batch_size):
    for appid in range(1, 41):
        picture(appid).save(tmp_path / f"{appid}.png")
    banners = list_banners(tmp_path)
    late = EmbeddingStore(tmp_path / "late", {}, encoder.dim)
    embed(banners[3:], encoder, late, batch_size=batch_size)
    late_first = embed(banners, encoder, late, batch_size=batch_size)
    at_once = embed(banners, encoder, EmbeddingStore(tmp_path / "once", {}, encoder.dim), batch_size=batch_size)
    assert late_first.embeddings["plain"].tobytes() == at_once.embeddings["plain"].tobytes()


def test_a_view_that_is_added_later_is_all_that_is_embedded_then(banners_folder, encoder, rows):
    calls = []
    banners = list_banners(banners_folder)
    embed(banners, encoder, rows)

    def forward(pixels):
        calls.append(len(pixels))
        return encoder.forward(pixels)

    counting = dataclasses.replace(encoder, forward=forward)
    embedded = embed(banners, counting, rows, ("plain", "flip"), batch_size=8)
    assert (calls, embedded.reused) == ([16], 0)
    assert embed(banners, counting, rows, ("flip", "plain"), batch_size=8).reused == 6
    assert calls == [16]
