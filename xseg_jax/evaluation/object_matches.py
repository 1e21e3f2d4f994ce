"""Which objects of a phase are found: those of a segmented volume against those of the true one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from xseg_jax.evaluation.parts import all_of, said_of, subvolumes
from xseg_jax.evaluation.properties import ClassVolume
from xseg_jax.measure.lattice import UNLABELLED
from xseg_jax.measure.objects import Matches, match_objects, split
from xseg_jax.measure.quantities import Spacing


def matches_of(
    segmented: ClassVolume,
    true: ClassVolume,
    names: Sequence[str],
    spacing: Spacing,
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Counts of objects, a row a phase, as `measured.json` holds them.

    Objects are split at their necks as those of the tables are, and matched where both are
    labelled. Of a volume that is too large for one piece they are those of its subvolumes.

    Args:
      segmented: classes (Z, Y, X).
      true: the labels of the same voxels.
      names: of the phases.
      spacing: (z, y, x) edge lengths of a voxel.
      advance: is called `steps` times.

    Returns:
      phase, the fields of `Matches`, and "of": what they are counted in, "" for the whole volume.
    """
    whole, parts = subvolumes(segmented.shape)
    regions = [all_of(segmented.shape)] if whole else parts
    found: list[Matches | None] = [None] * len(names)
    for region in regions:
        both = [np.ascontiguousarray(volume[region]) for volume in (segmented, true)]
        for k in range(len(names)):
            labels = [split(class_ZYX == k, spacing)[0] for class_ZYX in both]
            for label_ZYX in labels:
                label_ZYX[both[1] == UNLABELLED] = 0
            one, before = match_objects(*labels), found[k]
            found[k] = one if before is None else before + one
            advance()
    said = "" if whole else said_of(parts)
    return [
        {"phase": name} | asdict(one) | {"of": said}
        for name, one in zip(names, found, strict=True)
        if one is not None
    ]


def steps(shape: Sequence[int], phases: int) -> int:
    """How often `matches_of` calls `advance`."""
    whole, parts = subvolumes(shape)
    return phases * (1 if whole else len(parts))
