"""What scans a folder holds."""

from pathlib import Path

from xseg_jax.scans.kinds import KINDS, find_kind
from xseg_jax.scans.names import NOISE, is_slice, natural_key
from xseg_jax.scans.picture import SUFFIXES
from xseg_jax.scans.scan import open_scan

DATA = (".raw", ".zraw", ".img", ".vol", ".bin", ".dat")
"""Suffixes of pixels whose shape stands in a header beside them."""
HEADERS = (".mhd", ".hdr", ".nhdr", ".vgi")

MOST_CHANNELS = 4
"""A NumPy array (H, W, C) of so few columns is a slice with channels, and no volume."""


def is_store(path: Path) -> bool:
    """Whether a path is a folder that is one scan of another kind than slices: Zarr, N5, DICOM."""
    return path.is_dir() and find_kind(path).module != "slices"


def scans_in(folder: Path) -> list[Path]:
    """The volumes, stores and folders of slices in a folder; none where it holds slices itself.

    Raises:
      InputError: the first file of pictures is damaged.
    """
    children = _children(folder)
    pictures = [path for path in children if _is_picture(path)]
    if pictures and _is_one_slice(pictures[0]):
        return []
    return [path for path in children if path.is_dir() or _is_volume(path)]


def _is_one_slice(picture: Path) -> bool:
    with open_scan(picture, colours=True) as scan:
        # One file of a set, which names the others, has one page of its own.
        files = {file for file, _ in getattr(scan, "pages", ())}
        channels = picture.suffix.lower() == ".npy" and scan.shape[2] <= MOST_CHANNELS
        return scan.shape[0] == 1 or len(files) == scan.shape[0] or channels


def beside_pictures(folder: Path) -> list[Path]:
    """The volumes, stores and folders in a folder that holds pictures too."""
    return [
        path
        for path in _children(folder)
        if path.is_dir() or (_is_volume(path) and not _is_picture(path))
    ]


def _children(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.iterdir() if path.name[0] != "." and path.name not in NOISE),
        key=lambda path: (natural_key(path.name), path.name),
    )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _is_data(path: Path) -> bool:
    """Whether a file holds the pixels of a header beside it."""
    return path.suffix.lower() in DATA and any(path.with_suffix(end).exists() for end in HEADERS)


def _is_volume(path: Path) -> bool:
    return not _is_data(path) and any(
        path.name.lower().endswith(kind.suffixes) for kind in KINDS if kind.suffixes
    )


def left_out(folder: Path) -> str:
    """A line that names what of a folder is not read; "" where all is, or it is no folder."""
    if not folder.is_dir() or is_store(folder):
        return ""
    scans = scans_in(folder)
    others = [
        path.name + "/" * path.is_dir()
        for path in sorted(folder.iterdir())
        if path.name.lower() not in NOISE
        and path.name[:2] != "._"
        and not (path in scans if scans else is_slice(path))
        and not (scans and _is_data(path))
    ]
    if not others:
        return ""
    files = "1 file is" if len(others) == 1 else f"{len(others)} files are"
    some = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
    return f"{folder}: {files} of no kind that is read here, or hidden, and left out: {some}"
