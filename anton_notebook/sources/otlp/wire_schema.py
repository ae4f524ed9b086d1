"""Typed shapes of OTLP/JSON: fields that are read when a file is read; everything else stays undecoded."""

from __future__ import annotations

import msgspec

NOTHING = msgspec.Raw(b"null")


class KeyValue(msgspec.Struct, gc=False):
    """An attribute; its value is decoded only where it is asked for."""

    key: str = ""
    value: msgspec.Raw = NOTHING


class State(msgspec.Struct, gc=False):
    """A span's status: code 2 (or its word) is an error."""

    code: int | str | None = 0
    message: str | None = None


class WireSpan(msgspec.Struct, rename="camel", gc=False):
    """The light fields of a span."""

    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | str | None = None
    start_time_unix_nano: int | float | str | None = None
    end_time_unix_nano: int | float | str | None = None
    status: State | None = None
    attributes: list[KeyValue] | None = None
    events: msgspec.Raw = NOTHING
    dropped_attributes_count: int | str | None = 0


class WireLog(msgspec.Struct, rename="camel", gc=False):
    """The light fields of a log record."""

    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None
    attributes: list[KeyValue] | None = None


class OtlpScope(msgspec.Struct, rename="camel", gc=False):
    scope: msgspec.Raw = NOTHING
    instrumentation_library: msgspec.Raw = NOTHING
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None
    schema_url: msgspec.Raw = NOTHING


class OtlpResource(msgspec.Struct, rename="camel", gc=False):
    resource: msgspec.Raw = NOTHING
    scope_spans: list[OtlpScope] | None = None
    scope_logs: list[OtlpScope] | None = None
    instrumentation_library_spans: list[OtlpScope] | None = None
    schema_url: msgspec.Raw = NOTHING


class OtlpRequest(msgspec.Struct, rename="camel", gc=False):
    resource_spans: list[OtlpResource] | None = None
    resource_logs: list[OtlpResource] | None = None
    resource_metrics: msgspec.Raw = NOTHING
    batches: list[OtlpResource] | None = None


class OtlpSnakeScope(msgspec.Struct, gc=False):
    scope: msgspec.Raw = NOTHING
    spans: list[msgspec.Raw] | None = None
    log_records: list[msgspec.Raw] | None = None
    schema_url: msgspec.Raw = NOTHING
    instrumentation_library: msgspec.Raw = NOTHING


class OtlpSnakeResource(msgspec.Struct, gc=False):
    resource: msgspec.Raw = NOTHING
    scope_spans: list[OtlpSnakeScope] | None = None
    scope_logs: list[OtlpSnakeScope] | None = None
    instrumentation_library_spans: list[OtlpSnakeScope] | None = None
    schema_url: msgspec.Raw = NOTHING


class OtlpSnakeRequest(msgspec.Struct, gc=False):
    resource_spans: list[OtlpSnakeResource] | None = None
    resource_logs: list[OtlpSnakeResource] | None = None
    resource_metrics: msgspec.Raw = NOTHING
    batches: list[OtlpSnakeResource] | None = None


class OtlpTempo(msgspec.Struct, gc=False):
    trace: msgspec.Raw = NOTHING
