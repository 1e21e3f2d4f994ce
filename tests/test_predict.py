import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from xseg_jax.errors import InputError
from xseg_jax.inference.predict import Predictor, _equal_parts
from xseg_jax.inference.tiling import cut
from xseg_jax.model.unet import UNet
from xseg_jax.training.parallel import Parallel

pytestmark = pytest.mark.rounding

KEY = jax.random.key(0)
ONE = Parallel("jit", tuple(jax.devices()[:1]))


def network(channels=1, **fields):
    """A U-Net with variables from numpy, which need no compilation."""
    model = UNet(classes=3, norm="none", **fields)
    rng = np.random.default_rng(0)
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, KEY, jnp.zeros((1, 32, 32, channels)))
    fill = functools.partial(rng.normal, 0, 0.3)
    return model, jax.tree.map(lambda leaf: fill(leaf.shape).astype(np.float32), shapes)


def noise(height, width, seed=0):
    """An image (H, W, 1)."""
    return np.random.default_rng(seed).standard_normal((height, width, 1)).astype(np.float32)


def directly(model, variables, image_HWC):
    """Probabilities from one call of the network, on the whole image."""
    apply = jax.jit(functools.partial(model.apply, train=False))
    return softmax(np.asarray(apply(variables, image_HWC[None])[0]), axis=-1)


def one(predictor, variables, image_HWC):
    (probability_HWK,) = predictor(variables, [image_HWC])
    return probability_HWK


def pixelwise(batch_size=3, tile=32, overlap=8):
    """A predictor whose network sees the pixel alone, and the shapes that it compiles."""
    shapes = []

    class Model:
        def apply(self, variables, image_BHWC, *, train):
            shapes.append((train, *image_BHWC.shape))
            return jnp.concatenate([0 * image_BHWC, variables * image_BHWC], axis=-1)

    options = {"tile": tile, "overlap": overlap, "batch_size": batch_size}
    return Predictor(Model(), ONE, **options), shapes  # pyright: ignore[reportArgumentType]


def logistic(image_HWC):
    return softmax(np.concatenate([0 * image_HWC, image_HWC], axis=-1), axis=-1)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_of_one_tile_is_what_the_network_says(batch_size):
    model, variables = network(features=(2, 4))
    predictor = Predictor(model, ONE, tile=64, overlap=16, batch_size=batch_size)
    image_HWC = noise(64, 32)
    probability_HWK = one(predictor, variables, image_HWC)
    assert probability_HWK.dtype == np.float32
    np.testing.assert_allclose(probability_HWK, directly(model, variables, image_HWC), atol=1e-5)


def test_tiles_agree_with_the_whole_image_away_from_their_edges():
    model, variables = network(features=(4,))
    predictor = Predictor(model, ONE, tile=32, overlap=8, batch_size=2)
    image_HWC = noise(71, 60)
    found_HWK = one(predictor, variables, image_HWC)
    expected_HWK = directly(model, variables, image_HWC)
    # Two 3x3 convolutions see two pixels around: nearer to a tile's edge they see its padding.
    near_HW = np.zeros((71, 60), bool)
    corners, _ = cut(image_HWC, 32, 8)
    assert len(corners) == 3 * 3
    for y, x in corners:
        near_hw = near_HW[y : y + 32, x : x + 32]
        inner = tuple(
            slice(2 if start else 0, -2 if start + 32 < length else None)
            for start, length in zip((y, x), (71, 60), strict=True)
        )
        edge_hw = np.ones(near_hw.shape, bool)
        edge_hw[inner] = False
        near_hw |= edge_hw
    assert 0.1 < near_HW.mean() < 0.4
    np.testing.assert_allclose(found_HWK[~near_HW], expected_HWK[~near_HW], atol=1e-5)
    error_HW = np.abs(found_HWK - expected_HWK).max(axis=-1)
    assert error_HW[near_HW].mean() < 0.02
    np.testing.assert_allclose(found_HWK.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7])
def test_any_sizes_in_order_whatever_the_batch(batch_size):
    # Several tiles, then less than one, then one axis of each kind, then the first shape again.
    sizes = [(70, 40), (5, 9), (1, 1), (33, 20), (20, 100), (70, 40), (32, 32)]
    images = [noise(*size, seed) for seed, size in enumerate(sizes)]
    predictor, shapes = pixelwise(batch_size, tile=64)
    found = list(predictor(np.float32(1), iter(images)))
    assert [probability_HWK.shape[:2] for probability_HWK in found] == sizes
    for probability_HWK, image_HWC in zip(found, images, strict=True):
        np.testing.assert_allclose(probability_HWK, logistic(image_HWC), atol=1e-5)
    assert {shape[2:4] for shape in shapes} == {(64, 64), (32, 32), (64, 32), (32, 64)}


def test_compiles_once_a_shape_in_prediction_mode():
    predictor, shapes = pixelwise(batch_size=3, tile=64)
    for _ in range(2):
        for size in [(20, 30), (32, 32), (31, 5), (40, 40), (64, 33), (100, 70)]:
            one(predictor, np.float32(1), noise(*size))
    assert shapes == [(False, 1, 32, 32, 1), (False, 1, 64, 64, 1), (False, 2, 64, 64, 1)]


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_several_devices_change_nothing(mode):
    model, variables = network(features=(2, 4))
    layout = Parallel(mode, tuple(jax.devices()))
    several = Predictor(model, layout, tile=32, overlap=8, batch_size=2)
    alone = Predictor(model, ONE, tile=32, overlap=8, batch_size=2)
    images = [noise(71, 60), noise(30, 30)]
    there = list(several(layout.replicate(variables), images))
    for one_HWK, other_HWK in zip(there, alone(variables, images), strict=True):
        np.testing.assert_allclose(one_HWK, other_HWK, atol=1e-5)


def test_other_variables_give_another_result_without_compiling():
    predictor, shapes = pixelwise()
    image_HWC = noise(20, 20)
    for factor in (1, 2, -3):
        np.testing.assert_allclose(
            one(predictor, np.float32(factor), image_HWC), logistic(factor * image_HWC), atol=1e-5
        )
    assert len(shapes) == 1


def test_images_are_taken_as_they_are_needed():
    predictor, _ = pixelwise(batch_size=2)
    taken = []

    def images():
        for index in range(6):
            taken.append(index)
            yield noise(32, 32, index)

    results = predictor(np.float32(1), images())
    assert taken == []
    next(results)
    assert taken == [0, 1]  # The second image runs while the first is handed over.
    next(results)
    next(results)
    assert taken == [0, 1, 2, 3]
    assert len(list(results)) == 3
    assert list(predictor(np.float32(1), [])) == []


# From one tile to more than a batch of them, and two sizes of tiles.
COMPANY = [noise(70, 32, 0), noise(32, 32, 1), noise(97, 71, 2), noise(9, 32, 3), noise(20, 32, 4)]
LAYOUTS = [("jit", 1), ("pmap", 2), ("shard_map", 3)]


def companies(predictor, variables):
    """Probabilities of each image, alone, among all, among all backwards, and after it was lost."""
    forwards = list(predictor(variables, COMPANY))
    backwards = list(predictor(variables, COMPANY[::-1]))[::-1]
    rest = list(predictor(variables, COMPANY[2:]))
    for place, image_HWC in enumerate(COMPANY):
        yield [one(predictor, variables, image_HWC), forwards[place], backwards[place]]
    for place, found_HWK in enumerate(rest):
        yield [found_HWK, forwards[2 + place]]


@pytest.mark.parametrize(("mode", "devices"), LAYOUTS)
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_an_images_place_and_company_change_no_bit(mode, devices, batch_size):
    """By a network that tells, on any processor, where in a batch a tile was and beside what."""

    class Model:
        def apply(self, variables, image_BHWC, *, train):
            place_B111 = jnp.arange(len(image_BHWC))[:, None, None, None]
            beside_BHWC = jnp.cumsum(image_BHWC, axis=0) + image_BHWC.sum(axis=0)
            return jnp.concatenate([0 * image_BHWC, place_B111 + beside_BHWC], axis=-1)

    layout = Parallel(mode, tuple(jax.devices()[:devices]))
    predictor = Predictor(Model(), layout, tile=32, overlap=8, batch_size=batch_size)  # pyright: ignore[reportArgumentType]
    for first, *others in companies(predictor, layout.replicate({})):
        for other in others:
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize(("mode", "devices"), LAYOUTS)
@pytest.mark.parametrize(
    ("features", "tile"), [((2, 4), 32), ((4,), 64), ((3, 5, 8), 32), ((16, 24), 32)]
)
def test_no_processor_rounds_an_image_by_its_company(mode, devices, features, tile):
    model, variables = network(features=features)
    layout = Parallel(mode, tuple(jax.devices()[:devices]))
    predictor = Predictor(model, layout, tile=tile, overlap=8, batch_size=3)
    for first, *others in companies(predictor, layout.replicate(variables)):
        for other in others:
            np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize(
    ("tiles", "largest", "sizes"),
    [(1, 4, [1]), (4, 1, [1] * 4), (4, 4, [4]), (5, 4, [3, 3]), (9, 4, [3] * 3), (10, 4, [4] * 3)],
)
def test_tiles_go_into_few_equal_parts(tiles, largest, sizes):
    tiles_Thw = np.arange(tiles)[:, None, None] * np.ones((1, 2, 3))
    parts = _equal_parts(tiles_Thw, largest)
    assert [len(part_Bhw) for part_Bhw in parts] == sizes
    np.testing.assert_array_equal(np.concatenate(parts)[:tiles], tiles_Thw)


@pytest.mark.parametrize(("mode", "devices"), LAYOUTS)
def test_a_network_that_tells_channels_apart_gets_each_in_its_place(mode, devices):
    class Model:
        def apply(self, variables, image_BHWC, *, train):
            return image_BHWC * jnp.array([1.0, 10.0, 100.0])

    layout = Parallel(mode, tuple(jax.devices()[:devices]))
    predictor = Predictor(Model(), layout, tile=32, overlap=8, batch_size=2)  # pyright: ignore[reportArgumentType]
    marks = np.array([3, 0.3, 0.03], np.float32)  # Each channel decides where the others are 0.
    images = [marks * np.eye(3, dtype=np.float32)[noise(*size, 1)[..., 0].astype(int) % 3]
              for size in ((70, 40), (20, 20), (33, 97))]  # fmt: skip
    for found_HWK, image_HWC in zip(predictor(layout.replicate({}), images), images, strict=True):
        expected_HWK = softmax(image_HWC * [1, 10, 100], axis=-1)
        np.testing.assert_allclose(found_HWK, expected_HWK, atol=1e-5)
        np.testing.assert_array_equal(found_HWK.argmax(axis=-1), image_HWC.argmax(axis=-1))


def test_images_with_neighbours_are_what_the_network_says():
    model, variables = network(channels=3, features=(2, 4))
    predictor = Predictor(model, ONE, tile=64, overlap=16, batch_size=2)
    image_HWC = np.concatenate([noise(64, 32, seed) for seed in range(3)], axis=-1)
    found_HWK = one(predictor, variables, image_HWC)
    np.testing.assert_allclose(found_HWK, directly(model, variables, image_HWC), atol=1e-5)
    turned_HWK = one(predictor, variables, image_HWC[..., ::-1])
    assert np.abs(turned_HWK - found_HWK).max() > 0.1


@pytest.mark.parametrize(
    "change", [{"tile": 48}, {"tile": 0}, {"overlap": 32}, {"overlap": -1}, {"batch_size": 0}]
)
def test_impossible_tiles_are_refused_by_name(change):
    options = {"tile": 32, "overlap": 8, "batch_size": 4} | change
    with pytest.raises(InputError) as caught:
        Predictor(UNet(classes=2), ONE, **options)
    values = ", ".join(f"{key}={value}" for key, value in options.items())
    assert str(caught.value) == (
        f"config.inference: {values}; the tile must be a multiple of 32, the overlap from 0 to "
        "below the tile, the batch at least 1"
    )
