"""MRC and CCP4 maps (also IMOD's .rec): a header of 1024 bytes and raw sections.

Fields as in MRC2014, Cheng et al., J. Struct. Biol. 192, 146 (2015). Sections stay as stored: plane
k is section k of every viewer; the voxel size follows MAPC, MAPR and MAPS.
"""

import functools
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xseg_jax.errors import InputError
from xseg_jax.scans.kinds import GZIP
from xseg_jax.scans.raw import Layout, RawScan, refuse_inside
from xseg_jax.scans.scan import Geometry, Scan
from xseg_jax.scans.units import triple
from xseg_jax.scans.unpack import Unpacked, unpack

MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
IMOD_STAMP = 1146047817


def open_mrc(file: Path, inside: str, source: str) -> Scan:
    """An MRC volume, plain or gzip; voxel size in angstrom.

    Raises:
      InputError: it is no MRC file, complex, or truncated.
    """
    refuse_inside(inside, source)
    with file.open("rb") as opened:
        packed = opened.read(2) == GZIP
        opened.seek(0)
        if packed:
            import gzip

            head = gzip.GzipFile(fileobj=opened).read(1024)
        else:
            head = opened.read(1024)
    integers = functools.partial(np.frombuffer, head)
    order = next((o for o in "<>" if 1 <= integers(f"{o}i4", 1, 64)[0] <= 3), None)
    if len(head) < 1024 or order is None:
        raise InputError(f"{source}: is no MRC file or is truncated; export it again")
    words = integers(f"{order}i4", 256)
    floats = integers(f"{order}f4", 256)
    columns, rows, sections, mode = (int(word) for word in words[:4])
    if mode not in MODES:
        raise InputError(
            f"{source}: MRC mode {mode} (complex or packed) is not read; known modes are "
            f"{', '.join(map(str, MODES))}: export it as one of them"
        )
    code = MODES[mode]
    # IMOD's bytes are unsigned unless its flag says otherwise.
    if mode == 0 and words[38] == IMOD_STAMP and not words[39] & 1:
        code = "u1"
    cell = {axis: (floats[9 + axis], words[6 + axis]) for axis in (1, 2, 3)}
    lengths = [cell[int(axis)] for axis in words[16:19]]
    sizes = [float(length) / int(count) if count > 0 else None for length, count in lengths]
    voxel_size = triple(reversed(sizes))
    geometry = Geometry(voxel_size, "angstrom" if voxel_size else None)
    offset = 1024 + int(words[23])
    data: Path | Unpacked = file
    if packed:

        def write(target: BinaryIO) -> None:
            with file.open("rb") as opened:
                unpack(opened, "gzip", target)

        data = Unpacked(source, write)
    shape, dtype = (sections, rows, columns), np.dtype(f"{order}{code}")
    layout = Layout(data, offset, shape, dtype, exact=False)  # Some programs append notes.
    return RawScan(source, layout, geometry)
