"""What something would cost before it is done: a re-run of a span, or a replay from a checkpoint."""

from __future__ import annotations

from typing import Any

from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.replay import quote as quote_replay
from anton_notebook.experiments.rerun import Quote
from anton_notebook.experiments.rerun import quote as quote_rerun


def quote(span: Any, **how: Any) -> Quote:
    """What `rerun(span, ...)` or, for a checkpoint, `replay(cp, ...)` would take. Nothing is asked.

    Takes their arguments: for a span or a request `prompt=, system=, messages=, model=, provider=, parameters=, tools=, n=,
    baseline=, concurrency=, cache=`, for a checkpoint `fresh=, tools=, model=, command=` and the like; those that make no
    difference to it are passed over. A replay is quoted as if every new answer said something else in the shape of the recorded
    one; with `command=`, as if the program went on as it was recorded.

    Returns a `Quote`: `calls`, `cached_calls`, `input_tokens`, `output_tokens_low` and `_high`, `cost_low_usd` and
    `cost_high_usd` in US dollars (NaN where no price is known), `seconds`, `unpriced_models`. Raises what the run would raise
    before it sends: `UnknownProvider`, `ReplayError`, `TranslationError`, `TypeError`.

    >>> from anton_notebook.model.request import Request
    >>> from anton_notebook.llm import Scripted
    >>> request = Request("", "any", messages=[{"role": "user", "content": "Hi"}])
    >>> quote(request, prompt=["a", "b"], n=3, provider=Scripted([])).calls
    6
    """
    if isinstance(span, Checkpoint):
        return quote_replay(span, **how)
    return quote_rerun(span, **how)
