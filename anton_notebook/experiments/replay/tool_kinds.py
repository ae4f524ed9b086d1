"""What a tool probably does, judged by its name: reads, or may write; waits; runs commands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_READING = frozenset(
    "read get list ls dir search find grep glob view show cat open fetch load lookup look describe head tail stat count "
    "retrieve query weather calculate calculator calc compute convert translate parse summarize extract inspect browse".split()
)
_WRITING = frozenset(
    "write edit create delete remove rm update insert set put post send move mv rename mkdir shell bash sh run exec execute "
    "command cmd terminal python node sql apply patch replace save commit push install deploy upload append add drop kill "
    "start stop book pay order buy sell cancel submit publish reply notify email schedule assign close merge reset clear "
    "store record remember note log increment decrement pop enqueue dequeue transfer reserve grant revoke sign vote next "
    "consume ack lock unlock download checkout register unregister toggle enable disable change modify touch make do".split()
)
_WAITING = frozenset(
    "wait sleep poll await listen receive inbox mailbox message messages reply replies ask human user approve approval confirm "
    "input time now date today clock random uuid id status progress delegate agent agents handoff task subagent spawn join "
    "event events queue".split()
)
_COMMANDS = frozenset("shell bash sh run exec execute command cmd terminal python node sql".split())


def words_of(name: str) -> frozenset[str]:
    """Return the words of a tool's name in lower case.

    >>> sorted(words_of("readFile_v2"))
    ['2', 'file', 'read', 'v']
    """
    return frozenset(word.lower() for word in _WORD.findall(name))


def reads_only(name: str) -> bool:
    """Whether a tool only reads. A name that says nothing counts as writing."""
    words = words_of(name)
    return bool(words & _READING) and not words & _WRITING


def may_wait(name: str) -> bool:
    """Whether the result may depend on the time of the call or on other agents."""
    return bool(words_of(name) & _WAITING)


def runs_commands(name: str) -> bool:
    """Whether a tool runs commands, as a shell does."""
    return bool(words_of(name) & _COMMANDS)


def schema_problem(name: str, arguments: Mapping[str, Any], tools: list[Any] | None) -> str | None:
    """Return why arguments do not fit the tool's recorded JSON schema, or None."""
    schema = _schema(name, tools)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    required = schema.get("required")
    for key in required if isinstance(required, list) else ():
        if key not in arguments:
            return f"the argument {key!r} is missing"
    for key, value in arguments.items():
        if key not in properties:
            return f"the argument {key!r} is not in the tool's schema"
        if not _fits(value, properties[key]):
            return f"the argument {key!r} does not fit the tool's schema"
    return None


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
    "null": (type(None),),
}  # fmt: skip


def _schema(name: str, tools: list[Any] | None) -> Mapping[str, Any]:
    for tool in tools or ():
        if not isinstance(tool, Mapping):
            continue
        inner = tool.get("function") if isinstance(tool.get("function"), Mapping) else tool
        if isinstance(inner, Mapping) and inner.get("name") == name:
            schema = inner.get("parameters") or inner.get("input_schema")
            return schema if isinstance(schema, Mapping) else {}
    return {}


def _fits(value: Any, schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        return False
    names = schema.get("type")
    allowed = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    if isinstance(value, bool) and allowed:
        return "boolean" in allowed
    kinds = tuple(kind for name in allowed if isinstance(name, str) for kind in _TYPES.get(name, (object,)))
    return not kinds or isinstance(value, kinds)
