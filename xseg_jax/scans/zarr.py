"""Zarr 2 and 3 (sharded too), OME-Zarr 0.1 to 0.5 and N5, by tensorstore; also zipped.

OME-Zarr (https://ngff.openmicroscopy.org) is Zarr with axes, scale and translation; the first level
of its pyramid is read. A chunk that a store does not hold is its fill value: so the formats say.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from xseg_jax.errors import InputError
from xseg_jax.scans.axes import choose, to_volume
from xseg_jax.scans.scan import Geometry, Region, Scan, plain_dtype, some, split_source
from xseg_jax.scans.units import METRES, triple, unit_of

Node = Path | zipfile.Path
CACHE_BYTES = 1 << 26  # Chunks of some planes, so that the next plane does not decode them again.
N5_AXES = "xyz"


class ZarrScan(Scan):
    """An array of a store. tensorstore reads with several threads, and only the chunks it needs."""

    def __init__(
        self, source: str, array: Any, order: tuple[int, ...], fixed: dict[int, int],
        geometry: Geometry,
    ) -> None:  # fmt: skip
        """`order`: axes of the array that are z, y, x; `fixed`: the index along the others."""
        self.array: Any = array
        self.order, self.fixed = order, fixed
        shape = tuple(array.shape[axis] for axis in order)
        dtype = plain_dtype(np.dtype(array.dtype.numpy_dtype), source)
        super().__init__(source, (1,) * (3 - len(shape)) + shape, dtype, geometry)

    def _read(self, region: Region) -> np.ndarray:
        key: list[int | slice] = [self.fixed.get(axis, 0) for axis in range(self.array.ndim)]
        for axis, part in zip(self.order, region[3 - len(self.order) :], strict=True):
            key[axis] = part
        values = np.asarray(self.array[tuple(key)].read().result(), self.dtype)
        kept = sorted(self.order)  # What is left, in the order of the array.
        values = values.transpose([kept.index(axis) for axis in self.order])
        return values.reshape([part.stop - part.start for part in region])

    def _close(self) -> None:
        self.array = None


def open_store(file: Path, inside: str, source: str) -> Scan:
    """A volume of a Zarr or N5 store; `store.zarr::labels/nuclei` names an array or an image.

    Axes t and c of several entries are chosen as `store.zarr::image::c=1,t=0` or `::c=1`.

    Raises:
      InputError: it is no store, the path is wrong, several arrays could be meant, or the array is
        no volume.
    """
    root: Node = file
    if file.is_file():
        if not zipfile.is_zipfile(file):
            raise InputError(f"{source}: is no zip file or is truncated; copy it again")
        root = zipfile.Path(file)
    path, _, choice = inside.partition("::")
    if "=" in path and not choice:
        path, choice = "", path
    path = path.strip("/")
    node = root / path if path else root
    if path and not node.exists():
        raise InputError(f"{source}: has nothing at {path}; {_choices(root, source)}")
    kind, attributes = _describe(node)
    if kind != "array" and "multiscales" not in attributes:
        node = _only(_candidates(node), source)
        kind, attributes = _describe(node)
    if kind == "array":
        return _open_array(node, file, choice, source, attributes)
    return _open_image(node, file, choice, source, attributes)


def _describe(node: Node) -> tuple[str, dict[str, Any]]:
    """ "array" or "group", and the attributes; OME's own of version 0.5 among them."""
    said = _json(node / "zarr.json")
    if said:
        attributes = said.get("attributes", {})
        return said.get("node_type", "group"), {**attributes, **attributes.get("ome", {})}
    if (node / ".zarray").is_file() or (node / ".zgroup").is_file():
        kind = "array" if (node / ".zarray").is_file() else "group"
        return kind, _json(node / ".zattrs")
    said = _json(node / "attributes.json")
    return ("array" if "dimensions" in said and "dataType" in said else "group"), said


def _json(file: Node) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _lengths(node: Node) -> list[int]:
    """The shape of an array; of an image of several levels that of the first."""
    kind, attributes = _describe(node)
    if kind != "array":
        node = node / attributes["multiscales"][0]["datasets"][0]["path"]
    said = _json(node / "zarr.json") or _json(node / ".zarray")
    return said.get("shape") or _json(node / "attributes.json").get("dimensions", [])


def _candidates(node: Node) -> list[Node]:
    """Images of several levels, without their labels, and arrays of two and more dimensions."""
    found: list[Node] = []
    for child in sorted(node.iterdir(), key=lambda child: child.name):
        if child.is_dir() and not child.name.startswith("."):
            kind, attributes = _describe(child)
            if kind == "array" or "multiscales" in attributes:
                found += [child] if len(_lengths(child)) > 1 else []
            else:
                found += _candidates(child)
    return found


def _only(candidates: list[Node], source: str) -> Node:
    """The one with three dimensions, or with two."""
    if not candidates:
        raise InputError(
            f"{source}: holds no Zarr or N5 array of two or more dimensions; give the folder that "
            "holds .zarray, zarr.json or attributes.json"
        )
    volumes = [node for node in candidates if sum(n > 1 for n in _lengths(node)) > 2]
    best = volumes or candidates
    if len(best) > 1:
        raise InputError(f"{source}: holds {len(best)} arrays; {_name_one(best, source)}")
    return best[0]


def _choices(node: Node, source: str) -> str:
    return _name_one(_candidates(node), source)


def _name_one(found: list[Node], source: str) -> str:
    place, _ = split_source(source)
    if not found:
        return "it holds no arrays of two or more dimensions"
    names = [_inner(child, Path(place).expanduser()) for child in found]
    return f"name one as {place}::{names[0]}; there are {some(names)}"


def _inner(node: Node, file: Path) -> str:
    """Path of a node within the store."""
    return node.at.strip("/") if isinstance(node, zipfile.Path) else str(node.relative_to(file))


def _open(node: Node, file: Path) -> Any:
    if (node / "zarr.json").is_file():
        driver = "zarr3"
    else:
        driver = "zarr" if (node / ".zarray").is_file() else "n5"
    if isinstance(node, zipfile.Path):
        base = {"driver": "file", "path": str(file.resolve())}
        kvstore = {"driver": "zip", "base": base, "path": node.at}
    else:
        kvstore = {"driver": "file", "path": f"{node.resolve()}/"}
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}})
    spec = {"driver": driver, "kvstore": kvstore, "recheck_cached_data": "open"}
    return tensorstore.open(spec, read=True, open=True, context=context).result()


def _open_array(
    node: Node, file: Path, choice: str, source: str, attributes: dict[str, Any]
) -> Scan:
    array = _open(node, file)
    if choice:
        raise InputError(f"{source}: axes of this array have no names; leave ::{choice} away")
    order = to_volume(array.shape, source, dtype=np.dtype(array.dtype.numpy_dtype))
    if "dimensions" in attributes and "dataType" in attributes:  # N5 counts x, y, z.
        return ZarrScan(source, array, order[::-1], {}, _n5_geometry(attributes))
    return ZarrScan(source, array, order, {}, Geometry())


def _n5_geometry(attributes: dict[str, Any]) -> Geometry:
    """What the N5 viewers of Fiji and BigDataViewer write."""
    said = attributes.get("pixelResolution")
    if isinstance(said, dict):
        sizes, unit = said.get("dimensions"), unit_of(said.get("unit"))
    else:
        sizes, units = attributes.get("resolution", said), attributes.get("units") or [None]
        unit = unit_of(units[0])
    return Geometry(triple(reversed(sizes[:3])) if sizes else None, unit if sizes else None)


def _open_image(
    node: Node, file: Path, choice: str, source: str, attributes: dict[str, Any]
) -> Scan:
    scales = attributes["multiscales"]
    if len(scales) != 1:
        raise InputError(
            f"{source}: has {len(scales)} multiscale images in one group; name the array: "
            f"{file}::{scales[0]['datasets'][0]['path']}"
        )
    level = scales[0]["datasets"][0]
    array_node = node / level["path"]
    if not array_node.exists():
        raise InputError(
            f"{source}: its first level {level['path']!r} is missing; copy the store again"
        )
    array = _open(array_node, file)
    axes = _axes(scales[0], array.ndim)
    if not {"x", "y"} <= set(axes) or len(axes) != array.ndim or len(set(axes)) != len(axes):
        raise InputError(
            f"{source}: axes {axes!r} do not fit shape {tuple(array.shape)}; expected t, c, z, y, x"
        )
    fixed = choose(axes, array.shape, choice, source)
    depth = [axis for axis in axes if axis not in (*fixed, "y", "x")]
    order = tuple(axes.index(axis) for axis in (*depth, "y", "x"))
    places = {axes.index(axis): index for axis, index in fixed.items()}
    geometry = _ome_geometry(scales[0], level, axes, depth)
    return ZarrScan(source, array, order, places, geometry)


def _axes(scale: dict[str, Any], dimensions: int) -> str:
    """A letter an axis; versions before 0.3 always have t, c, z, y, x."""
    named = scale.get("axes")
    if named is None:
        return "tczyx"[5 - dimensions :]
    letters = {"channel": "c", "time": "t"}
    # Version 0.3 has names alone.
    dicts: list[dict[str, str]] = [a if isinstance(a, dict) else {"name": a} for a in named]
    return "".join(letters.get(a.get("type", ""), a["name"][:1].lower()) for a in dicts)


def _ome_geometry(
    scale: dict[str, Any], level: dict[str, Any], axes: str, depth: list[str]
) -> Geometry:
    """Scale and translation of the level, then of the image, in the unit of x."""
    sizes, shift = np.ones(len(axes)), np.zeros(len(axes))
    given = False
    for step in (*level.get("coordinateTransformations", ()),
                 *scale.get("coordinateTransformations", ())):  # fmt: skip
        if step["type"] == "scale":
            sizes, shift = sizes * step["scale"], shift * step["scale"]
            given = True
        elif step["type"] == "translation":
            shift = shift + step["translation"]
    if not given:
        return Geometry()
    named = scale.get("axes") or []
    units = [unit_of(axis.get("unit")) if isinstance(axis, dict) else None for axis in named]
    units += [None] * (len(axes) - len(units))
    unit = units[axes.index("x")]
    spatial = [axes.index(axis) for axis in ("z", "y", "x") if axis in axes]
    factor = {i: METRES[units[i]] / METRES[unit] if unit and units[i] else 1.0 for i in spatial}  # type: ignore[index]
    voxel_size = triple([float(sizes[i] * factor[i]) for i in spatial])
    if depth and depth[0] != "z" and voxel_size:  # A time is no length.
        voxel_size = triple([None, *voxel_size[1:]])
    origin = [float(shift[i] * factor[i]) for i in spatial]
    z, y, x = [0.0] * (3 - len(origin)) + origin
    return Geometry(voxel_size, unit, (z, y, x))
