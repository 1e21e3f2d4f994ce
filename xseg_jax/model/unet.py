"""The U-Net of Ronneberger, Fischer and Brox (2015, arXiv:1505.04597) in Flax Linen."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from xseg_jax.errors import InputError
from xseg_jax.model.convolution import at_least_float32, conv3x3

he_normal = nn.initializers.he_normal()


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) as one scale and shift of the input.

    The same mathematics as `nn.BatchNorm`; keeping no centred copy of the input for the backward
    pass, a training step on CPU takes 0.93 of the time.

    Attributes:
      dtype: of the computation; parameters and statistics are at least float32.
      axis_name: axis of devices over which statistics are taken in training.
      train: normalise by this batch and update the running statistics, or by those.
      momentum: of the running statistics.
    """

    dtype: Any
    axis_name: str | None
    train: bool
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, frozen: jax.Array | None = None) -> jax.Array:
        """(B, H, W, C) to the same shape; `frozen` as `UNet` has it."""
        exact, channels = at_least_float32(self.dtype), x_BHWC.shape[-1:]
        running_mean_C = self.variable("batch_stats", "mean", jnp.zeros, channels, exact)
        running_var_C = self.variable("batch_stats", "var", jnp.ones, channels, exact)
        scale_C = self.param("scale", nn.initializers.ones_init(), channels, exact)
        bias_C = self.param("bias", nn.initializers.zeros_init(), channels, exact)
        mean_C, var_C = running_mean_C.value, running_var_C.value
        if self.train:
            exact_BHWC = x_BHWC.astype(exact)
            moments_2C = jnp.stack([exact_BHWC.mean((0, 1, 2)), (exact_BHWC**2).mean((0, 1, 2))])
            if self.axis_name and not self.is_initializing():
                moments_2C = jax.lax.pmean(moments_2C, self.axis_name)
            mean_C = moments_2C[0]
            var_C = jnp.maximum(moments_2C[1] - mean_C**2, 0.0)
            if frozen is not None:
                mean_C = jnp.where(frozen, running_mean_C.value, mean_C)
                var_C = jnp.where(frozen, running_var_C.value, var_C)
            if not self.is_initializing():
                kept = self.momentum if frozen is None else jnp.where(frozen, 1.0, self.momentum)
                new = 1 - kept
                running_mean_C.value = kept * running_mean_C.value + new * mean_C
                running_var_C.value = kept * running_var_C.value + new * var_C
        factor_C = scale_C * jax.lax.rsqrt(var_C + 1e-5)
        shift_C = bias_C - mean_C * factor_C
        return (x_BHWC * factor_C + shift_C).astype(self.dtype)


NORMS: dict[str, Callable[..., nn.Module] | None] = {
    "none": None,
    "batch": BatchNorm,
    "group": functools.partial(nn.GroupNorm, num_groups=8),
    "instance": functools.partial(nn.InstanceNorm),
}
UPSAMPLES = ("transposed", "resize")
DTYPES = ("auto", "float32", "bfloat16", "float64")


def max_pool(x_BHWC: jax.Array) -> jax.Array:
    """2x2 maximum of even-sized input.

    Pairwise maxima have a far cheaper gradient on CPU than a window reduction.
    """
    x_BHWC = jnp.maximum(x_BHWC[:, ::2], x_BHWC[:, 1::2])
    return jnp.maximum(x_BHWC[:, :, ::2], x_BHWC[:, :, 1::2])


class UpConv(nn.Module):
    """2x2 transposed convolution with stride 2.

    Its windows do not overlap, so it is one matrix product a pixel and a reshape.
    """

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        """(B, H, W, C) to (B, 2H, 2W, features)."""
        batch, height, width, channels = x_BHWC.shape
        # Each output pixel sees one input pixel, so the fan-in is the channels alone.
        initializer = nn.initializers.variance_scaling(
            2.0, "fan_in", "truncated_normal", in_axis=0, out_axis=3, batch_axis=(1, 2)
        )
        exact = at_least_float32(self.dtype)
        kernel_C22F = self.param("kernel", initializer, (channels, 2, 2, self.features), exact)
        bias_F = self.param("bias", nn.initializers.zeros_init(), (self.features,), exact)
        x_BHWC, kernel_C22F, bias_F = promote_dtype(x_BHWC, kernel_C22F, bias_F, dtype=self.dtype)
        # Pixels as rows of one matrix: as an einsum XLA transposes the whole image twice.
        y_BHWabF = (x_BHWC.reshape(-1, channels) @ kernel_C22F.reshape(channels, -1)).reshape(
            batch, height, width, 2, 2, self.features
        )
        y_BHaWbF = y_BHWabF.swapaxes(2, 3) + bias_F
        return y_BHaWbF.reshape(batch, 2 * height, 2 * width, self.features)


class Conv(nn.Module):
    """3x3 convolution."""

    features: int
    use_bias: bool
    dtype: Any

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        """(B, H, W, C) to (B, H, W, features)."""
        exact = at_least_float32(self.dtype)
        shape_33CF = (3, 3, x_BHWC.shape[-1], self.features)
        kernel_33CF = self.param("kernel", he_normal, shape_33CF, exact)
        x_BHWC, kernel_33CF = promote_dtype(x_BHWC, kernel_33CF, dtype=self.dtype)
        y_BHWF = conv3x3(x_BHWC, kernel_33CF)
        if self.use_bias:
            bias_F = self.param("bias", nn.initializers.zeros_init(), (self.features,), exact)
            y_BHWF += bias_F.astype(self.dtype)
        return y_BHWF


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with norm and ReLU."""

    features: int
    norm: str
    dtype: Any
    axis_name: str | None
    train: bool

    @nn.compact
    def __call__(self, x_BHWC: jax.Array, frozen: jax.Array | None = None) -> jax.Array:
        """(B, H, W, C) to (B, H, W, features); `frozen` as `UNet` has it."""
        norm = NORMS[self.norm]
        for layer in range(2):
            x_BHWC = Conv(self.features, norm is None, self.dtype, name=f"conv{layer}")(x_BHWC)
            if norm is not None:
                extra: dict[str, Any] = {"param_dtype": at_least_float32(self.dtype)}
                given: dict[str, Any] = {}
                if self.norm == "batch":
                    extra = {"train": self.train, "axis_name": self.axis_name}
                    given = {"frozen": frozen}
                x_BHWC = norm(dtype=self.dtype, name=f"norm{layer}", **extra)(x_BHWC, **given)
            x_BHWC = nn.relu(x_BHWC)
        return x_BHWC


def dropout(x_BHWC: jax.Array, key_B: jax.Array, rate: float) -> jax.Array:
    """Zeroes activations at a rate and scales the others to keep the mean (Srivastava et al. 2014).

    Every example has a mask of its own key, so that a mask does not depend on which device has
    the example, as `nn.Dropout` would have it.
    """
    draw = functools.partial(jax.random.bernoulli, p=1 - rate, shape=x_BHWC.shape[1:])
    return jnp.where(jax.vmap(draw)(key_B), x_BHWC / (1 - rate), 0)


def to_patches(x_BHWC: jax.Array, patch: int) -> jax.Array:
    """(B, H, W, C) to (B, H / patch, W / patch, patch * patch * C)."""
    batch, height, width, channels = x_BHWC.shape
    x_BHpWpC = x_BHWC.reshape(batch, height // patch, patch, width // patch, patch, channels)
    return x_BHpWpC.swapaxes(2, 3).reshape(batch, height // patch, width // patch, -1)


def from_patches(x_BHWC: jax.Array, patch: int) -> jax.Array:
    """(B, H, W, patch * patch * C) to (B, H * patch, W * patch, C)."""
    batch, height, width, _ = x_BHWC.shape
    x_BHWppC = x_BHWC.reshape(batch, height, width, patch, patch, -1)
    return x_BHWppC.swapaxes(2, 3).reshape(batch, height * patch, width * patch, -1)


class UNet(nn.Module):
    """Class logits of every pixel of an image of any size.

    Attributes:
      classes: number of classes.
      features: channels of each level, from the first down; each further level halves the
        resolution.
      patch: side, in pixels, of the squares that the first convolution takes as one pixel each, and
        that the head gives back: the first level has 1 / patch of the image's resolution (as the
        sub-pixel convolution of Shi et al. 2016, arXiv:1609.05158).
      norm: none, batch, group or instance, after every 3x3 convolution.
      upsample: "transposed" for a 2x2 transposed convolution, "resize" for bilinear resizing and
        a 1x1 convolution.
      dropout: rate before the head. Further up, BatchNorm would take the spread that it adds in
        training for one that is there in prediction (Li et al. 2018, arXiv:1801.05134), and
        classes would be predicted too rarely or too often.
      skip: whether the way up sees the way down at equal resolution.
      dtype: "float32" or "bfloat16" for the computation, or "auto" for bfloat16 on a GPU or TPU
        and float32 on a CPU; parameters and logits are float32. "float64" where JAX is told to
        have it: all is float64.
      remat: recompute blocks in the backward pass, for less memory.
      axis_name: axis of devices over which BatchNorm takes its statistics in training.
    """

    classes: int
    features: Sequence[int] = (16, 32, 64, 128)
    patch: int = 1
    norm: str = "batch"
    upsample: str = "transposed"
    dropout: float = 0.0
    skip: bool = True
    dtype: str = "float32"
    remat: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        image_BHWC: jax.Array,
        *,
        train: bool,
        dropout_key_B: jax.Array | None = None,
        frozen: jax.Array | None = None,
    ) -> jax.Array:
        """Logits (B, H, W, classes) of images (B, H, W, C).

        Args:
          image_BHWC: normalised.
          train: whether BatchNorm takes the statistics of this batch, and dropout acts.
          dropout_key_B: a random key for each example; needed by dropout in training.
          frozen: bool (); in training, whether BatchNorm normalises by its running statistics, and
            leaves them as they are. None for never.
        """
        dtype: Any = self.dtype
        if dtype == "auto":
            dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
        block_type = nn.remat(ConvBlock) if self.remat else ConvBlock

        def block(name: str, features: int, x_BHWC: jax.Array) -> jax.Array:
            made = block_type(features, self.norm, dtype, self.axis_name, train, name=name)
            return made(x_BHWC, frozen)

        height, width = image_BHWC.shape[1:3]
        multiple = self.patch * 2 ** (len(self.features) - 1)
        padding = ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0))
        x_BHWC = jnp.pad(image_BHWC.astype(dtype), padding, mode="symmetric")
        x_BHWC = to_patches(x_BHWC, self.patch)

        skips_BHWC = []
        for level, features in enumerate(self.features[:-1]):
            x_BHWC = block(f"down{level}", features, x_BHWC)
            skips_BHWC.append(x_BHWC)
            x_BHWC = max_pool(x_BHWC)
        x_BHWC = block("bottom", self.features[-1], x_BHWC)
        for level, features in reversed(list(enumerate(self.features[:-1]))):
            x_BHWC = self._up(x_BHWC, features, f"up{level}_sample", dtype)
            if self.skip:
                x_BHWC = jnp.concatenate([x_BHWC, skips_BHWC[level]], axis=-1)
            x_BHWC = block(f"up{level}", features, x_BHWC)

        if train and self.dropout:
            if dropout_key_B is None:
                raise ValueError("dropout needs dropout_key_B in training")
            x_BHWC = dropout(x_BHWC, dropout_key_B, self.dropout)
        # The last layer has no ReLU behind it: LeCun's scale keeps the first loss near log K.
        exact = at_least_float32(dtype)
        outputs = self.classes * self.patch**2
        head = nn.Dense(outputs, dtype=dtype, param_dtype=exact, name="head")
        logits_NK = head(x_BHWC.reshape(-1, self.features[0]))
        logits_BHWK = from_patches(logits_NK.reshape(*x_BHWC.shape[:3], outputs), self.patch)
        return logits_BHWK[:, :height, :width].astype(exact)

    def _up(self, x_BHWC: jax.Array, features: int, name: str, dtype: Any) -> jax.Array:
        if self.upsample == "transposed":
            return UpConv(features, dtype, name=name)(x_BHWC)
        batch, height, width, _ = x_BHWC.shape
        x_BHWC = nn.Conv(
            features, (1, 1), kernel_init=he_normal, dtype=dtype,
            param_dtype=at_least_float32(dtype), name=name,
        )(x_BHWC)  # fmt: skip
        return jax.image.resize(x_BHWC, (batch, 2 * height, 2 * width, features), "bilinear")


def check_model(
    *,
    features: Sequence[int],
    patch: int,
    norm: str,
    upsample: str,
    dtype: str,
    dropout: float,
    **others: Any,
) -> None:
    """Refuses fields of `UNet` that no table holds or that are out of range.

    Raises:
      InputError: names the field, its value and the choices.
    """
    del others
    tables = {"norm": (norm, NORMS), "upsample": (upsample, UPSAMPLES), "dtype": (dtype, DTYPES)}
    for field, (value, choices) in tables.items():
        if value not in choices:
            raise InputError(f"config.model.{field}={value!r}: choose one of {', '.join(choices)}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise InputError("config.model.dtype='float64': needs JAX_ENABLE_X64=1 in the environment")
    if not features or min(features) < 1:
        raise InputError(f"config.model.features={features}: give channels, as in (16, 32, 64)")
    if patch < 1:
        raise InputError(f"config.model.patch={patch}: must be at least 1 pixel")
    if not 0 <= dropout < 1:
        raise InputError(f"config.model.dropout={dropout}: must be from 0 to below 1")
    if norm == "group" and any(count % 8 for count in features):
        raise InputError(f"config.model.features={features}: norm='group' needs multiples of 8")
