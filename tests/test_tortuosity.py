import doctest
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.structure import fingerprint, three_phases
from xseg_jax.measure import laplace
from xseg_jax.measure import tortuosity as module
from xseg_jax.measure.tortuosity import estimate, tortuosity

REFERENCE = json.loads((Path(__file__).parent / "reference" / "measure.json").read_text())


def direct(phase_ZYX, spacing):
    """Deff / D0 along z by a sparse direct solver, of a phase that percolates."""
    dz, dy, dx = spacing
    conductances = (dy * dx / dz, dz * dx / dy, dz * dy / dx)
    phase_ZYX = module.percolating(phase_ZYX, 0)
    number_ZYX = np.full(phase_ZYX.shape, -1)
    number_ZYX[phase_ZYX] = np.arange(phase_ZYX.sum())
    rows, columns, values = [], [], []
    for a, conductance in enumerate(conductances):
        one_N, next_N = np.delete(number_ZYX, -1, a).ravel(), np.delete(number_ZYX, 0, a).ravel()
        both_N = (one_N >= 0) & (next_N >= 0)
        i_N, j_N = one_N[both_N], next_N[both_N]
        for r_N, c_N, sign in ((i_N, i_N, 1), (j_N, j_N, 1), (i_N, j_N, -1), (j_N, i_N, -1)):
            rows.append(r_N)
            columns.append(c_N)
            values.append(np.full(len(r_N), sign * conductance))
    source_N = np.zeros(phase_ZYX.sum())
    for face, potential in ((0, 1), (-1, 0)):
        at_N = number_ZYX[face][phase_ZYX[face]]
        rows.append(at_N)
        columns.append(at_N)
        values.append(np.full(len(at_N), 2 * conductances[0]))
        source_N[at_N] += 2 * conductances[0] * potential
    matrix = scipy.sparse.csc_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    )
    potential_N = scipy.sparse.linalg.spsolve(matrix, source_N)
    first_N = number_ZYX[0][phase_ZYX[0]]
    flux = (2 * conductances[0] * (1 - potential_N[first_N])).sum()
    planes, height, width = phase_ZYX.shape
    return flux * planes * dz / (height * dy * width * dx)


def noise(shape, share, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def test_the_example_is_true():
    assert doctest.testmod(module) == (0, 5)


@settings(max_examples=4, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    axis=st.integers(0, 2),
    spacing=st.tuples(*[st.sampled_from([0.1, 0.5, 1.0, 20.0])] * 3),
)
def test_a_full_block_hinders_nothing(shape, axis, spacing):
    found = tortuosity(np.ones(shape, bool), axis, spacing)
    assert found.factor == pytest.approx(1, abs=1e-5)
    assert found.effective_diffusivity == pytest.approx(1, abs=1e-5)
    assert found.fraction == found.percolating_fraction == 1
    assert found.converged


def test_a_straight_channel_carries_its_fraction():
    phase_ZYX = np.zeros((9, 11, 14), bool)
    phase_ZYX[3:5, 2:8] = True
    found = tortuosity(phase_ZYX, 2)
    assert found.factor == pytest.approx(1, abs=1e-5)
    assert found.effective_diffusivity == pytest.approx(12 / 99, rel=1e-5)


def test_a_laminate_is_free_along_and_closed_across():
    phase_ZYX = np.zeros((12, 10, 10), bool)
    phase_ZYX[::3] = True
    along, across = tortuosity(phase_ZYX, 1), tortuosity(phase_ZYX, 0)
    assert along.factor == pytest.approx(1, abs=1e-5)
    assert across.factor == math.inf
    assert across.effective_diffusivity == across.percolating_fraction == 0
    assert across.fraction == pytest.approx(1 / 3)
    assert across.converged


def test_a_zigzag_is_a_chain_of_resistors():
    phase_ZYX = np.zeros((21, 6, 5), bool)
    phase_ZYX[::4, 2, :] = phase_ZYX[2::4, 2, :] = True
    phase_ZYX[1::4, 2, 4] = phase_ZYX[3::4, 2, 0] = True
    phase_ZYX[0, 2, :], phase_ZYX[20, 2, :] = False, False
    phase_ZYX[0, 2, 4 if phase_ZYX[1, 2, 4] else 0] = True
    phase_ZYX[20, 2, 0] = True
    # Every voxel is one resistance between centres, with half of one at either end.
    found = tortuosity(phase_ZYX, 0, tolerance=1e-6)
    assert found.effective_diffusivity == pytest.approx(21 / (30 * phase_ZYX.sum()), rel=1e-5)
    assert found.factor == pytest.approx(phase_ZYX.sum() ** 2 / 21**2, rel=1e-5)


@pytest.mark.parametrize(
    ("spacing", "share"), [((1, 1, 1), 0.6), ((2.0, 0.5, 1.2), 0.6), ((0.3, 1.0, 1.0), 0.45)]
)
def test_a_random_volume_is_that_of_a_direct_solver(spacing, share):
    phase_ZYX = noise((12, 14, 16), share)
    found = tortuosity(phase_ZYX, 0, spacing)
    assert found.effective_diffusivity == pytest.approx(direct(phase_ZYX, spacing), rel=1e-4)
    assert found.flux_imbalance <= 1e-3
    assert found.factor == pytest.approx(phase_ZYX.mean() / found.effective_diffusivity)


def test_behind_a_neck_the_flux_is_balanced_too():
    phase_ZYX = np.ones((20, 20, 20), bool)
    phase_ZYX[8:12] = False
    phase_ZYX[8:12, 5, 7] = True
    found = tortuosity(phase_ZYX, 0, tolerance=1e-5)
    assert found.converged
    expected = direct(phase_ZYX, (1, 1, 1))
    assert found.effective_diffusivity == pytest.approx(expected, rel=1e-6)


def test_mirrors_turns_and_margins_change_nothing():
    phase_ZYX = noise((12, 14, 16), 0.5, seed=1)
    spacing = np.array([1.0, 2.0, 0.7])
    found = tortuosity(phase_ZYX, 1, spacing, tolerance=1e-5)
    for order, axis in (((1, 0, 2), 0), ((0, 2, 1), 2)):
        turned = tortuosity(phase_ZYX.transpose(order), axis, spacing[list(order)], tolerance=1e-5)
        assert turned.factor == pytest.approx(found.factor, rel=1e-6)
    mirrored = tortuosity(phase_ZYX[::-1, ::-1, ::-1], 1, spacing, tolerance=1e-5)
    assert mirrored.factor == pytest.approx(found.factor, rel=1e-6)
    # What is no phase around it takes area, and part of the fraction.
    wide_ZYX = np.pad(phase_ZYX, ((2, 1), (0, 0), (0, 3)))
    wide = tortuosity(wide_ZYX, 1, spacing, tolerance=1e-5)
    assert wide.factor == pytest.approx(found.factor, rel=1e-6)
    share = phase_ZYX.size / wide_ZYX.size
    assert wide.effective_diffusivity == pytest.approx(share * found.effective_diffusivity)


def test_the_unit_of_lengths_does_not_matter():
    phase_ZYX = noise((12, 14, 16), 0.6)
    small, large = (tortuosity(phase_ZYX, 0, (h, h, h)) for h in (1e-9, 1e6))
    assert small.factor == pytest.approx(large.factor, rel=1e-6)


def test_what_carries_nothing_counts_in_the_fraction_alone():
    phase_ZYX = np.zeros((8, 8, 8), bool)
    phase_ZYX[:, :4] = True
    phase_ZYX[3:5, 6] = True
    found = tortuosity(phase_ZYX, 0)
    assert found.effective_diffusivity == pytest.approx(0.5)
    assert found.factor == pytest.approx((256 + 16) / 256)
    assert found.percolating_fraction == pytest.approx(256 / 272)


def test_between_overlapping_spheres_theory_bounds_it():
    rng = np.random.default_rng(3)
    place_3ZYX = np.indices((40, 40, 40))
    solid_ZYX = np.zeros((40, 40, 40), bool)
    for centre in rng.uniform(-5, 45, (60, 3)):
        offset_3ZYX = place_3ZYX - centre[:, None, None, None]
        solid_ZYX |= (offset_3ZYX**2).sum(0) < 25
    found = tortuosity(~solid_ZYX, 0)
    fraction = found.fraction
    assert 0.6 < fraction < 0.9
    # Hashin and Shtrikman 1962, of any isotropic structure; Bruggeman 1935, nearly that of spheres.
    assert 0.9 * fraction**1.5 < found.effective_diffusivity < 2 * fraction / (3 - fraction)


def test_no_phase_lets_nothing_through():
    found = tortuosity(np.zeros((3, 4, 5), bool), 2)
    assert (found.factor, found.fraction, found.percolating_fraction) == (math.inf, 0, 0)


def test_it_is_that_of_other_programs():
    volume = REFERENCE["volume"]
    class_ZYX = three_phases(volume["shape"], radii=volume["radii"], seed=volume["seed"])
    assert fingerprint(class_ZYX) == volume["crc32"]
    for phase, axis in ((0, 0), (1, 1), (2, 2)):
        theirs = REFERENCE["phases"][phase]
        ours = tortuosity(class_ZYX == phase, axis)
        assert ours.factor == pytest.approx(theirs["taufactor"][axis], rel=1e-3)
        assert ours.percolating_fraction * ours.fraction == pytest.approx(
            theirs["percolating_porosity"][axis]
        )
        # porespy holds the potential in the centres of the outer voxels.
        assert ours.effective_diffusivity == pytest.approx(
            theirs["porespy_diffusivity"][axis], rel=0.05
        )


def test_it_is_that_of_taufactor_where_voxels_are_no_cubes():
    volume = REFERENCE["volume"]
    class_ZYX = three_phases(volume["shape"], radii=volume["radii"], seed=volume["seed"])
    found = tortuosity(class_ZYX == 0, 1, REFERENCE["spacing"])
    theirs = REFERENCE["phases"][0]["taufactor_anisotropic"][1]
    assert found.factor == pytest.approx(theirs, rel=2e-3)


def test_progress_tells_iterations_and_imbalance():
    seen = []
    found = tortuosity(noise((12, 14, 16), 0.6), 0, progress=lambda n, gap: seen.append((n, gap)))
    assert [n for n, _ in seen] == list(range(3, found.iterations + 1, 3))
    assert seen[-1][1] == found.flux_imbalance


def test_what_is_not_solved_is_said(monkeypatch, caplog):
    monkeypatch.setattr(module, "MOST_ITERATIONS", 3)
    with caplog.at_level(logging.WARNING):
        found = tortuosity(noise((12, 14, 16), 0.6), 0, tolerance=1e-7)
    assert not found.converged
    assert "along z is not solved to 1e-07 after 3 iterations" in caplog.text


def test_an_estimate_grows_with_the_volume():
    small, large = estimate((8, 8, 8)), estimate((512, 256, 128))
    assert small.bytes == 48 * 512
    assert large.bytes == 48 * 2**24
    assert 0 < small.seconds < large.seconds


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"phase_ZYX": np.ones((2, 2, 2), np.uint8)}, "uint8"),
        ({"phase_ZYX": np.ones((2, 2), bool)}, r"\(2, 2\)"),
        ({"axis": 3}, "axis is 3"),
        ({"spacing": (1, 1, math.nan)}, "spacing"),
        ({"spacing": (1, 1, 0)}, "spacing"),
        ({"tolerance": 0}, "tolerance is 0"),
    ],
)
def test_wrong_arguments_are_named(changed, said):
    arguments = {"phase_ZYX": np.ones((2, 2, 2), bool), "axis": 0} | changed
    with pytest.raises(ValueError, match=said):
        tortuosity(**arguments)


def test_sums_of_large_volumes_lose_no_digits():
    x_ZYX = np.full((64, 64, 64), 0.1, np.float32)
    assert float(laplace._sum(x_ZYX)) == pytest.approx(26214.4, rel=1e-6)
