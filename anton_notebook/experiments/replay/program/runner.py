"""What `command=` and `program=` share: the recorded calls, the gateway, the new trace, the frame.

`command.py` runs a program in a process, `function.py` a callable in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.capture.gateway import Gateway, Recorder
from anton_notebook.errors import ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.frame import program_frame
from anton_notebook.experiments.replay.program.request_matching import Matcher, Normalize
from anton_notebook.experiments.replay.program.responder import RecordingResponder, TextMap, paid_before
from anton_notebook.experiments.rerun import Budget
from anton_notebook.experiments.rerun.progress import Progress
from anton_notebook.model.span import LLM

if TYPE_CHECKING:
    import pandas as pd

POLL = 0.05
"""Seconds between two looks at a running program."""
INTERRUPTED = "interrupted"


class ProgramReplay:
    """One run of a program against a gateway that knows the recording.

    Args:
        checkpoint: The point and the changed prompts.
        normalize: See `replay_command`.
        fresh: Execute the point itself again.
        budget: US dollars for all live calls, retries of SDKs included.
        cache: Do not pay again for live calls of earlier replays.
        progress: Show progress.
        upstreams: Provider -> base URL for live calls.
        to_original: Maps paths of a copy to those of the recording; `to_copy` is the way back.

    Raises:
        ReplayError: The checkpoint has no traces, or the trace no requests.
    """

    def __init__(
        self,
        checkpoint: Any,
        *,
        normalize: Normalize | None = None,
        fresh: bool = False,
        budget: float | Budget | None = None,
        cache: bool = True,
        progress: bool = False,
        upstreams: Mapping[str, str] | None = None,
        to_original: TextMap = str,
        to_copy: TextMap = str,
    ) -> None:
        checkpoint.check_prompts(checkpoint.modified_prompts)
        self.checkpoint, self.traces = checkpoint, checkpoint._source()
        self.trace = self.traces[checkpoint.trace_id]
        spans = sorted(self.trace.spans, key=lambda span: (span.start is None, span.start, span.span_id))
        matcher = Matcher(spans, normalize)
        if not matcher.calls:
            raise ReplayError(
                f"trace {checkpoint.trace_id!r} has no request of a call, so there is nothing to compare with"
            )
        self.budget = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
        self.responder = RecordingResponder(
            checkpoint.modified_prompts, first_call_id(checkpoint) if fresh else None, matcher,
            to_original=to_original, to_copy=to_copy, budget=self.budget,
            paid=paid_before(self.traces, checkpoint.trace_id, normalize) if cache else None,
        )  # fmt: skip
        mark = {"origin": "replay", "original_trace_id": checkpoint.trace_id, "checkpoint_id": checkpoint.checkpoint_id}
        mark = {key: value for key, value in mark.items() if value is not None}
        self.recorder = Recorder(Path(self.traces.home) / "traces", prefix="branch", mark=mark)
        self._upstreams = upstreams
        self._progress = Progress(len(matcher.calls), progress)

    def gateway(self) -> Gateway:
        """Return the gateway, not started."""
        return Gateway(self.recorder, self._upstreams, self.responder)

    @property
    def ended(self) -> bool:
        """Whether the program has to stop: it diverged, or its budget is spent."""
        return self.responder.failure is not None or self.responder.stopped is not None

    def tick(self, *, last: bool = False) -> None:
        """Update the progress display."""
        responder, progress = self.responder, self._progress
        costs = list(responder.paid_usd)
        known = [cost for cost in costs if cost == cost]
        progress.done, progress.cached = responder.steps, max(0, responder.steps - responder.live)
        progress.total = max(progress.total, responder.steps)
        progress.cost, progress.unpriced = sum(known), len(costs) - len(known)
        progress.show(last=last)

    def check(self, how: str, detail: str = "") -> None:
        """Raise the program's failure, or `ReplayDivergence` if it ended before the changed call.

        Args:
            how: How it ended, such as "exit code 1".
            detail: More for the message, such as the end of its output.
        """
        responder = self.responder
        if responder.stopped is not None:
            return
        if responder.failure is not None:
            raise responder.failure
        missed = [name for name in [*responder.prompts, *responder.fresh] if name not in responder.applied]
        if missed and not responder.changed:
            raise ReplayDivergence(
                f"the program ended ({how}) after {responder.steps} requests, before it sent the changed one, span "
                f"{missed[0]!r}{detail}",
                responder.steps,
                missed[0],
                None,
            )

    def frame(self, **attrs: Any) -> pd.DataFrame:
        """Return the rows of the new trace, with `attrs` and those that all program replays have."""
        responder = self.responder
        frame = program_frame(self.traces, self.trace, self.recorder.trace_id)
        frame.attrs |= {
            "original_trace_id": self.checkpoint.trace_id,
            "new_trace_id": self.recorder.trace_id,
            "requests": responder.steps,
            **attrs,
        }
        if self.budget is not None:
            frame.attrs["spent_usd"] = self.budget.spent_usd
        if responder.stopped is not None:
            frame.attrs["interrupted"] = (
                f"{responder.stopped}: the program was stopped after {responder.steps} requests. The same replay again "
                "continues without paying twice."
            )
        if self.recorder.trouble:
            frame.attrs["trouble"] = self.recorder.trouble
        return frame


def first_call_id(checkpoint: Any) -> str:
    """Return the id of the model call that the point stands for. Raises `ReplayError` if there is none."""
    call = next((one for one in checkpoint.span.walk() if one.kind == LLM), None)
    if call is None:
        raise ReplayError(
            f"span {checkpoint.span_id!r} is not a model call and has none below it, so nothing can be executed"
        )
    return str(call.span_id)
