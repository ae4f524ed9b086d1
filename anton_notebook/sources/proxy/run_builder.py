"""Rows of a proxy's database into runs: whose turn each call is, which agent's, of which run, and what was called in between.

Rows are taken in the order of their rowid, which is the order in which the calls began; what comes out depends on that alone and
not on when they were read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anton_notebook.model.span import NAT, Int32
from anton_notebook.sources.anton.history_inference import ORCHESTRATOR
from anton_notebook.sources.proxy.caller_links import answered, facts
from anton_notebook.sources.proxy.calls import ENDED, LOST, OPEN, Calls, Group, starts_of, text, texts
from anton_notebook.sources.proxy.history_matching import (
    Asked,
    Opening,
    Turn,
    Turns,
    is_system,
    messages_of,
    opening,
    pairs,
    plain_prompt,
    plain_results,
    task_of,
)
from anton_notebook.sources.proxy.records import Classes, Held, Tools, ToolSpan, call_records, copied, tool_records
from anton_notebook.sources.proxy.sqlite_reader import Row, SqliteFile
from anton_notebook.sources.proxy.tasks import Task
from anton_notebook.store import Store
from anton_notebook.store.uuid5 import uuid5

QUIET = 600.0  # seconds without anything new after which nothing more is expected of a run
PATIENCE = 30.0  # seconds that an answer may be late after its agent went on without it
NO_ANSWER = "no answer was recorded: the call was under way when its process ended"
SYSTEMS = 1024  # system messages of which it is remembered what they say
_NAMELESS = (None, b"unknown", b"")
_ORCHESTRATES = b"You are the Orchestrator Agent"

Keep = Callable[[str | None], bool | None]
"""Whether a task is to be shown, by the path line of its orchestrator (None: there is none); None: not known yet."""
Told = Callable[[int, str, str | None, bytes], None]
"""Takes a problem: row, reason, column, excerpt."""


class Runs:
    """All calls of one database as it was at one time. `verdicts` (which tasks are shown) and `seen` (tool calls) outlive it."""

    def __init__(
        self,
        file: SqliteFile,
        store: Store,
        tell: Told,
        keep: Keep | None,
        verdicts: dict[str, bool],
        seen: set[int],
    ) -> None:
        self.calls = Calls(file)
        self.groups: list[Group] = []
        self.open: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.last = 0
        self.last_id: object = None
        self.file = store.add_file(file.path, self.calls.load, "proxy")
        self.restart = False
        self.kept = 0
        self._store, self._tell, self._keep, self._verdicts = store, tell, keep, verdicts
        self._tasks: dict[bytes, Group] = {}
        self._turns = Turns()
        self._classes = Classes(store)
        self._late: dict[int, list[ToolSpan]] = {}
        self._guessed: dict[int, list[ToolSpan]] = {}
        self._seen = seen
        self._held = Held()
        self._asked: Asked = {}
        self._systems: dict[bytes, Opening] = {}
        self._failed: set[str] = set()
        self._offset = NAT

    # -- rows

    def take(self, rows: list[Row], columns: Sequence[Sequence[Any]], tasks: Sequence[Task]) -> bool:
        """Takes new rows (also in columns) and what is known of their tasks. True where one of them is shown. `flush` puts them
        into the store."""
        calls, held, find = self.calls, self._held, self._turns.find
        ids = texts(columns[1])
        shown: list[int] = []
        first, now = len(held.numbers), time.monotonic()
        for i, raw in enumerate(columns[15]):
            task = tasks[i][2]
            if raw.__class__ is not bytes:
                raw = text(raw).encode("utf-8", "replace")
            number, group = len(calls.ids), None
            if task:
                group = self._tasks.get(task)
                if group is None or group.kept is None:
                    group = self._group(task, raw)
                if not group.kept:
                    continue
            found = find(group.number if group is not None else 0, raw, number)
            previous, pieces = found[0], found[1]
            row, told = rows[i], None
            if previous < 0:
                told = self._opened(row, Turn(*found), raw)
            if group is None:
                group = calls.groups[previous] if told is None else self._lone(ids[i], told)
            agent = told.agent if told is not None else calls.agents[previous]
            if told is None and row[11] not in _NAMELESS:
                agent = text(row[11])
            calls.ids.append(ids[i])
            calls.rowids.append(row[0])
            calls.groups.append(group)
            calls.agents.append(agent)
            calls.previous.append(previous)
            if not group.kept:
                continue
            if not group.arrived:
                held.new.append((group, first + len(shown)))
            shown.append(i)
            held.numbers.append(number)
            group.arrived = now
            if told is not None or agent == ORCHESTRATOR or (tasks[i][4] and not group.named):
                facts(self._store, calls, group, number, row, told, tasks[i])
            results = plain_results(pieces, self._asked)
            if results is None or (results and (previous < 0 or previous in calls.continued)):
                held.odd += self._tools(number, Turn(*found), raw, results)
            elif results:
                held.showers.append(number)
                held.counts.append(len(results))
                salt = hash((group.trace_id, agent))
                for name, key in results:
                    held.names.append(name)
                    self._seen.add(salt ^ key)
            if previous >= 0:
                calls.continued.add(previous)
        self.last, self.last_id = rows[-1][:2]
        calls.fill()
        held.add([*columns[:13], [task[3] for task in tasks]], shown, len(rows))
        return bool(shown)

    @property
    def waiting(self) -> int:
        """How many calls wait for `flush`."""
        return len(self._held.numbers)

    def flush(self) -> None:
        """Puts what was taken into the store."""
        held, self._held = self._held, Held()
        if not held.numbers:
            return
        calls = self.calls
        starts, offsets = starts_of(held.columns[3], held.columns[13], self._offset)
        self._offset = int(offsets[-1])
        for group, at in held.new:
            group.offset = int(offsets[at])
        calls.at("starts")[held.numbers] = starts
        self._put(held.columns, held.numbers)
        if held.showers:
            tools = held.tools(calls)
            if self.lost or (calls.at("state")[tools.asker] == OPEN).any():
                held.odd += tools.spans()
            else:
                self._store.put(tool_records(calls, self._classes, tools, self._failed, self.file))
        waits = [tool for tool in held.odd if tool.asker >= 0 and calls.state[tool.asker] == OPEN]
        for tool in waits:
            self._late.setdefault(tool.asker, []).append(tool)
        if waits:
            held.odd = [tool for tool in held.odd if tool.asker < 0 or calls.state[tool.asker] != OPEN]
        self._put_tools(held.odd)

    def number(self, rowid: int) -> int:
        """The call of a row that has no answer."""
        return self.open[rowid] if rowid in self.open else self.lost[rowid]

    def end(self, rows: list[Row]) -> None:
        """Takes rows that had no end when they were seen last, and have one now."""
        calls = self.calls
        late = [self.lost.pop(row[0]) for row in rows if row[0] in self.lost]
        at = {calls.rowids[number]: number for number in late}
        numbers = [at[row[0]] if row[0] in at else self.open.pop(row[0]) for row in rows]
        tools: list[ToolSpan] = []
        if late:
            self._store.remove(self._rows(late))
            for number in late:
                tools += self._guessed.pop(number, [])
            found = [self._store.row(calls.groups[tool.shower].code, tool.span_id) for tool in tools]
            self._store.remove(np.array(found, np.int32))
        if rows:
            self._put(list(zip(*rows, strict=True)), numbers)
        moved: list[int] = []
        for row, number in zip(rows, numbers, strict=True):
            tools += self._late.pop(number, [])
            if calls.agents[number] == ORCHESTRATOR:
                group = calls.groups[number]
                group.planning -= number not in late
                moved += answered(calls, group, number, row[13])
                if not group.planning:
                    group.openings.clear()
        self._put_tools(tools)
        if moved:
            self._move(moved)

    def give_up(self) -> bool:
        """Ends the calls of which no answer is to be expected any more. True where there were any."""
        if not self.open:
            return False
        now, clock = time.time() * 1e6, time.monotonic()
        found = [number for number in self.open.values() if self._is_lost(number, now, clock)]
        self.lose(found)
        return bool(found)

    def forget(self) -> list[tuple[int, str]]:
        """Before these rows are read anew: takes back what was given up. Gives the traces and ids of the calls that are open."""
        calls = self.calls
        calls.gone = True
        self._store.remove(self._rows(list(self.lost.values())))
        self._store.mark_file_gone(self.file)
        return [(calls.groups[number].code, calls.ids[number]) for number in self.open.values()]

    def bury(self, open_before: list[tuple[int, str]]) -> None:
        """Ends the calls that were open before these rows were read anew, and are not among them."""
        known = set(self.calls.ids) if open_before else set()
        self._without_answer([self._store.row(code, span_id) for code, span_id in open_before if span_id not in known])

    def _without_answer(self, rows: list[int]) -> None:
        if rows:
            records = copied(self._store, rows, [None] * len(rows))
            records.status[:] = 2
            records.errors = dict.fromkeys(range(len(rows)), NO_ANSWER)
            self._store.put(records)

    def lose(self, numbers: list[int]) -> None:
        """Ends these open calls without an answer."""
        calls = self.calls
        tools: list[ToolSpan] = []
        for number in numbers:
            self.lost[calls.rowids[number]] = self.open.pop(calls.rowids[number])
            calls.state[number] = LOST
            tools += self._late.pop(number, [])
            if calls.agents[number] == ORCHESTRATOR:
                calls.groups[number].planning -= 1
        self._without_answer(self._rows(numbers).tolist())
        self._put_tools(tools)

    # -- one row

    def _group(self, task: bytes, raw: bytes) -> Group:
        group = self._tasks.get(task)
        if group is None:
            name = text(task)
            kept = True if self._keep is None else self._verdicts.get(name)
            group = self._tasks[task] = self._new(name, kept)
        if group.kept is None and self._keep is not None:
            if _ORCHESTRATES in raw[:200]:
                path = opening(messages_of(raw)[0]).path
                verdict = self._keep(path)
                if verdict is not None:
                    self._verdicts[group.trace_id] = verdict
                    self._decide(group, verdict)
                    self.restart |= verdict and group.waiting
            group.waiting = True
        return group

    def _lone(self, call_id: str, told: Opening) -> Group:
        """A conversation without a task is a run of its own."""
        kept = True if self._keep is None else self._keep(told.path) is True
        return self._new(uuid5(call_id), kept)

    def _new(self, trace_id: str, kept: bool | None) -> Group:
        group = Group(len(self.groups) + 1, trace_id, None)
        self.groups.append(group)
        self._decide(group, kept)
        return group

    def _decide(self, group: Group, kept: bool | None) -> None:
        group.kept = kept
        if kept:
            self.kept += 1
            group.code = self._store.trace_code(group.trace_id)

    def _opened(self, row: Row, turn: Turn, raw: bytes) -> Opening:
        pieces, plain = turn.pieces, row[11] in _NAMELESS and len(turn.pieces) == 2
        if plain and pieces[0] in self._systems and (user := plain_prompt(pieces[1])) is not None:
            return self._systems[pieces[0]]._replace(task=task_of(user), prompt=user)
        new = turn.new(raw)
        messages, fault = messages_of(new)
        if fault:
            self._tell(row[0], fault, "messages", new)
        told = opening(messages, text(row[11]))
        if plain and is_system(messages) and len(self._systems) < SYSTEMS:
            self._systems[pieces[0]] = told._replace(prompt="")
        return told

    def _tools(self, number: int, turn: Turn, raw: bytes, results: list[tuple[str, int]] | None) -> list[ToolSpan]:
        """The tool calls that are new in a call's history; `results`: as `plain_results` found them."""
        failed: set[int] = set()
        if results is None:
            found = list(pairs(messages_of(turn.new(raw))[0]))
            results = [(pair.name, hash((pair.name, repr(pair.text)))) for pair in found]
            failed = {k for k, pair in enumerate(found, 1) if pair.failed}
        calls, previous = self.calls, turn.previous
        group, agent = calls.groups[number], calls.agents[number]
        base, again = calls.ids[previous if previous >= 0 else number], previous in calls.continued
        out = []
        for k, (name, key) in enumerate(results, 1):
            key ^= hash((group.trace_id, agent))
            span_id = uuid5(f"{base}:tool:{k}:{calls.ids[number]}" if again else f"{base}:tool:{k}")
            if (previous < 0 or again) and key in self._seen and self._store.row(group.code, span_id) < 0:
                continue  # an earlier call's history has it too
            self._seen.add(key)
            if k in failed:
                self._failed.add(span_id)
            out.append(ToolSpan(span_id, name, previous, number, k, len(results)))
        return out

    # -- into the store

    def _put(self, columns: Sequence[Sequence[Any]], numbers: list[int]) -> None:
        """Puts calls into the store, and keeps how far their runs and agents are."""
        calls, groups = self.calls, self.calls.groups
        records = call_records(calls, self._classes, columns, numbers, self.file, self._fault)
        self._store.put(records)
        if not records.status.all():
            self.open.update((columns[0][i], numbers[i]) for i in np.flatnonzero(records.status == 0).tolist())
        at = np.array(numbers, np.int32)
        order = np.argsort(records.trace, kind="stable")
        at, codes = at[order], records.trace[order]
        begins = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        ends, starts = calls.at("ends")[at], calls.at("starts")[at]
        newest = np.maximum.reduceat(np.maximum(starts, ends), begins)
        for number, time_ in zip(at[begins].tolist(), newest.tolist(), strict=True):
            groups[number].newest = max(groups[number].newest, time_)
        done = sorted(at[calls.at("state")[at] == ENDED].tolist())
        latest = dict(zip([(id(groups[number]), calls.agents[number]) for number in done], done, strict=True))
        for (_, agent), number in latest.items():
            ended = groups[number].ended
            ended[agent] = max(ended.get(agent, -1), number)

    def _put_tools(self, tools: list[ToolSpan]) -> None:
        if self.lost:
            for tool in tools:
                if tool.asker >= 0 and self.calls.state[tool.asker] == LOST:
                    self._guessed.setdefault(tool.asker, []).append(tool)  # the answer may come after all
        if tools:
            records = tool_records(self.calls, self._classes, Tools.of(tools), self._failed, self.file)
            self._store.put(records)

    def _rows(self, numbers: list[int]) -> Int32:
        calls, store = self.calls, self._store
        rows = [store.row(calls.groups[number].code, calls.ids[number]) for number in numbers]
        return np.array([row for row in rows if row >= 0], np.int32)

    def _move(self, numbers: list[int]) -> None:
        """Hangs these calls under the answer that they came from, which was read after them."""
        rows = self._rows(numbers)
        records = copied(self._store, rows.tolist(), [self.calls.ids[self.calls.asked[number]] for number in numbers])
        self._store.remove(rows)
        self._store.put(records)

    def _is_lost(self, number: int, now: float, clock: float) -> bool:
        calls = self.calls
        group, agent = calls.groups[number], calls.agents[number]
        if now - group.newest > QUIET * 1e6 or clock - group.arrived > QUIET:
            return True
        if max(group.ended.values(), default=-1) < number:
            return False
        age = (max(now, group.newest) - calls.starts[number]) / 1e6
        own = max(group.ended.get(agent, -1), group.ended.get(ORCHESTRATOR, -1)) > number or agent == ORCHESTRATOR
        return age > (PATIENCE if own else QUIET)

    def _fault(self, rowid: int, column: str, wanted: str, found: object) -> None:
        said = text(found) if isinstance(found, bytes) else repr(found)
        self._tell(rowid, f"expected {wanted}, found {said[:60]}", column, b"")
