"""benchmarks/labelling.py: which planes are chosen."""

import subprocess

import numpy as np
import pytest
import tifffile

from benchmarks import labelling


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [26]), (2, [23, 29]), (4, [21, 24, 27, 30]), (12, [*range(20, 32)])]
)
def test_evenly_spaced_planes_are_the_middles_of_equal_parts(count, expected):
    assert labelling.evenly(range(20, 32), count) == expected


def test_planes_in_doubt_are_candidates_that_are_not_labelled_in_order(tmp_path, monkeypatch):
    scan, calls = tmp_path / "scan.tif", []
    tifffile.imwrite(scan, np.zeros((12, 4, 5), np.uint16))

    def predicted(command, *, check):
        calls.append((command, check))
        ranked = tmp_path / "doubt.ome.zarr.next.csv"
        with labelling.open_scan(scan) as volume:
            name = labelling.Volume(volume).plane_name
            lines = [f"{n},{name(z)},0.5" for n, z in enumerate([11, 4, 6, 9, 2, 7, 3], start=1)]
        ranked.write_text("\n".join(["rank,plane,uncertainty", *lines]))

    monkeypatch.setattr(subprocess, "run", predicted)
    found = labelling.doubted(tmp_path / "first", str(scan), range(2, 10), 3)
    assert found == [4, 9, 2]  # 11 is none of them, 6 is labelled.
    ((command, check),) = calls
    assert check
    assert "--uncertainty" in command
    assert f"--workdir={tmp_path / 'first'}" in command
