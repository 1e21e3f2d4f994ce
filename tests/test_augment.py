import functools

import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from configs import default
from xseg_jax.errors import InputError
from xseg_jax.model.augment import ARTEFACTS, augment, check_augment

pytestmark = pytest.mark.rounding

OFF = dict(default.get_config().augment) | {
    "flip": "none", "rotate90": False, "chance": 1.0, "own_spread": False,
}  # fmt: skip
SIZE = 32
MIDDLE = (SIZE - 1) / 2
Y_HW, X_HW = np.mgrid[:SIZE, :SIZE]


@functools.cache
def compiled(**options):
    return jax.jit(functools.partial(augment, **OFF | options))


def drawn(image_BHWC, label_BHW, seed=0, **options):
    key_B = jax.random.split(jax.random.key(seed), len(image_BHWC))
    image_BHWC, label_BHW = compiled(**options)(key_B, image_BHWC, label_BHW)
    return np.asarray(image_BHWC), np.asarray(label_BHW)


def noisy(batch=64, size=SIZE, channels=1):
    rng = np.random.default_rng(0)
    image_BHWC = rng.standard_normal((batch, size, size, channels)).astype(np.float32)
    return image_BHWC, rng.integers(0, 3, (batch, size, size)).astype(np.uint8)


def test_nothing_asked_for_is_the_identity_to_the_bit():
    image_BHWC, label_BHW = noisy()
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW)
    np.testing.assert_array_equal(out_BHWC, image_BHWC)
    np.testing.assert_array_equal(out_BHW, label_BHW)
    assert (out_BHWC.dtype, out_BHW.dtype) == (np.float32, np.uint8)


@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({"flip": "both", "rotate90": True}, range(8)),
        ({"flip": "both"}, (0, 2, 4, 6)),
        ({"rotate90": True}, (0, 1, 2, 3)),
    ],
)
def test_symmetries_occur_equally_often_and_move_image_and_label_alike(options, members):
    count, label_HW = 4096, np.arange(16, dtype=np.uint8).reshape(4, 4)
    # Turns by 0 to 3 quarters, then the same of the image mirrored.
    symmetries = [np.rot90(x, k) for x in (label_HW, label_HW[::-1]) for k in range(4)]
    label_BHW = np.repeat(label_HW[None], count, axis=0)
    out_BHWC, out_BHW = drawn(label_BHW[..., None].astype(np.float32), label_BHW, **options)
    np.testing.assert_array_equal(out_BHWC[..., 0], out_BHW)
    counts = [int((out_BHW == one).all(axis=(1, 2)).sum()) for one in symmetries]
    assert sum(counts) == count
    share = 1 / len(members)
    slack = 5 * np.sqrt(count * share * (1 - share))
    for member in range(8):
        expected = count * share if member in members else 0
        assert abs(counts[member] - expected) <= (slack if expected else 0), counts


def spread_within(values, low, high):
    """Uniform draws stay within their bounds and come near to them."""
    assert low - 1e-3 <= min(values)
    assert max(values) <= high + 1e-3
    assert max(values) - min(values) >= 0.85 * (high - low)


def test_brightness_shifts_a_whole_example():
    image_BHWC, label_BHW = noisy()
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, brightness=0.5)
    shift_BHWC = out_BHWC - image_BHWC
    shift_B = shift_BHWC.mean(axis=(1, 2, 3))
    assert np.ptp(shift_BHWC, axis=(1, 2, 3)).max() < 1e-6
    spread_within(shift_B, -0.5, 0.5)
    np.testing.assert_array_equal(out_BHW, label_BHW)


def test_contrast_scales_about_the_mean():
    image_BHWC, label_BHW = noisy()
    out_BHWC, out_BHW = drawn(image_BHWC + 7, label_BHW, contrast=0.4)
    axes = (1, 2, 3)
    np.testing.assert_allclose(out_BHWC.mean(axes), image_BHWC.mean(axes) + 7, atol=1e-4)
    spread_within(out_BHWC.std(axes) / image_BHWC.std(axes), 0.6, 1.4)
    assert np.corrcoef(out_BHWC[0].ravel(), image_BHWC[0].ravel())[0, 1] > 1 - 1e-6
    np.testing.assert_array_equal(out_BHW, label_BHW)


def test_gamma_keeps_extremes_and_draws_exponents_about_one():
    image_BHWC, label_BHW = noisy()
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, gamma=0.5)
    exponents = []
    for before_HWC, after_HWC in zip(image_BHWC, out_BHWC, strict=True):
        low, high = before_HWC.min(), before_HWC.max()
        assert after_HWC.min() == pytest.approx(low, abs=1e-5)
        assert after_HWC.max() == pytest.approx(high, abs=1e-5)
        before, after = ((x - low) / (high - low) for x in (before_HWC, after_HWC))
        inner = (before > 0.1) & (before < 0.9)
        exponent = np.log(after[inner]) / np.log(before[inner])
        np.testing.assert_allclose(exponent, exponent.mean(), atol=1e-3)
        exponents.append(np.log(exponent.mean()))
    spread_within(exponents, -np.log(1.5), np.log(1.5))
    np.testing.assert_array_equal(out_BHW, label_BHW)


@pytest.mark.parametrize("option", ["gamma", "contrast", "blur"])
def test_a_flat_image_stays_as_it_is(option):
    image_BHWC, label_BHW = noisy()
    out_BHWC, _ = drawn(np.full_like(image_BHWC, 0.7), label_BHW, 0, **{option: 0.5})
    np.testing.assert_allclose(out_BHWC, 0.7, atol=1e-5)


def test_noise_is_white_and_of_the_drawn_strength():
    image_BHWC, label_BHW = noisy()
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, noise=0.3)
    added_BHWC = out_BHWC - image_BHWC
    sigma_B = added_BHWC.std(axis=(1, 2, 3))
    spread_within(sigma_B * 0.95, 0, 0.3)
    white_BHW = (added_BHWC / sigma_B[:, None, None, None])[..., 0]
    assert abs(white_BHW.mean()) < 0.02
    assert abs((white_BHW[:, 1:] * white_BHW[:, :-1]).mean()) < 0.02
    assert (white_BHW**4).mean() == pytest.approx(3, abs=0.1)  # As of a Gaussian.
    assert abs((white_BHW[1:] * white_BHW[:-1]).mean()) < 0.02  # Each example its own.
    np.testing.assert_array_equal(out_BHW, label_BHW)


def added(options, batch=64):
    """What an augmentation adds to images, (B, H, W), the same in both planes."""
    image_BHWC, label_BHW = noisy(batch, channels=2)
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, **options)
    np.testing.assert_array_equal(out_BHW, label_BHW)
    added_BHWC = out_BHWC - image_BHWC
    np.testing.assert_allclose(added_BHWC[..., 0], added_BHWC[..., 1], atol=1e-5)
    return added_BHWC[..., 0]


def test_a_ramp_is_linear_and_rises_by_what_was_drawn():
    added_BHW = added({"ramp": 0.8})
    spread_within(np.ptp(added_BHW, axis=(1, 2)), 0, 0.8)
    for axis in (1, 2):
        np.testing.assert_allclose(np.diff(added_BHW, 2, axis), 0, atol=1e-5)
    # In all directions: from side to side and from top to bottom, either way.
    for slope_B in (
        added_BHW[:, 16, -1] - added_BHW[:, 16, 0],
        added_BHW[:, -1, 16] - added_BHW[:, 0, 16],
    ):
        assert 0.25 < (slope_B > 0).mean() < 0.75


def test_cupping_is_quadratic_up_or_down_and_leaves_the_edges():
    added_BHW = added({"cupping": 0.4})
    spread_within(added_BHW[:, 15:17, 15:17].mean(axis=(1, 2)), -0.4, 0.4)
    np.testing.assert_allclose(added_BHW[:, 15:17, [0, -1]], 0, atol=0.03)
    np.testing.assert_allclose(np.diff(added_BHW, 3, axis=1), 0, atol=1e-5)


def test_rings_are_arcs_of_the_drawn_strength():
    added_BHW = added({"rings": 0.5}, batch=256)
    sigma_B = added_BHW.std(axis=(1, 2))
    assert 0.12 < sigma_B.mean() < 0.25  # Half of the largest; few rings in a crop vary less.
    for added_HW in added_BHW[:16]:
        # An arc has one value: far fewer than pixels.
        assert len(np.unique(added_HW.round(4))) <= np.hypot(SIZE, SIZE) + 2


def test_coloured_noise_has_the_drawn_strength_and_each_plane_its_own():
    image_BHWC, label_BHW = noisy(channels=2)
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, coloured_noise=0.3)
    added_BHWC = out_BHWC - image_BHWC
    spread_within(added_BHWC.std(axis=(1, 2, 3)) * 0.95, 0, 0.3)
    planes = np.moveaxis(added_BHWC, -1, 0).reshape(2, -1)
    assert abs(np.corrcoef(planes)[0, 1]) < 0.05
    np.testing.assert_array_equal(out_BHW, label_BHW)


STRONG = {
    "brightness": 1.0, "contrast": 0.5, "gamma": 0.5, "ramp": 1.0, "cupping": 1.0, "rings": 1.0,
    "noise": 1.0, "coloured_noise": 1.0, "blur": 2.0, "scale": 0.5, "rotation": 90.0,
}  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{"noise": 2.0}, {"coloured_noise": 2.0}, {"rings": 1.0}, {"noise": 1.0, "rings": 1.0}],
)
def test_noise_weakens_the_rest_where_an_image_is_normalised_by_its_own_spread(options):
    image_BHWC, label_BHW = noisy(256, size=64)
    image_BHWC /= image_BHWC.std(axis=(1, 2), keepdims=True)
    worse_BHWC, _ = drawn(image_BHWC, label_BHW, own_spread=True, **options)
    plain_BHWC, _ = drawn(image_BHWC, label_BHW, **options)
    # As the scan that has such noise will be normalised: about 1, whatever was drawn.
    assert np.mean(worse_BHWC.std(axis=(1, 2))) == pytest.approx(1, abs=0.03)
    assert np.mean(plain_BHWC.std(axis=(1, 2))) > 1.1
    # It is the same image but for its scale.
    one_B = np.sum(worse_BHWC * plain_BHWC, axis=(1, 2, 3)) / np.sum(plain_BHWC**2, axis=(1, 2, 3))
    np.testing.assert_allclose(worse_BHWC, one_B[:, None, None, None] * plain_BHWC, atol=1e-4)
    still_BHWC, _ = drawn(image_BHWC, label_BHW, own_spread=True, chance=0.0, **options)
    # XLA may round a factor of 1 differently in what it fuses.
    np.testing.assert_allclose(still_BHWC, image_BHWC, atol=1e-5)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_examples_that_chance_leaves_out_are_clean_to_the_bit(name):
    image_BHWC, label_BHW = noisy(256)
    out_BHWC, _ = drawn(image_BHWC, label_BHW, chance=0.25, **{name: STRONG[name]})
    # XLA may round a factor of 1 differently in what it fuses.
    clean_B = np.abs(out_BHWC - image_BHWC).max(axis=(1, 2, 3)) < 1e-5
    assert abs(clean_B.mean() - 0.75) < 5 * np.sqrt(0.25 * 0.75 / 256)


def test_chances_are_independent_of_each_other():
    image_BHWC, label_BHW = noisy(1024, size=16)
    options = {"chance": 0.5, "ramp": 1.0, "noise": 1e-3}
    added_BHW = (drawn(image_BHWC, label_BHW, **options)[0] - image_BHWC)[..., 0]
    ramp_B = np.ptp(added_BHW, axis=(1, 2)) > 0.02
    noise_B = np.abs(np.diff(added_BHW, 2, axis=1)).max(axis=(1, 2)) > 1e-5
    for ramp in (ramp_B, ~ramp_B):
        for noise in (noise_B, ~noise_B):
            assert abs((ramp & noise).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 1024) + 0.02


def test_blur_equals_scipy_to_the_border():
    # An impulse in the first channel tells the sigma that the second was blurred with.
    image_BHWC, label_BHW = noisy(channels=2)
    image_BHWC[..., 0] = (Y_HW == 16) & (X_HW == 16)
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, blur=2.0)
    ratio_B = out_BHWC[:, 16, 17, 0] / out_BHWC[:, 16, 16, 0]
    sigma_B = np.sqrt(-0.5 / np.log(np.maximum(ratio_B, 1e-30)))
    spread_within(sigma_B, 0, 2)
    for sigma, before_HWC, after_HWC in zip(sigma_B, image_BHWC, out_BHWC, strict=True):
        expected_HW = gaussian_filter(before_HWC[..., 1], sigma, radius=8, mode="reflect")
        np.testing.assert_allclose(after_HWC[..., 1], expected_HW, atol=1e-4)
    np.testing.assert_array_equal(out_BHW, label_BHW)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    "options", [{"scale": 0.3}, {"rotation": 30.0}, {"scale": 0.3, "rotation": 180.0}]
)
def test_zoom_and_rotation_sample_image_and_label_at_one_place(options, axis):
    # The image is the coordinate itself, so that its values say where they came from.
    batch = 64
    image_HWC = np.stack([Y_HW, X_HW], axis=-1).astype(np.float32)
    image_BHWC = np.repeat(image_HWC[None], batch, axis=0)
    label_BHW = image_BHWC[..., axis].astype(np.uint8)
    out_BHWC, out_BHW = drawn(image_BHWC, label_BHW, **options)

    # Slopes at the centre, where no source is outside: (y, x) of the source by y of the target.
    cos_B, sin_B = np.moveaxis(out_BHWC[:, 18, 16] - out_BHWC[:, 13, 16], -1, 0) / 5
    zoom_B, angle_B = 1 / np.hypot(cos_B, sin_B), np.degrees(np.arctan2(sin_B, cos_B))
    scale, rotation = options.get("scale", 0), options.get("rotation", 0)
    spread_within(zoom_B, 1 - scale, 1 + scale)
    spread_within(angle_B, -rotation, rotation)

    y_HW, x_HW = Y_HW - MIDDLE, X_HW - MIDDLE
    for cos, sin, out_HWC, out_HW in zip(cos_B, sin_B, out_BHWC, out_BHW, strict=True):
        source = np.stack([cos * y_HW - sin * x_HW, sin * y_HW + cos * x_HW], axis=-1) + MIDDLE
        edge = np.maximum(-0.5 - source, source - (SIZE - 0.5)).max(axis=-1)
        np.testing.assert_array_equal(out_HW[edge > 1e-3], 255)
        assert (out_HW[edge < -1e-3] < SIZE).all()
        inside = (source > 0).all(axis=-1) & (source < SIZE - 1).all(axis=-1)
        np.testing.assert_allclose(out_HWC[inside], source[inside], atol=1e-3)
        assert (np.abs(out_HW - source[..., axis])[inside] < 0.501).all()


def test_a_key_fixes_its_example_whatever_the_batch():
    options = {"flip": "both", "rotate90": True, "noise": 0.5, "brightness": 1.0}
    image_BHWC, label_BHW = noisy(batch=1)
    image_BHWC, label_BHW = (np.repeat(x, 8, axis=0) for x in (image_BHWC, label_BHW))
    first, again, other = (drawn(image_BHWC, label_BHW, seed, **options) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (np.abs(first[0] - other[0]).max(axis=(1, 2, 3)) > 0.01).all()
    pairs = [(i, j) for i in range(8) for j in range(i)]
    assert all(np.abs(first[0][i] - first[0][j]).max() > 0.01 for i, j in pairs)

    key_B = jax.random.split(jax.random.key(1), 8)[2:5]
    part = compiled(**options)(key_B, image_BHWC[2:5], label_BHW[2:5])
    np.testing.assert_allclose(part[0], first[0][2:5], atol=1e-5)
    np.testing.assert_array_equal(part[1], first[1][2:5])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "flip",
            "up",
            r"^config\.augment\.flip='up': choose one of none, horizontal, vertical, both$",
        ),
        ("chance", 1.5, r"^config\.augment\.chance=1\.5: must be within 0 and 1\.0$"),
        ("noise", -0.1, r"^config\.augment\.noise=-0\.1: must be within 0 and inf$"),
        ("contrast", 0.95, r"^config\.augment\.contrast=0\.95: must be within 0 and 0\.9$"),
        ("scale", 1.0, r"^config\.augment\.scale=1\.0: must be within 0 and 0\.9$"),
        ("blur", 4.5, r"^config\.augment\.blur=4\.5: must be within 0 and 4\.0$"),
        ("gamma", float("nan"), r"^config\.augment\.gamma=nan: must be within"),
    ],
)
def test_check_augment_names_the_field(field, value, message):
    check_augment(**OFF | {"flip": "both", "contrast": 0.9, "scale": 0.9, "blur": 4.0})
    with pytest.raises(InputError, match=message):
        check_augment(**OFF | {field: value})
