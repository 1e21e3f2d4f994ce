"""What X-ray imaging does to an image: one pure function each, for training and for tests.

Images are float32 (H, W, C), normalised to zero mean and unit spread; C are neighbouring planes.
Strengths are in units of that spread where nothing else is said, and may be traced: all functions
can be compiled and mapped over keys, images and strengths. A strength that means nothing, 0 or a
factor of 1, gives the image back to the bit (`gain` and `gamma` to within float32's rounding).
All planes share lines, circles and trends; noise is each plane's own.

Where they come from in tomography: Boas and Fleischmann 2012, Imaging in Medicine 4, 229-240.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

MOST_BLUR = 4.0
"""Largest standard deviation of a blur, in pixels."""
STREAKS = 8
CANDIDATES = 16
"""Pixels that one is chosen of for a streak: the brightest, for streaks come from what absorbs."""
STREAK_WIDTHS = 2.0, 5.0
"""Pixels from the middle of a streak to where it ends."""

Scalar = jax.Array | float


def white_noise(key: jax.Array, image_HWC: jax.Array, strength: Scalar) -> jax.Array:
    """Adds Gaussian noise of standard deviation `strength`, independent in each pixel and plane."""
    return image_HWC + strength * jax.random.normal(key, image_HWC.shape, image_HWC.dtype)


def coloured_noise(
    key: jax.Array, image_HWC: jax.Array, strength: Scalar, sigma: Scalar
) -> jax.Array:
    """Adds Gaussian noise with the spectrum that filtered back projection gives photon noise.

    Its power rises as the frequency, for the ramp filter squares to the square of it and back
    projection divides by it, up to the Nyquist frequency of a detector pixel as large as an image
    pixel; a smoothing filter damps high frequencies (Riederer, Pelc and Chesler 1978, Phys. Med.
    Biol. 23, 446-454). Of sigma 0 it is grainier than white noise, of 1 and more it is blotches.
    It continues periodically.

    Args:
      key: random key.
      image_HWC: float32, at least 3 pixels on each side.
      strength: standard deviation of the noise.
      sigma: standard deviation of the Gaussian that smooths it, in pixels.
    """
    height, width, _ = image_HWC.shape
    square_HF = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    square_HF = square_HF.astype(image_HWC.dtype)
    ramp_HF = np.where(square_HF <= 0.25, np.sqrt(square_HF), 0)
    power_HF = ramp_HF * jnp.exp(-4 * math.pi**2 * sigma**2 * square_HF)
    # Frequencies along x stand for two each, but for the first and the last of an even width.
    alone = [0, -1] if width % 2 == 0 else [0]
    count_F = np.full(square_HF.shape[1], 2, image_HWC.dtype)
    count_F[alone] = 1
    variance = (power_HF * count_F).sum() / 2
    # Drawn as a spectrum, for that takes one transform; where a frequency stands alone a real
    # number has to hold the power of a complex one.
    amplitude_HF = jnp.sqrt(power_HF / variance) * np.sqrt(2 / count_F) * (height * width / 2)
    real_HFC, imaginary_HFC = jax.random.normal(
        key, (2, *square_HF.shape, image_HWC.shape[2]), image_HWC.dtype
    )
    spectrum_HFC = jax.lax.complex(real_HFC, imaginary_HFC) * amplitude_HF[..., None]
    rows_HFC = jnp.fft.ifft(spectrum_HFC, axis=0)
    rows_HFC = rows_HFC.at[:, alone].set(rows_HFC[:, alone].real)
    noise_HWC = jnp.fft.irfft(rows_HFC, width, axis=1)
    return image_HWC + strength * noise_HWC.astype(image_HWC.dtype)


def rings(
    key: jax.Array,
    image_HWC: jax.Array,
    strength: Scalar,
    centre_2: jax.Array,
    width: Scalar,
) -> jax.Array:
    """Adds concentric rings, each of one value, as gain errors of detector pixels leave them.

    A detector pixel that is wrong at all angles is wrong along a circle about the axis of rotation
    (Sijbers and Postnov 2004, Phys. Med. Biol. 49, N247-N253).

    Args:
      key: random key.
      image_HWC: float32.
      strength: standard deviation of the rings' values, which are Gaussian and independent.
      centre_2: of the circles (y, x), in pixels from the middle of the image; it may lie outside,
        and then the image sees arcs.
      width: of a ring, in pixels, at least 1.
    """
    y_H1, x_1W = _from_middle(image_HWC)
    radius_HW = jnp.hypot(y_H1 - centre_2[0], x_1W - centre_2[1])
    # Radii in an image differ by its diagonal at most: no ring comes twice.
    count = math.ceil(math.hypot(*image_HWC.shape[:2])) + 2
    error_R = jax.random.normal(key, (count,), image_HWC.dtype)
    ring_HW = (radius_HW / width).astype(jnp.int32) % count
    return _add(image_HWC, strength * error_R[ring_HW])


def streaks(key: jax.Array, image_HWC: jax.Array, strength: Scalar) -> jax.Array:
    """Adds `STREAKS` straight lines through bright pixels, bright or dark, with smooth profiles.

    As what absorbs strongly leaves them, by beam hardening, scatter and lost photons (De Man et al.
    1999, IEEE Trans. Nucl. Sci. 46, 691-696).

    Args:
      key: random key.
      image_HWC: float32; the plane in the middle says what is bright.
      strength: largest height of a line's profile.
    """
    height, width, channels = image_HWC.shape
    dtype = image_HWC.dtype
    place_key, angle_key, width_key, height_key = jax.random.split(key, 4)
    place_SP = jax.random.randint(place_key, (STREAKS, CANDIDATES), 0, height * width)
    value_SP = image_HWC[..., channels // 2].ravel()[place_SP]
    place_S = jnp.take_along_axis(place_SP, value_SP.argmax(axis=1)[:, None], axis=1)[:, 0]
    angle_S = jax.random.uniform(angle_key, (STREAKS,), dtype, 0, math.pi)
    half_S = jax.random.uniform(width_key, (STREAKS,), dtype, *STREAK_WIDTHS)
    peak_S = jax.random.uniform(height_key, (STREAKS,), dtype, -1, 1)
    y_H1, x_1W = jnp.arange(height, dtype=dtype)[:, None], jnp.arange(width, dtype=dtype)
    sum_HW = jnp.zeros((height, width), dtype)
    for place, angle, half, peak in zip(place_S, angle_S, half_S, peak_S, strict=True):
        across_HW = (y_H1 - place // width) * jnp.cos(angle) - (x_1W - place % width) * jnp.sin(
            angle
        )
        sum_HW += peak * jnp.maximum(1 - (across_HW / half) ** 2, 0) ** 2
    return _add(image_HWC, strength * sum_HW)


def blur(image_HWC: jax.Array, sigma: Scalar, most: float = MOST_BLUR) -> jax.Array:
    """Convolves with a Gaussian; the image goes on as in a mirror at its edges.

    Args:
      image_HWC: float32.
      sigma: standard deviation in pixels.
      most: the largest that sigma may be; the Gaussian ends at 4 of it.
    """
    radius = math.ceil(4 * most)
    away_T = np.arange(-radius, radius + 1).astype(image_HWC.dtype)
    weight_T = jnp.exp(-0.5 * (away_T / jnp.maximum(sigma, 1e-3)) ** 2)
    weight_T = (weight_T / weight_T.sum()).astype(image_HWC.dtype)
    for axis in (0, 1):
        padding = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        padded = jnp.pad(image_HWC, padding, mode="symmetric")
        length = image_HWC.shape[axis]
        # On a CPU faster than a convolution, and than a product with a banded matrix.
        image_HWC = sum(
            (
                weight * jax.lax.slice_in_dim(padded, start, start + length, axis=axis)
                for start, weight in enumerate(weight_T)
            ),
            start=jnp.zeros_like(image_HWC),
        )
    return image_HWC


def offset(image_HWC: jax.Array, strength: Scalar) -> jax.Array:
    """Shifts all grey values by `strength`."""
    return image_HWC + strength


def gain(image_HWC: jax.Array, factor: Scalar, zero: Scalar) -> jax.Array:
    """Multiplies grey values.

    Args:
      image_HWC: float32.
      factor: that grey values as they were measured are multiplied by.
      zero: the normalised value of a measured grey value of 0.
    """
    return (image_HWC - zero) * factor + zero


def contrast(image_HWC: jax.Array, factor: Scalar) -> jax.Array:
    """Multiplies distances from the image's mean by `factor`."""
    return gain(image_HWC, factor, image_HWC.mean())


def gamma(image_HWC: jax.Array, exponent: Scalar, low: Scalar, high: Scalar) -> jax.Array:
    """Raises grey values to a power, on a scale on which `low` is 0 and `high` is 1.

    Values below `low` stay as they are.
    """
    span = jnp.maximum(high - low, 1e-6)
    unit_HWC = (image_HWC - low) / span
    below_HWC = jnp.minimum(unit_HWC, 0)
    return (jnp.maximum(unit_HWC, 0) ** exponent + below_HWC) * span + low


def ramp(key: jax.Array, image_HWC: jax.Array, strength: Scalar) -> jax.Array:
    """Adds a linear trend in a random direction, 0 in the middle; from end to end `strength`."""
    angle = jax.random.uniform(key, (), image_HWC.dtype, 0, 2 * math.pi)
    y_H1, x_1W = _from_middle(image_HWC)
    trend_HW = jnp.sin(angle) * y_H1 + jnp.cos(angle) * x_1W
    most = jnp.maximum(trend_HW.max() - trend_HW.min(), 1e-6)
    return _add(image_HWC, strength * trend_HW / most)


def cupping(
    image_HWC: jax.Array, strength: Scalar, centre_2: jax.Array, radius: Scalar
) -> jax.Array:
    """Adds a quadratic of the radius, as beam hardening and scatter leave it.

    Args:
      image_HWC: float32.
      strength: how much darker the centre becomes; brighter where it is negative.
      centre_2: (y, x), in pixels from the middle of the image.
      radius: where grey values stay as they are, in pixels.
    """
    y_H1, x_1W = _from_middle(image_HWC)
    square_HW = (y_H1 - centre_2[0]) ** 2 + (x_1W - centre_2[1]) ** 2
    return _add(image_HWC, strength * (square_HW / radius**2 - 1))


def _add(image_HWC: jax.Array, pattern_HW: jax.Array | np.ndarray) -> jax.Array:
    """Adds the same to all planes."""
    return image_HWC + pattern_HW[..., None].astype(image_HWC.dtype)


def _from_middle(image_HWC: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Places (H, 1) and (1, W) of pixels, from the middle of the image."""
    height, width, _ = image_HWC.shape
    y_H = np.arange(height, dtype=image_HWC.dtype) - (height - 1) / 2
    x_W = np.arange(width, dtype=image_HWC.dtype) - (width - 1) / 2
    return y_H[:, None].astype(image_HWC.dtype), x_W[None].astype(image_HWC.dtype)
