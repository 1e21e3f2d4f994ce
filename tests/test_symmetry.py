import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.data.symmetry import MOVES, harmless, moves_of, swaps_in
from xseg_jax.model.augment import FLIPS

NAMES = ("around", "one", "other")


def two_blocks(rows, other_rows, columns, other_columns):
    label_HW = np.zeros((60, 40), np.uint8)
    label_HW[slice(*rows), slice(*columns)] = 1
    label_HW[slice(*other_rows), slice(*other_columns)] = 2
    return label_HW


@pytest.mark.parametrize(
    ("label_HW", "moves"),
    [
        (two_blocks((10, 50), (10, 50), (2, 16), (24, 38)), {"horizontal", "half turn"}),
        (two_blocks((2, 24), (36, 58), (5, 35), (5, 35)), {"vertical", "half turn"}),
        (two_blocks((2, 24), (36, 58), (2, 16), (24, 38)), {"half turn"}),
        (two_blocks((22, 38), (0, 0), (14, 26), (0, 0)), set()),
    ],
)
def test_classes_that_change_places_are_found_with_their_moves(label_HW, moves):
    swaps = swaps_in(NAMES, [label_HW] * 2)
    assert {swap.move for swap in swaps} == moves
    assert all(swap.classes == ("one", "other") for swap in swaps)
    assert all(swap.other > 0.9 and swap.own < 0.1 for swap in swaps)


def test_a_quarter_turn_swaps_classes_that_lie_in_opposite_wedges():
    y_HW, x_HW = np.mgrid[-30:31, -30:31]
    wedge_HW = np.where(abs(y_HW) > abs(x_HW), 1, 2).astype(np.uint8)
    assert {swap.move for swap in swaps_in(NAMES, [wedge_HW])} == {"quarter turn"}


def test_structures_without_sides_do_not_swap_and_unlabelled_pixels_do_not_count():
    rng = np.random.default_rng(0)
    labels = [np.kron(rng.integers(0, 3, (12, 12)), np.ones((9, 9))) for _ in range(5)]
    assert swaps_in(NAMES, [label.astype(np.uint8) for label in labels]) == ()
    label_HW = two_blocks((10, 50), (10, 50), (2, 16), (24, 38))
    label_HW[:, 20:] = 255
    assert swaps_in(NAMES, [label_HW]) == ()


def reached(flip, rotate90):
    """Moves that flips and turns of a small image can end in."""
    image = np.arange(9).reshape(3, 3)
    named = (image[:, ::-1], image[::-1], image[::-1, ::-1], np.rot90(image))
    found = set()
    for axes in itertools.product(*[(False, True)] * len(FLIPS[flip])):
        moved = image
        for axis, mirrored in zip(FLIPS[flip], axes, strict=True):
            moved = np.flip(moved, axis) if mirrored else moved
        for turns in range(4 if rotate90 else 1):
            turned = np.rot90(moved, turns)
            found |= {move for move, one in zip(MOVES, named, strict=True) if (one == turned).all()}
    return found


@pytest.mark.parametrize("rotate90", [False, True])
@pytest.mark.parametrize("flip", FLIPS)
def test_moves_are_those_that_augmentation_can_end_in(flip, rotate90):
    assert set(moves_of(flip, rotate90=rotate90)) == reached(flip, rotate90)


@given(st.sets(st.sampled_from(MOVES)))
def test_harmless_makes_none_of_the_moves_and_nothing_harmless_makes_more(swapping):
    allowed = [
        set(moves_of(flip, rotate90=rotate90)) for flip in FLIPS for rotate90 in (False, True)
    ]
    allowed = [moves for moves in allowed if not moves & swapping]
    flip, rotate90 = harmless(swapping)
    chosen = set(moves_of(flip, rotate90=rotate90))
    assert chosen in allowed
    assert not any(moves > chosen for moves in allowed)
