"""Prepared slices are what the files hold, and nothing stale or half-made is served."""

import errno
import logging
import os
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from xseg_jax.data import builders, folder, manifest, phantom
from xseg_jax.data.builders import prepare_folder, prepare_phantom
from xseg_jax.data.folder import Slice
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.pairs import find_pairs
from xseg_jax.errors import InputError, SaveError

PHANTOM = {
    "size": 16,
    "depth": 6,
    "z_step": 2,
    "fractions": (0.3, 0.42, 0.28),
    "correlation_length": 3.0,
    "attenuation": (0.004, 0.028, 0.044),
    "texture": 0.05,
    "photons": 5000.0,
    "ring_strength": 0.005,
    "beam_hardening": 0.15,
    "projections": 8,
    "seed": 0,
}


@pytest.fixture
def prepare(tmp_path):
    def call(images, labels, *, classes="", ignore="", memory_gib=1.0, **options):
        return prepare_folder(
            find_pairs(images, labels, **options),
            classes=classes,
            ignore=ignore,
            prepared_dir=tmp_path / "prepared",
            memory_gib=memory_gib,
        )

    return call


@pytest.fixture
def unread(monkeypatch):
    """From here on the files must not be read again."""

    def forbid():
        def fail(*_):
            raise AssertionError("the files were read again")

        monkeypatch.setattr(folder, "check", fail)
        monkeypatch.setattr(folder, "read_pair", fail)

    return forbid


@pytest.mark.parametrize("memory_gib", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pixels_and_labels_are_exact(tmp_path, write, prepare, dtype, memory_gib):
    rng = np.random.default_rng(0)
    images = [rng.normal(0, 1e4, shape).astype(dtype) if dtype == np.float32
              else rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype)
              for shape in ((12, 10), (7, 30), (1, 2))]  # fmt: skip
    for z, image_HW in enumerate(images):
        write(tmp_path / "i" / f"s{z}.tif", image_HW)
        write(
            tmp_path / "l" / f"s{z}.png", np.where(image_HW > image_HW.mean(), 255, 64).astype("u1")
        )
    slices = prepare(tmp_path / "i", tmp_path / "l", memory_gib=memory_gib)
    assert slices.dtype == dtype
    assert slices.shapes == [(12, 10), (7, 30), (1, 2)]
    assert slices.names == ["s0", "s1", "s2"]
    assert slices.numbers == [0, 1, 2]
    for _ in range(2):
        items = list(slices)
        assert [item.name for item in items] == slices.names
        for item, image_HW in zip(items, images, strict=True):
            assert item.image_HW.dtype == dtype
            assert item.label_HW.dtype == np.uint8
            np.testing.assert_array_equal(item.image_HW, image_HW)
            np.testing.assert_array_equal(item.label_HW, image_HW > image_HW.mean())


def test_slices_are_a_sequence(tmp_path, write_folder, prepare):
    slices = prepare(*write_folder(tmp_path, 12))
    assert len(slices) == 12
    assert slices.numbers == list(range(12))
    assert slices[np.int64(11)].name == slices[-1].name == "slice_011"
    np.testing.assert_array_equal(slices[-1].image_HW, slices[11].image_HW)
    assert slices[3] is slices[3]
    for index in (12, -13):
        with pytest.raises(IndexError):
            slices[index]


def test_slices_that_do_not_fit_are_not_kept(tmp_path, write_folder, prepare):
    slices = prepare(*write_folder(tmp_path), memory_gib=6 * 120 * 2 / 2**30)
    assert slices[3] is slices[3]
    slices = prepare(*write_folder(tmp_path), memory_gib=(6 * 120 * 2 - 1) / 2**30)
    assert slices[3] is not slices[3]
    np.testing.assert_array_equal(slices[3].image_HW, slices[3].image_HW)


def test_guessed_and_explicit_map_and_ignored_value(tmp_path, write_folder, prepare):
    folders = write_folder(tmp_path, values=(0, 64, 128, 255))
    guessed = prepare(*folders)
    assert guessed.label_map.names == ("0", "64", "128", "255")
    assert np.unique(guessed[2].label_HW).tolist() == [0, 1, 2, 3]
    ignoring = prepare(*folders, ignore="64")
    assert ignoring.label_map.names == ("0", "128", "255")
    np.testing.assert_array_equal(
        ignoring[2].label_HW, np.array([0, IGNORED, 1, 2])[guessed[2].label_HW]
    )
    named = prepare(*folders, classes="255:nickel,0:pore,128:nickel", ignore="64")
    assert named.label_map.names == ("nickel", "pore")
    assert named.label_map.ignore == "64"
    np.testing.assert_array_equal(
        named[2].label_HW, np.array([1, IGNORED, 0, 0])[guessed[2].label_HW]
    )
    assert len({one.fingerprint for one in (guessed, ignoring, named)}) == 3


def test_second_call_does_not_read_again(tmp_path, write_folder, prepare, unread):
    folders = write_folder(tmp_path)
    first = prepare(*folders)
    unread()
    second = prepare(*folders)
    assert second.fingerprint == first.fingerprint
    assert second.label_map == first.label_map
    np.testing.assert_array_equal(second[5].image_HW, first[5].image_HW)


def test_same_content_elsewhere_is_not_prepared_again(tmp_path, write_folder, prepare, unread):
    first = prepare(*write_folder(tmp_path / "one"))
    unread()
    assert prepare(*write_folder(tmp_path / "other")).fingerprint == first.fingerprint


@pytest.mark.parametrize("kind", ["image", "label"])
def test_one_changed_pixel_is_seen(tmp_path, write, write_folder, prepare, kind):
    folders = write_folder(tmp_path)
    first = prepare(*folders)
    pair = find_pairs(*folders)[4]
    path = getattr(pair, kind)
    array_HW = folder.read_image(path).copy()
    array_HW[3, 4] = 255 - array_HW[3, 4] if array_HW[3, 4] in (0, 255) else 0
    write(path, array_HW)
    second = prepare(*folders)
    assert second.fingerprint != first.fingerprint
    changed = [
        (z, *place)
        for z in range(6)
        for place in np.argwhere(
            getattr(first[z], f"{kind}_HW") != getattr(second[z], f"{kind}_HW")
        ).tolist()
    ]
    assert changed == [(4, 3, 4)]


def test_another_number_pattern_gives_other_numbers(tmp_path, write_folder, prepare):
    folders = write_folder(tmp_path, image_name="z{:02d}_of_9.tif", label_name="z{:02d}_of_9.png")
    assert prepare(*folders).numbers == [9] * 6
    assert prepare(*folders, number_pattern=r"z(\d+)").numbers == list(range(6))


def test_slices_without_numbers(tmp_path, write, prepare):
    for name in ("bob", "alice", "chloé ü"):
        write(tmp_path / "i" / f"{name}.tif", np.eye(4, dtype=np.uint8) * len(name))
        write(tmp_path / "l" / f"{name}.png", np.eye(4, dtype=np.uint8))
    slices = prepare(tmp_path / "i", tmp_path / "l")
    assert slices.names == ["alice", "bob", "chloé ü"]
    assert slices.numbers == [None] * 3
    assert [item.image_HW.max() for item in slices] == [5, 3, 7]


def test_wrong_file_stops_before_anything_is_prepared(tmp_path, write, write_folder, prepare):
    folders = write_folder(tmp_path)
    write(folders[0] / "slice_003.tif", np.full((12, 10), 9, np.uint8))
    with pytest.raises(InputError, match=r"slice_003.tif: every pixel is 9; remove the empty slic"):
        prepare(*folders)
    assert not [path for path in (tmp_path / "prepared").rglob("*") if path.suffix != ".lock"]


def test_failure_while_preparing_leaves_nothing_that_is_taken_for_whole(
    tmp_path, write_folder, prepare, monkeypatch
):
    folders = write_folder(tmp_path)
    read_pair = folder.read_pair

    def fail_at_four(pair, checked):
        if pair.number == 4:
            raise OSError("disk full")
        return read_pair(pair, checked)

    monkeypatch.setattr(folder, "read_pair", fail_at_four)
    with pytest.raises(OSError, match="disk full"):
        prepare(*folders)
    monkeypatch.setattr(folder, "read_pair", read_pair)
    slices = prepare(*folders)
    assert [item.name for item in slices] == [f"slice_{z:03d}" for z in range(6)]
    assert len(slices.names) == len(slices.shapes) == 6


def test_folder_left_by_a_killed_run_is_not_taken_for_whole(tmp_path, write_folder, prepare):
    folders = write_folder(tmp_path)
    fingerprint = prepare(*folders).fingerprint
    (made,) = (tmp_path / "prepared").glob(f"*/{fingerprint}/*")
    (made / "dataset_info.json").unlink()
    assert len(list(prepare(*folders))) == 6


@pytest.mark.parametrize(
    "name", ["[v1]", "a?*", "µ漢字 \\", os.fsdecode(b"lat\xe4in"), "new\nline"]
)
def test_prepared_data_may_be_in_a_folder_of_any_name(tmp_path, write_folder, name):
    pairs = find_pairs(*write_folder(tmp_path / name, 2))
    where: Any = {"classes": "", "ignore": "", "memory_gib": 1, "prepared_dir": tmp_path / name}
    first = prepare_folder(pairs, **where)
    again = prepare_folder(pairs, **where)
    assert first.names == again.names == ["slice_000", "slice_001"]
    np.testing.assert_array_equal(again[1].image_HW, first[1].image_HW)
    assert len(list((tmp_path / name / "xray_slices").iterdir())) == 1


def test_names_of_slices_need_not_be_utf8(tmp_path, write_folder, prepare):
    names = [os.fsdecode(b"Pr\xe4parat_%d" % z) for z in range(6)]
    for root, suffix in zip(write_folder(tmp_path), ("tif", "png"), strict=True):
        for z, name in enumerate(names):
            (root / f"slice_{z:03d}.{suffix}").rename(root / f"{name}.{suffix}")
    first = prepare(tmp_path / "images", tmp_path / "labels")
    assert first.names == prepare(tmp_path / "images", tmp_path / "labels").names == names
    assert first.numbers == list(range(6))


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
def test_damaged_data_are_prepared_again_and_said(
    tmp_path, write_folder, prepare, caplog, damage, said
):
    folders = write_folder(tmp_path)
    expected = [item.image_HW for item in prepare(*folders)]
    path = shard(tmp_path / "prepared")
    half = path.parents[1] / "incomplete.ABC_1.0.0"  # As a kill leaves it.
    half.mkdir()
    damage(path)
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        slices = prepare(*folders)
    for item, image_HW in zip(slices, expected, strict=True):
        np.testing.assert_array_equal(item.image_HW, image_HW)
    (line,) = [r.message for r in caplog.records if r.name.startswith("xseg_jax")]
    assert re.search(
        rf"{re.escape(str(builders.XraySlices.VERSION))}: .*{said}; these data are prepared again$",
        line,
    )
    assert not half.exists()
    with caplog.at_level(logging.WARNING, "xseg_jax"):
        caplog.clear()
        prepare(*folders)
    assert not [r for r in caplog.records if r.name.startswith("xseg_jax")]


def test_a_file_of_somebody_else_among_damaged_data_is_left(tmp_path, write_folder, prepare):
    folders = write_folder(tmp_path)
    prepare(*folders)
    path = shard(tmp_path / "prepared")
    (path.parent / "notes.txt").write_text("mine")
    prepare(*folders)
    cut(path)
    with pytest.raises(InputError, match=r"notes\.txt: is no prepared data, .*; move it away, or"):
        prepare(*folders)
    assert [p.name for p in path.parent.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_one_line(tmp_path, write_folder, prepare, monkeypatch, number):
    """TensorFlow's writers hand on the words of the system alone."""

    def full(*_, **__):
        raise RuntimeError(f"Failed to finalize writing: write() failed: {os.strerror(number)}; x")

    folders = write_folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(builders.XraySlices, "download_and_prepare", full)
        with pytest.raises(SaveError) as caught:
            prepare(*folders)
    assert str(caught.value).startswith(
        f"{tmp_path}/prepared: the prepared data (--config.data.prepared_dir) cannot be written "
        f"({os.strerror(number)}); make room there, or choose another folder"
    )
    assert len(prepare(*folders)) == 6


def mounted(folder, size):
    """Whether a small disk could be mounted there."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    return bool(done) and done.returncode == 0


@pytest.mark.parametrize("size", ["8k", "60k", "68k"])
def test_a_small_disk_is_one_line_and_no_half_data_are_taken(tmp_path, write_folder, size):
    pairs = find_pairs(*write_folder(tmp_path))
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mounted(disk, size):
        pytest.skip("small disks can be mounted by root alone")
    try:
        where: Any = {"classes": "", "ignore": "", "memory_gib": 1, "prepared_dir": disk}
        for _ in range(2):
            with pytest.raises(SaveError, match=r"disk.*\(No space left on device\); make room"):
                prepare_folder(pairs, **where)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Phantom.


@pytest.fixture
def simulated(monkeypatch):
    """Replaces the physics by numbers; gives the calls."""
    calls = []

    def tomogram(**parameters):
        calls.append(parameters)
        rng = np.random.default_rng(parameters["seed"])
        for z in range(0, parameters["depth"], parameters["z_step"]):
            yield z, rng.integers(0, 65536, (4, 4), np.uint16), np.full((4, 4), z % 3, np.uint8)

    monkeypatch.setattr(phantom, "tomogram", tomogram)
    return calls


def test_phantom_is_what_the_physics_gives(tmp_path):
    slices = prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    expected = list(phantom.tomogram(**PHANTOM))
    assert slices.names == ["slice_0000", "slice_0002", "slice_0004"]
    assert slices.numbers == [0, 2, 4]
    assert slices.shapes == [(16, 16)] * 3
    assert slices.dtype == np.uint16
    assert slices.label_map.names == ("pore", "ceramic", "metal")
    for item, (_, image_HW, label_HW) in zip(slices, expected, strict=True):
        np.testing.assert_array_equal(item.image_HW, image_HW)
        np.testing.assert_array_equal(item.label_HW, label_HW)


def test_phantom_is_simulated_once_for_each_set_of_parameters(tmp_path, simulated):
    first = prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    again = prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    assert len(simulated) == 1
    assert again.fingerprint == first.fingerprint
    other = prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {"seed": 1})
    assert len(simulated) == 2
    assert other.fingerprint != first.fingerprint
    assert (other[0].image_HW != first[0].image_HW).any()


def test_phantom_of_two_phases_has_two_classes(tmp_path):
    two = {"fractions": (0.5, 0.5), "attenuation": (0.0, 0.03)}
    slices = prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM | two)
    assert slices.label_map.names == ("phase_0", "phase_1")
    assert np.unique([item.label_HW for item in slices]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("field", "value"), [("photons", 0), ("z_step", 0), ("fractions", (0.5, 0.6))]
)
def test_phantom_parameter_that_cannot_be_used(tmp_path, field, value):
    with pytest.raises(InputError, match=rf"config.data.phantom.{field} is .*; it must be "):
        prepare_phantom(prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {field: value})
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_numbered_slices_may_be_of_any_kind(tmp_path):
    """What the builder promises to both callers: order, names and numbers are kept."""
    items = [(z, Slice(f"s{z}", np.eye(3, dtype="u1") * z, np.eye(3, dtype="u1"))) for z in (9, 2)]
    builder = builders.XraySlices(
        prepared_dir=tmp_path,
        fingerprint="abc",
        dtype=np.dtype("u1"),
        label_map=builders.LabelMap(("0", "1"), ("a", "b")),
        numbered_slices=lambda: iter(items),
    )
    builder.download_and_prepare()
    slices = builders.PreparedSlices(
        tmp_path / builder.name / "abc" / str(builders.XraySlices.VERSION), 1
    )
    assert (slices.names, slices.numbers) == (["s9", "s2"], [9, 2])
    assert slices.fingerprint == "abc"
    assert [item.image_HW.max() for item in slices] == [9, 2]
