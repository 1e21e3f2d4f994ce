"""From what was measured of scans and labels to a config, every choice with its reason."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xseg_jax.data.fingerprint import Fingerprint, Look
from xseg_jax.data.label_facts import LabelFacts
from xseg_jax.data.resemblance import forgotten_after
from xseg_jax.data.splits import PARTS, choose_evenly
from xseg_jax.data.symmetry import MOVES, harmless
from xseg_jax.files import one_line
from xseg_jax.modes.run import Config

RARE = 0.05
"""Share of the labelled pixels below which a class is rare."""
CROP, LARGE_CROP = 128, 256
MOST_LEVELS = {True: 5, False: 6}
"""Of scans, whose structure repeats in every crop, and of independent images."""
HEIGHT_PER_GAP = 8
"""The gap takes at most this part of the labelled height: two gaps leave three quarters of it."""
TO_LABEL, IMAGES_TO_LABEL = 5, 20
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
    given: Mapping[str, Any],
) -> list[Choice]:
    """The fields of the config that differ from `configs/scan.py`.

    Args:
      base: configs/scan.py.
      prints: of the scans.
      labels: what was measured of them; None without labels.
      images: path of the scans.
      labels_path: path of the labels; "" without.
      classes: as `LabelMap.parse` takes it; "" without labels.
      independent: images are no slices of a scan.
      given: fields that the command line gave; they stay as given.
    """
    choices = [Choice("data.images", images, "The scan, as it lies on the disk.")]
    if labels is None:
        why = "Nothing is labelled yet: put the path of your labels here before you train."
        choices.append(Choice("data.labels", "", why))
    else:
        shares = ", ".join(
            f"{name} {share:.1%}" for name, share in zip(labels.names, labels.shares, strict=True)
        )
        choices.append(Choice("data.labels", labels_path, f"{len(labels.planes)} labelled planes."))
        why = f"Shares of the labelled pixels: {shares}. The names behind the colons are yours."
        choices.append(Choice("data.classes", classes, why))
    choices += _split(prints, labels, independent)
    choices += _network(base, prints, labels, independent)
    choices += _rare(labels)
    choices += _symmetries(labels, independent)
    chosen = [choice for choice in choices if choice.field not in given]
    return chosen + [Choice(field, given[field], "As the command line says.") for field in given]


def _split(
    prints: Sequence[Fingerprint], labels: LabelFacts | None, independent: bool
) -> list[Choice]:
    if independent:
        return [
            Choice("data.split.kind", "group", "The images are no slices of one scan: neighbours "
                   "resemble each other no more than others do, or no number tells their order. "
                   "For images of one patient set data.split.group_pattern."),
            Choice("data.split.fractions", (0.7, 0.1, 0.2), "Most images teach; one tenth chooses "
                   "the checkpoint, one fifth tests."),
            Choice("data.normalize", "image", "Each image has an exposure of its own."),
        ]  # fmt: skip
    kind = Choice("data.split.kind", "auto", "The strictest split that the labels allow: whole "
                  "scans, blocks of z, or tiles within the labelled planes.")  # fmt: skip
    drift = max((abs(one.drift[0]) for one in prints if one.drift), default=0.0)
    why = "Each scan has its own grey scale, whatever its gain and pixel type"
    scale = Choice("data.normalize", "scan", f"{why}; it drifts by {drift:.2f} deviations.")
    gap, why = suggested_gap(labels, prints)
    return [kind, *([Choice("data.split.gap", gap, why)] if gap else []), scale]


def suggested_gap(
    labels: LabelFacts | None, prints: Sequence[Fingerprint]
) -> tuple[int | None, str]:
    """Voxels between blocks, and the reason; None where nothing tells, and the default stays."""
    if labels is None:
        apart = [forgotten_after(one.decay, 0.0) for one in prints]
        known = [one for one in apart if one]
        found = max(known, default=None)
        why = f"Grey values of planes {found} apart have little in common; labels will tell more."
        heights = [one.shape[0] - 1 for one in prints]
    else:
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


def _network(
    base: Config, prints: Sequence[Fingerprint], labels: LabelFacts | None, independent: bool
) -> list[Choice]:
    """Levels, crop and batch."""
    side = min(min(one.shape[1:]) for one in prints) if labels is None else min(labels.shape)
    seen = labels.within_forgotten if labels else None
    levels = 4
    if labels is not None:
        wanted = 2 * (seen or side)
        while levels < MOST_LEVELS[not independent] and receptive_field(levels) < wanted:
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
    first = 16 if levels <= 5 else 8
    fit = f"Labelled planes have at least {side} pixels a side" if labels else (
        f"Planes have at least {side} pixels a side")  # fmt: skip
    return [
        Choice("model.features", tuple(first * 2**level for level in range(levels)), known),
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
    why = [f"moved ({swap.move}), {' and '.join(swap.classes)} change places" for swap in swaps]
    without = [swap.move for swap in swaps]
    if independent:
        why.append("images of their own that are taken alike have an upside")
        without += MOVES[1:]
    if not why:
        return []
    flip, rotate90 = harmless(without)
    reason = _sentence("; ".join(why))
    return [
        Choice("augment.flip", flip, reason), Choice("augment.rotate90", rotate90, reason)
    ]  # fmt: skip


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def text_of(choices: Sequence[Choice], notes: Sequence[str]) -> str:
    """The config as a Python file.

    Args:
      choices: fields.
      notes: what stands in front of them, a line each.
    """
    lines = [f'"""{FIRST_LINE}"""', ""]
    for note in notes:
        lines += textwrap.wrap(
            one_line(note), 98, initial_indent="# ", subsequent_indent="#   ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    lines += ["", "from typing import Any", "", "from configs import scan", "", ""]
    lines += ["def get_config() -> Any:", "    config = scan.get_config()"]
    for choice in choices:
        lines += [
            f"    # {line}"
            for line in textwrap.wrap(
                one_line(choice.why), 92, break_long_words=False, break_on_hyphens=False
            )
        ]
        lines.append(f"    config.{choice.field} = {choice.value!r}")
    return "\n".join([*lines, "    return config", ""])


def what_to_label(found: Fingerprint, *, independent: bool) -> tuple[list[str], str]:
    """Names of the planes to label first, and the reason.

    Planes under suspicion are left out. Five planes spread over the height are three that teach,
    one that chooses the checkpoint and one that tests; fewer where planes so near to each other
    have grey values in common.
    """
    suspect = {one.plane for one in found.suspicions if one.plane}
    good = [look for look in found.looks if look.name not in suspect] or list(found.looks)
    count = found.shape[0]
    if independent:
        chosen = _spread(good, IMAGES_TO_LABEL)
        why = (
            f"{len(chosen)} of {count} images, evenly from the list; three at least, as training, "
            "validation and test need one each, and more where images differ"
        )
    else:
        numbers = [look.index if look.number is None else look.number for look in found.looks]
        height = max(numbers) - min(numbers) + 1
        apart = forgotten_after(found.decay, 0.0) or 1
        chosen = _spread(good, min(TO_LABEL, max(1, height // apart)))
        why = f"{len(chosen)} of {count} planes, "
        if len(chosen) >= len(PARTS):
            why += (
                f"about {height / len(chosen):.0f} apart: most teach, one chooses the checkpoint, "
                "one tests, and none is a near-copy of another"
            )
        else:
            why += (
                f"for planes less than {apart} apart are alike, and the height is {height}: blocks "
                "within the planes will train and test"
            )
    if suspect:
        why += f"; {len(suspect)} under suspicion are left out"
    return [look.name for look in chosen], why


def _spread(looks: Sequence[Look], count: int) -> list[Look]:
    """So many, evenly spread, or all."""
    return [looks[place] for place in choose_evenly(range(len(looks)), min(count, len(looks)))]
