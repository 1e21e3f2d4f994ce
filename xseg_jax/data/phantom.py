"""A synthetic X-ray tomogram whose labels are exact, because the structure came first.

    microstructure -> attenuate -> project -> detect -> reconstruct
    label             mu           line       line       image
                      1/pixel      integrals  integrals  1/pixel

The sample is a pillar standing on the rotation axis, z. It is cut into classes 0, 1, 2, ...
(pore, ceramic, metal in a solid oxide cell), turned in a parallel beam, measured by a
detector that counts photons and has unequal pixels, and reconstructed slice by slice. What
is stored is the largest square inside the pillar, so every stored pixel has a true label.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

# One stream of random numbers for each cause, so that a change in one leaves the others.
STRUCTURE, TEXTURE, DETECTOR = range(3)

# Slices imaged together. Rays and pixels are gathered as contiguous runs of this many
# slices, so the cost of finding where a ray goes is shared and the loads are whole vectors.
CHUNK = 32

# What each argument must be. Written once, for all the functions that take it.
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "size": (lambda v: v >= 2, "at least 2 pixels"),
    "depth": (lambda v: v >= 1, "at least 1 slice"),
    "z_step": (lambda v: v >= 1, "at least 1 slice"),
    "fractions": (
        lambda v: len(v) >= 2 and min(v) > 0 and math.isclose(sum(v), 1, abs_tol=1e-6),
        "two or more positive numbers that sum to 1",
    ),
    "correlation_length": (lambda v: v > 0, "above 0 pixels"),
    "attenuation": (
        lambda v: len(v) >= 2 and min(v) >= 0 and max(v) > min(v),
        "one number for each class, none below 0 and not all equal, in 1/pixel",
    ),
    "texture": (lambda v: 0 <= v < 0.3, "in [0, 0.3), a relative standard deviation"),
    "photons": (lambda v: v > 0, "above 0 counts for each detector pixel and angle"),
    "ring_strength": (lambda v: v >= 0, "0 or above: the relative spread of the detector gain"),
    "beam_hardening": (lambda v: 0 <= v < 1, "in [0, 1): the half width of the spectrum over E0"),
    "projections": (lambda v: v >= 1, "at least 1 angle"),
    "seed": (lambda v: v >= 0, "0 or above"),
}


def _check(arguments: dict[str, Any]) -> None:
    """Raise ValueError for an argument that breaks its rule. Called first, with locals()."""
    for name, value in arguments.items():
        is_valid, remedy = RULES.get(name, (lambda v: True, ""))
        if not is_valid(value):
            raise ValueError(f"{name} is {value!r}; it must be {remedy}")


def _gaussian_field(
    shape: tuple[int, int, int], correlation_length: float, rng: np.random.Generator
) -> np.ndarray:
    """Gaussian random field, mean 0, variance 1, covariance exp(-d²/(2 L²)); float32 DHW.

    White noise is filtered by the square root of the power spectrum (Lantuéjoul 2002,
    Geostatistical Simulation, ch. 15).
    """
    # The Fourier transform is periodic. Without a margin in z the last slices would repeat
    # the first ones, and a split into blocks of z would leak. In the plane it only makes
    # opposite edges alike.
    padded = (shape[0] + math.ceil(4 * correlation_length), *shape[1:])
    white_DHW = rng.standard_normal(padded, dtype=np.float32)
    spectrum_DHF = np.asarray(scipy.fft.rfftn(white_DHW, workers=-1))
    for axis, n in enumerate(padded):
        gain = np.exp(-((math.pi * correlation_length * np.fft.fftfreq(n)) ** 2))
        gain = (gain / math.sqrt(np.mean(gain**2))).astype(np.float32)
        others = [other for other in range(3) if other != axis]
        spectrum_DHF *= np.expand_dims(gain[: spectrum_DHF.shape[axis]], others)
    return np.asarray(scipy.fft.irfftn(spectrum_DHF, s=padded, workers=-1))[: shape[0]]


def microstructure(
    *, depth: int, size: int, fractions: Sequence[float], correlation_length: float, seed: int
) -> np.ndarray:
    """Draw a random structure of several phases, continuous and isotropic: label_DHW, uint8.

    Plurigaussian model: one Gaussian field is cut at a level into class 0 and the rest, a
    second, independent one cuts the rest into class 1 and the rest, and so on (Lantuéjoul
    2002, Geostatistical Simulation, ch. 16; for solid oxide cells Moussaoui et al. 2018,
    Comput. Mater. Sci. 143, 262-276). Levels are quantiles of the drawn field, so the
    fractions hold on this volume to a voxel or so, not only on average.

    `correlation_length` L is in voxels: the fields have covariance exp(-d²/(2 L²)), and a
    phase that fills half of the space has a mean chord of pi L. Raises ValueError.
    """
    _check(locals())
    label_DHW = np.zeros((depth, size, size), np.uint8)
    for k in range(len(fractions) - 1):
        rng = np.random.default_rng([seed, STRUCTURE, k])
        field_DHW = _gaussian_field(label_DHW.shape, correlation_length, rng)
        undecided_DHW = label_DHW == k
        level = np.quantile(field_DHW[undecided_DHW], fractions[k] / sum(fractions[k:]))
        label_DHW += undecided_DHW & (field_DHW > level)
    return label_DHW


def attenuate(
    label_DHW: np.ndarray,
    *,
    attenuation: Sequence[float],
    texture: float,
    correlation_length: float,
    seed: int,
) -> np.ndarray:
    """Give every voxel its linear attenuation: mu_DHW, float32, 1/pixel.

    A phase is not uniform: its attenuation varies by a relative standard deviation `texture`,
    as a Gaussian field of `correlation_length` voxels (density, composition). Class k has
    mean `attenuation[k]`. Raises ValueError.
    """
    _check(locals())
    rng = np.random.default_rng([seed, TEXTURE])
    mu_DHW = 1 + texture * _gaussian_field(label_DHW.shape, correlation_length, rng)
    mu_DHW *= np.asarray(attenuation, np.float32)[label_DHW]
    return np.maximum(mu_DHW, 0, out=mu_DHW)


@jax.jit
def project(mu_DHW: jax.Array | np.ndarray, angles_A: jax.Array | np.ndarray) -> jax.Array:
    """Integrate the attenuation along parallel rays: sinogram_DAS, float32, no unit.

    mu_DHW is in 1/pixel on square slices, angles_A in radians. Detector pixel S, as many as
    columns and one pixel apart, sees the line x cos(a) + y sin(a) = s, with x to the right, y
    up and the origin in the middle of the slice (Kak & Slaney 1988, Principles of Computerized
    Tomographic Imaging, sec. 3.1). Outside of the slice there is nothing; what lies outside of
    its inscribed circle leaves the detector at some angles. Each ray steps over rows or
    columns, whichever it crosses more squarely, and interpolates linearly along the other
    (Joseph 1982, IEEE Trans. Med. Imaging 1, 192-196).
    """
    depth, size, _ = mu_DHW.shape
    width = size + 2  # a border of zeros is what rays meet that leave the slice
    mu_PD = jnp.pad(mu_DHW, ((0, 0), (1, 1), (1, 1))).reshape(depth, width**2).T
    offset_S = jnp.arange(size) - (size - 1) / 2

    def view(angle: jax.Array) -> jax.Array:
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        by_row = jnp.abs(cos) >= jnp.abs(sin)
        # By row, the ray s is at x = (s - y sin)/cos; by column, at y = (s - x cos)/sin. With
        # t the row or column from the middle (rows point down), both are a s + b t.
        a = 1 / jnp.where(by_row, cos, -sin)
        b = a * jnp.where(by_row, sin, -cos)
        along, across = jnp.where(by_row, width, 1), jnp.where(by_row, 1, width)

        def step(k: jax.Array, integral_SD: jax.Array) -> jax.Array:
            position_S = a * offset_S + b * (k - (width - 1) / 2) + (width - 1) / 2
            position_S = jnp.clip(position_S, 0, width - 1)
            before_S = jnp.minimum(position_S.astype(jnp.int32), width - 2)
            near_SD = mu_PD[k * along + before_S * across]
            far_SD = mu_PD[k * along + (before_S + 1) * across]
            return integral_SD + near_SD + (far_SD - near_SD) * (position_S - before_S)[:, None]

        zeros_SD = jnp.zeros((size, depth), mu_PD.dtype)
        return jnp.abs(a) * jax.lax.fori_loop(1, width - 1, step, zeros_SD)

    return jax.lax.map(view, angles_A).transpose(2, 0, 1)


def detect(
    sinogram_DAS: np.ndarray,
    *,
    z_D: Sequence[int],
    photons: float,
    ring_strength: float,
    beam_hardening: float,
    seed: int,
) -> np.ndarray:
    """Measure line integrals as a detector does, and correct for the flat field.

    Takes and returns sinogram_DAS, float32. Three things go wrong, in this order:
    - The beam has three energies, E0 (1 - b), E0 and E0 (1 + b) with b = `beam_hardening`,
      in shares 1, 2, 1. Attenuation, given at E0, goes as (E0/E)³, so soft photons are lost
      first and thick parts look thin (Brooks & Di Chiro 1976, Phys. Med. Biol. 21, 390-398).
    - Each pixel (z, s) has a gain that its flat field does not know, with a log of standard
      deviation `ring_strength`, the same at all angles: a ring in the image.
    - Photons are counted: Poisson noise, `photons` a pixel and angle where nothing absorbs.

    Noise is a function of the seed and of the slice number in z_D, and not of which slices
    are measured together. Raises ValueError.
    """
    _check(locals())
    measured_DAS = np.empty(sinogram_DAS.shape, np.float32)
    for measured_AS, exact_AS, z in zip(measured_DAS, sinogram_DAS, z_D, strict=True):
        rng = np.random.default_rng([seed, DETECTOR, z])
        gain_S = np.exp(ring_strength * rng.standard_normal(exact_AS.shape[1]))
        transmission_AS = sum(
            share * np.exp(-exact_AS / (1 + side * beam_hardening) ** 3)
            for side, share in ((-1, 0.25), (0, 0.5), (1, 0.25))
        )
        counts_AS = rng.poisson(photons * gain_S * transmission_AS)
        # A pixel that counts nothing is read as half a photon: dark, but no infinity.
        measured_AS[:] = -np.log(np.maximum(counts_AS, 0.5) / photons)
    return measured_DAS


def reconstruct(
    sinogram_DAS: jax.Array | np.ndarray, angles_A: jax.Array | np.ndarray, *, size: int
) -> jax.Array:
    """Filtered back-projection of the middle size x size pixels: image_DHW, float32, 1/pixel.

    The inverse of `project`, for angles_A in radians, spaced equally over half a turn. The
    ramp filter is the band-limited one (Kak & Slaney 1988, eq. 3.61), exact at zero
    frequency, where a ramp sampled in Fourier space would shift all grey values.
    Pixels outside of the circle that the S detector pixels see have no meaning.
    Raises ValueError where the square is not centred on detector pixels.
    """
    _check(locals())
    num_columns = sinogram_DAS.shape[2]
    if size > num_columns or (num_columns - size) % 2:
        raise ValueError(
            f"size is {size}; it must be at most the {num_columns} detector pixels, "
            "and both even or both odd"
        )
    return _reconstruct(sinogram_DAS, angles_A, size)


@functools.partial(jax.jit, static_argnames="size")
def _reconstruct(
    sinogram_DAS: jax.Array | np.ndarray, angles_A: jax.Array | np.ndarray, size: int
) -> jax.Array:
    depth, num_angles, num_columns = sinogram_DAS.shape
    length = 1 << (2 * num_columns - 1).bit_length()  # at least twice: nothing wraps
    n = np.fft.fftfreq(length, 1 / length)
    kernel = np.where(n % 2 == 1, -1 / (np.pi * np.where(n == 0, 1, n)) ** 2, 0)
    kernel[0] = 1 / 4
    ramp_F = np.fft.rfft(kernel).real.astype(np.float32)
    filtered_DAS = jnp.fft.irfft(jnp.fft.rfft(sinogram_DAS, length) * ramp_F, length)
    filtered_ASD = filtered_DAS[..., :num_columns].transpose(1, 2, 0)
    offset = jnp.arange(size) - (size - 1) / 2

    def smear(image_HWD: jax.Array, view: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        angle, filtered_SD = view
        position_HW = offset * jnp.cos(angle) - offset[:, None] * jnp.sin(angle)
        position_HW = jnp.clip(position_HW + (num_columns - 1) / 2, 0, num_columns - 1)
        before_HW = jnp.minimum(position_HW.astype(jnp.int32), num_columns - 2)
        near_HWD, far_HWD = filtered_SD[before_HW], filtered_SD[before_HW + 1]
        fraction_HW1 = (position_HW - before_HW)[..., None]
        return image_HWD + near_HWD + (far_HWD - near_HWD) * fraction_HW1, None

    zeros_HWD = jnp.zeros((size, size, depth), jnp.float32)
    image_HWD, _ = jax.lax.scan(smear, zeros_HWD, (jnp.asarray(angles_A), filtered_ASD))
    return image_HWD.transpose(2, 0, 1) * (np.pi / num_angles)


def tomogram(
    *,
    size: int,
    depth: int,
    z_step: int,
    fractions: Sequence[float],
    correlation_length: float,
    attenuation: Sequence[float],
    texture: float,
    photons: float,
    ring_strength: float,
    beam_hardening: float,
    projections: int,
    seed: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Simulate a tomogram: an iterator of (z, image_HW uint16, label_HW uint8), z rising.

    Of `depth` slices of size x size pixels every `z_step`-th is imaged. One affine map takes
    attenuation to grey value in the whole volume: with [lowest, highest] the range of
    `attenuation`, grey 0 is one such range below and 65535 one above; what noise throws
    further is clipped. The other arguments are those of the functions above, lengths in
    pixels. The structure is drawn at once (some 20 bytes for each of depth x 2 size² voxels),
    the imaging runs CHUNK slices at a time as they are asked for. Raises ValueError, at once.
    """
    _check(locals())
    if len(attenuation) != len(fractions):
        raise ValueError(
            f"attenuation is {attenuation!r}; it must name as many classes as fractions, "
            f"which is {fractions!r}"
        )
    # The pillar holds the stored square and a rim of 2 pixels, where its surface is blurred.
    rim = math.ceil(size * (math.sqrt(2) - 1) / 2 + 2)
    diameter = size + 2 * rim
    field: dict[str, Any] = {"correlation_length": correlation_length, "seed": seed}
    label_DHW = microstructure(depth=depth, size=diameter, fractions=fractions, **field)
    mu_DHW = attenuate(label_DHW, attenuation=attenuation, texture=texture, **field)
    radius = np.arange(diameter) - (diameter - 1) / 2
    mu_DHW *= radius**2 + radius[:, None] ** 2 <= (diameter / 2) ** 2
    angles_A = np.arange(projections) * (np.pi / projections)
    lowest, highest = min(attenuation), max(attenuation)
    black, white = 2 * lowest - highest, 2 * highest - lowest

    @jax.enable_x64(False)  # The same grey values whatever a network computes in.
    def image(z_D: Sequence[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        measured_DAS = detect(
            np.asarray(project(mu_DHW[z_D], angles_A)),
            z_D=z_D,
            photons=photons,
            ring_strength=ring_strength,
            beam_hardening=beam_hardening,
            seed=seed,
        )
        image_DHW = np.asarray(reconstruct(measured_DAS, angles_A, size=size))
        grey_DHW = np.clip((image_DHW - black) / (white - black), 0, 1) * 65535
        label_CHW = label_DHW[z_D, rim:-rim, rim:-rim]
        return zip(z_D, np.rint(grey_DHW).astype(np.uint16), label_CHW, strict=True)

    imaged = range(0, depth, z_step)
    starts = range(0, len(imaged), CHUNK)
    return itertools.chain.from_iterable(image(list(imaged[i : i + CHUNK])) for i in starts)
