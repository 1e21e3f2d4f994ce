"""Which axes of an array are z, y and x."""

from collections.abc import Sequence

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.shown import COLOUR_REMEDY


def to_volume(
    shape: Sequence[int], source: str, *, dtype: np.dtype | None = None
) -> tuple[int, ...]:
    """The two or three axes of an array without names of axes that make a volume, in order.

    Of four and more axes those of length 1 are left out.

    Raises:
      InputError: one or four and more axes are left, or the last one looks like colours.
    """
    axes = tuple(range(len(shape)))
    if len(shape) > 3:
        axes = at_least_two([axis for axis in axes if shape[axis] != 1], axes[::-1])
    if len(axes) not in (2, 3):
        raise InputError(
            f"{source}: has shape {tuple(shape)}; expected a volume (z, y, x) or a slice (y, x): "
            f"save one volume a file, {COLOUR_REMEDY}"
        )
    last = [shape[axis] for axis in axes]
    if len(last) == 3 and last[2] in (3, 4) and min(last[:2]) > 4 and dtype == np.uint8:
        raise InputError(
            f"{source}: has shape {tuple(shape)}: a colour image; X-ray images are grayscale: "
            f"convert it; save {COLOUR_REMEDY}"
        )
    return axes


def at_least_two(axes: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    """Axes in order, with as many others of length 1 as make a slice."""
    more = [axis for axis in others if axis not in axes]
    return tuple(sorted((*axes, *more[: max(0, 2 - len(axes))])))


def choose(axes: str, shape: Sequence[int], inside: str, source: str) -> dict[str, int]:
    """The index along each axis that is neither y nor x nor the depth of the volume.

    Args:
      axes: a letter an axis, for example "tczyx"; y and x are among them.
      shape: lengths.
      inside: what the user chose, for example "c=1,t=0".
      source: named in errors.

    Returns:
      An index for each axis but y, x and the one that is z. That is the axis z; or without one the
      last axis longer than 1 that is no channel.

    Raises:
      InputError: the choice is wrong, or one is needed.
    """
    length = dict(zip(axes, shape, strict=True))
    others = [axis for axis in axes if axis not in "yx"]
    example = ",".join(f"{axis}=0" for axis in others if length[axis] > 1 and axis != "z")
    chosen: dict[str, int] = {}
    for word in filter(None, inside.lower().split(",")):
        axis, equals, index = word.strip().partition("=")
        if not equals or axis not in others or not index.isdecimal():
            raise InputError(
                f"{source}: cannot choose {word!r} of axes {axes} {tuple(shape)}; write for "
                f"example ::{example or 'nothing'}"
            )
        if int(index) >= length[axis]:
            raise InputError(f"{source}: has {length[axis]} along {axis}, counted from 0")
        chosen[axis] = int(index)
    left = [axis for axis in others if axis not in chosen and length[axis] > 1]
    depths = [axis for axis in left if axis not in "cs"]
    depth = "z" if "z" in left else depths[-1] if depths else ""
    wanted = [axis for axis in left if axis != depth]
    if wanted:
        counts = ", ".join(f"{length[axis]} along {axis}" for axis in wanted)
        raise InputError(
            f"{source}: has axes {axes} {tuple(shape)}: {counts} (c: channel, t: time); choose "
            f"one volume with ::{','.join(f'{axis}=0' for axis in wanted)}"
        )
    # An axis of length 1 may be the depth of a single slice.
    return {axis: chosen.get(axis, 0) for axis in others if axis != depth}
