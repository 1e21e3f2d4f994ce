"""NIfTI and NRRD: a header, then the voxels with x the fastest, which are planes one after another.

Both know patients: an origin lies in L, P, S there, and where a scan has an origin and no
direction its axes are those of the patient. A size that is not known is 1, where one is needed.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from xseg_jax.scans.scan import Geometry
from xseg_jax.scans.write import Volume, in_unit, sizes_or_one

NIFTI_UNIT = {"nm": "um", "um": "um", "mm": "mm", "cm": "mm", "m": "m", "angstrom": "um",
              "inch": "mm"}  # fmt: skip
NIFTI_NAME = {"um": "micron", "mm": "mm", "m": "meter"}
LONGEST_NIFTI_1 = (1 << 15) - 1
SCANNER = 1
"""NIfTI's code for coordinates of the scanner: where the voxels are, as the scan said it."""
NIFTI_BLOCK = 16
NRRD_TYPE = {"uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "float32": "float"}
PACKING = 4
"""Level of gzip: beyond it labels become hardly smaller."""


@contextmanager
def _packed(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    # Without a name and a time, so that equal volumes make equal files.
    with gzip.GzipFile("", "wb", PACKING, raw, mtime=0) as packed:
        yield packed  # type: ignore[misc]


def write_nifti(draft: Path, name: str, planes: Iterator[np.ndarray], volume: Volume) -> None:
    """Writes NIfTI 1, or 2 where a side is longer than 32767; packed if the name ends in .gz.

    Units are m, mm or um: nm and angstrom become um, cm and inch mm. Sizes are float32 there.

    Args:
      draft: the file.
      name: how it will be called.
      planes: (Y, X), Z of them.
      volume: what is known beside them.
    """
    header = _nifti_header(volume)
    start = int(header["vox_offset"])
    with draft.open("wb") as raw:
        if name.lower().endswith(".gz"):
            with _packed(raw) as packed:
                _write_nifti(packed, header, start, planes)
        else:
            _write_nifti(raw, header, start, planes)


def _write_nifti(target: IO[bytes], header: Any, start: int, planes: Iterator[np.ndarray]) -> None:
    header.write_to(target)
    target.write(bytes(start - target.tell()))
    for plane_YX in planes:
        target.write(plane_YX.tobytes())


def _nifti_header(volume: Volume) -> Any:
    import nibabel  # An extra; NRRD needs none.
    from nibabel.nifti1 import Nifti1Extension

    geometry = volume.geometry
    if geometry.unit:
        geometry = in_unit(geometry, NIFTI_UNIT[geometry.unit])
    long = max(volume.shape) > LONGEST_NIFTI_1
    header: Any = (nibabel.Nifti2Header if long else nibabel.Nifti1Header)(endianness="<")
    header.set_data_dtype(volume.dtype)
    header.set_data_shape(volume.shape[::-1])
    header.set_slope_inter(1, 0)
    header.set_zooms(sizes_or_one(geometry)[::-1])
    if geometry.unit:
        header.set_xyzt_units(NIFTI_NAME[geometry.unit])
    if volume.legend:
        header.set_intent("label")
    header["descrip"] = b"xseg_jax"
    affine = _affine(geometry)
    if affine is not None:
        header.set_sform(affine, SCANNER)
        steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        if np.allclose(steps.T @ steps, np.eye(3), atol=1e-5):  # Sheared axes are no rotation.
            header.set_qform(affine, SCANNER)
    notes = json.dumps(volume.notes()).encode()
    header.extensions.append(Nifti1Extension("comment", notes))
    end = int(header.sizeof_hdr) + 4 + header.extensions.get_sizeondisk()
    header["vox_offset"] = -(-end // NIFTI_BLOCK) * NIFTI_BLOCK
    return header


def _directed(geometry: Geometry) -> tuple[np.ndarray, np.ndarray] | None:
    """Origin (x, y, z) and steps of one voxel along x, y and z, a row each, in L, P, S; or None."""
    if geometry.origin is None and geometry.direction is None:
        return None
    units_33 = np.array(geometry.direction or np.eye(3))[::-1, ::-1]
    origin_3 = np.array(geometry.origin or (0.0, 0.0, 0.0))[::-1]
    return origin_3, units_33 * np.array(sizes_or_one(geometry))[::-1, None]


def _affine(geometry: Geometry) -> np.ndarray | None:
    """From voxels x, y, z to NIfTI's R, A, S; None if the scan has no place."""
    placed = _directed(geometry)
    if placed is None:
        return None
    affine = np.eye(4)
    affine[:3, 3], affine[:3, :3] = placed[0], placed[1].T
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def write_nrrd(draft: Path, name: str, planes: Iterator[np.ndarray], volume: Volume) -> None:
    """Writes NRRD, packed by gzip (http://teem.sourceforge.net/nrrd/format.html).

    Classes other than 0 stand in the keys of 3D Slicer too, which shows them as segments where the
    name ends in .seg.nrrd.

    Args:
      draft: the file.
      name: how it will be called.
      planes: (Y, X), Z of them.
      volume: what is known beside them.
    """
    with draft.open("wb") as raw:
        raw.write(_nrrd_header(volume).encode())
        with _packed(raw) as packed:
            for plane_YX in planes:
                packed.write(plane_YX.tobytes())


def _nrrd_header(volume: Volume) -> str:
    geometry = volume.geometry
    fields = {
        "type": NRRD_TYPE[volume.dtype.name],
        "dimension": "3",
        "sizes": " ".join(map(str, volume.shape[::-1])),
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip",
    }
    placed = _directed(geometry)
    units = " ".join([f'"{geometry.unit or ""}"'] * 3)
    if placed:
        origin_3, steps_33 = placed
        # A space must be named before its directions.
        fields = {"type": fields.pop("type"), "dimension": fields.pop("dimension"),
                  "space": "left-posterior-superior", **fields}  # fmt: skip
        fields["space directions"] = " ".join(map(_vector, steps_33))
        fields["space origin"] = _vector(origin_3)
        fields["space units"] = units
    elif geometry.voxel_size:
        fields["spacings"] = " ".join(map(repr, map(float, geometry.voxel_size[::-1])))
    if geometry.unit and not placed:
        fields["units"] = units
    lines = ["NRRD0005", *(f"{key}: {value}" for key, value in fields.items())]
    lines += [f"{key}:={_escaped(value)}" for key, value in _nrrd_notes(volume).items()]
    return "\n".join(lines) + "\n\n"


def _nrrd_notes(volume: Volume) -> dict[str, str]:
    notes = {"xseg_jax": json.dumps(volume.notes())}
    z, y, x = volume.shape
    for number, row in enumerate(c for c in volume.classes() if c["value"]):
        rgb = bytes.fromhex(row["colour"][1:])
        notes |= {
            f"Segment{number}_ID": f"Segment_{row['value']}",
            f"Segment{number}_Name": row["name"],
            f"Segment{number}_Color": " ".join(f"{part / 255:.6f}" for part in rgb),
            f"Segment{number}_LabelValue": str(row["value"]),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Extent": f"0 {x - 1} 0 {y - 1} 0 {z - 1}",
        }
    return notes


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _escaped(value: str) -> str:
    """A value of a user's key, which ends with its line."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
