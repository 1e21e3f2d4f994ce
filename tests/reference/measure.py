"""Makes measure.json: what other programs say of one small volume, for tests to compare with.

    python3.11 -m venv other
    other/bin/pip install taufactor porespy openpnm pyamg
    other/bin/python tests/reference/measure.py

Not run by tests: these programs need PyTorch and OpenPNM. Where a number is theirs by a choice of
theirs, `choices` in the file says which.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import porespy
import taufactor

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.structure import fingerprint, three_phases

SHAPE, RADII, SEED = (40, 40, 40), (3, 7), 0
SPACING = (2.0, 1.0, 1.25)
PHASES, AXES = 3, 3
CHOICES = {
    "taufactor": "potentials fixed on the outer faces of the volume; fraction of the whole phase; "
    "conv_crit 1e-3, float32; null where not converged after 4000 iterations",
    "taufactor_anisotropic": f"AnisotropicSolver, spacing {SPACING} along z, y, x, conv_crit 1e-3",
    "porespy_diffusivity": "1 / formation_factor of tortuosity_fd: potentials fixed in the centres "
    "of the first and last voxels, divided by a length of L - 1 voxels; tol 1e-10",
    "percolating_porosity": "share of the volume in clusters (6 neighbours) that touch both faces",
    "chord_counts": "chords of apply_chords(spacing=1, trim_edges=True) along an axis, that is on "
    "lines 0, 2, 4, ... of both other axes: how many have the length 0, 1, 2, ... voxels; without "
    "those that touch a face",
    "local_thickness": "local_thickness(method='dt', smooth=False), radii in voxels, of "
    "porespy.tools.get_edt(), for which the outside of the volume is no wall; mean over the phase, "
    "and shares of the phase at or below each radius",
    "two_point_correlation": "radial average without periodicity, bins of one voxel: probability "
    "is S2 / fraction, distance in voxels",
    "surface_area": "region_surface_areas of the phase as one region, voxel units: marching cubes "
    "on a padded, smoothed image, faces of the volume included",
}


def along(phase_ZYX: np.ndarray, axis: int) -> np.ndarray:
    """With this axis first, as taufactor wants it."""
    return np.ascontiguousarray(np.moveaxis(phase_ZYX, axis, 0))


def solved(solver: taufactor.Solver) -> float | None:
    """Its tortuosity factor; None where it does not converge."""
    found = solver.solve(verbose=False, conv_crit=1e-3, iter_limit=4000)
    return float(found[0]) if solver.converged else None


def anisotropic(phase_ZYX: np.ndarray, axis: int) -> float | None:
    """Tortuosity factor with voxels of unequal edges."""
    spacing = (SPACING[axis], *(h for a, h in enumerate(SPACING) if a != axis))
    image = along(phase_ZYX, axis).astype(np.uint8)
    return solved(taufactor.AnisotropicSolver(image, spacing=spacing, device="cpu"))


def measured(phase_ZYX: np.ndarray) -> dict:
    """All that is asked about one phase."""
    distance_ZYX = porespy.tools.get_edt()(phase_ZYX)
    thickness_ZYX = porespy.filters.local_thickness(
        phase_ZYX, dt=distance_ZYX, method="dt", smooth=False
    )
    radius_N = thickness_ZYX[phase_ZYX]
    correlation = porespy.metrics.two_point_correlation(phase_ZYX, bins=np.arange(0, 19))
    chords = [
        porespy.metrics.chord_counts(
            porespy.filters.apply_chords(phase_ZYX, spacing=1, axis=axis, trim_edges=True)
        )
        for axis in range(AXES)
    ]
    return {
        "fraction": float(phase_ZYX.mean()),
        "taufactor": [
            solved(taufactor.Solver(along(phase_ZYX, axis).astype(np.uint8), device="cpu"))
            for axis in range(AXES)
        ],
        "taufactor_anisotropic": [anisotropic(phase_ZYX, axis) for axis in range(AXES)],
        "porespy_diffusivity": [
            1
            / float(porespy.simulations.tortuosity_fd(phase_ZYX, axis, tol=1e-10).formation_factor)
            for axis in range(AXES)
        ],
        "percolating_porosity": [
            float(porespy.metrics.percolating_porosity(phase_ZYX, axis=axis))
            for axis in range(AXES)
        ],
        "chord_counts": [
            np.bincount(np.asarray(lengths, int)).tolist() if len(lengths) else []
            for lengths in chords
        ],
        "local_thickness": {
            "mean_radius": float(radius_N.mean()),
            "radius": list(range(1, 11)),
            "share_at_or_below": [float((radius_N <= r).mean()) for r in range(1, 11)],
        },
        "two_point_correlation": {
            "distance": np.asarray(correlation.distance).tolist(),
            "probability": np.asarray(correlation.probability).tolist(),
        },
        "surface_area": float(porespy.metrics.region_surface_areas(phase_ZYX.astype(int))[0]),
    }


def main() -> None:
    """Writes measure.json beside this file."""
    class_ZYX = three_phases(SHAPE, radii=RADII, seed=SEED)
    names = ("taufactor", "porespy", "openpnm", "torch", "numpy", "scipy", "scikit-image")
    found = {
        "versions": {name: metadata.version(name) for name in names},
        "volume": {
            "shape": SHAPE, "radii": RADII, "seed": SEED, "crc32": fingerprint(class_ZYX)
        },
        "spacing": SPACING,
        "choices": CHOICES,
        "phases": [measured(class_ZYX == phase) for phase in range(PHASES)],
    }  # fmt: skip
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found) + "\n")
    print(f"written {path}")


if __name__ == "__main__":
    main()
