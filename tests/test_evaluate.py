import jax
import numpy as np
import pytest
from planes import plane
from scipy.special import log_softmax, softmax
from sklearn.metrics import confusion_matrix

from xseg_jax.data.planes import Place, Plane
from xseg_jax.evaluation.evaluate import Evaluation, Scorer
from xseg_jax.model.losses import cross_entropy
from xseg_jax.training.parallel import Parallel

pytestmark = pytest.mark.rounding

SIZES = [(40, 33), (32, 32), (1, 70), (40, 33)]
evaluate = Scorer(Parallel("jit", tuple(jax.devices()[:1])), cross_entropy, 3)


@pytest.fixture(scope="module")
def slices():
    """Slices of many sizes; some pixels are ignored, in the second all of them."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, size).astype(np.uint8) for size in SIZES]
    labels[0][5:9] = 255
    labels[1][:] = 255
    return [
        plane(f"slice_{n}", rng.standard_normal(label_HW.shape).astype(np.float32), label_HW)
        for n, label_HW in enumerate(labels)
    ]


def logits_of(image_HW):
    return np.stack([image_HW, image_HW**2, 1 - image_HW], axis=-1)


def segment(planes):
    for item in planes:
        yield softmax(logits_of(item.image_HW), axis=-1)


def test_confusion_of_each_slice_equals_scikit_learn_without_ignored_pixels(slices):
    found = evaluate(segment, slices)
    assert found.confusion_NKK.shape == (4, 3, 3)
    assert found.confusion_NKK.dtype == np.int64
    for item, found_KK in zip(slices, found.confusion_NKK, strict=True):
        valid_HW = item.label_HW != 255
        prediction_HW = logits_of(item.image_HW).argmax(axis=-1)
        expected_KK = np.zeros((3, 3))
        if valid_HW.any():
            expected_KK = confusion_matrix(
                item.label_HW[valid_HW], prediction_HW[valid_HW], labels=range(3)
            )
        np.testing.assert_array_equal(found_KK, expected_KK)
    np.testing.assert_array_equal(found.confusion_KK, found.confusion_NKK.sum(axis=0))


def test_loss_is_the_mean_over_all_pixels_not_over_slices(slices):
    losses = []
    for item in slices:
        valid_HW = item.label_HW != 255
        logs_NK = log_softmax(logits_of(item.image_HW), axis=-1)[valid_HW]
        losses.append(-logs_NK[np.arange(len(logs_NK)), item.label_HW[valid_HW]])
    expected = np.concatenate(losses).mean()
    assert evaluate(segment, slices).loss == pytest.approx(expected, rel=1e-5)


def test_a_segmenter_gets_whole_planes_with_their_neighbours_and_places(slices):
    wide = [
        Plane(s.name, np.concatenate([s.image_HWC - 3, s.image_HWC, 2 * s.image_HWC], -1),
              s.label_HW, Place("scan", 0, z))
        for z, s in enumerate(slices)
    ]  # fmt: skip
    seen = []

    def by_last_neighbour(planes):
        for item in planes:
            seen.append(item.place)
            yield softmax(logits_of(item.image_HWC[..., 2] / 2), axis=-1)

    found, expected = evaluate(by_last_neighbour, wide), evaluate(segment, slices)
    assert seen == [Place("scan", 0, z) for z in range(4)]
    np.testing.assert_array_equal(found.confusion_NKK, expected.confusion_NKK)
    assert found.loss == expected.loss


def test_a_segmenter_may_read_ahead(slices):
    def all_at_once(images):
        yield from segment(list(images))

    ahead, one_by_one = evaluate(all_at_once, slices), evaluate(segment, slices)
    np.testing.assert_array_equal(ahead.confusion_NKK, one_by_one.confusion_NKK)
    assert ahead.loss == one_by_one.loss


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_several_devices_count_what_one_counts(slices, mode):
    shapes, done = [], []

    def noting_loss(logits_BHWK, label_BHW):
        shapes.append(label_BHW.shape)
        return cross_entropy(logits_BHWK, label_BHW)

    slices = [*slices, *slices[3:], slices[0]]  # Two batches of one size, the latter not full.
    scorer = Scorer(Parallel(mode, tuple(jax.devices()[:2])), noting_loss, 3)
    found = scorer(segment, slices, lambda: done.append(len(shapes)))
    expected = evaluate(segment, slices)
    np.testing.assert_array_equal(found.confusion_NKK, expected.confusion_NKK)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    # Sizes are rounded up, so that few shapes compile.
    assert shapes == [(1, 64, 64), (1, 32, 32), (1, 32, 96)]
    assert done == [1, 2, 3, 3, 3, 3]


def test_only_ignored_pixels_have_no_loss(slices):
    found = evaluate(segment, slices[1:2])
    assert found.loss == 0
    assert found.confusion_KK.sum() == 0


def test_worst_slices_come_first_and_ones_without_labels_last():
    confusion_NKK = np.array([
        [[90, 10], [0, 0]],  # A tenth is wrong.
        [[1, 2], [1, 0]],  # Three quarters.
        [[0, 0], [0, 0]],  # No labelled pixel.
        [[50, 25], [25, 0]],  # Half.
        [[7, 7], [0, 0]],  # Half too, and later.
    ])  # fmt: skip
    found = Evaluation(0.0, confusion_NKK)
    assert found.worst(9) == [1, 3, 4, 0, 2]
    assert found.worst(2) == [1, 3]
