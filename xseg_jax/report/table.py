"""The results table, as printed at the end of a run."""

from typing import Any

from xseg_jax.report.leaks import leak_line, noun
from xseg_jax.report.numbers import FEWEST, count

COLUMNS = ("precision", "recall", "f1", "iou")
BASELINE_COLUMNS = ("f1", "iou")
"""All columns of three methods would be wider than a terminal; results.json has them."""
MACRO = {"iou": "miou"}
THE = {"forest": "the forest"}


def results_table(results: dict[str, Any]) -> str:
    """U-Net beside its baselines: per class and macro scores, accuracy, a verdict, what leaks."""
    if not results["slices"]:
        return (
            "not tested: the network was trained on every label, and none is left to score it on; "
            "score it on other labels with --mode=evaluate"
        )
    defined = {name: scores for name, scores in results["baselines"].items() if scores}
    methods = {"U-Net": results, **defined}
    columns = [
        (scores, column)
        for name, scores in methods.items()
        for column in (COLUMNS if name == "U-Net" else BASELINE_COLUMNS)
    ]
    names = [*results["per_class"], "macro mean"]
    width = max(len(name) for name in names)
    what = noun(results)
    title = f"{results['split']}: {count(results['slices'], what)}, {results['pixels']:,} pixels"
    above = f"{'U-Net':>{width + 11 * len(COLUMNS)}}" + "".join(
        f"{name:>{11 * len(BASELINE_COLUMNS)}}" for name in defined
    )
    header = " " * width + "".join(f"{column:>11}" for _, column in columns)
    lines = [title, "", above, header]
    for name in results["per_class"]:
        cells = [scores["per_class"][name][column] for scores, column in columns]
        lines.append(f"{name:<{width}}" + "".join(map(_cell, cells)))
    macro = [scores[MACRO.get(column, column)] for scores, column in columns]
    lines.append(f"{'macro mean':<{width}}" + "".join(map(_cell, macro)))
    lines += ["", f"pixel accuracy: {_beside(methods, 'accuracy', results, '95% interval ')}"]
    if boundaries := results.get("boundaries"):
        edges = {name: scores["boundaries"] for name, scores in methods.items()}
        lines.append(
            f"boundaries within {boundaries['tolerance']:g} pixels (surface Dice): "
            + _beside(edges, "surface_dice", results)
        )
        if boundaries.get("unit"):
            lines.append(distance_line(boundaries))
    if results["verdict"]:
        lines.append(f"verdict: {verdict_line(results['verdict'], what)}")
    if results.get("calibration"):  # Results of earlier versions have none.
        lines.append(f"calibration: {calibration_line(results['calibration'], what)}")
    if "thresholding" in results["baselines"] and "thresholding" not in defined:
        lines.append(
            "thresholding: not defined for more than 8 classes, for a class without training "
            "pixels, or for fewer grey values than classes"
        )
    for name, scores in methods.items():
        if scores["absent_classes"]:
            absent = ", ".join(scores["absent_classes"])
            lines.append(f"{name}: absent in truth and prediction, not in the macro mean: {absent}")
    if between := results.get("between"):
        lines.append(
            f"between the training {what}s, on {count(between['slices'], 'other')}: pixel accuracy "
            f"{between['accuracy']:.4f}, mean IoU {between['miou']:.4f}"
        )
    if leak := leak_line(results["leak"], what):
        lines.append(f"leak: {leak}")
    return "\n".join(lines)


def _beside(
    methods: dict[str, Any], score: str, results: dict[str, Any], what: str | None = None
) -> str:
    """A score of each method, the first one's with its interval; `what` says what that is."""
    values = [
        f"{name} {'-' if scores[score] is None else format(scores[score], '.4f')}"
        for name, scores in methods.items()
    ]
    intervals = results.get("intervals") or {}  # Results of earlier versions have none.
    if too_few(intervals):
        values[0] += f" (no interval: {of_too_few(intervals)})" if what else ""
    elif one := intervals.get(score):
        over = f" over {intervals['units']} {intervals['unit']}" if what else ""
        values[0] += f" ({what or ''}{one['low']:.4f} to {one['high']:.4f}{over})"
    return ", ".join(values)


def distance_line(boundaries: dict[str, Any]) -> str:
    """How far the network's boundaries are off in the class where it is most, in words."""
    known = {name: row for name, row in boundaries["per_class"].items() if row["hd95"] is not None}
    if not known:
        return "boundaries: of no class is so much matched that a distance is known"
    name = max(known, key=lambda one: known[one]["hd95"])
    row, unit = known[name], boundaries["unit"]
    return (
        f"boundaries of U-Net, farthest off for {name}: 95% within {row['hd95']:.2f} pixels "
        f"({row['hd95_length']:.3g} {unit}), on average {row['mean_distance']:.2f} pixels "
        f"({row['mean_distance_length']:.3g} {unit})"
    )


def verdict_line(verdict: dict[str, Any], what: str = "slice") -> str:
    """Whether the network is better than the best baseline, in words."""
    against = THE.get(verdict["against"], verdict["against"])
    difference, low, high = (verdict[key] for key in ("difference", "low", "high"))
    if low is None or too_few(verdict):
        said = f"the mean IoU of U-Net minus that of {against} is {difference:+.4f}"
        if verdict["units"] == 1:
            return f"{said}; one {what} alone was tested, so that no interval is known"
        each = in_each(verdict).removesuffix(" of ")
        worse = "" if each == "on " else f", {each}"
        return f"{said}{of_parts(verdict)}{worse}; no interval is known: {of_too_few(verdict)}"
    over = f"over {verdict['units']} {verdict['unit']}"
    if low <= 0 <= high:
        return (
            f"no difference between U-Net and {against} is shown: {difference:+.4f} of mean IoU "
            f"(95% interval {low:+.4f} to {high:+.4f} {over})"
        )
    better = difference > 0
    ends = (low, high) if better else (-high, -low)
    return (
        f"U-Net is {'better' if better else 'worse'} than {against} by {abs(difference):.4f} of "
        f"mean IoU (95% interval {ends[0]:.4f} to {ends[1]:.4f} {over})"
    )


def too_few(found: dict[str, Any]) -> bool:
    """Whether there are fewer parts than an interval needs; earlier versions gave one of them too.

    Args:
      found: intervals or verdict of `results.json`.
    """
    return found.get("units", FEWEST) < FEWEST


def of_too_few(found: dict[str, Any]) -> str:
    """Of how many parts there is no interval."""
    units = found["units"]
    return f"{count(units, found['unit'].removesuffix('s'))}, and {FEWEST} are the fewest"


def in_each(verdict: dict[str, Any]) -> str:
    """Whether the network is better or worse in all of a few parts, as "worse in each of "."""
    each = [one for one in verdict.get("parts") or () if one is not None]
    if len(each) < 2 or not (min(each) > 0 or max(each) < 0):
        return "on "
    return f"{'better' if min(each) > 0 else 'worse'} in each of "


def of_parts(verdict: dict[str, Any], show: str = "+.4f") -> str:
    """The difference in each of a few parts; "" where an earlier version kept none."""
    each = [format(one, show) for one in verdict.get("parts") or () if one is not None]
    return f" ({', '.join(each)} in each {verdict['unit'].removesuffix('s')})" if each else ""


def calibration_line(calibration: dict[str, Any], what: str = "slice") -> str:
    """How far off the network's probabilities are, before and with the temperature, in words."""

    temperature = calibration["temperature"]

    def errors(part: dict[str, Any]) -> str:
        before, after = part["ece_before"], part["ece"]
        if before is None or after is None:
            return f"{after if before is None else before:.4f}"
        return f"{before:.4f}, and {after:.4f} with it"

    said = f"expected error {errors(calibration)}"
    if temperature is not None:
        slices = calibration["fitted"]["slices"]
        of = f"{slices} validation {what}{'s' * (slices > 1)}"
        said = f"temperature {temperature:.2f} (fitted on {of}): {said}"
    boundary = calibration["boundary"]
    if boundary["pixels"]:
        said += f"; at boundaries {errors(boundary)}"
        if None not in (boundary["ece"], boundary["ece_before"]):
            said += " (worse)" * (boundary["ece"] > boundary["ece_before"])
    if temperature is None:
        said += f"; without a temperature: {calibration['reason']}"
    return said


def _cell(value: float | None) -> str:
    return f"{'-':>11}" if value is None else f"{value:>11.4f}"
