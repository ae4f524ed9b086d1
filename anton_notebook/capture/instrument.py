"""`anb.instrument()`: record this process's OpenTelemetry spans as a trace that is read while it grows.

A span processor writes each span when it starts and again when it ends, as OTLP/JSON lines into the home's `traces/` folder,
which `TraceGraph` and `read_traces` follow. Programs pay for a queue entry per span; a thread encodes and writes. The
conventions that the attributes follow are read by `anton_notebook.sources.otlp`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import queue
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from anton_notebook.model.html_repr import html_facts
from anton_notebook.sources.home import home
from anton_notebook.sources.writer import make_folder

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

MOST_ATTRIBUTES = 10_000
ENTRY_POINTS = "opentelemetry_instrumentor"


class Library(NamedTuple):
    """A library that can be recorded: its module, the package that instruments it, and whether it emits spans itself."""

    module: str
    package: str
    emits: bool = False


LIBRARIES = (
    Library("openai", "openinference-instrumentation-openai"),
    Library("anthropic", "openinference-instrumentation-anthropic"),
    Library("agents", "openinference-instrumentation-openai-agents"),
    Library("langchain_core", "openinference-instrumentation-langchain"),
    Library("llama_index.core", "openinference-instrumentation-llama-index"),
    Library("crewai", "openinference-instrumentation-crewai"),
    Library("dspy", "openinference-instrumentation-dspy"),
    Library("litellm", "openinference-instrumentation-litellm"),
    Library("smolagents", "openinference-instrumentation-smolagents"),
    Library("agno", "openinference-instrumentation-agno"),
    Library("autogen_agentchat", "openinference-instrumentation-autogen-agentchat"),
    Library("google.genai", "openinference-instrumentation-google-genai"),
    Library("mistralai", "openinference-instrumentation-mistralai"),
    Library("groq", "openinference-instrumentation-groq"),
    Library("boto3", "openinference-instrumentation-bedrock"),
    Library("haystack", "openinference-instrumentation-haystack"),
    Library("mcp", "openinference-instrumentation-mcp"),
    Library("pydantic_ai", "pydantic-ai", emits=True),
    Library("google.adk", "google-adk", emits=True),
    Library("strands", "strands-agents", emits=True),
    Library("agent_framework", "agent-framework", emits=True),
)
"""Libraries of models and agents, and what records them. Sources: the entry points of the packages and their documentation."""

_WORDS = (
    "openai", "anthropic", "langchain", "llama", "crewai", "dspy", "litellm", "smolagents", "agno", "autogen", "genai",
    "mistral", "groq", "bedrock", "haystack", "mcp", "cohere", "ollama", "vertexai", "transformers", "agent",
)  # fmt: skip
"""Words in the names of entry points that concern models, agents or tools."""


class Instrumentation:
    """What `instrument` recorded and how; closing it ends the recording.

    Attributes:
        path: The trace file. It is made with the first span.
        instrumented: Names of the instrumentations that are switched on, and of libraries that emit spans themselves.
        missing: Libraries that are installed without an instrumentation, with the package that would add it.
        errors: What could not be switched on or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"otel_{datetime.now(UTC):%Y%m%d_%H%M%S}_{secrets.token_hex(4)}.jsonl"
        self.instrumented: list[str] = []
        self.missing: dict[str, str] = {}
        self.errors: list[str] = []
        self._switched: list[Any] = []
        self._file = -1
        self._due: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="anton_notebook instrument", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it no longer records."""
        return self._closed

    def record(self, span: ReadableSpan, started: bool) -> None:
        """Queue a span; what changes after its start is copied."""
        if self._closed:
            return
        attributes = dict(span.attributes or {}) if started else None
        self._due.put((span, attributes))

    def flush(self, seconds: float = 10.0) -> bool:
        """Wait until every span that was queued is in the file; False if that took too long."""
        if self._closed:
            return True
        written = threading.Event()
        self._due.put(written)
        return written.wait(seconds)

    def close(self) -> None:
        """Stop recording and switch off what was switched on; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for instrumentor in self._switched:
            try:
                instrumentor.uninstrument()
            except Exception as error:
                self.errors.append(f"{type(instrumentor).__name__} could not be switched off: {error}")
        self._due.put(None)
        self._thread.join(10)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        with _lock:
            for key in [key for key, known in _active.items() if known is self]:
                del _active[key]

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(self.instrumented) or "nothing that is installed"
        missing = "; ".join(f"{name}: pip install {package}" for name, package in self.missing.items())
        return f"<Instrumentation of {names} into {self.path}{f'; not recorded: {missing}' if missing else ''}>"

    def _repr_html_(self) -> str:
        facts = {
            "recorded": ", ".join(self.instrumented),
            "not recorded": ", ".join(f"{name} (pip install {package})" for name, package in self.missing.items()),
            "errors": "; ".join(self.errors),
            "file": str(self.path),
        }
        return html_facts("Recording this process", "closed" if self._closed else "running", facts)

    def _run(self) -> None:
        while (item := self._due.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                span, attributes = item
                self._write(
                    json.dumps(export_of(span, attributes), ensure_ascii=False, separators=(",", ":"), default=str)
                )
            except Exception as error:
                # A span that cannot be written must not end the user's program.
                if len(self.errors) < 100:
                    self.errors.append(f"a span was not written: {type(error).__name__}: {error}")

    def _write(self, line: str) -> None:
        if self._file < 0:
            make_folder(self.path.parent)
            flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(self.path, flags, 0o600)
        rest = memoryview(line.encode("utf-8", "replace") + b"\n")
        while rest:
            rest = rest[os.write(self._file, rest) :]


_active: dict[Path, Instrumentation] = {}
_lock = threading.Lock()


def instrument(path: str | os.PathLike[str] = ".", only: Collection[str] | None = None) -> Instrumentation:
    """Record this process: every LLM call, agent and tool that an installed instrumentation reports.

    Adds a span processor to the global OpenTelemetry tracer provider (one is made if there is none) and switches on the
    installed instrumentations for models, agents and tools. Nothing leaves the machine; other exporters keep working.
    Calling it again for the same folder returns the same handle.

    Args:
        path: The folder that the trace belongs to; `anb.TraceGraph(path)` shows it while the program runs.
        only: Names of libraries to instrument, such as `["openai"]`; default: all that are installed.

    Returns:
        A handle that says what is recorded, with `close()`; also a context manager.

    Raises:
        OSError: The folder cannot be written to (when the first span is recorded this is listed in `errors` instead).

    Examples:
        >>> import anton_notebook as anb, tempfile
        >>> from opentelemetry import trace
        >>> folder = tempfile.mkdtemp()
        >>> with anb.instrument(folder, only=[]) as recording:
        ...     with trace.get_tracer("mine").start_as_current_span("chat", attributes={
        ...         "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3}):
        ...         pass
        ...     recording.flush()
        True
        >>> anb.read_traces(folder).spans_df(kind="llm")["model"].tolist()
        ['gpt-4o']
    """
    base = Path(path).expanduser()
    folder = (home([str(base.resolve())]) / "traces").resolve()
    with _lock:
        known = _active.get(folder)
        if known is not None and not known.closed:
            return known
        recording = _active[folder] = Instrumentation(folder)
    provider = _provider()
    provider.add_span_processor(_processor(recording))
    _switch_on(recording, provider, only)
    return recording


def _provider() -> TracerProvider:
    """Return the global tracer provider, made with room for long conversations if there is none."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider

    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        return current
    limits = SpanLimits(max_attributes=MOST_ATTRIBUTES, max_span_attributes=MOST_ATTRIBUTES)
    provider = TracerProvider(span_limits=limits)
    trace.set_tracer_provider(provider)
    return provider


def _processor(recording: Instrumentation) -> SpanProcessor:
    from opentelemetry.sdk.trace import SpanProcessor

    class Recorder(SpanProcessor):
        """Hands spans to a recording when they start and when they end."""

        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            recording.record(span, started=True)

        def on_end(self, span: ReadableSpan) -> None:
            recording.record(span, started=False)

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return recording.flush(timeout_millis / 1000)

    return Recorder()


def _switch_on(recording: Instrumentation, provider: TracerProvider, only: Collection[str] | None) -> None:
    """Switch on the instrumentations of models, agents and tools; one per library."""
    chosen: dict[str, Any] = {}
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=_preference):
        if any(word in point.name.lower() for word in _WORDS) and (only is None or point.name in only):
            chosen.setdefault(point.name, point)
    for name, point in chosen.items():
        try:
            instrumentor = point.load()()
            if not getattr(instrumentor, "is_instrumented_by_opentelemetry", False):
                instrumentor.instrument(tracer_provider=provider)
                recording._switched.append(instrumentor)
            recording.instrumented.append(name)
        except Exception as error:
            recording.errors.append(f"{name} could not be switched on: {type(error).__name__}: {error}")
    packages = {_package(point) for point in chosen.values()}
    for library in LIBRARIES:
        name = library.module.split(".")[0] if library.module != "google.genai" else "google-genai"
        if not _is_installed(library.module) or (only is not None and name not in only):
            continue
        if library.emits:
            recording.instrumented.append(name)
            _own_switch(library.module, recording)
        elif library.package not in packages:
            recording.missing[name] = library.package


def _own_switch(module: str, recording: Instrumentation) -> None:
    """Switch on a library that records itself on request."""
    try:
        if module == "pydantic_ai":
            import pydantic_ai  # type: ignore[import-not-found, unused-ignore]

            pydantic_ai.Agent.instrument_all()
    except Exception as error:
        recording.errors.append(f"{module} could not be switched on: {type(error).__name__}: {error}")


def _preference(point: importlib.metadata.EntryPoint) -> tuple[bool, str]:
    return not _package(point).startswith("openinference"), point.name


def _package(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name.lower() if point.dist is not None else ""


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def export_of(span: ReadableSpan, attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a span as an OTLP/JSON export of one span.

    Args:
        span: The span; without an end time it is written as running.
        attributes: Its attributes at its start; default: those it has now.
    """
    context = span.get_span_context()
    running = attributes is not None
    out: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}" if context else "",
        "spanId": f"{context.span_id:016x}" if context else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "attributes": _pairs(attributes if attributes is not None else span.attributes or {}),
    }
    if span.parent is not None:
        out["parentSpanId"] = f"{span.parent.span_id:016x}"
    if not running:
        out["endTimeUnixNano"] = str(span.end_time)
        out["status"] = {"code": span.status.status_code.value, "message": span.status.description or ""}
        out["events"] = [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _pairs(event.attributes or {})}
            for event in span.events
        ]
        if span.dropped_attributes:
            out["droppedAttributesCount"] = span.dropped_attributes
    scope = span.instrumentation_scope
    inner = {"scope": {"name": scope.name, "version": scope.version or ""} if scope else {}, "spans": [out]}
    resource = {"attributes": _pairs(span.resource.attributes if span.resource else {})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [inner]}]}


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": str(key), "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _pairs(value)}}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return {"arrayValue": {"values": [_value(part) for part in value]}}
    return {"stringValue": value if isinstance(value, str) else str(value)}


__all__ = ["Instrumentation", "export_of", "instrument"]
