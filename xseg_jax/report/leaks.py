"""The leak of a split in words: how much of a test the nearest training label passes."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

REMEDIES = {
    "z": "divide by blocks of z, with a larger --config.data.split.gap",
    "within": "set a larger --config.data.split.gap, or label slices that lie further apart",
    "image": "keep images that belong together in one part with --config.data.split.group_pattern, "
    "and look for copies",
}
"""What to do about it, by what the nearest is."""


def noun(results: Json) -> str:
    """What was scored: "slice", or "image" where images are no slices of a scan.

    Args:
      results: as `results.json` holds them; those of earlier versions call everything a slice.
    """
    return results.get("planes", "slice")


def leak_line(leak: Json | None, what: str = "slice") -> str:
    """The leak, whether to worry, and what it is the difference of, in one line.

    Args:
      leak: as `results.json` holds it.
      what: "slice" or "image".

    Returns:
      "" where nothing was measured.
    """
    if not leak:
        return ""
    if "trained_on" in leak:
        seen = len(leak["trained_on"])
        if not seen:
            return f"none of these {what}s is one that was trained on, pixel for pixel"
        return (
            f"{seen} of these {what}s {'was' if seen == 1 else 'were'} trained on, so that the "
            "scores measure memory, not skill"
        )
    nearest = leak["agreement"]
    if nearest is None:
        return ""
    if "typical" not in leak:
        return (
            f"labels agree with the nearest training {what} by {nearest:.3f}, two that share "
            f"nothing but their classes by {leak['chance']:.3f}; how far typical ones agree this "
            "earlier version did not measure"
        )
    near, beside = _compared(leak, what)
    if leak["leak"] is None:
        return (
            f"not known, for no other training {what} lies far enough to compare with: labels "
            f"agree {near} by {nearest:.3f}, by chance {leak['chance']:.3f}"
        )
    typical, limit = leak["typical"], leak["worry_from"]
    numbers = f"labels agree {near} by {nearest:.3f}, {beside} by {typical:.3f}"
    if leak["leak"] > limit:
        return (
            f"{leak['leak']:+.3f}, so that memory passes much of this test: {numbers}; "
            f"{REMEDIES[leak['nearest']]}"
        )
    return f"{leak['leak']:+.3f}, no reason to worry below {limit:.3f}: {numbers}"


def _compared(leak: Json, what: str) -> tuple[str, str]:
    """What labels are compared with: the nearest, and typical ones."""
    distance = leak.get("smallest_distance")
    if leak["nearest"] == "within":
        return f"across the gap of {distance} voxels", f"across half of a {what}"
    if leak["nearest"] == "z":
        return f"with the nearest training {what} ({distance} away or more)", "with those far away"
    return f"with the training {what} that looks most alike", "with the ten next alike"


def leak_sentence(leak: Json | None, what: str = "slice") -> str:
    """The leak as a sentence of a paper; "" where nothing was measured."""
    if not leak or leak.get("agreement") is None:
        return ""
    if leak.get("typical") is None:
        return (
            f"Labels of test {what}s agree with the nearest training {what} by "
            f"{leak['agreement']:.3f}, by chance {leak['chance']:.3f}."
        )
    near, beside = _compared(leak, what)
    return (
        f"Test labels agree {near} by {leak['agreement']:.3f} and {beside} by "
        f"{leak['typical']:.3f}: memory of the nearest would gain {leak['leak']:.3f}."
    )
