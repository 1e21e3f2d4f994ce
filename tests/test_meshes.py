"""Meshes are closed, as large as the body, and in files as they were."""

import doctest

import numpy as np
import pytest
from bodies import ball
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xseg_jax.errors import InputError, SaveError
from xseg_jax.measure import meshes as module
from xseg_jax.measure.meshes import mesh_area, mesh_volume, surface_mesh, write_ply, write_stl

UNIT = (1.0, 1.0, 1.0)
volumes = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))


def twos(mesh):
    """Each edge of each triangle, and the same edge in the other direction."""
    edge_E2 = np.concatenate([mesh.face_FC[:, [k, (k + 1) % 3]] for k in range(3)]).astype(np.int64)
    return edge_E2 @ [1 << 32, 1], edge_E2 @ [1, 1 << 32]


def is_closed(mesh):
    """Each edge belongs to two triangles, which turn the same way; each vertex to some."""
    forth_E, back_E = twos(mesh)
    once = len(np.unique(forth_E)) == len(forth_E)
    all_used = np.array_equal(np.unique(mesh.face_FC), np.arange(len(mesh.vertex_VA)))
    return once and all_used and np.array_equal(np.sort(forth_E), np.sort(back_E))


def euler(mesh):
    return len(mesh.vertex_VA) - len(twos(mesh)[0]) // 2 + len(mesh.face_FC)


def test_examples():
    assert doctest.testmod(module).failed == 0


@settings(deadline=None, max_examples=60)
@given(volumes, st.sampled_from([0, 0.4, 1]), st.integers(1, 9))
def test_any_phase_has_a_closed_surface_however_it_is_cut(phase_ZYX, smoothing, planes):
    whole = surface_mesh(phase_ZYX, UNIT, smoothing=smoothing)
    assert is_closed(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PLANES", planes)
        sewn = surface_mesh(phase_ZYX, UNIT, smoothing=smoothing)
    assert is_closed(sewn)
    assert sewn.face_FC.shape == whole.face_FC.shape
    assert mesh_volume(sewn) == pytest.approx(mesh_volume(whole), rel=1e-4)
    assert mesh_area(sewn) == pytest.approx(mesh_area(whole), rel=1e-4)


@pytest.mark.parametrize(
    ("smoothing", "area", "volume"), [(0, (0.07, 0.1), 0.015), (0.7, (-0.03, 0.012), 0.06)]
)
@pytest.mark.parametrize("radius", [6, 12])
def test_balls_are_as_large_as_said(radius, smoothing, area, volume):
    phase_ZYX = ball(3 * (2 * radius + 9,), 3 * (radius + 4.3,), radius)
    mesh = surface_mesh(phase_ZYX, UNIT, smoothing=smoothing)
    assert euler(mesh) == 2
    assert area[0] < mesh_area(mesh) / (4 * np.pi * radius**2) - 1 < area[1]
    assert mesh_volume(mesh) == pytest.approx(4 / 3 * np.pi * radius**3, rel=volume)
    middle_A = mesh.vertex_VA.mean(axis=0)
    assert middle_A.tolist() == pytest.approx(3 * [radius + 4.3], abs=0.3)


def test_smoothing_that_shrinks_with_voxels_converges():
    errors = []
    for edge in (1, 1 / 2, 1 / 4):
        phase_ZYX = ball(3 * (int(18 / edge),), 3 * (8.6,), 6, spacing=3 * (edge,))
        mesh = surface_mesh(phase_ZYX, 3 * (edge,), smoothing=0.7)
        errors.append(abs(mesh_volume(mesh) / (4 / 3 * np.pi * 6**3) - 1))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.01


def test_places_are_x_y_z_in_the_unit_of_the_spacing():
    phase_ZYX = np.zeros((6, 8, 20), bool)
    phase_ZYX[2, 3:5, 5:15] = True
    mesh = surface_mesh(phase_ZYX, (4, 2, 0.5), smoothing=0)
    low_A, high_A = mesh.vertex_VA.min(axis=0), mesh.vertex_VA.max(axis=0)
    assert low_A.tolist() == pytest.approx([4.5 * 0.5, 2.5 * 2, 1.5 * 4], abs=0.01)
    assert high_A.tolist() == pytest.approx([14.5 * 0.5, 4.5 * 2, 2.5 * 4], abs=0.01)


def test_long_voxels_have_the_same_ball():
    phase_ZYX = ball((20, 40, 80), (19, 19, 19), 14, spacing=(2, 1, 0.5))
    mesh = surface_mesh(phase_ZYX, (2, 1, 0.5))
    # Steps of 2 along z are still seen.
    assert mesh_area(mesh) == pytest.approx(4 * np.pi * 14**2, rel=0.04)
    assert mesh_volume(mesh) == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.02)


@pytest.mark.parametrize("smoothing", [0, 1])
def test_what_fills_the_volume_is_cut_flat_at_its_faces(smoothing):
    mesh = surface_mesh(np.ones((20, 30, 40), bool), UNIT, smoothing=smoothing)
    assert is_closed(mesh)
    assert mesh.vertex_VA.min(axis=0).tolist() == pytest.approx(3 * [-0.5], abs=1e-3)
    assert mesh.vertex_VA.max(axis=0).tolist() == pytest.approx([39.5, 29.5, 19.5], abs=1e-3)
    # Edges are bevelled by half a voxel.
    assert mesh_volume(mesh) == pytest.approx(20 * 30 * 40, rel=0.003)


def test_a_ring_has_a_hole_and_nothing_has_no_surface():
    ring_ZYX = ball((9, 30, 30), (4, 15, 15), 13) & ~ball((9, 30, 30), (4, 15, 15), 7)
    assert euler(surface_mesh(ring_ZYX, UNIT)) == 0
    empty = surface_mesh(np.zeros((5, 5, 5), bool), UNIT)
    assert (empty.vertex_VA.shape, empty.face_FC.shape) == ((0, 3), (0, 3))
    with pytest.raises(InputError, match="smoothing is -1"):
        surface_mesh(ring_ZYX, UNIT, smoothing=-1)


def test_more_vertices_than_a_number_has_are_refused(monkeypatch):
    phase_ZYX = ball((9, 9, 9), (4, 4, 4), 3)
    monkeypatch.setattr(module, "MOST", len(surface_mesh(phase_ZYX, UNIT).vertex_VA) - 1)
    with pytest.raises(InputError, match="one of a part"):
        surface_mesh(phase_ZYX, UNIT)


def read_ply(path):
    header, _, body = path.read_bytes().partition(b"end_header\n")
    lines = header.decode().splitlines()
    counts = [int(line.split()[2]) for line in lines if line.startswith("element")]
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    face = np.dtype([("n", "u1"), ("v", "<i4", 3)])
    assert len(body) == 12 * counts[0] + face.itemsize * counts[1]
    vertex_VA = np.frombuffer(body, "<f4", 3 * counts[0]).reshape(-1, 3)
    record_F = np.frombuffer(body, face, offset=12 * counts[0])
    assert (record_F["n"] == 3).all()
    return vertex_VA, record_F["v"], lines


def read_stl(path):
    data = path.read_bytes()
    record = np.dtype([("normal", "<f4", 3), ("corner", "<f4", (3, 3)), ("attribute", "<u2")])
    assert not data.startswith(b"solid")
    assert len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    return np.frombuffer(data, record, offset=84)


@pytest.mark.parametrize("chunk", [7, 1 << 18])
def test_files_hold_the_mesh(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(module, "CHUNK", chunk)
    mesh = surface_mesh(ball((9, 9, 9), (4, 4, 4), 3), (1, 2, 3))
    write_ply(tmp_path / "a.ply", mesh, "um")
    vertex_VA, face_FC, lines = read_ply(tmp_path / "a.ply")
    assert np.array_equal(vertex_VA, mesh.vertex_VA)
    assert np.array_equal(face_FC, mesh.face_FC)
    assert "comment xseg_jax, lengths in um" in lines
    write_stl(tmp_path / "a.stl", mesh, "um")
    record_F = read_stl(tmp_path / "a.stl")
    assert np.array_equal(record_F["corner"], mesh.vertex_VA[mesh.face_FC])
    assert np.linalg.norm(record_F["normal"], axis=1) == pytest.approx(1, abs=1e-6)
    # Normals of a ball point away from its middle.
    away_FA = record_F["corner"].mean(axis=1) - (12, 8, 4)
    assert (np.einsum("fa,fa->f", record_F["normal"], away_FA) > 0).all()


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    mesh = surface_mesh(ball((9, 9, 9), (4, 4, 4), 3), UNIT)
    with pytest.raises(SaveError, match=r"gone.a\.ply: the mesh cannot be written"):
        write_ply(tmp_path / "gone" / "a.ply", mesh, "um")

    def fails(mesh):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(module, "_corners", fails)
    with pytest.raises(SaveError, match="make room"):
        write_stl(tmp_path / "a.stl", mesh, "um")
    assert list(tmp_path.iterdir()) == []
