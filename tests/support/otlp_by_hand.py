"""OTLP/JSON for tests: by the official SDK and its file exporter, and by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Tracer

import anton_notebook as anb
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from tests.support.canonical import state

DATA = Path(__file__).parents[1] / "data"
RESOURCE = Resource({"service.name": "travel", "host.cpus": 8})


def tracer_into(path: Path) -> Tracer:
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(path)))
    return provider.get_tracer("tests", "1.2", schema_url="https://opentelemetry.io/schemas/1.37.0")


def only(path: Path | str, kind: str | None = None) -> anb.Span:
    traces = anb.read_traces(path)
    frame = traces.spans_df()
    if kind is not None:
        frame = frame[frame["kind"] == kind]
    assert len(frame) == 1
    return traces.span(frame["span_id"].iloc[0])


def read_at_once(path: Path) -> dict[str, Any]:
    store = Store()
    reader = Reader([path], store)
    reader.scan()
    reader.close()
    return state(store)


def one_call(path: Path, attributes: Mapping[str, Any], events: Sequence[tuple[str, dict[str, Any]]] = ()) -> anb.Span:
    with tracer_into(path).start_as_current_span("a call", attributes=dict(attributes)) as span:
        for name, fields in events:
            span.add_event(name, fields)
    return only(path)


def wire_span(number: int, parent: int | None, attributes: Mapping[str, str], trace: int = 1) -> dict[str, Any]:
    start = 1_760_000_000_000_000_000 + number * 1_000_000
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number + 1:016x}",
        "parentSpanId": "" if parent is None else f"{parent + 1:016x}",
        "name": f"span {number}",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 500_000),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def line(spans: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode() + b"\n"
