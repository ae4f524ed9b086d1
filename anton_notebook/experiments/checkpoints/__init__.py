"""Points of traces that are kept, with changes, to go back to: `anb.checkpoint`, `anb.checkpoints`, `Checkpoint`.

Below them lies a general store of documents (`Store`), in one SQLite file.
"""

from anton_notebook.experiments.checkpoints.checkpoint import Checkpoint, checkpoint
from anton_notebook.experiments.checkpoints.frame import checkpoints
from anton_notebook.experiments.checkpoints.store import Document, Store, Write

__all__ = ["Checkpoint", "Document", "Store", "Write", "checkpoint", "checkpoints"]
