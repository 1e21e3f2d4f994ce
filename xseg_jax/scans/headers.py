"""NRRD and MetaImage: a text header and raw data, within one file or beside it.

SimpleITK and pynrrd read the whole volume and not every encoding; the header alone says where
each plane is. Both formats count x, y, z, the fastest first, which is (Z, Y, X) here; planes stay
as they are stored, whatever the patient's orientation, which `Geometry.direction` keeps.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import at_least_two
from xseg_jax.scans.raw import Layout, RawScan, beside, refuse_inside
from xseg_jax.scans.scan import Geometry, Scan
from xseg_jax.scans.shown import COLOUR_REMEDY
from xseg_jax.scans.units import triple, unit_of
from xseg_jax.scans.unpack import Unpacked, unpack, write_text

NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
NRRD_CODE = {name: code for code, names in NRRD_TYPES.items() for name in names}
CODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
           "text": "text", "txt": "text", "ascii": "text"}  # fmt: skip
# Signs that turn a NRRD space into L, P, S.
SPACES = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
META_TYPES = {"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
              "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
              "MET_FLOAT": "f4", "MET_DOUBLE": "f8"}  # fmt: skip
LONGEST_LINE, MOST_LINES = 1 << 16, 10_000


class _Fields:
    """Fields of a header, asked for by any of their names."""

    def __init__(self, file: Path) -> None:
        self.file, self.of = file, dict[str, str]()

    def __call__(self, *keys: str, default: str | None = None) -> str:
        for key in keys:
            if key in self.of:
                return self.of[key]
        if default is None:
            raise InputError(f"{self.file}: the header has no field {keys[0]!r}; export it again")
        return default

    def table(self, key: str, table: dict[str, str], value: str) -> str:
        if value not in table:
            raise InputError(
                f"{self.file}: {key} {value!r} is not known; known are {', '.join(table)}"
            )
        return table[value]


def open_nrrd(file: Path, inside: str, source: str) -> Scan:
    """NRRD, with attached or detached data, raw, gzip, bzip2 or text.

    Raises:
      InputError: a field is missing or unknown, there are more axes than z, y and x, or the data is
        missing or truncated.
    """
    refuse_inside(inside, source)
    fields = _Fields(file)
    with file.open("rb") as opened:
        if not opened.readline(64).startswith(b"NRRD"):
            raise InputError(f"{source}: is no NRRD file; export it again")
        for line in _lines(opened, file):
            if not line or line.startswith("#"):
                if not line:  # The data begins after an empty line.
                    break
                continue
            # "key: value" is a field of the format, "key:=value" one of the user.
            key, _, value = line.partition(":")
            if not value.startswith("="):
                fields.of[key.strip().lower()] = value.strip()
        attached = opened.tell()
    sizes = _numbers(fields("sizes"), int)
    kinds = fields("kinds", default="").split()
    # Without kinds the axes that have a direction are those of space.
    kinds = kinds or ["none" if d == "none" else "space" for d in _directions(fields)]
    keep = _spatial_axes(sizes, kinds, source)
    dtype = np.dtype(fields.table("type", NRRD_CODE, fields("type").lower()))
    coding = fields.table("encoding", CODINGS, fields("encoding").lower())
    if dtype.itemsize > 1 and coding != "text":
        orders = {"little": "<", "big": ">"}
        order = fields.table("endian", orders, fields("endian", default="little").lower())
        dtype = np.dtype(f"{order}{dtype.str[1:]}")
    data_file = fields("data file", "datafile", default="")
    if data_file.startswith("LIST") or "%" in data_file:
        raise InputError(
            f"{source}: its data is several files ({data_file!r}); save it as one .nrrd file"
        )
    data, start = (beside(file, data_file, source), 0) if data_file else (file, attached)
    lines, skip = (int(fields(f"{what} skip", default="0")) for what in ("line", "byte"))
    shape = _shape([sizes[axis] for axis in keep])
    layout = _layout(data, start, lines, skip, coding, shape, dtype, source)
    return RawScan(source, layout, _nrrd_geometry(fields, keep))


def _directions(fields: _Fields) -> list[str]:
    """A vector in parentheses, or "none", an axis."""
    return re.findall(r"\([^)]*\)|none", fields("space directions", default=""))


def _lines(opened: BinaryIO, file: Path) -> list[str]:
    """Lines up to an empty one, which is the last."""
    lines: list[str] = []
    while len(lines) < MOST_LINES:
        line = opened.readline(LONGEST_LINE)
        lines.append(line.decode("utf-8", "replace").strip())
        if not lines[-1]:
            return lines
    raise InputError(f"{file}: the header has no end; export it again")


def _spatial_axes(sizes: list[int], kinds: list[str], source: str) -> list[int]:
    """Axes in the order of the file that are x, y and z, at most three."""
    keep = list(range(len(sizes)))
    plain = ("domain", "space", "???", "none")
    if len(sizes) > 3 or any(kind.lower() not in plain for kind in kinds):
        spatial = [k.lower() in ("domain", "space") for k in kinds] or [False] * len(sizes)
        keep = [a for a in keep if sizes[a] > 1 or spatial[a]]
        keep = list(at_least_two(keep, range(len(sizes))))
        vectors = [f"{sizes[a]} of kind {kinds[a]}" for a in keep if kinds and not spatial[a]]
        if vectors or len(keep) > 3:
            raise InputError(
                f"{source}: sizes {sizes} hold {vectors[0] if vectors else 'a fourth axis'}; "
                "expected one value a voxel: save one volume (one layer or channel) a file, "
                f"{COLOUR_REMEDY}"
            )
    if len(keep) < 2:
        raise InputError(f"{source}: sizes {sizes} are no volume; expected 2 or 3 axes")
    return keep


def _nrrd_geometry(fields: _Fields, keep: list[int]) -> Geometry:
    space = fields("space", default="").lower()
    known = next((signs for name, signs in SPACES.items() if space in (name, f"{name}-time")), None)
    # Spaces of patients are in mm, as Slicer and ITK write them, unless the file names a unit.
    unit = re.findall(r'"([^"]*)"', fields("space units", "units", default=""))
    named = unit_of(unit[0]) if unit else "mm" if known else None
    directions = _directions(fields)
    if directions:
        steps = [_vector(directions[axis]) for axis in keep]
        sizes = [float(np.linalg.norm(step)) if step is not None else None for step in steps]
    else:
        sizes = [float(s) for s in fields("spacings", default="").split()]
        steps, sizes = [], [sizes[axis] for axis in keep] if sizes else []
    geometry = Geometry(triple(reversed(sizes)) if sizes else None, named)
    origin = _vector(fields("space origin", default=""))
    whole = len(steps) == 3 and all(step is not None and step.size == 3 for step in steps)
    if not known or not whole or origin is None or not all(sizes):
        return geometry
    directed = [step / size * known for step, size in zip(steps, sizes, strict=True)]  # type: ignore[operator]
    return placed(geometry, origin * known, directed)


def placed(geometry: Geometry, origin: np.ndarray, steps: Sequence[np.ndarray]) -> Geometry:
    """A geometry with a place, from an origin and unit steps along x, y, z as (x, y, z)."""
    z, y, x = (tuple(float(part) for part in step[::-1]) for step in reversed(steps))
    o = tuple(float(part) for part in origin[::-1])
    return Geometry(geometry.voxel_size, geometry.unit, (o[0], o[1], o[2]), (z, y, x))  # type: ignore[arg-type]


def _vector(text: str) -> np.ndarray | None:
    inner = text.strip().strip("()")
    return np.array([float(part) for part in inner.split(",")]) if "," in inner else None


def _numbers(text: str, parse: type) -> list:
    return [parse(word) for word in text.split()]


def _shape(sizes: list[int]) -> tuple[int, int, int]:
    """(Z, Y, X) of sizes x, y, z."""
    z, y, x = [1] * (3 - len(sizes)) + sizes[::-1]
    return z, y, x


def _layout(
    data: Path, start: int, lines: int, skip: int, coding: str,
    shape: tuple[int, int, int], dtype: np.dtype, source: str,
) -> Layout:  # fmt: skip
    """Where the numbers are, behind lines and bytes to skip; skip -1 counts from the end."""
    with data.open("rb") as opened:
        opened.seek(start)
        for _ in range(lines):
            opened.readline()
        start = opened.tell()
    if coding == "raw":
        return Layout(data, start + skip if skip >= 0 else -1, shape, dtype)

    def write(target: BinaryIO) -> None:
        with data.open("rb") as opened:
            opened.seek(start)
            if coding == "text":
                write_text(opened, dtype, target)
            else:
                unpack(opened, coding, target)

    return Layout(Unpacked(source, write), max(skip, -1), shape, dtype)


def open_metaimage(file: Path, inside: str, source: str) -> Scan:
    """MetaImage (.mha, .mhd), with data within or beside, plain, compressed or text.

    Raises:
      InputError: a field is missing or unknown, there are channels or a fourth axis, or the data
        is missing or truncated.
    """
    refuse_inside(inside, source)
    fields = _Fields(file)
    attached = 0
    with file.open("rb") as opened:
        for _ in range(MOST_LINES):
            line = opened.readline(LONGEST_LINE)
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            if not line or not equals:
                break
            fields.of[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":  # Always the last field.
                attached = opened.tell()
                break
    sizes = _numbers(fields("DimSize"), int)
    channels = int(fields("ElementNumberOfChannels", default="1"))
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if channels != 1 or len(sizes) not in (2, 3):
        raise InputError(
            f"{source}: has {channels} channels and sizes {sizes}; expected one channel and "
            f"2 or 3 axes: save one volume a file, {COLOUR_REMEDY}"
        )
    dtype = np.dtype(fields.table("ElementType", META_TYPES, fields("ElementType")))
    big = fields("BinaryDataByteOrderMSB", "ElementByteOrderMSB", default="False").lower()
    dtype = dtype.newbyteorder(">" if big in ("true", "1") else "<")
    name = fields("ElementDataFile")
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(
            f"{source}: its data is several files ({name!r}); save it as one .mha file"
        )
    local = name.upper() == "LOCAL"
    data, start = (file, attached) if local else (beside(file, name, source), 0)
    packed = fields("CompressedData", default="False").lower() in ("true", "1")
    plain = fields("BinaryData", default="True").lower() in ("true", "1")
    coding = "zlib" if packed else "raw" if plain else "text"
    skip = int(fields("HeaderSize", default="0"))
    layout = _layout(data, start, 0, skip, coding, _shape(sizes), dtype, source)
    return RawScan(source, layout, _meta_geometry(fields, len(sizes)))


def _meta_geometry(fields: _Fields, dimensions: int) -> Geometry:
    numbers = functools.partial(_numbers, parse=float)
    sizes = numbers(fields("ElementSpacing", "ElementSize", default=""))[:dimensions]
    # The format's lengths are mm unless it says otherwise.
    unit = unit_of(fields("DistanceUnits", default="mm")) if sizes else None
    geometry = Geometry(triple(reversed(sizes)) if sizes else None, unit)
    origin = numbers(fields("Offset", "Position", "Origin", default=""))
    matrix = numbers(fields("TransformMatrix", "Rotation", "Orientation", default=""))
    if dimensions != 3 or len(origin) != 3:
        return geometry
    steps = np.reshape(matrix, (3, 3)) if len(matrix) == 9 else np.eye(3)
    return placed(geometry, np.array(origin), list(steps))
