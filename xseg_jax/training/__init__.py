"""The state of a run: parameters, steps, checkpoints and the run folder."""
