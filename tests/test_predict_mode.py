"""--mode=predict, in this process."""

import numpy as np
import pytest

from configs import tiny
from xseg_jax.modes import predict, run, train

pytestmark = pytest.mark.rounding

SIZES = [(48, 48), (130, 40), (64, 64), (90, 100), (20, 31), (130, 40)]  # 1 to 4 tiles.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(tmp_path_factory.mktemp("prepared"))
    config.inference.batch_size = 3
    workdir = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "draw_slices", lambda *arguments: None)
        train.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def images(tmp_path_factory, write):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        grey_HW = rng.integers(20000, 45000, size).astype(np.uint16)
        write(folder / f"slice_{number}.tif", grey_HW)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def uninterrupted(trained, images, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    predict.run(trained, images, output, probabilities=True)
    return files(output)


@pytest.mark.parametrize("done", [1, 2, 5, 8, 11])
def test_an_interrupted_prediction_ends_with_the_same_bytes(
    trained, images, uninterrupted, tmp_path, monkeypatch, done
):
    """After so many files, a label or the probabilities of an image each."""
    write_tiff, written = predict.write_tiff, []

    def dies(path, array):
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(path)
        write_tiff(path, array)

    monkeypatch.setattr(predict, "write_tiff", dies)
    with pytest.raises(KeyboardInterrupt):
        predict.run(trained, images, tmp_path, probabilities=True)
    assert len(files(tmp_path)) == done + 1  # And prediction.json.
    monkeypatch.setattr(predict, "write_tiff", write_tiff)
    predict.run(trained, images, tmp_path, probabilities=True)
    assert len(files(tmp_path)) == 2 * len(SIZES) + 1
    assert files(tmp_path) == uninterrupted
