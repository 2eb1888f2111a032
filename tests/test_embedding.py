import numpy as np
import pytest

from banners.embedding import embed
from banners.encoders import Encoder, open_encoder
from banners.images import Preprocessing
from banners.records import list_banners
from banners.views import TRANSFORMS

from .conftest import picture


@pytest.fixture
def encoder(tiny_clip) -> Encoder:
    return open_encoder(str(tiny_clip()))


def test_every_banner_keeps_its_appid(banners_folder, encoder):
    banners, _ = list_banners(banners_folder)
    embedded = embed(banners, encoder, batch_size=4)
    assert embedded.appids.tolist() == [10, 20, 30, 40, 50, 60]
    assert embedded.appids.dtype == np.uint32
    alone = [encoder.embed(encoder.preprocessing.pixels(picture(appid))[None])[0] for appid in (10, 20, 30, 40, 50, 20)]
    np.testing.assert_allclose(embedded.embeddings["plain"], alone, atol=1e-6)


def test_a_skipped_banner_takes_its_appid_with_it(banners_folder, encoder):
    (banners_folder / "30.png").write_bytes(b"")
    (banners_folder / "10.png").write_bytes((banners_folder / "10.png").read_bytes()[:100])
    banners, _ = list_banners(banners_folder)
    embedded = embed(banners, encoder, batch_size=2)
    assert embedded.appids.tolist() == [20, 40, 50, 60]
    assert [skipped.banner.appid for skipped in embedded.skipped] == [10, 30]
    np.testing.assert_allclose(
        embedded.embeddings["plain"][1],
        encoder.embed(encoder.preprocessing.pixels(picture(40))[None])[0],
        atol=1e-6,
    )


def test_a_banner_that_vanishes_is_skipped(banners_folder, encoder):
    banners, _ = list_banners(banners_folder)
    (banners_folder / "50.png").unlink()
    assert [skipped.banner.appid for skipped in embed(banners, encoder).skipped] == [50]


def test_nothing_usable_gives_empty_arrays(tmp_path, encoder):
    (tmp_path / "1.jpg").write_bytes(b"no image")
    embedded = embed(list_banners(tmp_path)[0], encoder, ("plain", "flip"))
    assert embedded.appids.shape == (0,)
    assert embedded.embeddings["flip"].shape == (0, 24)


def test_identical_banners_have_equal_digests(banners_folder, encoder):
    digests = embed(list_banners(banners_folder)[0], encoder).digests
    assert digests[1] == digests[5]
    assert len(set(digests)) == 5


def test_views_embed_the_transformed_pixels(banners_folder, encoder):
    banners, _ = list_banners(banners_folder)
    embedded = embed(banners, encoder, ("plain", "mirror", "flip", "rotate"))
    pixels = encoder.preprocessing.pixels(picture(10))
    for view, transformed in (
        ("mirror", np.fliplr(pixels)),
        ("flip", np.flipud(pixels)),
        ("rotate", np.rot90(pixels, 2)),
    ):
        np.testing.assert_allclose(embedded.embeddings[view][0], encoder.embed(transformed[None].copy())[0], atol=1e-6)
        assert np.array_equal(TRANSFORMS[view](pixels[None])[0], transformed)


def test_an_embedding_that_is_not_finite_is_skipped(banners_folder):
    import torch

    preprocessing = Preprocessing(8, 8, 8, "squash", 3, (0.5,) * 3, (0.5,) * 3)
    dark = preprocessing.normalise(preprocessing.pixels(picture(30))[None])

    def forward(pixels):
        same = (pixels == torch.from_numpy(dark)).all(dim=(1, 2, 3))
        return torch.where(same[:, None], torch.nan, pixels.mean(dim=(2, 3)))

    broken = Encoder("broken", "0", "x", 3, preprocessing, "cpu", "float32", forward)
    embedded = embed(list_banners(banners_folder)[0], broken)
    assert 30 not in embedded.appids
    assert [(s.banner.appid, s.reason) for s in embedded.skipped] == [(30, "the encoder's output is not finite")]


def test_progress_counts_every_banner_once(banners_folder, encoder):
    (banners_folder / "30.png").write_bytes(b"")
    seen = []
    embed(list_banners(banners_folder)[0], encoder, batch_size=4, on_progress=seen.append)
    assert seen == [4, 2]
