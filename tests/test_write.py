"""Which file a volume becomes; that it comes back as it was, whole or not at all."""

import math
import resource
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volumes import check
from written import ABOUT, GEOMETRY, LEGEND, TURN, labels, write

from xseg_jax.colours import class_rgb
from xseg_jax.errors import InputError, SaveError
from xseg_jax.scans import write_tiff
from xseg_jax.scans.scan import Geometry, open_scan
from xseg_jax.scans.units import METRES
from xseg_jax.scans.write import (
    DTYPES,
    KINDS,
    Legend,
    in_unit,
    label_dtype,
    open_with,
    output_kind,
    write_volume,
)
from xseg_jax.scans.write_medical import NIFTI_UNIT

ROOT = Path(__file__).parent.parent
SUFFIXES = (".tif", ".ome.tif", ".h5", ".nii", ".nii.gz", ".nrrd", ".seg.nrrd")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.zarr", "OME-Zarr"), ("a.OME.Zarr", "OME-Zarr"), ("a.tif", "TIFF"), ("a.TIFF", "TIFF"),
        ("a.h5", "HDF5"), ("a.nii", "NIfTI"), ("a.nii.gz", "NIfTI"), ("a.seg.nrrd", "NRRD"),
        ("a", "a folder of TIFF slices"), ("v1.2", "a folder of TIFF slices"),
    ],
)  # fmt: skip
def test_the_suffix_says_the_kind(name, kind):
    assert output_kind(f"/out/{name}").name == kind
    assert output_kind(name).blocks == (kind == "OME-Zarr")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.mha", "MetaImage"), ("a.png", "a picture"), ("a.zarr.zip", "zipped Zarr")],
)
def test_what_is_read_and_not_written_is_refused(name, kind):
    with pytest.raises(InputError, match=rf"^{name}: {kind} is not written; .*\.zarr \.tif .*fold"):
        output_kind(name)


def test_a_package_that_is_missing_is_named_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^a.nii: writing NIfTI needs nibabel; pip install nib"):
        output_kind("a.nii")
    assert output_kind("a.nrrd").name == "NRRD"


@pytest.mark.parametrize("suffix", ["", *(suffix for kind in KINDS for suffix in kind.suffixes)])
def test_what_opens_it_is_one_line_with_the_name_as_a_shell_takes_it(suffix):
    said = open_with(f"my out/a\nb{suffix}")
    assert "\n" not in said
    assert "{" not in said
    assert f"'my out/a\\nb{suffix}'" in said or suffix in (".h5", ".hdf5", ".hdf")
    assert "'my out/" in open_with(f"my out/a{suffix}")


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_the_smallest_type_that_holds_the_values(values):
    dtype = label_dtype(values)
    assert np.array(values).astype(dtype).tolist() == values
    smaller = {"uint16": 2**8, "uint32": 2**16}.get(dtype.name, 0)
    assert max(values) >= smaller


@pytest.mark.parametrize("value", [-1, 2**32])
def test_values_that_no_label_volume_holds(value):
    with pytest.raises(InputError, match=rf"^label value {value}: cannot .* 0 to 4294967295; give"):
        label_dtype([0, value])


def test_a_legend_has_the_colours_of_the_figures():
    assert LEGEND.rgb == tuple(class_rgb(k) for k in range(3))
    assert LEGEND.colours[0] == "#332288"
    for wrong in (
        ((0, 1), ("a",), ("#000000",)),
        ((0, 0), ("a", "b"), ("#000000", "#ffffff")),
        ((0,), ("a",), ("black",)),
        ((), (), ()),
    ):
        with pytest.raises(ValueError, match="a legend has"):
            Legend(*wrong)


def test_a_legend_that_the_type_does_not_hold(tmp_path):
    for dtype, legend in (("uint8", Legend.of((300,), ("a",))), ("float32", LEGEND)):
        with pytest.raises(ValueError, match="does not hold the values"):
            write_volume(
                tmp_path / "a.nrrd", iter(()), shape=(1, 2, 3), dtype=dtype, geometry=GEOMETRY,
                legend=legend, about={},
            )  # fmt: skip


def test_another_unit_is_the_same_place():
    moved = in_unit(GEOMETRY, "nm")
    assert moved.unit == "nm"
    np.testing.assert_allclose(moved.voxel_size, (2000, 500, 250))
    np.testing.assert_allclose(moved.origin, (1000, 2000, 3000))
    assert in_unit(Geometry((1.0, 1.0, 1.0)), "nm") == Geometry((1.0, 1.0, 1.0))


def kept(suffix, geometry, shape, dtype):
    """What a format keeps of a geometry, as docs/formats.md says."""
    if ".nii" in suffix and geometry.unit:
        geometry = in_unit(geometry, NIFTI_UNIT[geometry.unit])
    if ".tif" in suffix and geometry.unit == "m":
        geometry = in_unit(geometry, "um")
    size, unit = geometry.voxel_size, geometry.unit
    origin, direction = geometry.origin, geometry.direction
    placed = origin is not None or direction is not None
    known = size and tuple(1.0 if math.isnan(s) else s for s in size)
    if suffix in (".tif", ".ome.tif", ".h5") and not unit:
        return Geometry(direction=direction if suffix == ".h5" else None)
    if suffix == ".h5":
        return Geometry(size, unit if size or origin else None, origin, direction)
    if ".tif" in suffix:
        imagej = suffix == ".tif" and dtype != "uint32"
        if not size or (all(map(math.isnan, size)) and not imagej):
            return Geometry()
        size = known if imagej else size
        # The depth of one plane is not asked for.
        return Geometry(size if shape[0] > 1 else (math.nan, *size[1:]), unit)
    if placed:
        origin, direction = origin or (0.0, 0.0, 0.0), direction or np.eye(3).tolist()
        return Geometry(known or (1.0,) * 3, unit, origin, direction)
    return geometry if ".nrrd" in suffix else Geometry(known or (1.0,) * 3, unit)


def in_metres(geometry):
    factor = METRES[geometry.unit] if geometry.unit else 1.0
    nothing = (math.nan,) * 3
    return (
        np.multiply(geometry.voxel_size or nothing, factor),
        np.multiply(geometry.origin or nothing, factor),
        np.array(geometry.direction or (nothing,) * 3),
    )


lengths = st.floats(1e-3, 1e3)
geometries = st.builds(
    Geometry,
    st.none() | st.tuples(lengths | st.just(math.nan), lengths, lengths),
    st.none() | st.sampled_from(sorted(METRES)),
    st.none() | st.tuples(*[st.integers(-(10**6), 10**6).map(lambda n: n / 1000)] * 3),
    st.none() | st.just(TURN),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    geometry=geometries,
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(tmp_path, suffix, dtype, shape, geometry, seed):
    expected_ZYX = labels(dtype, shape, seed)
    path = write(tmp_path / f"{suffix.replace('.', '')}{suffix}", expected_ZYX, geometry)
    with open_scan(path) as scan:
        assert scan.shape == shape
        assert scan.dtype == dtype
        np.testing.assert_array_equal(scan.slab(0, shape[0]), expected_ZYX)
        wanted = kept(suffix, geometry, shape, dtype)
        assert (scan.unit is None) == (wanted.unit is None)
        pairs = zip(in_metres(scan.geometry), in_metres(wanted), (0, 0, 1e-6), strict=True)
        for found, expected, atol in pairs:
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=atol)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_planes_of_every_axis(tmp_path, suffix, dtype):
    expected_ZYX = labels(dtype, (11, 30, 20))  # Several slabs of an HDF5 chunk, the last cut off.
    with open_scan(write(tmp_path / f"a{suffix}", expected_ZYX)) as scan:
        check(scan, expected_ZYX)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_volumes_make_equal_files(tmp_path, suffix):
    if suffix == ".ome.tif":
        pytest.skip("an OME-TIFF has a random name for itself")
    (tmp_path / "b").mkdir()
    first = write(tmp_path / f"a{suffix}", labels()).read_bytes()
    assert write(tmp_path / "b" / f"c{suffix}", labels()).read_bytes() == first


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("wrong", ["few", "many", "shape", "dtype"])
def test_planes_that_were_not_announced_leave_what_was_there(tmp_path, suffix, wrong):
    planes = [*labels()]
    if wrong == "few":
        planes.pop()
    elif wrong == "many":
        planes.append(planes[0])
    else:
        planes[3] = planes[3].T if wrong == "shape" else planes[3].astype("uint16")
    (tmp_path / f"a{suffix}").write_text("old")
    said = {"few": "4 planes came, 5", "many": "more planes than the 5"}.get(
        wrong, "plane 3 is uin"
    )
    with pytest.raises(ValueError, match=said):
        write_volume(
            tmp_path / f"a{suffix}", planes, shape=(5, 7, 9), dtype="uint8", geometry=GEOMETRY,
            about={},
        )  # fmt: skip
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_of_the_giver_of_planes_is_his(tmp_path, suffix):
    def planes():
        yield labels()[0]
        raise InputError("scan.tif: is damaged")

    with pytest.raises(InputError, match=r"^scan.tif: is damaged$"):
        write_volume(
            tmp_path / f"a{suffix}", planes(), shape=(5, 7, 9), dtype="uint8", geometry=GEOMETRY,
            about={},
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(name="small_disk")
def _small_disk():
    """No file may grow beyond 300 kB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, small_disk, suffix):
    noise_ZYX = np.random.default_rng(0).integers(0, 2**16, (20, 200, 200), np.uint16)
    with pytest.raises(SaveError, match=r"^\S*/a\S*: the volume cannot be written \(.*; make room"):
        write(tmp_path / f"a{suffix}", noise_ZYX, legend=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_is_missing_is_one_line(tmp_path, suffix):
    with pytest.raises(SaveError, match=r"away/a\S*: the volume .*; the folder is missing"):
        write(tmp_path / "away" / f"a{suffix}", labels())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_is_that_of_a_few_planes(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(write_tiff, "BUFFER", 1 << 20)  # 4 planes.
    alive, most = weakref.WeakSet(), 0

    class Plane(np.ndarray):
        def __hash__(self):
            return id(self)

        def __eq__(self, other):
            return self is other

    def planes():
        nonlocal most
        for z in range(40):
            plane_YX = np.full((512, 512), z, np.uint8).view(Plane)
            alive.add(plane_YX)
            most = max(most, len(alive))
            yield plane_YX
            del plane_YX

    write_volume(
        tmp_path / f"a{suffix}", planes(), shape=(40, 512, 512), dtype="uint8", geometry=GEOMETRY,
        about={},
    )  # fmt: skip
    assert most <= 10


@pytest.mark.parametrize("name", ["a.zarr", "folder"])
def test_blocks_and_folders_are_not_written_plane_by_plane(tmp_path, name):
    with pytest.raises(ValueError, match="is not written plane by plane"):
        write(tmp_path / name, labels())
    with pytest.raises(ValueError, match="int64 is not written; types are uint8"):
        write(tmp_path / "a.tif", labels().astype("int64"))


def test_a_writer_is_imported_when_its_format_is_met():
    program = (
        "import sys, xseg_jax.scans.write as w; w.open_with('a.zarr'); w.output_kind('a.h5'); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    unwanted = {"jax", "tensorflow", "tensorstore", "h5py", "nibabel", "SimpleITK"}
    assert set(said.stdout.split()).isdisjoint(unwanted)


def test_the_notes_hold_classes_and_provenance():
    from xseg_jax.scans.write import Volume

    volume = Volume((1, 2, 3), np.dtype("uint8"), GEOMETRY, LEGEND, ABOUT)
    assert volume.notes() | {"classes": 0} == {**ABOUT, "classes": 0}
    assert volume.notes()["classes"][1] == {"value": 7, "name": "céramique", "colour": "#44aa99"}
    assert replace(volume, legend=None).notes() == ABOUT
