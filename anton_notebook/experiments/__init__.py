"""Experiments on recorded runs: re-run, replay, checkpoints, comparison and statistics."""
