"""What is measured of a segmented volume: families of quantities, their names and their units."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from xseg_jax.measure import planes
from xseg_jax.measure.chords import chord_distribution, chord_sums, corrected_mean_chords
from xseg_jax.measure.connectivity import connectivity, euler_density, percolating
from xseg_jax.measure.correlation import radial_correlation
from xseg_jax.measure.edges import (
    OVERLAP,
    active_densities,
    edge_sums,
    triple_densities,
    triples,
)
from xseg_jax.measure.fractions import FractionSums, fraction_sums, volume_fractions
from xseg_jax.measure.lattice import UNLABELLED
from xseg_jax.measure.objects import object_table, split
from xseg_jax.measure.planes import PlaneSums
from xseg_jax.measure.surfaces import (
    interface_densities,
    surface_densities,
    surface_sums,
)
from xseg_jax.measure.thickness import thickness
from xseg_jax.measure.tortuosity import BYTES_PER_VOXEL, tortuosity

AXES = ("z", "y", "x")

OBJECT_MEANS = {"mean_object_diameter": "equivalent_diameter", "mean_sphericity": "sphericity"}
"""Quantities that are means of a column of `object_table`, over objects that no face cuts."""

FARTHEST = 64
"""Voxels: two points that are correlated are no farther apart, and than a quarter of a side."""

Spacing = tuple[float, float, float]


class Key(NamedTuple):
    """Which number it is.

    Attributes:
      quantity: a name of `MEANINGS`.
      phase: that it is of; None of all.
      other: phases that it is shared with.
      axis: along which, "z", "y" or "x".
    """

    quantity: str
    phase: str | None = None
    other: str | None = None
    axis: str | None = None


class Meaning(NamedTuple):
    """What a quantity is called, its unit, the unit of length to a power, and its range."""

    label: str
    power: int = 0
    least: float = 0.0
    largest: float = math.inf


MEANINGS: Mapping[str, Meaning] = {
    "volume_fraction": Meaning("volume fraction", largest=1),
    "surface_density": Meaning("surface area per volume", -1),
    "interface_density": Meaning("interface area per volume", -1),
    "triple_line_density": Meaning("triple-phase boundary per volume", -2),
    "active_triple_line_density": Meaning("triple-phase boundary of percolating phases", -2),
    "percolating_fraction": Meaning("share of the phase that percolates", largest=1),
    "largest_cluster": Meaning("share of the phase in its largest cluster", largest=1),
    "isolated_fraction": Meaning("share of the phase that touches no face", largest=1),
    "cluster_density": Meaning("clusters per volume", -3),
    "euler_density": Meaning("Euler characteristic per volume", -3, least=-math.inf),
    "mean_chord": Meaning("mean chord length", 1),
    "mean_thickness": Meaning("mean local thickness", 1),
    "thickness_deviation": Meaning("standard deviation of the local thickness", 1),
    "object_density": Meaning("objects per volume", -3),
    "mean_object_diameter": Meaning("mean equivalent diameter of objects", 1),
    "mean_sphericity": Meaning("mean sphericity of objects"),
    "tortuosity": Meaning("tortuosity factor"),
    "effective_diffusivity": Meaning("relative effective diffusivity", largest=1),
    "area_fraction": Meaning("area fraction", largest=1),
}


def unit_of(quantity: str, length: str) -> str:
    """The unit of a quantity, as "1/um^2", where lengths are in another one."""
    power = MEANINGS[quantity].power
    if not power:
        return "1"
    raised = length if abs(power) == 1 else f"{length}^{abs(power)}"
    return raised if power > 0 else f"1/{raised}"


class Curve(NamedTuple):
    """A quantity over another: x (N,) and y (N,), and what they are, as "share of chords"."""

    key: Key
    label: str
    x: np.ndarray
    x_label: str
    x_power: int
    y: np.ndarray
    y_label: str


class Found(NamedTuple):
    """What a family has found in a volume: numbers, curves, and a table of objects a phase."""

    values: dict[Key, float]
    curves: Sequence[Curve] = ()
    tables: Mapping[str, pd.DataFrame] = MappingProxyType({})


@dataclass(frozen=True)
class Additive:
    """Quantities that are made of sums over slabs.

    Attributes:
      sums: of a slab (class_ZYX, classes, spacing, before, after); they add.
      values: the numbers of sums, for phases of these names.
      overlap: planes of its neighbours that a slab sees, before and after.
    """

    sums: Callable[[np.ndarray, int, Spacing, int, int], Any]
    values: Callable[[Any, Sequence[str]], dict[Key, float]]
    overlap: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Whole:
    """Quantities that have to see all of a volume at once.

    Attributes:
      found: the numbers and curves of class_ZYX, for phases of these names.
      bytes_per_voxel: that it needs at once, beside the volume.
    """

    found: Callable[[np.ndarray, Sequence[str], Spacing], Found]
    bytes_per_voxel: int


def _fractions(sums: Any, names: Sequence[str]) -> dict[Key, float]:
    return _by_phase("volume_fraction", names, volume_fractions(sums))


def _surfaces(sums: Any, names: Sequence[str]) -> dict[Key, float]:
    found = _by_phase("surface_density", names, surface_densities(sums))
    return found | _by_pair("interface_density", names, interface_densities(sums))


def _edges(sums: Any, names: Sequence[str]) -> dict[Key, float]:
    return _by_triple("triple_line_density", names, triple_densities(sums))


def _connectivity(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    values: dict[Key, float] = {}
    allowed_ZYX = np.zeros(class_ZYX.shape, bool)
    volume = class_ZYX.size * float(np.prod(spacing))
    for k, phase in enumerate(names):
        phase_ZYX = class_ZYX == k
        found = connectivity(phase_ZYX)
        for axis, share in zip(AXES, found.percolating, strict=True):
            values[Key("percolating_fraction", phase, axis=axis)] = share
        values[Key("largest_cluster", phase)] = found.largest
        values[Key("isolated_fraction", phase)] = found.isolated
        values[Key("cluster_density", phase)] = found.clusters / volume
        values[Key("euler_density", phase)] = euler_density(phase_ZYX, spacing)
        if len(names) > 2:
            allowed_ZYX |= percolating(phase_ZYX)
    if len(names) > 2:
        sums = edge_sums(class_ZYX, len(names), spacing, allowed_ZYX=allowed_ZYX)
        values |= _by_triple("active_triple_line_density", names, active_densities(sums))
    return Found(values)


def _thickness(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    values: dict[Key, float] = {}
    curves = []
    labelled_ZYX = class_ZYX != UNLABELLED
    for k, phase in enumerate(names):
        found = thickness(class_ZYX == k, spacing, labelled_ZYX=labelled_ZYX)
        values[Key("mean_thickness", phase)] = found.mean
        values[Key("thickness_deviation", phase)] = found.deviation
        middle_B = (found.edge_B[:-1] + found.edge_B[1:]) / 2
        curves.append(Curve(
            Key("thickness", phase), "local thickness", middle_B, "local thickness", 1,
            found.share_B, "share of the phase's volume",
        ))  # fmt: skip
    return Found(values, curves)


def _chords(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    sums = chord_sums(class_ZYX, len(names), spacing)
    mean_AK = corrected_mean_chords(sums)
    values = {
        Key("mean_chord", phase, axis=axis): float(mean_AK[a, k])
        for k, phase in enumerate(names)
        for a, axis in enumerate(AXES)
    }
    curves = [
        Curve(
            Key("chord_length", phase, axis=axis), "chord length",
            *_with_labels(chord_distribution(sums, a, k), "chord length", "share of whole chords"),
        )
        for k, phase in enumerate(names)
        for a, axis in enumerate(AXES)
    ]  # fmt: skip
    return Found(values, curves)


def _objects(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    values: dict[Key, float] = {}
    tables = {}
    volume = class_ZYX.size * float(np.prod(spacing))
    for k, phase in enumerate(names):
        table = object_table(*split(class_ZYX == k, spacing), spacing)
        values[Key("object_density", phase)] = len(table) / volume
        whole_N = ~table["at_face"].to_numpy()  # Others are cut.
        for quantity, column in OBJECT_MEANS.items():
            value_N = table[column].to_numpy()[whole_N]
            values[Key(quantity, phase)] = float(value_N.mean()) if value_N.size else math.nan
        tables[phase] = table
    return Found(values, tables=tables)


def _correlation(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    shortest = min(n * edge for n, edge in zip(class_ZYX.shape, spacing, strict=True))
    reach = min(shortest / 4, FARTHEST * max(spacing))
    distance_R, share_KR = radial_correlation(class_ZYX, len(names), spacing, reach)
    label, y_label = "two-point correlation", "probability that both ends are in the phase"
    curves = [
        Curve(
            Key("two_point_correlation", phase), label,
            *_with_labels((distance_R, share_R), "distance", y_label),
        )
        for phase, share_R in zip(names, share_KR, strict=True)
    ]  # fmt: skip
    return Found({}, curves)


def _tortuosity(class_ZYX: np.ndarray, names: Sequence[str], spacing: Spacing) -> Found:
    values: dict[Key, float] = {}
    for k, phase in enumerate(names):
        for axis, name in enumerate(AXES):
            found = tortuosity(class_ZYX == k, axis, spacing)
            solved = found.converged  # What is not is said in the log.
            values[Key("tortuosity", phase, axis=name)] = found.factor if solved else math.nan
            values[Key("effective_diffusivity", phase, axis=name)] = (
                found.effective_diffusivity if solved else math.nan
            )
    return Found(values)


OF_PLANES = {
    "fractions": ("volume_fraction",),
    "surfaces": ("surface_density", "interface_density"),
    "triple_lines": ("triple_line_density",),
}
"""Quantities of families that slices let estimate."""


def plane_values(sums: PlaneSums, names: Sequence[str]) -> dict[Key, float]:
    """The quantities of a volume that slices let estimate: see `measure.planes`."""
    found = _by_phase("volume_fraction", names, planes.area_fractions(sums))
    found |= _by_phase("surface_density", names, planes.surface_densities(sums))
    found |= _by_pair("interface_density", names, planes.interface_densities(sums))
    if len(names) > 2:
        found |= _by_triple("triple_line_density", names, planes.triple_densities(sums))
    return found


OF_IMAGES = {"fractions": ("area_fraction",)}
"""Quantities of families that images have which are no slices of one volume."""


def image_values(sums: FractionSums, names: Sequence[str]) -> dict[Key, float]:
    """The quantities of images that are no slices of one volume: shares of labelled pixels."""
    return _by_phase("area_fraction", names, volume_fractions(sums))


def _with_labels(
    curve: tuple[np.ndarray, np.ndarray], x_label: str, y_label: str
) -> tuple[np.ndarray, str, int, np.ndarray, str]:
    """The fields of a `Curve` over a length."""
    return curve[0], x_label, 1, curve[1], y_label


def _by_phase(quantity: str, names: Sequence[str], value_K: np.ndarray) -> dict[Key, float]:
    return {Key(quantity, name): float(v) for name, v in zip(names, value_K, strict=True)}


def _by_pair(quantity: str, names: Sequence[str], value_KK: np.ndarray) -> dict[Key, float]:
    return {
        Key(quantity, names[a], names[b]): float(value_KK[a, b])
        for a, b in itertools.combinations(range(len(names)), 2)
    }


def _by_triple(quantity: str, names: Sequence[str], value_T: np.ndarray) -> dict[Key, float]:
    return {
        Key(quantity, names[a], f"{names[b]}, {names[c]}"): float(value)
        for (a, b, c), value in zip(triples(len(names)), value_T, strict=True)
    }


FAMILIES: Mapping[str, Additive | Whole] = {
    "fractions": Additive(
        lambda class_ZYX, classes, spacing, before, after: fraction_sums(
            class_ZYX[before : len(class_ZYX) - after], classes
        ),
        _fractions,
    ),
    "surfaces": Additive(
        lambda class_ZYX, classes, spacing, before, after: surface_sums(
            class_ZYX[before:], classes, spacing, after=after
        ),
        _surfaces,
        (0, 1),
    ),
    "triple_lines": Additive(
        lambda class_ZYX, classes, spacing, before, after: edge_sums(
            class_ZYX, classes, spacing, before=before, after=after
        ),
        _edges,
        (OVERLAP, OVERLAP),
    ),
    "connectivity": Whole(_connectivity, 14),
    "chords": Whole(_chords, 4),
    "thickness": Whole(_thickness, 20),
    "correlation": Whole(_correlation, 64),
    "objects": Whole(_objects, 44),
    "tortuosity": Whole(_tortuosity, BYTES_PER_VOXEL),
}
"""By the names that `config.measure.quantities` chooses from."""
