import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xseg_jax.inference.symmetric import averaged, symmetries_of
from xseg_jax.model.augment import FLIPS

COUNTS = {
    ("none", False): 1, ("horizontal", False): 2, ("vertical", False): 2, ("both", False): 4,
    ("none", True): 4, ("horizontal", True): 8, ("vertical", True): 8, ("both", True): 8,
}  # fmt: skip


def image(height=3, width=5, channels=2, seed=0):
    return np.random.default_rng(seed).random((height, width, channels)).astype(np.float32)


@pytest.mark.parametrize(("flip", "rotate90"), list(itertools.product(FLIPS, (False, True))))
def test_they_are_what_augmentation_makes_each_once(flip, rotate90):
    ways = symmetries_of(flip, rotate90=rotate90)
    found = {way(image()).tobytes() + bytes(way(image()).shape[:1]) for way in ways}
    assert len(ways) == len(found) == COUNTS[flip, rotate90]
    np.testing.assert_array_equal(ways[0](image()), image())
    x_HWC = image()
    if flip in ("horizontal", "both"):
        assert any(np.array_equal(way(x_HWC), x_HWC[:, ::-1]) for way in ways)
    if flip in ("vertical", "both"):
        assert any(np.array_equal(way(x_HWC), x_HWC[::-1]) for way in ways)


@given(st.integers(1, 9), st.integers(1, 9))
def test_undo_brings_back_any_size(height, width):
    x_HWC = image(height, width)
    for way in symmetries_of("both", rotate90=True):
        np.testing.assert_array_equal(way.undo(way(x_HWC)), x_HWC)


def test_a_network_that_knows_no_direction_is_left_as_it_is_and_one_that_does_is_averaged():
    images = [image(4, 6, 1, seed) for seed in range(3)]
    ways = symmetries_of("both", rotate90=True)
    same = list(averaged(lambda found: (x * 2 for x in found), images, ways))
    for before, after in zip(images, same, strict=True):
        np.testing.assert_allclose(after, before * 2, rtol=1e-6)

    def rows(found):  # Says in which row a pixel stood.
        for x_HWC in found:
            yield np.broadcast_to(
                np.arange(x_HWC.shape[0], dtype=np.float32)[:, None, None], x_HWC.shape
            )

    (mean_HWC,) = averaged(rows, images[:1], ways)
    # As often from one side as from the other, over rows and over columns: their middles.
    np.testing.assert_allclose(mean_HWC, (1.5 + 2.5) / 2, rtol=1e-6)


def test_images_are_taken_as_they_are_needed():
    taken = []

    def give():
        for number in range(5):
            taken.append(number)
            yield image(seed=number)

    results = averaged(
        lambda found: (x for x in found), give(), symmetries_of("both", rotate90=True)
    )
    next(results)
    assert len(taken) <= 2
