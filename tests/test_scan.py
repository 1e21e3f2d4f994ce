"""What every scan promises, and how its file is found: names, kinds, errors, pickling, threads."""

import pickle
import threading

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from volumes import volume

from xseg_jax.errors import InputError
from xseg_jax.scans.kinds import KINDS
from xseg_jax.scans.scan import Scan, open_scan


class ArrayScan(Scan):
    """A scan of an array that notes which regions are read."""

    def __init__(self, array_ZYX, dtype=None):
        super().__init__("array.raw", array_ZYX.shape, dtype or array_ZYX.dtype)
        self.array_ZYX, self.regions = array_ZYX, []

    def _read(self, region):
        self.regions.append(region)
        return self.array_ZYX[region]


SHAPES = st.tuples(*[st.integers(1, 6)] * 3)


@given(SHAPES, st.data())
def test_planes_and_slabs_are_those_of_the_array(shape, data):
    array_ZYX = np.arange(np.prod(shape)).reshape(shape)
    scan = ArrayScan(array_ZYX)
    axis = data.draw(st.integers(0, 2))
    index = data.draw(st.integers(0, shape[axis] - 1))
    np.testing.assert_array_equal(scan.plane(index, axis), array_ZYX.take(index, axis))
    start = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(start + 1, shape[0]))
    np.testing.assert_array_equal(scan.slab(start, stop), array_ZYX[start:stop])
    # Nothing else was read.
    sizes = [np.prod([part.stop - part.start for part in region]) for region in scan.regions]
    assert sizes == [array_ZYX.size / shape[axis], array_ZYX[start:stop].size]


@pytest.mark.parametrize(("index", "axis"), [(5, 0), (-1, 0), (7, 1), (9, 2)])
def test_planes_that_are_not_there(index, axis):
    with pytest.raises(IndexError, match=rf"array.raw: no plane {index} of \d along {axis}"):
        ArrayScan(volume()).plane(index, axis)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (3, 2), (0, 6)])
def test_slabs_that_are_not_there(start, stop):
    with pytest.raises(IndexError, match=rf"array.raw: no planes {start} to {stop} of 5"):
        ArrayScan(volume()).slab(start, stop)


def test_a_picture_of_a_volume_is_its_gray_plane():
    picture = ArrayScan(volume()).picture(3)
    assert (picture.kind, picture.lossy, picture.palette_N3) == ("gray", "", None)
    np.testing.assert_array_equal(picture.pixels, volume()[3])


def test_a_file_that_is_not_what_it_announced():
    scan = ArrayScan(volume("uint8"), np.dtype("uint16"))
    with pytest.raises(
        InputError, match=r"plane 0 along axis 0 is uint8 .* the file announced uin"
    ):
        scan.plane(0)


def test_a_closed_scan_is_not_read(tmp_path):
    np.save(tmp_path / "scan.npy", volume())
    with open_scan(tmp_path / "scan.npy") as scan:
        scan.plane(0)
    with pytest.raises(ValueError, match=r"scan.npy: is closed"):
        scan.plane(0)
    assert scan.shape == (5, 7, 9)


def test_a_pickle_is_the_path_and_not_the_pixels(tmp_path):
    np.save(tmp_path / "scan.npy", np.zeros((50, 100, 100)))
    with open_scan(tmp_path / "scan.npy") as scan:
        packed = pickle.dumps(scan)
    assert len(packed) < 500
    with pickle.loads(packed) as copy:
        assert copy.slab(0, 50).sum() == 0


def test_a_pickle_finds_its_file_from_another_folder(tmp_path, monkeypatch):
    np.save(tmp_path / "scan.npy", volume())
    monkeypatch.chdir(tmp_path)
    with open_scan("scan.npy") as scan:
        packed = pickle.dumps(scan)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(packed) as copy:
        np.testing.assert_array_equal(copy.plane(0), volume()[0])


def test_threads_read_at_the_same_time():
    both = threading.Barrier(2, timeout=20)

    class Waiting(ArrayScan):
        def _read(self, region):
            both.wait()  # Passed only when two threads are here.
            return super()._read(region)

    scan = Waiting(volume())
    other = threading.Thread(target=scan.plane, args=(0,))
    other.start()
    np.testing.assert_array_equal(scan.plane(1), volume()[1])
    other.join()


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.tif", "a"), ("a.b.tif", "a.b"), ("a.ome.tif", "a"), ("a.npy", "a"), ("a 1.tiff", "a 1")],
)
def test_names(tmp_path, file, name):
    if file.endswith(".npy"):
        np.save(tmp_path / file, volume())
    else:
        tifffile.imwrite(tmp_path / file, volume(), metadata={"axes": "ZYX"})
    with open_scan(tmp_path / file) as scan:
        assert scan.name == name


@pytest.mark.parametrize("name", ["a::b.npy", "a[1].npy", "a b.npy", "\u00fc.npy", "a%20b.npy"])
def test_odd_names(tmp_path, name):
    np.save(tmp_path / name, volume())
    with open_scan(tmp_path / name) as scan:
        np.testing.assert_array_equal(scan.plane(0), volume()[0])


def test_content_counts_more_than_the_suffix(tmp_path):
    tifffile.imwrite(tmp_path / "a.raw", volume(), photometric="minisblack")
    np.save(tmp_path / "b.npy", volume())
    (tmp_path / "b.npy").rename(tmp_path / "b.tif")
    (tmp_path / "link.h5").symlink_to(tmp_path / "b.tif")
    for name in ("a.raw", "b.tif", "link.h5"):
        with open_scan(tmp_path / name) as scan:
            np.testing.assert_array_equal(scan.slab(0, 5), volume())


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"away.tif: no such file or folder; check the path"):
        open_scan(tmp_path / "away.tif")
    with pytest.raises(InputError, match=r"away.h5: no such file or folder; check the path"):
        open_scan(f"{tmp_path}/away.h5::/data")
    (tmp_path / "link.tif").symlink_to(tmp_path / "away.tif")
    with pytest.raises(InputError, match=r"link.tif: no such file or folder; it is a broken link"):
        open_scan(tmp_path / "link.tif")


def test_kinds_that_are_not_known(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"a.txt: is of no known kind; known are folders of slice"):
        open_scan(tmp_path / "a.txt")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(InputError, match=r"a.xyz: is empty \(0 bytes\); copy or export it again"):
        open_scan(tmp_path / "a.xyz")


def test_a_pointer_of_git_lfs(tmp_path):
    said = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 99\n"
    (tmp_path / "a.tif").write_text(said)
    with pytest.raises(InputError, match=r"a.tif: is a pointer of Git LFS, not the data; run git"):
        open_scan(tmp_path / "a.tif")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "scan.npy", volume())
    with open_scan("~/scan.npy") as scan:
        assert scan.shape == (5, 7, 9)


# nibabel leaves closing files of FreeSurfer to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged_files_of_every_kind_are_one_line(tmp_path, kind):
    rng = np.random.default_rng(0)
    for suffix in kind.suffixes:
        for start in ((0, b""), *kind.magic):
            data = bytearray(rng.integers(0, 256, 5000, np.uint8).tobytes())
            data[start[0] : start[0] + len(start[1])] = start[1]
            path = tmp_path / f"a{suffix}"
            path.write_bytes(data)
            with pytest.raises(InputError) as failed, open_scan(path) as scan:
                scan.plane(0)
            assert f"a{suffix}" in str(failed.value)
            assert "\n" not in str(failed.value)
