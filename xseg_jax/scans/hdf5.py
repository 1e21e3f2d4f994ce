"""HDF5 and NeXus, by h5py; hdf5plugin for compressions that HDF5 itself does not have.

Which data set: the one named behind `::`; or NeXus' own, along `@default` to `@signal`
(NeXus manual, "Find the default plottable data"); or the only one with three
dimensions, or with two.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import to_volume
from xseg_jax.scans.scan import Geometry, Region, Scan, one_line, plain_dtype, some, split_source
from xseg_jax.scans.units import METRES, triple, unit_of

with contextlib.suppress(ImportError):  # A file that needs it is refused with its name.
    import hdf5plugin  # noqa: F401  # type: ignore[reportUnusedImport]

CACHE_BYTES = 1 << 26  # Chunks of some planes, so that the next plane does not decode them again.
FILTERS = {
    307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp",
    32015: "zstd", 32017: "sz", 32018: "fcidecomp", 32024: "sz3", 32026: "blosc2",
}  # fmt: skip


class Hdf5Scan(Scan):
    """A data set of an HDF5 file, which stays open. h5py lets one thread read at a time."""

    def __init__(self, file: Any, data: Any, source: str) -> None:
        # Axes that have their names, as `write_hdf5` gives them, are no colours.
        named = "".join(dimension.label for dimension in data.dims) == "zyx"
        axes = to_volume(data.shape, source, dtype=None if named else data.dtype)
        shape = tuple(data.shape[axis] for axis in axes)
        geometry = _geometry(data, axes)
        self.file, self.data, self.axes = file, data, axes
        shape = (1,) * (3 - len(shape)) + shape
        super().__init__(source, shape, plain_dtype(data.dtype, source), geometry)

    def _read(self, region: Region) -> np.ndarray:
        key: list[int | slice] = [0] * self.data.ndim
        for axis, part in zip(self.axes, region[3 - len(self.axes) :], strict=True):
            key[axis] = part
        shape = [part.stop - part.start for part in region]
        return np.asarray(self.data[tuple(key)], self.dtype).reshape(shape)

    def _close(self) -> None:
        self.file.close()


def open_hdf5(file: Path, inside: str, source: str) -> Scan:
    """A volume in an HDF5 or NeXus file; `file.h5::/entry/data` names a data set or a group.

    Raises:
      InputError: the path is wrong, several data sets could be meant, they are projections, a link
        is broken, a part is in a file that is missing, or a compression is not installed.
    """
    opened = h5py.File(file, "r", locking="best-effort", rdcc_nbytes=CACHE_BYTES)
    try:
        data = _find(opened, inside, source)
        _check_parts(data, source)
        _check_filters(data, source)
        return Hdf5Scan(opened, data, source)
    except BaseException:
        opened.close()
        raise


def _find(root: Any, inside: str, source: str) -> Any:
    start = root
    if inside.strip("/"):
        start = _named(root, inside, source)
        if isinstance(start, h5py.Dataset):
            return start
    default = _nexus_default(start, source)
    if default is not None:
        if default.ndim < 2:
            raise InputError(
                f"{source}: its default data set {default.name} has shape {default.shape}, no "
                f"volume; {_choices(start, source)}"
            )
        _refuse_projections(default, source)
        return default
    found, broken = _data_sets(start)
    ranks = [sum(length > 1 for length in data.shape) for data in found]
    for rank in (3, 2):
        best = [data for data, r in zip(found, ranks, strict=True) if r == rank]
        if len(best) > 1:
            raise InputError(f"{source}: holds {len(best)} data sets; {_choices(start, source)}")
        if best:
            _refuse_projections(best[0], source)
            return best[0]
    if len(found) == 1:
        return found[0]
    links = f"; broken links: {some(broken, 3)}" if broken else ""
    raise InputError(
        f"{source}: holds no data set of two or three dimensions{links}; {_choices(start, source)}"
    )


def _named(root: Any, inside: str, source: str) -> Any:
    node, path = root, root.name.rstrip("/")
    for part in inside.strip("/").split("/"):
        path = f"{path}/{part}"
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise InputError(f"{source}: has nothing at {path}; {_choices(root.file, source)}")
        try:
            node = node[part]  # type: ignore[reportIndexIssue]
        except (KeyError, OSError) as error:
            raise InputError(f"{source}: {path} is {_broken(link, error)}") from error
    return node


def _broken(link: Any, error: Exception) -> str:
    target = f"{link.filename}::{link.path}" if isinstance(link, h5py.ExternalLink) else None
    target = target or getattr(link, "path", None) or one_line(error)
    return f"a broken link to {target}; put that file back or name another path"


def _text(value: Any) -> str | None:
    """An attribute that is one name, in any of the ways that programs write it."""
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size == 1 else None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value if isinstance(value, str) else None


def _nexus_default(group: Any, source: str) -> Any:
    """The data set at the end of @default and @signal, or None."""
    for _ in range(20):  # A chain may be a circle.
        name = _text(group.attrs.get("default"))
        if name is None:
            break
        group = _named(group, name, source)
        if isinstance(group, h5py.Dataset):
            return group
    signal = _text(group.attrs.get("signal"))
    if signal is None:
        return None
    data = _named(group, signal, source)
    return data if isinstance(data, h5py.Dataset) else None


def _data_sets(start: Any) -> tuple[list[Any], list[str]]:
    """Data sets of numbers with two and more dimensions, each once, and links that are broken."""
    found: list[Any] = []
    broken: list[str] = []
    seen = set()

    def walk(group: Any) -> Iterator[Any]:
        for name in group:
            path = f"{group.name.rstrip('/')}/{name}"
            try:
                node = group[name]
            except (KeyError, OSError) as error:
                broken.append(f"{path} ({_broken(group.get(name, getlink=True), error)})")
                continue
            if not isinstance(node, h5py.Group | h5py.Dataset):
                continue
            info = h5py.h5o.get_info(node.id)  # type: ignore[reportAttributeAccessIssue]
            if (info.fileno, info.addr) in seen:
                continue
            seen.add((info.fileno, info.addr))
            if isinstance(node, h5py.Dataset):
                yield node
            else:
                yield from walk(node)

    for data in walk(start):
        if data.ndim >= 2 and data.size and data.dtype.kind in "buif":
            found.append(data)
    return found, broken


def _choices(start: Any, source: str) -> str:
    found, _ = _data_sets(start)
    place, _ = split_source(source)
    if not found:
        return "it has no data sets of two or more dimensions"
    names = [f"{data.name} {data.shape} {data.dtype}" for data in found]
    return f"name one as {place}::{found[0].name}; there are {some(names)}"


def _refuse_projections(data: Any, source: str) -> None:
    """Refuses what was found without being named, if it is the measurement and not the volume."""
    axes = data.attrs.get("axes", "")
    words = " ".join(_texts(axes)).lower()
    siblings = set(data.parent)
    why = (
        "beside an image_key" if "image_key" in siblings
        else "along theta" if "theta" in words
        else "beside flat or dark fields" if siblings & {"data_white", "data_dark"}
        else ""
    )  # fmt: skip
    if why:
        place, _ = split_source(source)
        raise InputError(
            f"{source}: {data.name} {data.shape} are projections ({why}), not a volume; "
            f"reconstruct them first, or name them to read them as images: {place}::{data.name}"
        )


def _texts(value: Any) -> list[str]:
    parts = np.atleast_1d(np.asarray(value, object)).ravel()
    return [p.decode(errors="replace") if isinstance(p, bytes) else str(p) for p in parts]


def _check_parts(data: Any, source: str) -> None:
    """Refuses a data set whose parts lie in files that are missing: HDF5 would read zeros."""
    if data.is_virtual:
        parts = {part.file_name for part in data.virtual_sources() if part.file_name != "."}
        home = Path(data.file.filename).parent  # Of the file that a link may have led to.
    else:
        parts, home = {name for name, *_ in data.external or ()}, Path.cwd()
    # A "%" stands for a number: HDF5 takes the files that are there.
    known = {name for name in parts if "%" not in name}
    missing = sorted(n for n in known if not any((p / n).is_file() for p in (home, Path.cwd())))
    if missing:
        raise InputError(
            f"{source}: {data.name} is made of {len(parts)} files, of which {len(missing)} "
            f"are missing: {some(missing, 3)}; put them back"
        )


def _check_filters(data: Any, source: str) -> None:
    plist = data.id.get_create_plist()
    codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    lacking = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if lacking:
        name = FILTERS.get(lacking[0], "unknown")
        raise InputError(
            f"{source}: {data.name} is compressed with filter {lacking[0]} ({name}); "
            "pip install hdf5plugin, or save it with gzip"
        )


def _geometry(data: Any, axes: tuple[int, ...]) -> Geometry:
    """Voxel size; and the place, which only `write_hdf5` writes."""
    size, unit = _voxel_size(data, axes)
    origin, direction = (np.asarray(data.attrs.get(n, ())) for n in ("origin_um", "direction"))
    if unit not in (None, "um") or origin.shape != (3,):
        origin = None
    else:
        unit = "um"
    return Geometry(
        size,
        unit,
        tuple(map(float, origin)) if origin is not None else None,  # type: ignore[arg-type]
        tuple(tuple(map(float, row)) for row in direction) if direction.shape == (3, 3) else None,  # type: ignore[arg-type]
    )


def _voxel_size(
    data: Any, axes: tuple[int, ...]
) -> tuple[tuple[float, float, float] | None, str | None]:
    """From `element_size_um` (ilastik, Fiji's HDF5) or the coordinates that NXdata has."""
    if "element_size_um" in data.attrs:
        sizes = np.ravel(data.attrs["element_size_um"])
        return triple(sizes[-3:]), "um"
    group = data.parent
    names = _texts(group.attrs["axes"]) if "axes" in group.attrs else []
    names = names or [n for text in _texts(data.attrs.get("axes", "")) for n in text.split(":")]
    if len(names) != data.ndim:
        return None, None
    steps = [_step(group.get(names[axis]), data.shape[axis]) for axis in axes]
    unit = next((unit for _, unit in steps if unit), None)
    if unit is None:
        return None, None
    sizes = [size * METRES[u] / METRES[unit] if u else math.nan for size, u in steps]
    return triple(sizes), unit


def _step(coordinates: Any, length: int) -> tuple[float, str | None]:
    """Distance of evenly spaced coordinates with a unit of length."""
    if coordinates is None:
        return math.nan, None
    unit = unit_of(_text(coordinates.attrs.get("units")))
    if unit is None or coordinates.shape != (length,) or length < 2:
        return math.nan, None
    gaps = np.diff(np.asarray(coordinates, np.float64))
    mean = float(np.mean(gaps))
    even = mean != 0 and np.allclose(gaps, mean, rtol=1e-3, atol=0)
    return (abs(mean), unit) if even else (math.nan, None)
