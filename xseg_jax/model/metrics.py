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
    hits_K = np.diag(confusion_KK)
    truth_K, predicted_K = confusion_KK.sum(axis=1), confusion_KK.sum(axis=0)
    present_K = truth_K + predicted_K > 0
    columns = {
        "precision": _ratio(hits_K, predicted_K),
        "recall": _ratio(hits_K, truth_K),
        "f1": _ratio(2 * hits_K, truth_K + predicted_K),
        "iou": _ratio(hits_K, truth_K + predicted_K - hits_K),
    }
    per_class = {
        name: {key: float(column[k]) if present_K[k] else None for key, column in columns.items()}
        | {"pixels": int(truth_K[k])}
        for k, name in enumerate(class_names)
    }
    macro = {
        key: float(column[present_K].mean()) if present_K.any() else 0.0
        for key, column in columns.items()
    }
    return {
        "pixels": int(confusion_KK.sum()),
        "accuracy": float(_ratio(hits_K.sum(), confusion_KK.sum())),
        "precision": macro["precision"],
        "recall": macro["recall"],
        "f1": macro["f1"],
        "miou": macro["iou"],
        "per_class": per_class,
        "absent_classes": [n for n, here in zip(class_names, present_K, strict=True) if not here],
        "confusion": confusion_KK.tolist(),
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.asarray(above) / np.maximum(below, 1)
