"""Where the things lie that we write: one home for each path that is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

MODULAR = ".modular-agents"


def home(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Path:
    """The folder that keeps checkpoints, cached answers and branches of what is read from `path`. Nothing is made by asking.

    It is the `.modular-agents` folder that the path is, holds or lies in. Elsewhere it is `.anton_notebook` beside the (first)
    path, or, where that cannot be written or is the user's own folder, a folder below `$XDG_STATE_HOME`.

    >>> home("/repo/.modular-agents/traces").name
    '.modular-agents'
    """
    first = path if isinstance(path, str | os.PathLike) else next(iter(path))
    here = Path(first).expanduser().resolve()
    own = Path.home() / MODULAR
    for folder in (here, *here.parents):
        if folder.name == MODULAR and folder != own and not here.is_file():
            return folder
        if folder.name == MODULAR and folder != own and here.suffix == ".jsonl":
            return folder
    if (here / MODULAR).is_dir() and here / MODULAR != own:
        return here / MODULAR
    beside = here.parent if here.is_file() or not here.exists() else here
    if here.is_dir() and not list(here.glob("*.jsonl"))[:1] and beside != own:
        return here / MODULAR
    if beside != own and own not in beside.parents and os.access(beside, os.W_OK):
        return beside / ".anton_notebook"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "anton_notebook" / hashlib.sha256(str(here).encode()).hexdigest()[:12]
