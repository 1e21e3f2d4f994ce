"""Quantities of a volume of three phases beside the programs that people measure them with.

    pip install taufactor porespy    # Where one is missing its columns stay empty, and it says so.
    python -m benchmarks.measure [--size=256] [--quantities=all] [--phases=0,1,2] [--axes=z,y,x]
        [--limit=600]

Each side measures the same phase of the same volume in this one run, one after the other, on all
cores of this machine (TauFactor on a GPU where PyTorch has one). Values differ where estimators do:
docs/quantities.md says by how much. Tortuosity stops on both sides where fluxes through all planes
agree to 1e-3; TauFactor's, too, where `--limit` seconds are over, which is said; it is timed once
compiled, and the first has compiling beside it.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.structure import fingerprint, three_phases
from benchmarks.timing import machine, print_table, save
from xseg_jax.measure.chords import chord_sums, mean_chords
from xseg_jax.measure.connectivity import connectivity
from xseg_jax.measure.correlation import radial_correlation
from xseg_jax.measure.edges import edge_sums, triple_densities
from xseg_jax.measure.fractions import fraction_sums, volume_fractions
from xseg_jax.measure.objects import split
from xseg_jax.measure.surfaces import surface_densities, surface_sums
from xseg_jax.measure.thickness import thickness
from xseg_jax.measure.tortuosity import estimate, tortuosity

TOLERANCE = 1e-3
CUBE = (1.0, 1.0, 1.0)
PHASES = 3
SMALL = (24, 24, 24)
"""Voxels that are measured first, untimed."""
REACH = 16
"""Voxels that two points are correlated up to; the value at half of it is shown."""
HEADER = (
    "quantity", "phase", "axis", "ours", "s", "first s", "theirs", "s", "difference", "ratio",
    "whose",
)  # fmt: skip
Theirs = Callable[[np.ndarray, int, int, float], tuple[float, str]]


@dataclass(frozen=True)
class Quantity:
    """What is timed.

    Attributes:
      per: "axis" for each phase and axis, "phase" for each phase, "volume" for all at once.
      ours: of (class_ZYX, phase, axis), a value.
      theirs: the same by another program, (value, note), within so many seconds.
      package: of that program.
      compiles: whether its first call of a shape takes longer.
    """

    per: str
    ours: Callable[[np.ndarray, int, int], float]
    theirs: Theirs
    package: str
    compiles: bool = False


def our_thickness(class_ZYX: np.ndarray, phase: int, axis: int) -> float:
    """Mean local thickness of a phase."""
    del axis
    return thickness(class_ZYX == phase, CUBE).mean


def our_correlation(class_ZYX: np.ndarray, phase: int, axis: int) -> float:
    """S_2 of a phase at half of `REACH`."""
    del axis
    # The others are done at once; so that both sides do the same, one against all others.
    only_ZYX = (class_ZYX == phase).astype(np.uint8)
    distance_R, share_KR = radial_correlation(only_ZYX, 2, CUBE, REACH)
    return float(np.interp(REACH / 2, distance_R, share_KR[1]))


def taufactor_tortuosity(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """The factor along an axis by TauFactor, and whether it converged in time."""
    import taufactor
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    phase_ZYX = class_ZYX == phase
    image_ZYX = np.ascontiguousarray(np.moveaxis(phase_ZYX, axis, 0)).astype(np.uint8)
    began = time.perf_counter()
    solver = taufactor.Solver(image_ZYX, device=device)
    factor, most = np.array([np.nan]), 0
    while not solver.converged and time.perf_counter() - began < limit:
        most += 100  # It looks at its fluxes every 100 iterations.
        factor = solver.solve(verbose=False, conv_crit=TOLERANCE, iter_limit=most)
    note = "" if solver.converged else f"stopped after {solver.iter} iterations"
    return float(factor[0]), note


def taufactor_lines(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Edges of voxels at which three phases meet, per volume: lengths of staircases."""
    del phase, axis, limit
    from taufactor.metrics import triple_phase_boundary

    return 3 * float(triple_phase_boundary(class_ZYX.astype(np.int32))), ""


def porespy_fraction(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Volume fraction."""
    del axis, limit
    import porespy

    return float(porespy.metrics.porosity(class_ZYX == phase)), ""


def porespy_surface(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Area of a smoothed mesh per volume; faces of the volume count."""
    del axis, limit
    import porespy

    regions_ZYX = (class_ZYX == phase).astype(int)
    return float(porespy.metrics.region_surface_areas(regions_ZYX)[0]) / class_ZYX.size, ""


def porespy_percolating(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Share of the phase in clusters that touch both faces."""
    del limit
    import porespy

    phase_ZYX = class_ZYX == phase
    found = porespy.metrics.percolating_porosity(phase_ZYX, axis=axis)
    return float(found) / float(phase_ZYX.mean()), ""


def porespy_chord(class_ZYX: np.ndarray, phase: int, axis: int, limit: float) -> tuple[float, str]:
    """Mean of whole chords, on every second line."""
    del limit
    import porespy

    chords_ZYX = porespy.filters.apply_chords(
        class_ZYX == phase, spacing=1, axis=axis, trim_edges=True
    )
    return float(np.mean(porespy.metrics.chord_counts(chords_ZYX))), ""


def porespy_thickness(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Mean local thickness by exact distances."""
    del axis, limit
    import porespy

    phase_ZYX = class_ZYX == phase
    radius_ZYX = porespy.filters.local_thickness(
        phase_ZYX, dt=porespy.tools.get_edt()(phase_ZYX), method="dt", smooth=False
    )
    return 2 * float(radius_ZYX[phase_ZYX].mean()), ""


def porespy_correlation(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """S_2 at half of `REACH`."""
    del axis, limit
    import porespy

    phase_ZYX = class_ZYX == phase
    found = porespy.metrics.two_point_correlation(phase_ZYX, bins=np.arange(0, REACH + 1))
    share = np.interp(REACH / 2, np.asarray(found.distance), np.asarray(found.probability))
    return float(share * phase_ZYX.mean()), ""


def porespy_objects(
    class_ZYX: np.ndarray, phase: int, axis: int, limit: float
) -> tuple[float, str]:
    """Regions of its watershed, SNOW."""
    del axis, limit
    import porespy

    return float(porespy.filters.snow_partitioning(class_ZYX == phase).regions.max()), ""


# Another quantity is another line: ours, theirs, and whose it is.
QUANTITIES: dict[str, Quantity] = {
    "fraction": Quantity(
        "phase", lambda c, k, a: float(volume_fractions(fraction_sums(c, PHASES))[k]),
        porespy_fraction, "porespy",
    ),
    "surface": Quantity(
        "phase", lambda c, k, a: float(surface_densities(surface_sums(c, PHASES, CUBE))[k]),
        porespy_surface, "porespy",
    ),
    "triple_lines": Quantity(
        "volume", lambda c, k, a: float(triple_densities(edge_sums(c, PHASES, CUBE))[0]),
        taufactor_lines, "taufactor",
    ),
    "percolating": Quantity(
        "axis", lambda c, k, a: connectivity(c == k).percolating[a], porespy_percolating, "porespy"
    ),
    "chord": Quantity(
        "axis", lambda c, k, a: float(mean_chords(chord_sums(c, PHASES, CUBE))[a, k]),
        porespy_chord, "porespy",
    ),
    "thickness": Quantity("phase", our_thickness, porespy_thickness, "porespy"),
    "correlation": Quantity("phase", our_correlation, porespy_correlation, "porespy"),
    "objects": Quantity(
        "phase", lambda c, k, a: float(split(c == k, CUBE)[1]), porespy_objects, "porespy"
    ),
    "tortuosity": Quantity(
        "axis", lambda c, k, a: tortuosity(c == k, a, tolerance=TOLERANCE).factor,
        taufactor_tortuosity, "taufactor", compiles=True,
    ),
}  # fmt: skip


def measured(
    name: str, class_ZYX: np.ndarray, phases: Sequence[int], axes: Sequence[int], limit: float
) -> list[dict[str, Any]]:
    """A row for each phase and axis that the quantity is of."""
    quantity, rows = QUANTITIES[name], []
    installed = util.find_spec(quantity.package) is not None
    if installed:  # It is imported, and compiles what does not depend on the shape.
        with contextlib.redirect_stdout(None):
            quantity.theirs(three_phases(SMALL, radii=(3, 5)), 0, 0, 0.0)
    for phase in phases if quantity.per != "volume" else phases[:1]:
        for axis in axes if quantity.per == "axis" else axes[:1]:
            row: dict[str, Any] = {"quantity": name, "package": quantity.package}
            row["phase"] = phase if quantity.per != "volume" else None
            row["axis"] = "zyx"[axis] if quantity.per == "axis" else None
            if quantity.compiles and not rows:
                began = time.perf_counter()
                quantity.ours(class_ZYX, phase, axis)
                row["first_seconds"] = time.perf_counter() - began
            began, worked = time.perf_counter(), time.process_time()
            row["ours"] = quantity.ours(class_ZYX, phase, axis)
            row["seconds"] = time.perf_counter() - began
            row["processor_seconds"] = time.process_time() - worked
            if installed:
                began, worked = time.perf_counter(), time.process_time()
                with contextlib.redirect_stdout(None):  # They print what they think of it.
                    row["theirs"], row["note"] = quantity.theirs(class_ZYX, phase, axis, limit)
                row["their_seconds"] = time.perf_counter() - began
                row["their_processor_seconds"] = time.process_time() - worked
            rows.append(row)
    return rows


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row of the table; empty where the other program is missing."""
    shown = [
        row["quantity"],
        *("" if row[key] is None else str(row[key]) for key in ("phase", "axis")),
    ]
    shown += [f"{row['ours']:.4f}", f"{row['seconds']:.2f}"]
    shown.append(f"{row['first_seconds']:.1f}" if "first_seconds" in row else "")
    if "theirs" not in row:
        return [*shown, *[""] * 5]
    late = "> " if row["note"] else ""
    differs = f"{row['ours'] / row['theirs'] - 1:+.2%}" if row["theirs"] else ""
    return [
        *shown, f"{row['theirs']:.4f}", late + f"{row['their_seconds']:.2f}", differs,
        late + f"{row['their_seconds'] / row['seconds']:.1f}", row["package"],
    ]  # fmt: skip


def missing(names: Sequence[str]) -> list[str]:
    """A line for each program that is not there."""
    packages = dict.fromkeys(QUANTITIES[name].package for name in names)
    return [
        f"{package} is not installed, and its columns stay empty: pip install {package}"
        for package in packages
        if not util.find_spec(package)
    ]


def chosen(text: str) -> list[str]:
    """Names of quantities; an unknown one ends the program."""
    names = list(QUANTITIES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in QUANTITIES:
            raise SystemExit(f"--quantities={text}: choose among {', '.join(QUANTITIES)}")
    return names


def main() -> None:
    """Prints a table and saves it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="edge of the volume, voxels")
    parser.add_argument("--quantities", default="all", help=", ".join(QUANTITIES))
    parser.add_argument("--phases", default="0,1,2")
    parser.add_argument("--axes", default="z,y,x")
    parser.add_argument("--limit", type=float, default=600, help="seconds for the other program")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/measure.json"))
    options = parser.parse_args()
    phases = [int(phase) for phase in options.phases.split(",")]
    axes = ["zyx".index(axis) for axis in options.axes.split(",")]
    class_ZYX = three_phases((options.size,) * 3)
    names = chosen(options.quantities)
    load = os.getloadavg()[0]
    print(f"{options.size}^3 voxels, {machine()['processor']}, load {load:.1f} before")
    print("".join(f"{line}\n" for line in missing(names)))
    if "tortuosity" in names:
        expected = estimate(class_ZYX.shape)
        print(f"tortuosity: expected {expected.bytes / 2**30:.1f} GiB and {expected.seconds:.0f} s "
              "a factor\n")  # fmt: skip
    rows = [row for name in names for row in measured(name, class_ZYX, phases, axes, options.limit)]
    print_table(HEADER, [cells(row) for row in rows])
    facts = {"size": options.size, "crc32": fingerprint(class_ZYX), "load_before": load}
    save(options.output, {"work": facts, "rows": rows})


if __name__ == "__main__":
    main()
