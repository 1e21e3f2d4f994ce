"""TIFF stacks, by tifffile: pages, BigTIFF, ImageJ, OME-TIFF and its sets of files.

A page is what every viewer shows of it. Stacks are found as tifffile's series, whose axes say what
is depth, channel and time.
"""

import itertools
import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import choose
from xseg_jax.scans.raw import Layout, RawScan
from xseg_jax.scans.scan import Geometry, Region, Scan, plain_dtype, some
from xseg_jax.scans.shown import Picture
from xseg_jax.scans.slices import gray_of
from xseg_jax.scans.tiff_geometry import geometry_of, ome_geometry
from xseg_jax.scans.tiff_page import page_as_shown

Page = tuple[Path, int]
"""A file and the byte of it where the page's directory is."""

ORIENTATION = 274
ROWS_ARE_COLUMNS = (5, 6, 7, 8)  # Of the orientation tag.
SPARE = "abdefghjklmnop"  # Names for axes that have the same one.
logger = logging.getLogger(__name__)
# What it would say is checked here, and ends in an error.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class TiffScan(Scan):
    """Pages of TIFF files; a file is opened when one of its pages is read, by each thread anew."""

    pictured = True

    def __init__(
        self, source: str, pages: list[Page], key: Any, geometry: Geometry, colours: bool
    ) -> None:
        self.pages = pages
        lengths = [int(key.imagelength), int(key.imagewidth)]
        if _orientation(key) in ROWS_ARE_COLUMNS:
            lengths.reverse()
            if geometry.voxel_size:
                z, y, x = geometry.voxel_size
                geometry = Geometry((z, x, y), geometry.unit, geometry.origin)
        if key.dtype is None:
            raise InputError(f"{source}: pixels are no plain numbers; export it again")
        super().__init__(
            source, (len(pages), *lengths), plain_dtype(np.dtype(key.dtype), source), geometry
        )
        if key.photometric not in (0, 1, 3) and not colours:  # They may still be gray.
            self._read((slice(0, 1), slice(0, lengths[0]), slice(0, lengths[1])))

    def _read(self, region: Region) -> np.ndarray:
        z, y, x = region
        values = np.empty([part.stop - part.start for part in region], self.dtype)
        for index, picture in enumerate(self._pictures(range(z.start, z.stop))):
            values[index] = gray_of(picture, self.source)[y, x]
        return values

    def _pictures(self, planes: range) -> Iterator[Picture]:
        for file, group in itertools.groupby(planes, lambda plane: self.pages[plane][0]):
            with tifffile.TiffFile(file) as tiff:
                for plane in group:
                    tiff.filehandle.seek(self.pages[plane][1])
                    page = tifffile.TiffPage(tiff, index=(plane,))
                    picture = page_as_shown(page, self.source)
                    size, dtype = picture.pixels.shape[:2], picture.pixels.dtype
                    if size != self.shape[1:] or dtype != self.dtype:
                        raise InputError(
                            f"{self.source}: page {plane} is {dtype} {size}, but the first is "
                            f"{self.dtype} {self.shape[1:]}; export all pages alike"
                        )
                    yield picture


def _orientation(page: Any) -> int:
    return int(getattr(page.tags.get(ORIENTATION), "value", 1))


@contextmanager
def _opened(file: Path, source: str, omexml: str | None = None) -> Iterator[tifffile.TiffFile]:
    try:
        tiff = tifffile.TiffFile(file, omexml=omexml)
    except tifffile.TiffFileError as error:
        raise InputError(
            f"{source}: is no TIFF file or is truncated ({error}); copy or export it again"
        ) from error
    with tiff:
        yield tiff


def open_tiff(file: Path, inside: str, source: str, colours: bool = False) -> Scan:
    """A TIFF file: its pages are z; `stack.tif::c=1,t=0` chooses of several channels and times.

    Raises:
      InputError: it is truncated, in colours, holds several stacks, or a file of its set is
        missing.
    """
    with _opened(file, source) as tiff:
        xml = tiff.ome_metadata
        if xml and "<BinaryOnly" in xml:
            return open_companion(_companion(file, xml, source), inside, source, colours)
        return _open_series(tiff, file, inside, source, xml, colours)


def open_companion(file: Path, inside: str, source: str, colours: bool = False) -> Scan:
    """A set of OME-TIFF files, by the file of metadata that names them.

    Raises:
      InputError: one of the files is missing, or as `open_tiff`.
    """
    xml = file.read_text(encoding="utf-8")
    files = _files_of(xml, file.parent, source)
    if not files:
        raise InputError(f"{source}: names no TIFF files; open one of the images")
    with _opened(files[0], source, xml) as tiff:
        return _open_series(tiff, files[0], inside, source, xml, colours)


def _companion(file: Path, xml: str, source: str) -> Path:
    """The file of metadata of a set, beside one of its images."""
    only = next(e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("BinaryOnly"))
    companion = file.parent / only.attrib.get("MetadataFile", "")
    if not companion.is_file():
        raise InputError(
            f"{source}: is one file of a set that {companion.name} describes, which is missing; "
            "put it beside, or open the folder as slices"
        )
    return companion


def _files_of(xml: str, folder: Path, source: str) -> list[Path]:
    """The files that OME metadata names, in order, all of them there."""
    named = dict.fromkeys(
        element.attrib["FileName"]
        for element in ElementTree.fromstring(xml).iter()
        if element.tag.endswith("UUID") and "FileName" in element.attrib
    )
    missing = [name for name in named if not (folder / name).is_file()]
    # A set of one file may have been renamed.
    if missing and len(named) > 1:
        raise InputError(
            f"{source}: is of a set of {len(named)} files, of which {len(missing)} are missing: "
            f"{some(missing, 3)}; put them into {folder}"
        )
    return [folder / name for name in named if name not in missing]


def _open_series(
    tiff: tifffile.TiffFile, file: Path, inside: str, source: str, xml: str | None, colours: bool
) -> Scan:
    if xml:
        _files_of(xml, file.parent, source)
    series = [s for s in tiff.series if s.keyframe is not None]
    # Smaller copies and masks go with an image; one that is alone is the image.
    series = [s for s in series if not (s.keyframe.is_reduced or s.keyframe.is_mask)] or series
    if not series:
        raise InputError(f"{source}: holds no image; export it again")
    axes, shape, found = _stack(series, source)
    key = series[0].keyframe
    if len(found) == 1 and _end_of(series[0], shape) > tiff.filehandle.size:
        axes, shape = "yx", shape[-2:]  # tifffile believes what the file says of a run of planes.
    _check_ends(tiff, file, source)
    _check_count(tiff, math.prod(shape[:-2]), source)
    if len(shape) - len(set(axes)):
        raise InputError(f"{source}: axes {axes} {shape} are not understood; export it again")
    fixed = choose(axes, shape, inside, source)
    depth = next((axis for axis in axes if axis not in (*fixed, "y", "x")), "")
    stack = depth in ("z", "q", "i")  # A time is no length.
    geometry = ome_geometry(xml) if xml else geometry_of(tiff, math.prod(shape[:-2]) > 1)
    if geometry.voxel_size and (not depth or not stack):
        geometry = Geometry((math.nan, *geometry.voxel_size[1:]), geometry.unit)
    choice = tuple(fixed.get(axis, slice(None)) for axis in axes[:-2])
    if series[0].kind == "ndtiff":  # Its index knows where pixels are, and not their directories.
        pages = {page.dataoffsets[0]: page for page in tiff.pages}
        found = [pages.get(page.dataoffsets[0]) if page else None for page in found]
    if len(found) == 1 and math.prod(shape[:-2]) > 1:
        return _open_run(series[0], file, shape, choice, geometry, source)
    chosen = [found[index] for index in np.arange(len(found)).reshape(shape[:-2])[choice].flat]
    missing = [plane for plane, page in enumerate(chosen) if page is None]
    if missing:
        raise InputError(
            f"{source}: {len(missing)} of {len(chosen)} planes are missing, the first is plane "
            f"{missing[0]}; put the file back that holds it, or open the folder as slices"
        )
    places = [_place(page, source) for page in chosen]
    return TiffScan(source, places, key, geometry, colours)


def _place(page: Any, source: str) -> Page:
    """Where a page is, if the file is long enough for its pixels."""
    handle = page.parent.filehandle
    file = Path(handle.path)
    end = max(
        (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0
    )
    size = file.stat().st_size
    if end > size:
        raise InputError(
            f"{source}: is truncated: {file.name} has {size} bytes, but page {page.index} ends at "
            f"{end}; copy or export it again"
        )
    return file, int(page.offset)


def _stack(series: list[Any], source: str) -> tuple[str, tuple[int, ...], list[Any]]:
    """Axes in lower case, without samples, their lengths, and the pages in that order."""
    first = series[0]
    if len(series) > 1:
        # A stack that was written page by page is many series of one page.
        alike = {(s.shape, s.dtype, len(s.pages)) for s in series}
        if len(alike) > 1 or len(first.pages) != 1 or len(first.shape) > 3:
            shapes = [f"{s.axes} {tuple(s.shape)} {s.dtype}" for s in series]
            raise InputError(
                f"{source}: holds {len(series)} images: {some(shapes, 4)}; save one stack a file"
            )
        pages = [page for s in series for page in s.pages]
        key = first.keyframe
        return "zyx", (len(pages), int(key.imagelength), int(key.imagewidth)), pages
    letters: list[str] = []
    lengths: list[int] = []
    spare = iter(SPARE)
    for letter, length in zip(first.axes.lower(), first.shape, strict=True):
        if letter == "s":
            continue
        name = letter if letter not in letters else next(spare)
        letters.append(name)
        lengths.append(int(length))
    if letters[-2:] != ["y", "x"]:
        raise InputError(
            f"{source}: has axes {first.axes} {tuple(first.shape)}; expected pages (y, x): "
            "export it as a plain stack"
        )
    return "".join(letters), tuple(lengths), list(first.pages)


def _open_run(
    series: Any, file: Path, shape: tuple[int, ...], choice: tuple, geometry: Geometry, source: str
) -> Scan:
    """A stack behind one page, as ImageJ writes more than 4 GB: planes without directories."""
    key = series.keyframe
    if series.dataoffset is None or _orientation(key) != 1 or key.photometric != 1:
        raise InputError(
            f"{source}: keeps a stack {tuple(series.shape)} in one page in a way that is not "
            "known; export it as one page a plane"
        )
    planes = np.ravel(np.arange(math.prod(shape[:-2])).reshape(shape[:-2])[choice])
    step = int(planes[1] - planes[0]) if len(planes) > 1 else 1
    height, width = shape[-2:]
    dtype = np.dtype(key.dtype).newbyteorder(key.parent.byteorder)
    offset = int(series.dataoffset) + int(planes[0]) * height * width * dtype.itemsize
    layout = Layout(file, offset, (len(planes), height, width), dtype, exact=False, step=step)
    return RawScan(source, layout, geometry)


def _end_of(series: Any, shape: tuple[int, ...]) -> int:
    """The byte behind a run of planes that one page stands for."""
    itemsize = np.dtype(series.dtype).itemsize
    return int(series.dataoffset or 0) + math.prod(shape) * itemsize


def _check_count(tiff: tifffile.TiffFile, found: int, source: str) -> None:
    """Refuses a run of planes behind one page that is cut off; says where metadata say more.

    tifffile takes what is there. Programs that copy some pages of a stack keep what it says of all.
    """
    page = tiff.pages.first
    said = [int((tiff.imagej_metadata or {}).get("images", 1))]
    for about in tiff.shaped_metadata or ():
        said.append(math.prod(about.get("shape", ())) // max(math.prod(page.shape), 1))
    if max(said) <= found:
        return
    behind = tiff.filehandle.size - page.dataoffsets[0] - sum(page.databytecounts)
    if len(tiff.pages) == 1 and page.offset < page.dataoffsets[0] and behind > 0:
        raise InputError(
            f"{source}: says that it has {max(said)} planes, but ends within them; it is "
            "truncated: copy or export it again"
        )
    logger.warning(
        "%s: says that it has %d planes, but has %d pages; these are read", source, max(said), found
    )


def _check_ends(tiff: tifffile.TiffFile, file: Path, source: str) -> None:
    """Refuses a chain of pages that goes on behind the end of the file."""
    last = tiff.pages[len(tiff.pages) - 1]
    handle, form = tiff.filehandle, tiff.tiff
    order = "little" if tiff.byteorder == "<" else "big"

    def number(offset: int, size: int) -> int:
        handle.seek(offset)
        return int.from_bytes(handle.read(size), order)

    tags = number(last.offset, form.tagnosize)
    following = number(last.offset + form.tagnosize + tags * form.tagsize, form.offsetsize)
    size = file.stat().st_size
    if following >= size:
        raise InputError(
            f"{source}: is truncated: {len(tiff.pages)} pages are there, and the next is at byte "
            f"{following} of {size}; copy or export it again"
        )
