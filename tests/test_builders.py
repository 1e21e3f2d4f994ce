"""Prepared planes are what was given, and nothing stale or half-made is served."""

import errno
import logging
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from xseg_jax.data import builders, manifest
from xseg_jax.data.builders import PreparedPlanes, XrayPlanes
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED, LabelMap
from xseg_jax.data.planes import Place, Plane
from xseg_jax.errors import InputError, SaveError

LABEL_MAP = LabelMap(("0", "7"), ("pore", "metal"), ignore="9")
SCALES = {"a": Normalizer(10.0, 2.5, 3.0, 17.0), "b ü": Normalizer(-1e-3, 1e7)}


def planes_of(dtype=np.uint8, channels=1, shapes=((12, 10), (7, 30), (1, 2))):
    """Planes of every size and kind of place."""
    rng = np.random.default_rng(0)
    places = [Place("a", 0, 9), Place("b ü", 2, 0), Place("a", 1, None)]
    planes = []
    for n, (shape, place) in enumerate(zip(shapes, places, strict=False)):
        image_HWC = rng.normal(0, 1e4, (*shape, channels)).astype(np.float32)
        if dtype != np.float32:
            image_HWC = rng.integers(0, np.iinfo(dtype).max + 1, image_HWC.shape, dtype)
        label_HW = rng.choice(np.array([0, 1, IGNORED], np.uint8), shape)
        planes.append(Plane(f"chloé {3 - n}", image_HWC, label_HW, place))
    return planes


@pytest.fixture
def prepare(tmp_path):
    """Prepares planes; gives them and how often they were asked for."""
    asked = []

    def call(planes, made_from=("x",), *, memory_gib=1.0, give=None, folder=tmp_path / "prepared"):
        def make(target):
            asked.append(target)
            return XrayPlanes(
                dtype=planes[0].image_HWC.dtype, channels=planes[0].image_HWC.shape[-1],
                label_map=LABEL_MAP, voxel_size=None, grey_scales=lambda: SCALES,
                planes=give or (lambda: iter(planes)), **target,
            )  # fmt: skip

        return builders.prepare(list(made_from), make, folder, memory_gib)

    call.asked = asked
    return call


def assert_equal(prepared, planes):
    assert len(prepared) == len(planes)
    for found, given in zip(prepared, planes, strict=True):
        assert (found.name, found.place) == (given.name, given.place)
        assert found.image_HWC.dtype == given.image_HWC.dtype
        assert found.label_HW.dtype == np.uint8
        np.testing.assert_array_equal(found.image_HWC, given.image_HWC)
        np.testing.assert_array_equal(found.label_HW, given.label_HW)


@pytest.mark.parametrize("memory_gib", [0.0, 1.0])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 5), (np.uint16, 1), (np.float32, 3)])
def test_all_of_a_plane_is_kept(prepare, dtype, channels, memory_gib):
    planes = planes_of(dtype, channels)
    prepared = prepare(planes, memory_gib=memory_gib)
    assert prepared.dtype == dtype
    assert prepared.channels == channels
    assert prepared.shapes == [(12, 10), (7, 30), (1, 2)]
    assert prepared.names == ["chloé 3", "chloé 2", "chloé 1"]
    assert prepared.places == [Place("a", 0, 9), Place("b ü", 2, 0), Place("a", 1, None)]
    assert prepared.grey_scales == SCALES
    assert prepared.label_map == LABEL_MAP
    for _ in range(2):
        assert_equal(prepared, planes)


def test_planes_are_a_sequence(prepare):
    prepared = prepare(planes_of())
    assert prepared[np.int64(2)].name == prepared[-1].name == "chloé 1"
    np.testing.assert_array_equal(prepared[-1].image_HW, prepared[2].image_HW)
    assert prepared[1] is prepared[1]
    for index in (3, -4):
        with pytest.raises(IndexError):
            prepared[index]


@pytest.mark.parametrize(("dtype", "channels", "size"), [(np.uint8, 1, 2), (np.uint16, 3, 7)])
def test_planes_that_do_not_fit_are_not_kept(prepare, dtype, channels, size):
    planes = planes_of(dtype, channels)
    needed = sum(plane.label_HW.size for plane in planes) * size
    prepared = prepare(planes, memory_gib=needed / 2**30)
    assert prepared[2] is prepared[2]
    prepared = prepare(planes, memory_gib=(needed - 1) / 2**30)
    assert prepared[2] is not prepared[2]
    assert_equal(prepared, planes)


def test_the_same_is_prepared_once_and_another_beside_it(prepare):
    first, again = (
        prepare(planes_of(), ("x", {"b": 1, "a": 2})),
        prepare(planes_of(), ("x", {"a": 2, "b": 1})),
    )
    assert len(prepare.asked) == 1
    assert again.fingerprint == first.fingerprint
    other = planes_of(np.uint16, 3)
    assert_equal(prepare(other, ("x", {"a": 2, "b": 2})), other)
    assert len(prepare.asked) == 2
    assert_equal(prepare(planes_of(), ("x", {"a": 2, "b": 1})), planes_of())
    assert len(prepare.asked) == 2


def test_failure_while_preparing_leaves_nothing_that_is_taken_for_whole(prepare):
    def fail():
        yield from planes_of()[:2]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        prepare(planes_of(), give=fail)
    prepared = prepare(planes_of())
    assert_equal(prepared, planes_of())
    assert len(prepared.names) == len(prepared.places) == len(prepared.shapes) == 3


def test_folder_left_by_a_killed_run_is_not_taken_for_whole(tmp_path, prepare):
    fingerprint = prepare(planes_of()).fingerprint
    (made,) = (tmp_path / "prepared").glob(f"*/{fingerprint}/*")
    (made / "dataset_info.json").unlink()
    assert_equal(prepare(planes_of()), planes_of())
    assert len(prepare.asked) == 2


def test_the_builder_is_one_of_tfds(tmp_path):
    """What it promises to all callers: order, names and places are kept."""
    planes = planes_of(np.uint16)[::-1]
    builder = XrayPlanes(
        prepared_dir=tmp_path,
        fingerprint="abc",
        dtype=np.dtype(np.uint16),
        channels=1,
        label_map=LABEL_MAP,
        voxel_size=None,
        grey_scales=lambda: {},
        planes=lambda: iter(planes),
    )
    builder.download_and_prepare()
    version = str(XrayPlanes.VERSION)
    prepared = PreparedPlanes(tmp_path / builder.name / "abc" / version, 1)
    assert prepared.fingerprint == "abc"
    assert prepared.grey_scales == {}
    assert_equal(prepared, planes)


@pytest.mark.parametrize(
    "name", ["[v1]", "a?*", "µ漢字 \\", os.fsdecode(b"lat\xe4in"), "new\nline"]
)
def test_prepared_data_may_be_in_a_folder_of_any_name(tmp_path, prepare, name):
    for _ in range(2):
        assert_equal(prepare(planes_of(), folder=tmp_path / name), planes_of())
    assert len(prepare.asked) == 1
    assert len(list((tmp_path / name / XrayPlanes.name).iterdir())) == 1


def test_names_of_planes_need_not_be_utf8(prepare):
    planes = [
        Plane(os.fsdecode(b"Pr\xe4parat_%d" % n), one.image_HWC, one.label_HW, one.place)
        for n, one in enumerate(planes_of())
    ]
    assert_equal(prepare(planes), planes)
    assert_equal(prepare(planes), planes)


def shard(prepared):
    (path,) = prepared.rglob("*.array_record-*")
    return path


def lose(path):
    path.unlink()


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_info(path):
    (path.parent / "metadata.json").unlink()


def lose_list(path):
    (path.parent / manifest.NAME).unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose, "array_record-00000-of-00001 is missing"),
        (cut, r"array_record-00000-of-00001 has \d+ bytes of \d+"),
        (flip, "array_record-00000-of-00001 has changed: its checksum is wrong"),
        (lose_info, "metadata.json is missing"),
        (lose_list, "manifest.json is missing"),
    ],
)
def test_damaged_data_are_prepared_again_and_said(tmp_path, prepare, caplog, damage, said):
    prepare(planes_of())
    path = shard(tmp_path / "prepared")
    half = path.parents[1] / "incomplete.ABC_1.0.0"  # As a kill leaves it.
    half.mkdir()
    damage(path)
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        assert_equal(prepare(planes_of()), planes_of())
    (line,) = [r.message for r in caplog.records if r.name.startswith("xseg_jax")]
    version = re.escape(str(XrayPlanes.VERSION))
    assert re.search(rf"{version}: .*{said}; these data are prepared again$", line)
    assert not half.exists()
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        caplog.clear()
        prepare(planes_of())
    assert not [r for r in caplog.records if r.name.startswith("xseg_jax")]


def test_a_file_of_somebody_else_among_damaged_data_is_left(tmp_path, prepare):
    prepare(planes_of())
    path = shard(tmp_path / "prepared")
    (path.parent / "notes.txt").write_text("mine")
    prepare(planes_of())
    cut(path)
    with pytest.raises(InputError, match=r"notes\.txt: is no prepared data, .*; move it away, or"):
        prepare(planes_of())
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_one_line(tmp_path, prepare, monkeypatch, number):
    """TensorFlow's writers hand on the words of the system alone."""

    def full(*_, **__):
        raise RuntimeError(f"Failed to finalize writing: write() failed: {os.strerror(number)}; x")

    with monkeypatch.context() as patch:
        patch.setattr(XrayPlanes, "download_and_prepare", full)
        with pytest.raises(SaveError) as caught:
            prepare(planes_of())
    assert str(caught.value).startswith(
        f"{tmp_path}/prepared: the prepared data (--config.data.prepared_dir) cannot be written "
        f"({os.strerror(number)}); make room there, or choose another folder"
    )
    assert_equal(prepare(planes_of()), planes_of())


def mounted(folder, size):
    """Whether a small disk could be mounted there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    return bool(done) and done.returncode == 0


@pytest.mark.parametrize("size", ["8k", "60k", "68k"])
def test_a_small_disk_is_one_line_and_no_half_data_are_taken(tmp_path, prepare, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mounted(disk, size):
        pytest.skip("small disks can be mounted by root alone")
    try:
        for _ in range(2):
            with pytest.raises(SaveError, match=r"disk.*\(No space left on device\); make room"):
                prepare(planes_of(), folder=disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
