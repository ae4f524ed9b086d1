"""Where known programs keep their traces on this machine. Nothing is read here but names, sizes and times of files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST_ENTRIES = 500_000


class Program(NamedTuple):
    """A program, the names it is asked for by, the folders it may use and the endings of its files."""

    name: str
    title: str
    endings: tuple[str, ...]
    is_read: bool


PROGRAMS = (
    Program("anton", "anton proxy", (".db",), True),
    Program("claude-code", "Claude Code", (".jsonl",), True),
    Program("codex", "OpenAI Codex", (".jsonl",), True),
    Program("gemini-cli", "Gemini CLI", (".json", ".jsonl"), True),
    Program("opencode", "opencode", (".db",), True),
    Program("phoenix", "Phoenix", (".db",), False),
)


class Place(NamedTuple):
    """A place where a program has left traces. `newest` is seconds since 1970."""

    program: str
    title: str
    path: str
    files: int
    newest: float
    size: int
    is_read: bool


def folders_of(program: str) -> list[Path]:
    """Return the folders or files where a program keeps its traces, whether they exist or not."""
    home, env = Path.home(), os.environ
    data = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
    if program == "claude-code":
        given = [Path(part) for part in env.get("CLAUDE_CONFIG_DIR", "").split(",") if part]
        return [base / "projects" for base in given or [home / ".claude", home / ".config" / "claude"]]
    return {
        "anton": [home / ".modular-agents" / "proxy_traces.db"],
        "codex": [Path(env.get("CODEX_HOME") or home / ".codex") / name for name in ("sessions", "archived_sessions")],
        "gemini-cli": [home / ".gemini" / "tmp"],
        "opencode": [data / "opencode" / "opencode.db"],
        "phoenix": [Path(env.get("PHOENIX_WORKING_DIR") or home / ".phoenix") / "phoenix.db"],
    }.get(program, [])


def named(program: str) -> list[str]:
    """Return the existing places of a program with this name; empty if the name is not one of a program."""
    return [str(path) for path in folders_of(program) if path.exists()]


def places() -> Iterator[Place]:
    """Yield the places that hold files, with their number, size and newest time."""
    for program in PROGRAMS:
        for path in folders_of(program.name):
            files, newest, size = _measure(path, program.endings)
            if files:
                yield Place(program.name, program.title, str(path), files, newest, size, program.is_read)


def _measure(path: Path, endings: tuple[str, ...]) -> tuple[int, float, int]:
    files, newest, size, entries = 0, 0.0, 0, 0
    pending = [str(path)]
    while pending and entries < MOST_ENTRIES:
        place = pending.pop()
        try:
            now = os.lstat(place)
            if stat.S_ISREG(now.st_mode):
                files, newest, size = files + 1, max(newest, now.st_mtime), size + now.st_size
                continue
            with os.scandir(place) as listed:
                for entry in listed:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False) and entry.name.endswith(endings):
                        found = entry.stat(follow_symlinks=False)
                        files, newest, size = files + 1, max(newest, found.st_mtime), size + found.st_size
        except OSError:
            continue
    return files, newest, size
