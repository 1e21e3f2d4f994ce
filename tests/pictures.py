"""Pictures written in ways that no library writes, byte by byte."""

import struct
import zlib

import numpy as np

TO_STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, -1),
}
"""By orientation: how an upright array is stored."""


def noise(shape=(7, 5), bits=8, seed=0):
    """Samples of some bits, the least and the largest among them."""
    samples = np.random.default_rng(seed).integers(0, 2**bits, shape)
    samples.flat[:2] = 0, 2**bits - 1
    return samples.astype(np.uint8 if bits <= 8 else np.uint16)


def pack(samples_HW, bits):
    """Rows of samples packed to bytes, high bits first."""
    rows = []
    for row in samples_HW:
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return rows


def png(samples, bits, colour_type, *chunks):
    """A PNG of (H, W) or (H, W, C) samples, with chunks (name, content) before its pixels."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row for row in pack(samples.reshape(height, -1), bits))
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def tiff(samples, bits, tags, *, reverse_bits=False, deflate=False):
    """A little-endian TIFF of one strip with just these tags and its layout."""
    height, width = samples.shape[:2]
    data = b"".join(pack(samples.reshape(height, -1), bits))
    if reverse_bits:
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    if deflate:
        data, tags = zlib.compress(data), tags | {259: [8]}
    channels = samples.shape[2] if samples.ndim == 3 else 1
    entries = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 273: [8]}
    entries |= {277: [channels], 278: [height], 279: [len(data)]} | tags
    data += b"\0" * (len(data) % 2)
    place = 8 + len(data)
    beside = place + 2 + 12 * len(entries) + 4
    fields, more = b"", b""
    for tag, values in sorted(entries.items()):
        content = struct.pack(f"<{len(values)}H", *values)
        if len(content) > 4:
            more, content = more + content, struct.pack("<I", beside + len(more))
        fields += struct.pack("<HHI", tag, 3, len(values)) + content.ljust(4, b"\0")
    directory = struct.pack("<H", len(entries)) + fields + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", place) + data + directory + more
