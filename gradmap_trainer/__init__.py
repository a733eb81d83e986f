"""Trainers on the differentiable simulator, and the evaluation, checkpoints, report of a run."""
