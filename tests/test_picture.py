"""One picture, written in every way, gives the same pixels, or is refused by name."""

import io
import itertools

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures import TO_STORED, noise, png, tiff
from PIL import Image, ImageOps

from xseg_jax.data.images import read_image, read_label
from xseg_jax.errors import InputError
from xseg_jax.scans.picture import SUFFIXES, read_picture

SPREAD = {1: 255, 2: 85, 4: 17, 8: 1, 16: 1}
ORIENTATIONS = tuple(TO_STORED)
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6


def exif(orientation):
    """As a file of another program has it."""
    fields = Image.Exif()
    fields[274] = orientation
    return fields


def opaque(samples, bits):
    return np.full_like(samples, 2**bits - 1)


def tiff_ways():
    """Keywords of tifffile, and bits, photometric, extra samples and orientation."""
    layouts = ({}, {"tile": (16, 16)}, {"rowsperstrip": 2})
    compressions = (None, "packbits", "lzw", "deflate", "zstd", "lzma")
    orders = "<>"
    for bits, photometric, extra in itertools.product(
        (1, 2, 4, 8, 16), ("minisblack", "miniswhite", "palette", "rgb"), (None, 1, 2)
    ):
        # What tifffile does not write; test_tiff_page.py writes it by hand.
        if (bits < 8 and (photometric == "rgb" or extra)) or (
            photometric == "palette" and (bits != 8 or extra)
        ):
            continue
        # Not all by all: each value of one list meets each of the others somewhere.
        for number, orientation in enumerate(ORIENTATIONS):
            for turn in range(3):
                place = number + 3 * turn + bits
                yield bits, photometric, extra, orientation, {
                    "compression": compressions[place % 6] if bits not in (2, 4) else None,
                    "byteorder": orders[(place // 2) % 2],
                    "predictor": bool(place % 5 == 0 and bits >= 8 and place % 6 > 1) or None,
                    **layouts[place // 3 % 3],
                }  # fmt: skip


def write_tiff(path, samples_HW, bits, photometric, extra, orientation, options):
    stored = samples_HW
    if photometric in ("miniswhite", "palette"):
        stored = samples_HW.dtype.type(2**bits - 1) - samples_HW
    if photometric == "palette":  # Index 0 shows white.
        ramp = (np.arange(2**bits)[::-1] * SPREAD[bits] * 257).astype(np.uint16)
        options = options | {"colormap": np.stack([ramp] * 3)}
    channels = [stored] * (3 if photometric == "rgb" else 1)
    if extra:
        channels.append(opaque(stored, bits))
        options = options | {"extrasamples": [extra], "planarconfig": "contig"}
    stored = np.stack(channels, axis=-1) if len(channels) > 1 else stored
    stored = TO_STORED[orientation](stored)
    if bits == 1:
        stored = stored > 0
    elif bits < 8:
        options = options | {"bitspersample": bits}
    tifffile.imwrite(
        path, np.ascontiguousarray(stored), photometric=photometric,
        extratags=[(274, "H", 1, orientation, True)], metadata=None, **options,
    )  # fmt: skip


def test_every_way_of_tiff_shows_the_same(tmp_path):
    path, written = tmp_path / "a.tif", 0
    for bits, photometric, extra, orientation, options in tiff_ways():
        way = f"{bits} bits, {photometric}, extra {extra}, orientation {orientation}, {options}"
        samples_HW = noise((7, 5), bits)
        write_tiff(path, samples_HW, bits, photometric, extra, orientation, options)
        written += 1
        expected_HW = samples_HW * samples_HW.dtype.type(SPREAD[bits])
        image_HW = read_image(path)
        assert image_HW.dtype == expected_HW.dtype, way
        assert np.array_equal(image_HW, expected_HW), way
        if photometric != "palette" and bits > 1 and photometric != "rgb":
            assert np.array_equal(read_label(path), expected_HW), way
    assert written == 8 * 3 * (2 * 3 + 3 * 3 + 1 + 3 * 3)


def png_ways():
    """Bits, colour type, whether there is transparency that no pixel has, orientation."""
    for bits, colour, unused, orientation in itertools.product(
        (1, 2, 4, 8, 16), (GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA), (False, True), ORIENTATIONS
    ):
        allowed = {GRAY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}.get(colour, (8, 16))
        if bits in allowed and not (unused and colour in (GRAY_ALPHA, RGBA)):
            yield bits, colour, unused, orientation


def png_bytes(samples_HW, bits, colour, unused, orientation):
    stored, chunks = TO_STORED[orientation](samples_HW), []
    if colour == PALETTE:
        stored = 2**bits - 1 - stored
        ramp = np.arange(2**bits)[::-1] * SPREAD[bits]
        chunks.append((b"PLTE", np.repeat(ramp, 3).astype(np.uint8).tobytes()))
        if unused:
            chunks.append((b"tRNS", b"\xff" * 2**bits))
    elif unused:  # A gray value, or a colour, that the picture has not.
        key = next(value for value in range(2**bits) if value not in samples_HW)
        chunks.append((b"tRNS", np.full(3 if colour == RGB else 1, key, ">u2").tobytes()))
    if colour in (RGB, RGBA):
        stored = np.repeat(stored[..., None], 3, axis=-1)
    if colour in (GRAY_ALPHA, RGBA):
        stored = np.atleast_3d(stored)
        stored = np.concatenate([stored, opaque(stored[..., :1], bits)], axis=-1)
    chunks.append((b"eXIf", exif(orientation).tobytes()[6:]))
    return png(stored, bits, colour, *chunks)


def test_every_way_of_png_shows_the_same(tmp_path):
    path, written = tmp_path / "a.png", 0
    for bits, colour, unused, orientation in png_ways():
        way = f"{bits} bits, colour type {colour}, tRNS {unused}, orientation {orientation}"
        samples_HW = noise((7, 5), bits)
        if unused and colour != PALETTE:
            samples_HW[samples_HW == 0] = 2**bits - 1
        path.write_bytes(png_bytes(samples_HW, bits, colour, unused, orientation))
        expected_HW = samples_HW * samples_HW.dtype.type(SPREAD[bits])
        image_HW = read_image(path)
        assert image_HW.dtype == expected_HW.dtype, way
        assert np.array_equal(image_HW, expected_HW), way
        if bits < 16 and not (unused and colour == PALETTE):  # Pillow would warn of the latter.
            with Image.open(path) as image:
                by_pillow = np.asarray(ImageOps.exif_transpose(image).convert("L"))
            assert np.array_equal(image_HW, by_pillow), way
        written += 1
    assert written == 8 * (2 * 5 + 2 * 2 + 2 * 4 + 2 + 2)


OTHERS = {
    "bmp 1": lambda a, path: Image.fromarray(a > 127).save(path.with_suffix(".bmp")),
    "bmp gray": lambda a, path: Image.fromarray(a).save(path.with_suffix(".bmp")),
    "bmp colour": lambda a, path: Image.fromarray(a).convert("RGB").save(path.with_suffix(".bmp")),
    "bmp alpha": lambda a, path: Image.fromarray(a).convert("RGBA").save(path.with_suffix(".bmp")),
    "gif": lambda a, path: Image.fromarray(a).save(path.with_suffix(".gif")),
    "pgm": lambda a, path: Image.fromarray(a).save(path.with_suffix(".pgm")),
    "pbm": lambda a, path: Image.fromarray(a > 127).save(path.with_suffix(".pbm")),
    "ppm": lambda a, path: Image.fromarray(a).convert("RGB").save(path.with_suffix(".ppm")),
    "webp": lambda a, path: Image.fromarray(a).save(path.with_suffix(".webp"), lossless=True),
    "npy": lambda a, path: np.save(path.with_suffix(".npy"), a),
    "npy of one": lambda a, path: np.save(path.with_suffix(".npy"), a[None, :, :, None]),
    "lossless jpeg": lambda a, path: path.with_suffix(".jpg").write_bytes(
        imagecodecs.jpeg8_encode(a, lossless=True)
    ),
    "jpeg-ls": lambda a, path: path.with_suffix(".jpg").write_bytes(imagecodecs.jpegls_encode(a)),
    "png called tif": lambda a, path: Image.fromarray(a).save(path.with_suffix(".tif"), "PNG"),
    "tiff called png": lambda a, path: Image.fromarray(a).save(path.with_suffix(".png"), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("way", OTHERS)
def test_every_other_format_shows_the_same(tmp_path, way):
    two_levels = way in ("bmp 1", "pbm")
    gray_HW = noise((16, 9), 1) * np.uint8(255) if two_levels else noise((16, 9))
    OTHERS[way](gray_HW, tmp_path / "a")
    (path,) = tmp_path.iterdir()
    assert path.suffix in SUFFIXES
    image_HW = read_image(path)
    assert image_HW.dtype == np.uint8
    np.testing.assert_array_equal(image_HW, gray_HW)
    assert not read_picture(path).lossy


@pytest.mark.parametrize("encode", ["ljpeg_encode", "jpeg8_encode", "jpegls_encode"])
@pytest.mark.parametrize("bits", [12, 16])
def test_deep_lossless_jpeg_keeps_every_bit(tmp_path, encode, bits):
    gray_HW = noise((32, 16), bits)
    options = {
        "jpeg8_encode": {"lossless": True, "bitspersample": bits},
        "ljpeg_encode": {"bitspersample": bits},
    }.get(encode, {})
    data = getattr(imagecodecs, encode)(gray_HW, **options)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path), gray_HW)
    np.testing.assert_array_equal(read_label(path), gray_HW)
    for kept in (len(data) // 3, len(data) // 2):
        path.write_bytes(data[:kept])
        with pytest.raises(InputError, match=r"a.jpg: cannot be read .*damaged or truncated"):
            read_image(path)


def test_12_bit_jpeg_is_read_but_no_label(tmp_path):
    ramp_HW = np.add.outer(np.arange(32), np.arange(24)).astype(np.uint16) * 70
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(ramp_HW, level=98, bitspersample=12))
    assert np.abs(read_image(path).astype(int) - ramp_HW).max() < 20
    assert read_image(path).dtype == np.uint16
    with pytest.raises(InputError, match=r"a.jpg: is compressed as JPEG, which can change label"):
        read_label(path)


def test_jpeg_ls_with_an_allowed_error_is_lossy(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpegls_encode(noise((16, 16)), level=3))
    assert np.abs(read_image(path).astype(int) - noise((16, 16))).max() <= 3
    with pytest.raises(InputError, match=r"a.jpg: is compressed as JPEG, which can change label"):
        read_label(path)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("lossless", [False, True])
def test_orientation_of_jpeg(tmp_path, orientation, lossless):
    blocks_HW = np.kron(noise((4, 3)), np.ones((8, 8), np.uint8))
    stored_HW = np.ascontiguousarray(TO_STORED[orientation](blocks_HW))
    path = tmp_path / "a.jpg"
    if lossless:
        block = b"Exif\0\0" + exif(orientation).tobytes()[6:]
        data = imagecodecs.jpeg8_encode(stored_HW, lossless=True)
        path.write_bytes(
            data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]
        )
    else:
        Image.fromarray(stored_HW).save(path, quality=100, exif=exif(orientation))
    assert read_image(path).shape == blocks_HW.shape
    assert np.abs(read_image(path).astype(int) - blocks_HW).max() <= 1


# What is refused.


def saved(picture, kind, **options):
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


HALF = Image.fromarray(np.stack([noise()] * 3 + [noise(bits=1) * np.uint8(255)], axis=-1))
DEEP_HALF = imagecodecs.png_encode(np.asarray(HALF) * np.uint16(257))
ONE, COLOUR, INDEXED = (
    Image.fromarray(noise()),
    HALF.convert("RGB"),
    HALF.convert("RGB").quantize(8),
)
CMYK, LAB = HALF.convert("CMYK"), COLOUR.convert("LAB")
FRAMES = {"save_all": True, "append_images": [ONE.rotate(180)], "duration": 9}
TRANSPARENT = r"\d+ of 35 pixels are transparent, so that what they show depends on what is behind"
SEVERAL = "has 2 images, expected one slice"
REFUSED = {
    "png alpha": (".png", saved(HALF, "PNG"), TRANSPARENT),
    "png 16-bit alpha": (".png", DEEP_HALF, TRANSPARENT),
    "png gray key": (".png", saved(ONE, "PNG", transparency=int(noise()[0, 0])), TRANSPARENT),
    "png colour key": (".png", saved(COLOUR, "PNG", transparency=(0, 0, 0)), TRANSPARENT),
    "png palette alpha": (".png", saved(INDEXED, "PNG", transparency=b"\x00\x80"), TRANSPARENT),
    "gif key": (".gif", saved(INDEXED, "GIF", transparency=0), TRANSPARENT),
    "webp alpha": (".webp", saved(HALF, "WEBP", lossless=True), TRANSPARENT),
    "tiff alpha": (".tif", saved(HALF, "TIFF"), TRANSPARENT),
    "jpeg cmyk": (".jpg", saved(CMYK, "JPEG"), "is a CMYK picture; convert it to gray"),
    "tiff cmyk": (".tif", saved(CMYK, "TIFF"), "is a SEPARATED picture; convert it"),
    "tiff lab": (".tif", saved(LAB, "TIFF"), "is a CIELAB picture; convert it"),
    "gif of frames": (".gif", saved(ONE, "GIF", **FRAMES), SEVERAL),
    "png of frames": (".png", saved(ONE, "PNG", **FRAMES), SEVERAL),
    "webp of frames": (".webp", saved(ONE, "WEBP", **FRAMES), SEVERAL),
    "tiff of pages": (".tif", saved(ONE, "TIFF", save_all=True, append_images=[ONE]), SEVERAL),
}


@pytest.mark.parametrize("way", REFUSED)
def test_what_viewers_do_not_agree_on_is_refused(tmp_path, way):
    suffix, content, message = REFUSED[way]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for read in (read_image, read_label):
        with pytest.raises(InputError, match=rf"a{suffix}: {message}"):
            read(path)


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_of_numpy_are_no_alpha(tmp_path, channels):
    np.save(tmp_path / "a.npy", np.full((7, 5, channels), 255, np.uint8))
    with pytest.raises(InputError, match=rf"a.npy: has {channels} channels, expected one; "):
        read_picture(tmp_path / "a.npy")


def test_numpy_archive_is_no_array(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, noise())
    with pytest.raises(InputError, match=r"a.npy: cannot be read"):
        read_picture(tmp_path / "a.npy")


# One page with the metadata of many.


def test_one_page_of_an_ome_set(tmp_path):
    """As Bio-Formats writes one file a plane; tifffile would follow the names to the others."""
    files = [f"scan_Z{z}.ome.tif" for z in range(3)]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID>'
        "</TiffData>"
        for z, name in enumerate(files)
    )
    about = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="5" '
        'SizeY="7" SizeZ="3" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>'
        f"{data}</Pixels></Image></OME>"
    )
    for z, name in enumerate(files):
        tifffile.imwrite(tmp_path / name, noise(seed=z), description=about, metadata=None)
    assert tifffile.imread(tmp_path / files[1]).shape == (3, 7, 5)  # It would.
    for z, name in enumerate(files):
        np.testing.assert_array_equal(read_image(tmp_path / name), noise(seed=z))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_one_page_with_the_metadata_of_an_imagej_stack(tmp_path, compression):
    about = "ImageJ=1.54f\nimages=12\nslices=12\nloop=false\n"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(), description=about, metadata=None, compression=compression)
    np.testing.assert_array_equal(read_image(path), noise())


def test_a_stack_behind_one_page_is_not_taken_for_its_first_image(tmp_path):
    """As ImageJ writes stacks of more than 4 GB."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((12, 7, 5)), imagej=True, truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    with pytest.raises(InputError, match=r"a.tif: has 12 images, expected one slice"):
        read_picture(path)
    tifffile.imwrite(path, noise((12, 7, 5)), truncate=True, photometric="minisblack")
    with pytest.raises(InputError, match=r"a.tif: has 12 images, expected one slice"):
        read_picture(path)


def test_a_mask_page_is_transparency(tmp_path):
    path = tmp_path / "a.tif"
    for masked, count in ((noise(bits=1) > 0, 1), (np.ones((7, 5), bool), 0)):
        with tifffile.TiffWriter(path) as file:
            file.write(noise())
            file.write(masked, subfiletype=4, photometric="mask")
        if count:
            with pytest.raises(InputError, match=rf"a.tif: {TRANSPARENT}"):
                read_picture(path)
        else:
            np.testing.assert_array_equal(read_picture(path).pixels, noise())


@pytest.mark.parametrize("called", [1, 4])
def test_an_only_page_that_is_called_reduced_or_mask(tmp_path, called):
    (tmp_path / "a.tif").write_bytes(tiff(noise(), 8, {262: [1], 254: [called]}))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, noise())


def test_a_form_that_no_codec_knows_is_not_called_damaged(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise())
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[259].overwrite(34677)  # SGI log: no codec.
    with pytest.raises(InputError, match=r"a.tif: cannot be read .* not known here: export it as"):
        read_picture(path)
