"""Small data sets on disk, for any test."""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
import small_forest  # noqa: F401 - what it is imported for
import tifffile
from browser import _browser, _open_page  # noqa: F401 - fixtures for any test
from PIL import Image

# Tests compile far more than they compute: without LLVM's optimisations, and with what one test
# or process has compiled kept for the next, they take less than half the time.
FLAGS = os.environ.get("XLA_FLAGS", "")
if "xla_backend_optimization_level" not in FLAGS:
    os.environ["XLA_FLAGS"] = f"{FLAGS} --xla_backend_optimization_level=0"
if "PYTEST_XDIST_WORKER" in os.environ:  # Workers share the folder of the process they came from.
    cache_dir = os.environ["JAX_COMPILATION_CACHE_DIR"]
else:
    CACHE = tempfile.TemporaryDirectory()
    cache_dir = CACHE.name
for name, value in {
    "compilation_cache_dir": cache_dir,
    "persistent_cache_min_compile_time_secs": 0,
    "persistent_cache_min_entry_size_bytes": -1,
}.items():
    jax.config.update(f"jax_{name}", value)
    os.environ[f"JAX_{name.upper()}"] = str(value)  # For processes that tests start.
jax.config.update("jax_num_cpu_devices", 4)  # Several devices, on any machine.

SLOW = (
    "test_slurm", "test_fit", "test_sweep", "test_interrupt", "test_main", "test_benchmarks",
    "test_effects", "test_data_mode", "test_segment", "test_scans_mode", "test_train",
    "test_predict_mode", "test_unet", "test_inspect",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The slowest files first, so that no worker ends long after the others."""
    items.sort(key=lambda item: (*SLOW, item.path.stem).index(item.path.stem))


def write(path, array):
    """Writes an array in the format that the suffix says, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    elif path.suffix.lower() == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    return path


def write_folder(
    root: Path,
    count=6,
    *,
    shape=(12, 10),
    dtype=np.uint8,
    values=(0, 128, 255),
    image_name="slice_{:03d}.tif",
    label_name="slice_{:03d}.png",
    seed=0,
):
    """Random slices numbered from 0 in root/images and root/labels; gives both folders."""
    rng = np.random.default_rng(seed)
    for z in range(count):
        grey_HW = rng.integers(0, 200, shape)
        image_HW = (grey_HW / 8).astype(dtype) if dtype == np.float32 else grey_HW.astype(dtype)
        label_HW = rng.choice(np.array(values, np.uint8), shape)
        label_HW.flat[: len(values)] = values
        write(root / "images" / image_name.format(z), image_HW)
        write(root / "labels" / label_name.format(z), label_HW)
    return root / "images", root / "labels"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Where the runs of a file keep their prepared data."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def no_pictures():
    """Pictures take longer than a tiny training."""
    from xseg_jax.modes import fit, score  # Most tests need no mode.

    with pytest.MonkeyPatch.context() as patch:
        for module, function in (
            (score, "draw_slices"), (score, "keep_slices"), (fit, "draw_history"),
        ):  # fmt: skip
            patch.setattr(module, function, lambda *arguments: None)
        yield


@pytest.fixture(name="write", scope="session")
def _write():
    return write


@pytest.fixture(name="write_folder", scope="session")
def _write_folder():
    return write_folder
