"""Small folders of results, as runs and evaluations write them, for tests of what reads them."""

import copy
import json

import numpy as np

from xseg_jax.model.metrics import scores

NAMES = ("pore", "ceramic", "metal")
NETWORK_KK = [[900, 80, 20], [60, 1900, 40], [0, 50, 950]]
FOREST_KK = [[880, 100, 20], [60, 1880, 60], [10, 90, 900]]
EDGES = [n / 15 for n in range(16)]
PACKAGES = {"jax": "0.10.2", "flax": "0.12.8", "optax": "0.2.8", "python": "3.11.7"}


def bins(pixels, confidence, accuracy):
    """The last bins of 15."""
    empty = 15 - len(pixels)
    return {
        "pixels": [0] * empty + pixels,
        "confidence": [None] * empty + confidence,
        "accuracy": [None] * empty + accuracy,
    }


def calibration(names=NAMES):
    both = {
        "edges": EDGES,
        "before": bins([1000, 3000], [0.88, 0.98], [0.7, 0.97]),
        "after": bins([1500, 2500], [0.9, 0.99], [0.88, 0.98]),
    }
    part = {
        "pixels": 4000,
        "ece_before": 0.05,
        "ece": 0.01,
        "classes": {name: {"before": 0.04, "after": 0.02} for name in names},
        "bins": both,
    }
    fitted = {"slices": 2, "labelled": 10, "pixels": 10, "nll_before": 0.3, "nll": 0.2}
    return part | {
        "temperature": 1.25,
        "reason": None,
        "fitted": fitted,
        "boundary": part | {"reach": 2},
    }


def results(names=NAMES):
    found = {"split": "test", "slices": 4, "loss": 0.1}
    found |= scores(np.array(NETWORK_KK), names)
    forest = {"method": "random forest on multi-scale filters"}
    forest |= scores(np.array(FOREST_KK), names)
    difference = found["miou"] - forest["miou"]
    return found | {
        "baselines": {"forest": forest, "thresholding": None},
        "verdict": {
            "against": "forest",
            "score": "miou",
            "difference": difference,
            "low": difference - 0.01,
            "high": difference + 0.01,
            "units": 4,
            "unit": "blocks of z",
        },
        "calibration": calibration(names),
        "between": None,
        "leak": {
            "agreement": 0.34,
            "typical": 0.35,
            "leak": -0.01,
            "worry_from": 0.2,
            "chance": 0.33,
            "nearest": "z",
            "smallest_distance": 9,
        },
        "label_map": {
            "values": [str(n) for n in range(len(names))],
            "classes": list(names),
            "ignore": "",
            "shown": [],
        },
        "parameters": 482483,
        "git_commit": "0123456789abcdef0123",
        "packages": PACKAGES,
        "device": "2 x cpu",
        "seconds": 155.4,
    }


def with_intervals(found):
    """Results with intervals and boundary scores of network and forest."""

    def ends(value):
        return {"low": value - 0.01, "high": value + 0.01}

    def scored(one):
        per_class = {
            name: {key: ends(row[key]) for key in ("precision", "recall", "f1", "iou")}
            for name, row in one["per_class"].items()
        }
        for row in per_class.values():
            row |= {"surface_dice": ends(0.9), "mean_distance": None}
        edges = {
            name: {
                "surface_dice": 0.9, "hd95": 2.5, "mean_distance": 0.7, "unmatched": 0.0,
                "length": 100.0, "reason": None,
            }
            for name in one["per_class"]
        }  # fmt: skip
        both = {key: ends(one[key]) for key in ("accuracy", "precision", "recall", "f1", "miou")}
        return one | {
            "intervals": {"level": 0.95, "units": 4, "unit": "blocks of z"}
            | both
            | {"surface_dice": ends(0.9), "per_class": per_class},
            "boundaries": {
                "tolerance": 2.0, "spacing": [1.0, 1.0], "surface_dice": 0.9, "left_out": 0.0,
                "per_class": edges,
            },
        }  # fmt: skip

    return scored(found) | {
        "baselines": {name: one and scored(one) for name, one in found["baselines"].items()}
    }


UNTESTED = (
    "split", "slices", "calibration", "label_map", "parameters", "git_commit", "packages", "device",
    "seconds",
)  # fmt: skip


def untested(names=NAMES):
    """Results of a run without a test part."""
    found = results(names) | {"split": "none", "slices": 0}
    found["calibration"] = {
        "temperature": None, "reason": "there are no validation slices", "fitted": None,
    }  # fmt: skip
    return {key: found[key] for key in UNTESTED}


def data(names=NAMES):
    return {
        "fingerprint": "5ecc7807",
        "dtype": "uint16",
        "label_map": results(names)["label_map"],
        "grey_scales": {"kind": "volume"},
        "train_pixels": [3000, 5000, 2000],
        "split_kind": "z",
        "split": {
            "train": ["s0", "s1", "s2"],
            "validation": ["s4"],
            "test": ["s6", "s7", "s8", "s9"],
            "between": [],
        },
        "slabs": None,
        "leak": results(names)["leak"],
    }


def config():
    from configs import default

    return default.get_config().to_dict()


METRICS = [
    {"step": 4, "split": "train", "epoch": 1, "loss": 0.9, "accuracy": 0.5},
    {"step": 4, "split": "validation", "epoch": 1, "loss": 0.7, "accuracy": 0.8, "miou": 0.6},
    {"step": 8, "split": "train", "epoch": 2, "loss": 0.4, "accuracy": 0.9},
    {"step": 8, "split": "validation", "epoch": 2, "loss": 0.3, "accuracy": 0.95, "miou": 0.9},
]


def _both(network, forest):
    return {
        "U-Net": {"accuracy": network, "miou": network - 0.1},
        "forest": {"accuracy": forest, "miou": forest - 0.1},
    }


DEGRADED = {
    "planes": 3,
    "clean": _both(0.98, 0.97),
    "rows": [
        {"degradation": "white_noise", "unit": "spread", "clean": 0, "strength": s, "scores": row}
        for s, row in ((0.3, _both(0.9, 0.8)), (0.6, _both(0.7, 0.75)))
    ],
}

MEASURED = {
    "shape": [8, 32, 32],
    "voxel_size": [0.05, 0.05, 0.05],
    "unit": "um",
    "dimension": 3,
    "phases": list(NAMES),
    "quantities": [
        {
            "quantity": "volume_fraction", "label": "Volume fraction", "phase": "pore",
            "with": None, "axis": None, "unit": "1", "value": 0.31, "low": 0.3, "high": 0.32,
            "interval": "95%, 8 blocks of z", "seconds": 1.2,
            "against": {
                "truth": 0.3, "error": 0.01, "error_low": 0.005, "error_high": 0.015,
                "baselines": {
                    "forest": {
                        "value": 0.25, "error": -0.05, "error_low": None, "error_high": None,
                    }
                },
            },
        },
        {
            "quantity": "surface", "label": "Surface density", "phase": "pore", "with": "metal",
            "axis": None, "unit": "1/um", "value": 12.5, "low": None, "high": None,
            "interval": None, "seconds": 0.1, "against": None,
        },
    ],
    "curves": [
        {
            "quantity": "chord_length", "label": "Chord length", "phase": "pore", "axis": "x",
            "x": [0.1, 0.2, 0.3], "y": [0.5, 0.3, 0.2], "x_label": "chord length", "x_unit": "um",
            "y_label": "share of chords", "truth_y": [0.45, 0.35, 0.2],
        }
    ],
    "left_out": [{"quantity": "tortuosity", "phase": "metal", "reason": "no path crosses"}],
}  # fmt: skip


def whole_run():
    """All files of a run that has everything, by name."""
    return copy.deepcopy({
        "results.json": results(),
        "config.json": config(),
        "data.json": data(),
        "calibration.json": {"temperature": 1.25, "step": 8},
        "metrics.jsonl": METRICS,
        "degraded.json": DEGRADED,
        "measured.json": MEASURED,
        "warnings.json": ["slice s1: holds 3 grey values far outside all others"],
    })  # fmt: skip


def write_results(folder, files):
    """Writes files; those that are None are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        if value is None:
            continue
        lines = value if name.endswith(".jsonl") else [value]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
