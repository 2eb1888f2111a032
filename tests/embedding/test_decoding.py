import numpy as np

from banners.embedding import decoding
from banners.embedding.decoding import Decoded, decode_batches
from banners.games_csv import list_banners
from banners.images import Preprocessing
from tests.conftest import picture

PREPROCESSING = Preprocessing(16, 12, 16, "squash", 3, (0.5,) * 3, (0.5,) * 3)


def test_batches_come_in_order_with_their_pixels_and_all_of_one_shape(tmp_path):
    for appid in range(1, 51):
        picture(appid, (20, 30)).save(tmp_path / f"{appid}.png")
    (tmp_path / "7.png").write_bytes(b"nothing")
    banners = list_banners(tmp_path)
    seen = []
    for results, batch in decode_batches(banners, PREPROCESSING, batch_size=8, workers=3):
        assert batch.shape == (8, 16, 12, 3)
        for (banner, result), pixels in zip(results, batch, strict=False):
            seen.append(banner.appid)
            if banner.appid == 7:
                assert result == "not a JPEG, PNG or WebP picture"
            else:
                assert np.array_equal(pixels, PREPROCESSING.pixels(picture(banner.appid, (20, 30))))
                assert isinstance(result, Decoded)
                assert result.size == (20, 30)
                assert result.content == decoding.content_hash(banner.path.read_bytes())
    assert seen == list(range(1, 51))


def test_equal_pixels_have_equal_digests_whatever_their_files(tmp_path):
    picture(1).save(tmp_path / "1.png")
    picture(1).save(tmp_path / "2.webp", lossless=True)
    picture(2).save(tmp_path / "3.png")
    ((results, _),) = decode_batches(list_banners(tmp_path), PREPROCESSING, 4, 1)
    one, two, three = (result for _, result in results)
    assert one.digest == two.digest != three.digest
    assert one.content != two.content


def test_no_banners_are_no_batches():
    assert list(decode_batches([], PREPROCESSING, 8, 2)) == []
