"""Checkpoints: positions in traces plus changed prompts. `anb.checkpoint`, `anb.checkpoints`, `Checkpoint`.

`checkpoint.py` holds the class, `database.py` its storage, `anton_checkpoints.py` reads anton's own checkpoint files.
"""

from anton_notebook.experiments.checkpoints.checkpoint import Checkpoint, checkpoint
from anton_notebook.experiments.checkpoints.database import CheckpointDatabase, CheckpointRow
from anton_notebook.experiments.checkpoints.frame import checkpoints

__all__ = ["Checkpoint", "CheckpointDatabase", "CheckpointRow", "checkpoint", "checkpoints"]
