"""anton's progress and checkpoints, joined to the runs they are about.

A run is joined by the task id that its orchestrator's messages name, else by its description and time: the task began before the
run's first call and was written of for the last time after its last one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo

from anton_notebook.model.span import NAT
from anton_notebook.sources.anton.repo_files import AntonFolder, Checkpoint, Progress
from anton_notebook.sources.timestamps import parse_time
from anton_notebook.store import Store, TraceInfo

SLACK = 2_000_000  # microseconds that the files' times may be off
FRESH = 600_000_000  # microseconds after which a task that is said to run no longer counts as running
RUNNING = frozenset(("in_progress", "running", "started"))
FAILED = frozenset(("failed", "error", "blocked"))

Times = Callable[[str | None], int]


def join(
    store: Store,
    folders: Iterable[AntonFolder],
    task_ids: Mapping[str, str],
    ahead: Mapping[int, int],
    zone: tzinfo | None,
) -> None:
    """Tells the store what the folders know of its runs.

    `task_ids`: anton's task of a trace, where its messages name it. `ahead`: what local time is ahead of UTC in a trace, in
    microseconds, where that is known better than by `zone`.
    """
    folders = list(folders)
    by_name: dict[str, list[tuple[AntonFolder, Progress]]] = {}
    by_id: dict[str, tuple[AntonFolder, Progress]] = {}
    for folder in folders:
        for progress in folder.progress.values():
            by_id[progress.task_id] = (folder, progress)
            by_name.setdefault(_title(progress.task_description), []).append((folder, progress))
        for task_id, checkpoints in folder.checkpoints.items():
            if task_id not in folder.progress:
                known = _by_checkpoints(task_id, checkpoints)
                by_id[task_id] = (folder, known)
                by_name.setdefault(_title(known.task_description), []).append((folder, known))
    if not by_id:
        return
    with store.lock:
        infos = [info for info in store.traces if info.spans and info.origin in ("run", "record")]
    for info in infos:
        code = info.code
        times = _times(ahead.get(code), zone)
        found = by_id.get(task_ids.get(info.trace_id, info.trace_id))
        if found is None and info.name.strip():
            found = max(
                (pair for pair in by_name.get(_title(info.name), ()) if _encloses(pair[1], info, times)),
                key=lambda pair: (times(pair[1].start_time), pair[1].task_id),
                default=None,
            )
        if found is not None:
            folder, progress = found
            _describe(store, info, progress, folder.checkpoints.get(progress.task_id, []), times)


def _by_checkpoints(task_id: str, checkpoints: list[Checkpoint]) -> Progress:
    """What is left of a task whose progress file is not there: it began before its first checkpoint, and says nothing more."""
    times = sorted(checkpoint.timestamp for checkpoint in checkpoints)
    description = next((c.task_description for c in checkpoints if c.task_description), "")
    return Progress(task_id, description, start_time=times[0], last_update=times[-1])


def _describe(store: Store, info: TraceInfo, progress: Progress, checkpoints: list[Checkpoint], times: Times) -> None:
    runs = progress.status in RUNNING
    last = times(progress.last_update)
    fresh = runs and last != NAT and time.time() * 1e6 - last <= FRESH
    marks = sorted((at, c.checkpoint_id, c) for c in checkpoints if (at := times(c.timestamp)) != NAT)
    with store.lock:
        others = [
            a.first[0] for code, a in info.agents.items() if code != info.orchestrator and a.first[0] != 2**63 - 1
        ]
        since = min(others, default=info.start)
    phases: list[tuple[int, int, str, str]] = []
    known: set[str] = set()
    for at, _, checkpoint in marks:
        new = [subtask for subtask in checkpoint.completed_subtasks if subtask.subtask_id not in known]
        known.update(subtask.subtask_id for subtask in new)
        bad = any(subtask.status in FAILED for subtask in new)
        name = f"phase {checkpoint.phase_index + 1} of {checkpoint.total_phases}"
        phases.append((min(since, at), at, name, "error" if bad else "ok"))
        since = at
    failed = progress.status in FAILED
    if (runs or failed) and progress.total_phases > len(phases):
        end = NAT if fresh else max(since, info.end)
        state = "running" if fresh else "error" if failed else "stopped"
        phases.append((since, end, f"phase {progress.current_phase + 1} of {progress.total_phases}", state))
    store.describe(
        info.code,
        name=info.name or _title(progress.task_description)[:500],
        verdict="error" if failed else "running" if fresh else None,
        progress=words(progress, stopped=runs and not fresh),
        phases=phases,
        marks=[(at, f"checkpoint {name}") for at, name, _ in marks],
    )


def words(progress: Progress, *, stopped: bool = False) -> str:
    """How far a task is, for people.

    >>> words(Progress("t", status="in_progress", total_phases=2, total_subtasks=4, completed_subtasks=3))
    'phase 1 of 2, 3 of 4 subtasks'
    """
    said = []
    runs = progress.status in RUNNING
    if not runs or stopped:
        said.append("stopped" if stopped else progress.status.replace("_", " "))
    if progress.total_phases and runs:
        said.append(f"phase {min(progress.current_phase + 1, progress.total_phases)} of {progress.total_phases}")
    elif progress.total_phases:
        said.append(f"{progress.completed_phases} of {progress.total_phases} phases")
    elif runs and not stopped:
        said.append("planning")
    if progress.total_subtasks:
        said.append(f"{progress.completed_subtasks} of {progress.total_subtasks} subtasks")
    said += [
        f"{n} {word}" for n, word in ((progress.failed_subtasks, "failed"), (progress.blocked_subtasks, "blocked")) if n
    ]
    return ", ".join(word for word in said if word)


def _times(ahead: int | None, zone: tzinfo | None) -> Times:
    if ahead is None:
        return lambda text: parse_time(text, zone)

    def when(text: str | None) -> int:
        local = parse_time(text, UTC)
        aware = text is not None and len(text) > 19 and (text[-1] in "Zz" or text[-6] in "+-")
        return local if aware or local == NAT else local - ahead

    return when


def _encloses(progress: Progress, info: TraceInfo, times: Times) -> bool:
    start, last = times(progress.start_time), times(progress.last_update)
    if not progress.status:  # known by its checkpoints alone, which were made while it ran
        return NAT not in (start, info.start) and info.start - SLACK <= start and last <= info.end + SLACK
    if NAT in (start, info.start) or start > info.start + SLACK:
        return False
    return progress.status in RUNNING or (last != NAT and info.end <= last + SLACK)


def _title(text: str) -> str:
    return text.strip().split("\n", 1)[0].strip()
