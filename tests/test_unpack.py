"""Temporary copies of compressed files: written once, deleted always, full disks named."""

import errno
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan
from xseg_jax.scans.unpack import Unpacked


@pytest.fixture(autouse=True)
def _temporary(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


def left(tmp_path):
    return [path.name for path in (tmp_path / "temporary").iterdir()]


def test_it_is_written_once_for_all_threads(tmp_path):
    written = []
    wait = threading.Barrier(4, timeout=20)
    unpacked = Unpacked("a.gz", lambda file: written.append(file.write(b"content")))

    def ask(_):
        wait.wait()
        return unpacked.path()

    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(ask, range(4)))
    assert len(written) == len(paths) == 1
    assert paths.pop().read_bytes() == b"content"
    unpacked.close()
    assert left(tmp_path) == []


def test_it_is_deleted_with_its_object(tmp_path):
    unpacked = Unpacked("a.gz", lambda file: file.write(b"content"))
    unpacked.path()
    assert len(left(tmp_path)) == 1
    del unpacked
    gc.collect()
    assert left(tmp_path) == []


def test_a_scan_deletes_it(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "a.nrrd"
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
    sitk.WriteImage(image, str(path), useCompression=True)
    with open_scan(path) as scan:
        assert left(tmp_path) == []  # Asking for shape and type unpacks nothing.
        scan.plane(0)
        assert len(left(tmp_path)) == 1
    assert left(tmp_path) == []


def test_a_full_disk_is_one_line(tmp_path):
    def write(file):
        file.write(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        InputError, match=r"a.gz: cannot be unpacked into \S+temporary \(No space left .*set TMPDIR"
    ):
        Unpacked("a.gz", write).path()
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [EOFError("ended"), OSError("Not a gzipped file")])
def test_damaged_data_is_the_callers_error(tmp_path, error):
    def write(file):
        raise error

    with pytest.raises(type(error), match=str(error)):
        Unpacked("a.gz", write).path()
    assert left(tmp_path) == []
