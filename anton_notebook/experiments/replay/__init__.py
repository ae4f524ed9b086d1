"""Replays: from a point of a trace on, what was changed is executed anew, and what follows from it as far as rules reach.

`recorded`, `dependence` and `index` read a run, `values`, `rules`, `guards`, `doubts` and `backwards` say what follows (pure
functions of the recording), `walk` goes through it, `run` sends, `record` writes the branch, `plan` says before what would be done.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.errors import ReplayError, did_you_mean
from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.frames import replay_frame
from anton_notebook.experiments.replay.backtest import Backwards
from anton_notebook.experiments.replay.branch_writer import Branch
from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.dry_run import CAUTION, Guesses, ReplayPlan, quote_of
from anton_notebook.experiments.replay.engine import Verdict, Walk, Wishes
from anton_notebook.experiments.replay.live_executor import Senders, Sending
from anton_notebook.experiments.replay.prompt_rebuild import Rules
from anton_notebook.experiments.replay.recording import Recording
from anton_notebook.experiments.rerun import Budget, Quote
from anton_notebook.experiments.rerun.event_loop import run
from anton_notebook.experiments.rerun.progress import Progress
from anton_notebook.model.span import LLM, TOOL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CAUTION", "Replay", "ReplayPlan", "plan", "replay"]

Tools = Mapping[str, Callable[..., Any]]
_HOW = (
    "tools", "fresh", "budget", "provider", "model", "concurrency", "match_tools", "assume_independent", "on_stale", "command",
    "workdir", "normalize", "progress", "cache", "timeout",
)  # fmt: skip


def replay(
    cp: Checkpoint,
    *,
    tools: Tools | None = None,
    fresh: bool = False,
    budget: float | Budget | None = None,
    provider: Any = None,
    model: str | None = None,
    concurrency: int = 8,
    match_tools: str = "arguments",
    assume_independent: Sequence[str] = (),
    on_stale: str = "stop",
    command: Sequence[str] | None = None,
    workdir: Any = None,
    normalize: Sequence[Any] | None = None,
    progress: bool = True,
    cache: bool = True,
    timeout: float | None = None,
    **program: Any,
) -> pd.DataFrame:
    """Re-executes from a checkpoint on, and writes the result as a new trace, a branch beside the old one.

    Executed anew are the calls whose prompts the checkpoint changes and, with `fresh=True`, its point itself (an agent stands
    for its first call). What follows is inferred from the recording by rules; each row says how it came about: `provenance`
    is `reused` (its answer stands, and that is sound), `executed` (the request is known), `inferred` (rebuilt as if the program
    only copied values) or `stale` (no rule reaches it; not sent), and `reason` why. A changed prompt is changed on the way to
    the model: later turns of its conversation hold the recorded prompt, and the new answer.

    `tools={name: fn}`: functions that may be called, with the arguments that an answer asks for; others never are.
    `match_tools="name"` keeps results of tools whose arguments were not recorded. `assume_independent`: agents or span ids that
    the caller vouches for. `on_stale="continue"` goes on from recorded values. `budget` in US dollars, `provider` and `model`
    as in `rerun`, for all calls that are made. Interrupted, what was done is returned; called again, nothing is paid twice
    (`cache=False` asks all anew). `timeout` in seconds is that of a call (600 by default), with `command=` that of the program
    (none by default). With `command=` the program itself is run, in a copy of its repository, and nothing is inferred; `budget`,
    `fresh`, `cache` and `progress` hold there too, `workdir`, `normalize` and further arguments are those of
    `replay.program.replay_program`.

    One row a call; `attrs`: `original_trace_id, new_trace_id, caution` and, where there is something to say, `interrupted`,
    `trace`, `cache`. Raises `ReplayError` (a ValueError) for what cannot be done, `BudgetError` and `UnknownProvider` before
    anything is sent.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> from anton_notebook.llm import Scripted
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "parent_id": null, '
    ...     '"span_type": "llm_call", "model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "response": "Yes?", '
    ...     '"duration_ms": 5.0}\\n')
    >>> cp = anb.checkpoint(anb.read_traces(folder).span("s"), prompts={"s": "Bye"})
    >>> anb.replay(cp, provider=Scripted(["So long"]))[["provenance", "replayed"]].values.tolist()
    [['executed', 'So long']]
    """
    if command is not None:
        own = {"tools": tools, "provider": provider, "model": model, "assume_independent": assume_independent or None}
        for name, value in own.items():
            if value is not None:
                raise TypeError(
                    f"{name}= has no meaning with command=: the program itself asks its models and runs its tools"
                )
        module = importlib.import_module("anton_notebook.experiments.replay.program.runner")
        found: pd.DataFrame = module.replay_program(
            cp, command=command, workdir="copy" if workdir is None else workdir, normalize=normalize, fresh=fresh,
            budget=budget, cache=cache, progress=progress, timeout=timeout, **program,
        )  # fmt: skip
        return found
    if program:
        raise TypeError(f"replay() has no argument {sorted(program)[0]!r}{did_you_mean(sorted(program)[0], _HOW)}")
    made = Replay(
        cp, tools=tools, fresh=fresh, budget=budget, provider=provider, model=model, concurrency=concurrency,
        match_tools=match_tools, assume_independent=assume_independent, on_stale=on_stale, cache=cache,
        timeout=600.0 if timeout is None else timeout,
    )  # fmt: skip
    planned = made.plan()
    shown = Progress(planned.quote.calls + planned.quote.cached_calls, progress)
    made.on_row = lambda row: shown.add(row) if row["attempts"] or row["from_cache"] else None
    try:
        finished = run(_finished(made), shown.show)
    finally:
        shown.show(last=True)
    if not finished:
        made.notes["interrupted"] = (
            f"interrupted: {len(made.rows)} of {len(made.recording.nodes)} calls are here; the same replay again takes up what was "
            "answered without paying for it twice"
        )
    return made.frame()


def quote(cp: Checkpoint, *, command: Sequence[str] | None = None, **how: Any) -> Quote:
    """What `replay` with these arguments would take: calls, tokens, dollars (low and high), seconds. Nothing is sent.

    With `command=` it is what the changed calls and all that the recording began after them would take if they went as recorded.
    """
    if command is None:
        asked: Quote = plan(cp, **how).quote
        return asked
    made = Replay(cp, **{name: value for name, value in how.items() if name in ("fresh", "budget", "cache")})
    return made.live_quote()


def plan(cp: Checkpoint, **how: Any) -> ReplayPlan:
    """What `replay` with these arguments would do and take, calls and dollars, as far as it can be known before. Nothing is sent.

    It supposes that every new answer says something else in the shape of the recorded one.
    """
    how.pop("progress", None)
    return Replay(cp, **how).plan()


class Replay:
    """One replay: `plan()` before, `await run()`, `rows` and `frame()` at any time."""

    def __init__(
        self,
        cp: Checkpoint,
        *,
        tools: Tools | None = None,
        fresh: bool = False,
        budget: float | Budget | None = None,
        provider: Any = None,
        model: str | None = None,
        concurrency: int = 8,
        match_tools: str = "arguments",
        assume_independent: Sequence[str] = (),
        on_stale: str = "stop",
        cache: bool = True,
        timeout: float = 600.0,
    ) -> None:
        _one_of("match_tools", match_tools, ("arguments", "name"))
        _one_of("on_stale", on_stale, ("stop", "continue"))
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency={concurrency!r}: a whole number of 1 or more is possible")
        if not isinstance(cp, Checkpoint):
            raise TypeError(f"replay takes a checkpoint, anb.checkpoint(span, prompts=...), found {type(cp).__name__}")
        traces = cp._source()
        self.cp, self._traces = cp, traces
        self.tools = dict(tools or {})
        self.budget = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
        self._concurrency, self._cache = concurrency, cache
        self._policy = llm.Policy(timeout=timeout)
        cp.check_prompts(cp.modified_prompts)
        self.recording = Recording(traces[cp.trace_id])
        self.order = Order(self.recording)
        self.rules = Rules(self.order)
        self.wishes = Wishes(
            dict(cp.modified_prompts), self._point(cp) if fresh else None, frozenset(self.tools), match_tools,
            frozenset(self._vouched(assume_independent)), on_stale == "continue", model,
            provider if isinstance(provider, str) else None,
        )  # fmt: skip
        others = [
            t
            for t in traces
            if t.trace_id != cp.trace_id and t.figures["origin"] in ("run", "record", "demo", "export")
        ]
        self.backwards = Backwards(self.recording, self.rules, sorted(others, key=lambda t: -(t.figures["start"] or 0)))
        self.senders = Senders(provider)
        self.branch = Branch(self.recording, Path(traces.home) / "traces", cp.checkpoint_id)
        self.notes: dict[str, str] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.verdicts: list[Verdict] = []
        self.on_row: Callable[[dict[str, Any]], None] | None = None

    def plan(self) -> ReplayPlan:
        """What it would do. Raises `BudgetError`, `UnknownProvider` and the like, as the run would before it sends."""
        guesses = Guesses()
        walk = Walk(self.recording, self.order, self.rules, self.wishes, guesses, self.backwards)
        _now(walk.run())
        asked = quote_of(guesses.requests, self.senders, self.budget, concurrency=self._concurrency, cache=self._cache)
        verdicts = [walk.verdicts[place] for place in sorted(walk.verdicts)]
        return ReplayPlan(verdicts, asked, tools=[node.name for node, _ in guesses.calls])

    def live_quote(self) -> Quote:
        """What it would take where the program itself is run, and everything is live from the change on."""
        changed = {*self.wishes.prompts, *([self.wishes.fresh] if self.wishes.fresh is not None else [])}
        calls = [(node, node.request) for node in self.recording.nodes if node.kind == LLM and node.request is not None]
        since = min(
            (node.end for node, _ in calls if node.span.span_id in changed and node.end is not None), default=None
        )
        requests = []
        for node, request in calls:
            name = node.span.span_id
            if name in changed:
                given = self.wishes.prompts.get(name)
                requests.append((node, request if given is None else request.with_changes(prompt=given)))
            elif changed and (since is None or node.start is None or node.start >= since):
                requests.append((node, request))
        return quote_of(requests, self.senders, self.budget, concurrency=1, cache=False)

    async def run(self) -> None:
        """Does it. Cancelled, it keeps what is done."""
        sending = Sending(
            self.senders, self.tools, home=Path(self._traces.home), budget=self.budget, concurrency=self._concurrency,
            cache=self._cache, policy=self._policy, branch=self.branch, on_row=self.on_row,
        )  # fmt: skip
        self.rows = sending.rows
        walk = Walk(
            self.recording, self.order, self.rules, self.wishes, sending, self.backwards, on_verdict=sending.settled
        )
        sending.walk = walk
        try:
            async with sending:
                await walk.run()
        finally:
            self.verdicts = [walk.verdicts[place] for place in sorted(walk.verdicts)]
            self.branch.close(walk.verdicts)
            if self.branch.trouble is not None:
                self.notes["trace"] = self.branch.trouble
            if sending.trouble is not None:
                self.notes["cache"] = sending.trouble
            if self._traces.live is None:
                self._traces.refresh()

    def frame(self) -> pd.DataFrame:
        """What is settled, one row a call."""
        made = replay_frame(self.rows[place] for place in sorted(self.rows))
        made.attrs |= {
            "original_trace_id": self.cp.trace_id,
            "new_trace_id": self.branch.trace_id,
            "checkpoint_id": self.cp.checkpoint_id,
            "caution": CAUTION,
            **self.notes,
        }
        if self.budget is not None:
            made.attrs["spent_usd"] = self.budget.spent_usd
        return made

    # -- inner

    def _point(self, cp: Checkpoint) -> str:
        span = cp.span
        if span.kind == TOOL:
            node = self.recording.by_id[span.span_id]
            if node.name not in self.tools:
                raise ReplayError(
                    f"the point {span.span_id!r} is the tool {node.name!r}, and tools= holds no function of this name"
                    f"{did_you_mean(node.name, self.tools)}; a tool is never run without one: tools={{{node.name!r}: fn}}"
                )
            if not isinstance(node.arguments, Mapping):
                raise ReplayError(
                    f"the arguments of the tool {node.name!r} are not recorded, so it cannot be called again"
                )
            return str(span.span_id)
        found = next((one for one in span.walk() if one.kind == LLM), None)
        if found is None:
            raise ReplayError(
                f"the point {span.span_id!r} ({span.kind} {span.name!r}) has no LLM call below it to execute anew"
            )
        return str(found.span_id)

    def _vouched(self, given: Sequence[str]) -> Collection[str]:
        names = [given] if isinstance(given, str) else list(given)
        known = {*self.recording.by_id, *(node.agent for node in self.recording.nodes if node.agent)}
        for name in names:
            if name not in known:
                raise ReplayError(
                    f"assume_independent: no agent or span {name!r} in trace {self.cp.trace_id!r}{did_you_mean(str(name), known)}"
                )
        return names


async def _finished(made: Replay) -> bool:
    await made.run()
    return True


def _now(work: Any) -> None:
    """Runs work that never waits for anything outside, also where an event loop is running in this thread."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            loop.run_until_complete(work)
        finally:
            loop.close()
        return
    loop.close()
    run(_done(work), lambda: None)


async def _done(work: Any) -> bool:
    await work
    return True


def _one_of(name: str, value: object, possible: Sequence[str]) -> None:
    if value not in possible:
        raise ValueError(f"{name}={value!r}: {' or '.join(repr(word) for word in possible)} is possible")
