"""Which reader opens a file or folder: by its first bytes, its suffix, or what a folder holds."""

from dataclasses import dataclass
from pathlib import Path

from xseg_jax.errors import InputError

HDF5 = b"\x89HDF\r\n\x1a\n"
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
      name: as a person calls it.
      module: in `xseg_jax.scans`.
      function: of the module: (file, inside, source) -> Scan.
      suffixes: how names end, in lower case.
      magic: (offset, bytes) at which such files can be told, any of them.
      packages: what `pip install` needs that requirements.txt does not have.
      shared: other kinds begin with the same bytes, so that the suffix must fit too.
      options: of `open_scan`, which `function` takes.
    """

    name: str
    module: str
    function: str
    suffixes: tuple[str, ...] = ()
    magic: tuple[tuple[int, bytes], ...] = ()
    packages: tuple[str, ...] = ()
    shared: bool = False
    options: tuple[str, ...] = ()


TIFF_MAGIC = tuple(
    (0, order + version)
    for order, versions in ((b"II", (b"*\0", b"+\0")), (b"MM", (b"\0*", b"\0+")))
    for version in versions
)

COLOURS = ("colours",)

# The first row whose suffix and magic both fit, then whose magic fits, then whose suffix fits.
KINDS = (
    Kind(
        "MINC", "medical", "open_nibabel", (".mnc",), ((0, HDF5), (0, b"CDF")),
        ("nibabel", "h5py"), shared=True,
    ),
    Kind(
        "TIFF", "tiff", "open_tiff", (".tif", ".tiff", ".btf", ".tf8", ".lsm"), TIFF_MAGIC,
        options=COLOURS,
    ),
    Kind("OME companion", "tiff", "open_companion", (".companion.ome",), options=COLOURS),
    Kind(
        "a picture", "slices", "open_picture",
        (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pbm", ".pgm", ".ppm", ".webp"),
        ((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (0, b"GIF8")), options=COLOURS,
    ),
    Kind("NumPy", "raw", "open_npy", (".npy",), ((0, b"\x93NUMPY"),)),
    Kind(
        "HDF5", "hdf5", "open_hdf5", (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".he5"),
        tuple((offset, HDF5) for offset in (0, 512, 1024, 2048)), ("h5py", "hdf5plugin"),
    ),
    Kind("zipped Zarr", "zarr", "open_store", (".zarr.zip", ".zip"), ((0, b"PK\x03\x04"),)),
    Kind(
        "NIfTI", "medical", "open_nibabel",
        (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
        ((344, b"n+1\0"), (344, b"ni1\0"), (4, b"n+2\0")), ("nibabel",),
    ),
    Kind("FreeSurfer", "medical", "open_nibabel", (".mgz", ".mgh"), (), ("nibabel",)),
    Kind("NRRD", "headers", "open_nrrd", (".nrrd", ".nhdr"), ((0, b"NRRD"),)),
    Kind("MetaImage", "headers", "open_metaimage", (".mha", ".mhd")),
    Kind(
        "MRC", "mrc", "open_mrc", (".mrc", ".rec", ".map", ".ccp4", ".st", ".ali"),
        ((208, b"MAP"),),
    ),
    Kind("MRC", "mrc", "open_mrc", (".mrc.gz", ".rec.gz", ".map.gz"), ((0, GZIP),), shared=True),
    Kind(
        "DICOM", "dicom", "open_dicom", (".dcm", ".dicom", ".ima"), ((128, b"DICM"),),
        ("SimpleITK",),
    ),
    Kind(
        "Zeiss", "zeiss", "open_zeiss", (".txm", ".txrm", ".xrm"),
        ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),), ("olefile",),
    ),
    Kind("VGI", "raw", "open_vgi", (".vgi",)),
    Kind("raw data", "raw", "open_raw", (".raw", ".vol", ".bin", ".dat")),
)  # fmt: skip

STORE = Kind("Zarr or N5", "zarr", "open_store")
SLICES = Kind("a folder of slices", "slices", "open_folder", options=("number_pattern", "colours"))
SERIES = Kind("a DICOM series", "dicom", "open_series", packages=("SimpleITK",))
STORE_FILES = (".zarray", ".zgroup", ".zattrs", "zarr.json")


def find_kind(file: Path) -> Kind:
    """The kind of a file or folder that exists.

    Raises:
      InputError: it is of no known kind, empty, or cannot be opened.
    """
    try:
        if file.is_dir():
            return _kind_of_folder(file)
        with file.open("rb") as opened:
            head = opened.read(4096)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be opened ({error.strerror}); check the link or permissions"
        ) from error
    if not head:
        raise InputError(f"{file}: is empty (0 bytes); copy or export it again")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{file}: is a pointer of Git LFS, not the data; run git lfs pull")
    name = file.name.lower()
    by_suffix = [kind for kind in KINDS if name.endswith(kind.suffixes)]
    by_magic = [kind for kind in KINDS if any(head.startswith(m, at) for at, m in kind.magic)]
    both = [kind for kind in by_suffix if kind in by_magic]
    for kind in (*both, *(k for k in by_magic if not k.shared), *by_suffix):
        return kind
    known = sorted({suffix for kind in KINDS for suffix in kind.suffixes})
    raise InputError(
        f"{file}: is of no known kind; known are folders of slices, Zarr and N5 stores, DICOM "
        f"series and {' '.join(known)}; raw data is opened as {file.name}::ZxYxX,uint16"
    )


def _kind_of_folder(folder: Path) -> Kind:
    if any((folder / name).is_file() for name in STORE_FILES):
        return STORE
    if folder.suffix.lower() in (".zarr", ".n5"):
        return STORE
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    if (folder / "attributes.json").is_file() and "n5" in (folder / "attributes.json").read_text():
        return STORE
    # Files of a DICOM series often have no suffix; one in the folder tells.
    for path in files[:3]:
        with path.open("rb") as opened:
            if opened.read(132)[128:] == b"DICM":
                return SERIES
    return SLICES
