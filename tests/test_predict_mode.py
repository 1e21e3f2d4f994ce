"""--mode=predict, in this process."""

import numpy as np
import pytest

from configs import tiny
from xseg_jax.errors import InputError
from xseg_jax.modes import predict, train

pytestmark = pytest.mark.rounding

SIZES = [(48, 48), (130, 40), (64, 64), (90, 100), (20, 31), (130, 40)]  # 1 to 4 tiles.


@pytest.fixture(scope="module")
def trained(prepared, no_pictures, tmp_path_factory):
    config = tiny.get_config()
    config.epochs = 1
    config.data.prepared_dir = str(prepared)
    config.inference.batch_size = 3
    workdir = tmp_path_factory.mktemp("run")
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


@pytest.mark.parametrize("kept", ["slice_0.tif", "slice_3.tif", "slice_5_probabilities.tif"])
def test_files_of_somebody_else_are_not_taken_for_labels(trained, images, tmp_path, write, kept):
    mine = write(tmp_path / "hand" / kept, np.eye(9, dtype=np.uint8)).read_bytes()
    with pytest.raises(InputError, match=rf"{kept}: is there already and was not written by a pre"):
        predict.run(trained, images, tmp_path / "hand", probabilities=True)
    assert files(tmp_path / "hand") == {kept: mine}


@pytest.mark.parametrize("link", [False, True])
def test_images_are_not_overwritten(trained, images, tmp_path, link):
    before = files(images)
    (tmp_path / "link").symlink_to(images)
    output = tmp_path / "link" if link else images
    with pytest.raises(InputError, match="is the folder of the images"):
        predict.run(trained, images, output, probabilities=False)
    assert files(images) == before


def test_a_smaller_machine_takes_smaller_tiles(trained, images, tmp_path):
    predict.run(
        trained,
        images,
        tmp_path,
        probabilities=True,
        changes={"inference.tile": 32, "inference.overlap": 8},
    )
    assert len(files(tmp_path)) == 2 * len(SIZES) + 1
    with pytest.raises(InputError, match=r"inference\.tile: 32 there, 64 here"):
        predict.run(trained, images, tmp_path, probabilities=True)
    with pytest.raises(InputError, match=r"config\.inference: tile=33"):
        predict.run(trained, images, tmp_path, probabilities=True, changes={"inference.tile": 33})
