"""Inner: the HTTP interface, thin over the same Python."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from anton_notebook.api import Span, Traces
from anton_notebook.dashboard import serializers
from anton_notebook.dashboard.auth import AuthenticatedHandler, Refused
from anton_notebook.errors import AmbiguousSpan, AntonNotebookError, BodyUnavailable, ProviderError, did_you_mean

if TYPE_CHECKING:
    from anton_notebook.dashboard.app import Dashboard

T = TypeVar("T")
BATCH = 500
CHANGES = ("prompt", "system", "messages", "model", "provider", "parameters", "tools")


class Api(AuthenticatedHandler):
    """What all addresses under `/api` share."""

    def given(self, dashboard: Dashboard) -> None:  # type: ignore[override]
        self.dashboard = dashboard

    @property
    def traces(self) -> Traces:
        return self.dashboard.traces

    async def aside(self, work: Callable[[], T]) -> T:
        """Does work on a thread; what it refuses is answered with its reason."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work)
        except (AntonNotebookError, ValueError, TypeError) as error:
            raise refusal(error) from error

    def whole(self, name: str, default: int, most: int) -> int:
        """A whole number of the query."""
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
            raise Refused(400, f"{name}={text[:40]!r} must be a whole number from 1 to {most}")
        return int(text)

    def span(self, span_id: str, trace_id: str | None) -> Span:
        return self.traces.span(span_id, trace_id)


def refusal(error: Exception) -> Refused:
    """The status of an error, with its own words."""
    status = 400
    if isinstance(error, AmbiguousSpan):
        status = 409
    elif isinstance(error, LookupError):
        status = 404
    elif isinstance(error, BodyUnavailable):
        status = 410
    elif isinstance(error, ProviderError) and not isinstance(error, ValueError | ImportError):
        status = 502
    return Refused(status, str(error)[:2000], type(error).__name__)


class TracesHandler(Api):
    """`GET /api/traces?limit=100&experiments=0`: the newest runs first."""

    async def get(self) -> None:
        limit = self.whole("limit", 100, 100_000)
        with_tries = self.get_query_argument("experiments", "0") not in ("0", "", "false")
        found, total = await self.aside(lambda: serializers.runs(self.traces, limit, with_tries))
        self.answer({"traces": found, "total": total})


class TraceHandler(Api):
    """`GET /api/traces/{trace_id}`: one run's figures and its spans, by start."""

    async def get(self, trace_id: str) -> None:
        trace_id = unquote(trace_id)
        trace, rows = await self.aside(lambda: self._find(trace_id))
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.write(f'{{"trace":{_text(trace)},"spans":[')
        for begin in range(0, len(rows), BATCH):
            part = await self.aside(lambda at=begin: list(serializers.spans_of(self.traces, rows[at : at + BATCH])))  # type: ignore[misc]
            self.write(("," if begin else "") + ",".join(map(_text, part)))
            await self.flush()
        self.finish("]}")

    def _find(self, trace_id: str) -> tuple[dict[str, Any], list[int]]:
        trace = self.traces[trace_id]
        return serializers.run_of(trace), self.dashboard.rows_of(trace_id)


class SpanHandler(Api):
    """`GET /api/spans/{span_id}?trace_id=`: one span with everything that was recorded of it."""

    async def get(self, span_id: str) -> None:
        name, trace_id = unquote(span_id), self.get_query_argument("trace_id", None)

        def read() -> dict[str, Any]:
            span = self.span(name, trace_id)
            record = {k: v for k, v in span.record.items() if not str(k).startswith("_")}
            return {"span": serializers.span_of(span), "record": serializers.plain(record)}

        self.answer(await self.aside(read))


class StatsHandler(Api):
    """`GET /api/stats`: sums over all runs."""

    async def get(self) -> None:
        self.answer(await self.aside(lambda: serializers.stats(self.traces)))


class CostsHandler(Api):
    """`GET /api/costs?by=agent,model&trace_id=`: what `anb.costs` answers, row by row."""

    async def get(self) -> None:
        by = [word for word in self.get_query_argument("by", "agent").split(",") if word]
        trace_id = self.get_query_argument("trace_id", None)

        def work() -> dict[str, Any]:
            from anton_notebook.tables.costs import costs

            whole = self.traces if trace_id is None else self.traces[trace_id]
            return {"by": by, "costs": serializers.rows_of(costs(whole, by=by).reset_index())}

        self.answer(await self.aside(work))


class HealthHandler(Api):
    """`GET /health`."""

    async def get(self) -> None:
        live = self.traces.live
        error = live.error if live is not None else None
        self.answer(
            {
                "status": "ok" if error is None else "failing",
                "version": version("anton-notebook"),
                "following": live.following if live is not None else "off",
                "revision": self.traces.store.revision,
                "spans": self.traces.store.size,
                "pages": len(self.dashboard.pages),
                "error": None if error is None else type(error).__name__,
            }
        )


class ExecuteHandler(Api):
    """`POST /api/execute/llm`: one recorded call again, with changes. Only with `--allow-rerun`."""

    async def post(self) -> None:
        if not self.dashboard.allow_rerun:
            raise Refused(403, "calls to models are off: start the dashboard with --allow-rerun", "NotAllowed")
        body = self.body()
        span_id, trace_id = _word(body, "span_id", needed=True), _word(body, "trace_id")
        unknown = set(body) - {"span_id", "trace_id", "n", *CHANGES}
        if unknown:
            name = min(unknown)
            raise Refused(400, f"{name!r} is no argument{did_you_mean(name, ('span_id', 'trace_id', 'n', *CHANGES))}")
        changes = {name: body[name] for name in CHANGES if body.get(name) is not None}
        _word(changes, "provider")
        n = body.get("n", 1)
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 100:
            raise Refused(400, f"n={n!r} must be a whole number from 1 to 100")

        def work() -> list[dict[str, Any]]:
            from anton_notebook.experiments.rerun import rerun

            span = self.span(str(span_id), trace_id)
            frame = rerun(span, n=n, budget=self.dashboard.budget, progress=False, **changes)
            return serializers.rows_of(frame)

        rows = await self.aside(work)
        first = rows[0]
        failed = next((row["error"] for row in rows if row["error"]), None)
        if failed is not None and all(row["error"] for row in rows):
            self.set_status(402 if failed == "budget" else 502)
        self.answer(
            {
                "original": first["original"],
                "new": first["response"],
                "diff": first["diff"],
                "new_span_id": first["new_span_id"],
                "error": failed,
                "rows": rows,
            }
        )


class ReplayHandler(Api):
    """`POST /api/replay/{span_id}`: the run again from this span on. Only with `--allow-replay`."""

    async def post(self, span_id: str) -> None:
        if not self.dashboard.allow_replay:
            raise Refused(403, "replays are off: start the dashboard with --allow-replay", "NotAllowed")
        body, name = self.body(), unquote(span_id)
        trace_id = _word(body, "trace_id") or self.get_query_argument("trace_id", None)
        unknown = set(body) - {"trace_id", "prompts", "prompt", "fresh"}
        if unknown:
            raise Refused(400, f"{min(unknown)!r} is no argument; there are trace_id, prompts, prompt, fresh")
        prompts = dict(body.get("prompts") or {}) if isinstance(body.get("prompts") or {}, dict) else None
        if prompts is None or not all(isinstance(text, str) for text in prompts.values()):
            raise Refused(400, "prompts must be an object of span ids and texts")
        if _word(body, "prompt") is not None:
            prompts[name] = str(body["prompt"])
        fresh = body.get("fresh", not prompts)
        if not isinstance(fresh, bool):
            raise Refused(400, "fresh must be true or false")

        def work() -> dict[str, Any]:
            from anton_notebook.experiments.checkpoints import checkpoint
            from anton_notebook.experiments.replay import replay

            point = checkpoint(self.span(name, trace_id), prompts=prompts)
            frame = replay(point, fresh=fresh, budget=self.dashboard.budget, progress=False)
            old, new = str(frame.attrs["original_trace_id"]), str(frame.attrs["new_trace_id"])
            return {
                "original_trace_id": old,
                "new_trace_id": new,
                "comparison_url": f"{self.gate.address}/#trace={quote(old, safe='')}&compare={quote(new, safe='')}",
                "rows": serializers.rows_of(frame),
            }

        self.answer(await self.aside(work))


class NotFoundHandler(Api):
    """Any other address."""

    def prepare(self) -> None:
        super().prepare()
        raise Refused(404, "there is nothing at this address: try /, /api/traces, /api/stats, /health")


def _word(body: dict[str, Any], name: str, needed: bool = False) -> str | None:
    value = body.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or not value:
        raise Refused(400, f"{name} must be a text{'' if value is not None else ', and is missing'}")
    return value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
