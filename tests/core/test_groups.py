import numpy as np

from banners.groups import connected, group_identical, members


def test_rows_with_the_same_key_name_the_first_of_them():
    assert group_identical([b"a", b"b", b"a", b"c", b"b"]).tolist() == [0, 1, 0, 3, 1]


def test_pairs_join_into_groups_whatever_their_order():
    assert connected(6, [(5, 3), (1, 4), (3, 1)]).tolist() == [0, 1, 2, 1, 1, 1]


def test_members_lists_only_groups_of_two_or_more():
    assert members(np.array([0, 1, 0, 3, 1], np.int32)) == [[0, 2], [1, 4]]
    assert members(np.array([], np.int32)) == []
