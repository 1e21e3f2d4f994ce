"""A fingerprint in words: what `fingerprint.json` holds, for a person."""

from collections.abc import Mapping, Sequence
from typing import Any

MOST_LINES = 12
"""Suspicions that are printed of one scan; the file has all."""


def words(found: Mapping[str, Any]) -> str:
    """Text of several lines.

    Args:
      found: the contents of `fingerprint.json`.
    """
    images = found["independent_images"]
    lines = [line for scan in found["scans"] for line in _of_scan(scan, images)]
    if found["labels"]:
        lines += _of_labels(found["labels"])
    if found["split"]:
        lines.append(f"split: {found['split']}")
    if found["to_label"]:
        chosen = found["to_label"]
        lines.append(f"to label: {', '.join(chosen['planes'])} ({chosen['why']})")
    cost = found["estimate"]
    lines.append(
        f"estimates for {cost['device']}: training {_minutes(cost['training_minutes'])} and "
        f"{cost['training_gib']:.1f} GiB of memory; segmenting all planes "
        f"{_minutes(cost['prediction_minutes'])} and {cost['prediction_gib']:.1f} GiB"
    )
    return "\n".join(lines)


def _of_scan(scan: Mapping[str, Any], images: bool) -> list[str]:
    shape = " x ".join(map(str, scan["shape"]))
    sizes = f", {scan['sizes']} sizes, the largest" if scan["sizes"] > 1 else ""
    what = "independent images (number, rows, columns)" if images else "voxels (z, y, x)"
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
        f"  looked at {scan['planes_looked_at']} of {scan['shape'][0]} planes: grey values "
        f"{min(one['p1'] for one in looks):.6g} to {max(one['p99'] for one in looks):.6g} "
        f"(percentiles 1 and 99), medians {min(middles):.6g} to {max(middles):.6g}, mean "
        f"{scan['mean']:.6g}, deviation {scan['std']:.4g}",
        f"  air around the sample: {scan['air_fraction']:.1%}; at the least grey value "
        f"{scan['saturated']['low']:.2%} of the pixels, at the greatest "
        f"{scan['saturated']['high']:.2%}",
    ]
    if scan["drift_in_std"]:
        change, low, high = scan["drift_in_std"]
        lines.append(
            f"  drift of the mean from end to end: {change:+.2f} deviations ({low:+.2f} to "
            f"{high:+.2f})"
        )
    if scan["rings"]:
        lines.append(
            f"  rings around the middle: halves of the circle correlate by "
            f"{scan['rings']['correlation']:.2f}, amplitude {scan['rings']['amplitude']:.3f}"
        )
    said = scan["suspicions"]
    lines += [f"  suspicion: {one['text']}" for one in said[:MOST_LINES]]
    if len(said) > MOST_LINES:
        lines.append(f"  and {len(said) - MOST_LINES} more suspicions in fingerprint.json")
    return lines if said else [*lines, "  no suspicion"]


def _of_labels(labels: Mapping[str, Any]) -> list[str]:
    shares = ", ".join(f"{name} {share:.2%}" for name, share in labels["classes"].items())
    lines = [
        f"labels: {len(labels['labelled_planes'])} planes, {labels['labelled_share']:.1%} of their "
        f"pixels labelled: {shares}"
    ]
    for what, table in (
        ("planes", labels["agreement_by_planes"]), ("pixels", labels["agreement_by_pixels"]),
    ):  # fmt: skip
        if table:
            lines.append(f"  labels agree, by distance in {what}: {_some(table)}")
    lines.append(f"  by chance: {labels['chance']:.2f}")
    return lines


def _some(table: Mapping[Any, float], most: int = 8) -> str:
    keys: Sequence[Any] = list(table)
    places = sorted({round(place * (len(keys) - 1) / (most - 1)) for place in range(most)})
    return ", ".join(f"{keys[place]}: {table[keys[place]]:.2f}" for place in places)


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"
