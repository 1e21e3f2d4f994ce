"""In which convention the label files of a folder are written, or that they are in several."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xseg_jax.data.images import COLOUR, WHITE, Convention, packed
from xseg_jax.data.labels import LabelMap, plain, text_of, values_of
from xseg_jax.errors import InputError
from xseg_jax.scans.shown import Picture

NAMED = "name the classes with --config.data.classes"
REMEDY = f"save all labels in one way, or {NAMED}"

COUNTED = {255: 31, 65535: 255}
"""By the value of white, the largest value that may be a count or the white of fewer bits."""

NEAR = 1
"""Values this far from an even share of white are that share: 127 and 128 are half of 255."""


@dataclass(frozen=True)
class Seen:
    """What a label file holds, in any convention.

    Attributes:
      path: of the file.
      kind: as of its picture.
      bilevel: it has 1 bit a pixel.
      values: its index or gray values, or packed colours.
      counts: pixels of each value.
      colour_of: the packed colour that each index shows, of a palette file.
    """

    path: Path
    kind: str
    bilevel: bool
    values: tuple[int, ...]
    counts: tuple[int, ...]
    colour_of: dict[int, int]

    @classmethod
    def of(cls, path: Path, picture: Picture) -> "Seen":
        """Looks at the picture of a label file."""
        held = packed(picture.colours) if picture.kind == "rgb" else picture.pixels
        found, number = np.unique(held, return_counts=True)
        values, counts = tuple(map(int, found)), tuple(map(int, number))
        colour_of = {}
        if picture.palette_N3 is not None:
            shown = packed(picture.palette_N3[list(values)])
            colour_of = dict(zip(values, shown.tolist(), strict=True))
        return cls(path, picture.kind, picture.pixels.dtype == bool, values, counts, colour_of)

    @property
    def needs_convention(self) -> bool:
        """Whether its values depend on how the folder's files are read."""
        return self.bilevel or self.kind == "palette"

    def read_as(self, convention: Convention) -> set[int]:
        """Label values in a convention, gray colours as plain values."""
        return set(self.pixels_as(convention))

    def pixels_as(self, convention: Convention) -> dict[int, int]:
        """Pixels of each label value in a convention, gray colours as plain values."""
        if self.kind == "palette" and convention.colours:
            values = plain(self.colour_of[value] for value in self.values)
        elif self.bilevel:
            values = [value * convention.white for value in self.values]
        else:
            values = plain(self.values)
        pixels = dict.fromkeys(values, 0)  # Two indices may show one colour.
        for value, count in zip(values, self.counts, strict=True):
            pixels[value] += count
        return pixels


def find_convention(
    seen: Sequence[Seen], known: LabelMap | None = None, ignore: str = ""
) -> Convention:
    """How the files of a folder are read, so that equal values mean the same in all of them.

    A palette file is read by its index, as the masks of VOC are meant, as long as an index shows
    one colour in all files; else, or beside files without palette, by the colours that it shows.
    A palette of grays is read as the gray picture that it shows. Named classes decide where both
    could be meant.

    Args:
      seen: of all label files.
      known: the classes that the user or a run names; None where they are to be found.
      ignore: without `known`, the label value that is left out of loss and scores, or "".

    Raises:
      InputError: files are in different conventions; names one of each.
    """
    palettes = [one for one in seen if one.kind == "palette"]
    texts = (*known.values, known.ignore) if known else (ignore.strip().lower(),)
    named = {value for text in texts for value in values_of(text) if value is not None}
    colours = bool(palettes) and _shows_colours(seen, palettes, known, named)
    convention = Convention(colours, 1)
    others = set().union(*(one.read_as(convention) for one in seen if not one.bilevel))
    if known:
        in_colour = any(value >= COLOUR for value in named)
        white = WHITE if in_colour or (WHITE in named and 1 not in named) else 1
    else:
        white = 1 if others <= {0, 1} else WHITE
    convention = Convention(colours, white)
    if known and not colours:
        _refuse_other_palette(palettes, known)
    if not known:
        ignored = set(plain(named))
        _refuse_gray_beside_colour(seen, convention, ignored)
        _refuse_two_scales(seen, convention, ignored)
    return convention


def with_palette(label_map: LabelMap, seen: Sequence[Seen], convention: Convention) -> LabelMap:
    """Label map that knows the colours of its indices, to tell other palettes from its own."""
    colour_of = {
        str(index): text_of(colour, True) for one in seen for index, colour in one.colour_of.items()
    }
    if convention.colours or label_map.shown or not colour_of:
        return label_map
    return replace(label_map, shown=tuple(colour_of.get(text, "") for text in label_map.values))


def _refuse_other_palette(palettes: Sequence[Seen], known: LabelMap) -> None:
    """Refuses files whose index shows another colour than in the labels of training."""
    trained = {text: shown for text, shown in zip(known.values, known.shown, strict=False) if shown}
    for one in palettes:
        for index, colour in one.colour_of.items():
            here = text_of(colour, True)
            there = trained.get(str(index), here)
            if here != there:
                raise InputError(
                    f"{one.path}: index {index} is {here}, but {there} in the labels of "
                    f"training; save the labels with the palette of those, or {NAMED}"
                )


def _shows_colours(
    seen: Sequence[Seen], palettes: Sequence[Seen], known: LabelMap | None, named: set[int]
) -> bool:
    """Whether palette files are read as the colours that they show."""
    if any(value >= COLOUR for value in named):
        return True
    differing = _differing(palettes)
    shown = set().union(*(one.read_as(Convention(colours=True)) for one in palettes))
    index = set().union(*(one.values for one in palettes))
    # As many values as colours: a palette that nobody filled shows nothing.
    faithful = all(len(set(one.colour_of.values())) == len(one.values) for one in palettes)
    gray = faithful and max(shown) < COLOUR
    if known:
        if gray and (shown <= named or not index <= named):
            return True
    elif gray and not (named & index and not named & shown):
        return True
    if differing:
        if known or named:
            first, second, what = differing
            colour = text_of(min(first.colour_of.values()))
            example = f"--config.data.classes={colour}:NAME,..."
            raise InputError(
                f"{first.path} and {second.path}: {what}, so that the index is no class; save all "
                f"labels with one palette, or name classes by colour, as in {shlex.quote(example)}"
            )
        return True
    if known:
        return False
    beside = [one for one in seen if one.kind != "palette" and set(plain(one.values)) != {0}]
    if beside and named:
        raise InputError(
            f"{palettes[0].path} and {beside[0].path}: one has a palette, the other none, so that "
            f"the ignored value {text_of(min(named))} could be an index or what is shown; {REMEDY}"
        )
    return bool(beside)


def _differing(palettes: Iterable[Seen]) -> tuple[Seen, Seen, str] | None:
    """Two files whose palettes do not fit together, and how; None where all fit."""
    shows: dict[int, tuple[int, Seen]] = {}
    stands: dict[int, tuple[set[int], Seen]] = {}
    for one in palettes:
        for index, colour in one.colour_of.items():
            before, other = shows.setdefault(index, (colour, one))
            if before != colour:
                return other, one, (
                    f"index {index} is {text_of(before, True)} in one and "
                    f"{text_of(colour, True)} in the other"
                )  # fmt: skip
        for colour in set(one.colour_of.values()):
            indices = {index for index, shown in one.colour_of.items() if shown == colour}
            before, other = stands.setdefault(colour, (indices, one))
            if len(before) == len(indices) == 1 and before != indices:
                return other, one, (
                    f"{text_of(colour, True)} is index {min(before)} in one and {min(indices)} in "
                    "the other"
                )  # fmt: skip
    return None


def _refuse_gray_beside_colour(
    seen: Sequence[Seen], convention: Convention, ignored: set[int]
) -> None:
    """Gray files of a folder in colours must hold values that the colour files hold too."""
    in_colour, shows_colours = set(ignored), None
    for one in seen:
        if one.kind != "gray":
            held = one.read_as(convention)
            in_colour |= held
            shows_colours = shows_colours or (one if max(held) >= COLOUR else None)
    if shows_colours is None:
        return
    for one in seen:
        strange = one.read_as(convention) - in_colour
        if strange:
            raise InputError(
                f"{shows_colours.path} and {one.path}: one shows colours, the other the gray value "
                f"{min(strange)}, which no label with colours has; {REMEDY}"
            )


def _refuse_two_scales(seen: Sequence[Seen], convention: Convention, ignored: set[int]) -> None:
    """Refuses classes counted 0, 1, 2 in some files and spread over black to white in others."""
    values = [one.read_as(convention) - ignored - {0} for one in seen]
    found = set().union(*values)
    if not found or max(found) not in COUNTED:
        return
    white = max(found)
    counted = {value for value in found if value <= COUNTED[white]}
    if not {1, WHITE} & counted:
        return
    step = white / max(counted)
    spread = found - counted
    even = all(abs(value - round(value / step) * step) <= NEAR for value in spread)
    if not even or any(one & counted and one & spread for one in values):
        return
    first = next(one for one, held in zip(seen, values, strict=True) if held & counted)
    second = next(one for one, held in zip(seen, values, strict=True) if held & spread)
    raise InputError(
        f"{first.path} and {second.path}: labels hold {_listed({0} | counted)} in some files and "
        f"{_listed({0} | spread)} in others, and no file holds both, as where one class is written "
        f"in two ways; {REMEDY}, or leave one value out with --config.data.ignore"
    )


def _listed(values: set[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
