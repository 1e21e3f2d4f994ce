"""An OME-Zarr image that several processes write at the same time, block by block; by tensorstore.

One process creates it, any number open it and write whole chunks, and one, when all have ended,
finishes it: the smaller levels are made, and the metadata, which makes it an image for viewers, is
written last. A store may hold further images in groups below the first.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore

from xseg_jax.errors import InputError
from xseg_jax.files import PlainName, make_folder, number_of, save_error, write_text
from xseg_jax.scans import ome, pyramid
from xseg_jax.scans.scan import Geometry, Region, one_line
from xseg_jax.scans.units import triple
from xseg_jax.scans.write import WHAT, Legend, check_legend, sizes_or_one

CHUNKS = (64, 128, 128)
"""1 MB of labels: large enough for a disk, small enough for a viewer."""
GROUP_FILES = ("zarr.json", ".zgroup")
OURS = "xseg_jax"
"""Key of the attributes that no specification knows."""


class ZarrStore:
    """One image of a store, open for writing and reading. Made by `create` and `open`.

    Attributes:
      path: of the store.
      group: of the image within it; "" for the store itself.
      shape: (Z, Y, X).
      channels: names along an axis c before z, y, x; empty without one.
      dtype: of the values.
      chunks: (z, y, x); blocks are whole ones.
      finished: smaller levels and metadata are there.
    """

    def __init__(self, path: str | Path, group: str = "") -> None:
        self.path, self.group = Path(path), group.strip("/")
        self._plain = PlainName(self.path)
        said, self.version = _read_attributes(self.path / self.group)
        plan = said.get(OURS)
        if not isinstance(plan, dict) or "legend" not in plan:
            raise InputError(
                f"{self.path / self.group}: is no image that xseg_jax writes; choose another name"
            )
        self.finished: bool = plan["finished"]
        self.channels: tuple[str, ...] = tuple(plan["channels"])
        self.geometry = _geometry(plan["geometry"])
        legend = plan["legend"]
        self.legend = Legend(*(tuple(part) for part in legend.values())) if legend else None
        self.about: dict[str, Any] = plan["about"]
        with self._reading():
            self._array: Any = self._open("0")
        z, y, x = self._array.shape[-3:]
        self.shape: tuple[int, int, int] = (int(z), int(y), int(x))
        self.dtype = np.dtype(self._array.dtype.numpy_dtype)
        z, y, x = self._array.chunk_layout.write_chunk.shape[-3:]
        self.chunks: tuple[int, int, int] = (int(z), int(y), int(x))

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: tuple[int, int, int],
        dtype: Any,
        geometry: Geometry,
        chunks: tuple[int, int, int] = CHUNKS,
        *,
        version: str = "0.4",
        legend: Legend | None = None,
        about: Mapping[str, Any],
        group: str = "",
        channels: tuple[str, ...] = (),
    ) -> "ZarrStore":
        """Makes a store, or with `group` a further image in a store; all values are 0 at first.

        Args:
          path: of the store.
          shape: (Z, Y, X).
          dtype: of the values: integers or floats.
          geometry: voxel size, unit and origin.
          chunks: (z, y, x), cut where the volume is smaller; a channel is a chunk of its own.
          version: of OME-Zarr, "0.4" (Zarr 2) or "0.5" (Zarr 3); that of the store for a group.
          legend: of labels, whose levels are made by majority; None for measured values, whose
            levels are means.
          about: where it comes from: anything that JSON holds.
          group: of the image in the store, for example "uncertainty".
          channels: names along an axis c before z, y, x, for example of the classes.

        Raises:
          InputError: there is something of that name already.
          SaveError: as `files.saving`.
          ValueError: the version is unknown or not that of the store, or the legend does not fit.
        """
        path, dtype = Path(path), np.dtype(dtype)
        if version not in ome.VERSIONS:
            raise ValueError(f"{path}: OME-Zarr {version} is not written; {ome.VERSIONS} are")
        check_legend(legend, dtype, path)
        place = path / group.strip("/")
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise InputError(
                f"{place}: exists already; move it away, or choose another name for the output"
            )
        make_folder(place, WHAT)
        if place != path:
            if _read_attributes(path)[1] != version:
                raise ValueError(f"{place}: the store is not of OME-Zarr {version}")
            for parent in reversed(place.relative_to(path).parents[:-1]):
                if not any((path / parent / name).exists() for name in GROUP_FILES):
                    _write_attributes(path / parent, version, {})
        plan = {
            "finished": False,
            "channels": list(channels),
            "geometry": _plain_json(geometry),
            "legend": dataclasses.asdict(legend) if legend else None,
            "about": dict(about),
        }
        with _saving(place):
            plain = PlainName(path)
            _tensorstore(plain, group, "0", version, create=_layout(
                version, (len(channels),) * bool(channels) + tuple(shape), dtype,
                (1,) * bool(channels) + tuple(chunks),
            ))  # fmt: skip
            plain.close()
        _write_attributes(place, version, {OURS: plan})
        return cls(path, group)

    @classmethod
    def open(cls, path: str | Path, group: str = "") -> "ZarrStore":
        """Opens an image that was created, to write to it; as many processes may as like.

        Raises:
          InputError: there is none.
        """
        return cls(path, group)

    def write(self, region: Region, values: np.ndarray) -> None:
        """Writes a block of whole chunks; on disk when it returns.

        Args:
          region: along z, y, x; each begins at a multiple of the chunk's length, and ends at one or
            at the end of the volume. Two that write into one chunk would lose data silently.
          values: (z, y, x), or (c, z, y, x) with channels, in the type of the image.

        Raises:
          SaveError: as `files.saving`.
          ValueError: the region is not of whole chunks, or the values do not fit it.
        """
        bounds = self._bounds(region)
        for (start, stop), chunk, length in zip(bounds, self.chunks, self.shape, strict=True):
            if start % chunk or (stop % chunk and stop != length):
                raise ValueError(
                    f"{self.path}: region {bounds} of {self.shape} is not of whole chunks "
                    f"{self.chunks}"
                )
        expected = (len(self.channels),) * bool(self.channels)
        expected += tuple(stop - start for start, stop in bounds)
        if values.shape != expected or values.dtype != self.dtype:
            raise ValueError(
                f"{self.path}: values are {values.dtype} {values.shape}, region {bounds} takes "
                f"{self.dtype} {expected}"
            )
        self._plain.renew()
        with _saving(self.path / self.group):
            self._array[_key(bounds)].write(values).result()

    def read(self, region: Region) -> np.ndarray:
        """Values of any region along z, y, x: (z, y, x), or (c, z, y, x) with channels.

        Raises:
          InputError: a chunk is damaged.
          ValueError: the region is not within the volume.
        """
        with self._reading():
            return self._array[_key(self._bounds(region))].read().result()

    def finish(self) -> None:
        """Makes the smaller levels, chunk by chunk, and then the metadata; may be repeated.

        Nobody may write at the same time. Memory is that of some chunks.

        Raises:
          InputError: a chunk is damaged.
          SaveError: as `files.saving`.
        """
        factors = pyramid.factors_of_levels(self.shape, sizes_or_one(self.geometry))
        shapes = pyramid.shapes_of_levels(self.shape, factors)
        source = self._array
        for level in range(1, len(factors)):
            z, y, x = (b // a for a, b in zip(factors[level - 1], factors[level], strict=True))
            shape = source.shape[:-3] + shapes[level]
            chunks = (1,) * len(source.shape[:-3]) + self.chunks
            layout = _layout(self.version, shape, self.dtype, chunks)
            with _saving(self.path / self.group):
                target: Any = self._open(str(level), create=layout)
            self._reduce(source, target, (z, y, x))
            source = target
        name = self.path.name.removesuffix(".zarr").removesuffix(".ome")
        said = ome.attributes(
            version=self.version,
            name=self.group.rpartition("/")[2] or name,
            geometry=self.geometry,
            factors=factors,
            legend=self.legend,
            channels=self.channels,
            dtype=self.dtype,
        )
        place = self.path / self.group
        plan = _read_attributes(place)[0][OURS]
        _write_attributes(place, self.version, {**said, OURS: {**plan, "finished": True}})
        self.finished = True

    def close(self) -> None:
        """Gives back what is held open; nothing that was written waits for it."""
        self._array = None
        self._plain.close()

    def __enter__(self) -> "ZarrStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return ZarrStore, (self.path, self.group)

    def _reduce(self, source: Any, target: Any, step: pyramid.Factors) -> None:
        """Fills a level from the one before."""
        reduced = pyramid.majority if self.legend else pyramid.mean
        for start in np.ndindex(
            *(-(-n // c) for n, c in zip(target.shape[-3:], self.chunks, strict=True))
        ):
            to = [
                slice(k * chunk, min((k + 1) * chunk, length))
                for k, chunk, length in zip(start, self.chunks, target.shape[-3:], strict=True)
            ]
            of = [
                slice(part.start * by, min(part.stop * by, length))
                for part, by, length in zip(to, step, source.shape[-3:], strict=True)
            ]
            for channel in range(len(self.channels) or 1):
                first = (channel,) if self.channels else ()
                with self._reading():
                    block_ZYX = source[(*first, *of)].read().result()
                with _saving(self.path / self.group):
                    target[(*first, *to)].write(reduced(block_ZYX, step)).result()

    def _bounds(self, region: Region) -> list[tuple[int, int]]:
        bounds = [(part.start, part.stop) for part in region]
        for part, length in zip(region, self.shape, strict=True):
            if part.step not in (None, 1) or not 0 <= part.start < part.stop <= length:
                raise ValueError(f"{self.path}: no region {bounds} in {self.shape}")
        return bounds

    def _open(self, level: str, create: dict[str, Any] | None = None) -> Any:
        return _tensorstore(self._plain, self.group, level, self.version, create)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._plain.renew()
        try:
            yield
        except ValueError as error:  # As tensorstore says all that is wrong with a store.
            said = self._plain.real(one_line(error))
            raise InputError(
                f"{self.path / self.group}: cannot be read ({said}); write it again"
            ) from error


@contextmanager
def _saving(place: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # tensorstore hands on the words of the system alone.
        number = number_of(error)
        if number is None:
            raise
        raise save_error(place, WHAT, number, os.strerror(number)) from error


def _key(bounds: list[tuple[int, int]]) -> tuple[Any, ...]:
    return (..., *(slice(*bound) for bound in bounds))


def _tensorstore(
    plain: PlainName, group: str, level: str, version: str, create: dict[str, Any] | None = None
) -> Any:  # fmt: skip
    inside = "/".join(filter(None, (group.strip("/"), level)))
    spec = {
        "driver": "zarr" if version == "0.4" else "zarr3",
        "kvstore": {"driver": "file", "path": f"{plain.path}/{inside}/"},
        **({"metadata": create} if create else {}),
    }
    # What stands there of a level is of an attempt that was cut off.
    how: dict[str, Any] = {"create": True, "delete_existing": True} if create else {"open": True}
    return tensorstore.open(spec, read=True, write=True, **how).result()


def _layout(
    version: str, shape: tuple[int, ...], dtype: np.dtype, chunks: tuple[int, ...]
) -> dict[str, Any]:
    """Metadata of an array: blosc with zstd, 0 where nothing was written, a folder an axis."""
    chunks = tuple(min(chunk, length) for chunk, length in zip(chunks, shape, strict=True))
    if version == "0.4":
        return {
            "shape": shape,
            "chunks": chunks,
            "dtype": dtype.newbyteorder("<").str,
            "compressor": {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1},
            "dimension_separator": "/",
            "fill_value": 0,
        }
    blosc = {"cname": "zstd", "clevel": 3, "shuffle": "shuffle", "typesize": dtype.itemsize}
    return {
        "shape": shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "data_type": dtype.name,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": blosc},
        ],
        "dimension_names": list("czyx"[-len(shape) :]),
        "fill_value": 0,
    }


def _read_attributes(place: Path) -> tuple[dict[str, Any], str]:
    """Attributes of a group, and the version of OME-Zarr that its form belongs to."""
    for name, version in (("zarr.json", "0.5"), (".zattrs", "0.4")):
        if (place / name).is_file():
            said = json.loads((place / name).read_text(encoding="utf-8"))
            return (said.get("attributes", {}) if version == "0.5" else said), version
    raise InputError(f"{place}: no such store; check the path")


def _write_attributes(place: Path, version: str, said: dict[str, Any]) -> None:
    """Makes a folder a group with these attributes, whole or not at all."""
    if version == "0.5":
        group = {"zarr_format": 3, "node_type": "group", "attributes": said}
        write_text(place / "zarr.json", json.dumps(group, indent=1), WHAT)
    else:
        write_text(place / ".zgroup", json.dumps({"zarr_format": 2}), WHAT)
        write_text(place / ".zattrs", json.dumps(said, indent=1), WHAT)


def _plain_json(geometry: Geometry) -> dict[str, Any]:
    """A geometry for JSON, which has null for NaN."""
    said = dataclasses.asdict(geometry)
    if geometry.voxel_size:
        said["voxel_size"] = [size if size == size else None for size in geometry.voxel_size]
    return said


def _geometry(said: dict[str, Any]) -> Geometry:
    """From JSON, which has lists for tuples."""
    direction, origin = said["direction"], said["origin"]
    rows = tuple(map(tuple, direction)) if direction else None
    first = tuple(origin) if origin else None
    return Geometry(triple(said["voxel_size"]), said["unit"], first, rows)  # type: ignore[arg-type]
