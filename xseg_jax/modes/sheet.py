"""Which planes of an inspected scan are drawn, and which of how many these are."""

from collections.abc import Callable, Sequence

import numpy as np

from xseg_jax.data.annotations import LabelledPlane
from xseg_jax.data.fingerprint import Fingerprint, Look
from xseg_jax.data.sources import Source
from xseg_jax.data.splits import choose_evenly
from xseg_jax.files import counted
from xseg_jax.modes.shown import pixel_size
from xseg_jax.report.contact_sheet import Panel
from xseg_jax.scans.voxels import VoxelSize

LABELLED, ALONE, OTHERS = 6, 10, 8
"""Labelled planes that are drawn, beside others and alone, and these others."""


def panels_of(
    sources: Sequence[Source],
    prints: Sequence[Fingerprint],
    planes: Sequence[LabelledPlane],
    label_of: Callable[[int], np.ndarray],
    noun: str,
) -> tuple[list[Panel], str]:
    """Labelled planes, planes under suspicion, and others, evenly spread; and how many of each.

    Args:
      sources: the scans.
      prints: of the scans.
      planes: that are labelled.
      label_of: class indices (H, W) uint8 of a labelled plane, 255 where it is not labelled.
      noun: what planes are called: "plane" or "image".
    """
    labelled = {one.name for one in planes}
    each = max(1, OTHERS // len(sources))
    chosen = [
        (source, look, kind)
        for source, found in list(zip(sources, prints, strict=True))[:OTHERS]
        for look, kind in _others(found, labelled, each)
    ]
    most = min(LABELLED if chosen else ALONE, len(planes))
    panels = [
        Panel(
            planes[index].name,
            planes[index].source.image(planes[index].index, planes[index].place.axis),
            label_of(index),
            *_pixel_size(planes[index].source, planes[index].place.axis),
        )
        for index in (choose_evenly(range(len(planes)), most) if planes else ())
    ]
    for source, look, kind in chosen:
        title = f"{look.name}: {kind}?" if kind else look.name
        panels.append(Panel(title, source.image(look.index), None, *_pixel_size(source, 0)))
    total = sum(map(len, sources))
    said = [_some(len(panels) - len(chosen), len(planes), f"labelled {noun}")] if planes else []
    if chosen:
        rest = total - sum(one.place.axis == 0 for one in planes)
        drawn = sum(look.name not in labelled for _, look, _ in chosen)
        said += [_some(drawn, rest, f"{noun} without a label" if planes else noun)] if drawn else []
        if suspect := sum(bool(kind) for _, _, kind in chosen):
            said.append(f"{suspect} under suspicion")
    return panels, ", ".join(said)


def _others(found: Fingerprint, labelled: set[str], each: int) -> list[tuple[Look, str]]:
    """Planes that are drawn without labels, and what is suspected of them, or ""."""
    kinds = {one.plane: one.kind for one in found.suspicions}
    suspect = [(look, kinds[look.name]) for look in found.looks if look.name in kinds]
    rest = [look for look in found.looks if look.name not in {*kinds, *labelled}]
    chosen = suspect[: max(1, each // 2) if rest else each]
    spread = choose_evenly(range(len(rest)), min(each, len(rest))) if rest else ()
    return [*chosen, *((rest[place], "") for place in spread)][:each]


def _some(drawn: int, total: int, noun: str) -> str:
    """Which of them are drawn: "6 of 64 labelled planes"."""
    first, _, behind = noun.partition(" without")
    many = counted(total, first) + (f" without{behind}" if behind else "")
    return f"{drawn} of {many}" if drawn < total else f"all {many}" if total > 1 else many


def _pixel_size(source: Source, axis: int) -> tuple[float | None, str]:
    """Length of a pixel of planes across an axis, and its unit, as the files say."""
    known = VoxelSize.of([source.geometry])
    return pixel_size(known, axis), known.unit if known else ""
