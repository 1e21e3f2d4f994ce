"""benchmarks/robustness.py: what is said of variants under degradations."""

import numpy as np
import pytest

from benchmarks.robustness import judge, scores_of


def degraded(clean, noisy):
    """What `degraded.json` holds of it."""
    return {
        "clean": {"U-Net": {"accuracy": 1.0, "miou": clean}},
        "rows": [
            {
                "degradation": "white_noise", "unit": "spread", "strength": 0.3,
                "scores": {"U-Net": {"accuracy": 1.0, "miou": noisy}},
            }
        ],
    }  # fmt: skip


def test_scores_have_the_name_of_their_degradation_and_strength():
    assert scores_of(degraded(0.9, 0.7)) == {"clean": 0.9, "white_noise 0.3": 0.7}


def test_a_variant_that_bears_noise_in_all_seeds_is_better_there_and_nowhere_else():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.002, (2, 3, 2))
    found = {
        "base": {s: degraded(*(np.array([0.95, 0.60]) + noise[0, s])) for s in range(3)},
        "noise": {s: degraded(*(np.array([0.95, 0.90]) + noise[1, s])) for s in range(3)},
    }
    rows = {(row["variant"], row["degradation"]): row for row in judge(found)}
    assert rows["noise", "white_noise 0.3"]["verdict"] == "better"
    assert rows["noise", "clean"]["verdict"] == "no difference shown"
    one = rows["noise", "white_noise 0.3"]
    assert one["difference"] == pytest.approx(one["miou"] - rows["base", "white_noise 0.3"]["miou"])
    assert one["low"] < one["difference"] < one["high"]
    assert one["seeds"] == 3


def test_of_one_seed_no_interval_is_known():
    found = {"base": {0: degraded(0.9, 0.8)}, "other": {0: degraded(0.95, 0.9)}}
    assert {row["verdict"] for row in judge(found) if row["variant"] == "other"} == {
        "no interval known"
    }
