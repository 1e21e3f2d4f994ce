import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks import cost, time_to_accuracy
from benchmarks.input import measure
from benchmarks.timing import Contender, alternate, compete, median_and_spread
from benchmarks.unet_jax import forward_flops, matmul, predictor
from xseg_jax.model.unet import UNet
from xseg_jax.report.paper import DOUBLE, DPI


# Above 16 channels: narrower convolutions take a third more operations on a CPU, and less time.
@pytest.mark.parametrize("features", [(24, 32), (20, 32, 64)])
def test_operations_are_those_that_xla_counts(features):
    model = UNet(classes=3, features=features, norm="none")
    image_BHWC = jnp.zeros((1, 64, 64, 1))
    variables = model.init(jax.random.key(0), image_BHWC, train=False)
    compiled = jax.jit(lambda v, x: model.apply(v, x, train=False)).lower(variables, image_BHWC)
    # XLA leaves out products with the padding, and counts biases, maxima and ReLU.
    assert forward_flops(features, 64, 64, 3) == pytest.approx(
        compiled.cost_analysis()["flops"], rel=0.1
    )


def test_contenders_take_turns_and_tell_what_they_need():
    contenders = {"a": Contender(matmul, size=8, dtype="float32"), "b": lambda: 3.0}
    seconds = alternate(contenders, rounds=4)
    contenders["a"].finish()
    assert len(seconds["a"]) == 4
    assert 0 < max(seconds["a"]) < contenders["a"].first_seconds
    assert median_and_spread(seconds["b"]) == (3.0, 0.0)
    assert 0 < contenders["a"].peak_gib < 2


def test_a_contender_that_fails_says_why():
    failed = Contender(matmul, size=8, dtype="float31")
    failed.finish()
    assert "float31" in failed.failure


def sleeper(seconds_in):
    """A run that takes as many seconds as a variable of its process says."""
    seconds = float(os.environ[seconds_in])
    return lambda count: time.sleep(count * seconds)


def test_contenders_have_an_environment_of_their_own(capsys):
    contenders = {
        "slow": Contender(sleeper, {"PACE": "0.3"}, seconds_in="PACE"),
        "lost": Contender(sleeper, seconds_in="PACE"),
    }
    assert "PACE" not in os.environ
    able, seconds = compete(contenders, rounds=2)
    assert list(able) == ["slow"]
    assert min(seconds["slow"]) >= 0.3
    assert "lost could not run: KeyError: 'PACE'" in capsys.readouterr().out


def test_the_exponent_is_that_of_a_power():
    assert cost.exponent([1, 2, 8], [3, 12, 192]) == pytest.approx(2)


def test_cost_is_measured_and_drawn(tmp_path):
    rows = [
        {"curve": f"prediction: {name}", "value": value}
        | cost.measure(cost.predictor, work | {"first": 2, "batch_size": 1}, rounds=1)
        for name, value, work in [
            ("slices", 1, {"slices": 1, "size": 32}),
            ("slices", 2, {"slices": 2, "size": 32}),
        ]
    ]
    assert all(row["seconds"] > 0 and 0 < row["peak_gib"] < 2 for row in rows)
    cost.draw(tmp_path / "cost.png", rows)
    with Image.open(tmp_path / "cost.png") as image:
        assert image.size == (DOUBLE * DPI, 3.2 * DPI)


def test_costs_are_drawn_with_round_ticks_and_memory_from_nothing(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(cost, "save_figure", lambda figure, path: drawn.append(figure))
    costs = ((64, 0.16, 0.62), (128, 0.39, 0.86), (256, 1.9, 1.8))
    rows = [{"curve": "a: b", "value": n, "seconds": s, "peak_gib": m} for n, s, m in costs]
    cost.draw(tmp_path / "cost.png", rows)
    time, memory = drawn[0].axes
    shown = [tick for tick in time.get_yticks() if 0.16 <= tick <= 1.9]
    assert shown == pytest.approx([0.2, 0.5, 1])
    assert memory.get_ylim()[0] == 0
    assert memory.get_yscale() == "linear"
    assert [tick for tick in memory.get_yticks() if tick <= 1.8] == pytest.approx([0, 0.5, 1, 1.5])
    assert [tick.get_text() for tick in memory.get_xticklabels()] == ["64", "128", "256"]
    assert time.get_title() == f"power {cost.exponent((64, 128, 256), (0.16, 0.39, 1.9)):.2f}"


def test_cost_tells_what_could_not_run():
    with pytest.raises(RuntimeError, match="'size': 0"):
        cost.measure(cost.trainer, {"batch_size": 1, "size": 0, "first": 1}, rounds=1)


def test_waiting_for_data_is_a_share_of_a_step():
    found = measure(4, 32, (4, 8), 3)
    assert 0 <= found["waiting"] < 1
    assert found["alone"] > found["training"] > 0


def test_a_volume_is_segmented_as_a_contender():
    volume = Contender(
        predictor, slices=3, size=40, features=(4, 8), classes=2, dtype="float32", batch_size=2
    )
    seconds = volume()
    volume.finish()
    assert not volume.failure
    assert 0 < seconds < volume.first_seconds


@pytest.fixture
def halves(tmp_path, write):
    """A scan whose left halves are dark, with one labelled slice; a second whose bright ones are
    labelled alone, so that one class is all that its labels tell."""
    label_HW = np.zeros((144, 136), np.uint8)
    label_HW[:, 68:] = 255
    for part, count, unlabelled in (("scan", 3, np.s_[:20, :20]), ("far", 2, np.s_[:, :68])):
        for z in range(count):
            noise_HW = np.random.default_rng(z).normal(0, 5, label_HW.shape)
            write(tmp_path / part / f"z{z}.tif", (60 + label_HW / 2 + noise_HW).astype(np.uint8))
            marked_HW = label_HW.copy()
            marked_HW[unlabelled] = 7
            write(tmp_path / f"{part}_labels" / f"z{z}.png", marked_HW)
    one = tmp_path / "scan_labels" / "z1.png"
    return time_to_accuracy.Data(
        *map(str, (tmp_path / "scan", one, tmp_path / "far", tmp_path / "far_labels")), ignore="7"
    )


def test_time_to_accuracy_is_that_of_slices_elsewhere(halves):
    ((crops, seconds, accuracy),) = time_to_accuracy.forest(time.time() - 1, halves, 0.99)
    assert crops == 0
    assert 1 < seconds < 600
    assert accuracy > 0.99


def test_time_to_accuracy_stops_where_pytorch_is_there(halves):
    pytest.importorskip("torch")
    rows = time_to_accuracy.pytorch(time.time(), halves, 0.5)
    assert rows[-1][2] >= 0.5
    assert [crops for crops, *_ in rows] == [320 * (n + 1) for n in range(len(rows))]
