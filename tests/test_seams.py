"""A ball where tiles, slabs and blocks meet, by a network that has learned to find balls."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xseg_jax.inference.blocks import ALL_AXES, Block
from xseg_jax.inference.predict import Predictor
from xseg_jax.inference.volume import LABEL, PROBABILITIES, margins_of, segment_block
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import Parallel

SHAPE = (32, 96, 96)
MIDDLE = (16, 40, 48)
"""Of the ball: slabs end at plane 16, tiles of 64 pixels at rows and columns 32 and 64."""
RADIUS = 14
BORDERS = ((16,), (32, 48, 64), (32, 48, 64))
"""Where slabs, tiles and blocks end, along z, y, x."""
OVERLAP = 16
ONE = Parallel("jit", tuple(jax.devices()[:1]))
MODEL = UNet(classes=2, features=(4, 8), norm="none")


def ball(shape, middle, radius):
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum((x - m) ** 2 for x, m in zip(grid, middle, strict=True)) <= radius**2


def imaged(label, rng):
    """Grey values so noisy that a pixel alone does not tell."""
    return (label + rng.normal(0, 0.7, label.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    """Trained for seconds on discs anywhere."""
    rng, tx = np.random.default_rng(0), optax.adam(5e-3)
    params = MODEL.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False)
    state = tx.init(params)

    @jax.jit
    def step(params, state, image_BHWC, label_BHW):
        def loss(params):
            logits = MODEL.apply(params, image_BHWC, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, label_BHW).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    for _ in range(150):
        discs = [ball((32, 32), rng.uniform(-5, 37, 2), rng.uniform(4, 16)) for _ in range(8)]
        label_BHW = np.stack(discs).astype(np.int32)
        params, state, value = step(params, state, imaged(label_BHW, rng)[..., None], label_BHW)
    assert value < 0.15
    return params


@pytest.fixture(scope="module")
def scan():
    truth_ZYX = ball(SHAPE, MIDDLE, RADIUS)
    return truth_ZYX, imaged(truth_ZYX, np.random.default_rng(1))


def segmented(variables, gray_ZYX, tile, axes, sides):
    """Labels and probabilities of the ball, by blocks of these sides."""
    predictor = Predictor(MODEL, ONE, tile=tile, overlap=OVERLAP, batch_size=4)
    predict = functools.partial(predictor, variables)
    margins = margins_of(axes, 0, OVERLAP)
    label_ZYX, ball_ZYX = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, int)
    for start in np.ndindex(*(-(-n // side) for n, side in zip(SHAPE, sides, strict=True))):
        first = tuple(k * side for k, side in zip(start, sides, strict=True))
        last = tuple(a + side for a, side in zip(first, sides, strict=True))
        block = Block(first, last).cut(SHAPE)
        outer = block.widened(margins, SHAPE)
        found = segment_block(
            gray_ZYX[outer.region], block.within(outer),
            lambda images: (probability_HWK[None] for probability_HWK in predict(images)),
            axes=axes, context=0, maps=(LABEL, PROBABILITIES), classes=2,
        )  # fmt: skip
        label_ZYX[block.region] = found[LABEL]
        ball_ZYX[block.region] = found[PROBABILITIES][1]
    return label_ZYX, ball_ZYX / 255


@pytest.mark.parametrize("axes", [(0,), ALL_AXES])
def test_a_ball_where_tiles_and_blocks_meet_has_no_seam(variables, scan, axes):
    truth_ZYX, gray_ZYX = scan
    sides = (16, *SHAPE[1:]) if axes == (0,) else (16, 48, 48)
    whole_ZYX, sure_ZYX = segmented(variables, gray_ZYX, 128, axes, SHAPE)
    label_ZYX, parts_ZYX = segmented(variables, gray_ZYX, 64, axes, sides)
    assert 0.001 < (whole_ZYX != truth_ZYX).mean() < 0.01  # It has learned, and has doubts.
    assert (label_ZYX != whole_ZYX).mean() < 1e-4
    assert np.abs(parts_ZYX - sure_ZYX).max() < 0.1
    for axis, places in enumerate(BORDERS):
        across = np.abs(np.diff(parts_ZYX, axis=axis)).take(np.array(places) - 1, axis)
        whole = np.abs(np.diff(sure_ZYX, axis=axis)).take(np.array(places) - 1, axis)
        # A step of 0.001 on average would be one of 0.07 on the outline of the ball.
        np.testing.assert_allclose(across.mean(), whole.mean(), rtol=0.05, atol=1e-3)


def test_what_has_no_margin_would_be_found_out(variables, scan, monkeypatch):
    monkeypatch.setattr("test_seams.OVERLAP", 0)
    _, gray_ZYX = scan
    whole_ZYX, sure_ZYX = segmented(variables, gray_ZYX, 128, ALL_AXES, SHAPE)
    label_ZYX, parts_ZYX = segmented(variables, gray_ZYX, 64, ALL_AXES, (16, 48, 48))
    assert (label_ZYX != whole_ZYX).mean() > 1e-4
    assert np.abs(parts_ZYX - sure_ZYX).max() > 0.1
