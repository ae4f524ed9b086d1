"""Replays: execute a changed call of a recorded run again, and what provably or structurally follows from it.

`recording.py`, `clock.py`, `structure.py` and `dependencies.py` read a run; `engine.py` resolves every call with
`history_rewrite.py` and `tool_steps.py`; `live_executor.py` sends, `branch_writer.py` writes the new trace, `dry_run.py` plans.
`session.py` and `entry_points.py` are the public side; `program/` runs the recorded program itself.
"""

from anton_notebook.experiments.replay.dry_run import CAUTION, ReplayPlan
from anton_notebook.experiments.replay.entry_points import plan, quote, replay
from anton_notebook.experiments.replay.session import Replay

__all__ = ["CAUTION", "Replay", "ReplayPlan", "plan", "quote", "replay"]
