"""Data sets hold what the files hold, and nothing stale or half-made is served."""

import os
import sys
import weakref

import numpy as np
import pytest
import tifffile
from planes import find

from xseg_jax.data import phantom
from xseg_jax.data import prepare as prepare_module
from xseg_jax.data.checks import CheckedPlanes
from xseg_jax.data.images import read_image
from xseg_jax.data.intensity import Normalizer
from xseg_jax.data.labels import IGNORED
from xseg_jax.data.planes import Place
from xseg_jax.data.prepare import prepare_phantom, prepare_scans, sources_of
from xseg_jax.data.sources import sample_evenly
from xseg_jax.errors import InputError
from xseg_jax.scans.picture import read_picture
from xseg_jax.scans.voxels import VoxelSize

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
    def call(
        images,
        labels,
        *,
        classes="",
        ignore="",
        context=0,
        one_type=True,
        own_scales=True,
        voxel_size=None,
        memory_gib=1.0,
        **options,
    ):
        return prepare_scans(
            find(images, labels, **options),
            classes=classes,
            ignore=ignore,
            context=context,
            one_type=one_type,
            own_scales=own_scales,
            voxel_size=voxel_size,
            prepared_dir=tmp_path / "prepared",
            memory_gib=memory_gib,
        )

    return call


@pytest.fixture
def made(monkeypatch):
    """The builders that are made from here on."""
    builders, planes = [], prepare_module.XrayPlanes

    def noted(**fields):
        builders.append(planes(**fields))
        return builders[-1]

    monkeypatch.setattr(prepare_module, "XrayPlanes", noted)
    return builders


def numbers(slices):
    return [place.number for place in slices.places]


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
    assert slices.places == [Place("i", 0, z) for z in range(3)]
    for _ in range(2):
        items = list(slices)
        assert [item.name for item in items] == slices.names
        for item, image_HW in zip(items, images, strict=True):
            assert item.image_HW.dtype == dtype
            assert item.label_HW.dtype == np.uint8
            np.testing.assert_array_equal(item.image_HW, image_HW)
            np.testing.assert_array_equal(item.label_HW, image_HW > image_HW.mean())


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


def test_the_same_content_is_prepared_once(tmp_path, write_folder, prepare, made):
    folders = write_folder(tmp_path)
    first = prepare(*folders)
    assert len(made) == 1
    for again in (prepare(*folders), prepare(*write_folder(tmp_path / "other"))):
        assert again.fingerprint == first.fingerprint
        assert again.label_map == first.label_map
        np.testing.assert_array_equal(again[5].image_HW, first[5].image_HW)
    assert len(made) == 1


def test_the_same_content_in_another_format_is_prepared_once(
    tmp_path, write, write_folder, prepare, made
):
    images, labels = write_folder(tmp_path)
    first = prepare(images, labels)
    for path in sorted(images.iterdir()):
        write(tmp_path / "npy" / "images" / f"{path.stem}.npy", read_image(path))
    for path in sorted(labels.iterdir()):
        values_HW = read_picture(path).pixels.astype(np.int32)
        write(tmp_path / "npy" / "labels" / f"{path.stem}.tif", values_HW)
    again = prepare(tmp_path / "npy" / "images", tmp_path / "npy" / "labels")
    assert again.fingerprint == first.fingerprint
    assert len(made) == 1


def test_a_slice_that_no_label_belongs_to_changes_the_grey_scale(
    tmp_path, write, write_folder, prepare
):
    images, labels = write_folder(tmp_path, 4)
    first = prepare(images, labels, skip_unlabelled=True)
    write(images / "slice_004.tif", np.arange(120, 240, dtype=np.uint8).reshape(12, 10))
    second = prepare(images, labels, skip_unlabelled=True)
    assert second.names == first.names
    assert second.grey_scales["images"].mean > first.grey_scales["images"].mean + 10
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("kind", ["image", "label"])
def test_one_changed_pixel_is_seen(tmp_path, write, write_folder, prepare, kind):
    folders = write_folder(tmp_path)
    first = prepare(*folders)
    found = find(*folders)[4]
    path = found.source.files[4] if kind == "image" else found.label
    array_HW = read_picture(path).pixels.copy()
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
    assert numbers(prepare(*folders)) == [9] * 6
    assert numbers(prepare(*folders, number_pattern=r"z(\d+)")) == list(range(6))


def test_slices_without_numbers(tmp_path, write, prepare):
    for name in ("bob", "alice", "chloé ü"):
        write(tmp_path / "i" / f"{name}.tif", np.eye(4, dtype=np.uint8) * len(name))
        write(tmp_path / "l" / f"{name}.png", np.eye(4, dtype=np.uint8))
    slices = prepare(tmp_path / "i", tmp_path / "l")
    assert slices.names == ["alice", "bob", "chloé ü"]
    assert numbers(slices) == [None] * 3
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
    read = CheckedPlanes.__getitem__

    def fail_at_four(planes, index):
        if index == 4:
            raise OSError("disk full")
        return read(planes, index)

    monkeypatch.setattr(CheckedPlanes, "__getitem__", fail_at_four)
    with pytest.raises(OSError, match="disk full"):
        prepare(*folders)
    monkeypatch.setattr(CheckedPlanes, "__getitem__", read)
    slices = prepare(*folders)
    assert [item.name for item in slices] == [f"slice_{z:03d}" for z in range(6)]
    assert len(slices.names) == len(slices.shapes) == 6


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are always text")
def test_a_name_that_is_no_text(tmp_path, write_folder, prepare):
    folders = write_folder(tmp_path, image_name="s\udcfc_{}.tif", label_name="m_{}.png")
    slices = prepare(*folders)
    assert slices.names == [f"s\udcfc_{z}" for z in range(6)]
    assert os.fsencode(slices.names[0]) == b"s\xfc_0"


# Scans.


def scans(root, dtypes=("uint16", "float32")):
    """Two scans with labelled planes: a volume across z and x, and a folder of slices."""
    rng = np.random.default_rng(0)
    labels_ZYX = rng.integers(0, 3, (6, 9, 9)).astype(np.uint8)
    greys = [(1000 + 300.0 * labels_ZYX + rng.integers(0, 99, (6, 9, 9))).astype(t) for t in dtypes]
    for folder in ("images", "labels"):
        (root / folder / "b").mkdir(parents=True)
    tifffile.imwrite(root / "images" / "a.tif", greys[0], photometric="minisblack")
    tifffile.imwrite(root / "labels" / "a_z002.tif", labels_ZYX[2])
    tifffile.imwrite(root / "labels" / "a_x007.tif", labels_ZYX[:, :, 7])
    for z in range(6):
        tifffile.imwrite(root / "images" / "b" / f"s_{10 + z}.tif", greys[1][z])
    for z in (1, 4):
        tifffile.imwrite(root / "labels" / "b" / f"s_{10 + z}.tif", labels_ZYX[z])
    return greys, labels_ZYX


def test_no_other_slice_is_read_where_scans_need_no_scale_of_their_own(
    tmp_path, write_folder, prepare
):
    images, labels = write_folder(tmp_path)
    (labels / "slice_005.png").unlink()
    (images / "slice_005.tif").write_bytes(b"damaged")
    options = {"skip_unlabelled": True, "own_scales": False}
    prepared = prepare(images, labels, **options)
    assert (len(prepared), prepared.grey_scales) == (5, {})
    with pytest.raises(InputError, match=r"slice_005\.tif"):
        prepare(images, labels, **options | {"own_scales": True})


def test_scans_keep_places_grey_scales_and_neighbours(tmp_path, prepare):
    (a_ZYX, b_ZYX), labels_ZYX = scans(tmp_path)
    options = {"one_type": False, "skip_unlabelled": True}
    prepared = prepare(tmp_path / "images", tmp_path / "labels", context=1, **options)
    assert prepared.channels == 3
    assert prepared.dtype == np.float32
    assert prepared.names == ["a_z2", "a_x7", "s_11", "s_14"]
    assert prepared.places == [
        Place("a", 0, 2), Place("a", 2, 7), Place("b", 0, 11), Place("b", 0, 14)
    ]  # fmt: skip
    assert prepared.shapes == [(9, 9), (6, 9), (9, 9), (9, 9)]
    # Of the whole scans, and not of the labelled planes.
    assert prepared.grey_scales == {"a": Normalizer.fit(a_ZYX), "b": Normalizer.fit(b_ZYX)}
    for item, volume_ZYX in zip(prepared, (a_ZYX, a_ZYX, b_ZYX, b_ZYX), strict=True):
        number = item.place.number - 10 * (item.place.scan == "b")
        around = [volume_ZYX.take(number + d, item.place.axis) for d in (-1, 0, 1)]
        np.testing.assert_array_equal(item.image_HWC, np.stack(around, -1))
        np.testing.assert_array_equal(item.label_HW, labels_ZYX.take(number, item.place.axis))


def test_context_and_its_absence_are_two_data_sets(tmp_path, prepare, made):
    scans(tmp_path, ("uint16", "uint16"))
    folders, options = (tmp_path / "images", tmp_path / "labels"), {"skip_unlabelled": True}
    prepared = [prepare(*folders, context=context, **options) for context in (0, 1, 0, 2)]
    assert [one.channels for one in prepared] == [1, 3, 1, 5]
    assert len(made) == len({one.fingerprint for one in prepared}) == 3
    for one in prepared:
        np.testing.assert_array_equal(one[2].image_HW, prepared[0][2].image_HW)


def test_scans_of_two_pixel_types_are_refused_where_one_is_needed(tmp_path, prepare):
    scans(tmp_path)
    with pytest.raises(InputError, match=r"s_11.tif: pixels are float32, but uint16 in .*a.tif, z"):
        prepare(tmp_path / "images", tmp_path / "labels", skip_unlabelled=True)
    assert not list((tmp_path / "prepared").rglob("dataset_info.json"))


def test_each_scan_of_planes_is_a_source_once(tmp_path):
    scans(tmp_path)
    planes = find(tmp_path / "images", tmp_path / "labels", skip_unlabelled=True)
    assert [one.name for one in sources_of(planes)] == ["a", "b"]


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
    slices = prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    expected = list(phantom.tomogram(**PHANTOM))
    assert slices.names == ["slice_0000", "slice_0002", "slice_0004"]
    assert slices.places == [Place("phantom", 0, z) for z in (0, 2, 4)]
    assert slices.shapes == [(16, 16)] * 3
    assert slices.dtype == np.uint16
    assert slices.label_map.names == ("pore", "ceramic", "metal")
    for item, (_, image_HW, label_HW) in zip(slices, expected, strict=True):
        np.testing.assert_array_equal(item.image_HW, image_HW)
        np.testing.assert_array_equal(item.label_HW, label_HW)


def test_phantom_is_simulated_once_for_each_set_of_parameters(tmp_path, simulated):
    first = prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    again = prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM)
    assert len(simulated) == 1
    assert again.fingerprint == first.fingerprint
    other = prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {"seed": 1})
    assert len(simulated) == 2
    assert other.fingerprint != first.fingerprint
    assert (other[0].image_HW != first[0].image_HW).any()


def test_phantom_of_two_phases_has_two_classes(tmp_path):
    two = {"fractions": (0.5, 0.5), "attenuation": (0.0, 0.03)}
    slices = prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM | two)
    assert slices.label_map.names == ("phase_0", "phase_1")
    assert np.unique([item.label_HW for item in slices]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("field", "value"), [("photons", 0), ("z_step", 0), ("fractions", (0.5, 0.6))]
)
def test_phantom_parameter_that_cannot_be_used(tmp_path, field, value):
    with pytest.raises(InputError, match=rf"config.data.phantom.{field} is .*; it must be "):
        prepare_phantom(context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {field: value})
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_phantom_with_neighbours_is_the_phantom_of_every_slice(tmp_path):
    every = prepare_phantom(
        context=0, prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {"z_step": 1}
    )
    assert every.channels == 1
    for z_step in (1, 2, 4):
        prepared = prepare_phantom(
            context=2, prepared_dir=tmp_path, memory_gib=1, **PHANTOM | {"z_step": z_step}
        )
        imaged = list(range(0, 6, z_step))
        assert prepared.channels == 5
        assert prepared.places == [Place("phantom", 0, z) for z in imaged]
        for item, z in zip(prepared, imaged, strict=True):
            around = [min(max(z + d, 0), imaged[-1]) for d in range(-2, 3)]
            # What is not imaged is the plane itself.
            around = [one if one in imaged else z for one in around]
            expected = np.stack([every[one].image_HW for one in around], axis=-1)
            np.testing.assert_array_equal(item.image_HWC, expected)
            np.testing.assert_array_equal(item.label_HW, every[z].label_HW)


def test_phantom_s_grey_scale_is_of_an_even_sample_with_and_without_neighbours(tmp_path, simulated):
    large = PHANTOM | {"depth": 150, "z_step": 1}
    images = [image_HW for _, image_HW, _ in phantom.tomogram(**large)]
    expected = Normalizer.fit([images[z] for z in sample_evenly(150)])
    for context in (0, 3):
        prepared = prepare_phantom(context=context, prepared_dir=tmp_path, memory_gib=1, **large)
        assert prepared.grey_scales == {"phantom": expected}


@pytest.mark.parametrize(("z_step", "context"), [(1, 0), (1, 4), (3, 1)])
def test_few_slices_of_a_large_phantom_are_in_memory(tmp_path, monkeypatch, z_step, context):
    alive, most = weakref.WeakSet(), []

    class Image(np.ndarray):
        """As any array, but counted while it is there."""

        def __hash__(self):
            return id(self)

        def __eq__(self, other):
            return self is other

    def tomogram(**parameters):
        for z in range(0, parameters["depth"], z_step):
            image_HW = np.full((4, 4), z, np.uint16)
            image_HW[0] += 1
            image_HW = image_HW.view(Image)
            alive.add(image_HW)
            most.append(len(alive))
            yield z, image_HW, np.eye(4, dtype=np.uint8)
            del image_HW

    monkeypatch.setattr(phantom, "tomogram", tomogram)
    large = PHANTOM | {"depth": 400 * z_step, "z_step": z_step}
    prepared = prepare_phantom(context=context, prepared_dir=tmp_path, memory_gib=1, **large)
    assert len(prepared) == len(most) == 400
    # The sample that the grey scale is measured on, and the neighbours of what is written.
    assert 32 <= max(most) <= 32 + 2 * context + 3
    last = prepared[-1]
    assert last.image_HWC.shape[-1] == 2 * context + 1
    assert last.image_HW[1, 1] == 399 * z_step


def test_another_voxel_size_is_another_data_set(prepare, write_folder, tmp_path):
    images, labels = write_folder(tmp_path, 2)
    unknown = prepare(images, labels)
    known = prepare(images, labels, voxel_size=VoxelSize((2.0, 0.5, 0.5), "um"))
    assert unknown.voxel_size is None
    assert known.voxel_size == VoxelSize((2.0, 0.5, 0.5), "um")
    assert known.fingerprint != unknown.fingerprint
