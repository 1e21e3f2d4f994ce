import errno
import logging
import os
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xseg_jax.errors import InputError, SaveError, StoppedError
from xseg_jax.training.checkpoint import Checkpoints, DamagedError
from xseg_jax.training.state import TrainState


def state_at(step, seed=0) -> Any:
    """A state with a number of every kind, that of its optimizer included."""
    rng = np.random.default_rng(seed + step)

    def random(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    params = {"conv": {"kernel": random(3, 3, 1, 4), "bias": random(4)}}
    tx = optax.adam(1e-3)
    _, opt_state = tx.update(params, tx.init(params))
    return TrainState(
        step=jnp.int32(step),
        params=params,
        batch_stats={"norm": {"mean": random(4)}},
        opt_state=opt_state,
        ema_params=jax.tree.map(lambda leaf: leaf / 3, params),
    )


def steps_on_disk(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def assert_same_state(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Four checkpoints of which the second is the best, written and closed."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step, miou in ((4, 0.5), (8, 0.9), (12, 0.7), (16, 0.6)):
            checkpoints.save(state_at(step), {"miou": miou, "seconds": step / 10})
    return folder


@pytest.fixture
def three(tmp_path):
    """Three latest checkpoints, the first validated."""
    with Checkpoints(tmp_path / "checkpoints", keep=3) as checkpoints:
        checkpoints.save(state_at(1), {"miou": 0.5, "seconds": 1.0})
        for step in (2, 3):
            checkpoints.save(state_at(step), {"seconds": float(step)})
    return tmp_path / "checkpoints"


@pytest.mark.parametrize(("step", "miou"), [(8, 0.9), (16, 0.6)])
def test_a_restored_state_is_the_saved_one_to_the_bit(saved, step, miou):
    with Checkpoints(saved, read_only=True) as checkpoints:
        state, notes = checkpoints.restore(step, state_at(0, seed=99))
    assert_same_state(state, jax.device_get(state_at(step)))
    assert int(state.opt_state[0].count) == 1
    assert notes == {"miou": miou, "seconds": step / 10}


def test_latest_and_best_are_kept_and_no_other(saved):
    assert steps_on_disk(saved) == [8, 16]
    with Checkpoints(saved, read_only=True) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (16, 8)
        assert [checkpoints.step_of(use) for use in ("best", "last")] == [8, 16]


def test_some_latest_are_kept_and_only_validated_ones_can_be_best(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(1, 7):
            notes = {"miou": 0.1 * step} if step in (2, 3) else {}
            checkpoints.save(state_at(step), notes)
        checkpoints.wait()
        assert (checkpoints.latest, checkpoints.best) == (6, 3)
    assert steps_on_disk(tmp_path) == [3, 5, 6]


def test_the_best_stays_when_training_goes_on_and_ties_can_be_restored(tmp_path):
    folder = tmp_path / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state_at(1), {"miou": 0.9})
        checkpoints.save(state_at(2), {"miou": 0.2})
    with Checkpoints(folder) as checkpoints:
        for step, miou in ((3, 0.9), (4, 0.9), (5, 0.1)):
            checkpoints.save(state_at(step), {"miou": miou})
        checkpoints.wait()
        best = checkpoints.best
        assert best in (1, 3, 4)
        assert steps_on_disk(folder) == [best, 5]
        state, _ = checkpoints.restore(best, state_at(0))
    assert_same_state(state, jax.device_get(state_at(best)))


def test_without_a_checkpoint_there_is_no_latest_and_no_best(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.restore_latest(state_at(0)) is None
        with pytest.raises(InputError, match=r"checkpoints: no validated checkpoint yet; train"):
            checkpoints.best  # noqa: B018


def data_file(path):
    """The largest file: it holds arrays."""
    return max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def cut_off(path):
    file = data_file(path / "state")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(path):
    for file in (path / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def flip_a_bit(path):
    file = data_file(path / "state")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def other_numbers(path):
    """Whole files of another state: only the checksum can tell."""
    other = path.parent / "2"
    shutil.rmtree(path / "state")
    shutil.copytree(other / "state", path / "state")


def no_state(path):
    shutil.rmtree(path / "state")


def no_notes(path):
    (path / "notes" / "metadata").write_text("{")


def half_a_score(path):
    (path / "metrics").mkdir(exist_ok=True)
    (path / "metrics" / "metrics").write_text('{"miou": ')


@pytest.mark.parametrize(
    "damage", [cut_off, empty, flip_a_bit, other_numbers, no_state, no_notes, half_a_score]
)
def test_a_damaged_latest_is_named_and_the_one_before_is_taken(three, damage, caplog):
    damage(three / "3")
    with caplog.at_level(logging.WARNING, "xseg_jax"), Checkpoints(three, keep=3) as checkpoints:
        state, notes = checkpoints.restore_latest(state_at(0))
        assert notes == {"seconds": 2.0}
        # Training goes on and saves that step again.
        checkpoints.save(state_at(3), {"seconds": 9.0})
    assert_same_state(state, jax.device_get(state_at(2)))
    (said,) = [r.message for r in caplog.records if r.name.startswith("xseg_jax")]
    assert f"{three}/3" in said
    assert "it is skipped, and kept as damaged_3_" in said
    assert len(list(three.glob("damaged_3_*"))) == 1
    with Checkpoints(three, read_only=True) as checkpoints:
        assert checkpoints.restore(3, state_at(0))[1] == {"seconds": 9.0}


def test_when_all_are_damaged_nothing_starts_anew(three):
    for step in (1, 2, 3):
        cut_off(three / str(step))
    with (
        Checkpoints(three) as checkpoints,
        pytest.raises(InputError, match=r"no checkpoint can be read.*/3.*/2.*/1.*another --work"),
    ):
        checkpoints.restore_latest(state_at(0))


def test_a_signal_while_a_checkpoint_is_read_does_not_make_it_a_damaged_one(three, monkeypatch):
    def stopped(*arguments, **options):
        raise StoppedError("stopped by SIGTERM")

    with Checkpoints(three) as checkpoints:
        monkeypatch.setattr(checkpoints._manager, "restore", stopped)
        with pytest.raises(StoppedError):
            checkpoints.restore_latest(state_at(0))
    assert steps_on_disk(three) == [1, 2, 3]


def test_a_damaged_best_is_named(three):
    cut_off(three / "1")
    with (
        Checkpoints(three, read_only=True) as checkpoints,
        pytest.raises(DamagedError, match=r"checkpoints/1: cannot be read"),
    ):
        checkpoints.restore(checkpoints.best, state_at(0))


def test_what_is_half_written_is_not_seen_and_swept_up(three):
    half = three / "4.orbax-checkpoint-tmp"
    shutil.copytree(three / "3", half)
    with Checkpoints(three, read_only=True) as checkpoints:
        assert checkpoints.latest == 3
    assert half.exists()  # Another process may be writing it.
    with Checkpoints(three) as checkpoints:
        assert checkpoints.latest == 3
        checkpoints.save(state_at(4), {})
    assert not half.exists()


def test_another_model_is_refused_by_the_names_of_its_parameters(three):
    other = state_at(0)
    other.params["conv"]["kernel"] = np.zeros((3, 3, 1, 8), np.float32)
    other.params["head"] = {"bias": np.zeros(2, np.float32)}
    with Checkpoints(three) as checkpoints, pytest.raises(InputError) as caught:
        checkpoints.restore_latest(other)
    assert not isinstance(caught.value, DamagedError)
    assert str(caught.value) == (
        f"{three}/3: is of another model than the config describes; 2 arrays differ: "
        "params/conv/kernel is (3, 3, 1, 4) there, (3, 3, 1, 8) here; "
        "params/head/bias is missing there, (2,) here"
    )
    assert steps_on_disk(three) == [1, 2, 3]


@pytest.mark.parametrize(
    "name",
    ["run [v1]", "a?*", "a\\b", "µ漢字 'x'", os.fsdecode(b"lat\xe4in"), "new\nline", "50%#{a}"],
)
def test_a_run_may_have_any_name(tmp_path, name):
    folder = tmp_path / name / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(state_at(1), {"miou": 0.5})
        checkpoints.save(state_at(2), {"miou": 0.4})
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.best == 1
        found: Any = checkpoints.restore_latest(state_at(0))
    assert_same_state(found[0], jax.device_get(state_at(2)))
    assert found[1] == {"miou": 0.4}
    assert steps_on_disk(folder) == [1, 2]


def test_no_link_of_a_run_stays_behind(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with Checkpoints(tmp_path / "run") as checkpoints:
        assert [path.name for path in (tmp_path / "tmp").glob("*/*")] == ["folder"]
        checkpoints.save(state_at(1), {})
    assert not any((tmp_path / "tmp").iterdir())
    assert steps_on_disk(tmp_path / "run") == [1]


@pytest.mark.parametrize("damage", [cut_off, other_numbers])
def test_the_first_checkpoint_is_read_back_and_no_other(tmp_path, monkeypatch, damage):
    with Checkpoints(tmp_path / "2") as checkpoints:
        checkpoints.save(state_at(2), {})
    folder, wait = tmp_path / "run", Checkpoints.wait
    shutil.copytree(tmp_path / "2" / "2", folder / "2")  # What `other_numbers` takes.
    (folder / "2").rename(tmp_path / "other")

    def then_it_is_damaged(self):
        wait(self)
        shutil.copytree(tmp_path / "other", folder / "2")
        damage(folder / "1")

    monkeypatch.setattr(Checkpoints, "wait", then_it_is_damaged)
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(SaveError, match=r"run/1: .*, although it was just written; .* another disk"),
    ):
        checkpoints.save(state_at(1), {})


def test_a_run_that_goes_on_is_not_read_again(tmp_path, monkeypatch):
    read, restore = [], Checkpoints.restore
    monkeypatch.setattr(
        Checkpoints,
        "restore",
        lambda self, step, like: (read.append(step), restore(self, step, like))[1],
    )
    for steps in ((1, 2, 3), (4, 5)):
        with Checkpoints(tmp_path) as checkpoints:
            for step in steps:
                checkpoints.save(state_at(step), {})
    assert read == [1]


@pytest.mark.parametrize("ends_with", ["nothing", "an error of its own"])
def test_a_disk_that_fails_at_the_end_is_one_line_and_hides_no_other_error(
    tmp_path, monkeypatch, ends_with
):
    """Orbax raises what happened in the background once more when it is closed."""
    checkpoints = Checkpoints(tmp_path)

    def fails():
        raise OSError(errno.ENOSPC, "No space left on device")

    close = checkpoints._manager.close
    monkeypatch.setattr(checkpoints._manager, "close", lambda: (close(), fails()))
    if ends_with == "nothing":
        with pytest.raises(SaveError, match=r"could not be saved \(.*No space left on device\)"):
            checkpoints.__exit__(None)
    else:
        with pytest.raises(SaveError, match="said before"), checkpoints:
            raise SaveError("said before")
