"""Writer of the trace of a replay, line by line as calls are resolved, so that it grows as a branch of its original.

The branch keeps the time axis of its original: a call starts when it did there, plus the delay of the calls that it
waited for.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anton_notebook.experiments.replay.engine import INFERRED, REUSED, STALE, NodeResult
from anton_notebook.experiments.replay.recording import Node, Recording, source_kind
from anton_notebook.model.request import Request, Response, tool_calls_in
from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, TOOL
from anton_notebook.model.usage import line_mark, line_tokens
from anton_notebook.sources import writer

WEAKEST = (REUSED, "executed", INFERRED, STALE)
_KNOWN_KEYS = frozenset(
    "trace_id span_id parent_id timestamp span_type event_type data messages system_prompt system tools parameters response "
    "tool_calls duration_ms tokens cost_usd error success finish_reason status anton_notebook _faults agent_name provider model "
    "tool_name result attributes".split()
)


class BranchWriter:
    """Writes a branch of a recording. `trace_id` is the new one; `trouble` says why a part is not on disk."""

    def __init__(self, recording: Recording, folder: Path, checkpoint_id: str | None) -> None:
        self.recording = recording
        self.trace_id = str(uuid.uuid4())
        self.trouble: str | None = None
        self._folder, self.checkpoint_id = folder, checkpoint_id
        self._out: writer.TraceWriter | None = None
        self._ends: dict[int, int] = {}
        spans = [*(node.span for node in recording.nodes), *recording.others]
        self._ids = {span.span_id: str(uuid.uuid5(uuid.UUID(self.trace_id), span.span_id)) for span in spans}

    def id_of(self, node: Node) -> str:
        """Return the id of a call in the branch."""
        return self._ids[node.span_id]

    def write_call(self, result: NodeResult, delay: int, row: Mapping[str, Any]) -> None:
        """Write a resolved call that starts `delay` microseconds later than in the recording."""
        node = result.node
        line = self._head(node, delay)
        line |= _asked(node, result.request, result.arguments)
        line |= self._answer(result, row)
        duration = line.get("duration_ms")
        if node.start is not None and duration is not None:
            self._ends[node.place] = node.start + delay + round(duration * 1000)
        mark = _mark(node.span, result.provenance, result.reason, node.record)
        saved = row["saved_usd"]
        if not result.sent or not math.isnan(saved):
            mark["saved_usd"] = 0.0 if math.isnan(saved) else saved
        if line.get("success") is False:
            mark["status"] = "error"
        elif not result.sent and node.span.tokens_estimated:
            mark["tokens_estimated"] = True
        if result.outcome is not None and result.outcome.response is not None:
            mark |= line_mark(result.outcome.response.usage)
        line["anton_notebook"] = mark
        self._write(line)

    def lateness(self, node: Node) -> int:
        """Return by how many microseconds a call ends later than in the recording, at least 0."""
        end = self._ends.get(node.place)
        return 0 if end is None or node.end is None else max(0, end - node.end)

    def close(self, results: Iterable[NodeResult]) -> None:
        """Write the spans above the calls and close the file."""
        below: dict[str, list[NodeResult]] = {}
        for result in results:
            for span_id in _above(result.node):
                below.setdefault(span_id, []).append(result)
        for span in self.recording.others:
            self._write_other(span, below.get(span.span_id, []))
        if self._out is not None:
            self._out.close()

    def _write_other(self, span: Any, below: list[NodeResult]) -> None:
        end = max([self._ends.get(one.node.place, 0) for one in below], default=0)
        duration = (end - span.start_us) / 1000 if end and span.start_us is not None else span.duration_ms
        line = self._plain(span)
        line |= {"duration_ms": duration, "span_type": "agent" if span.kind in (AGENT, ORCHESTRATOR) else "other"}
        if span.error:
            line |= {"error": span.error, "success": False}
        weakest = max((one.provenance for one in below), key=WEAKEST.index, default=REUSED)
        line["anton_notebook"] = {**_mark(span, weakest, None, span.record), "kind": span.kind}
        if line["span_type"] == "other" or span.name != span.agent:
            line["tool_name"] = span.name
        self._write(line, running=span.status == "running")

    def _plain(self, span: Any) -> dict[str, Any]:
        record = span.record
        line = {key: value for key, value in record.items() if key not in _KNOWN_KEYS}
        parent = record.get("parent_id")
        line |= {
            "timestamp": None if span.start_us is None else iso(span.start_us),
            "trace_id": self.trace_id,
            "span_id": self._ids[span.span_id],
            "parent_id": self.trace_id if parent == self.recording.trace_id else self._ids.get(parent),
            "agent_name": span.agent,
            "provider": span.provider,
            "model": span.model,
        }
        return line

    def _head(self, node: Node, delay: int) -> dict[str, Any]:
        line = self._plain(node.span)
        if node.start is not None:
            line["timestamp"] = iso(node.start + delay)
        if line["parent_id"] is None and node.parent >= 0:
            line["parent_id"] = self.id_of(self.recording.nodes[node.parent])
        line["span_type"] = "llm_call" if node.kind == LLM else "tool_call"
        if node.kind == TOOL or node.span.name != (node.span.model or LLM):
            line["tool_name"] = node.span.name
        return line

    def _answer(self, result: NodeResult, row: Mapping[str, Any]) -> dict[str, Any]:
        node, outcome = result.node, result.outcome
        if outcome is None:
            return _recorded_answer(result)
        line: dict[str, Any] = {
            "duration_ms": row["duration_ms"],
            "cost_usd": row["cost_usd"],
            "success": outcome.error is None,
        }
        if outcome.error is not None:
            line["error"] = outcome.error
        if node.kind == TOOL:
            return line | {"result": outcome.result}
        provider = getattr(outcome.extra, "provider", "")
        return line | ({"provider": provider} if provider else {}) | _response(outcome.response or Response())

    def _write(self, line: dict[str, Any], *, running: bool = False) -> None:
        try:
            if self._out is None:
                mark = {
                    "origin": "replay",
                    "original_trace_id": self.recording.trace_id,
                    "checkpoint_id": self.checkpoint_id,
                }
                self._out = writer.create(self._folder, "branch", {k: v for k, v in mark.items() if v is not None})
            self._out.write({k: v for k, v in line.items() if v is not None or k == "parent_id"}, running=running)
        except (OSError, ValueError, TypeError) as error:
            self.trouble = f"a part of the branch was not written: {error}"


def _recorded_answer(result: NodeResult) -> dict[str, Any]:
    node, span, record = result.node, result.node.span, result.node.record
    line = {"duration_ms": span.duration_ms, "cost_usd": 0.0 if node.kind == LLM else None}
    if result.provenance == STALE:
        return line
    if span.error:
        line |= {"error": record.get("error") or span.error, "success": False}
    elif record.get("success") is True:
        line["success"] = True
    if node.kind == TOOL:
        return line | {"result": record.get("result") if result.result is None else result.result}
    counts = {"input": span.input_tokens, "output": span.output_tokens, "cached": span.cached_tokens}
    line["tokens"] = {name: count for name, count in counts.items() if count is not None}
    line["response"] = record.get("response")
    if node.response is not None and node.response.tool_calls and not tool_calls_in(record.get("response")):
        line["tool_calls"] = node.response.tool_calls
    if span.finish_reason:
        line["finish_reason"] = span.finish_reason
    return line


def _mark(span: Any, provenance: str, reason: str | None, record: Mapping[str, Any]) -> dict[str, Any]:
    before = record.get("anton_notebook")
    attributes = record.get("attributes", before.get("attributes") if isinstance(before, Mapping) else None)
    kind = source_kind(span)
    return {
        "original_span_id": span.span_id,
        "provenance": provenance,
        "reason": reason,
        "source_kind": kind if kind != "jsonl" else None,
        "kind": LLM if span.kind == LLM and span.name != (span.model or LLM) else None,
        "attributes": attributes,
    }


def _asked(node: Node, request: Request | None, arguments: Any) -> dict[str, Any]:
    """Return the request in the recorded keys, or in full if it is a new one."""
    record = node.record
    if node.kind == TOOL:
        return {"parameters": arguments if arguments is not None else record.get("parameters")}
    request = request or node.request
    if request is None:
        return {"messages": record.get("messages"), "system_prompt": record.get("system_prompt")}
    line: dict[str, Any] = {
        "messages": request.messages, "system_prompt": request.system, "provider": request.provider or node.span.provider,
        "model": request.model or node.span.model,
    }  # fmt: skip
    if request.tools or isinstance(record.get("tools"), list):
        line["tools"] = request.tools or []
    if request.parameters or isinstance(record.get("parameters"), Mapping):
        given = record.get("parameters")
        flag = {"stream": given["stream"]} if isinstance(given, Mapping) and "stream" in given else {}
        line["parameters"] = {**request.parameters, **flag}  # a branch of the branch has to know it
    return line


def _response(response: Response) -> dict[str, Any]:
    line: dict[str, Any] = {
        "response": response.text,
        "tokens": line_tokens(response.usage),
        "finish_reason": response.finish_reason,
    }
    if response.tool_calls:
        line["tool_calls"] = response.tool_calls
    return line


def _above(node: Node) -> set[str]:
    span_ids: set[str] = set()
    above = node.span.parent
    while above is not None and above.span_id not in span_ids:
        span_ids.add(above.span_id)
        above = above.parent
    return span_ids


def iso(micros: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
