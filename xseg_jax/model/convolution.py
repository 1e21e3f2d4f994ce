"""The 3x3 convolution, on a CPU in the forms that XLA makes the fastest code of.

XLA has two libraries for convolutions on a CPU. Up to `NARROW` channels in and out it takes the
slower one, and for the gradient of a kernel the faster one is slower by far: what is computed
there stays the same, but is written so that neither happens. What each form gains is in
docs/performance.md.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

NARROW = 16
"""Channels up to which XLA leaves a convolution on a CPU to Eigen."""

BAND_BYTES = 1 << 19
"""Of the copies that a kernel's gradient works on at a time: they fit a core's second cache."""

LAYOUT = ("NHWC", "HWIO", "NHWC")


def at_least_float32(dtype: Any) -> Any:
    """The type of sums, statistics and parameters beside a computation in `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


def conv3x3(x_BHWC: jax.Array, kernel_33CF: jax.Array) -> jax.Array:
    """Convolves (B, H, W, C), zero beyond its edge, to (B, H, W, F)."""
    on_cpu = jax.default_backend() == "cpu"
    return (_conv_on_cpu if on_cpu else _conv)(x_BHWC, kernel_33CF)


def _conv(x_BHWC: jax.Array, kernel_33CF: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x_BHWC, kernel_33CF, (1, 1), "SAME", dimension_numbers=LAYOUT)


def _conv_by_width(x_BHWC: jax.Array, kernel_33CF: jax.Array) -> jax.Array:
    batch, height, width, channels = x_BHWC.shape
    features = kernel_33CF.shape[-1]
    if max(channels, features) > NARROW or width % 2:
        return _conv(x_BHWC, kernel_33CF)
    # Two neighbouring pixels as channels of one output, which sees a window of four columns.
    left_34CF = jnp.pad(kernel_33CF, ((0, 0), (0, 1), (0, 0), (0, 0)))
    right_34CF = jnp.pad(kernel_33CF, ((0, 0), (1, 0), (0, 0), (0, 0)))
    pairs = lax.conv_general_dilated(
        x_BHWC,
        jnp.concatenate([left_34CF, right_34CF], axis=-1),
        window_strides=(1, 2),
        padding=((1, 1), (1, 1)),
        dimension_numbers=LAYOUT,
    )
    return pairs.reshape(batch, height, width, features)


@jax.custom_vjp
def _conv_on_cpu(x_BHWC: jax.Array, kernel_33CF: jax.Array) -> jax.Array:
    return _conv_by_width(x_BHWC, kernel_33CF)


def _forward(
    x_BHWC: jax.Array, kernel_33CF: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _conv_by_width(x_BHWC, kernel_33CF), (x_BHWC, kernel_33CF)


def _backward(
    kept: tuple[jax.Array, jax.Array], grad_BHWF: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x_BHWC, kernel_33CF = kept
    turned_33FC = kernel_33CF[::-1, ::-1].swapaxes(2, 3)
    return _conv_by_width(grad_BHWF, turned_33FC), _kernel_gradient(x_BHWC, grad_BHWF)


_conv_on_cpu.defvjp(_forward, _backward)


def _kernel_gradient(x_BHWC: jax.Array, grad_BHWF: jax.Array) -> jax.Array:
    """(3, 3, C, F), as one matrix product for each band of rows.

    Three rows of the image as channels of one pixel, times three columns of the gradient as
    channels of one, are all nine taps. Both are copied into place in buffers that all bands share:
    what lies beyond the image is zero in them and stays it, and they do not leave the cache.
    """
    batch, height, width, channels = x_BHWC.shape
    features = grad_BHWF.shape[-1]
    exact = at_least_float32(x_BHWC.dtype)
    row_bytes = 3 * width * (channels + features) * x_BHWC.dtype.itemsize
    # A band's copies are no smaller than the sum of all bands, which each band is added to.
    band_bytes = max(BAND_BYTES, 9 * channels * features * jnp.dtype(exact).itemsize)
    enough = min(height, math.ceil(band_bytes / row_bytes))
    band = next(rows for rows in range(enough, height + 1) if height % rows == 0)
    bands = height // band

    def add_band(
        index: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        rows_RWC, columns_RWF, total = carry
        example, top = index // bands, index % bands * band

        def cut(a_BHWC: jax.Array, start: Any, count: int, left: int = 0, right: int = 0) -> Any:
            size = (1, count, width - left - right, a_BHWC.shape[-1])
            return lax.dynamic_slice(a_BHWC, (example, start, left, 0), size)[0]

        put = lax.dynamic_update_slice
        above_1WC = jnp.where(top > 0, cut(x_BHWC, top - 1, 1), 0)
        below_1WC = jnp.where(top + band < height, cut(x_BHWC, top + band, 1), 0)
        # The edges first: were they last, XLA would copy the whole buffer for them.
        rows_RWC = put(rows_RWC, above_1WC, (0, 0, 0))
        rows_RWC = put(rows_RWC, below_1WC, (band - 1, 0, 2 * channels))
        rows_RWC = put(rows_RWC, cut(x_BHWC, top, band - 1), (1, 0, 0))
        rows_RWC = put(rows_RWC, cut(x_BHWC, top, band), (0, 0, channels))
        rows_RWC = put(rows_RWC, cut(x_BHWC, top + 1, band - 1), (0, 0, 2 * channels))
        columns_RWF = put(columns_RWF, cut(grad_BHWF, top, band, left=1), (0, 0, 0))
        columns_RWF = put(columns_RWF, cut(grad_BHWF, top, band), (0, 0, features))
        columns_RWF = put(columns_RWF, cut(grad_BHWF, top, band, right=1), (0, 1, 2 * features))
        columns_PF, rows_PC = (a.reshape(band * width, -1) for a in (columns_RWF, rows_RWC))
        pixels = (((0,), (0,)), ((), ()))
        found = lax.dot_general(columns_PF, rows_PC, pixels, preferred_element_type=exact)
        return rows_RWC, columns_RWF, total + found

    start = (
        jnp.zeros((band, width, 3 * channels), x_BHWC.dtype),
        jnp.zeros((band, width, 3 * features), grad_BHWF.dtype),
        jnp.zeros((3 * features, 3 * channels), exact),
    )
    *_, total = lax.fori_loop(0, batch * bands, add_band, start)
    total = total.reshape(3, features, 3, channels).transpose(2, 0, 3, 1)
    return total.astype(x_BHWC.dtype)
