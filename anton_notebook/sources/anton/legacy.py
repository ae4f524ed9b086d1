"""Calls without ids (FORMATS.md 1), of all files of one path together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anton_notebook.model.span import ERROR_KEPT, Flag, Records, SpanClass
from anton_notebook.sources.anton import history_inference
from anton_notebook.store import Store


class Legacy:
    """Calls without ids of all files of one path: which run each belongs to is decided over all of them together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.estimate: Callable[[Mapping[str, Any]], tuple[int, int]] | None = None
        self._calls: dict[str, history_inference.Call] = {}
        self._light: dict[str, tuple[SpanClass, int, str | None, tuple[int, int], int, int, int, int]] = {}
        self._at: dict[str, str] = {}
        self.runs: dict[str, history_inference.Run] = {}
        self._dirty = False

    def task_ids(self) -> dict[str, str]:
        """anton's task of each run whose messages name it, by the run's trace."""
        return {run.trace_id: run.task_id for run in self.runs.values() if run.task_id}

    def add(
        self,
        call: history_inference.Call,
        cls: SpanClass,
        duration: int,
        error: str | None,
        usage: tuple[int, int],
        *place: int,
    ) -> None:
        """Takes one call; `place` is (file, offset, length, line)."""
        file, offset, length, line = place
        known = self._light.get(call.span_id)
        if known is not None and not self._store.files[known[4]].gone:
            path = self._store.files[known[4]].path
            if (path, known[5]) <= (self._store.files[file].path, offset):
                return
        self._calls[call.span_id] = call
        self._light[call.span_id] = (cls, duration, error, usage, file, offset, length, line)
        self._dirty = True

    def flush(self) -> None:
        """Puts every call into the store under its run; a call whose run has changed leaves its former place."""
        if not self._dirty:
            return
        self._dirty = False
        of, self.runs = history_inference.runs(self._calls.values())
        moved = [s for s, trace in self._at.items() if of[s] != trace]
        old = [self._store.row(self._store.trace_code(self._at[s]), s) for s in moved]
        self._store.remove(np.array([row for row in old if row >= 0], np.int32))
        ids = list(of)
        calls = [self._calls[s] for s in ids]
        light = [self._light[s] for s in ids]
        errors = {i: item[2][:ERROR_KEPT] for i, item in enumerate(light) if item[2]}
        usage = np.array([item[3] for item in light], np.int32).reshape(-1, 2)
        estimated = (usage >= 0).any(axis=1)
        records = Records(
            trace=self._store.trace_codes([of[s] for s in ids]),
            span_id=ids,
            parent_id=[None] * len(ids),
            cls=np.array([self._store.class_code(item[0]) for item in light], np.int32),
            start=np.array([call.start for call in calls], np.int64),
            duration=np.array([item[1] for item in light], np.int64),
            status=np.array([2 if item[2] else 1 for item in light], np.uint8),
            flags=np.where(estimated, np.uint8(Flag.ESTIMATED), np.uint8(0)),
            input=usage[:, 0].copy(),
            output=usage[:, 1].copy(),
            cached=np.full(len(ids), -1, np.int32),
            recorded_cost=np.full(len(ids), np.nan),
            file=np.array([item[4] for item in light], np.int32),
            offset=np.array([item[5] for item in light], np.int64),
            length=np.array([item[6] for item in light], np.int32),
            line=np.array([item[7] for item in light], np.int32),
            errors=errors,
        )
        self._store.put(records)
        self._at = of
        for trace_id, run in self.runs.items():
            if run.name:
                self._store.describe(self._store.trace_code(trace_id), name=run.name)
