"""A fingerprint in words: what `fingerprint.json` holds, for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

from xseg_jax.files import counted

MOST_LINES = 12
"""Suspicions that are printed of one scan; the file has all."""
LEAST_FRAME = 0.01
"""Share of labelled pixels that have one class in all planes, from which on that is said."""


def words(found: Mapping[str, Any]) -> str:
    """Text of several lines.

    Args:
      found: the contents of `fingerprint.json`.
    """
    noun = "image" if found["independent_images"] else "plane"
    lines = [line for scan in found["scans"] for line in _of_scan(scan, noun)]
    if found["labels"]:
        lines += _of_labels(found["labels"], noun)
    if found["split"]:
        lines.append(f"split: {found['split']}")
    if found["to_label"]:
        lines += lines_to_label(found["to_label"])
    lines.append(f"contact sheet: {found['sheet']}")
    lines.append(_cost(found["estimate"], noun))
    return "\n".join(lines)


def lines_to_label(chosen: Mapping[str, Any]) -> list[str]:
    """What to label for a first answer, and for a test, a line each.

    Args:
      chosen: as `fingerprint.json` has it, under "to_label".
    """
    lines, first = [], ", ".join(chosen["first"])
    if first:
        lines.append(f"to label for a first answer: {first} ({chosen['first_why']})")
    if chosen["tested"]:
        names = ", ".join(chosen["tested"])
        too = "" if first else ", beside what is labelled"
        lines.append(f"to label for a tested run{too}: {names} ({chosen['tested_why']})")
    else:
        lines.append(f"no test on planes of their own: {chosen['tested_why']}")
    return lines


def _cost(cost: Mapping[str, Any], noun: str) -> str:
    training = _minutes(cost["training_minutes"])
    if cost["load"]:
        free = _minutes(cost["free_minutes"])
        training += (
            f" as busy as it is now (load {cost['load']:.1f}), about {free} where it is free,"
        )
    return (
        f"estimates for {cost['device']}: training {training} and {cost['training_gib']:.1f} GiB "
        f"of memory; segmenting all {noun}s {_minutes(cost['prediction_minutes'])} and "
        f"{cost['prediction_gib']:.1f} GiB"
    )


def _of_scan(scan: Mapping[str, Any], noun: str) -> list[str]:
    shape = " x ".join(map(str, scan["shape"]))
    sizes = f", {scan['sizes']} sizes, the largest" if scan["sizes"] > 1 else ""
    what = {"image": "independent images (number, rows, columns)", "plane": "voxels (z, y, x)"}[
        noun
    ]
    first = f"{scan['name']}: {shape} {what}{sizes}, {scan['type']}"
    if scan["voxel_size"]:
        size = " x ".join("?" if one is None else f"{one:.4g}" for one in scan["voxel_size"])
        first += f", voxel size {size} {scan['unit'] or '(unit not said)'}"
    else:
        first += ", voxel size not said"
    looks = scan["percentiles"]
    numbers = [one["z"] for one in looks if one["z"] is not None]
    if numbers and max(numbers) - min(numbers) >= scan["shape"][0]:
        first += f", z = {min(numbers)} to {max(numbers)}"
    middles = [one["p50"] for one in looks]
    lines = [
        first,
        f"  looked at {scan['planes_looked_at']} of {counted(scan['shape'][0], noun)}: grey values "
        f"{min(one['p1'] for one in looks):.6g} to {max(one['p99'] for one in looks):.6g} "
        f"(percentiles 1 and 99), medians {min(middles):.6g} to {max(middles):.6g}, mean "
        f"{scan['mean']:.6g}, deviation {scan['std']:.4g}",
        f"  air around the sample: {scan['air_fraction']:.1%}; at the least grey value "
        f"{scan['saturated']['low']:.2%} of the pixels, at the greatest "
        f"{scan['saturated']['high']:.2%}",
    ]
    if scan["drifts"]:
        change, low, high = scan["drift_in_std"]
        lines.append(
            f"  drift of the mean from end to end: {change:+.2f} deviations ({low:+.2f} to "
            f"{high:+.2f})"
        )
    if scan["correlation_by_distance"]:
        lines.append(
            "  planes correlate within the sample, by distance: "
            f"{_some(scan['correlation_by_distance'])}"
        )
    if scan["rings"]:
        lines.append(
            f"  rings around the middle: halves of the circle correlate by "
            f"{scan['rings']['correlation']:.2f}, amplitude {scan['rings']['amplitude']:.3f}"
        )
    said = scan["suspicions"]
    lines += [f"  suspicion: {one['text']}" for one in said[:MOST_LINES]]
    if len(said) > MOST_LINES:
        more = counted(len(said) - MOST_LINES, "more suspicion")
        lines.append(f"  and {more} in fingerprint.json")
    return lines if said else [*lines, "  no suspicion"]


def _of_labels(labels: Mapping[str, Any], noun: str) -> list[str]:
    shares = ", ".join(f"{name} {share:.2%}" for name, share in labels["classes"].items())
    many = len(labels["labelled_planes"])
    lines = [
        f"labels: {counted(many, noun)}, {labels['labelled_share']:.1%} of "
        f"{'its' if many == 1 else 'their'} pixels labelled: {shares}"
    ]
    for what, table in (
        ("planes", labels["agreement_by_planes"]), ("pixels", labels["agreement_by_pixels"]),
    ):  # fmt: skip
        if table:
            lines.append(f"  labels agree, by distance in {what}: {_some(table)}")
    framed = f", without the {labels['frame']:.0%} that have one class in all" * (
        labels["frame"] >= LEAST_FRAME
    )
    lines.append(f"  by chance: {labels['chance']:.2f}{framed}")
    return lines


def _some(table: Mapping[Any, float], most: int = 8) -> str:
    keys: Sequence[Any] = list(table)
    places = sorted({round(place * (len(keys) - 1) / (most - 1)) for place in range(most)})
    return ", ".join(f"{keys[place]}: {table[keys[place]]:.2f}" for place in places)


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return counted(max(1, round(60 * minutes)), "second")
    return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"
