import csv

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xseg_jax.inference.ranking import SPREAD, rank, write_ranks


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=100))
def test_every_plane_has_a_rank_and_the_most_doubtful_is_first(doubt_Z):
    order = rank(doubt_Z)
    assert sorted(order) == list(range(len(doubt_Z)))
    assert doubt_Z[order[0]] == max(doubt_Z)


def test_neighbours_of_what_is_taken_wait_for_the_next_round():
    z = np.arange(160)
    doubt_Z = np.exp(-(((z - 80) / 30) ** 2)) + 0.5 * np.exp(-(((z - 20) / 3) ** 2))
    order = rank(doubt_Z.tolist())
    apart = len(z) // SPREAD
    first = order[: len(z) // (2 * apart)]
    assert order[0] == 80
    assert 20 in first
    for n, one in enumerate(first):
        assert all(abs(one - other) >= apart for other in first[:n])
    assert 79 not in first


def test_the_table_names_planes_in_order_of_rank(tmp_path):
    write_ranks(tmp_path / "next.csv", ["a", "b"], [0.25, 0.5])
    with (tmp_path / "next.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"rank": "1", "plane": "b", "uncertainty": "0.500000"},
        {"rank": "2", "plane": "a", "uncertainty": "0.250000"},
    ]
