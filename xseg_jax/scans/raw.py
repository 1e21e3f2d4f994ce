"""Volumes whose numbers lie one after another in a file: raw data, VGI headers, NumPy."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import to_volume
from xseg_jax.scans.scan import Geometry, Region, Scan, plain_dtype
from xseg_jax.scans.units import triple, unit_of
from xseg_jax.scans.unpack import Unpacked

BYTE_ORDERS = {"little": "<", "big": ">", "<": "<", ">": ">", "le": "<", "be": ">"}
TYPES = ("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8",
         "uint16", "uint32", "uint64")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a volume are.

    Attributes:
      file: a path, or a file that is unpacked when first read.
      offset: byte of the first number; negative: the numbers are the last ones of the file.
      shape: of the stored array in the order of the file, the fastest axis last.
      dtype: with byte order.
      axes: which stored axis is z, y and x.
      exact: whether bytes behind the last number are an error: they say that the first numbers are
        a header's, or the shape is wrong.
      step: every step-th plane of the first axis counts; those between are of other channels.
    """

    file: Path | Unpacked
    offset: int
    shape: tuple[int, int, int]
    dtype: np.dtype
    axes: tuple[int, int, int] = (0, 1, 2)
    exact: bool = True
    step: int = 1


class RawScan(Scan):
    """A volume that is read from the file as one run of bytes a plane; holds nothing open."""

    def __init__(self, source: str, layout: Layout, geometry: Geometry | None = None) -> None:
        shape = tuple(layout.shape[axis] for axis in layout.axes)
        super().__init__(source, shape, plain_dtype(layout.dtype, source), geometry)
        self.layout = layout
        if isinstance(layout.file, Path):
            self._start(layout.file)

    def _start(self, file: Path) -> int:
        """Offset of the first number, in a file that is long enough."""
        layout = self.layout
        planes, height, width = layout.shape
        run = (planes - 1) * layout.step + 1
        size = layout.dtype.itemsize * run * height * width
        found = file.stat().st_size
        offset = layout.offset if layout.offset >= 0 else found - size
        more = found - offset - size
        if 0 < more <= 2:  # A text editor's end of line is no data.
            with file.open("rb") as opened:
                opened.seek(-more, 2)
                more = len(opened.read().strip())
        if offset < 0 or more < 0 or (layout.exact and more):
            unpacked = " unpacked" if isinstance(layout.file, Unpacked) else ""
            raise InputError(
                f"{self.source}: the data has {found}{unpacked} bytes, but "
                f"{' x '.join(map(str, self.shape))} {self.dtype} from byte {max(offset, 0)} on "
                f"end at {max(offset, 0) + size}; the file is truncated, or its header or the "
                "given shape, type or skip is wrong"
            )
        return offset

    def _read(self, region: Region) -> np.ndarray:
        layout = self.layout
        file = layout.file if isinstance(layout.file, Path) else layout.file.path()
        offset = self._start(file)
        parts = [slice(0)] * 3
        for axis, part in zip(layout.axes, region, strict=True):
            parts[axis] = part
        planes, rows, columns = parts
        _, height, width = layout.shape
        stride = height * width * layout.dtype.itemsize
        lengths = [part.stop - part.start for part in parts]
        values = np.empty(lengths, self.dtype)
        with file.open("rb") as opened:
            for index, plane in enumerate(range(planes.start, planes.stop)):
                first = rows.start * width * layout.dtype.itemsize
                opened.seek(offset + plane * layout.step * stride + first)
                read = np.fromfile(opened, layout.dtype, lengths[1] * width)
                values[index] = read.reshape(lengths[1], width)[:, columns]
        return values.transpose(layout.axes)

    def _close(self) -> None:
        if isinstance(self.layout.file, Unpacked):
            self.layout.file.close()


def open_raw(file: Path, inside: str, source: str) -> Scan:
    """Raw data: `512x1024x1024,uint16,big` says shape (Z, Y, X), type, byte order.

    The byte order is little if it is not said; `skip=512` leaves bytes of a header out. Without a
    layout, a `.mhd`, `.nhdr` or `.vgi` file of the same name beside the data says it.

    Raises:
      InputError: there is no layout, it is wrong, or the file has another size.
    """
    if not inside:
        for suffix in (".vgi", ".mhd", ".nhdr"):
            for header in (file.with_suffix(suffix), file.with_name(file.name + suffix)):
                if header.is_file():
                    return _open_header(header, source)
        raise InputError(
            f"{source}: raw data does not say its shape; give it as "
            f"{file.name}::ZxYxX,uint16,little, or put the .vgi or .mhd file beside it"
        )
    shape, dtype, skip = _parse_layout(inside, source)
    return RawScan(source, Layout(file, skip, shape, dtype))


def _open_header(header: Path, source: str) -> Scan:
    from xseg_jax.scans.headers import open_metaimage, open_nrrd  # They make scans of this file.

    readers = {".vgi": open_vgi, ".mhd": open_metaimage, ".nhdr": open_nrrd}
    return readers[header.suffix](header, "", source)


def _parse_layout(inside: str, source: str) -> tuple[tuple[int, int, int], np.dtype, int]:
    words = [word.strip().lower() for word in inside.split(",")]
    order, skip = "<", 0
    wrong = InputError(
        f"{source}: cannot understand the layout {inside!r}; write ZxYxX,type,order, for example "
        f"512x1024x1024,uint16,big; types are {', '.join(TYPES)}; orders little and big"
    )
    if len(words) < 2 or words[1] not in TYPES or not re.fullmatch(r"\d+(x\d+){1,2}", words[0]):
        raise wrong
    for word in words[2:]:
        if word in BYTE_ORDERS:
            order = BYTE_ORDERS[word]
        elif re.fullmatch(r"skip=\d+", word):
            skip = int(word[5:])
        else:
            raise wrong
    lengths = [int(length) for length in words[0].split("x")]
    z, y, x = [1] * (3 - len(lengths)) + lengths
    return (z, y, x), np.dtype(f"{order}{np.dtype(words[1]).str[1:]}"), skip


VGI_TYPES = {("float", 32): "f4", ("float", 64): "f8", ("unsigned integer", 8): "u1",
             ("unsigned integer", 16): "u2", ("unsigned integer", 32): "u4", ("integer", 8): "i1",
             ("integer", 16): "i2", ("integer", 32): "i4"}  # fmt: skip


def open_vgi(file: Path, inside: str, source: str) -> Scan:
    """A `.vgi` header (VGStudio, Phoenix datos|x) and the raw data that it names.

    Sizes and resolutions stand there as x y z; the byte order is little.

    Raises:
      InputError: a field is missing or of an unknown value, or the data is missing or truncated.
    """
    refuse_inside(inside, source)
    fields: dict[str, str] = {}
    text = file.read_text(errors="replace")
    volumes = re.findall(r"^\{volume\d+\}", text, re.MULTILINE)
    if len(volumes) > 1:
        raise InputError(
            f"{file}: describes {len(volumes)} volumes; give the raw file of one with "
            "::ZxYxX,type,order"
        )
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:  # Later sections repeat names.
            fields.setdefault(key.strip().lower(), value.strip())

    def field(*keys: str) -> str:
        found = next((fields[key] for key in keys if key in fields), None)
        if found is None:
            raise InputError(f"{file}: has no field {keys[0]!r}; export the header again")
        return found

    size = [int(length) for length in field("size").split()]
    bits = int(field("bitsperelement"))
    kind = (field("datatype").lower(), bits)
    if len(size) != 3 or kind not in VGI_TYPES:
        raise InputError(
            f"{file}: size {fields['size']!r} and datatype {kind[0]!r} of {bits} bits are not "
            "known; give the raw file with ::ZxYxX,type,order"
        )
    # Headers name the data with the folder of the machine that wrote it.
    data = beside(file, field("name", "file1").replace("\\", "/").rpartition("/")[2], source)
    order = BYTE_ORDERS.get(fields.get("byteorder", "little").split()[0].lower(), "<")
    resolution = fields.get("resolution", fields.get("samplingdistance", "")).split()
    geometry = Geometry(
        triple(float(part) for part in reversed(resolution)) if len(resolution) == 3 else None,
        unit_of(fields.get("unit", "mm")),
    )
    shape = (size[2], size[1], size[0])
    dtype = np.dtype(f"{order}{VGI_TYPES[kind]}")
    return RawScan(source, Layout(data, int(fields.get("skipheader", 0)), shape, dtype), geometry)


def beside(header: Path, name: str, source: str) -> Path:
    """The data file that a header names, relative to the header.

    Raises:
      InputError: it is not there.
    """
    path = header.parent / name
    if not path.is_file():
        raise InputError(f"{source}: its data file {path} is missing; put it beside the header")
    return path


def refuse_inside(inside: str, source: str) -> None:
    """Refuses `::` where there is nothing inside a file to choose."""
    if inside:
        raise InputError(f"{source}: this file holds one volume; leave ::{inside} away")


def open_npy(file: Path, inside: str, source: str) -> Scan:
    """A NumPy file of 2 or 3 dimensions, in C or in Fortran order.

    Raises:
      InputError: it has other dimensions, or holds no plain numbers.
    """
    refuse_inside(inside, source)
    with file.open("rb") as opened:
        version = np.lib.format.read_magic(opened)
        read = {(1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0}.get(version)  # fmt: skip
        if read is None:
            raise InputError(f"{source}: NumPy format {version} is unknown; save it with np.save")
        shape, fortran, dtype = read(opened)
        offset = opened.tell()
    plain_dtype(dtype, source)
    shape = tuple(shape[axis] for axis in to_volume(shape, source, dtype=dtype))
    z, y, x = (1,) * (3 - len(shape)) + shape
    if fortran:
        return RawScan(source, Layout(file, offset, (x, y, z), dtype, (2, 1, 0)))
    return RawScan(source, Layout(file, offset, (z, y, x), dtype))
