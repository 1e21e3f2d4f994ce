"""Data sets: labelled planes of scans on disk, or of simulated tomograms."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data import phantom
from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.builders import PreparedPlanes, XrayPlanes, prepare
from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Place, Plane
from xseg_jax.data.sources import Source, sample_evenly
from xseg_jax.errors import InputError
from xseg_jax.progress import Progress
from xseg_jax.scans.voxels import VoxelSize

PHANTOM_NAMES = ("pore", "ceramic", "metal")
PHANTOM = "phantom"


def prepare_scans(
    planes: Sequence[LabelledPlane],
    *,
    classes: str,
    ignore: str,
    context: int,
    one_type: bool,
    own_scales: bool,
    voxel_size: VoxelSize | None,
    prepared_dir: Path,
    memory_gib: float,
) -> PreparedPlanes:
    """Labelled planes of scans; all are read and checked, and prepared unless they were before.

    Args:
      planes: which they are.
      classes: as `LabelMap.parse` takes it; "" maps the values found by sorted order.
      ignore: label values that are left out.
      context: neighbours on each side that belong to a plane.
      one_type: refuse scans of different pixel types.
      own_scales: measure the grey scale of each scan.
      voxel_size: of the scans, where it is known.
      prepared_dir: where data sets are kept.
      memory_gib: planes stay decoded in memory up to this size.

    Raises:
      InputError: as `check`.
    """
    known = LabelMap.parse(classes, ignore) if classes else None
    checked = check(planes, known, ignore, context=context, one_type=one_type)
    sources = sources_of(planes) if own_scales else []
    scales = {source.name: source.grey_scale() for source in sources}
    made_from = [
        classes, ignore, context, str(checked.dtype), *checked.hashes,
        *(asdict(scale) for scale in scales.values()), voxel_size and voxel_size.to_json(),
    ]  # fmt: skip

    def make(target: dict[str, Any]) -> XrayPlanes:
        def read() -> Iterator[Plane]:
            with Progress("Preparing data", len(planes), "image") as progress:
                for plane in CheckedPlanes(planes, checked, context):
                    yield plane
                    progress.advance()

        return XrayPlanes(
            dtype=checked.dtype, channels=2 * context + 1, label_map=checked.label_map,
            voxel_size=voxel_size, grey_scales=lambda: scales, planes=read, **target,
        )  # fmt: skip

    return prepare(made_from, make, prepared_dir, memory_gib)


def sources_of(planes: Sequence[LabelledPlane]) -> list[Source]:
    """The scans of planes, each once."""
    return list({plane.source.name: plane.source for plane in planes}.values())


def prepare_phantom(
    *, context: int, prepared_dir: Path, memory_gib: float, **parameters: Any
) -> PreparedPlanes:
    """Planes of a synthetic tomogram; parameters as `phantom.tomogram`.

    Raises:
      InputError: a parameter cannot be used.
    """
    phases = len(parameters["fractions"])
    names = PHANTOM_NAMES if phases == 3 else tuple(f"phase_{k}" for k in range(phases))

    def make(target: dict[str, Any]) -> XrayPlanes:
        try:
            slices = phantom.tomogram(**parameters)
        except ValueError as error:
            raise InputError(f"config.data.phantom.{error}") from error
        imaged = range(0, parameters["depth"], parameters["z_step"])
        sampled = {imaged[place] for place in sample_evenly(len(imaged))}
        image_of: dict[int, np.ndarray] = {}

        def simulate() -> Iterator[Plane]:
            waiting: deque[tuple[int, np.ndarray]] = deque()
            with Progress("Simulating tomogram", len(imaged), "slice") as progress:
                for z, image_HW, label_HW in slices:
                    image_of[z] = image_HW
                    waiting.append((z, label_HW))
                    while waiting and waiting[0][0] + context <= z:
                        yield plane(*waiting.popleft())
                    progress.advance()
            yield from (plane(*one) for one in waiting)

        def plane(z: int, label_HW: np.ndarray) -> Plane:
            around = (min(max(z + d, 0), imaged[-1]) for d in range(-context, context + 1))
            # A slice that is not imaged is replaced by the plane itself.
            images = [image_of.get(neighbour, image_of[z]) for neighbour in around]
            for passed in [one for one in image_of if one < z - context and one not in sampled]:
                del image_of[passed]
            return Plane(
                f"slice_{z:04d}", np.stack(images, axis=-1), label_HW, Place(PHANTOM, 0, z)
            )

        def grey_scales() -> dict[str, Normalizer]:
            return {PHANTOM: Normalizer.fit([image_of[z] for z in sorted(sampled)])}

        label_map = LabelMap(tuple(str(k) for k in range(phases)), names)
        return XrayPlanes(
            dtype=np.dtype(np.uint16), channels=2 * context + 1, label_map=label_map,
            voxel_size=None, grey_scales=grey_scales, planes=simulate, **target,
        )  # fmt: skip

    return prepare([PHANTOM, context, parameters], make, prepared_dir, memory_gib)
