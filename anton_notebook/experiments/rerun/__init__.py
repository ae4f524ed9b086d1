"""Experiments: one recorded call again, or a thousand variants of it.

`rerun` waits for the answers (from a cell or a script), `arerun` is awaited, `quote` says before what it would cost. A sweep
is a trace of its own in the run's home; answers are kept there by request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.experiments.rerun.budget import Budget
from anton_notebook.experiments.rerun.cost_quote import Quote, quoted
from anton_notebook.experiments.rerun.event_loop import run
from anton_notebook.experiments.rerun.progress import Progress
from anton_notebook.experiments.rerun.sweep import Metric, Sweep
from anton_notebook.experiments.rerun.variants import Call, Original, Plan, Variant, plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Budget", "Call", "Original", "Plan", "Quote", "Sweep", "Variant", "arerun", "plan", "quote", "rerun"]


def rerun(
    span: Any,
    *,
    prompt: Any = None,
    system: Any = None,
    messages: Any = None,
    model: Any = None,
    provider: Any = None,
    parameters: Any = None,
    tools: Any = None,
    n: int = 1,
    baseline: int = 0,
    metrics: Mapping[str, Metric] | None = None,
    budget: float | Budget | None = None,
    concurrency: int = 8,
    cache: bool = True,
    progress: bool = True,
    retries: int | None = None,
    timeout: float = 600.0,
    home: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """Sends the request of a recorded call again, changed or not, and compares the answers with the recorded one.

    One row an answer, in order, the columns of `tables.experiments.RERUN` and then one for each metric; times in
    milliseconds, costs in US dollars. Errors are values in their rows. Tools are never run.

    `span`: a span of a trace that is an LLM call, or a `Request`. Each change is a value, a function from the old value to the
    new, or a list of those; lists multiply. `prompt` replaces the text of the last user message that is no tool result,
    `system=""` removes the system prompt, `parameters` are merged (a `None` removes one), `messages` and `tools` are lists of
    dicts (a list of lists: several variants), `provider` is a name or an object with `complete(request)`. `n` answers each;
    `baseline=k` also asks the unchanged request k times, as variant 0, for `anb.verdict`. `metrics={"name": fn}`: fn takes the
    answer's text. `budget`: US dollars that are never exceeded. `retries=None` sends again (twice at most) only what the server
    turned away unread; a number allows that many more attempts at whatever may pass. `timeout`: seconds for a call with all its
    attempts. Interrupted, what was done is returned.

    Raises `NotRerunnable`, `UnknownProvider`, `TranslationError` and `BudgetError` before anything is sent.

    >>> from anton_notebook.llm import Scripted
    >>> from anton_notebook.model.request import Request
    >>> request = Request("", "any", messages=[{"role": "user", "content": "Hi"}])
    >>> df = rerun(request, prompt=["Hi", "Hello"], provider=Scripted(lambda request: request.prompt.upper()))
    >>> df[["variant", "response"]].values.tolist()
    [[1, 'HI'], [2, 'HELLO']]
    """
    made = _sweep(locals())
    shown = Progress(len(made.plan.calls), progress)
    made._on_row = shown.add
    try:
        finished = run(_finished(made), shown.show)
    finally:
        shown.show(last=True)
    if not finished:
        made.notes["interrupted"] = f"interrupted: {len(made.rows)} of {len(made.plan.calls)} calls are here"
    return made.frame()


async def arerun(
    span: Any,
    *,
    prompt: Any = None,
    system: Any = None,
    messages: Any = None,
    model: Any = None,
    provider: Any = None,
    parameters: Any = None,
    tools: Any = None,
    n: int = 1,
    baseline: int = 0,
    metrics: Mapping[str, Metric] | None = None,
    budget: float | Budget | None = None,
    concurrency: int = 8,
    cache: bool = True,
    progress: bool = True,
    retries: int | None = None,
    timeout: float = 600.0,
    home: str | PathLike[str] | None = None,
) -> pd.DataFrame:
    """As `rerun`, awaited: the calls are made on the running event loop.

    >>> import asyncio
    >>> from anton_notebook.llm import Scripted
    >>> from anton_notebook.model.request import Request
    >>> request = Request("", "any", messages=[{"role": "user", "content": "Hi"}])
    >>> asyncio.run(arerun(request, provider=Scripted(["Hello"])))["response"].tolist()
    ['Hello']
    """
    made = _sweep(locals())
    shown = Progress(len(made.plan.calls), progress)

    def on_row(row: dict[str, Any]) -> None:
        shown.add(row)
        shown.show()

    made._on_row = on_row
    try:
        await made.run()
    finally:
        shown.show(last=True)
    return made.frame()


def quote(
    span: Any,
    *,
    prompt: Any = None,
    system: Any = None,
    messages: Any = None,
    model: Any = None,
    provider: Any = None,
    parameters: Any = None,
    tools: Any = None,
    n: int = 1,
    baseline: int = 0,
    concurrency: int = 8,
    cache: bool = True,
    home: str | PathLike[str] | None = None,
    **others: Any,
) -> Quote:
    """What `rerun` with these arguments would take: calls, tokens, dollars (low and high), seconds. Nothing is asked.

    The arguments of `rerun` that make no difference to it are taken and passed over.

    >>> from anton_notebook.model.request import Request
    >>> from anton_notebook.llm import Scripted
    >>> request = Request("", "any", messages=[{"role": "user", "content": "Hi"}])
    >>> quote(request, prompt=["a", "b"], n=3, provider=Scripted([])).calls
    6
    """
    unknown = sorted(set(others) - {"metrics", "budget", "progress", "retries", "timeout"})
    if unknown:
        raise TypeError(f"quote() takes the arguments of rerun(), and {unknown[0]!r} is none of them")
    return quoted(_plan(locals()), concurrency=concurrency, cache=cache)


_CHANGES = ("prompt", "system", "messages", "model", "provider", "parameters", "tools", "n", "baseline")


def _plan(given: Mapping[str, Any]) -> Plan:
    made = plan(given["span"], **{name: given[name] for name in _CHANGES})
    if given["home"] is not None:
        made.original = replace(made.original, home=Path(given["home"]).expanduser())
    return made


def _sweep(given: Mapping[str, Any]) -> Sweep:
    policy = llm.Policy(retries=given["retries"], timeout=given["timeout"])
    return Sweep(
        _plan(given),
        metrics=given["metrics"],
        budget=given["budget"],
        concurrency=given["concurrency"],
        cache=given["cache"],
        policy=policy,
    )


async def _finished(made: Sweep) -> bool:
    await made.run()
    return True
