"""From what was measured of scans and labels to a config, every choice with its reason."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xseg_jax.data.fingerprint import Fingerprint
from xseg_jax.data.label_facts import LabelFacts
from xseg_jax.data.resemblance import forgotten_after
from xseg_jax.data.symmetry import MOVES, harmless
from xseg_jax.files import counted, one_line
from xseg_jax.modes.run import Config
from xseg_jax.modes.to_label import ToLabel

MOVED = {
    "horizontal": "mirrored left to right", "vertical": "mirrored top to bottom",
    "half turn": "turned by half", "quarter turn": "turned by a quarter",
}  # fmt: skip
RARE = 0.05
"""Share of the labelled pixels below which a class is rare."""
CROP, LARGE_CROP = 128, 256
MOST_LEVELS = 5
"""Of scans, whose structure repeats in every crop."""
FINE = 32
"""Pixels that labels of independent images are alike over, below which each pixel is looked at."""
HEIGHT_PER_GAP = 8
"""The gap takes at most this part of the labelled height: two gaps leave three quarters of it."""
FIRST_LINE = "Written by --mode=inspect: what it found and what it chose; yours to change."


@dataclass(frozen=True)
class Choice:
    """A field of the config.

    Attributes:
      field: dotted name.
      value: of the field.
      why: the reason, for a person.
    """

    field: str
    value: Any
    why: str


def receptive_field(levels: int) -> int:
    """Height of what one pixel of the network's output sees, in pixels.

    Two 3x3 convolutions on each level of the way down and up, and 2x2 pooling between.
    """
    down = sum(4 * 2**level for level in range(levels))
    up = sum(4 * 2**level for level in range(levels - 1))
    return 1 + down + up + sum(2**level for level in range(levels - 1))


def choose(
    base: Config,
    prints: Sequence[Fingerprint],
    labels: LabelFacts | None,
    *,
    images: str,
    labels_path: str,
    classes: str,
    independent: bool,
    to_label: ToLabel | None,
    given: Mapping[str, Any],
    alone: bool = False,
) -> list[Choice]:
    """The fields of the config that differ from the one that it is made of.

    Args:
      base: configs/scan.py, or configs/radiograph.py for independent images.
      prints: of the scans.
      labels: what was measured of them; None without labels.
      images: path of the scans.
      labels_path: path of the labels; "" without.
      classes: as `LabelMap.parse` takes it; "" without labels.
      independent: images are no slices of a scan.
      to_label: what is to be labelled; None with labels.
      given: fields that the command line gave; they stay as given.
      alone: planes lack the neighbours that the config wants to see.
    """
    where = "The images, as they lie" if independent else "The scan, as it lies"
    noun = "image" if independent else "plane"
    choices = [Choice("data.images", images, f"{where} on the disk.")]
    if labels is None:
        why = "Nothing is labelled yet: put the path of your labels here before you train."
        choices.append(Choice("data.labels", "", why))
        if independent:
            why = 'Label values are classes by their order, until you name them as "0:rest,1:lung".'
            choices.append(Choice("data.classes", "", why))
    else:
        shares = ", ".join(
            f"{name} {share:.1%}" for name, share in zip(labels.names, labels.shares, strict=True)
        )
        many = counted(len(labels.planes), f"labelled {noun}")
        choices.append(Choice("data.labels", labels_path, f"{many}."))
        why = f"Shares of the labelled pixels: {shares}. The names behind the colons are yours."
        choices.append(Choice("data.classes", classes, why))
    if independent:
        choices += _split_of_images(prints, labels)
        choices += _network_of_images(base, prints, labels)
    else:
        choices += _split(prints, labels, to_label)
        choices += _network(base, prints, labels)
        if alone:
            why = "Planes lack neighbours among the images, and each is seen alone."
            choices.append(Choice("data.context", 0, why))
    choices += _rare(labels)
    choices += _symmetries(labels, independent)
    chosen = [choice for choice in choices if choice.field not in given]
    return chosen + [Choice(field, given[field], "As the command line says.") for field in given]


def _split_of_images(prints: Sequence[Fingerprint], labels: LabelFacts | None) -> list[Choice]:
    many = sum(one.shape[0] for one in prints)
    known = len(labels.planes) if labels else 0
    rest = f"{many - known} of {counted(many, 'image')}" if labels else "Images"
    left = [Choice("data.skip_unlabelled", True, f"{rest} without a label: left out.")]
    return [
        *(left if known < many else []),
        Choice("data.split.kind", "group", "The images are no slices of one scan: neighbours "
               "resemble each other no more than others do, or no number tells their order. "
               "For images of one patient set data.split.group_pattern."),
        Choice("data.split.fractions", (0.7, 0.1, 0.2), "Most images teach; one tenth chooses "
               "the checkpoint, one fifth tests."),
        Choice("data.normalize", "image", "Each image has an exposure of its own."),
    ]  # fmt: skip


def _split(
    prints: Sequence[Fingerprint],
    labels: LabelFacts | None,
    to_label: ToLabel | None,
) -> list[Choice]:
    kind = Choice("data.split.kind", "auto", "The strictest split that the labels allow: whole "
                  "scans, blocks of z, or tiles within the labelled planes.")  # fmt: skip
    drift = max((abs(one.drift[0]) for one in prints if one.drift and one.drifts), default=0.0)
    why = "Each scan has its own grey scale, whatever its gain and pixel type"
    why += f"; it drifts by {drift:.2f} deviations." if drift else "."
    scale = Choice("data.normalize", "scan", why)
    if labels is None:
        gap, why = _gap_to_label(prints, to_label)
    else:
        gap, why = suggested_gap(labels)
    return [kind, *([Choice("data.split.gap", gap, why)] if gap else []), scale]


def _gap_to_label(
    prints: Sequence[Fingerprint], to_label: ToLabel | None
) -> tuple[int | None, str]:
    """Voxels between blocks before anything is labelled, and the reason; None for the default."""
    apart = [forgotten_after(one.decay, 0.0) for one in prints]
    found = max((one for one in apart if one), default=None)
    gap = to_label.gap if to_label and to_label.gap else found
    if gap is not None and gap == found:
        return gap, (
            f"Planes {gap} apart have little in common within the sample; labels will tell more."
        )
    return gap, "At most as far as the planes to label are apart; labels will tell more."


def suggested_gap(labels: LabelFacts) -> tuple[int | None, str]:
    """Voxels between blocks, and the reason; None where nothing tells, and the default stays."""
    found, why = _gap_of(labels)
    heights = [
        max(numbers) - min(numbers)
        for mine in labels.places.values()
        if len(numbers := [one for one in mine if one is not None]) > 2
    ]
    if found is None:
        return None, ""
    most = max(1, min(heights) // HEIGHT_PER_GAP) if heights else found
    if found > most:
        return most, f"{why} It can take an eighth of the height at most."
    return found, why


def _gap_of(labels: LabelFacts) -> tuple[int | None, str]:
    if (planes := labels.across_forgotten) is not None:
        return planes, (
            f"Labels {planes} planes apart agree by {labels.across[planes]:.2f}, hardly more than "
            "any two do."
        )
    if (pixels := labels.within_forgotten) is not None:
        return pixels, (
            f"Within labelled planes, labels {pixels} pixels apart agree by "
            f"{labels.within[pixels]:.2f}, hardly more than any two do ({labels.chance:.2f}); "
            "planes are taken to be as far apart as pixels."
        )
    return None, ""


def _side(prints: Sequence[Fingerprint], labels: LabelFacts | None, noun: str) -> tuple[int, str]:
    """Pixels of the shorter side of the smallest plane that is known, and the same in words."""
    if labels is None:
        side = min(min(one.shape[1:]) for one in prints)
        return side, f"{noun.capitalize()}s have at least {side} pixels a side"
    side = min(labels.shape)
    return side, f"Labelled {noun}s have at least {side} pixels a side"


def _network_of_images(
    base: Config, prints: Sequence[Fingerprint], labels: LabelFacts | None
) -> list[Choice]:
    """The network of configs/radiograph.py, smaller for small images, finer for fine structures."""
    side, fit = _side(prints, labels, "image")
    patch, seen = base.model.patch, labels.within_forgotten if labels else None
    why = "What is to be found in radiographs is large: half the resolution, twice as far seen."
    if seen and seen < FINE:
        patch, why = 1, f"Labels are alike over {seen} pixels alone: the whole resolution."
    elif seen:
        why = f"Labels are alike over {seen} pixels: half the resolution, twice as far seen."
    features = tuple(base.model.features)
    while len(features) > 2 and side < 4 * patch * 2 ** (len(features) - 1):
        features = features[:-1]
    multiple = patch * 2 ** (len(features) - 1)
    crop = min(base.data.crop, side // multiple * multiple or side)
    # A network at the whole resolution takes four times as long for a pixel.
    finer = base.model.patch // patch
    sees = patch * receptive_field(len(features))
    return [
        Choice("model.features", features, "As in configs/radiograph.py, where images are large "
               f"enough: {len(features)} levels see {sees} pixels around each."),
        Choice("model.patch", patch, why),
        Choice("data.crop", crop, f"{fit}; a crop holds what the network sees, where it can."),
        Choice("batch_size", max(2, base.batch_size // finer), f"Crops of {crop} x {crop} pixels "
               "that a step takes at once."),
        Choice("data.crops_per_epoch", base.data.crops_per_epoch // finer**2, "An epoch costs "
               "as much as in configs/radiograph.py."),
    ]  # fmt: skip


def _network(
    base: Config, prints: Sequence[Fingerprint], labels: LabelFacts | None
) -> list[Choice]:
    """Levels, crop and batch."""
    side, fit = _side(prints, labels, "plane")
    seen = labels.within_forgotten if labels else None
    levels = 4
    if labels is not None:
        wanted = 2 * (seen or side)
        while levels < MOST_LEVELS and receptive_field(levels) < wanted:
            levels += 1
    while levels > 2 and side < 4 * 2 ** (levels - 1):
        levels -= 1
    if labels is None:
        known = "Without labels the size of the structure is not known: the default."
    elif seen:
        known = f"Labels are alike over {seen} pixels"
        known += f"; {levels} levels see {receptive_field(levels)} pixels around each."
    else:
        known = f"Labels are alike over whole planes; {levels} levels see "
        known += f"{receptive_field(levels)} pixels around each."
    multiple = 2 ** (levels - 1)
    crop = min(CROP if levels <= 4 else LARGE_CROP, side // multiple * multiple or side)
    batch = max(2, round(base.batch_size * CROP / max(crop, CROP)))
    crops = round(base.data.crops_per_epoch * CROP**2 / max(crop, CROP) ** 2)
    return [
        Choice("model.features", tuple(16 * 2**level for level in range(levels)), known),
        Choice("data.crop", crop, f"{fit}; a crop holds what the network sees, where it can."),
        Choice("batch_size", batch, f"Crops of {crop} x {crop} pixels that a step takes at once."),
        Choice("data.crops_per_epoch", crops, "As many pixels an epoch as configs/scan.py has."),
    ]


def _rare(labels: LabelFacts | None) -> list[Choice]:
    rare = [
        f"{name} ({share:.2%})"
        for name, share in zip(labels.names, labels.shares, strict=True)
        if share < RARE
    ] if labels else []  # fmt: skip
    if not rare:
        return []
    why = f"Rare: {', '.join(rare)} of the labelled pixels."
    return [
        Choice("data.rare_fraction", 0.5, f"{why} Half of the crops hold a class drawn uniformly."),
        Choice("loss.name", "cross_entropy_dice", f"{why} Dice weighs classes alike."),
    ]


def _symmetries(labels: LabelFacts | None, independent: bool) -> list[Choice]:
    """Mirrors and turns that leave the classes what they are."""
    swaps = labels.swaps if labels else ()
    why = [f"{MOVED[swap.move]}, {' and '.join(swap.classes)} change places" for swap in swaps]
    without = [swap.move for swap in swaps]
    if independent:
        why.append("images of their own that are taken alike have an upside")
        without += MOVES[1:]
        if labels is None:
            why.append("labels will tell what changes places in the mirror, as left and right")
            without = [*MOVES]
    if not why:
        return []
    flip, rotate90 = harmless(without)
    reason = _sentence("; ".join(why))
    return [
        Choice("augment.flip", flip, reason), Choice("augment.rotate90", rotate90, reason)
    ]  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def text_of(choices: Sequence[Choice], notes: Sequence[str], base: str) -> str:
    """The config as a Python file.

    Args:
      choices: fields.
      notes: what stands in front of them, a line each.
      base: config that holds all other fields, as "scan".
    """
    lines = [f'"""{FIRST_LINE}"""', ""]
    for note in notes:
        lines += textwrap.wrap(
            one_line(note), 98, initial_indent="# ", subsequent_indent="#   ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    lines += ["", "from typing import Any", "", f"from configs import {base}", "", ""]
    lines += ["def get_config() -> Any:", f"    config = {base}.get_config()"]
    for choice in choices:
        lines += [
            f"    # {line}"
            for line in textwrap.wrap(
                one_line(choice.why), 92, break_long_words=False, break_on_hyphens=False
            )
        ]
        lines.append(f"    config.{choice.field} = {choice.value!r}")
    return "\n".join([*lines, "    return config", ""])
