"""benchmarks/ways.py: what is scored and judged."""

import numpy as np
import pytest

from benchmarks.ways import BASE, Found, judge, planes_of, score
from xseg_jax.data.labels import LabelMap
from xseg_jax.scans.scan import open_scan


def test_a_volume_is_scored_by_class_whatever_its_values(tmp_path):
    rng = np.random.default_rng(0)
    label_map = LabelMap.parse("200:a,3:b,10:c", "7")
    true_ZYX = rng.choice(np.array([200, 3, 10, 7], np.uint8), (3, 6, 8))
    found_ZYX = rng.choice(np.array([200, 3, 10], np.uint8), (3, 6, 8))
    np.save(tmp_path / "true.npy", true_ZYX)
    np.save(tmp_path / "found.npy", found_ZYX)
    with open_scan(tmp_path / "true.npy") as true, open_scan(tmp_path / "found.npy") as found:
        confusion_NKK = score(found, true, label_map, tmp_path / "true.npy", slice(None))
        last_NKK = score(found, true, label_map, tmp_path / "true.npy", planes_of("2:3"))
    np.testing.assert_array_equal(last_NKK, confusion_NKK[2:])
    for i, row in enumerate((200, 3, 10)):
        for j, column in enumerate((200, 3, 10)):
            expected = ((true_ZYX == row) & (found_ZYX == column)).sum(axis=(1, 2))
            np.testing.assert_array_equal(confusion_NKK[:, i, j], expected)


def test_a_way_that_is_better_in_all_seeds_and_blocks_is_called_better():
    rng = np.random.default_rng(0)

    def planes(wrong):
        counts = rng.poisson(wrong, (16, 2))
        return np.stack([np.array([[900, a], [b, 900]]) for a, b in counts])

    found = {
        BASE: [Found(planes(50), 1.0, 0.5) for _ in range(3)],
        "better": [Found(planes(20), 2.0, 1.5) for _ in range(3)],
        "same": [Found(planes(50), 3.0, 0.5) for _ in range(3)],
    }
    rows = {row["way"]: row for row in judge(found)}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert verdicts == {BASE: "base", "better": "better", "same": "no difference shown"}
    assert rows["better"]["low"] < rows["better"]["difference"] < rows["better"]["high"]
    difference = rows["better"]["miou"] - rows[BASE]["miou"]
    assert rows["better"]["difference"] == pytest.approx(difference, abs=1e-9)
    assert (rows["better"]["minutes"], rows["better"]["peak_gib"]) == (2.0, 1.5)
