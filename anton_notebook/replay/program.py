"""The program itself run again, its requests answered from the recording up to the change, and live from there on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.compare import compare
from anton_notebook.errors import AntonNotebookError, ReplayDivergence, ReplayError
from anton_notebook.gateway import Gateway, Recorder
from anton_notebook.gateway.apis import Body, answer_of, request_of, with_request
from anton_notebook.gateway.server import Decision
from anton_notebook.replay.matching import Matcher, Normalize, Recorded, each_text
from anton_notebook.replay.workdir import Copy, copy_of, given, swapped
from anton_notebook.request import Response
from anton_notebook.span import LLM, TOOL
from anton_notebook.tables.replays import replay_frame

if TYPE_CHECKING:
    import pandas as pd

REUSED, EXECUTED = "reused", "executed"
POLL = 0.05


class FromRecording:
    """Decides what a program's requests are answered with. `failure` is set where the recording does not hold the answer."""

    def __init__(self, checkpoint: Any, matcher: Matcher, copy: Copy, recorded_path: str, fresh: bool) -> None:
        self.matcher = matcher
        self.prompts: Mapping[str, str] = checkpoint.modified_prompts
        self.fresh = {checkpoint.span_id} if fresh else set()
        self.to_original = swapped(copy.path, recorded_path)
        self.to_copy = swapped(recorded_path, copy.path)
        self.changed_end: datetime | None = None
        self.changed = False
        self.applied: list[str] = []
        self.steps = 0
        self.failure: ReplayError | None = None
        self._lock = threading.Lock()

    def decide(self, api: str, body: Body) -> Decision:
        """See `gateway.server.Answerer`."""
        with self._lock:
            step, self.steps = self.steps, self.steps + 1
            if self.failure is not None:
                return Decision(body, refuse=str(self.failure))
            mapped = each_text(body, self.to_original)
            request = request_of(api, mapped)
            hit = self.matcher.take(request)
            if hit is None:
                if self.changed:
                    return self._live(mapped, "the recording holds no such request; it follows from the change", None)
                self.failure = self._diverged(step, request)
                return Decision(body, refuse=str(self.failure))
            call, values = hit
            name = call.span.span_id
            if name in self.prompts or name in self.fresh:
                return self._change(api, mapped, request, call)
            if self.changed and not self._sound(call):
                return self._live(mapped, "as recorded, but after the change, from which on everything is live", call)
            return self._reuse(api, body, mapped, call, values)

    def _change(self, api: str, mapped: Body, request: Any, call: Recorded) -> Decision:
        name = call.span.span_id
        if not self.changed or (call.end and self.changed_end and call.end < self.changed_end):
            self.changed_end = call.end
        self.changed = True
        self.applied.append(name)
        if name not in self.prompts:
            return self._live(mapped, "asked anew, as the replay was told", call)
        changed = request.with_changes(prompt=self.prompts[name])
        return self._live(with_request(api, mapped, changed), "its prompt was changed", call)

    def _sound(self, call: Recorded) -> bool:
        """It began before the first changed answer ended, so it cannot rest on it."""
        return call.start is not None and self.changed_end is not None and call.start < self.changed_end

    def _live(self, body: Body, reason: str, call: Recorded | None) -> Decision:
        return Decision(
            body, answered=lambda answer: each_text(answer, self.to_copy), mark=_mark(EXECUTED, reason, call)
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
        answer = call.body if call.body is not None and call.api == api else answer_of(api, said, call.span.span_id)
        answer = each_text(answer, lambda text: _put(text, values)) if values else answer
        status = 200
        if call.span.error:
            status = int(head) if (head := str(call.span.error).partition(":")[0]).isdigit() else 500
            answer = {"type": "error", "error": {"type": "recorded_error", "message": str(call.span.error)}}
        mark = _mark(REUSED, "the request equals the recorded one", call)
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


def replay_program(
    checkpoint: Any,
    *,
    command: Sequence[str | os.PathLike[str]],
    workdir: str | os.PathLike[str] = "copy",
    normalize: Normalize | None = None,
    fresh: bool = False,
    repository: str | os.PathLike[str] | None = None,
    recorded_path: str | os.PathLike[str] | None = None,
    upstreams: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    keep_workdir: bool = False,
) -> pd.DataFrame:
    """Runs `command` in a copy of the repository, against a gateway that knows the recording, and records it as a new trace.

    A request that equals a recorded one gets its recorded answer (`reused`); the changed one is sent with its change, and from
    there on everything is live (`executed`). `workdir`: `"copy"`, or a folder of one's own. `normalize`: names of presets
    (`"uuid"`, `"iso-time"`, `"anton-task"`; all of them by default) and (regex, replacement): what is made equal before comparing.
    `repository`: what is copied (default: what the traces lie in); `recorded_path`: how the recording calls it, where that differs.
    `timeout` in seconds ends the program. What the program writes outside the copy is its own.

    Returns the frame of `replay`; `attrs` has `original_trace_id`, `new_trace_id`, `exit_code`, `workdir`, `how`, `requests` and
    `output` (the last of what it printed). Raises `ReplayDivergence` where it asks for something else than the recording holds
    before the changed point, or ends before that point, and `ReplayError`.
    """
    if isinstance(command, str) or not command:
        raise TypeError("command= is a list: the program and its arguments, such as ['anton', 'task', '.', 'Fix it']")
    traces = checkpoint._traces
    if traces is None:
        raise ReplayError("this checkpoint knows no traces; find it with Checkpoint.load(id, path)")
    checkpoint.check_prompts(checkpoint.modified_prompts)
    home = Path(traces.home)
    original = Path(repository) if repository is not None else home.parent
    trace = traces[checkpoint.trace_id]
    matcher = Matcher(sorted(trace.spans, key=lambda s: (s.start is None, s.start, s.span_id)), normalize)
    if not matcher.calls:
        raise ReplayError(
            f"trace {checkpoint.trace_id!r} holds no request of a call, so there is nothing to compare with"
        )
    point = first_call_of(checkpoint) if fresh else None
    copy = copy_of(original) if os.fspath(workdir) == "copy" else given(original, Path(workdir))
    try:
        answerer = FromRecording(
            checkpoint, matcher, copy, os.fspath(recorded_path or original.resolve()), point is not None
        )
        if point is not None:
            answerer.fresh = {point}
        mark = {"origin": "replay", "original_trace_id": checkpoint.trace_id, "checkpoint_id": checkpoint.checkpoint_id}
        recorder = Recorder(home / "traces", prefix="branch", mark={k: v for k, v in mark.items() if v is not None})
        with Gateway(recorder, upstreams, answerer) as gateway:
            words = [swapped(copy.original, copy.path)(os.fspath(word)) for word in command]
            env = {**os.environ, **(environment or {}), **gateway.environment(), "PWD": str(copy.path)}
            code, output = _run(words, env, copy.path, answerer, timeout)
        _raise(answerer, code, output)
        frame = _frame(traces, trace, recorder.trace_id)
    finally:
        if not keep_workdir:
            copy.remove()
    frame.attrs |= {
        "original_trace_id": checkpoint.trace_id, "new_trace_id": recorder.trace_id, "exit_code": code, "how": copy.how,
        "workdir": str(copy.path) if keep_workdir else None, "requests": answerer.steps, "output": output,
    }  # fmt: skip
    if recorder.trouble:
        frame.attrs["trouble"] = recorder.trouble
    return frame


def first_call_of(checkpoint: Any) -> str:
    """The id of the call that the point stands for."""
    found = next((one for one in checkpoint.span.walk() if one.kind == LLM), None)
    if found is None:
        raise ReplayError(
            f"span {checkpoint.span_id!r} is no LLM call and has none below it, so there is nothing to ask anew"
        )
    return str(found.span_id)


def _raise(answerer: FromRecording, code: int, output: str) -> None:
    if answerer.failure is not None:
        raise answerer.failure
    missed = [name for name in [*answerer.prompts, *answerer.fresh] if name not in answerer.applied]
    if missed and not answerer.changed:
        tail = f"; the last that it printed: {output[-300:]!r}" if output else ""
        raise ReplayDivergence(
            f"the program ended (exit code {code}) after {answerer.steps} requests, before it asked the changed one, span "
            f"{missed[0]!r}{tail}",
            answerer.steps,
            missed[0],
            None,
        )


def _run(
    words: list[str], env: dict[str, str], where: Path, answerer: FromRecording, timeout: float | None
) -> tuple[int, str]:
    """Runs the program until it ends, is out of time or has diverged. Gives its exit code and the last of its output."""
    try:
        process = subprocess.Popen(
            words, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ReplayError(f"command= {words[0]!r} cannot be started: {error.strerror or error}") from error
    said = bytearray()

    def listen() -> None:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            said.extend(chunk)
            del said[: -(1 << 16)]

    listener = threading.Thread(target=listen, name="anton_notebook replay output", daemon=True)
    listener.start()
    until = None if timeout is None else time.monotonic() + timeout
    try:
        while True:
            try:
                code = process.wait(POLL)
                break
            except subprocess.TimeoutExpired:
                late = until is not None and time.monotonic() > until
                if answerer.failure is not None or late:
                    _end(process)
                if late and answerer.failure is None:
                    raise ReplayError(f"the program took longer than timeout={timeout} s and was ended") from None
    except BaseException:
        _end(process)
        raise
    listener.join(1.0)
    return code, bytes(said).decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the program and what it started, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(2.0)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _frame(traces: Any, trace: Any, new_trace_id: str) -> pd.DataFrame:
    """One row a call or tool of the new trace, beside the recorded one that it equals."""
    traces.refresh()
    if new_trace_id not in traces:
        return replay_frame([])
    rows = []
    for span in traces[new_trace_id].spans:
        if span.kind not in (LLM, TOOL):
            continue
        marked = span.record.get("anton_notebook")
        mark: Mapping[str, Any] = marked if isinstance(marked, Mapping) else {}
        old = _span(trace, mark.get("original_span_id"))
        said, before = _said(span), _said(old)
        difference = compare(before, said) if before is not None and said is not None else None
        rows.append(
            {
                "span_id": old.span_id if old is not None else None, "new_span_id": span.span_id, "kind": span.kind,
                "agent": span.agent, "name": span.name, "provenance": mark.get("provenance"), "reason": mark.get("reason"),
                "original": before, "replayed": said, "diff": difference.diff if difference else None,
                "similarity": difference.similarity if difference else None,
                "original_cost_usd": old.cost_usd if old is not None else None, "cost_usd": span.cost_usd,
                "saved_usd": mark.get("saved_usd"), "original_duration_ms": old.duration_ms if old is not None else None,
                "duration_ms": span.duration_ms, "error": span.error,
            }
        )  # fmt: skip
    return replay_frame(rows)


def _span(trace: Any, span_id: object) -> Any | None:
    try:
        return trace.span(span_id) if isinstance(span_id, str) else None
    except KeyError:
        return None


def _said(span: Any | None) -> str | None:
    if span is None:
        return None
    if span.kind == TOOL:
        result = span.record.get("result")
        return result if isinstance(result, str) else None if result is None else str(result)
    try:
        answer: Response = span.response
    except AntonNotebookError:
        return None
    asked = [f"[{call['name']} {call['arguments']}]" for call in answer.tool_calls]
    return "\n".join([*([answer.text] if answer.text else []), *asked])


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
