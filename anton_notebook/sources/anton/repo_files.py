"""anton's other files of a repository: `progress/`, `checkpoints/` and `knowledge.json`, read again when they change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.line_schema import FAULTS

MOST = 64 << 20
FRESH = 1.0  # seconds for which a file that cannot be read may be half written
T = TypeVar("T")
Stamp = tuple[int, int, int]


class Progress(msgspec.Struct, gc=False):
    """`progress/<task_id>.json`: how far a task is. Times are texts, local where they name no zone."""

    task_id: str
    task_description: str = ""
    status: str = ""
    total_phases: int = 0
    completed_phases: int = 0
    current_phase: int = 0
    total_subtasks: int = 0
    completed_subtasks: int = 0
    failed_subtasks: int = 0
    blocked_subtasks: int = 0
    start_time: str | None = None
    last_update: str | None = None


class Subtask(msgspec.Struct, gc=False):
    """How one subtask went, as a checkpoint has it."""

    subtask_id: str = ""
    status: str = ""


class Checkpoint(msgspec.Struct, gc=False):
    """The light fields of `checkpoints/<task_id>/checkpoint_<id>.json`; phases count from 0."""

    task_id: str
    checkpoint_id: str
    timestamp: str
    phase_index: int = 0
    total_phases: int = 0
    task_description: str = ""
    completed_subtasks: list[Subtask] = []


class Module(msgspec.Struct, gc=False):
    """One module of `knowledge.json`."""

    name: str
    path: str = ""
    purpose: str = ""
    language: str = ""
    dependencies: list[str] = []


class Knowledge(msgspec.Struct, gc=False):
    """`knowledge.json`: what anton knows of the repository."""

    root_path: str = ""
    modules: list[Module] = []


@dataclass(slots=True)
class _Known:
    stamp: Stamp
    value: Any
    told: bool = False


class AntonFolder:
    """What lies in one `.modular-agents` folder beside its traces."""

    def __init__(self, path: str, report: Callable[[Problem], None]) -> None:
        self.path = path
        self._report = report
        self._mine = tuple(os.path.join(path, name) for name in ("progress", "checkpoints", "knowledge.json"))
        self._files: dict[str, _Known] = {}
        self._folders: dict[str, tuple[Stamp, list[str]]] = {}
        self.progress: dict[str, Progress] = {}
        self.checkpoints: dict[str, list[Checkpoint]] = {}
        self.knowledge: Knowledge | None = None

    @property
    def files(self) -> list[str]:
        """What was read."""
        return [path for path, known in self._files.items() if known.value is not None]

    def takes(self, path: str) -> bool:
        """Whether a path is one of the files that are read here, or a folder of them."""
        return path.startswith(self._mine)

    def roots(self) -> list[tuple[str, bool]]:
        """The folders that matter, with whether those below do."""
        found = [
            (self.path, False),
            (os.path.join(self.path, "progress"), False),
            (os.path.join(self.path, "checkpoints"), True),
        ]
        return [(path, deep) for path, deep in found if os.path.isdir(path)]

    def read(self) -> bool:
        """Reads what has changed. True where anything did."""
        wanted: dict[str, type] = {}
        for path in self._names(os.path.join(self.path, "progress")):
            if path.endswith(".json"):
                wanted[path] = Progress
        for folder in self._names(os.path.join(self.path, "checkpoints")):
            for path in self._names(folder):
                if os.path.basename(path).startswith("checkpoint_") and path.endswith(".json"):
                    wanted[path] = Checkpoint
        wanted[os.path.join(self.path, "knowledge.json")] = Knowledge
        changed = [self._read(path, kind) for path, kind in wanted.items()]
        for path in [path for path in self._files if path not in wanted]:
            del self._files[path]
            changed.append(True)
        if not any(changed):
            return False
        values = [known.value for _, known in sorted(self._files.items())]
        self.progress = {v.task_id: v for v in values if isinstance(v, Progress)}
        self.checkpoints = {}
        for value in values:
            if isinstance(value, Checkpoint):
                self.checkpoints.setdefault(value.task_id, []).append(value)
        self.knowledge = next((v for v in values if isinstance(v, Knowledge)), None)
        return True

    def _names(self, folder: str) -> list[str]:
        stamp = _stamp(folder)
        if stamp is None:
            self._folders.pop(folder, None)
            return []
        known = self._folders.get(folder)
        if known is None or known[0] != stamp:
            try:
                with os.scandir(folder) as entries:
                    names = sorted(entry.path for entry in entries if not entry.is_symlink())
            except OSError:
                return []
            known = self._folders[folder] = (stamp, names)
        return known[1]

    def _read(self, path: str, kind: type) -> bool:
        stamp = _stamp(path)
        known = self._files.get(path)
        if stamp is None:
            return self._files.pop(path, None) is not None
        if known is not None and known.stamp == stamp:
            return False
        old = known.value if known is not None else None
        try:
            if stamp[1] > MOST:
                raise ValueError(f"larger than {MOST >> 20} MiB")
            with open(path, "rb") as file:
                value: Any = decoded(file.read(), kind)
        except OSError:
            return False
        except FAULTS as error:
            if time.time() - stamp[0] / 1e9 > FRESH and (known is None or not known.told):
                self._report(Problem(path, None, None, f"cannot be used: {error}", None, None))
                self._files[path] = _Known(stamp, old, told=True)
            return False
        self._files[path] = _Known(stamp, value)
        return True


def decoded(text: bytes, kind: type[T]) -> T:
    """A file's light fields. A null is as good as a field that is not there; ValueError for anything else of a wrong type."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(_without_nulls(msgspec.json.decode(text)), kind)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
