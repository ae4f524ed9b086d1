"""The one writer: every trace line that this library writes goes through here (FORMATS: lines that we write).

A file belongs to its writer alone: it is made anew (never opened a second time), readable by its owner only, and each
line is one `write` to the end of it. So a reader never sees two lines mixed, and a crash leaves at most one line torn.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

VERSION = 1
DEPTH = 190
"""Deeper values are cut: readers stop at 200."""

_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class TraceWriter:
    """Writes lines into one new file. Safe to share between threads; a context manager; made by `create`.

    `path` is the file, `mark` what the `anton_notebook` key of every line says besides the line's own (as `origin`).
    """

    def __init__(self, path: Path, mark: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.mark = {"version": VERSION, **(mark or {})}
        self._lock = threading.Lock()
        self._torn = False
        self._file = os.open(path, _FLAGS, 0o600)

    def write(self, record: Mapping[str, Any], *, running: bool = False) -> None:
        """Appends one line, in one piece.

        `record` has the documented keys, `trace_id` and `span_id` among them. `running=True` says that the span has
        begun and not ended: a second line with the same ids follows when it ends. Lone surrogates become U+FFFD, NaN
        and infinite numbers `null`. Raises ValueError without the ids, TypeError on what JSON cannot hold, OSError
        where it cannot be written.
        """
        line = encode(self._marked(record, running))
        with self._lock:
            if self._file < 0:
                raise ValueError(f"{self.path} is closed; lines are written before close()")
            self._append(b"\n" + line if self._torn else line)

    def _marked(self, record: Mapping[str, Any], running: bool) -> dict[str, Any]:
        for key in ("trace_id", "span_id"):
            if not (isinstance(record.get(key), str) and record[key]):
                raise ValueError(f"a line for {self.path} needs a text as {key!r}, found {record.get(key)!r}")
        own = {key: value for key, value in dict(record.get("anton_notebook") or {}).items() if value is not None}
        mark = self.mark | own | ({"status": "running"} if running else {})
        whole = {**record, "anton_notebook": mark}
        if running:
            whole.pop("duration_ms", None)
        return whole

    def _append(self, data: bytes) -> None:
        """One `write`; the kernel may take a part only where the disk is full or a limit is reached."""
        self._torn = True
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._torn = False

    def close(self) -> None:
        """Ends the file; a second call does nothing."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TraceWriter {str(self.path)!r}{' closed' if self._file < 0 else ''}>"


def create(folder: str | os.PathLike[str], prefix: str, mark: Mapping[str, Any] | None = None) -> TraceWriter:
    """A writer of a new file `<prefix>_<YYYYMMDD_HHMMSS>_<8 hex>.jsonl` in `folder`, which is made if it is missing.

    `prefix` is `branch`, `rerun`, `run` or another short word of ours. Files are made 0600, folders 0700.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, create(folder, "run", {"origin": "demo"}) as writer:
    ...     writer.write({"trace_id": "t", "span_id": "s"})
    ...     writer.path.read_text()
    '{"trace_id":"t","span_id":"s","anton_notebook":{"version":1,"origin":"demo"}}\\n'
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"prefix {prefix!r} of a trace file: a short word of a-z, 0-9 and _ is possible, such as 'branch'"
        )
    where = Path(folder).expanduser()
    make_folder(where)
    for _ in range(100):
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d_%H%M%S")
        try:
            return TraceWriter(where / f"{prefix}_{stamp}_{secrets.token_hex(4)}.jsonl", mark)
        except FileExistsError:
            continue
    raise FileExistsError(f"no free name for a {prefix} file was found in {where}; a hundred were tried")


def make_folder(folder: Path) -> None:
    """Makes a folder and the missing ones above it, for their owner alone (0700). Others stay as they are."""
    if not folder.is_dir():
        if folder.parent != folder:
            make_folder(folder.parent)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise


def encode(record: Mapping[str, Any]) -> bytes:
    """One line of strict JSON with its newline."""
    try:
        line = _dumps(record).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        pass  # something that has to be put into JSON's words first
    else:
        if line.count(b"[") + line.count(b"{") < DEPTH:  # so it cannot be too deep
            return line + b"\n"
    return _dumps(_clean(record, "", [])).encode("utf-8") + b"\n"


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _clean(value: Any, path: str, above: list[int]) -> Any:
    """The same value in plain JSON types."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        if id(value) in above:
            raise ValueError(f"{path or 'the line'} contains itself; JSON cannot hold that")
        if len(above) >= DEPTH:
            return "\u2026"
        above.append(id(value))
        out: Any
        if isinstance(value, Mapping):
            out = {_key(key, path): _clean(inner, f"{path}/{key}", above) for key, inner in value.items()}
        else:
            out = [_clean(inner, f"{path}/{i}", above) for i, inner in enumerate(value)]
        above.pop()
        return out
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return _clean(item(), path, above)
    raise TypeError(
        f"{path or 'the line'} is a {type(value).__name__}, which JSON cannot hold; "
        "give text, numbers, true, false, None, lists or dicts"
    )


def _key(key: object, path: str) -> str:
    if isinstance(key, str):
        return _SURROGATES.sub("\ufffd", key)
    if isinstance(key, bool) or key is None:
        return json.dumps(key)
    if isinstance(key, int | float):
        return str(key)
    raise TypeError(f"a key in {path or 'the line'} is a {type(key).__name__}; JSON's keys are texts")
