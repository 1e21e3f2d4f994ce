"""Units of length, as file formats spell them."""

import math
from collections.abc import Iterable

MICRO = (
    "um",
    "µm",
    "μm",
    "micron",
    "microns",
    "micrometer",
    "micrometers",
    "micrometre",
    "\\u00b5m",
)
SPELLINGS = {
    "nm": ("nm", "nanometer", "nanometers", "nanometre"),
    "um": MICRO,
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre"),
    "m": ("m", "meter", "meters", "metre"),
    "angstrom": ("angstrom", "angstroms", "å", "Å", "a"),
    "inch": ("inch", "inches", "in"),
}  # fmt: skip
UNIT_OF = {spelling: unit for unit, spellings in SPELLINGS.items() for spelling in spellings}
METRES = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "angstrom": 1e-10,
          "inch": 0.0254}  # fmt: skip


def unit_of(text: object) -> str | None:
    """The unit that a file names: a key of `METRES`, or None for another or none."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    said = str(text or "").strip().strip("\0").strip('"').strip()
    return UNIT_OF.get(said) or UNIT_OF.get(said.lower())


def triple(values: Iterable[float | None] | None) -> tuple[float, float, float] | None:
    """Three sizes z, y, x; one that is no positive number becomes NaN, and None if all do."""
    if values is None:
        return None
    sizes = [abs(float(v)) if v is not None and v == v and v != 0 else math.nan for v in values]
    sizes = [size if math.isfinite(size) else math.nan for size in sizes]
    z, y, x = [math.nan] * (3 - len(sizes)) + sizes
    return None if all(map(math.isnan, (z, y, x))) else (z, y, x)
