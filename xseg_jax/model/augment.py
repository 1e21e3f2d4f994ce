"""Random augmentation of a batch inside the compiled step, keyed by the step.

Magnitudes are Python numbers: one that is 0 costs nothing, since it is left out of the
compiled step. Intensities are normalised (zero mean, unit variance) when they get here.
"""

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
    "zoom", "flip", "rotate90", "blur", "brightness", "contrast", "gamma", "noise_level", "noise"
)  # fmt: skip


def augment(
    key_B: jax.Array,
    image_BHWC: jax.Array,
    label_BHW: jax.Array,
    *,
    flip: str,
    rotate90: bool,
    brightness: float,
    contrast: float,
    gamma: float,
    noise: float,
    blur: float,
    scale: float,
    rotation: float,
) -> tuple[jax.Array, jax.Array]:
    """A random variant of each example of a batch of square crops.

    Args:
      key_B: a random key for each example.
      image_BHWC: float32, normalised.
      label_BHW: class indices, uint8.
      flip: mirror with probability 1/2: left to right ("horizontal"), top to bottom ("vertical"),
        "both" or "none".
      rotate90: turn by a multiple of 90 degrees.
      brightness: largest shift, in standard deviations of the data.
      contrast: largest relative change of the spread about the mean: a factor in 1 +- contrast.
      gamma: largest exponent change: an exponent in [1 / (1 + gamma), 1 + gamma].
      noise: largest standard deviation of added Gaussian noise.
      blur: largest standard deviation of a Gaussian blur, in pixels.
      scale: largest relative zoom: a factor in 1 +- scale.
      rotation: largest rotation, in degrees.

    Returns:
      Images and labels of the same shapes; label pixels from outside of the crop are ignored.
    """

    def one(
        key: jax.Array, image_HWC: jax.Array, label_HW: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        # Each has a key of its own: to switch one off leaves the others as they were.
        keys = {name: jax.random.fold_in(key, n) for n, name in enumerate(AUGMENTATIONS)}
        if scale or rotation:
            image_HWC, label_HW = _zoom_and_rotate(
                keys["zoom"], image_HWC, label_HW, scale=scale, degrees=rotation
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
            image_HWC = artefacts.blur(image_HWC, jax.random.uniform(keys["blur"], maxval=blur))
        if brightness:
            shift = jax.random.uniform(keys["brightness"], minval=-brightness, maxval=brightness)
            image_HWC = artefacts.offset(image_HWC, shift)
        if contrast:
            factor = 1 + jax.random.uniform(keys["contrast"], minval=-contrast, maxval=contrast)
            image_HWC = artefacts.contrast(image_HWC, factor)
        if gamma:
            limit = jnp.log1p(gamma)
            exponent = jnp.exp(jax.random.uniform(keys["gamma"], minval=-limit, maxval=limit))
            image_HWC = artefacts.gamma(image_HWC, exponent, image_HWC.min(), image_HWC.max())
        if noise:
            strength = jax.random.uniform(keys["noise_level"], maxval=noise)
            image_HWC = artefacts.white_noise(keys["noise"], image_HWC, strength)
        return image_HWC, label_HW

    return jax.vmap(one)(key_B, image_BHWC, label_BHW)


def _turn(turns: jax.Array, x: jax.Array) -> jax.Array:
    half = jnp.where(turns >= 2, x[::-1, ::-1], x)
    return jnp.where(turns % 2 == 1, jnp.rot90(half), half)


def _zoom_and_rotate(
    key: jax.Array, image_HWC: jax.Array, label_HW: jax.Array, *, scale: float, degrees: float
) -> tuple[jax.Array, jax.Array]:
    """Samples the crop on a grid that is zoomed and rotated about its centre."""
    zoom_key, angle_key = jax.random.split(key)
    zoom = 1 + jax.random.uniform(zoom_key, minval=-scale, maxval=scale)
    angle = jnp.deg2rad(jax.random.uniform(angle_key, minval=-degrees, maxval=degrees))
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
    highest = {"contrast": 0.9, "scale": 0.9, "blur": artefacts.MOST_BLUR}
    for field, value in magnitudes.items():
        if not 0 <= value <= highest.get(field, float("inf")):
            raise InputError(
                f"config.augment.{field}={value}: must be within 0 and {highest.get(field, 'inf')}"
            )
