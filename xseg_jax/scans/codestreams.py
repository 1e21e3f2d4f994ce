"""What compressed streams say of themselves: bits, and whether values may have changed."""

import struct

LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)
"""Start-of-frame markers of lossless JPEG, ITU-T T.81 table B.1."""

JPEG_LS_FRAME = 0xF7
FRAMES = (*(m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC)), JPEG_LS_FRAME)


def jpeg_segments(data: bytes) -> list[tuple[int, bytes]]:
    """Markers and contents of a JPEG stream before its pixels, in order."""
    found, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # Fill bytes.
            place += 1
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        found.append((marker, data[place + 4 : place + 2 + length]))
        place += 2 + length
        if marker == 0xDA:
            break
    return found


def jpeg_frame(data: bytes) -> tuple[int, int] | None:
    """The start-of-frame marker and the bits a sample; None where there is none."""
    return next(
        ((marker, body[0]) for marker, body in jpeg_segments(data) if marker in FRAMES and body),
        None,
    )


def jpeg_2000_is_lossless(data: bytes) -> bool:
    """Whether a JPEG 2000 stream uses the wavelet of whole numbers; ITU-T T.800, A.6.1."""
    place = data.find(b"\xff\x52")
    return place >= 0 and data[place + 13 : place + 14] == b"\x01"


def webp_is_lossless(data: bytes) -> bool:
    """Whether the picture of a WebP file is a VP8L chunk."""
    place = 12
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        place += 8 + size + size % 2
    return False


def jpeg_ls_is_lossless(data: bytes) -> bool:
    """Whether a JPEG-LS stream allows no error; NEAR of ITU-T T.87, C.2.3."""
    scans = [body for marker, body in jpeg_segments(data) if marker == 0xDA]
    return bool(scans) and scans[0][1 + 2 * scans[0][0]] == 0


def jpeg_exif(data: bytes) -> bytes:
    """The Exif block of a JPEG stream; empty where there is none."""
    blocks = (body for marker, body in jpeg_segments(data) if marker == 0xE1)
    return next((body for body in blocks if body.startswith(b"Exif\0\0")), b"")


def ends_whole(data: bytes) -> bool:
    """Whether the end-of-image marker of a JPEG stream is there; pixels cannot look like it."""
    before = sum(4 + len(body) for _, body in jpeg_segments(data))
    return data.find(b"\xff\xd9", before) >= 0
