"""modes/trained.py: what a trained run says of scans that it has not seen."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planes import plane
from planes_seen import Arrays

from xseg_jax.data.intensity import GreyScales, Normalizer
from xseg_jax.modes.run import GreyScaleWatch
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


@pytest.mark.parametrize(("order", "warned"), [((0,), 0), ((1,), 3), ((0, 1), 3), ((1, 0, 1), 3)])
def test_each_run_of_an_ensemble_says_that_images_are_unlike_its_own(caplog, order, warned):
    rng = np.random.default_rng(0)
    images = [rng.normal(100, 10, (32, 32)).astype(np.float32) for _ in range(3)]
    known = GreyScales("volume", Normalizer.fit(images))
    other = GreyScales("volume", Normalizer.fit([image_HW + 80 for image_HW in images]))
    watch = GreyScaleWatch(*((known, other)[n] for n in order))
    for n, image_HW in enumerate(images):
        watch(f"{n}.tif", plane(str(n), image_HW, np.zeros((32, 32), np.uint8)))
    watch.close()
    said = [record.getMessage() for record in caplog.records]
    if not warned:
        assert not said
    else:
        assert said[0].startswith("0.tif: grey values have mean 99.5")
        assert said[1:] == [f"grey values of {warned} images in all are unlike training's"]


@pytest.mark.parametrize(
    ("kind", "trained_on", "planes", "warned"),
    [
        ("scan", 40, 1, True),
        ("scan", 40, 4, False),
        ("scan", 3, 1, False),
        ("volume", 40, 1, False),
    ],
)
def test_a_scan_of_hardly_any_planes_has_no_grey_scale_of_its_own(
    caplog, kind, trained_on, planes, warned
):
    """What one slice gives is not what the scan gives that it is from."""
    scales = GreyScales(kind, None, {"scan": Normalizer(0.0, 1.0)})
    facts = SimpleNamespace(grey_scales=scales, split={"train": ["z"] * trained_on, "test": []})
    run = SimpleNamespace(facts=facts, workdir=Path("runs/a"))
    there = SimpleNamespace(runs=[run])
    TrainedRun.warn_of_few(there, [Arrays(np.zeros((planes, 8, 8), np.float32))])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned
    if warned:
        assert said[0].startswith("scan: its grey scale is measured on 1 plane alone, and runs/a")
