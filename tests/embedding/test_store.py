import numpy as np
import pytest

from banners.embedding.decoding import Decoded
from banners.embedding.store import EmbeddingStore
from banners.errors import BadInput


def source(seed: int) -> Decoded:
    return Decoded(bytes([seed]) * 16, bytes([100 + seed]) * 16, (30 + seed, 45))


def vectors(*values: float) -> np.ndarray:
    return np.array([[value, -value, 2 * value] for value in values], np.float32)


def opened(tmp_path, **identity) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, {"encoder": "e", **identity}, 3)


def filled(tmp_path) -> EmbeddingStore:
    rows = opened(tmp_path)
    rows.add("plain", [10, 20], [source(1), source(2)], vectors(1, 2))
    rows.add("mirror", [10], [source(1)], vectors(5))
    rows.add("plain", [30, 10], [source(3), source(4)], vectors(3, 4))
    return rows


def test_what_was_added_is_there_in_the_next_run_the_later_of_two_rows_counting(tmp_path):
    filled(tmp_path)
    rows = opened(tmp_path)
    assert rows.contents("plain") == {10: b"\4" * 16, 20: b"\2" * 16, 30: b"\3" * 16}
    assert rows.contents("mirror") == {10: b"\1" * 16}
    assert rows.contents("flip") == {}
    assert rows.assemble("plain", [10, 20, 30]).tolist() == vectors(4, 2, 3).tolist()
    assert rows.sources([20, 10]) == [source(2), source(4)]


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "rows.db").write_bytes(b"x" * 5000)
    with pytest.raises(BadInput, match="file is not a database"):
        opened(tmp_path)


def test_rows_of_another_identity_are_not_seen(tmp_path):
    filled(tmp_path)
    assert opened(tmp_path, fit="crop").contents("plain") == {}
    assert opened(tmp_path).contents("plain").keys() == {10, 20, 30}


def test_tidying_keeps_what_is_wanted_and_nothing_else(tmp_path):
    rows = filled(tmp_path)
    rows.assemble("plain", [10])
    rows.tidy([10, 30])
    assert rows.contents("plain") == {10: b"\4" * 16, 30: b"\3" * 16}
    assert rows.assemble("plain", [10, 30]).tolist() == vectors(4, 3).tolist()
    assert opened(tmp_path).contents("mirror").keys() == {10}


def test_tidying_removes_the_rows_of_other_encoders(tmp_path):
    filled(tmp_path)
    rows = opened(tmp_path, fit="crop")
    rows.add("plain", [10], [source(1)], vectors(1))
    rows.tidy([10])
    assert opened(tmp_path).contents("plain") == {}
    assert opened(tmp_path, fit="crop").contents("plain").keys() == {10}
