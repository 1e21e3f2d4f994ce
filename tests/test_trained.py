"""modes/trained.py: what a trained run says of scans that it has not seen."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from xseg_jax.modes.trained import TrainedRun
from xseg_jax.scans.voxels import VoxelSize


@pytest.mark.parametrize(
    ("trained_on", "scan", "warned"),
    [("1 um", "1050 nm", False), ("1 um", "2 um", True), ("1 um", "1,1,3 um", True)],
)
def test_a_scan_of_other_voxels_is_warned_of_with_both_sizes(caplog, trained_on, scan, warned):
    one = SimpleNamespace(
        facts=SimpleNamespace(voxel_size=VoxelSize.parse(trained_on)), workdir=Path("runs/a")
    )
    unknown = SimpleNamespace(facts=SimpleNamespace(voxel_size=None), workdir=Path("runs/b"))
    runs = SimpleNamespace(runs=[unknown, one])
    TrainedRun.warn_of_voxels(runs, "scan.tif", VoxelSize.parse(scan))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned
    if warned:
        assert said[0].startswith(f"scan.tif: voxels are {VoxelSize.parse(scan)}, but runs/a was")
        assert "trained on voxels of 1 x 1 x 1 um" in said[0]
