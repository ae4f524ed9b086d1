"""`anb.replay`, and what it would do and cost: `plan`, `quote`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import did_you_mean
from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.replay.dry_run import ReplayPlan
from anton_notebook.experiments.replay.session import Replay, Tools
from anton_notebook.experiments.rerun import Budget, Quote
from anton_notebook.experiments.rerun.event_loop import run as run_in_loop
from anton_notebook.experiments.rerun.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

_ARGUMENTS = (
    "tools", "fresh", "budget", "provider", "model", "concurrency", "assume_independent", "program", "command", "workdir",
    "normalize", "progress", "cache", "timeout",
)  # fmt: skip
DEFAULT_TIMEOUT = 600.0


def replay(
    cp: Checkpoint,
    *,
    tools: Tools | None = None,
    fresh: bool = False,
    budget: float | Budget | None = None,
    provider: Any = None,
    model: str | None = None,
    concurrency: int = 8,
    assume_independent: Sequence[str] = (),
    program: Callable[..., Any] | None = None,
    command: Sequence[str] | None = None,
    workdir: Any = None,
    normalize: Sequence[Any] | None = None,
    progress: bool = True,
    cache: bool = True,
    timeout: float | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Execute a run again from a checkpoint on, and write the result as a new trace, a branch of the old one.

    The calls whose prompts the checkpoint changes are sent. Every row has a `provenance` and a `reason`:

    - `reused`: a model call that is provably independent of the change, or a tool that ended before it.
    - `executed`: a model call whose request is known. Tools are never `executed`.
    - `inferred`: a structural step after a change: the next turn of the same conversation with the new answer and results, a
      recorded tool call with equal arguments, or a function in `tools=`.
    - `stale`: everything else; not sent.

    The prompt is changed on the way to the model: later turns of the conversation have the recorded prompt and the new answer.
    With `program=` (a function) or `command=` (a program) the program itself runs against a recording gateway: recorded answers
    until the change, live ones afterwards; nothing is inferred.

    Args:
        cp: Made by `anb.checkpoint(span, prompts={span_id: "..."})`.
        tools: Tool name -> function, sync or async, called with the arguments that an answer asks for. Functions bypass the
            program's own guards; they are refused where the recording shows such guards.
        fresh: Also execute the point itself, unchanged; an agent stands for its first model call.
        budget: US dollars for all calls of this replay; None is unlimited.
        provider: As in `anb.rerun`.
        model: Another model for all calls.
        concurrency: Most calls at the same time.
        assume_independent: Agents or span ids that the caller declares independent of the change.
        program: A function of this notebook, sync or async, that runs the recorded program. Create SDK clients inside it; see
            `replay.program.function.replay_function` for `normalize`, `upstreams` and its `attrs`.
        command: The program and its arguments; see `replay.program.command.replay_command` for `workdir` and more.
        progress: Show progress.
        cache: Use and save answers, so that an interrupted replay does not pay twice.
        timeout: Seconds for one call (default 600), with `program=` or `command=` for all (default unlimited).

    Returns:
        One row per call. `attrs`: `original_trace_id`, `new_trace_id`, `caution` and, if needed, `interrupted`, `trace`,
        `cache`, `clock`.

    Raises:
        ReplayError: Something cannot be done (a ValueError).
        BudgetError, UnknownProvider: Before anything is sent.

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
    if command is not None or program is not None:
        unused = {
            "tools": tools,
            "provider": provider,
            "model": model,
            "assume_independent": assume_independent or None,
        }
        common = {
            "normalize": normalize, "fresh": fresh, "budget": budget, "cache": cache, "progress": progress,
            "timeout": timeout, **more,
        }  # fmt: skip
        return _run_program(cp, program, command, workdir, unused, common)
    if more:
        raise TypeError(f"replay() has no argument {sorted(more)[0]!r}{did_you_mean(sorted(more)[0], _ARGUMENTS)}")
    session = Replay(
        cp, tools=tools, fresh=fresh, budget=budget, provider=provider, model=model, concurrency=concurrency,
        assume_independent=assume_independent, cache=cache, timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
    )  # fmt: skip
    return _run(session, progress)


def _run_program(
    cp: Checkpoint,
    program: Callable[..., Any] | None,
    command: Sequence[str] | None,
    workdir: Any,
    unused: dict[str, Any],
    common: dict[str, Any],
) -> pd.DataFrame:
    way = "command=" if command is not None else "program="
    unused |= {"program": program} if command is not None else {"workdir": workdir}
    for name, value in unused.items():
        if value is not None:
            raise TypeError(f"{name}= has no meaning with {way}: the program asks its models and runs its tools")
    if command is None:
        function = importlib.import_module("anton_notebook.experiments.replay.program.function")
        frame: pd.DataFrame = function.replay_function(cp, program=program, **common)
        return frame
    module = importlib.import_module("anton_notebook.experiments.replay.program.command")
    frame = module.replay_command(cp, command=command, workdir="copy" if workdir is None else workdir, **common)
    return frame


def _run(session: Replay, progress: bool) -> pd.DataFrame:
    planned = session.plan()
    shown = Progress(planned.quote.calls + planned.quote.cached_calls, progress)
    session.on_row = lambda row: shown.add(row) if row["attempts"] or row["from_cache"] else None
    try:
        finished = run_in_loop(_finished(session), shown.show)
    finally:
        shown.show(last=True)
    if not finished:
        session.notes["interrupted"] = (
            f"interrupted: {len(session.rows)} of {len(session.recording.nodes)} calls are here. The same replay again "
            "continues without paying twice."
        )
    return session.frame()


async def _finished(session: Replay) -> bool:
    await session.run()
    return True


def plan(cp: Checkpoint, **arguments: Any) -> ReplayPlan:
    """Return what `replay` with these arguments would do and cost, as far as known before. Nothing is sent.

    It assumes that every new answer differs from the recorded one and asks for the same tools.
    """
    arguments.pop("progress", None)
    return Replay(cp, **arguments).plan()


def quote(
    cp: Checkpoint,
    *,
    program: Callable[..., Any] | None = None,
    command: Sequence[str] | None = None,
    **arguments: Any,
) -> Quote:
    """Return what `replay` with these arguments would take: calls, tokens, dollars (low and high), seconds. Nothing is sent.

    With `program=` or `command=` it covers the changed calls and all that the recording began after them.
    """
    if command is None and program is None:
        quoted: Quote = plan(cp, **arguments).quote
        return quoted
    session = Replay(cp, **{name: value for name, value in arguments.items() if name in ("fresh", "budget", "cache")})
    return session.live_quote()
