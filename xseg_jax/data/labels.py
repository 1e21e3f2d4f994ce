"""From the user's label values to class indices, and back."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xseg_jax.data.images import COLOUR
from xseg_jax.errors import InputError
from xseg_jax.files import one_line
from xseg_jax.scans.write import Legend

IGNORED = 255
"""Class index of pixels that count neither in the loss nor in a score."""

MOST_GUESSED_VALUES = 32
"""More distinct values than this in one label mean an image; an explicit map may have more."""


@dataclass(frozen=True)
class LabelMap:
    """Which label value is which class.

    Attributes:
      values: label values as the user writes them: "128", or "#ff0000" in a colour mask.
      classes: class name of each value; values of equal name are one class.
      ignore: values that are in no class and are left out of loss and scores, as in "254,255"; or
        "".
      shown: colour of each value, "#ff0000", or "", where the values are indices of a palette; else
        empty.
    """

    values: tuple[str, ...]
    classes: tuple[str, ...]
    ignore: str = ""
    shown: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, ignore: str = "") -> "LabelMap":
        """Reads "0:pore,128:YSZ,255:nickel"; the order gives the class index.

        Raises:
          InputError: an entry is not VALUE:NAME, a value stands twice, the names are fewer than
            2 or more than 255, or the ignored value is none.
        """
        entries = [entry.strip().partition(":") for entry in text.split(",")]
        values = [value.strip().lower() for value, _, _ in entries]
        for value, _, name in entries:
            if not name.strip() or value_of(value.strip().lower()) is None:
                raise InputError(
                    f"config.data.classes={text!r}: {value!r} must be VALUE:NAME with a whole "
                    "number from 0 or #rrggbb, as in 0:pore,128:ceramic,255:metal"
                )
        names = tuple(name.strip() for _, _, name in entries)
        if not 2 <= len(set(names)) <= IGNORED:
            raise InputError(
                f"config.data.classes={text!r}: names {len(set(names))} classes; a segmentation "
                f"needs 2 to {IGNORED}"
            )
        return cls(tuple(values), names, _checked_ignore(ignore))._checked()

    def with_values(self, classes: str | None, ignore: str | None) -> "LabelMap":
        """The same classes for labels that have other values.

        Args:
          classes: as `parse` takes it, with the names of these classes in any order; None keeps
            the values.
          ignore: values to leave out instead of those here; None keeps them.

        Raises:
          InputError: as `parse`, and for other names.
        """
        ignore = self.ignore if ignore is None else _checked_ignore(ignore)
        if classes is None:
            return replace(self, ignore=ignore)._checked()
        other = LabelMap.parse(classes, ignore)
        if set(other.names) != set(self.names):
            raise InputError(
                f"config.data.classes={classes!r}: must name the classes that the run was trained "
                f"on: {', '.join(self.names)}"
            )
        order = sorted(range(len(other.values)), key=lambda n: self.names.index(other.classes[n]))
        values, names = ([column[n] for n in order] for column in (other.values, other.classes))
        return LabelMap(tuple(values), tuple(names), ignore)

    def _checked(self) -> "LabelMap":
        numbers, _ = self._table
        if len(np.unique(numbers)) < len(numbers):
            entries = zip(self.values, self.classes, strict=True)
            text = ",".join(f"{value}:{name}" for value, name in entries)
            raise InputError(
                f"config.data.classes={text!r}, config.data.ignore={self.ignore!r}: a value "
                "stands twice or is ignored"
            )
        return self

    @classmethod
    def guess(cls, found: Iterable[int], ignore: str = "") -> "LabelMap":
        """Maps the label values found in all files to classes by sorted order."""
        found, ignore = np.array(sorted(found), np.int64), _checked_ignore(ignore)
        colour = not _is_grey(found).all()
        found = set(unify(found, colour).tolist())
        ignored = set(unify(values_of(ignore), colour).tolist())
        values = tuple(text_of(value) for value in sorted(found - ignored))
        if len(values) < 2:
            raise InputError(
                f"labels hold only the value {', '.join(values) or ignore}; a segmentation needs "
                "two classes"
            )
        if len(values) > IGNORED:
            raise InputError(
                f"labels hold {len(values)} distinct values; name the classes with "
                "--config.data.classes"
            )
        return cls(values, values, ignore)

    @staticmethod
    def ignored_values(ignore: str) -> tuple[int, ...]:
        """The values in "254,255" or "#000000", as `value_of`.

        Raises:
          InputError: the text is none.
        """
        return tuple(values_of(_checked_ignore(ignore)))

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "LabelMap":
        """Reads what `to_json` wrote."""
        shown = tuple(fields.get("shown", ()))
        return cls(tuple(fields["values"]), tuple(fields["classes"]), fields["ignore"], shown)

    def to_json(self) -> dict[str, Any]:
        """Fields as plain JSON, without colours where labels had no palette."""
        fields = asdict(self)
        return fields if self.shown else {key: fields[key] for key in fields if key != "shown"}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names by class index."""
        return tuple(dict.fromkeys(self.classes))

    @cached_property
    def _colour(self) -> bool:
        return any("#" in value for value in (*self.values, self.ignore))

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        ignored = values_of(self.ignore)
        classes = [self.names.index(name) for name in self.classes] + [IGNORED] * len(ignored)
        numbers = unify([*(value_of(value) for value in self.values), *ignored], self._colour)
        order = np.argsort(numbers)
        return numbers[order], np.array(classes, np.uint8)[order]

    def encode(self, values_HW: np.ndarray, path: Path) -> np.ndarray:
        """Class index (H, W) uint8 of every label value (H, W) int64; 255 where ignored.

        Raises:
          InputError: a value is in no class; names the file and the classes.
        """
        numbers, classes = self._table
        values_HW = unify(values_HW, self._colour)
        index_HW = np.searchsorted(numbers, values_HW).clip(max=len(numbers) - 1)
        unknown = numbers[index_HW] != values_HW
        if unknown.any():
            check_is_label(values_HW, path)
            found = zip(*np.unique(values_HW[unknown], return_counts=True), strict=True)
            self.refuse_unmapped([(path, {int(value): int(n) for value, n in found})])
        return classes[index_HW]

    def lacks(self, values: Iterable[int]) -> bool:
        """Whether one of some label values is in no class."""
        numbers, _ = self._table
        return not np.isin(unify(list(values), self._colour), numbers).all()

    def refuse_unmapped(
        self, pixels: Iterable[tuple[Path, Mapping[int, int]]], *, fixed: bool = False
    ) -> None:
        """Refuses all values that are in no class, at once, with flags that can be pasted.

        Args:
          pixels: how many of them each value of a label file has, file by file.
          fixed: the classes are those of a trained run, and none can be added.

        Raises:
          InputError: there is such a value; names each, its pixels and files.
        """
        unmapped: dict[int, tuple[int, list[Path]]] = {}
        for path, counts in pixels:
            for value, count in counts.items():
                if self.lacks([value]):
                    (number,) = unify([value], self._colour).tolist()
                    total, files = unmapped.get(number, (0, []))
                    unmapped[number] = total + count, [*files, path]
        if not unmapped:
            return
        rows = [(text_of(value), *unmapped[value]) for value in sorted(unmapped)]
        entries = [f"{value}:{name}" for value, name in zip(self.values, self.classes, strict=True)]
        named = [f"{value}:{'CLASS' if fixed else value}" for value, *_ in rows]
        classes = f"--config.data.classes={','.join([*entries, *named])}"
        ignored = [*filter(None, [self.ignore]), *(value for value, *_ in rows)]
        left_out = shlex.quote(f"--config.data.ignore={','.join(ignored)}")
        of = f", with one of {', '.join(self.names)} for CLASS" if fixed else ""
        raise InputError(
            f"{_where(rows)} in no class; classes are {', '.join(self.values)}. Name "
            f"{'them' if rows[1:] else 'it'} with {one_line(shlex.quote(classes))}{of}, or leave "
            f"{'them' if rows[1:] else 'it'} out of loss and scores with {left_out}"
        )

    def decode(self, class_HW: np.ndarray) -> np.ndarray:
        """The user's own label values: (H, W) uint8 or uint16, or (H, W, 3) uint8 colours."""
        first = [self.values[self.classes.index(name)] for name in self.names]
        numbers = unify([value_of(value) for value in first], self._colour)
        if self._colour:
            colours = np.stack([numbers >> 16 & 255, numbers >> 8 & 255, numbers & 255], axis=-1)
            return colours.astype(np.uint8)[class_HW]
        return numbers.astype(np.min_scalar_type(int(numbers.max())))[class_HW]

    @cached_property
    def legend(self) -> Legend:
        """Values, names and colours of the classes in a volume; values of colours are 0, 1, 2."""
        first = [self.values[self.classes.index(name)] for name in self.names]
        if self._colour:
            numbers = unify([value_of(value) for value in first], colour=True).tolist()
            colours = tuple(f"#{number & 0xFFFFFF:06x}" for number in numbers)
            return Legend(tuple(range(len(first))), self.names, colours)
        numbers = unify([value_of(value) for value in first], colour=False).tolist()
        return Legend.of(numbers, self.names)

    @cached_property
    def image_legend(self) -> Legend:
        """As `legend`, in the colours that indices had in the labels' own palette, if they had one.

        So a label image that is written fits beside those that were trained on.
        """
        own = dict(zip(self.values, self.shown, strict=False))
        first = [self.values[self.classes.index(name)] for name in self.names]
        legend = self.legend
        colours = [own.get(one) or usual for one, usual in zip(first, legend.colours, strict=True)]
        return replace(legend, colours=tuple(colours))

    def written(self) -> list[dict[str, Any]]:
        """A row a class, for JSON: the value that `decode` writes, its name and its colour."""
        rows = self.image_legend.classes()
        return [row | {"value": row["colour"]} for row in rows] if self._colour else rows

    def __str__(self) -> str:
        parts = [
            f"{value} -> {self.names.index(name)} ({name})"
            for value, name in zip(self.values, self.classes, strict=True)
        ]
        return ", ".join([*parts, f"{self.ignore} -> ignored"] if self.ignore else parts)


def _where(rows: Sequence[tuple[str, int, Sequence[Path]]]) -> str:
    """Values with their pixels and files: "a.png: value 64 (12 pixels) is"."""
    first = rows[0][2][0]
    if all(files == [first] for *_, files in rows):
        said = [f"{value} ({count:,} pixel{'s' * (count != 1)})" for value, count, _ in rows]
        many = len(rows) > 1
        return f"{first}: value{'s' * many} {', '.join(said)} {'are' if many else 'is'}"
    said = [
        f"{value} ({count:,} pixel{'s' * (count != 1)} in "
        + (f"{files[0]})" if len(files) == 1 else f"{len(files)} files, {files[0]} for one)")
        for value, count, files in rows
    ]
    return f"labels: value{'s' * (len(rows) > 1)} {', '.join(said)} {'are' if rows[1:] else 'is'}"


def check_is_label(values_HW: np.ndarray, path: Path) -> set[int]:
    """The distinct values of a label.

    Raises:
      InputError: so many that this must be a grayscale image.
    """
    found = {int(value) for value in np.unique(values_HW)}
    if len(found) > MOST_GUESSED_VALUES:
        raise InputError(
            f"{path}: has {len(found)} distinct values and looks like a grayscale image, not a "
            "label; check which folder holds the labels, or name the classes with "
            "--config.data.classes"
        )
    return found


def _checked_ignore(text: str) -> str:
    """The ignored values in lower case, or ""."""
    text = text.strip().lower()
    if None in values_of(text):
        raise InputError(
            f"config.data.ignore={text!r}: must be whole numbers from 0 or #rrggbb, as in 255 or "
            "254,255"
        )
    return text


def _is_grey(value: Any) -> Any:
    """True for plain values and for colours with red = green = blue."""
    low = value & 0xFF
    return (value < COLOUR) | (value == (COLOUR | low << 16 | low << 8 | low))


def unify(values: Any, colour: bool) -> np.ndarray:
    """Plain values as grey colours, or grey colours as plain values.

    Programs that write a colour mask without colours as a grayscale file make folders of both.
    """
    values = np.asarray(values, np.int64)
    if colour:
        return np.where(values < 256, COLOUR | values * 0x010101, values)
    return np.where(_is_grey(values) & (values >= COLOUR), values & 0xFF, values)


def value_of(text: str) -> int | None:
    """128 from "128", COLOUR | 0xff0000 from "#ff0000", None from anything else."""
    if re.fullmatch("#[0-9a-f]{6}", text):
        return COLOUR | int(text[1:], 16)
    return int(text) if re.fullmatch("[0-9]+", text) else None


def text_of(value: int, colour: bool = False) -> str:
    """A label value as users write it; a plain one as a gray colour where `colour` is asked for."""
    if colour and value < COLOUR:
        value *= 0x010101
    return f"#{value & 0xFFFFFF:06x}" if colour or value >= COLOUR else str(value)


def values_of(text: str) -> list[Any]:
    """What `value_of` gives for each of "254,255"; nothing for ""."""
    return [value_of(value.strip()) for value in text.split(",")] if text else []


def plain(values: Iterable[int]) -> list[int]:
    """Label values with gray colours as plain values."""
    return unify(list(values), colour=False).tolist()
