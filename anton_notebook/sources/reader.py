"""Everything on disk, into one store. `Reader` finds the sources under a path and reads what is new in them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from anton_notebook.errors import BodyUnavailable, NotATrace, PathNotFound
from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.discovery import AntonWorkspace, base_of
from anton_notebook.sources.anton.history_inference import description
from anton_notebook.sources.anton.jsonl_file import JsonlFile
from anton_notebook.sources.anton.legacy import Legacy
from anton_notebook.sources.anton.line_batch import Batch, gc_paused
from anton_notebook.sources.claude_code.file import ClaudeFile
from anton_notebook.sources.claude_code.sessions import ClaudeSessions
from anton_notebook.sources.codex.rollout import CodexFile
from anton_notebook.sources.detection import ENDINGS, HEAD, KINDS, TRANSCRIPTS, recognise
from anton_notebook.sources.gemini_cli.file import GeminiFile, GeminiSessions
from anton_notebook.sources.home import MODULAR
from anton_notebook.sources.home import home as home_of
from anton_notebook.sources.opencode.database import OpencodeDb
from anton_notebook.sources.otlp.file import OtlpFile
from anton_notebook.sources.otlp.protobuf_file import ENDINGS as PROTOBUF_ENDINGS
from anton_notebook.sources.otlp.protobuf_file import OtlpProtobufFile
from anton_notebook.sources.otlp.run_grouping import Family
from anton_notebook.sources.problems import Problems
from anton_notebook.sources.proxy.database import ProxyDb, refusal
from anton_notebook.sources.proxy.sqlite_reader import head
from anton_notebook.sources.token_estimate import estimate
from anton_notebook.sources.trace_folders import DOCUMENT, ENDING, Folder, roots_of
from anton_notebook.sources.transcripts.deep_folder import DeepFolder
from anton_notebook.sources.unsupported import ForeignFile, foreign
from anton_notebook.store import Store

OPEN_FILES = 128


class Found(NamedTuple):
    """One file that was found: what kind it is, by its content, and what it gave."""

    source: str
    kind: str
    recognised: str
    spans: int
    problems: int
    left_out: int


class SourceFile(Protocol):
    """One followed file. `read` takes in what is new and is true where anything was."""

    path: str

    def read(self) -> bool:
        """Reads what is new."""

    def close(self) -> None:
        """Lets go of it."""


Maker = Callable[["Reader", str], SourceFile]


class Reader:
    """Reads all traces under one path or several into `store`; `scan` is one pass. Not thread-safe but for `close`."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        store: Store,
        *,
        zone: tzinfo | None = None,
        home: Path | None = None,
        wait: bool = False,
        all_repositories: bool = False,
        skip: Collection[str] = (),
    ) -> None:
        self.store, self.zone = store, zone
        self.skip = frozenset(skip)
        self.problems = Problems()
        self.paths = [os.path.abspath(os.path.expanduser(os.fspath(p))) for p in paths]
        if not self.paths:
            raise NotATrace("an empty list of paths holds no trace; give at least one file or folder")
        self.home = home if home is not None else home_of(self.paths)
        self.legacy = Legacy(store)
        self.legacy.estimate = estimate
        self.family = Family(store)
        self.claude = ClaudeSessions(store)
        self.gemini = GeminiSessions()
        self._deep: dict[str, DeepFolder] = {}
        self.batch = Batch(store, self.problems.add, zone, self.family.root)
        self.beside = AntonWorkspace(self.paths, store, self.problems.add, zone, all_repositories)
        self.proxies: list[ProxyDb] = []
        self._wait = self.waits = wait
        self._files: dict[str, SourceFile] = {}
        self._open: list[str] = []
        self._begun: dict[str, JsonlFile] = {}
        self._folders: dict[str, Folder] = {}
        self._scanning = threading.RLock()  # whoever hears of a change may close the reader from there
        self._passing = False
        self._closed = False
        self._named: set[int] = set()
        store.on_problem = self._conflict
        for path in self.paths:
            self._check(path)

    def _check(self, path: str) -> None:
        if os.path.exists(path):
            if os.path.isdir(path):
                found = any(folder.exists() for folder in roots_of(path, self.home)) or self.beside.databases()
                found = found or self._transcripts(path)
                if not found and not self._wait:
                    raise NotATrace(
                        f"{path} holds no traces: neither .modular-agents/traces nor *.jsonl files nor OpenTelemetry's *.json nor "
                        "proxy_traces.db were found in it; give a repository that anton has worked on, its .modular-agents folder, "
                        "a folder of trace files or a file"
                    )
            elif not os.path.isfile(path):
                raise NotATrace(f"{path} is neither a regular file nor a folder; only these are read")
            elif len(self.paths) == 1 and not self._wait and recognise(path) == "sqlite" and (reason := refusal(path)):
                raise NotATrace(f"{path} {reason}; give the database that `anton proxy start` writes (proxy_traces.db)")
            elif len(self.paths) == 1 and not self._wait and recognise(path) == "foreign":
                raise NotATrace(f"{path} {foreign(path, head(path, 0, HEAD))}; give a .jsonl file with one span a line")
            return
        near = os.path.dirname(path)
        for _ in range(2):
            if self._wait and os.path.isdir(near):
                return
            near = os.path.dirname(near)
        raise PathNotFound(
            f"{path} does not exist; give a repository, a .modular-agents or traces folder, a .jsonl file or a list of them"
        )

    def scan(self, changed: Collection[str] | None = None) -> bool:
        """One pass over everything, or over these paths alone. True where anything was new."""
        with self._scanning:
            if self._closed or self._passing:
                return False
            self._passing = True
            try:
                return self._pass(changed)
            finally:
                self._passing = False

    def _pass(self, changed: Collection[str] | None) -> bool:
        new = False
        hints = None if changed is None else set(filter(self._matters, map(base_of, changed)))
        if hints is not None and not hints:
            return False
        if hints is None or any(map(self.beside.takes, hints)):
            new |= self.beside.read(self.proxies)
        with gc_paused():
            for path in self._list() if hints is None else sorted(hints):
                new |= self._read(path) if hints is None else self._read_hint(path)
            self.batch.settle()
            self.legacy.flush()
            self.family.settle()
            self.claude.flush()
            new |= self.store.commit()
            self._name_traces()
        self.beside.join(self.legacy.task_ids, self.proxies, hints is None)
        return self._say_what_is_missing() or new

    def listed(self) -> list[str]:
        """The files that the next pass over everything looks at, in the order in which it reads them."""
        return self._list()

    def _list(self) -> list[str]:
        paths: dict[str, None] = {}
        for path in self.paths:
            if os.path.isfile(path) or (path in self._files and not os.path.isdir(path)):
                paths[path] = None
                continue
            for folder in roots_of(path, self.home, self._folder):
                self._folders[folder.path] = folder
                paths.update(dict.fromkeys(folder.files()))
            paths.update(dict.fromkeys(self._transcripts(path)))
        paths.update(dict.fromkeys(self.beside.databases()))
        extra = self._folders.setdefault(os.path.join(self.home, "traces"), Folder(os.path.join(self.home, "traces")))
        paths.update(dict.fromkeys(extra.files()))
        paths.update(dict.fromkeys(self._files))
        return list(paths)

    def _transcripts(self, path: str) -> list[str]:
        """The transcripts of coding agents in a folder and below it; a repository of anton's is not searched."""
        if not os.path.isdir(path) or os.path.basename(path) == MODULAR or os.path.isdir(os.path.join(path, MODULAR)):
            return []
        folder = self._deep.get(path)
        if folder is None:
            folder = self._deep[path] = DeepFolder(path, lambda name: recognise(name) in TRANSCRIPTS)
        return folder.files()

    def _folder(self, path: str) -> Folder:
        return self._folders.get(path) or Folder(path)

    def _matters(self, path: str) -> bool:
        """Whether a changed path may be, or hold, something to read: folders are watched in which much else is written."""
        if (
            path in self._files
            or path in self.paths
            or os.path.dirname(path) in self._folders
            or self.beside.takes(path)
        ):
            return True
        return path.endswith(ENDINGS) or os.path.basename(path) in (MODULAR, "traces")

    def _read_hint(self, path: str) -> bool:
        if path in self._files or path in self.paths:
            return self._read(path)
        if self.beside.takes(path):
            return False
        folder = self._folders.get(os.path.dirname(path))
        if folder is not None:
            return folder.takes(path) and self._read(path)
        if self._deep and path.endswith((ENDING, DOCUMENT)) and os.path.isfile(path) and recognise(path) in TRANSCRIPTS:
            return self._read(path)
        new = False
        for found in self._list():
            if found not in self._files:
                new |= self._read(found)
        return new

    def _read(self, path: str) -> bool:
        file = self._files.get(path)
        if isinstance(file, ForeignFile) and file.changed() and recognise(path) != "foreign":
            file = None
        if isinstance(file, JsonlFile) and file.tail.offset == 0 and recognise(path) in TRANSCRIPTS:
            # Its first line was too short to tell the format when the file was met.
            file.close()
            self._begun.pop(path, None)
            file = None
        if file is None:
            if path in self.skip or not os.path.isfile(path):
                return False
            kind = recognise(path)
            if kind is None:
                return False
            file = self._files[path] = MAKERS[kind](self, path)
        new = file.read()
        if isinstance(file, JsonlFile):
            if file.begun:
                self._begun[path] = file
            else:
                self._begun.pop(path, None)
        if new:
            if path in self._open:
                self._open.remove(path)
            self._open.append(path)
            if len(self._open) > OPEN_FILES:
                self._files[self._open.pop(0)].close()
        return new

    def _conflict(self, row: int, field: str, reason: str) -> None:
        span = self.store.span(row)
        source = self.store.files[span.file].path if span.file >= 0 else ""
        line = span.line if span.line > 0 else None
        self.problems.add(
            Problem(source, line, span.offset if span.offset >= 0 else None, reason, field, span.span_id[:120])
        )

    def _name_traces(self) -> None:
        """A run is called what its first call's prompt calls the task."""
        store = self.store
        with store.lock:
            due, store.unnamed = store.unnamed, set()
        for trace in due:
            info = store.traces[trace]
            if info.name and trace not in self._named:
                continue
            span = store.span(info.first_call)
            if store.files[span.file].kind in ("otlp", *TRANSCRIPTS):
                continue  # such sources name their runs themselves
            try:
                record = store.files[span.file].loader(span.offset, span.length)
            except BodyUnavailable:
                continue
            messages = record.get("messages")
            about = record.get("metadata")
            task = about.get("task") if isinstance(about, dict) else None
            name = task if isinstance(task, str) else description(messages) if isinstance(messages, list) else None
            if name:
                self._named.add(trace)
                store.describe(trace, name=name[:500])
        if due:
            store.commit()

    def _say_what_is_missing(self) -> bool:
        before = dict(self.problems.notes)
        for proxy in self.proxies:
            n = proxy.left_out if proxy.filtered else 0
            tasks = f"{n:,} task{'s' if n > 1 else ''} in {proxy.path}"
            said = (
                f"{tasks} left out, of other repositories or without a word of which (all_repositories=True shows them)"
            )
            self.problems.notes[proxy.path] = said if n else ""
        waiting = [size for file in self._begun.values() if (size := file.unfinished())]
        lines = "1 line is" if len(waiting) == 1 else f"{len(waiting):,} lines are"
        self.problems.notes["unfinished"] = (
            f"{lines} not finished ({sum(waiting):,} bytes wait for their newline)" if waiting else ""
        )
        return before != self.problems.notes

    def found(self) -> list[Found]:
        """What was found, one entry a file, in order of path."""
        store = self.store
        with store.lock:
            rows = store.live_rows()
            files = store.c.file[rows]
            counts = np.bincount(files[files >= 0], minlength=len(store.files))
            spans: dict[str, int] = {}
            for info, count in zip(store.files, counts.tolist(), strict=True):
                spans[info.path] = spans.get(info.path, 0) + count
        problems = self.problems.sources
        kinds = {path: recognise(path) or "empty" for path in self._files}
        kinds |= {path: "anton" for folder in self.beside.folders for path in folder.files}
        kinds |= {path: "unknown" for path in problems if path not in kinds}
        left = {proxy.path: proxy.left_out for proxy in self.proxies if proxy.filtered}
        return [
            Found(path, kind, KINDS[kind], spans.get(path, 0), problems[path], left.get(path, 0))
            for path, kind in sorted(kinds.items())
        ]

    def watch_roots(self) -> list[tuple[str, bool]]:
        """The folders whose changes matter now, each with whether folders below it matter too."""
        roots: dict[str, bool] = {}
        for path in [*self.paths, os.path.join(self.home, "traces")]:
            if os.path.isdir(path):
                for folder in roots_of(path, self.home, self._folder):
                    roots[_existing(folder.path)] = False
                roots.setdefault(path, False)
            else:
                roots[_existing(os.path.dirname(path))] = False
        for tree in self._deep.values():
            if len(tree.folders()) > 1:
                roots[tree.path] = True
        for path, deep in self.beside.watch_roots():
            roots[path] = roots.get(path, False) or deep
        return list(roots.items())

    def close(self) -> None:
        """Lets go of all files; the store stays as it is."""
        with self._scanning:
            self._closed = True
            for file in self._files.values():
                file.close()
            self._open.clear()


def _jsonl(reader: Reader, path: str) -> SourceFile:
    return JsonlFile(path, reader.store, reader.problems.add, reader.legacy, reader.zone, reader.batch)


def _otlp(reader: Reader, path: str) -> SourceFile:
    file = OtlpProtobufFile if path.endswith(PROTOBUF_ENDINGS) else OtlpFile
    return file(path, reader.store, reader.problems.add, reader.family)


def _proxy(reader: Reader, path: str) -> SourceFile:
    proxy = ProxyDb(path, reader.store, reader.problems.add, reader.beside.keep_for(path), patient=reader.waits)
    reader.proxies.append(proxy)
    return proxy


MAKERS: dict[str, Maker] = {
    "jsonl": _jsonl,
    "otlp": _otlp,
    "protobuf": _otlp,
    "sqlite": _proxy,
    "foreign": lambda reader, path: ForeignFile(path, reader.problems.add),
    "claude_code": lambda reader, path: ClaudeFile(path, reader.store, reader.problems.add, reader.claude),
    "codex": lambda reader, path: CodexFile(path, reader.store, reader.problems.add),
    "gemini_cli": lambda reader, path: GeminiFile(path, reader.store, reader.problems.add, reader.gemini),
    "opencode": lambda reader, path: OpencodeDb(path, reader.store, reader.problems.add),
}


def _existing(path: str) -> str:
    while not os.path.isdir(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


__all__ = ["Found", "Reader", "SourceFile"]
