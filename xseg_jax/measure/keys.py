"""Which numbers each family of quantities gives, before anything is measured."""

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from xseg_jax.measure.edges import triples
from xseg_jax.measure.quantities import AXES, OF_IMAGES, Key

OF_FAMILY: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "fractions": ("volume_fraction",),
    "surfaces": ("surface_density", "interface_density"),
    "triple_lines": ("triple_line_density",),
    "connectivity": (
        "percolating_fraction", "largest_cluster", "isolated_fraction", "cluster_density",
        "euler_density", "active_triple_line_density",
    ),
    "chords": ("mean_chord",),
    "thickness": ("mean_thickness", "thickness_deviation"),
    "correlation": (),
    "objects": ("object_density", "mean_object_diameter", "mean_sphericity"),
    "tortuosity": ("tortuosity", "effective_diffusivity"),
})  # fmt: skip
"""Quantities of each family; a correlation is a curve."""
FAMILY_OF: Mapping[str, str] = MappingProxyType({
    quantity: family
    for table in (OF_FAMILY, OF_IMAGES)
    for family, some in table.items()
    for quantity in some
})  # fmt: skip
ALONG_AXES = frozenset(
    {"percolating_fraction", "mean_chord", "tortuosity", "effective_diffusivity"}
)
OF_PAIRS = frozenset({"interface_density"})
OF_TRIPLES = frozenset({"triple_line_density", "active_triple_line_density"})


def keys_of(quantity: str, names: Sequence[str]) -> list[Key]:
    """The numbers of a quantity for phases of these names.

    Args:
      quantity: a name of `MEANINGS`.
      names: of the phases.
    """
    if quantity in OF_PAIRS:
        return [Key(quantity, one, other) for one, other in itertools.combinations(names, 2)]
    if quantity in OF_TRIPLES:
        return [
            Key(quantity, names[a], f"{names[b]}, {names[c]}") for a, b, c in triples(len(names))
        ]
    along = AXES if quantity in ALONG_AXES else (None,)
    return [Key(quantity, name, axis=axis) for name in names for axis in along]
