"""Scores from one confusion matrix, summed over pixels and divided once."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def confusion_matrix(label: jax.Array, prediction: jax.Array, classes: int) -> jax.Array:
    """Pixel counts (K, K) int32, row the true class, column the predicted; ignores label 255.

    Args:
      label: class indices of any shape.
      prediction: class indices of the same shape.
      classes: K.
    """
    cell = label.astype(jnp.int32) * classes + prediction.astype(jnp.int32)
    cell = jnp.where(label < classes, cell, classes * classes)
    counts = jnp.bincount(cell.ravel(), length=classes * classes + 1)
    return counts[:-1].reshape(classes, classes)


def scores(confusion_KK: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy and, per class and macro, precision, recall, F1 (Dice) and IoU.

    A class in neither truth nor prediction has no score: it is None, listed in
    `absent_classes`, and left out of the macro means. A ratio with an empty denominator is
    otherwise 0, as in scikit-learn.

    Args:
      confusion_KK: pixel counts, row the true class, column the predicted.
      class_names: K names.

    Returns:
      JSON-ready fields: pixels, accuracy, precision, recall, f1, miou, per_class, absent_classes,
      confusion.
    """
    confusion_KK = np.asarray(confusion_KK, np.int64)
    columns, present_K, truth_K = _columns(confusion_KK)
    per_class = {
        name: {key: float(column[k]) if present_K[k] else None for key, column in columns.items()}
        | {"pixels": int(truth_K[k])}
        for k, name in enumerate(class_names)
    }
    return {
        "pixels": int(confusion_KK.sum()),
        **{key: float(value) for key, value in macro_scores(confusion_KK).items()},
        "per_class": per_class,
        "absent_classes": [n for n, here in zip(class_names, present_K, strict=True) if not here],
        "confusion": confusion_KK.tolist(),
    }


def macro_scores(confusion_XKK: np.ndarray) -> dict[str, np.ndarray]:
    """The accuracy, and the macro precision, recall, f1 and miou of `scores`, (X,), of many."""
    columns, present_XK, _ = _columns(confusion_XKK)
    hits_X = np.trace(confusion_XKK, axis1=-2, axis2=-1)
    macro = {
        key: _ratio(np.where(present_XK, column_XK, 0).sum(axis=-1), present_XK.sum(axis=-1))
        for key, column_XK in columns.items()
    }
    macro["miou"] = macro.pop("iou")
    return {"accuracy": _ratio(hits_X, confusion_XKK.sum(axis=(-2, -1))), **macro}


def class_scores(confusion_XKK: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, f1 and iou of each class, (X, K), of many; NaN where `scores` has none."""
    columns, present_XK, _ = _columns(confusion_XKK)
    return {key: np.where(present_XK, column_XK, np.nan) for key, column_XK in columns.items()}


def most_wrong(confusion_KK: np.ndarray) -> int:
    """The class with the lowest IoU of those that truth or prediction have; the first of equals."""
    iou_K = class_scores(np.asarray(confusion_KK, np.int64))["iou"]
    return int(np.nanargmin(iou_K)) if np.isfinite(iou_K).any() else 0


def _columns(
    confusion_XKK: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scores of each class, which classes are in truth or prediction, and pixels in truth."""
    hits_XK = np.diagonal(confusion_XKK, axis1=-2, axis2=-1)
    truth_XK, predicted_XK = confusion_XKK.sum(axis=-1), confusion_XKK.sum(axis=-2)
    columns = {
        "precision": _ratio(hits_XK, predicted_XK),
        "recall": _ratio(hits_XK, truth_XK),
        "f1": _ratio(2 * hits_XK, truth_XK + predicted_XK),
        "iou": _ratio(hits_XK, truth_XK + predicted_XK - hits_XK),
    }
    return columns, truth_XK + predicted_XK > 0, truth_XK


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(above) / np.maximum(below, 1)
