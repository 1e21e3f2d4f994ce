"""Zeiss .txm and .xrm, in OLE files that are written here by hand; projections are refused."""

import struct

import numpy as np
import pytest
from volumes import check, volume

from xseg_jax.errors import InputError
from xseg_jax.scans.scan import open_scan

SECTOR, END, FREE, FAT, CUTOFF = 512, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 4096


def ole(path, folders):
    """A compound file (MS-CFB) of {folder: {stream: bytes}}, each stream in sectors of its own."""
    entries = [["Root Entry", 5, b"", []]]  # Name, kind, data, indices of children.
    for folder, streams in folders.items():
        entries.append([folder, 1, b"", []])
        entries[0][3].append(len(entries) - 1)
        parent = entries[-1]
        for name, data in streams.items():
            # Streams below the cutoff would lie in another place.
            entries.append([name, 2, data.ljust(CUTOFF, b"\0"), []])
            parent[3].append(len(entries) - 1)
    body, chains, starts = b"", [], []
    directory_sectors = -(-128 * len(entries) // SECTOR)
    streams = [e[2] for e in entries]
    used = directory_sectors + sum(-(-len(data) // SECTOR) for data in streams)
    fat_sectors = -(-(used + 40) // (SECTOR // 4))
    position = fat_sectors + directory_sectors
    for data in streams:
        count = -(-len(data) // SECTOR)
        starts.append(position if count else END)
        chains += [*range(position + 1, position + count), END][:count]
        body += data.ljust(count * SECTOR, b"\0")
        position += count
    directory = [*range(fat_sectors + 1, fat_sectors + directory_sectors), END]
    fat = [FAT] * fat_sectors + directory + chains
    fat += [FREE] * (fat_sectors * SECTOR // 4 - len(fat))
    next_of, child_of = {}, {}
    for index, (_, _, _, children) in enumerate(entries):
        child_of[index] = children[0] if children else FREE
        next_of.update(zip(children, [*children[1:], FREE], strict=False))
    listed = b""
    for index, (name, kind, data, _) in enumerate(entries):
        text = name.encode("utf-16-le")
        listed += text.ljust(64, b"\0") + struct.pack("<HBB", len(text) + 2, kind, 1)
        listed += struct.pack("<III", FREE, next_of.get(index, FREE), child_of[index]) + bytes(36)
        listed += struct.pack("<IQ", starts[index], len(data))
    listed = listed.ljust(directory_sectors * SECTOR, b"\0")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6xIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, fat_sectors, fat_sectors, 0)
    head += struct.pack("<IIIII", CUTOFF, END, 0, END, 0)
    head += struct.pack("<109I", *[*range(fat_sectors)] + [FREE] * (109 - fat_sectors))
    path.write_bytes(head + struct.pack(f"<{len(fat)}I", *fat) + listed + body)
    return path


CODES = {"uint8": 3, "uint16": 5, "float32": 10}


def txm(path, values_ZYX, leave_out=(), **changes):
    z, y, x = values_ZYX.shape
    numbers = {"ImageWidth": x, "ImageHeight": y, "NoOfImages": z,
               "DataType": CODES[str(values_ZYX.dtype)], **changes}  # fmt: skip
    info = {name: struct.pack("<i", value) for name, value in numbers.items()}
    folders = {"ImageInfo": {**info, "PixelSize": struct.pack("<f", 0.75)}}
    for index, page in enumerate(values_ZYX):
        folder = folders.setdefault(f"ImageData{index // 100 + 1}", {})
        if index + 1 not in leave_out:
            folder[f"Image{index + 1}"] = page.tobytes()
    return ole(path, folders)


@pytest.mark.parametrize("dtype", CODES)
def test_a_reconstruction(tmp_path, dtype):
    expected_ZYX = volume(dtype, (5, 50, 60))
    with open_scan(txm(tmp_path / "scan.txm", expected_ZYX)) as scan:
        check(scan, expected_ZYX)
        assert (scan.name, scan.voxel_size, scan.unit) == ("scan", (0.75, 0.75, 0.75), "um")


def test_slices_beyond_the_first_hundred(tmp_path):
    expected_ZYX = volume("uint8", (103, 4, 5))
    with open_scan(txm(tmp_path / "scan.txm", expected_ZYX)) as scan:
        np.testing.assert_array_equal(scan.slab(98, 103), expected_ZYX[98:])


def test_one_image(tmp_path):
    with open_scan(txm(tmp_path / "one.xrm", volume()[:1])) as scan:
        check(scan, volume()[:1])
        np.testing.assert_array_equal(scan.voxel_size, (np.nan, 0.75, 0.75))


def test_what_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a .txrm file holds projections, not a volume; reconstr"):
        open_scan(txm(tmp_path / "scan.txrm", volume()))
    with pytest.raises(InputError, match=r"2 of 5 slices are missing, the first is 2; the file"):
        open_scan(txm(tmp_path / "scan.txm", volume(), leave_out=(2, 5)))
    with pytest.raises(InputError, match=r"data type 99 is not known; known are \[3, 5, 10\]"):
        open_scan(txm(tmp_path / "scan.txm", volume(), DataType=99))
    with open_scan(txm(tmp_path / "scan.txm", volume(), ImageWidth=4000)) as scan:  # noqa: SIM117
        with pytest.raises(InputError, match=r"scan.txm: plane 0 along axis 0 cannot be read \("):
            scan.plane(0)
    whole = txm(tmp_path / "scan.txm", volume()).read_bytes()
    (tmp_path / "scan.txm").write_bytes(whole[:600])
    with pytest.raises(InputError, match=r"scan.txm: cannot be read as Zeiss \("):
        open_scan(tmp_path / "scan.txm")
