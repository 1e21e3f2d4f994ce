import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xseg_jax.model import artefacts

pytestmark = pytest.mark.rounding

CENTRE = jnp.array([3.0, -5.0])
# Each as a function of a key, an image and a strength of which `NOTHING` says which means nothing.
ALL = {
    "white_noise": artefacts.white_noise,
    "coloured_noise": lambda key, x, s: artefacts.coloured_noise(key, x, s, 0.5),
    "rings": lambda key, x, s: artefacts.rings(key, x, s, CENTRE, 2.5),
    "streaks": artefacts.streaks,
    "blur": lambda key, x, s: artefacts.blur(x, s),
    "offset": lambda key, x, s: artefacts.offset(x, s),
    "gain": lambda key, x, s: artefacts.gain(x, s, -3.0),
    "contrast": lambda key, x, s: artefacts.contrast(x, s),
    "gamma": lambda key, x, s: artefacts.gamma(x, s, x.min(), x.max()),
    "ramp": artefacts.ramp,
    "cupping": lambda key, x, s: artefacts.cupping(x, s, CENTRE, 40.0),
}
NOTHING = {"gain": 1.0, "contrast": 1.0, "gamma": 1.0}
RANDOM = ("white_noise", "coloured_noise", "rings", "streaks", "ramp")
NOISES = ("white_noise", "coloured_noise")


@functools.cache
def compiled(name):
    return jax.jit(jax.vmap(ALL[name], in_axes=(0, None, None)))


def made(name, image_HWC, strength, keys=1, seed=0):
    key_B = jax.random.split(jax.random.key(seed), keys)
    return np.asarray(compiled(name)(key_B, image_HWC, strength))


def image_of(height=64, width=49, channels=1):
    rng = np.random.default_rng(0)
    return rng.standard_normal((height, width, channels)).astype(np.float32)


def flat(height=64, width=49, channels=1):
    return np.zeros((height, width, channels), np.float32)


@pytest.mark.parametrize("name", ALL)
def test_a_strength_that_means_nothing_gives_the_image_back(name):
    image_HWC = image_of(channels=3)
    out_HWC = made(name, image_HWC, NOTHING.get(name, 0.0))[0]
    assert out_HWC.dtype == np.float32
    if name in NOTHING:
        np.testing.assert_allclose(out_HWC, image_HWC, atol=2e-6)
    else:
        np.testing.assert_array_equal(out_HWC, image_HWC)
    assert np.abs(made(name, image_HWC, 0.5)[0] - image_HWC).max() > 0.05


@pytest.mark.parametrize("name", RANDOM)
def test_a_key_fixes_the_image_and_another_gives_another(name):
    first, again, other = (made(name, image_of(), 0.5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05


@pytest.mark.parametrize("name", ALL)
def test_planes_share_geometry_and_noise_is_their_own(name):
    image_HWC = np.repeat(image_of(), 3, axis=2)
    out_HWC = made(name, image_HWC, 0.5)[0]
    if name in NOISES:
        added_HWC = out_HWC - image_HWC
        assert abs(np.corrcoef(added_HWC.reshape(-1, 3).T)[np.triu_indices(3, 1)]).max() < 0.08
    else:
        np.testing.assert_array_equal(out_HWC, np.repeat(out_HWC[..., :1], 3, axis=2))


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("size", [(64, 49), (49, 64)])
def test_noise_has_the_spread_asked_for(sigma, size):
    key_B = jax.random.split(jax.random.key(0), 64)
    noise = jax.vmap(artefacts.coloured_noise, in_axes=(0, None, None, None))
    coloured_BHWC = np.asarray(noise(key_B, flat(*size), 0.3, sigma))
    for noise_BHWC in (coloured_BHWC, made("white_noise", flat(*size), 0.3, keys=64)):
        assert noise_BHWC.std() == pytest.approx(0.3, rel=0.03)
        # As large in each row and column.
        for axes in ((0, 1, 3), (0, 2, 3)):
            np.testing.assert_allclose(noise_BHWC.std(axis=axes), 0.3, rtol=0.06)
    np.testing.assert_allclose(coloured_BHWC.mean(axis=(1, 2, 3)), 0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_power_of_coloured_noise_is_a_ramp_times_a_gaussian(sigma):
    key_B = jax.random.split(jax.random.key(0), 200)
    noise = jax.vmap(artefacts.coloured_noise, in_axes=(0, None, None, None))
    noise_BHW = np.asarray(noise(key_B, flat(64, 64), 1.0, sigma))[..., 0]
    power_HW = (np.abs(np.fft.fft2(noise_BHW)) ** 2).mean(axis=0)
    f_N = np.fft.fftfreq(64)
    radius_HW = np.hypot(f_N[:, None], f_N)
    edges = np.linspace(0.05, 0.45, 9)
    bins = [(radius_HW >= low) & (radius_HW < low + 0.05) for low in edges[:-1]]
    f_R = np.array([radius_HW[one].mean() for one in bins])
    power_R = np.array([power_HW[one].mean() for one in bins])
    slope, _ = np.polyfit(np.log(f_R), np.log(power_R) + 4 * np.pi**2 * sigma**2 * f_R**2, 1)
    assert slope == pytest.approx(1, abs=0.05)
    assert power_HW[radius_HW > 0.51].max() < 1e-6 * power_R.max()
    # The same in all directions, along the axes of the spectrum too.
    ring_HW = (radius_HW > 0.2) & (radius_HW < 0.3)
    for along in (radius_HW == np.abs(f_N), radius_HW == np.abs(f_N[:, None])):
        assert power_HW[ring_HW & along].mean() == pytest.approx(power_HW[ring_HW].mean(), rel=0.1)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (3.0, -5.0), (-90.0, 200.0)])
def test_rings_are_constant_along_circles_and_of_the_spread_asked_for(centre):
    key_B = jax.random.split(jax.random.key(0), 50)
    rings = jax.vmap(artefacts.rings, in_axes=(0, None, None, None, None))
    out_BHW = np.asarray(rings(key_B, flat(64, 49), 0.4, jnp.array(centre), 2.5))[..., 0]
    y_H, x_W = np.arange(64) - 31.5 - centre[0], np.arange(49) - 24 - centre[1]
    place_HW = np.hypot(y_H[:, None], x_W) / 2.5
    # Rounding decides of pixels that lie between two rings.
    ring_HW = np.where(np.abs(place_HW - np.rint(place_HW)) < 1e-3, -1, place_HW.astype(int))
    values = np.setdiff1d(ring_HW, [-1])
    assert np.ptp(values) + 1 == len(values) > 10
    for ring in values:
        assert np.ptp(out_BHW[:, ring_HW == ring], axis=1).max() == 0
    of_rings = np.stack([out_BHW[:, ring_HW == ring][:, 0] for ring in values])
    assert of_rings.std() == pytest.approx(0.4, rel=0.05)
    assert abs(np.corrcoef(of_rings[:-1].ravel(), of_rings[1:].ravel())[0, 1]) < 0.1
    assert all(len(np.unique(one_HW)) == len(values) for one_HW in out_BHW)


def test_a_streak_is_a_straight_line_through_a_bright_pixel(monkeypatch):
    monkeypatch.setattr(artefacts, "STREAKS", 1)
    image_HWC = flat(96, 80)
    image_HWC[30:50, 20:40] = 5.0  # A twentieth of the image.
    key_B = jax.random.split(jax.random.key(0), 100)
    one_streak = jax.jit(jax.vmap(artefacts.streaks, in_axes=(0, None, None)))
    peaks, hits = [], 0
    for added_HWC in np.asarray(one_streak(key_B, image_HWC, 0.5)) - image_HWC:
        added_HW = added_HWC[..., 0]
        place_N2 = np.argwhere(np.abs(added_HW) > 1e-4)
        _, _, axes_22 = np.linalg.svd(place_N2 - place_N2.mean(axis=0), full_matrices=False)
        across_N = (place_N2 - place_N2.mean(axis=0)) @ axes_22[1]
        assert np.abs(across_N).max() < artefacts.STREAK_WIDTHS[1] + 1
        assert len(place_N2) > 60  # From edge to edge, but where it cuts a corner.
        assert (added_HW >= 0).all() or (added_HW <= 0).all()
        # Smooth: no step between neighbours is most of the line's height.
        assert np.abs(np.diff(added_HW, axis=0)).max() < 0.75 * np.abs(added_HW).max()
        peaks.append(added_HW.flat[np.abs(added_HW).argmax()])
        hits += bool(np.abs(added_HW[30:50, 20:40]).max() > 0.9 * abs(peaks[-1]))
    assert max(np.abs(peaks)) <= 0.5
    assert min(peaks) < -0.2
    assert max(peaks) > 0.2
    assert hits > 57  # By chance it were 40, so that 74 are expected.


def test_streaks_add_up():
    added_BHWC = made("streaks", flat(64, 64), 0.5, keys=200)
    assert np.abs(added_BHWC).max() < 0.5 * artefacts.STREAKS
    assert abs(added_BHWC.mean()) < 0.01
    # Eight lines, each a tenth of the image.
    assert (np.abs(added_BHWC) > 1e-4).mean() == pytest.approx(1 - 0.9**8, abs=0.05)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 4.0])
def test_blur_equals_scipy_to_the_border(sigma):
    image_HWC = image_of(40, 23, channels=2)
    expected = [gaussian_filter(image_HWC[..., c], sigma, mode="reflect") for c in (0, 1)]
    out_HWC = made("blur", image_HWC, sigma)[0]
    np.testing.assert_allclose(out_HWC, np.stack(expected, axis=-1), atol=2e-4)


def test_gain_multiplies_grey_values_as_they_were_measured():
    grey_HWC = 1000 + 50 * image_of()
    zero = -1000 / 50
    out_HWC = artefacts.gain(jnp.asarray((grey_HWC - 1000) / 50), 0.9, zero)
    np.testing.assert_allclose(1000 + 50 * np.asarray(out_HWC), 0.9 * grey_HWC, rtol=1e-5)


def test_contrast_is_about_the_mean_and_offset_shifts_all():
    image_HWC = image_of() + 7
    lower_HWC = made("contrast", image_HWC, 0.6)[0]
    assert lower_HWC.mean() == pytest.approx(image_HWC.mean(), abs=1e-4)
    assert lower_HWC.std() == pytest.approx(0.6 * image_HWC.std(), rel=1e-4)
    np.testing.assert_array_equal(made("offset", image_HWC, 0.3)[0], image_HWC + np.float32(0.3))


def test_gamma_keeps_its_ends_and_what_is_below():
    values = jnp.array([-5.0, -1.0, 0.0, 1.0, 3.0, 7.0]).reshape(2, 3, 1)
    out = np.asarray(artefacts.gamma(values, 2.0, -1.0, 3.0)).ravel()
    np.testing.assert_allclose(out, [-5, -1, -0.75, 0, 3, 15], atol=1e-5)


def test_a_ramp_is_linear_and_as_high_as_asked_for():
    added_BHW = made("ramp", flat(), 0.8, keys=60)[..., 0]
    np.testing.assert_allclose(np.ptp(added_BHW, axis=(1, 2)), 0.8, rtol=1e-5)
    np.testing.assert_allclose(np.diff(added_BHW, n=2, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.diff(added_BHW, n=2, axis=2), 0, atol=1e-6)
    np.testing.assert_allclose(added_BHW[:, ::-1, ::-1], -added_BHW, atol=1e-6)
    angle_B = np.arctan2(np.diff(added_BHW, axis=1)[:, 0, 0], np.diff(added_BHW, axis=2)[:, 0, 0])
    assert np.histogram(angle_B, 4, (-np.pi, np.pi))[0].min() > 5


def test_cupping_is_a_quadratic_of_the_radius():
    added_HW = np.asarray(artefacts.cupping(jnp.asarray(flat(65, 49)), 0.5, CENTRE, 20.0))[..., 0]
    assert added_HW[35, 19] == pytest.approx(-0.5)
    assert added_HW[35, 39] == pytest.approx(0, abs=1e-6)
    assert added_HW[35 - 10, 19] == pytest.approx(-0.5 * 3 / 4)
    brighter_HW = np.asarray(artefacts.cupping(jnp.asarray(flat(65, 49)), -0.5, CENTRE, 20.0))
    np.testing.assert_allclose(brighter_HW[..., 0], -added_HW, atol=1e-6)
