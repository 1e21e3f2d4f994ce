"""How long training takes, estimated: on a busy machine too."""

import os
import time

import pytest

from configs import tiny
from xseg_jax.inference import cost
from xseg_jax.inference.cost import Estimate, Pace, load_above_cores, pace_of
from xseg_jax.model.unet import UNet
from xseg_jax.modes.run import make_augment
from xseg_jax.report.fingerprint import words
from xseg_jax.training.parallel import AXIS, Parallel


class Busy:
    """A clock of a machine where a step has the processor for 0.2 s of the 1.0 s that it takes,
    but for one that takes 9 s.
    """

    def __init__(self):
        self.steps = self.worked = self.now = 0.0

    def perf_counter(self):
        self.steps += 0.5
        self.now += 9.0 if self.steps == 2 else 1.0 if self.steps % 1 == 0 else 0.0
        return self.now

    def process_time(self):
        self.worked += 0.1
        return self.worked


def test_the_usual_step_counts_and_a_free_machine_is_what_the_process_had(monkeypatch):
    monkeypatch.setattr(cost, "time", Busy())
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (4.5, 1.0, 1.0))
    parallel = Parallel.choose("jit")
    model = UNet(classes=2, axis_name=AXIS, features=(2, 4))
    pace = pace_of(model, parallel, make_augment(tiny.get_config()), crop=16, channels=1)
    assert pace.usual * 16 * 16 == pytest.approx(1.0)  # Not 9, and not the mean.
    assert pace.free * 16 * 16 == pytest.approx(0.1 / 2)
    assert pace.load == 4.5


def test_the_load_is_said_where_it_is_above_the_cores(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for load, said in ((3.9, None), (4.0, None), (4.1, 4.1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert load_above_cores() == said


@pytest.mark.parametrize(
    ("load", "usual", "said"),
    [
        (None, 12.0, "training 12 minutes and 2.0 GiB of memory; segmenting all planes 30 seconds"),
        (
            6.21,
            90.0,
            "training 90 minutes as busy as it is now (load 6.2), about 8.5 minutes where it is "
            "free, and 2.0 GiB",
        ),
    ],
)
def test_estimates_in_words(load, usual, said):
    found = Estimate("2 x cpu", load, usual, 8.5, 2.0, 0.5, 1.0).to_json()
    text = words({
        "independent_images": False, "scans": [], "labels": None, "split": None, "to_label": None,
        "sheet": "8 of 64 planes", "estimate": found,
    })  # fmt: skip
    assert text.startswith(f"contact sheet: 8 of 64 planes\nestimates for 2 x cpu: {said}")


def test_a_real_step_is_timed_and_a_free_machine_is_not_slower():
    parallel = Parallel.choose("jit")
    model = UNet(classes=2, axis_name=AXIS, features=(2, 4))
    began = time.perf_counter()
    pace = pace_of(model, parallel, make_augment(tiny.get_config()), crop=16, channels=1)
    assert 0 < pace.free <= pace.usual < (time.perf_counter() - began) / 16**2
    assert isinstance(pace, Pace)
