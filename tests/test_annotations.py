"""Labels as people have them find the planes that they belong to, in every form."""

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from xseg_jax.data.annotations import Labels
from xseg_jax.data.checks import CheckedPlanes, check
from xseg_jax.data.labels import LabelMap
from xseg_jax.data.planes import Place
from xseg_jax.data.sources import open_sources
from xseg_jax.errors import InputError
from xseg_jax.scans import tiff

SHAPE = (6, 20, 24)


@pytest.fixture
def volume():
    """Gray values and class indices (Z, Y, X)."""
    rng = np.random.default_rng(0)
    labels_ZYX = rng.integers(0, 3, SHAPE).astype(np.uint8)
    grey_ZYX = 1000 + 100 * labels_ZYX.astype(int) + rng.integers(0, 50, SHAPE)
    return grey_ZYX.astype(np.uint16), labels_ZYX


def stack(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def slices(folder, array, name="slice_{:03d}.tif", numbers=None):
    folder.mkdir(parents=True)
    for z, plane in enumerate(array):
        tifffile.imwrite(folder / name.format(z if numbers is None else numbers[z]), plane)
    return folder


def planes_of(
    images, labels, *, context=0, independent=False, ignore="", one_type=True, known=None, **fields
):
    """Everything that is found, read."""
    sources = open_sources(str(images), independent=independent)
    found, notices = Labels(**fields).find(sources, str(labels))
    label_map = LabelMap.parse(known, ignore) if known else None
    checked = check(found, label_map, ignore, context=context, one_type=one_type)
    return list(CheckedPlanes(found, checked, context)), notices


def assert_planes(planes, images, labels, places):
    """Planes are those of the volume at these places."""
    assert [(p.place.axis, p.place.number) for p in planes] == places
    for plane, (axis, number) in zip(planes, places, strict=True):
        np.testing.assert_array_equal(plane.image_HW, images.take(number, axis))
        np.testing.assert_array_equal(plane.label_HW, labels.take(number, axis))


@pytest.mark.parametrize("images_as", ["stack", "slices"])
@pytest.mark.parametrize("labels_as", ["stack", "slices"])
def test_every_slice_is_labelled(tmp_path, volume, images_as, labels_as):
    images, labels = volume
    made = {
        kind: stack(tmp_path / f"{kind}.tif", array)
        if how == "stack"
        else slices(tmp_path / kind, array)
        for kind, how, array in (("images", images_as, images), ("labels", labels_as, labels))
    }
    planes, _ = planes_of(made["images"], made["labels"])
    assert_planes(planes, images, labels, [(0, z) for z in range(6)])


@pytest.mark.parametrize("images_as", ["stack", "slices"])
def test_one_slice_by_its_number(tmp_path, volume, images_as):
    images, labels = volume
    source = (
        stack(tmp_path / "scan.tif", images)
        if images_as == "stack"
        else slices(tmp_path / "scan", images)
    )
    label = stack(tmp_path / "hand" / "mask_004.tif", labels[4])
    for given in (label, label.parent):
        planes, _ = planes_of(source, given, skip_unlabelled=True)
        assert_planes(planes, images, labels, [(0, 4)])


def test_a_slice_of_a_folder_without_leave_to_skip(tmp_path, volume):
    images, labels = volume
    slices(tmp_path / "scan", images)
    label = stack(tmp_path / "mask_004.tif", labels[4])
    with pytest.raises(
        InputError, match=r"no label for the image slice_000, .* and 2 more; add it"
    ):
        planes_of(tmp_path / "scan", label)


def test_slices_across_other_axes_by_their_names(tmp_path, volume):
    images, labels = volume
    scan = stack(tmp_path / "scan.tif", images)
    stack(tmp_path / "hand" / "scan_y010.tif", labels[:, 10])
    stack(tmp_path / "hand" / "scan_x=23.tif", labels[:, :, 23])
    stack(tmp_path / "hand" / "scan-z3.tif", labels[3])
    planes, _ = planes_of(scan, tmp_path / "hand")
    assert_planes(planes, images, labels, [(0, 3), (1, 10), (2, 23)])
    assert [plane.name for plane in planes] == ["scan_z3", "scan_y10", "scan_x23"]


def test_a_volume_of_which_some_planes_are_labelled(tmp_path, volume):
    images, labels = volume
    sparse = np.full_like(labels, 9)
    sparse[2], sparse[5] = labels[2], labels[5]
    scan, label = stack(tmp_path / "scan.tif", images), stack(tmp_path / "labels.tif", sparse)
    planes, notices = planes_of(scan, label)
    assert_planes(planes, images, labels, [(0, 2), (0, 5)])
    assert notices == [f"{label}: labelled planes are z = 2, 5 (the other planes hold one value)"]
    planes, notices = planes_of(scan, label, labelled="z=5")
    assert_planes(planes, images, labels, [(0, 5)])
    assert "as config.data.labelled says" in notices[0]


def test_several_label_files_of_one_scan(tmp_path, volume):
    images, labels = volume
    scan = stack(tmp_path / "scan.tif", images)
    for name, z in (("first", 1), ("second", 4)):
        sparse = np.zeros_like(labels)
        sparse[z] = labels[z]
        stack(tmp_path / "hand" / f"{name}.tif", sparse)
    planes, _ = planes_of(scan, tmp_path / "hand")
    assert_planes(planes, images, labels, [(0, 1), (0, 4)])
    stack(tmp_path / "hand" / "third.tif", sparse)
    with pytest.raises(
        InputError, match=r"third.tif, z = 4: labels the same plane as .*second.tif"
    ):
        planes_of(scan, tmp_path / "hand")


def test_scribbles(tmp_path, volume):
    images, labels = volume
    scribble = np.full_like(labels[3], 255)
    scribble[4, 5:15] = labels[3, 4, 5:15]
    scan, label = stack(tmp_path / "scan.tif", images), stack(tmp_path / "z3.tif", scribble)
    (plane,), _ = planes_of(scan, label, ignore="255")
    np.testing.assert_array_equal(plane.label_HW, scribble)


def test_several_scans(tmp_path, volume):
    images, labels = volume
    stack(tmp_path / "images" / "a.tif", images)
    stack(tmp_path / "images" / "b.tif", (images[:, ::-1] / 7).astype(np.float32))
    slices(tmp_path / "images" / "c", images[:, :10], numbers=range(10, 16))
    stack(tmp_path / "labels" / "a.tif", labels)
    stack(tmp_path / "labels" / "b_z002.tif", labels[2, ::-1])
    slices(tmp_path / "labels" / "c", labels[:, :10], numbers=range(10, 16))
    planes, _ = planes_of(tmp_path / "images", tmp_path / "labels", one_type=False)
    assert [p.place for p in planes] == [
        *(Place("a", 0, z) for z in range(6)), Place("b", 0, 2),
        *(Place("c", 0, z) for z in range(10, 16)),
    ]  # fmt: skip
    assert {p.image_HW.dtype for p in planes} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(planes[6].label_HW, labels[2, ::-1])
    with pytest.raises(InputError, match=r"float32, but uint16 in .*normalize=scan"):
        planes_of(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize("skip", [True, False])
def test_single_slices_of_one_scan_beside_a_folder_and_a_volume_of_others(tmp_path, volume, skip):
    images, labels = volume
    for name in "acd":
        stack(tmp_path / "images" / f"{name}.tif", images)
    slices(tmp_path / "images" / "b", images)
    stack(tmp_path / "labels" / "a_z2.tif", labels[2])
    slices(tmp_path / "labels" / "b", labels)
    np.save(tmp_path / "labels" / "c.npy", labels)
    stack(tmp_path / "labels" / "d_x003.tif", labels[:, :, 3])
    planes, _ = planes_of(tmp_path / "images", tmp_path / "labels", skip_unlabelled=skip)
    places = [Place("a", 0, 2), *(Place("b", 0, z) for z in range(6)),
              *(Place("c", 0, z) for z in range(6)), Place("d", 2, 3)]  # fmt: skip
    assert sorted(map(str, (p.place for p in planes))) == sorted(map(str, places))
    slices(tmp_path / "labels" / "e", labels)
    with pytest.raises(InputError, match=r"labels/e: no scan for this label"):
        planes_of(tmp_path / "images", tmp_path / "labels", skip_unlabelled=skip)


def test_two_folders_of_labels_that_hold_one_slice_twice(tmp_path, volume):
    images, labels = volume
    for name in "ab":
        slices(tmp_path / "images" / name, images)
    slices(tmp_path / "labels" / "a", labels)
    slices(tmp_path / "labels" / "b-first", labels[:4])
    slices(tmp_path / "labels" / "b-second", labels[4:], numbers=(4, 5))
    planes, _ = planes_of(tmp_path / "images", tmp_path / "labels")
    assert [p.place for p in planes] == [Place(scan, 0, z) for scan in "ab" for z in range(6)]
    stack(tmp_path / "labels" / "b-second" / "slice_003.tif", labels[0])
    with pytest.raises(
        InputError,
        match=r"b-second/slice_003.tif: labels the same slice as \S*b-first/slice_003.tif; remove ",
    ):
        planes_of(tmp_path / "images", tmp_path / "labels")


def test_a_scan_without_a_label_and_a_label_without_a_scan(tmp_path, volume):
    images, labels = volume
    for name in "ab":
        stack(tmp_path / "images" / f"{name}.tif", images)
    stack(tmp_path / "labels" / "a.tif", labels)
    with pytest.raises(InputError, match=r"no label for the scan b; add a file of that name"):
        planes_of(tmp_path / "images", tmp_path / "labels")
    planes, _ = planes_of(tmp_path / "images", tmp_path / "labels", skip_unlabelled=True)
    assert {plane.place.scan for plane in planes} == {"a"}
    stack(tmp_path / "labels" / "d.tif", labels)
    with pytest.raises(
        InputError, match=r"d.tif: no scan for this label; name labels as the scans"
    ):
        planes_of(tmp_path / "images", tmp_path / "labels", skip_unlabelled=True)


def test_independent_images_are_scans_of_their_own(tmp_path, volume):
    images, labels = volume
    slices(tmp_path / "images", images, "tooth_{}.tif")
    slices(tmp_path / "labels", labels, "tooth_{}.tif")
    planes, _ = planes_of(tmp_path / "images", tmp_path / "labels", independent=True)
    assert [plane.place.scan for plane in planes] == [f"tooth_{z}" for z in range(6)]
    for z, plane in enumerate(planes):
        np.testing.assert_array_equal(plane.label_HW, labels[z])


@pytest.mark.parametrize("images_as", ["stack", "slices"])
def test_context_is_the_next_z_and_not_the_next_file(tmp_path, volume, images_as):
    images, labels = volume
    if images_as == "stack":
        source, numbers = stack(tmp_path / "scan.tif", images), range(6)
        neighbours = {0: (0, 0, 1), 2: (1, 2, 3), 5: (4, 5, 5)}
        label = slices(tmp_path / "labels", labels)
    else:
        numbers = (0, 1, 2, 4, 8, 9)  # Neighbours of 4 are missing: they are 4 itself.
        source = slices(tmp_path / "scan", images, numbers=numbers)
        label = slices(tmp_path / "labels", labels, numbers=numbers)
        neighbours = {0: (0, 0, 1), 1: (0, 1, 2), 3: (3, 3, 3), 5: (4, 5, 5)}
    planes, _ = planes_of(source, label, context=1)
    assert planes[0].image_HWC.shape == (20, 24, 3)
    for index, around in neighbours.items():
        np.testing.assert_array_equal(planes[index].image_HWC, np.stack(images[list(around)], -1))
        np.testing.assert_array_equal(planes[index].image_HW, images[index])


def test_context_of_a_plane_across_y(tmp_path, volume):
    images, labels = volume
    scan = stack(tmp_path / "scan.tif", images)
    label = stack(tmp_path / "scan_y019.tif", labels[:, 19])
    (plane,), _ = planes_of(scan, label, context=2)
    np.testing.assert_array_equal(
        plane.image_HWC, np.stack([images[:, y] for y in (17, 18, 19, 19, 19)], -1)
    )


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("labels.tif", (6, 20, 23), r"is \(6, 20, 23\) voxels .*the scan scan is \(6, 20, 24\)"),
        ("mask_006.tif", (20, 24), r"name has the number 6, but the scan has planes z = 0 to 5"),
        ("mask_y20.tif", (6, 24), r"name has the number 20, but the scan has planes y = 0 to 19"),
        ("mask.tif", (20, 24), r"name has no number"),
        ("mask_z2.tif", (20, 23), r"z = 2: is 20 x 24 pixels, but its label .* is 20 x 23"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, volume, name, shape, message):
    images, _ = volume
    scan = stack(tmp_path / "scan.tif", images)
    label = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    with pytest.raises(InputError, match=message):
        planes_of(scan, stack(tmp_path / name, label))


@pytest.mark.parametrize("form", ["stack", "slices", "npy"])
def test_the_same_planes_have_the_same_hash_in_any_form(tmp_path, volume, form):
    images, labels = volume
    first = stack(tmp_path / "first" / "scan.tif", images), slices(tmp_path / "l", labels)
    if form == "npy":
        np.save(tmp_path / "scan.npy", images)
    source = {
        "stack": lambda: stack(tmp_path / "scan.tif", images),
        "slices": lambda: slices(tmp_path / "scan", images, "scan_z{}.tif"),
        "npy": lambda: tmp_path / "scan.npy",
    }[form]()
    label = slices(tmp_path / "other", labels.astype(np.int32), "z{}.tif")

    def hashes(images, labels):
        found, _ = Labels().find(open_sources(str(images)), str(labels))
        return check(found, None).hashes

    assert hashes(*first) == hashes(source, label)
    changed = labels.copy()
    changed[3, 4, 5] ^= 1
    assert hashes(*first) != hashes(source, stack(tmp_path / "changed.tif", changed))


# Label volumes in colours.

SHOWN = np.array([(0, 0, 0), (255, 0, 0), (0, 90, 255)], np.uint8)
NAMED = "#ff0000:crack,#005aff:rim,#000000:rock"


def rgb(path, labels_ZYX, **options):
    tifffile.imwrite(path, SHOWN[labels_ZYX], photometric="rgb", **options)
    return path


def rgba(path, labels_ZYX):
    colours = SHOWN[labels_ZYX]
    opaque = np.full_like(colours[..., :1], 255)
    tifffile.imwrite(
        path, np.concatenate([colours, opaque], -1), photometric="rgb", extrasamples=["unassalpha"]
    )
    return path


def pages(path, pictures):
    """One TIFF page after the other, as Pillow writes them, each with a palette of its own."""
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


def indexed(labels_YX, order):
    """A palette picture whose colours stand in another order."""
    picture = Image.fromarray(np.argsort(order).astype(np.uint8)[labels_YX])
    picture.putpalette(SHOWN[order].ravel().tolist())
    return picture


COLOUR_VOLUMES = {
    "rgb": rgb,
    "rgb, deflate": lambda path, labels: rgb(path, labels, compression="zlib"),
    "planes of colour": lambda path, labels: (
        tifffile.imwrite(path, np.moveaxis(SHOWN[labels], -1, 1), photometric="rgb",
                         planarconfig="separate"), path)[1],
    "rgba": rgba,
    "ImageJ": lambda path, labels: rgb(path, labels, imagej=True, metadata={"axes": "ZYXS"}),
    "OME": lambda path, labels: rgb(
        path.with_suffix(".ome.tif"), labels, ome=True, metadata={"axes": "ZYXS"}
    ),
    "BigTIFF": lambda path, labels: rgb(path, labels, bigtiff=True),
    "one palette": lambda path, labels: pages(path, [indexed(one, [2, 0, 1]) for one in labels]),
    "palettes": lambda path, labels: pages(
        path, [indexed(one, np.roll([0, 1, 2], z)) for z, one in enumerate(labels)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLOUR_VOLUMES)
@pytest.mark.parametrize("images_as", ["stack", "slices"])
def test_a_volume_in_colours_is_the_folder_of_its_pages(tmp_path, volume, kind, images_as):
    images, labels = volume
    scan = tmp_path / "scan.tif"
    scan = stack(scan, images) if images_as == "stack" else slices(tmp_path / "scan", images)
    (tmp_path / "pages").mkdir()
    for z, plane in enumerate(labels):
        Image.fromarray(SHOWN[plane]).save(tmp_path / "pages" / f"slice_{z:03d}.png")
    made = COLOUR_VOLUMES[kind](tmp_path / "labels.tif", labels)
    for known in (NAMED, None):
        found, of_pages = (
            planes_of(scan, path, known=known)[0] for path in (made, tmp_path / "pages")
        )
        if known or kind != "one palette":  # Without names its index is the class.
            for one, other in zip(found, of_pages, strict=True):
                assert one.place == other.place
                np.testing.assert_array_equal(one.label_HW, other.label_HW)
    classes = np.array([2, 0, 1], np.uint8)[labels]
    found, notices = planes_of(scan, made, known=NAMED)
    assert_planes(found, images, classes, [(0, z) for z in range(6)])
    assert notices == [f"{made}: labelled planes are z = 0-5 (all are labelled)"]


@pytest.mark.parametrize("kind", COLOUR_VOLUMES)
@pytest.mark.parametrize("ignore", ["", "#000000", "0"])
def test_planes_labelled_in_colours_are_found_whatever_axis_they_are_across(
    tmp_path, volume, kind, ignore
):
    images, labels = volume
    scan = stack(tmp_path / "scan.tif", images)
    sparse = np.zeros_like(labels)
    sparse[2], sparse[:, 7], sparse[:, :, 21] = (
        1 + labels[2] % 2, 1 + labels[:, 7] % 2, 1 + labels[:, :, 21] % 2
    )  # fmt: skip
    made = COLOUR_VOLUMES[kind](tmp_path / "labels.tif", sparse)
    if ignore == "0" and "palette" in kind:
        return  # By index: another value than black.
    known = NAMED if not ignore else NAMED.removesuffix(",#000000:rock")
    found, notices = planes_of(
        scan, made, known=known, ignore=ignore, ignored=LabelMap.ignored_values(ignore)
    )
    classes = np.array([255 if ignore else 2, 0, 1], np.uint8)[sparse]
    assert_planes(found, images, classes, [(0, 2), (1, 7), (2, 21)])
    assert "labelled planes are z = 2; y = 7; x = 21" in notices[0]


def test_a_volume_in_colours_is_read_plane_by_plane(tmp_path, volume, monkeypatch):
    images, labels = volume
    made = rgb(tmp_path / "labels.tif", labels)
    scan = stack(tmp_path / "scan.tif", images)
    found, _ = Labels(labelled="z=1,4").find(open_sources(str(scan)), str(made))
    read = []
    shown = tiff.page_as_shown
    monkeypatch.setattr(tiff, "page_as_shown", lambda page, name: (
        read.append(page.index), shown(page, name))[1])  # fmt: skip
    found[1].picture()
    assert read == [4]


def test_a_damaged_page_of_a_volume_in_colours_is_named(tmp_path, volume):
    images, labels = volume
    made = rgb(tmp_path / "labels.tif", labels, compression="zlib")
    with tifffile.TiffFile(made) as opened:
        page = opened.pages[3]
        place, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(made.read_bytes())
    data[place : place + count] = bytes(count)
    made.write_bytes(data)
    with pytest.raises(InputError, match=r"labels.tif: planes 0 to 5 cannot be read"):
        planes_of(stack(tmp_path / "scan.tif", images), made)


def test_a_label_volume_that_is_lossy_is_refused(tmp_path, volume):
    images, labels = volume
    made = rgb(tmp_path / "labels.tif", labels.repeat(8, 1).repeat(8, 2), compression="jpeg")
    scan = stack(tmp_path / "scan.tif", images.repeat(8, 1).repeat(8, 2))
    with pytest.raises(InputError, match=r"labels.tif, z = 0: is compressed as JPEG, which can ch"):
        planes_of(scan, made)


def test_colours_in_a_format_that_knows_none_are_refused_with_the_remedy(tmp_path, volume):
    images, labels = volume
    scan = stack(tmp_path / "scan.tif", images)
    nibabel, itk = pytest.importorskip("nibabel"), pytest.importorskip("SimpleITK")
    colours = SHOWN[labels]
    np.save(tmp_path / "labels.npy", colours)
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["labels"] = colours
    packed = np.ascontiguousarray(colours.transpose(2, 1, 0, 3)).view([(c, "u1") for c in "RGB"])
    nibabel.save(nibabel.Nifti1Image(packed[..., 0], np.eye(4)), tmp_path / "labels.nii")
    image = itk.GetImageFromArray(colours, isVector=True)
    for name in ("labels.nrrd", "labels.mha"):
        itk.WriteImage(image, str(tmp_path / name))
    for name in ("labels.npy", "labels.h5", "labels.nii", "labels.nrrd", "labels.mha"):
        with pytest.raises(InputError) as error:
            planes_of(scan, tmp_path / name)
        said = str(error.value)
        assert str(tmp_path / name) in said
        assert "colour labels as RGB pages of a TIFF" in said, said
        assert "\n" not in said
