"""TIFF stacks of any writer: values, axes, voxel size; a part that is missing is an error."""

import os
import struct

import numpy as np
import pytest
import tifffile
from volumes import DTYPES, check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "scan.tif"


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "uint64"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_types(path, dtype, big, order):
    expected_ZYX = volume(dtype)
    tifffile.imwrite(path, expected_ZYX, bigtiff=big, byteorder=order, photometric="minisblack")
    with open_scan(path) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size, scan.unit) == ("scan", None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "lzma"},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"compression": "jpeg2000", "compressionargs": {"reversible": True, "level": 0}},
        {"compression": "jpegxl", "compressionargs": {"lossless": True}},
        {"compression": "png"},
        {"tile": (16, 16)},
        {"tile": (16, 16), "compression": "zlib"},
        {"rowsperstrip": 3},
        {"metadata": None},
        {"imagej": True},
        {"ome": True},
        {"contiguous": True},
    ],
    ids=str,
)
def test_forms(path, options):
    expected_ZYX = volume("uint16", (4, 33, 35))
    axes = {"axes": "ZYX"} if "imagej" in options or "ome" in options else {}
    metadata = options.pop("metadata", axes)
    tifffile.imwrite(path, expected_ZYX, photometric="minisblack", metadata=metadata, **options)
    with open_scan(path) as scan:
        check(scan, expected_ZYX)


def test_a_stack_that_is_written_page_by_page(path):
    with tifffile.TiffWriter(path) as tiff:
        for page_YX in volume():
            tiff.write(page_YX)
    with open_scan(path) as scan:
        check(scan, volume())


def test_one_page_is_one_slice(path):
    tifffile.imwrite(path, volume()[0])
    with open_scan(path) as scan:
        check(scan, volume()[:1])


def test_pages_are_what_viewers_show(path):
    values_ZYX = volume("uint8")
    turned = [(274, "H", 1, 6, False)]  # Stored on its side.
    tifffile.imwrite(path, values_ZYX, photometric="miniswhite", extratags=turned, metadata=None)
    with open_scan(path) as scan:
        check(scan, 255 - np.rot90(values_ZYX, -1, axes=(1, 2)))
    index_ZYX = values_ZYX % 4
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, index_ZYX, photometric="palette", colormap=colours, metadata=None)
    with open_scan(path) as scan:
        check(scan, index_ZYX)


def test_colours_that_are_gray_and_those_that_are_not(path):
    gray_ZYX = volume("uint8")
    colours = np.stack([gray_ZYX] * 3, axis=-1)
    tifffile.imwrite(path, colours, photometric="rgb")
    with open_scan(path) as scan:
        check(scan, gray_ZYX)
    tifffile.imwrite(path, colours + np.uint8([0, 1, 0]), photometric="rgb")
    with pytest.raises(
        InputError, match=r"scan.tif: is a colour image; X-ray images are grayscale"
    ):
        open_scan(path)


def test_pictures_of_pages(path):
    colours = np.random.default_rng(0).integers(0, 255, (4, 7, 9, 3), np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb")
    with open_scan(path, colours=True) as scan:
        assert scan.shape == (4, 7, 9)
        np.testing.assert_array_equal(scan.picture(3).pixels, colours[3])
        with pytest.raises(InputError, match=r"scan.tif: is a colour image"):
            scan.plane(3)
    palette = np.arange(768, dtype=np.uint16).reshape(3, 256) << 6
    tifffile.imwrite(path, volume("uint8"), photometric="palette", colormap=palette, metadata=None)
    with open_scan(path) as scan:
        assert scan.picture(2).kind == "palette"
        np.testing.assert_array_equal(scan.picture(2).palette_N3, (palette >> 8).T)


def test_pictures_across_other_axes(path):
    colours = np.random.default_rng(0).integers(0, 255, (4, 7, 9, 3), np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb")
    with open_scan(path, colours=True) as scan:
        np.testing.assert_array_equal(scan.picture(6, 1).pixels, colours[:, 6])
        np.testing.assert_array_equal(scan.picture(8, 2).pixels, colours[:, :, 8])
        read = [picture.pixels for picture in scan.pictures(1, 3)]
        np.testing.assert_array_equal(np.stack(read), colours[1:3])
        for index, axis in ((9, 2), (-1, 1), (4, 0)):
            with pytest.raises(IndexError, match=rf"scan.tif: no plane {index} of \d along {axis}"):
                scan.picture(index, axis)
        with pytest.raises(IndexError, match=r"scan.tif: no planes 2 to 5 of 4"):
            next(scan.pictures(2, 5))
    index_ZYX = volume("uint8")
    palette = np.random.default_rng(1).integers(0, 255, (3, 256), np.uint16) << 8

    def write_pages(palettes):
        with tifffile.TiffWriter(path) as writer:
            for plane, palette in zip(index_ZYX, palettes, strict=True):
                writer.write(plane, photometric="palette", colormap=palette, metadata=None)
        return open_scan(path)

    with write_pages([palette] * 5) as scan:
        found = scan.picture(3, 2)
        assert found.kind == "palette"
        np.testing.assert_array_equal(found.pixels, index_ZYX[:, :, 3])
        np.testing.assert_array_equal(found.palette_N3, (palette >> 8).T)
    palettes = [np.roll(palette, z, axis=1) for z in range(5)]
    with write_pages(palettes) as scan:  # The index is no class any more.
        found = scan.picture(3, 2)
        assert found.kind == "rgb"
        shown = [(p >> 8).T[line] for p, line in zip(palettes, index_ZYX[:, :, 3], strict=True)]
        np.testing.assert_array_equal(found.pixels, np.stack(shown))


def test_planes_across_gray_and_colour_pages_are_refused(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(volume("uint8")[0], photometric="minisblack", metadata=None)
        colormap = np.zeros((3, 256), np.uint16)
        writer.write(volume("uint8")[1], photometric="palette", colormap=colormap, metadata=None)
    with open_scan(path, colours=True) as scan:
        message = r"scan.tif: some planes are gray and others palette pictures, so that those acr"
        with pytest.raises(InputError, match=message):
            scan.picture(0, 1)


def resolution(y, x, unit):
    return {"resolution": (1 / x, 1 / y), "resolutionunit": unit}


@pytest.mark.parametrize(
    ("options", "size", "unit"),
    [
        ({"imagej": True, **resolution(0.5, 0.25, None),
          "metadata": {"unit": "um", "spacing": 2.0}},
         (2.0, 0.5, 0.25), "um"),
        ({"imagej": True, **resolution(0.5, 0.25, None), "metadata": {"unit": "\\u00B5m"}},
         (1.0, 0.5, 0.25), "um"),
        ({"imagej": True, **resolution(0.5, 0.25, None), "metadata": {"unit": "pixel"}},
         None, None),
        ({"imagej": True, "metadata": {"spacing": 2.0}}, None, None),
        (resolution(0.5, 0.25, "CENTIMETER"), (np.nan, 5.0, 2.5), "mm"),
        (resolution(0.5, 0.25, "INCH"), (np.nan, 12.7, 6.35), "mm"),
        (resolution(1 / 72, 1 / 72, "INCH"), None, None),
        (resolution(1 / 300, 1 / 300, "INCH"), None, None),
        (resolution(0.5, 0.25, "NONE"), None, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5,
                                    "PhysicalSizeZ": 2.0}}, (2.0, 0.5, 0.25), "um"),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "mm",
                                    "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "mm"}},
         (np.nan, 0.5, 0.25), "mm"),
        ({"ome": True}, None, None),
    ],
    ids=str,
)  # fmt: skip
def test_voxel_size(path, options, size, unit):
    axes = {"axes": "ZYX", **options.get("metadata", {})}
    tifffile.imwrite(path, volume(), photometric="minisblack", **{**options, "metadata": axes})
    with open_scan(path) as scan:
        check(scan, volume())
        assert scan.unit == unit
        if size is None:
            assert scan.voxel_size is None
        else:
            np.testing.assert_allclose(scan.voxel_size, size, rtol=1e-6)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_channels_and_times_are_chosen(path, kind):
    values = volume("uint16", (3, 5, 2, 7, 9))
    tifffile.imwrite(path, values, **{kind: True}, metadata={"axes": "TZCYX"})
    with pytest.raises(
        InputError, match=r"scan.tif: has axes tzcyx .*: 3 along t, 2 along c .*::t=0,c=0$"
    ):
        open_scan(path)
    with open_scan(f"{path}::c=1,t=2") as scan:
        check(scan, values[2, :, 1])
        assert scan.name == "scan"
    with pytest.raises(InputError, match=r"cannot choose 'k=1' of axes tzcyx .*::t=0,c=0"):
        open_scan(f"{path}::k=1")


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [("TYX", (5, 7, 9), (5, 7, 9)), ("TZCYX", (1, 5, 1, 7, 9), (5, 7, 9)),
     ("ZCYX", (5, 1, 7, 9), (5, 7, 9))],
)  # fmt: skip
def test_the_axis_that_is_longer_than_one_is_depth(path, axes, shape, expected):
    values = volume("uint16", shape)
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": axes})
    with open_scan(path) as scan:
        check(scan, values.reshape(expected))


def test_channels_are_no_depth(path):
    tifffile.imwrite(path, volume(), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(InputError, match=r"has axes cyx \(5, 7, 9\): 5 along c .*with ::c=0$"):
        open_scan(path)


def test_four_dimensions_without_names(path):
    values = volume("uint16", (2, 5, 7, 9))
    tifffile.imwrite(path, values, photometric="minisblack")
    with pytest.raises(InputError, match=r"has axes \w+ \(2, 5, 7, 9\): .*choose one volume with"):
        open_scan(path)


def test_several_images_of_different_size(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(volume())
        tiff.write(volume("uint16", (5, 8, 8)))
    with pytest.raises(
        InputError, match=r"holds 2 images: QYX \(5, 7, 9\) uint16, QYX \(5, 8, 8\)"
    ):
        open_scan(path)


def test_smaller_copies_are_no_images(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(volume("uint16", (5, 64, 64)), subifds=1, metadata={"axes": "ZYX"})
        tiff.write(volume("uint16", (5, 32, 32)), subfiletype=1)
    with open_scan(path) as scan:
        check(scan, volume("uint16", (5, 64, 64)))


def test_an_only_image_that_is_called_a_smaller_copy(path):
    tifffile.imwrite(path, volume(), subfiletype=1, photometric="minisblack")
    with open_scan(path) as scan:
        check(scan, volume())


def imagej_run(path, values, **about):
    """As ImageJ writes stacks of more than 4 GB: one page and the bytes of all behind it."""
    channels = about.get("channels", 1)
    planes = values.reshape(-1, *values.shape[-2:])
    said = {"images": len(planes), "slices": len(planes) // channels, **about}
    text = "ImageJ=1.53t\n" + "".join(f"{key}={value}\n" for key, value in said.items())
    tags = [(256, 4, 1, values.shape[-1]), (257, 4, 1, values.shape[-2]),
            (258, 3, 1, 8 * values.dtype.itemsize), (259, 3, 1, 1), (262, 3, 1, 1),
            (270, 2, len(text), None), (273, 4, 1, None), (277, 3, 1, 1),
            (278, 4, 1, values.shape[-2]), (279, 4, 1, planes[0].nbytes),
            (339, 3, 1, 3 if values.dtype.kind == "f" else 1)]  # fmt: skip
    end = 8 + 2 + 12 * len(tags) + 4
    data = end + len(text)
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    for code, kind, count, value in tags:
        value = {270: end, 273: data}.get(code, value)
        packed = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        head += struct.pack(">HHI", code, kind, count) + packed
    big = planes.astype(planes.dtype.newbyteorder(">"))
    path.write_bytes(head + bytes(4) + text.encode() + big.tobytes())
    return data


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_one_page_and_the_planes_behind_it(path, dtype):
    imagej_run(path, volume(dtype), unit="um", spacing=2.0)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    with open_scan(path) as scan:
        check(scan, volume(dtype))


def test_channels_behind_one_page(path):
    values = volume("uint16", (5, 2, 7, 9))
    imagej_run(path, values, channels=2, hyperstack="true")
    with open_scan(f"{path}::c=1") as scan:
        check(scan, values[:, 1])


def test_one_page_that_lacks_planes(path):
    imagej_run(path, volume())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"scan.tif: says that it has 5 planes, but ends within them; it is trunc"
    ):
        open_scan(path)


def test_pages_that_keep_the_metadata_of_their_stack(path, caplog):
    said = "ImageJ=1.53t\nimages=5\nslices=5\n"
    with tifffile.TiffWriter(path) as tiff:
        for page_YX in volume()[:2]:
            tiff.write(page_YX, description=said, metadata=None)
    with open_scan(path) as scan:
        check(scan, volume()[:2])
    assert "scan.tif: says that it has 5 planes, but has 2 pages; these are read" in caplog.text
    tifffile.imwrite(path, volume()[0], description='{"shape": [5, 7, 9]}', metadata=None)
    with open_scan(path) as scan:
        check(scan, volume()[:1])


def test_ome_planes_that_are_missing(path):
    tifffile.imwrite(path, volume(), ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tiff:
        said = tiff.ome_metadata
    tifffile.imwrite(path, volume()[:2], description=said, metadata=None)
    with pytest.raises(
        InputError, match=r"3 of 5 planes are missing, the first is plane 2; put the file back"
    ):
        open_scan(path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}])
@pytest.mark.parametrize("left", [0.2, 0.5, 0.9])
def test_truncated(path, options, left):
    tifffile.imwrite(path, volume("uint16", (20, 30, 40)), photometric="minisblack", **options)
    os.truncate(path, int(left * path.stat().st_size))
    with pytest.raises(InputError, match=r"scan.tif: .*truncated"):
        open_scan(path)


def test_damaged_page(path):
    tifffile.imwrite(path, volume(), photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        where = tiff.pages[2].dataoffsets[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:where] + bytes(20) + whole[where + 20 :])
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.plane(1), volume()[1])
        with pytest.raises(InputError, match=r"scan.tif: plane 2 along axis 0 cannot be read \("):
            scan.plane(2)


def test_no_tiff(path):
    path.write_text("no TIFF")
    with pytest.raises(InputError, match=r"scan.tif: is no TIFF file or is truncated \("):
        open_scan(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"scan.tif: is empty \(0 bytes\)"):
        open_scan(path)


OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'


def ome_set(folder, values_ZYX, companion):
    """A plane a file, and what they are together in the first file or in one of its own."""
    z, y, x = values_ZYX.shape
    names = [f"z{index}.ome.tif" for index in range(z)]
    planes = "".join(
        f'<TiffData FirstC="0" FirstT="0" FirstZ="{index}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{index:08d}-0000-0000-0000-000000000000</UUID>'
        "</TiffData>"
        for index, name in enumerate(names)
    )
    xml = (
        f'{OME}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="1" SizeT="1" PhysicalSizeX="0.25" '
        f'PhysicalSizeY="0.5" PhysicalSizeZ="2.0"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        f"{planes}</Pixels></Image></OME>"
    )
    only = (
        f'{OME}<BinaryOnly MetadataFile="set.companion.ome" '
        'UUID="urn:uuid:00000099-0000-0000-0000-000000000000"/></OME>'
    )
    if companion:
        (folder / "set.companion.ome").write_text(xml)
    for name, page_YX in zip(names, values_ZYX, strict=True):
        tifffile.imwrite(
            folder / name, page_YX, description=only if companion else xml, metadata=None
        )


@pytest.mark.parametrize("companion", [False, True])
def test_a_set_of_files(tmp_path, companion):
    ome_set(tmp_path, volume(), companion)
    opened = ["z0.ome.tif", "z3.ome.tif", *(["set.companion.ome"] if companion else [])]
    for name in opened:
        with open_scan(tmp_path / name) as scan:
            check(scan, volume())
            assert (scan.voxel_size, scan.unit) == ((2.0, 0.5, 0.25), "um")


@pytest.mark.parametrize("companion", [False, True])
def test_a_set_with_a_missing_slice_names_it(tmp_path, companion):
    ome_set(tmp_path, volume(), companion)
    (tmp_path / "z3.ome.tif").unlink()
    with pytest.raises(
        InputError, match=r"is of a set of 5 files, of which 1 are missing: z3.ome.tif; put them in"
    ):
        open_scan(tmp_path / "z0.ome.tif")


def test_a_set_without_its_companion(tmp_path):
    ome_set(tmp_path, volume(), companion=True)
    (tmp_path / "set.companion.ome").unlink()
    with pytest.raises(
        InputError, match=r"is one file of a set that set.companion.ome describes, which is missing"
    ):
        open_scan(tmp_path / "z0.ome.tif")
    with open_scan(tmp_path) as scan:  # As a folder of slices it is whole.
        check(scan, volume())
