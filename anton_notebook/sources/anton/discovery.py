"""What a path stands for beside its trace files: anton's own folder, and the database of the user's proxy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.join_progress import join
from anton_notebook.sources.anton.repo_files import AntonFolder
from anton_notebook.sources.home import MODULAR
from anton_notebook.sources.proxy.database import ProxyDb
from anton_notebook.sources.proxy.run_builder import Keep
from anton_notebook.sources.trace_folders import Folder
from anton_notebook.store import Store

DATABASE = "proxy_traces.db"
SIDES = ("-journal", "-wal", "-shm")
AGENT_OF = "module_"
PACE = 5.0  # seconds after which what goes by the clock is looked at again


def default_database() -> str:
    """Where anton's proxy writes, for all repositories of the user."""
    return os.path.join(os.path.expanduser("~"), MODULAR, DATABASE)


def base_of(path: str) -> str:
    """The database that a file belongs to which SQLite keeps beside it; else the path itself.

    >>> base_of("/a/x.db-journal")
    '/a/x.db'
    """
    return path[: path.rindex("-")] if path.endswith(SIDES) else path


def anton_folder(path: str) -> str | None:
    """The `.modular-agents` folder that goes with a path, whether it is there yet or not."""
    near = path if os.path.isdir(path) else os.path.dirname(path)
    for folder in (near, os.path.dirname(near)):
        if os.path.basename(folder) == MODULAR:
            return folder
    inner = os.path.join(near, MODULAR)
    return inner if near == path or os.path.isdir(inner) else None


def repository_of(path: str) -> str | None:
    """The repository that a folder is or, as its `.modular-agents`, belongs to; None for other folders and files."""
    if path == os.path.dirname(default_database()):
        return None
    if os.path.basename(path) == MODULAR:
        return os.path.dirname(path)
    if os.path.isdir(os.path.join(path, MODULAR)):
        return path
    if os.path.isfile(path) or os.path.basename(path) == "traces" or os.path.basename(os.path.dirname(path)) == MODULAR:
        return None
    return None if Folder(path).files() or os.path.isdir(os.path.join(path, "traces")) else path


class AntonWorkspace:
    """See the module. One for a reader's paths; used by its one thread."""

    def __init__(
        self,
        paths: Sequence[str],
        store: Store,
        report: Callable[[Problem], None],
        zone: tzinfo | None,
        all_repositories: bool,
    ) -> None:
        self.paths = list(paths)
        self._store, self._zone, self._all = store, zone, all_repositories
        folders = dict.fromkeys(folder for path in self.paths if (folder := anton_folder(path)) is not None)
        self.folders = [AntonFolder(folder, report) for folder in folders]
        self._joined: tuple[int, float] = (-1, 0.0)
        self._known: frozenset[str] = frozenset()

    def databases(self) -> list[str]:
        """The databases that are there now and belong to these paths without being named in them."""
        found = []
        for path in self.paths:
            if os.path.isdir(path):
                found += [os.path.join(path, DATABASE), os.path.join(path, MODULAR, DATABASE)]
            if repository_of(path) is not None:
                found.append(default_database())
        return [path for path in dict.fromkeys(found) if os.path.isfile(path)]

    def keep_for(self, database: str) -> Keep | None:
        """Which tasks of a database are to be shown; None for all."""
        default = default_database()
        if self._all or not _same(database, default):
            return None
        if any(_same(path, default) or _same(path, os.path.dirname(default)) for path in self.paths):
            return None
        self._known = self._roots()

        def keep(path: str | None) -> bool | None:
            return None if path is None else os.path.normpath(path) in self._known

        return keep

    def takes(self, path: str) -> bool:
        """Whether a path is one of anton's own files."""
        return any(folder.takes(path) for folder in self.folders)

    def module_of(self, agent: str) -> dict[str, Any] | None:
        """What anton knows of the module that an agent works on."""
        for folder in self.folders:
            for module in folder.knowledge.modules if folder.knowledge else ():
                if agent == AGENT_OF + module.name:
                    return msgspec.to_builtins(module)  # type: ignore[no-any-return]
        return None

    def read(self, proxies: Collection[ProxyDb]) -> bool:
        """Reads what changed of anton's own files; databases are read anew where they say of other paths that these are ours."""
        changed = False
        for folder in self.folders:
            changed |= folder.read()
        if changed:
            self._joined = (-1, 0.0)
            if proxies and (roots := self._roots()) != self._known:
                self._known = roots
                for proxy in proxies:
                    if proxy.filtered:
                        proxy.reread()
        return changed

    def join(self, task_ids: Callable[[], Mapping[str, str]], proxies: Iterable[ProxyDb], sweep: bool) -> None:
        """Joins anton's own files to the runs, where either has changed."""
        revision, when = self._joined
        now = time.monotonic()
        if revision >= 0 and not (sweep and (revision != self._store.revision or now - when > PACE)):
            return
        ahead: dict[int, int] = {}
        for proxy in proxies:
            ahead.update(proxy.offsets)
        join(self._store, self.folders, task_ids(), ahead, self._zone)
        self._store.commit()
        self._joined = (self._store.revision, now)

    def watch_roots(self) -> list[tuple[str, bool]]:
        """The folders that matter, with whether those below do."""
        found = [(os.path.dirname(path), False) for path in self.databases()]
        for folder in self.folders:
            found += folder.roots()
        return found

    def _roots(self) -> frozenset[str]:
        """What a path line may say that means one of the repositories."""
        found: set[str] = set()
        for path in self.paths:
            repository = repository_of(path)
            if repository is not None:
                found |= {os.path.normpath(repository), os.path.realpath(repository)}
        found |= {
            os.path.normpath(f.knowledge.root_path) for f in self.folders if f.knowledge and f.knowledge.root_path
        }
        return frozenset(found)


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
