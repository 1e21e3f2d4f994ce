"""The simulated tomogram against closed forms: chords, counts, fractions, correlations."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from skimage.transform import radon

from xseg_jax.data import phantom

pytestmark = pytest.mark.rounding

SMALL = {
    "size": 32,
    "depth": 12,
    "z_step": 3,
    "fractions": (0.3, 0.42, 0.28),
    "correlation_length": 4.0,
    "attenuation": (0.004, 0.028, 0.044),
    "texture": 0.05,
    "photons": 5000.0,
    "ring_strength": 0.005,
    "beam_hardening": 0.15,
    "projections": 48,
    "seed": 0,
}
PERFECT = {"texture": 0.0, "photons": 1e12, "ring_strength": 0.0, "beam_hardening": 0.0}


def angles(count):
    return np.arange(count) * np.pi / count


def blobs(size, seed=0, sigma=2.5):
    """Smooth bumps well inside the inscribed circle, size x size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius, turn = rng.uniform(0, size / 2 - 4 * sigma, 4), rng.uniform(0, 2 * np.pi, 4)
    image = np.zeros((size, size))
    for i in range(4):
        dx, dy = radius[i] * np.cos(turn[i]), radius[i] * np.sin(turn[i])
        image += (i + 1) * np.exp(-((x - dx) ** 2 + (y - dy) ** 2) / (2 * sigma**2))
    return image * (np.hypot(x, y) < size / 2 - 1)


def disc(size, radius, x0=0.0, y0=0.0, oversampling=8):
    """A disc at (x0 right, y0 up) of the middle, antialiased: each pixel is its covered area."""
    fine = (np.arange(size * oversampling) + 0.5) / oversampling - size / 2
    inside = (fine - x0) ** 2 + (-fine[:, None] - y0) ** 2 <= radius**2
    return inside.reshape(size, oversampling, size, oversampling).mean((1, 3))


def volume(**changes):
    z, images, labels = zip(*phantom.tomogram(**(SMALL | changes)), strict=True)
    return z, np.stack(images), np.stack(labels)


def detect_flat(*, line=0.0, views, columns, **changes):
    """What the detector makes of one slice whose line integrals are all `line`."""
    exact = np.full((1, views, columns), line, np.float32)
    arguments = {"photons": 1e12, "ring_strength": 0.0, "beam_hardening": 0.0, "seed": 0}
    return phantom.detect(exact, z_D=[0], **(arguments | changes))[0]


# Structure


def test_fractions_hold_on_the_volume():
    fractions = (0.1, 0.2, 0.3, 0.4)
    label = phantom.microstructure(
        depth=20, size=48, fractions=fractions, correlation_length=3.0, seed=0
    )
    assert label.dtype == np.uint8
    np.testing.assert_allclose(np.bincount(label.ravel()) / label.size, fractions, atol=1e-4)


def test_chords_have_the_length_of_a_cut_gaussian_field():
    # Rice's formula: a level u is crossed exp(-u²/2)/(pi L) times a pixel, twice a chord;
    # at a fraction of a half u is 0, so a mean chord is 0.5 * 2 pi L.
    label = phantom.microstructure(
        depth=96, size=128, fractions=(0.5, 0.5), correlation_length=5.0, seed=0
    )
    for axis in range(3):
        entries = np.diff(label.astype(int), axis=axis) == 1
        chord = label.mean() / entries.mean()
        assert chord == pytest.approx(math.pi * 5, rel=0.05)


def test_slices_are_continuous_near_and_independent_far():
    label = phantom.microstructure(
        depth=120, size=160, fractions=SMALL["fractions"], correlation_length=7.0, seed=0
    )

    def agreement(distance):
        return (label[distance:] == label[:-distance]).mean()

    chance = sum(f**2 for f in SMALL["fractions"])
    assert agreement(1) > 0.9
    assert agreement(10) == pytest.approx(0.47, abs=0.03)
    assert agreement(50) == pytest.approx(chance, abs=0.02)
    # The Fourier transform that drew the fields is periodic; the volume must not be.
    assert agreement(119) == pytest.approx(chance, abs=0.05)


def test_attenuation_has_the_mean_and_the_spread_of_its_phase():
    label = np.zeros((40, 64, 64), np.uint8)
    label[:, 32:] = 1
    arguments = {"texture": 0.1, "correlation_length": 2.0, "seed": 0}
    mu = phantom.attenuate(label, attenuation=(0.01, 0.03), **arguments)
    assert mu.dtype == np.float32
    for k, mean in enumerate((0.01, 0.03)):
        assert mu[label == k].mean() == pytest.approx(mean, rel=0.01)
        assert mu[label == k].std() == pytest.approx(0.1 * mean, rel=0.05)


# Projection and reconstruction


@pytest.mark.parametrize("size", [80, 81])
def test_projection_of_a_disc_is_its_chord(size):
    radius, x0, y0 = 22.3, 7.0, -5.0
    theta = angles(16)
    sinogram = np.asarray(project_one(disc(size, radius, x0, y0), theta))
    s = np.arange(size) - (size - 1) / 2
    off = s - (x0 * np.cos(theta) + y0 * np.sin(theta))[:, None]
    chord = 2 * np.sqrt(np.maximum(radius**2 - off**2, 0))
    inner = np.abs(off) < 0.9 * radius
    # Pixels are squares, not points: half a pixel on a chord of up to 45, less on average.
    assert np.abs(sinogram - chord)[inner].max() < 0.6
    assert np.abs(sinogram - chord)[inner].mean() < 0.15
    assert np.abs(sinogram[np.abs(off) > radius + 1.5]).max() < 1e-5


def project_one(image, theta):
    return phantom.project(image[None].astype(np.float32), theta)[0]


def test_projection_agrees_with_skimage():
    # An odd size, where the two put the axis at the same place.
    image, theta = blobs(65, sigma=4.0), angles(23)
    expected = radon(image, np.degrees(theta), circle=True).T
    sinogram = np.asarray(project_one(image, theta))
    assert sinogram.dtype == np.float32
    assert sinogram.shape == (23, 65)
    assert np.abs(sinogram - expected).max() < 0.01 * expected.max()


@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
@hypothesis.given(
    size=strategies.integers(32, 48), turn=strategies.floats(-7, 7), seed=strategies.integers(0, 99)
)
def test_every_projection_has_the_mass_of_the_slice(size, turn, seed):
    image = blobs(size, seed)
    sinogram = np.asarray(project_one(image, np.array([turn])))
    assert sinogram.sum() == pytest.approx(image.sum(), rel=2e-3)


def test_reconstruction_undoes_projection():
    image, theta = blobs(64, sigma=4.0), angles(120)
    sinogram = phantom.project(np.stack([image, 2 * image]).astype(np.float32), theta)
    whole = np.asarray(phantom.reconstruct(sinogram, theta, size=64))
    assert whole.dtype == np.float32
    y, x = np.mgrid[:64, :64] - 31.5
    # Two linear interpolations, of the ray and of the filtered view, blur a peak by 2 %.
    error = np.abs(whole[0] - image)[x**2 + y**2 < 30**2]
    assert error.max() < 0.03 * image.max()
    assert error.mean() < 0.003 * image.max()
    np.testing.assert_allclose(whole[1], 2 * whole[0], atol=1e-5)
    crop = np.asarray(phantom.reconstruct(sinogram, theta, size=20))
    np.testing.assert_allclose(crop, whole[:, 22:-22, 22:-22], atol=1e-5)


def test_reconstruction_keeps_the_grey_value_of_a_disc():
    sinogram = phantom.project(0.02 * disc(96, 40)[None].astype(np.float32), angles(160))
    image = np.asarray(phantom.reconstruct(sinogram, angles(160), size=48))
    np.testing.assert_allclose(image.mean(), 0.02, rtol=5e-3)


@pytest.mark.parametrize("size", [41, 65, 66])
def test_a_square_off_the_detector_pixels_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}; it must be at most the 64 detector"):
        phantom.reconstruct(np.zeros((1, 4, 64), np.float32), angles(4), size=size)


# Detector


def test_noise_is_that_of_counted_photons():
    # To first order the variance of -log(counts) is 1/counts.
    measured = detect_flat(line=1.0, views=300, columns=200, photons=20000.0)
    assert measured.var() == pytest.approx(math.e / 20000, rel=0.03)
    assert measured.mean() == pytest.approx(1.0, abs=1e-3)


def test_a_pixel_that_counts_nothing_stays_finite():
    measured = detect_flat(line=50.0, views=4, columns=5, photons=100.0)
    np.testing.assert_allclose(measured, math.log(200), rtol=1e-6)


def test_gain_is_fixed_over_the_angles_and_differs_by_pixel_and_slice():
    exact = np.zeros((2, 100, 2000), np.float32)
    measured = phantom.detect(
        exact, z_D=[4, 5], photons=1e8, ring_strength=0.02, beam_hardening=0.0, seed=0
    )
    gain_ZS = measured.mean(1)
    assert gain_ZS.std(1) == pytest.approx([0.02, 0.02], rel=0.06)
    # What is left after the mean over angles is counting noise alone.
    assert (measured - gain_ZS[:, None]).std() == pytest.approx(1e-4, rel=0.05)
    assert abs(np.corrcoef(gain_ZS)[0, 1]) < 0.1


def test_noise_depends_on_the_slice_number_and_not_on_its_company():
    exact = np.ones((3, 10, 20), np.float32)
    arguments = {"photons": 100.0, "ring_strength": 0.01, "beam_hardening": 0.1, "seed": 0}
    together = phantom.detect(exact, z_D=[7, 8, 9], **arguments)
    alone = phantom.detect(exact[:1], z_D=[8], **arguments)
    np.testing.assert_array_equal(together[1], alone[0])
    assert np.any(together[0] != together[1])


def test_beam_hardening_follows_the_spectrum():
    measured = detect_flat(line=2.0, views=2, columns=3, beam_hardening=0.25)
    shares, energies = np.array([0.25, 0.5, 0.25]), np.array([0.75, 1, 1.25])
    expected = -np.log(np.sum(shares * np.exp(-2.0 / energies**3)))
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_beam_hardening_cups_a_uniform_disc():
    theta = angles(160)
    exact = np.asarray(phantom.project(0.04 * disc(96, 40)[None].astype(np.float32), theta))
    y, x = np.mgrid[:96, :96] - 47.5
    ratio = {}
    for hardening in (0.0, 0.3):
        measured = phantom.detect(
            exact, z_D=[0], photons=1e12, ring_strength=0.0, beam_hardening=hardening, seed=0
        )
        image = np.asarray(phantom.reconstruct(measured, theta, size=96))[0]
        radius = np.hypot(x, y)
        ratio[hardening] = image[radius < 10].mean() / image[(radius > 30) & (radius < 36)].mean()
    assert ratio[0.0] == pytest.approx(1.0, abs=0.01)
    assert 0.6 < ratio[0.3] < 0.92


# The whole chain


def test_every_z_step_th_slice_comes_with_its_label():
    z, images, labels = volume()
    assert z == (0, 3, 6, 9)
    assert (images.dtype, images.shape) == (np.uint16, (4, 32, 32))
    assert (labels.dtype, labels.shape) == (np.uint8, (4, 32, 32))
    assert set(np.unique(labels)) == {0, 1, 2}


def test_grey_is_an_affine_map_of_attenuation():
    _, images, labels = volume(**PERFECT, depth=8, size=48, correlation_length=12.0, projections=90)
    # The range of attenuations is the middle third of the grey values.
    low, middle, high = SMALL["attenuation"]
    expected = 65535 / 3 * (1 + (np.array([low, middle, high]) - low) / (high - low))
    means = [np.median(images[labels == k]) for k in range(3)]
    np.testing.assert_allclose(means, expected, atol=700)


def test_same_seed_same_bytes_and_another_seed_another_volume():
    first, again, other = volume(), volume(), volume(seed=1)
    for a, b, c in zip(first[1:], again[1:], other[1:], strict=True):
        assert a.tobytes() == b.tobytes()
        assert np.mean(a == c) < 0.6


def test_slices_do_not_depend_on_what_is_imaged_with_them(monkeypatch):
    _, images, labels = volume(z_step=1)
    _, every_third, their_labels = volume(z_step=3)
    np.testing.assert_array_equal(labels[::3], their_labels)
    # XLA may round a slice by its place among those it is reconstructed with: one grey value.
    np.testing.assert_allclose(images[::3].astype(int), every_third, rtol=0, atol=1)
    monkeypatch.setattr(phantom, "CHUNK", 5)
    np.testing.assert_allclose(volume(z_step=1)[1].astype(int), images, rtol=0, atol=1)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("size", 1, "size is 1; it must be at least 2 pixels"),
        ("depth", 0, "depth is 0; it must be at least 1 slice"),
        ("z_step", 0, "z_step is 0; it must be at least 1 slice"),
        ("fractions", (0.5, 0.4, 0.2), r"fractions is \(0.5, 0.4, 0.2\); .* that sum to 1"),
        ("fractions", (1.0,), "two or more positive numbers"),
        ("correlation_length", 0.0, "correlation_length is 0.0; it must be above 0"),
        ("attenuation", (0.1, 0.2), r"attenuation is \(0.1, 0.2\); .* as many classes"),
        ("attenuation", (0.1, 0.1, 0.1), "not all equal"),
        ("texture", 0.5, r"texture is 0.5; it must be in \[0, 0.3\)"),
        ("photons", 0.0, "photons is 0.0; it must be above 0 counts"),
        ("ring_strength", -0.1, "ring_strength is -0.1; it must be 0 or above"),
        ("beam_hardening", 1.0, r"beam_hardening is 1.0; it must be in \[0, 1\)"),
        ("projections", 0, "projections is 0; it must be at least 1 angle"),
        ("seed", -1, "seed is -1; it must be 0 or above"),
    ],
)
def test_a_bad_argument_is_named_before_any_work(argument, value, message):
    with pytest.raises(ValueError, match=message):
        phantom.tomogram(**(SMALL | {argument: value}))
