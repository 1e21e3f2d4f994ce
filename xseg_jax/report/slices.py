"""Slices as a page shows them: 8 bits a pixel, many in one file, smaller where they must be."""

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import entr

from xseg_jax.colours import Rgb
from xseg_jax.errors import InputError
from xseg_jax.files import replacing

NOT_LABELLED = 255
# What lies outside is noise and rings, and would leave few grey levels to the sample.
PERCENTILES = (0.1, 99.9)
FORMAT = 1

_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
_PIXELS = ("image_HW", "label_HW", "class_HW", "doubt_HW")


@dataclass(frozen=True)
class SliceRecord:
    """A segmented slice, ready to be shown; all pixels are uint8 (H, W).

    Attributes:
      name: of the slice.
      image_HW: grey levels, evenly spaced from low (0) to high (255).
      low, high: grey values of levels 0 and 255, in the units of the scan.
      class_HW: predicted classes.
      label_HW: true classes, 255 where nobody has labelled; None without a label.
      doubt_HW: entropy of the probabilities, 255 where all classes are alike; None if unknown.
      z: of the plane in its scan, or None.
      accuracy: share of the labelled pixels that are right, or None.

    Raises ValueError, with the slice's name, where pixels are not uint8 or differ in shape.
    """

    name: str
    image_HW: np.ndarray
    low: float
    high: float
    class_HW: np.ndarray
    label_HW: np.ndarray | None = None
    doubt_HW: np.ndarray | None = None
    z: int | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        found = {f"{p.dtype} {p.shape}" for p in self.pixels().values()}
        if len(found) > 1 or self.image_HW.ndim != 2 or self.image_HW.dtype != np.uint8:
            raise ValueError(
                f"{self.name}: pixels are {sorted(found)}; they must be uint8 of one shape (H, W)"
            )

    def pixels(self) -> dict[str, np.ndarray]:
        """The arrays that there are, by the names of their fields."""
        return {name: p for name in _PIXELS if (p := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Slices:
    """What a page shows: slices, and what their values mean.

    Attributes:
      records: in the order in which they are shown.
      names: of the classes 0, 1, 2, ...
      colours: of the classes, as red, green and blue from 0 to 255.
      pixel_size: length of a pixel along x, in `unit`; None where it is not known.
      unit: of pixel_size, as it is printed.

    Raises ValueError, with the slice's name, for a class without a name; and where names and
    colours differ in number.
    """

    records: Sequence[SliceRecord]
    names: Sequence[str]
    colours: Sequence[Rgb]
    pixel_size: float | None
    unit: str

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colours):
            raise ValueError(f"{len(self.names)} classes have {len(self.colours)} colours")
        known = np.append(np.arange(len(self.names)), NOT_LABELLED)
        for record in self.records:
            # Where nothing was predicted is as good as where nothing was labelled.
            for classes_HW in (record.class_HW, record.label_HW):
                if classes_HW is not None and not np.isin(classes_HW, known).all():
                    unknown = np.setdiff1d(classes_HW, known).tolist()
                    raise ValueError(
                        f"{record.name}: values {unknown} are in no class; "
                        f"classes are 0 to {len(self.names) - 1}"
                    )


def make_record(
    name: str,
    image_HW: np.ndarray,
    class_HW: np.ndarray,
    *,
    label_HW: np.ndarray | None = None,
    probabilities_HWK: np.ndarray | None = None,
    z: int | None = None,
) -> SliceRecord:
    """Makes a record of arrays as they are computed.

    Args:
      name: of the slice.
      image_HW: grey values of any real type, in the units of the scan; from the 0.1 to the 99.9
        percentile of the finite values they become levels 0 to 255, and what lies outside is
        clipped. NaN becomes level 0; without any finite value the range is 0 to 0.
      class_HW: predicted classes, uint8.
      label_HW: true classes, uint8, 255 not labelled.
      probabilities_HWK: of the classes, summing to 1; their `doubt` is kept.
      z: of the plane in its scan.
    """
    level_HW, low, high = levels(image_HW)
    accuracy = None
    if label_HW is not None and (labelled_HW := label_HW != NOT_LABELLED).any():
        accuracy = float((class_HW == label_HW)[labelled_HW].mean())
    return SliceRecord(
        name=name,
        image_HW=level_HW,
        low=low,
        high=high,
        class_HW=class_HW,
        label_HW=label_HW,
        doubt_HW=None if probabilities_HWK is None else doubt(probabilities_HWK),
        z=None if z is None else int(z),  # A number of NumPy is none of JSON.
        accuracy=accuracy,
    )


def levels(image_HW: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Grey values -> uint8 levels, with the values that 0 and 255 stand for; as `make_record`."""
    finite = image_HW[np.isfinite(image_HW)].astype(np.float64)
    if not finite.size:
        return np.zeros(image_HW.shape, np.uint8), 0.0, 0.0
    low, high = (float(value) for value in np.percentile(finite, PERCENTILES))
    if low == high:  # Nearly all pixels are alike: then it is the rest that says something.
        low, high = float(finite.min()), float(finite.max())
    clipped_HW = np.clip(np.nan_to_num(image_HW.astype(np.float64), nan=low), low, high)
    # Halves, for the width of a range may be no float where its ends are.
    span = high / 2 - low / 2
    unit_HW = (clipped_HW / 2 - low / 2) / span if span else np.zeros(image_HW.shape)
    return np.rint(255 * unit_HW).astype(np.uint8), low, high


def doubt(probabilities_HWK: np.ndarray) -> np.ndarray:
    """Shannon entropy of probabilities over its largest value, log K: uint8 (H, W), 255 = 1.

    Of a single class there is no doubt. Source: Shannon 1948, Bell System Technical Journal 27,
    379-423.
    """
    classes = probabilities_HWK.shape[-1]
    if classes == 1:
        return np.zeros(probabilities_HWK.shape[:-1], np.uint8)
    entropy_HW = entr(probabilities_HWK.astype(np.float64)).sum(-1) / np.log(classes)
    return np.rint(255 * np.clip(entropy_HW, 0, 1)).astype(np.uint8)


def shrink(record: SliceRecord, factor: int) -> SliceRecord:
    """Makes one pixel of factor x factor: (H, W) -> (ceil(H / factor), ceil(W / factor)).

    Image and doubt are means; classes and labels are those of the middle pixel, together, so
    that as many pixels are wrong as before, and none has a class that nobody has seen there.
    Blocks that reach beyond the slice repeat its last row and column.
    """
    if factor == 1:
        return record
    small = {}
    for name, pixels_HW in record.pixels().items():
        H, W = pixels_HW.shape
        padded_HW = np.pad(pixels_HW, ((0, -H % factor), (0, -W % factor)), "edge")
        middle = slice(factor // 2, None, factor)
        if name in ("image_HW", "doubt_HW"):
            h, w = len(padded_HW) // factor, padded_HW.shape[1] // factor
            mean_HW = padded_HW.reshape(h, factor, w, factor).mean((1, 3))
            small[name] = np.rint(mean_HW).astype(np.uint8)
        else:
            small[name] = padded_HW[middle, middle]
    return replace(record, **small)


def write_slices(
    path: Path,
    records: Sequence[SliceRecord],
    names: Sequence[str],
    colours: Sequence[Rgb],
    pixel_size: float | None,
    unit: str,
) -> None:
    """Writes slices into one compressed .npz, whole or not at all; sizes may differ.

    Args:
      path: of the file.
      records: in the order in which they are shown.
      names, colours, pixel_size, unit: as in `Slices`.

    Raises:
      SaveError: as `files.replacing`.
      ValueError: as `Slices`.
    """
    slices = Slices(records, names, colours, pixel_size, unit)
    arrays: dict[str, np.ndarray] = {}
    described = []
    for i, record in enumerate(slices.records):
        arrays |= {f"{i}_{name}": pixels_HW for name, pixels_HW in record.pixels().items()}
        described.append(
            {f.name: getattr(record, f.name) for f in fields(record) if f.name not in _PIXELS}
        )
    about = {
        "format": FORMAT,
        "records": described,
        "names": list(names),
        "colours": [list(map(int, rgb)) for rgb in colours],
        "pixel_size": pixel_size,
        "unit": unit,
    }
    # JSON in ASCII holds any name, and pickles nothing.
    arrays["about"] = np.frombuffer(json.dumps(about).encode("ascii"), np.uint8)
    with replacing(path, "the slices") as draft, draft.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_slices(path: Path) -> Slices:
    """Reads what `write_slices` wrote.

    Raises:
      InputError: there is no such file, or it is no whole file of slices.
    """
    try:
        with path.open("rb") as bytes_in, np.load(bytes_in, allow_pickle=False) as file:
            about: dict[str, Any] = json.loads(file["about"].tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}")
            records = [
                SliceRecord(
                    **described,
                    **{name: file[key] for name in _PIXELS if (key := f"{i}_{name}") in file},
                )
                for i, described in enumerate(about["records"])
            ]
        colours = [(r, g, b) for r, g, b in about["colours"]]
        return Slices(records, about["names"], colours, about["pixel_size"], about["unit"])
    except _BROKEN as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(
            f"{path}: cannot be read as slices ({reason}); "
            "evaluate the run again, which writes them anew"
        ) from error
