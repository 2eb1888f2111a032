import os

import numpy as np
import pytest

from banners.embedding.decoding import Decoded
from banners.embedding.store import Rows, alone_at
from banners.errors import BadInput


def source(seed: int) -> Decoded:
    return Decoded(bytes([seed]) * 16, bytes([100 + seed]) * 16, (30 + seed, 45))


def vectors(*values: float) -> np.ndarray:
    return np.array([[value, -value, 2 * value] for value in values], np.float32)


def opened(tmp_path, **identity) -> Rows:
    return Rows(tmp_path, {"encoder": "e", **identity}, 3)


def filled(tmp_path) -> Rows:
    rows = opened(tmp_path)
    rows.add("plain", [10, 20], [source(1), source(2)], vectors(1, 2))
    rows.add("mirror", [10], [source(1)], vectors(5))
    rows.flush()
    rows.add("plain", [30, 10], [source(3), source(4)], vectors(3, 4))
    rows.flush()
    return rows


def test_what_was_flushed_is_there_in_the_next_run_the_later_of_two_rows_counting(tmp_path):
    filled(tmp_path)
    rows = opened(tmp_path)
    assert rows.contents("plain") == {10: b"\4" * 16, 20: b"\2" * 16, 30: b"\3" * 16}
    assert rows.contents("mirror") == {10: b"\1" * 16}
    assert rows.contents("flip") == {}
    assert rows.assemble("plain", [10, 20, 30]).tolist() == vectors(4, 2, 3).tolist()
    assert rows.sources([20, 10]) == [source(2), source(4)]


@pytest.mark.parametrize(("lost", "left"), [(1, {10, 20, 30}), (59, {10, 20, 30}), (60, {10, 20, 30}), (61, {10, 20})])
def test_a_record_that_was_cut_short_counts_for_nothing_and_those_after_it_are_whole(tmp_path, lost, left):
    filled(tmp_path)
    path = next(tmp_path.rglob("plain.records"))
    os.truncate(path, path.stat().st_size - lost)
    rows = opened(tmp_path)
    assert rows.contents("plain").keys() == left
    assert rows.contents("plain")[10] == b"\1" * 16
    rows.add("plain", [40], [source(5)], vectors(7))
    rows.flush()
    again = opened(tmp_path)
    assert again.contents("plain").keys() == left | {40}
    assert again.assemble("plain", [40]).tolist() == vectors(7).tolist()


def test_a_damaged_record_counts_for_nothing(tmp_path):
    filled(tmp_path)
    path = next(tmp_path.rglob("plain.records"))
    data = bytearray(path.read_bytes())
    data[len(data) // 4 + 50] ^= 1  # in the second of four
    path.write_bytes(data)
    assert opened(tmp_path).contents("plain").keys() == {10, 30}


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
    rows.tidy([10, 30])
    names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert names == ["identity.json", "mirror.records", "plain.records"]
    assert opened(tmp_path).contents("mirror").keys() == {10}


def test_one_run_at_a_time_holds_the_rows_of_a_catalogue(tmp_path):
    with alone_at(tmp_path / "c") as folder:
        assert folder == tmp_path / "c.rows"
        with pytest.raises(BadInput, match=r"another run is writing .*c$"), alone_at(tmp_path / "c"):
            pass
        with alone_at(tmp_path / "d"):
            pass
    assert not (tmp_path / "c.rows").exists()
    with alone_at(tmp_path / "c") as folder:
        (folder / "kept").touch()
    assert (tmp_path / "c.rows" / "kept").exists()


def test_rows_that_were_moved_to_another_view_or_encoder_count_for_nothing(tmp_path):
    filled(tmp_path)
    opened(tmp_path, fit="crop")
    plain = next(tmp_path.rglob("plain.records"))
    for folder in tmp_path.iterdir():
        for view in ("flip", "plain"):
            if not (folder / f"{view}.records").exists():
                (folder / f"{view}.records").write_bytes(plain.read_bytes())
    assert opened(tmp_path).contents("flip") == {}
    assert opened(tmp_path, fit="crop").contents("plain") == {}
    assert opened(tmp_path).contents("plain").keys() == {10, 20, 30}
