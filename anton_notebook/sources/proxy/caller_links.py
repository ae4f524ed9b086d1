"""What the calls of a proxy's database say of their run: what it is called, and whose answer asked for which call."""

from __future__ import annotations

from anton_notebook.sources.anton.history_inference import ORCHESTRATOR
from anton_notebook.sources.proxy.calls import Calls, Group, text
from anton_notebook.sources.proxy.history_matching import Opening, handed_on, repeated
from anton_notebook.sources.proxy.sqlite_reader import Row
from anton_notebook.sources.proxy.tasks import Task
from anton_notebook.store import Store


def facts(store: Store, calls: Calls, group: Group, number: int, row: Row, told: Opening | None, task: Task) -> None:
    """What a row says of its run: a name, and who was asked by whom."""
    if not group.named and (task[4] or (told is not None and told.task and told.agent == ORCHESTRATOR)):
        group.named = True
        name = text(task[4]) or (told.task if told is not None else None) or ""
        store.describe(group.code, name=name[:500])
    elif not group.called and told is not None and told.task:
        store.describe(group.code, name=told.task[:500])
    group.called |= told is not None
    if calls.agents[number] == ORCHESTRATOR:
        if row[7] is None and row[12] is None:
            group.planning += 1
        else:
            answered(calls, group, number, row[13])
    elif told is not None and (group.answers or group.planning):
        keys = {hash(told.task)} if told.task else set()
        asked = _newest(group, keys, number)
        if asked < 0:
            keys |= repeated(told.prompt)
            asked = _newest(group, keys, number)
        if asked >= 0:
            calls.asked[number] = asked
        if group.planning:
            group.openings.append((number, frozenset(keys)))


def answered(calls: Calls, group: Group, number: int, response: object) -> list[int]:
    """An orchestrator's answer hands on values. Gives the calls that turn out to have come from it."""
    if not response:
        return []
    values = handed_on(text(response))
    for value in values:
        group.answers.setdefault(value, []).append(number)
    moved = [n for n, keys in group.openings if n > number > calls.asked.get(n, -1) and not keys.isdisjoint(values)]
    calls.asked.update(dict.fromkeys(moved, number))
    return moved


def _newest(group: Group, keys: set[int], before: int) -> int:
    """The newest call before this one whose answer handed on one of these values; -1 where there is none."""
    found = [number for key in keys for number in group.answers.get(key, ()) if number < before]
    return max(found, default=-1)
