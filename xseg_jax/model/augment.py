"""Random augmentation of a batch inside the compiled step, keyed by the step.

Magnitudes are Python numbers: one that is 0 costs nothing, since it is left out of the
compiled step. Intensities are normalised (zero mean, unit variance) when they get here.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from xseg_jax.errors import InputError
from xseg_jax.model import artefacts

IGNORED = 255
FLIPS = {"none": (), "horizontal": (1,), "vertical": (0,), "both": (0, 1)}
"""Axes that are mirrored."""
AUGMENTATIONS = (
    "zoom", "flip", "rotate90", "blur", "brightness", "contrast", "gamma", "noise_level", "noise",
    "ramp", "cupping", "rings", "coloured_noise", "rotation", "chance",
)  # fmt: skip
ARTEFACTS = (
    "brightness", "contrast", "gamma", "ramp", "cupping", "rings", "noise", "coloured_noise",
    "blur", "scale", "rotation",
)  # fmt: skip
"""Fields of config.augment that happen by chance."""
MOST_SMOOTHED = 1.5
"""Pixels up to which coloured noise is smoothed: grains to blotches."""
RING_WIDTHS = 1.0, 3.0
"""Pixels."""
CENTRE_WITHIN = 2.0
"""Farthest axis of rotation from the middle of a crop, in widths of it: a crop sees arcs."""


def augment(
    key_B: jax.Array,
    image_BHWC: jax.Array,
    label_BHW: jax.Array,
    *,
    flip: str,
    rotate90: bool,
    chance: float,
    brightness: float,
    contrast: float,
    gamma: float,
    ramp: float,
    cupping: float,
    rings: float,
    noise: float,
    coloured_noise: float,
    blur: float,
    scale: float,
    rotation: float,
    own_spread: bool,
) -> tuple[jax.Array, jax.Array]:
    """A random variant of each example of a batch of square crops.

    A magnitude is the largest: that of an example is drawn uniformly.

    Args:
      key_B: a random key for each example.
      image_BHWC: float32, normalised.
      label_BHW: class indices, uint8.
      flip: mirror with probability 1/2: left to right ("horizontal"), top to bottom ("vertical"),
        "both" or "none".
      rotate90: turn by a multiple of 90 degrees.
      chance: probability that an example gets each of what follows; others stay clean.
      brightness: shift, in standard deviations of the data.
      contrast: relative change of the spread about the mean: a factor in 1 +- contrast.
      gamma: exponent change: an exponent in [1 / (1 + gamma), 1 + gamma].
      ramp: a linear trend from end to end, in standard deviations of the data.
      cupping: a quadratic trend from the middle to the edges, up or down, in the same.
      rings: standard deviation of arcs about an axis in or near the crop, in the same.
      noise: standard deviation of white noise, in the same.
      coloured_noise: that of noise with the spectrum of a reconstruction.
      blur: standard deviation of a Gaussian blur, in pixels.
      scale: relative zoom: a factor in 1 +- scale.
      rotation: angle, in degrees.
      own_spread: images are normalised by their own spread, to which noise and rings belong: where
        they are added the rest is weaker, as it will be in a scan that has them.

    Returns:
      Images and labels of the same shapes; label pixels from outside of the crop are ignored.
    """

    def one(
        key: jax.Array, image_HWC: jax.Array, label_HW: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        # Each has a key of its own: to switch one off leaves the others as they were.
        keys = {name: jax.random.fold_in(key, n) for n, name in enumerate(AUGMENTATIONS)}

        def drawn(name: str, low: float, high: float, clean: float = 0.0) -> jax.Array:
            """A magnitude, or the one that leaves the image clean."""
            value = jax.random.uniform(keys[name], minval=low, maxval=high)
            chosen = jax.random.bernoulli(
                jax.random.fold_in(keys["chance"], AUGMENTATIONS.index(name)), chance
            )
            return jnp.where(chosen, value, clean)

        def key_of(name: str, number: int = 1) -> jax.Array:
            """For what is random beside the magnitude."""
            return jax.random.fold_in(keys[name], number)

        size = image_HWC.shape[0]
        if scale or rotation:
            image_HWC, label_HW = _zoom_and_rotate(
                image_HWC,
                label_HW,
                zoom=drawn("zoom", 1 - scale, 1 + scale, clean=1.0),
                degrees=drawn("rotation", -rotation, rotation),
            )
        if axes := FLIPS[flip]:
            mirrored_2 = jax.random.bernoulli(keys["flip"], shape=(2,))
            for axis in axes:
                image_HWC = jnp.where(mirrored_2[axis], jnp.flip(image_HWC, axis), image_HWC)
                label_HW = jnp.where(mirrored_2[axis], jnp.flip(label_HW, axis), label_HW)
        if rotate90:
            turns = jax.random.randint(keys["rotate90"], (), 0, 4)
            image_HWC = _turn(turns, image_HWC)
            label_HW = _turn(turns, label_HW)
        if blur:
            image_HWC = artefacts.blur(image_HWC, drawn("blur", 0, blur), most=blur)
        if brightness:
            image_HWC = artefacts.offset(image_HWC, drawn("brightness", -brightness, brightness))
        if contrast:
            factor = drawn("contrast", 1 - contrast, 1 + contrast, clean=1.0)
            image_HWC = artefacts.contrast(image_HWC, factor)
        if gamma:
            limit = math.log1p(gamma)
            exponent = jnp.exp(drawn("gamma", -limit, limit))
            image_HWC = artefacts.gamma(image_HWC, exponent, image_HWC.min(), image_HWC.max())
        if ramp:
            image_HWC = artefacts.ramp(key_of("ramp"), image_HWC, drawn("ramp", 0, ramp))
        if cupping:
            centre_2, radius = jnp.zeros(2, image_HWC.dtype), size / 2
            image_HWC = artefacts.cupping(
                image_HWC, drawn("cupping", -cupping, cupping), centre_2, radius
            )
        spoilt = []  # Spreads of what is added.
        if rings:
            far, (least, most) = CENTRE_WITHIN * size, RING_WIDTHS
            centre_2 = jax.random.uniform(key_of("rings"), (2,), minval=-far, maxval=far)
            width = jax.random.uniform(key_of("rings", 3), minval=least, maxval=most)
            spoilt.append(drawn("rings", 0, rings))
            image_HWC = artefacts.rings(key_of("rings", 2), image_HWC, spoilt[-1], centre_2, width)
        if noise:
            spoilt.append(drawn("noise_level", 0, noise))
            image_HWC = artefacts.white_noise(keys["noise"], image_HWC, spoilt[-1])
        if coloured_noise:
            sigma = jax.random.uniform(key_of("coloured_noise", 2), maxval=MOST_SMOOTHED)
            spoilt.append(drawn("coloured_noise", 0, coloured_noise))
            image_HWC = artefacts.coloured_noise(
                key_of("coloured_noise"), image_HWC, spoilt[-1], sigma
            )
        if own_spread and spoilt:
            image_HWC /= jnp.sqrt(1 + sum(spread**2 for spread in spoilt))
        return image_HWC, label_HW

    return jax.vmap(one)(key_B, image_BHWC, label_BHW)


def _turn(turns: jax.Array, x: jax.Array) -> jax.Array:
    half = jnp.where(turns >= 2, x[::-1, ::-1], x)
    return jnp.where(turns % 2 == 1, jnp.rot90(half), half)


def _zoom_and_rotate(
    image_HWC: jax.Array, label_HW: jax.Array, *, zoom: jax.Array, degrees: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Samples the crop on a grid that is zoomed and rotated about its centre."""
    angle = jnp.deg2rad(degrees)
    height, width = label_HW.shape
    y_HW, x_HW = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij"
    )
    cos, sin = jnp.cos(angle) / zoom, jnp.sin(angle) / zoom
    source = [
        cos * y_HW - sin * x_HW + (height - 1) / 2,
        sin * y_HW + cos * x_HW + (width - 1) / 2,
    ]
    image_HWC = jnp.stack(
        [
            map_coordinates(image_HWC[..., channel], source, order=1, mode="reflect")
            for channel in range(image_HWC.shape[-1])
        ],
        axis=-1,
    )
    label_HW = map_coordinates(label_HW, source, order=0, mode="constant", cval=IGNORED)
    return image_HWC, label_HW


def check_augment(*, flip: str, **magnitudes: Any) -> None:
    """Refuses unknown mirrors, negative magnitudes, and those that turn an image inside out.

    Raises:
      InputError: names the field and its value.
    """
    if flip not in FLIPS:
        raise InputError(f"config.augment.flip={flip!r}: choose one of {', '.join(FLIPS)}")
    highest = {"chance": 1.0, "contrast": 0.9, "scale": 0.9, "blur": artefacts.MOST_BLUR}
    for field, value in magnitudes.items():
        if not 0 <= value <= highest.get(field, float("inf")):
            raise InputError(
                f"config.augment.{field}={value}: must be within 0 and {highest.get(field, 'inf')}"
            )
