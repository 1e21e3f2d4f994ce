"""The results table, as printed at the end of a run."""

from typing import Any

COLUMNS = ("precision", "recall", "f1", "iou")


def results_table(results: dict[str, Any]) -> str:
    """U-Net beside thresholding: per class and macro scores, accuracy, and what leaks."""
    if not results["slices"]:
        return (
            "not tested: the network was trained on every label, and none is left to score it on; "
            "score it on other labels with --mode=evaluate"
        )
    methods = [("U-Net", results)]
    if results["baseline"] is not None:
        methods.append(("thresholding", results["baseline"]))
    names = [*results["per_class"], "macro mean"]
    width = max(len(name) for name in names)
    title = f"{results['split']}: {results['slices']} slices, {results['pixels']:,} pixels"
    header = " " * width + "".join(f"{column:>11}" for _ in methods for column in COLUMNS)
    above = " " * width + "".join(f"{name:>{11 * len(COLUMNS)}}" for name, _ in methods)
    lines = [title, "", above, header]
    for name in results["per_class"]:
        cells = [scores["per_class"][name][column] for _, scores in methods for column in COLUMNS]
        lines.append(f"{name:<{width}}" + "".join(map(_cell, cells)))
    macro = [scores[key] for _, scores in methods for key in ("precision", "recall", "f1", "miou")]
    lines.append(f"{'macro mean':<{width}}" + "".join(map(_cell, macro)))
    accuracy = [f"{name} {scores['accuracy']:.4f}" for name, scores in methods]
    lines += ["", "pixel accuracy: " + ", ".join(accuracy)]
    if results["baseline"] is None:
        lines.append(
            "thresholding: not defined for more than 8 classes, for a class without training "
            "pixels, or for fewer grey values than classes"
        )
    for name, scores in methods:
        if scores["absent_classes"]:
            absent = ", ".join(scores["absent_classes"])
            lines.append(f"{name}: absent in truth and prediction, not in the macro mean: {absent}")
    if between := results.get("between"):
        lines.append(
            f"between the training slices, on {between['slices']} others: pixel accuracy "
            f"{between['accuracy']:.4f}, mean IoU {between['miou']:.4f}"
        )
    leak = results["leak"]
    if leak is not None and leak["agreement"] is not None:
        nearest = (
            f"at the distance of the parts, {leak['smallest_distance']} voxels,"
            if leak.get("nearest") == "within"
            else "with the nearest training slice"
        )
        lines.append(
            f"leak: labels agree {nearest} by {leak['agreement']:.3f}, by chance "
            f"{leak['chance']:.3f}"
        )
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return f"{'-':>11}" if value is None else f"{value:>11.4f}"
