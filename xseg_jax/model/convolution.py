"""The 3x3 convolution, on a CPU in the forms that XLA makes the fastest code of.

XLA has two libraries for convolutions on a CPU. Up to `NARROW` channels in and out it takes the
slower one, and for the gradient of a kernel the faster one is slower by far: what is computed
there stays the same, but is written so that neither happens. What each form gains is in
docs/performance.md.
"""

import jax
import jax.numpy as jnp
from jax import lax

NARROW = 16
"""Channels up to which XLA leaves a convolution on a CPU to Eigen."""

LAYOUT = ("NHWC", "HWIO", "NHWC")


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
    """(3, 3, C, F), as one matrix product an example.

    Three rows of the image as channels of one pixel, times three columns of the gradient as
    channels of one, are all nine taps.
    """
    _, height, width, channels = x_BHWC.shape
    features = grad_BHWF.shape[-1]

    def add_example(
        total: jax.Array, example: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        x_HWC = jnp.pad(example[0], ((1, 1), (0, 0), (0, 0)))
        grad_HWF = jnp.pad(example[1], ((0, 0), (1, 1), (0, 0)))
        rows = jnp.concatenate([x_HWC[i : i + height] for i in range(3)], axis=-1)
        columns = jnp.concatenate([grad_HWF[:, 2 - j : 2 - j + width] for j in range(3)], axis=-1)
        rows_PC, columns_PF = (a.reshape(height * width, -1) for a in (rows, columns))
        pixels = (((0,), (0,)), ((), ()))
        found = lax.dot_general(columns_PF, rows_PC, pixels, preferred_element_type=jnp.float32)
        return total + found, None

    start = jnp.zeros((3 * features, 3 * channels), jnp.float32)
    total, _ = lax.scan(add_example, start, (x_BHWC, grad_BHWF))
    total = total.reshape(3, features, 3, channels).transpose(2, 0, 3, 1)
    return total.astype(x_BHWC.dtype)
