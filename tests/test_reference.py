"""Quantities beside those of porespy on one volume (tests/reference/measure.json has versions)."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.structure import fingerprint, three_phases
from xseg_jax.measure.chords import chord_sums, mean_chords
from xseg_jax.measure.connectivity import connectivity
from xseg_jax.measure.correlation import radial_correlation
from xseg_jax.measure.meshes import mesh_area, surface_mesh
from xseg_jax.measure.surfaces import interface_areas, surface_sums
from xseg_jax.measure.thickness import local_thickness

REFERENCE = json.loads((Path(__file__).parent / "reference" / "measure.json").read_text())
CUBE = (1.0, 1.0, 1.0)
PHASES = range(3)


@pytest.fixture(scope="module")
def phases():
    about = REFERENCE["volume"]
    class_ZYX = three_phases(about["shape"], radii=about["radii"], seed=about["seed"])
    assert fingerprint(class_ZYX) == about["crc32"]
    return class_ZYX


@pytest.mark.parametrize("phase", PHASES)
def test_what_percolates_is_the_same(phases, phase):
    found = connectivity(phases == phase)
    expected = REFERENCE["phases"][phase]
    share = np.array(found.percolating) * expected["fraction"]
    np.testing.assert_allclose(share, expected["percolating_porosity"], atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("phase", PHASES)
def test_whole_chords_are_as_long(phases, phase, axis):
    """Theirs are on every second line alone."""
    ours = mean_chords(chord_sums(phases, 3, CUBE))[axis, phase]
    counts_L = np.array(REFERENCE["phases"][phase]["chord_counts"][axis])
    theirs = (counts_L * np.arange(len(counts_L))).sum() / counts_L.sum()
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("phase", PHASES)
def test_local_thickness_is_theirs_but_for_radii_rounded_down(phases, phase):
    phase_ZYX = phases == phase
    thickness_ZYX, _ = local_thickness(phase_ZYX, CUBE)
    mean = thickness_ZYX[phase_ZYX].mean()
    theirs = 2 * REFERENCE["phases"][phase]["local_thickness"]["mean_radius"]
    assert 0 < mean - theirs < 1.3


@pytest.mark.parametrize("phase", PHASES)
def test_two_point_correlations_agree(phases, phase):
    r_R, share_KR = radial_correlation(phases, 3, CUBE, reach=19)
    expected = REFERENCE["phases"][phase]
    theirs = expected["two_point_correlation"]
    ours = np.interp(theirs["distance"][1:], r_R, share_KR[phase]) / expected["fraction"]
    np.testing.assert_allclose(ours, theirs["probability"][1:], rtol=0.05)


@pytest.mark.parametrize("phase", PHASES)
def test_areas_are_theirs_with_the_faces_that_they_count(phases, phase):
    """Theirs is of a smoothed mesh that is closed at the faces of the volume, as is our mesh."""
    padded = np.pad((phases == phase).astype(np.uint8), 1)
    area = interface_areas(surface_sums(padded, 2, CUBE))[0, 1]
    theirs = REFERENCE["phases"][phase]["surface_area"]
    assert mesh_area(surface_mesh(phases == phase, CUBE)) == pytest.approx(theirs, rel=0.05)
    assert area == pytest.approx(theirs, rel=0.15)  # Theirs is smoothed.
