"""Answers for a program that runs again: recorded ones up to the change, live ones afterwards, never above a budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from anton_notebook.capture.gateway.proxy_handler import Decision
from anton_notebook.capture.gateway.wire_formats import Body, answer_of, request_of, with_request
from anton_notebook.errors import AntonNotebookError, BudgetError, ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.request_matching import Matcher, Normalize, RecordedCall, map_texts
from anton_notebook.experiments.rerun.budget import Budget, Purse, cost_of
from anton_notebook.llm import Exhausted
from anton_notebook.model.request import Request, Usage
from anton_notebook.model.span import LLM

REUSED, EXECUTED = "reused", "executed"
BUDGET_SPENT = "the budget is spent"
_FREE = ("/count_tokens", "/input_tokens", "/moderations")
"""Ends of addresses whose POST requests cost nothing."""
TextMap = Callable[[str], str]


class RecordingResponder:
    """Decides how a program's requests are answered.

    Args:
        prompts: Span id -> new prompt.
        point: Span id of a call to execute unchanged.
        matcher: The recorded calls.
        to_original: Maps paths in a request to those of the recording; `to_copy` maps answers back.
        paid: Live calls of earlier replays, which are not paid again.
        budget: For all live calls.

    `failure` is set if the recording has no answer, `stopped` if no more is sent for another reason.
    """

    def __init__(
        self,
        prompts: Mapping[str, str],
        point: str | None,
        matcher: Matcher,
        *,
        to_original: TextMap = str,
        to_copy: TextMap = str,
        paid: Matcher | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.matcher, self.paid, self.budget = matcher, paid, budget
        self.prompts = prompts
        self.fresh = {point} if point is not None else set()
        self.to_original, self.to_copy = to_original, to_copy
        self.changed_end: datetime | None = None
        self.changed = False
        self.applied: list[str] = []
        self.steps = 0
        self.failure: AntonNotebookError | None = None
        self.stopped: str | None = None
        self.live = 0
        self.paid_usd: list[float] = []
        """Cost of each live call that ended; NaN if unknown."""
        self._lock = threading.Lock()

    def decide(self, api: str, body: Body) -> Decision:
        """Decide about one request; see `proxy_handler.Responder`."""
        with self._lock:
            step, self.steps = self.steps, self.steps + 1
            if self.failure is not None or self.stopped is not None:
                return Decision(body, refuse=str(self.failure or self.stopped))
            mapped = map_texts(body, self.to_original)
            request = request_of(api, mapped)
            hit = self.matcher.take(request)
            if hit is None:
                if self.changed:
                    return self._live(
                        api, body, mapped, "the recording holds no such request; it follows from the change", None
                    )
                self.failure = self._diverged(step, request)
                return Decision(body, refuse=str(self.failure))
            call, values = hit
            name = call.span.span_id
            if name in self.prompts or name in self.fresh:
                return self._change(api, body, mapped, request, call)
            if self.changed and not self._sound(call):
                return self._live(
                    api, body, mapped, "as recorded, but after the change, from which on everything is live", call
                )
            return self._reuse(api, body, mapped, call, values)

    def refuse(self, method: str, path: str) -> str | None:
        """Return why a request is refused: with a budget, nothing is passed on whose price cannot be reserved."""
        plain = path.partition("?")[0]
        if self.budget is None or method in ("GET", "DELETE") or plain.rstrip("/").endswith(_FREE):
            return None
        with self._lock:
            self.failure = self.failure or BudgetError(
                f"the program sent {method} {plain[:80]!r}, whose price is unknown (only /messages, /chat/completions and "
                "/responses have one). It was not passed on; use budget=None to allow it."
            )
            return str(self.failure)

    def _change(self, api: str, body: Body, mapped: Body, request: Request, call: RecordedCall) -> Decision:
        name = call.span.span_id
        if not self.changed or (call.end and self.changed_end and call.end < self.changed_end):
            self.changed_end = call.end
        self.changed = True
        self.applied.append(name)
        if name not in self.prompts:
            return self._live(api, body, mapped, "it is the point that is executed again", call)
        changed = request.with_changes(prompt=self.prompts[name])
        return self._live(api, body, with_request(api, mapped, changed), "the caller changed its prompt", call)

    def _sound(self, call: RecordedCall) -> bool:
        """Whether the recorded call started before the first changed answer ended."""
        return call.start is not None and self.changed_end is not None and call.start < self.changed_end

    def _live(self, api: str, body: Body, asked: Body, reason: str, call: RecordedCall | None) -> Decision:
        request = request_of(api, asked)
        paid = self.paid.take(request) if self.paid is not None else None
        if paid is not None:
            mark = _mark(EXECUTED, f"{reason}; answered by an earlier replay", call)
            return self._answered(api, body, asked, paid[0], paid[1], mark)
        try:
            gate = BudgetGate(self, request, asked)
        except AntonNotebookError as error:
            self.failure = error
            return Decision(body, refuse=str(error))
        self.live += 1
        return Decision(
            asked,
            answered=lambda answer: map_texts(answer, self.to_copy),
            mark=_mark(EXECUTED, reason, call),
            gate=gate,
        )

    def _reuse(self, api: str, body: Body, mapped: Body, call: RecordedCall, values: Mapping[str, str]) -> Decision:
        response = call.response
        if call.body is None and not (response.text or response.tool_calls or call.span.error):
            self.failure = ReplayError(
                f"the recording has no answer of span {call.span.span_id!r} ({call.span.agent}): the arguments of its tool "
                "calls were not recorded. Record the program with `anton-notebook record`."
            )
            return Decision(body, refuse=str(self.failure))
        return self._answered(
            api, body, mapped, call, values, _mark(REUSED, "the request equals the recorded one", call)
        )

    def _answered(
        self, api: str, body: Body, mapped: Body, call: RecordedCall, values: Mapping[str, str], mark: dict[str, Any]
    ) -> Decision:
        """Answer from a recorded call, with the program's own ids and times; nothing is paid."""
        answer = (
            call.body if call.body is not None and call.api == api else answer_of(api, call.response, call.span.span_id)
        )
        answer = map_texts(answer, lambda text: _replaced(text, values)) if values else answer
        status = 200
        if call.span.error:
            status = int(head) if (head := str(call.span.error).partition(":")[0]).isdigit() else 500
            answer = {"type": "error", "error": {"type": "recorded_error", "message": str(call.span.error)}}
        cost = call.span.cost_usd
        mark["saved_usd"] = cost if cost == cost else 0.0

        def to_copy(value: Any) -> Any:
            return map_texts(value, self.to_copy)

        return Decision(body, answer, answered=to_copy, mark=mark, recorded=mapped, status=status)

    def _diverged(self, step: int, request: Any) -> ReplayDivergence:
        nearest = self.matcher.nearest(request)
        if nearest is None:
            text = (request.prompt or "")[:200]
            message = (
                f"request {step} of the program, before the changed point, is one more than the recording has: {text!r}"
            )
            return ReplayDivergence(message, step, None, request.prompt)
        call, place, expected, actual = nearest
        message = (
            f"request {step} of the program, before the changed point, equals no recorded one. Nearest is span "
            f"{call.span.span_id!r} ({call.span.agent}), which differs first at {place}: recorded {_short(expected)}, sent "
            f"{_short(actual)}. Differences of every run can be removed with normalize=[(regex, replacement), ...]."
        )
        return ReplayDivergence(message, step, expected, actual)


class BudgetGate:
    """Reserves the worst case of a call before it is passed on; a spent budget stops the program."""

    def __init__(self, responder: RecordingResponder, request: Request, body: Body) -> None:
        self._responder, self._request = responder, request
        budget = responder.budget
        self._purse = Purse(budget, request.provider, request, body) if budget is not None else None

    async def enter(self) -> None:
        """Reserve. Raises `Exhausted` if the budget is spent."""
        if self._purse is None:
            return
        try:
            await self._purse.enter()
        except Exhausted:
            self._responder.stopped = BUDGET_SPENT
            raise

    def leave(self, usage: Usage | None, sent: bool, model: str | None = None) -> None:
        """Settle the reservation by the reported usage."""
        if self._purse is not None:
            self._purse.leave(usage, sent, model)
        self._responder.paid_usd.append(cost_of(self._request.provider, self._request.model, usage))


def paid_before(traces: Any, trace_id: str, normalize: Normalize | None) -> Matcher | None:
    """Return the live calls of earlier replays of a run, so that none is paid twice."""
    spans: list[Any] = []
    for trace in traces:
        if trace.figures["origin"] != "replay" or trace.figures["original_trace_id"] != trace_id:
            continue
        spans += [span for span in trace.spans if span.kind == LLM and _was_answered(span)]
    return Matcher(sorted(spans, key=lambda s: (s.start is None, s.start, s.span_id)), normalize) if spans else None


def _was_answered(span: Any) -> bool:
    record = span.record
    mark = record.get("anton_notebook")
    mark = mark if isinstance(mark, Mapping) else {}
    asked = mark.get("provenance") == EXECUTED and mark.get("saved_usd") is None
    return asked and not span.error and isinstance(record.get("answer"), Mapping)


def _mark(provenance: str, reason: str, call: RecordedCall | None) -> dict[str, Any]:
    mark = {"provenance": provenance, "reason": reason}
    return mark | {"original_span_id": call.span.span_id} if call is not None else mark


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for old in sorted(values, key=len, reverse=True):
        text = text.replace(old, values[old])
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
