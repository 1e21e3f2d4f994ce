from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from xseg_jax.errors import InputError
from xseg_jax.training.checkpoint import Checkpoints
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


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Four checkpoints of which the second is the best, written and closed."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(folder) as checkpoints:
        for step, miou in ((4, 0.5), (8, 0.9), (12, 0.7), (16, 0.6)):
            checkpoints.save(state_at(step), {"miou": miou, "seconds": step / 10})
    return folder


@pytest.mark.parametrize("step", [8, 16])
def test_a_restored_state_is_the_saved_one_to_the_bit(saved, step):
    with Checkpoints(saved) as checkpoints:
        state = checkpoints.restore(step, state_at(0, seed=99))
    expected = state_at(step)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
        assert (one.dtype, one.sharding) == (other.dtype, other.sharding)
    assert int(expected.opt_state[0].count) == 1


def test_latest_and_best_are_kept_and_no_other(saved):
    assert steps_on_disk(saved) == [8, 16]
    with Checkpoints(saved) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (16, 8)


def test_scores_come_back_with_their_checkpoint(saved):
    with Checkpoints(saved) as checkpoints:
        assert checkpoints.scores(8) == {"miou": 0.9, "seconds": 0.8}
        assert checkpoints.scores(16) == {"miou": 0.6, "seconds": 1.6}


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
        state = checkpoints.restore(best, state_at(0))
    np.testing.assert_array_equal(
        state.params["conv"]["kernel"], state_at(best).params["conv"]["kernel"]
    )


def test_without_a_checkpoint_there_is_no_latest_and_no_best(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest is None
        with pytest.raises(InputError, match=r"checkpoints: no checkpoint yet; train the run"):
            checkpoints.best  # noqa: B018
