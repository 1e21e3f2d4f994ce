"""Orbax checkpoints: the latest and the best. The only file that knows orbax."""

from pathlib import Path
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from xseg_jax.errors import InputError
from xseg_jax.training.state import TrainState

SCORE = "miou"


class Checkpoints:
    """Checkpoints of a run, one folder a step; a save appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        keep = [LatestN(n=1), BestN(n=1, get_metric_fn=_score)]
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy(keep), best_fn=_score
            ),
            item_names=("state", "scores"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def best(self) -> int:
        """Step of the checkpoint with the highest validation mean IoU.

        Raises:
          InputError: there is no checkpoint yet.
        """
        step = self._manager.best_step()
        if step is None:
            raise InputError(
                f"{self._manager.directory}: no checkpoint yet; train the run first, with "
                "python main.py --config=CONFIG --workdir=RUN"
            )
        return step

    def save(self, state: TrainState, scores: dict[str, float]) -> None:
        """Saves in the background; `scores` must hold "miou"."""
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
            scores=ocp.args.JsonSave(scores),  # pyright: ignore[reportCallIssue]
        )
        self._manager.save(int(state.step), args=items, metrics=scores)

    def scores(self, step: int) -> dict[str, float]:
        """What was saved beside the state of a step."""
        items = ocp.args.Composite(scores=ocp.args.JsonRestore())
        return self._manager.restore(step, args=items)["scores"]

    def wait(self) -> None:
        """Returns when all saves are on disk."""
        self._manager.wait_until_finished()

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state saved at a step on one device, whatever it was saved on.

        Args:
          step: of a checkpoint.
          like: a state, or only its shapes and dtypes.
        """
        here = SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like
        )
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract)  # pyright: ignore[reportCallIssue]
        )
        return self._manager.restore(step, args=items)["state"]


def _score(metrics: dict[str, Any]) -> float:
    return metrics[SCORE]
