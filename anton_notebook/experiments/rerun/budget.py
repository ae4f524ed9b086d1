"""Inner: money that may be spent, in whole trillionths of a dollar, so that no sum is ever off.

Before each attempt its worst case is set aside, afterwards what it did cost is taken from it. What is set aside and what is
spent together never exceed the limit, however many calls are in flight.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Mapping
from typing import Any

from anton_notebook import pricing
from anton_notebook.errors import BudgetError
from anton_notebook.llm import Exhausted
from anton_notebook.model.formatting import format_usd
from anton_notebook.model.request import Request, Usage

PICO = 10**12
_USUAL = {
    "service_tier": (None, "auto", "default", "standard_only", "flex", "batch"),
    "speed": (None, "standard", "normal"),
    "inference_geo": (None, "global"),
    "modalities": (None, [], ["text"]),
}
_FEES = ("web_search_options", "audio", "prediction", "mcp_servers", "container", "best_of", "models", "fallbacks")
_PAID_TOOLS = ("web_search", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp")
_UNSEEN = frozenset({"document", "file", "input_file", "container_upload", "input_audio", "video_url", "input_video"})
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
_IMAGES = frozenset({"image", "image_url", "input_image"})
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
CLAUDE_IMAGE, IMAGE = 5_000, 100_000
"""Tokens that one image may be billed as, however few bytes it has: Claude scales it down, others count all its pixels."""


class Budget:
    """US dollars for all attempts that go through it together. Safe to share between threads and event loops."""

    def __init__(self, limit_usd: float) -> None:
        number = isinstance(limit_usd, int | float) and not isinstance(limit_usd, bool)
        if not (number and 0 <= limit_usd <= 1e12):
            raise BudgetError(f"budget={limit_usd!r} is no limit; give US dollars, 0 or more, or None for no limit")
        self.limit = math.floor(limit_usd * PICO)
        self.spent = self.reserved = 0
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def spent_usd(self) -> float:
        """What has been spent: as reported, or the worst case where nothing was reported."""
        return self.spent / PICO

    @property
    def left_usd(self) -> float:
        """What is neither spent nor set aside."""
        return (self.limit - self.spent - self.reserved) / PICO

    async def reserve(self, amount: int) -> None:
        """Sets an amount aside; waits while others in flight may yet leave enough. Raises `Exhausted` where it cannot fit."""
        while True:
            with self._lock:
                if self.spent + self.reserved + amount <= self.limit:
                    self.reserved += amount
                    return
                if self.spent + amount > self.limit or not self.reserved:
                    raise Exhausted("budget")
                loop = asyncio.get_running_loop()
                turn: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, turn))
            try:
                await turn
            finally:
                with self._lock:
                    self._waiting = [entry for entry in self._waiting if entry[1] is not turn]

    def settle(self, reserved: int, spent: int) -> None:
        """Puts what was spent in the place of what was set aside."""
        with self._lock:
            self.reserved -= reserved
            self.spent += spent
            waiting, self._waiting = self._waiting, []
        for loop, turn in waiting:
            try:
                loop.call_soon_threadsafe(_wake, turn)
            except RuntimeError:
                continue  # that loop is closed, nobody waits there

    def __repr__(self) -> str:
        limit, spent, reserved = map(format_usd, (self.limit / PICO, self.spent_usd, self.reserved / PICO))
        return f"<Budget {limit}: {spent} spent, {reserved} reserved>"


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


class Purse:
    """The gate of one call: sets aside its worst case before each attempt, and settles after it."""

    def __init__(self, budget: Budget, provider: str, request: Request, body: Mapping[str, Any]) -> None:
        self.worst = worst_case(provider, request, body)
        self._budget, self._provider, self._model = budget, provider, request.model

    async def enter(self) -> None:
        await self._budget.reserve(self.worst)

    def leave(self, usage: Usage | None, sent: bool, model: str | None = None) -> None:
        if not sent:
            self._budget.settle(self.worst, 0)
            return
        told = usage is not None and any(usage)  # servers that count nothing report zeros
        cost = cost_of(self._provider, self._model, usage) if told else math.nan
        if model and (dearer := cost_of(self._provider, model, usage)) > cost:
            cost = dearer  # a router may have asked another model
        self._budget.settle(self.worst, self.worst if math.isnan(cost) else math.ceil(round(cost * PICO, 3)))


def cost_of(provider: str, model: str, usage: Usage | None) -> float:
    """US dollars of a call that is made now; NaN where the price or the usage is not known."""
    if usage is None:
        return math.nan
    return pricing.usage_cost(provider, model, None, usage)


def worst_case(provider: str, request: Request, body: Mapping[str, Any]) -> int:
    """The most that an attempt can cost: every byte of the request a token, and the longest answer it may have.

    Raises `BudgetError` where that is not known, naming `anb.set_price`.
    """
    price = pricing.price_of(provider, request.model)
    if price is None:
        near = pricing.nearest(request.model)
        hint = f" (known: {', '.join(near)})" if near else ""
        raise BudgetError(
            f"no price is known for the model {request.model!r} of {provider or 'an unknown provider'}{hint}, so no budget can be "
            f"kept; say its price first, anb.set_price({request.model!r}, input=..., output=...) in US dollars per million tokens, "
            "or leave budget=None"
        )
    if (dearer := _dearer(body)) is not None:
        raise BudgetError(f"the price of {dearer} is not known, so no budget can be kept; remove it from the request")
    window = pricing.context_window(provider, request.model)
    sent = len(json.dumps(body, ensure_ascii=False, default=str).encode("utf-8", "replace"))
    given = [body.get(name) for name in ("messages", "system", "input")]
    if images := _images(given):
        each = CLAUDE_IMAGE if "claude" in request.model.lower() else IMAGE
        sent += images * each if window is None else min(images * each, window)
    if any(body.get(name) for name in _ELSEWHERE) or _holds_unseen(given) or _own_tools(body.get("tools")):
        sent = max(sent, _known(window, request.model, "some of its input is not in the request"))
    limits = [body[name] for name in _LIMITS if body.get(name) is not None]
    if not limits or not all(isinstance(limit, int) and limit > 0 for limit in limits):
        limits = [
            pricing.max_output(provider, request.model) or _known(window, request.model, "its answer has no limit")
        ]
    asked: int = max(limits)
    answers = body.get("n")
    asked *= answers if isinstance(answers, int) and answers > 1 else 1
    tiers = [price.rates, *(rates for start, rates in price.tiers if sent > start)]
    reading = max(
        rate for rates in tiers for rate in (rates.input, rates.cache_read, rates.cache_write) if not math.isnan(rate)
    )
    writing = max(rate for rates in tiers for rate in (rates.output, rates.reasoning) if not math.isnan(rate))
    return math.ceil((sent * reading + asked * writing + price.request) * PICO) + 1


def _dearer(body: Mapping[str, Any]) -> str | None:
    """What in a request is billed otherwise than by the price of its tokens: tiers, fees for each use, other kinds of tokens."""
    for name, plain in _USUAL.items():
        if body.get(name) not in plain:
            return f"{name}={str(body[name])[:40]!r}"
    for name in _FEES:
        if body.get(name) not in (None, [], {}):
            return f"the parameter {name}"
    answers = body.get("n")
    if answers is not None and (isinstance(answers, bool) or not isinstance(answers, int)):
        return f"n={str(answers)[:40]!r}"
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = str(tool.get("type", "")) if isinstance(tool, Mapping) else ""
        if kind.startswith(_PAID_TOOLS):
            return f"the tool {kind[:40]}, which takes a fee for each use,"
    return "a cache that is kept for an hour" if _kept_long(body) else None


def _kept_long(value: Any) -> bool:
    if isinstance(value, Mapping):
        control = value.get("cache_control")
        if isinstance(control, Mapping) and control.get("ttl") not in (None, "5m"):
            return True
        return any(_kept_long(inner) for inner in value.values() if isinstance(inner, list | Mapping))
    return isinstance(value, list) and any(map(_kept_long, value))


def _known(window: int | None, model: str, why: str) -> int:
    if window is None:
        raise BudgetError(
            f"{why}, and the context window of the model {model!r} is not known, so no budget can be kept; give "
            "parameters={'max_tokens': ...}, or say it: anb.set_price(..., context_window=...)"
        )
    return window


def _holds_unseen(value: Any) -> bool:
    """Whether a part of the input lies elsewhere (a URL, a file), so that the request's bytes do not say how long it is."""
    if isinstance(value, Mapping):
        if value.get("type") in _UNSEEN:
            return True
        source = value.get("source")
        if isinstance(source, Mapping) and source.get("type") in ("url", "file"):
            return True
        image = value.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        if isinstance(url, str) and not url.startswith("data:"):
            return True
        return any(_holds_unseen(inner) for inner in value.values() if isinstance(inner, list | Mapping))
    return isinstance(value, list) and any(_holds_unseen(inner) for inner in value)


def _images(value: Any) -> int:
    """How many images a request's input shows."""
    if isinstance(value, Mapping):
        here = value.get("type") in _IMAGES or (value.get("image_url") is not None)
        return (
            int(here) if here else sum(_images(inner) for inner in value.values() if isinstance(inner, list | Mapping))
        )
    return sum(map(_images, value)) if isinstance(value, list) else 0


def _own_tools(tools: Any) -> bool:
    """Whether a tool runs at the provider, where its results are input too."""
    if not isinstance(tools, list):
        return False
    return any(isinstance(tool, Mapping) and tool.get("type", "custom") not in ("custom", "function") for tool in tools)
