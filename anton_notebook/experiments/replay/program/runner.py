"""The program itself run again, its requests answered from the recording up to the change, and live from there on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.capture.gateway import Gateway, Recorder
from anton_notebook.errors import AntonNotebookError, ReplayDivergence, ReplayError
from anton_notebook.experiments.compare import compare
from anton_notebook.experiments.frames import replay_frame
from anton_notebook.experiments.replay.program.request_matching import Matcher, Normalize
from anton_notebook.experiments.replay.program.responder import FromRecording, paid_before
from anton_notebook.experiments.replay.program.workdir import copy_of, given, swapped
from anton_notebook.experiments.rerun import Budget
from anton_notebook.experiments.rerun.progress import Progress
from anton_notebook.model.request import Response
from anton_notebook.model.span import LLM, TOOL

if TYPE_CHECKING:
    import pandas as pd

POLL = 0.05
INTERRUPTED = "interrupted"


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
    budget: float | Budget | None = None,
    cache: bool = True,
    progress: bool = False,
    timeout: float | None = None,
    keep_workdir: bool = False,
) -> pd.DataFrame:
    """Runs `command` in a copy of the repository, against a gateway that knows the recording, and records it as a new trace.

    A request that equals a recorded one gets its recorded answer (`reused`); the changed one is sent with its change, and from
    there on everything is live (`executed`). `workdir`: `"copy"`, or a folder of one's own. `normalize`: names of presets
    (`"uuid"`, `"iso-time"`, `"anton-task"`; all of them by default) and (regex, replacement): what is made equal before comparing.
    `repository`: what is copied (default: what the traces lie in); `recorded_path`: how the recording calls it, where that differs.
    `budget` in US dollars holds for all that is passed on, the SDKs' own retries included: before each the worst case is set
    aside, and what no longer fits is not sent and ends the program. Live calls that earlier replays of this run were answered are
    not paid again (`cache=False` asks all anew), so that an interrupted replay goes on where it was. `timeout` in seconds ends
    the program. What the program writes outside the copy is its own.

    Returns the frame of `replay`; `attrs` has `original_trace_id`, `new_trace_id`, `exit_code`, `workdir`, `how`, `requests`,
    `output` (the last of what it printed) and, where Ctrl-C or the budget ended it, `interrupted` (then `exit_code` is what the
    program left, or None). Raises `ReplayDivergence` where it asks for something else than the recording holds
    before the changed point, or ends before that point, `BudgetError` for a model without a
    price, and `ReplayError`.
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
    paid = paid_before(traces, checkpoint.trace_id, normalize) if cache else None
    purse = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
    copy = copy_of(original) if os.fspath(workdir) == "copy" else given(original, Path(workdir))
    try:
        answerer = FromRecording(
            checkpoint.modified_prompts, point, matcher, copy, os.fspath(recorded_path or original.resolve()),
            paid=paid, budget=purse,
        )  # fmt: skip
        mark = {"origin": "replay", "original_trace_id": checkpoint.trace_id, "checkpoint_id": checkpoint.checkpoint_id}
        recorder = Recorder(home / "traces", prefix="branch", mark={k: v for k, v in mark.items() if v is not None})
        shown = Shown(answerer, len(matcher.calls), progress)
        with Gateway(recorder, upstreams, answerer) as gateway:
            words = [swapped(copy.original, copy.path)(os.fspath(word)) for word in command]
            env = {**os.environ, **(environment or {}), **gateway.environment(), "PWD": str(copy.path)}
            code, output = _run(words, env, copy.path, answerer, timeout, shown)
        shown.tick(last=True)
        if answerer.stopped is None:
            _raise(answerer, code, output)
        frame = _frame(traces, trace, recorder.trace_id)
    finally:
        if not keep_workdir:
            copy.remove()
    frame.attrs |= {
        "original_trace_id": checkpoint.trace_id, "new_trace_id": recorder.trace_id, "exit_code": code, "how": copy.how,
        "workdir": str(copy.path) if keep_workdir else None, "requests": answerer.steps, "output": output,
    }  # fmt: skip
    if purse is not None:
        frame.attrs["spent_usd"] = purse.spent_usd
    if answerer.stopped is not None:
        frame.attrs["interrupted"] = (
            f"{answerer.stopped}: the program was ended after {answerer.steps} requests; the same replay again takes up what "
            "was answered without paying for it twice"
        )
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


class Shown:
    """How far the program is, for somebody who looks."""

    def __init__(self, answerer: FromRecording, recorded: int, show: bool) -> None:
        self._answerer = answerer
        self._progress = Progress(recorded, show)

    def tick(self, *, last: bool = False) -> None:
        """Brings it up to date."""
        made, shown = self._answerer, self._progress
        costs = list(made.paid_usd)
        known = [cost for cost in costs if cost == cost]
        shown.done, shown.cached = made.steps, max(0, made.steps - made.live)
        shown.total = max(shown.total, made.steps)
        shown.cost, shown.unpriced = sum(known), len(costs) - len(known)
        shown.show(last=last)


def _raise(answerer: FromRecording, code: int | None, output: str) -> None:
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
    words: list[str], env: dict[str, str], where: Path, answerer: FromRecording, timeout: float | None, shown: Shown
) -> tuple[int | None, str]:
    """Runs the program until it ends or has diverged, or time, money or patience are at an end.

    Gives its exit code and the last of its output.
    """
    try:
        process = subprocess.Popen(
            words, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ReplayError(f"command= {words[0]!r} cannot be started: {error.strerror or error}") from error
    said = bytearray()
    code: int | None = None

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
                shown.tick()
                late = until is not None and time.monotonic() > until
                if answerer.failure is not None or answerer.stopped is not None or late:
                    _end(process)
                if late and answerer.failure is None:
                    raise ReplayError(f"the program took longer than timeout={timeout} s and was ended") from None
    except KeyboardInterrupt:
        answerer.stopped = INTERRUPTED
        _end(process)
        code = process.poll()
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
