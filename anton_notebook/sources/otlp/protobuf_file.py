"""OTLP in protobuf: a file that holds one `ExportTraceServiceRequest`, or several with a length of four bytes before each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from anton_notebook.model.span import Problem
from anton_notebook.sources.otlp.file import LIMIT, OtlpFile
from anton_notebook.sources.otlp.run_grouping import Family
from anton_notebook.store import Store

ENDINGS = (".pb", ".binpb", ".otlp")
_PREFIX = 4


class OtlpProtobufFile:
    """A protobuf file, read through its conversion to OTLP/JSON in a temporary file that is removed with it."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None], family: Family) -> None:
        self.path = path
        self._report = report
        self._folder = tempfile.TemporaryDirectory(prefix="anton_notebook-")
        name = os.path.join(self._folder.name, os.path.basename(path) + ".jsonl")
        self._inner = OtlpFile(name, store, report, family)
        self._name = name
        self._seen: tuple[int, int] | None = None

    def read(self) -> bool:
        """Read the file if it has changed. Returns whether anything was new."""
        try:
            state = os.stat(self.path)
        except OSError:
            return False
        now = (state.st_mtime_ns, state.st_size)
        if now == self._seen:
            return False
        self._seen = now
        if state.st_size > LIMIT:
            self._report(Problem(self.path, None, None, f"is larger than {LIMIT} bytes and was not read", None, None))
            return True
        with open(self.path, "rb") as file:
            data = file.read()
        lines = list(_as_json(data))
        if not lines and data:
            reason = "is not OTLP in protobuf: neither one ExportTraceServiceRequest nor several with their lengths"
            self._report(Problem(self.path, None, None, reason, None, None))
        with open(self._name, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        return self._inner.read()

    def close(self) -> None:
        """Close the file and remove its conversion."""
        self._inner.close()
        self._folder.cleanup()


def _as_json(data: bytes) -> Iterator[str]:
    """Yield each request in the file as one line of OTLP/JSON."""
    from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    def decoded(piece: bytes) -> Any:
        message = TracesData()
        try:
            message.ParseFromString(piece)
        except DecodeError:
            return None
        return message if message.resource_spans else None

    whole = decoded(data)
    messages = [whole] if whole is not None else []
    at = 0
    while not messages or at:
        size = int.from_bytes(data[at : at + _PREFIX], "big")
        piece = data[at + _PREFIX : at + _PREFIX + size]
        message = decoded(piece) if size and len(piece) == size else None
        if message is None:
            break
        messages.append(message)
        at += _PREFIX + size
    for message in messages:
        yield MessageToJson(message, indent=None)
