"""What a program that runs again is answered: from the recording up to the change, live from there on, and never above a budget."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from anton_notebook.capture.gateway.proxy_handler import Decision
from anton_notebook.capture.gateway.wire_formats import Body, answer_of, request_of, with_request
from anton_notebook.errors import AntonNotebookError, BudgetError, ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.request_matching import Matcher, Normalize, Recorded, each_text
from anton_notebook.experiments.replay.program.workdir import Copy, swapped
from anton_notebook.experiments.rerun.budget import Budget, Purse, cost_of
from anton_notebook.llm import Exhausted
from anton_notebook.model.request import Request, Usage
from anton_notebook.model.span import LLM

REUSED, EXECUTED = "reused", "executed"
SPENT = "the budget is spent"
_FREE = ("/count_tokens", "/input_tokens", "/moderations")
"""Ends of addresses that are asked by POST and cost nothing."""


class FromRecording:
    """Decides what a program's requests are answered with. `failure` is set where the recording does not hold the answer."""

    def __init__(
        self,
        prompts: Mapping[str, str],
        point: str | None,
        matcher: Matcher,
        copy: Copy,
        recorded_path: str,
        *,
        paid: Matcher | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.matcher, self.paid, self.budget = matcher, paid, budget
        self.prompts = prompts
        self.fresh = {point} if point is not None else set()
        self.to_original = swapped(copy.path, recorded_path)
        self.to_copy = swapped(recorded_path, copy.path)
        self.changed_end: datetime | None = None
        self.changed = False
        self.applied: list[str] = []
        self.steps = 0
        self.failure: AntonNotebookError | None = None
        self.stopped: str | None = None
        """Why no more is asked, where that is no failure."""
        self.live = self.kept = 0
        self.paid_usd: list[float] = []
        """What each live call cost as it ended, NaN where that is not known."""
        self._lock = threading.Lock()

    def decide(self, api: str, body: Body) -> Decision:
        """See `gateway.server.Answerer`."""
        with self._lock:
            step, self.steps = self.steps, self.steps + 1
            if self.failure is not None or self.stopped is not None:
                return Decision(body, refuse=str(self.failure or self.stopped))
            mapped = each_text(body, self.to_original)
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
        """See `gateway.server.Answerer`: with a budget nothing is passed on that has a price which is not set aside."""
        plain = path.partition("?")[0]
        if self.budget is None or method in ("GET", "DELETE") or plain.rstrip("/").endswith(_FREE):
            return None
        with self._lock:
            self.failure = self.failure or BudgetError(
                f"the program asked {method} {plain[:80]!r}, whose price is not known (only whole requests to /messages, "
                "/chat/completions and /responses have one), so no budget can be kept; it was not sent; leave budget=None to let it"
            )
            return str(self.failure)

    def _change(self, api: str, body: Body, mapped: Body, request: Request, call: Recorded) -> Decision:
        name = call.span.span_id
        if not self.changed or (call.end and self.changed_end and call.end < self.changed_end):
            self.changed_end = call.end
        self.changed = True
        self.applied.append(name)
        if name not in self.prompts:
            return self._live(api, body, mapped, "asked anew, as the replay was told", call)
        changed = request.with_changes(prompt=self.prompts[name])
        return self._live(api, body, with_request(api, mapped, changed), "its prompt was changed", call)

    def _sound(self, call: Recorded) -> bool:
        """It began before the first changed answer ended, so it cannot rest on it."""
        return call.start is not None and self.changed_end is not None and call.start < self.changed_end

    def _live(self, api: str, body: Body, asked: Body, reason: str, call: Recorded | None) -> Decision:
        request = request_of(api, asked)
        paid = self.paid.take(request) if self.paid is not None else None
        if paid is not None:
            self.kept += 1
            mark = _mark(EXECUTED, f"{reason}; an earlier replay was answered this", call)
            return self._answered(api, body, asked, paid[0], paid[1], mark)
        try:
            gate = Turnstile(self, request, asked)
        except AntonNotebookError as error:
            self.failure = error
            return Decision(body, refuse=str(error))
        self.live += 1
        return Decision(
            asked,
            answered=lambda answer: each_text(answer, self.to_copy),
            mark=_mark(EXECUTED, reason, call),
            gate=gate,
        )

    def _reuse(self, api: str, body: Body, mapped: Body, call: Recorded, values: Mapping[str, str]) -> Decision:
        said = call.response
        if call.body is None and not (said.text or said.tool_calls or call.span.error):
            self.failure = ReplayError(
                f"the recording holds no answer of span {call.span.span_id!r} ({call.span.agent}): the arguments of the tools "
                "that it asked for were not recorded, so the program cannot be answered from it; "
                "record it with `anton-notebook record`"
            )
            return Decision(body, refuse=str(self.failure))
        return self._answered(
            api, body, mapped, call, values, _mark(REUSED, "the request equals the recorded one", call)
        )

    def _answered(
        self, api: str, body: Body, mapped: Body, call: Recorded, values: Mapping[str, str], mark: dict[str, Any]
    ) -> Decision:
        """Answered from a recorded call, its values put for the recorded ones; nothing is paid."""
        said = call.response
        answer = call.body if call.body is not None and call.api == api else answer_of(api, said, call.span.span_id)
        answer = each_text(answer, lambda text: _put(text, values)) if values else answer
        status = 200
        if call.span.error:
            status = int(head) if (head := str(call.span.error).partition(":")[0]).isdigit() else 500
            answer = {"type": "error", "error": {"type": "recorded_error", "message": str(call.span.error)}}
        cost = call.span.cost_usd
        mark["saved_usd"] = cost if cost == cost else 0.0

        def put_back(found: Any) -> Any:
            return each_text(found, self.to_copy)

        return Decision(body, answer, answered=put_back, mark=mark, recorded=mapped, status=status)

    def _diverged(self, step: int, request: Any) -> ReplayDivergence:
        found = self.matcher.nearest(request)
        if found is None:
            text = (request.prompt or "")[:200]
            said = f"request {step} of the program is one more than the recording holds, before the changed point: {text!r}"
            return ReplayDivergence(said, step, None, request.prompt)
        call, place, expected, actual = found
        said = (
            f"request {step} of the program equals none of the recording, before the changed point; nearest is span "
            f"{call.span.span_id!r} ({call.span.agent}), which differs first at {place}: recorded {_short(expected)}, asked "
            f"{_short(actual)}. What differs in every run can be made equal: normalize=[(regex, replacement), ...]"
        )
        return ReplayDivergence(said, step, expected, actual)


class Turnstile:
    """Sets a call's worst case aside before it is passed on, and tells what it cost; a spent budget ends the program's run."""

    def __init__(self, answerer: FromRecording, request: Request, body: Body) -> None:
        self._answerer, self._request = answerer, request
        budget = answerer.budget
        self._purse = Purse(budget, request.provider, request, body) if budget is not None else None

    async def enter(self) -> None:
        if self._purse is None:
            return
        try:
            await self._purse.enter()
        except Exhausted:
            self._answerer.stopped = SPENT
            raise

    def leave(self, usage: Usage | None, sent: bool, model: str | None = None) -> None:
        if self._purse is not None:
            self._purse.leave(usage, sent, model)
        self._answerer.paid_usd.append(cost_of(self._request.provider, self._request.model, usage))


def paid_before(traces: Any, trace_id: str, normalize: Normalize | None) -> Matcher | None:
    """The calls of earlier replays of a run that were asked and answered, so that none is paid for twice."""
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


def _mark(provenance: str, reason: str, call: Recorded | None) -> dict[str, Any]:
    mark = {"provenance": provenance, "reason": reason}
    return mark | {"original_span_id": call.span.span_id} if call is not None else mark


def _put(text: str, values: Mapping[str, str]) -> str:
    for old in sorted(values, key=len, reverse=True):
        text = text.replace(old, values[old])
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
