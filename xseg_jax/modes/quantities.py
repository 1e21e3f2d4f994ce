"""Quantities of volumes and slices, as `measured.json` holds them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.evaluation import object_matches, properties, representative
from xseg_jax.evaluation.doubt import WHOLE_DRAWS, intervals_of_doubt, masks_for
from xseg_jax.evaluation.parts import subvolumes
from xseg_jax.evaluation.properties import (
    ClassVolume,
    measure_additive,
    measure_images,
    measure_planes,
    measure_whole,
    parts_of,
)
from xseg_jax.evaluation.rows import to_json, without_hardly_any
from xseg_jax.measure.quantities import (
    FAMILIES,
    MEANINGS,
    OF_IMAGES,
    OF_PLANES,
    Additive,
    Found,
    Spacing,
)
from xseg_jax.measure.tortuosity import estimate
from xseg_jax.progress import Progress
from xseg_jax.scans.voxels import VoxelSize

logger = logging.getLogger(__name__)

NETWORK, MEASURED = "network", "measured.json"
"""The name of the network among the methods that are scored; the file of quantities."""
SEGMENTED = "segmented"
"""The name of the volume that is measured."""
VOXEL, PIXEL = "voxel", "pixel"
"""The unit of length where no voxel size is known, of volumes and of slices."""
NO_NEIGHBOURS = "slices that are no neighbours have none"
NO_SLICES = "images that are no slices of one volume have none"
"""Why a family is left out."""


def measure(
    volumes: Mapping[str, ClassVolume],
    names: Sequence[str],
    voxel_size: VoxelSize | None,
    chosen: Sequence[str],
    name: str = SEGMENTED,
    drawn: Sequence[ClassVolume] = (),
) -> tuple[dict[str, Any], Found]:
    """Quantities of a volume beside those of others, as `measured.json` holds them.

    Args:
      volumes: of one shape, by name.
      names: of the phases.
      voxel_size: None where it is not known.
      chosen: names of families.
      name: of the volume that is measured.
      drawn: masks of the network's doubt, which are measured too.

    Returns:
      What `measured.json` holds, and the tables of objects.
    """
    shape = volumes[name].shape
    unit = voxel_size.unit if voxel_size else VOXEL
    spacing: Spacing = voxel_size.size if voxel_size else (1.0, 1.0, 1.0)
    left_out, rows, curves, spreads, tables = [], [], [], [], {}
    wanted, order = [], {quantity: n for n, quantity in enumerate(MEANINGS)}
    for family in chosen:
        reason = _why_not(family, names)
        if reason:
            left_out.append({"quantity": family, "phase": None, "reason": reason})
        else:
            wanted.append(family)
    _estimate(volumes, wanted, name)
    if drawn and (slow := [one for one in wanted if not isinstance(FAMILIES[one], Additive)]):
        logger.info(
            "%s: also of %d masks of the network's doubt, as long again for each; leave out with "
            "--quantities what takes too long", ", ".join(slow), WHOLE_DRAWS,
        )  # fmt: skip
    parts = len(volumes) * sum(parts_of(FAMILIES[one], shape) for one in wanted)
    cubes = sum(map(len, representative.cubes_of(shape, spacing)))
    parts += cubes * sum(isinstance(FAMILIES[one], Additive) for one in wanted)
    parts += sum(len(masks_for(FAMILIES[one], drawn)) for one in wanted)
    true = volumes.get(properties.TRUTH) if "objects" in wanted else None
    parts += object_matches.steps(shape, len(names)) if true is not None else 0
    with Progress("Measuring", parts, "part") as progress:
        for family in wanted:
            kind, doubt, sizes = FAMILIES[family], {}, {}
            if isinstance(kind, Additive):
                found = measure_additive(kind, volumes, names, spacing, advance=progress.advance)
                sizes = representative.over_sizes(
                    kind, volumes[name], names, spacing, advance=progress.advance
                )
            else:
                found, first = measure_whole(
                    kind, volumes, names, spacing, advance=progress.advance
                )
                curves += list(_curves(first, name, unit))
                tables |= first[name].tables
            if drawn:
                doubt = intervals_of_doubt(kind, drawn, names, spacing, progress.advance)
            found.sort(key=lambda one: (order[one.key.quantity], "zyx".find(one.key.axis or "")))
            rows += [to_json(one, name, unit, doubt.get(one.key)) for one in found]
            spread = (
                representative.to_json(one, name, sizes.get(one.key, ()), spacing, unit)
                for one in found
            )
            spreads += [one for one in spread if one]
        matched = (
            object_matches.matches_of(volumes[name], true, names, spacing, advance=progress.advance)
            if true is not None
            else []
        )
    result = {
        "shape": list(shape),
        "voxel_size": list(spacing),
        "unit": unit,
        "dimension": 3,
        "independent": False,
        "phases": list(names),
        "quantities": without_hardly_any(rows),
        "curves": curves,
        "objects": matched,
        "representative": {"level": representative.LEVEL, "quantities": spreads},
        "left_out": left_out,
    }
    return result, Found({}, tables=tables)


def measure_slices(
    planes: Mapping[str, Sequence[np.ndarray]],
    names: Sequence[str],
    voxel_size: VoxelSize | None,
    chosen: Sequence[str],
    name: str = SEGMENTED,
    axes: tuple[int, int] = (1, 2),
    *,
    independent: bool = False,
) -> dict[str, Any]:
    """Quantities that slices let estimate of their volume, as `measured.json` holds them.

    Images that are no slices of one volume let estimate none: of them it is areas.

    Args:
      planes: classes (H, W) of the same slices by name, in order.
      names: of the phases.
      voxel_size: None where it is not known.
      chosen: names of families.
      name: of the slices that are measured.
      axes: along which rows and columns of a slice lie, of z, y, x.
      independent: they are no slices of one volume.
    """
    y, x = (voxel_size.size[axis] if voxel_size else 1.0 for axis in axes)
    unit = voxel_size.unit if voxel_size else PIXEL
    known, why = (OF_IMAGES, NO_SLICES) if independent else (OF_PLANES, NO_NEIGHBOURS)
    told = {quantity for family in chosen for quantity in known.get(family, ())}
    rows = measure_images(planes, names) if independent else measure_planes(planes, names, (y, x))
    found = [one for one in rows if one.key.quantity in told]
    height, width = max(one.shape for one in planes[name])
    return {
        "shape": [len(planes[name]), height, width],
        "voxel_size": [None, y, x],
        "unit": unit,
        "dimension": 2,
        "independent": independent,
        "phases": list(names),
        "quantities": without_hardly_any([to_json(one, name, unit) for one in found]),
        "curves": [],
        "left_out": [
            {"quantity": family, "phase": None, "reason": why}
            for family in chosen
            if family not in known
        ],
    }


def choose(text: str | None) -> tuple[str, ...]:
    """Families by name, in the order of `FAMILIES`.

    Raises:
      InputError: there is none of a name.
    """
    if text is None or text == "all":
        return tuple(FAMILIES)
    given = [name.strip() for name in text.split(",")]
    for name in given:
        if name not in FAMILIES:
            raise InputError(
                f"--quantities={text}: there is no {name!r}; choose among {', '.join(FAMILIES)}"
            )
    return tuple(name for name in FAMILIES if name in given)


def _why_not(family: str, names: Sequence[str]) -> str:
    """Why a family cannot be measured; "" where it can."""
    if family == "triple_lines" and len(names) < 3:
        return f"three phases meet nowhere where there are {len(names)}"
    return ""


def _estimate(volumes: Mapping[str, ClassVolume], wanted: Sequence[str], name: str) -> None:
    """Says how much memory it takes."""
    shape = volumes[name].shape
    whole, regions = subvolumes(shape)
    sides = shape if whole else [part.stop - part.start for part in regions[0]]
    most = max(
        (kind.bytes_per_voxel for one in wanted
         if not isinstance(kind := FAMILIES[one], Additive)), default=0,
    )  # fmt: skip
    logger.info(
        "measuring %s of %s voxels%s: about %.1f GiB of memory", ", ".join(wanted),
        " x ".join(map(str, shape)),
        "" if whole else f", where it has to be seen at once in {len(regions)} subvolumes of "
        + " x ".join(map(str, sides)),
        (np.prod(sides, dtype=float) * (1 + most) + 12 * properties.SLAB_VOXELS) / 2**30,
    )  # fmt: skip
    if "tortuosity" in wanted:
        one = estimate(sides)
        logger.info(
            "tortuosity: about %.0f s for a phase along an axis, and as much for its parts; leave "
            "it out with --quantities to save them", one.seconds,
        )  # fmt: skip


def _curves(first: Mapping[str, Found], name: str, unit: str) -> Iterator[dict[str, Any]]:
    """Curves of a volume, beside those of the true one."""
    true = first.get(properties.TRUTH)
    for n, curve in enumerate(first[name].curves):
        beside = true.curves[n] if true else None
        yield {
            "quantity": curve.key.quantity,
            "label": curve.label,
            "phase": curve.key.phase,
            "axis": curve.key.axis,
            "x": curve.x.tolist(),
            "y": curve.y.tolist(),
            "x_label": curve.x_label,
            "x_unit": unit if curve.x_power else "1",
            "y_label": curve.y_label,
            "truth_x": beside.x.tolist() if beside else None,
            "truth_y": beside.y.tolist() if beside else None,
        }
