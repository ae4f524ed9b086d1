"""Inner: the copy of a repository that a program is run in, and the paths of the two put in each other's place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anton_notebook.errors import ReplayError

OWN = (".modular-agents", ".anton_notebook")


@dataclass
class Copy:
    """A copy, and how it is thrown away."""

    original: Path
    path: Path
    how: str
    remove: Callable[[], None]


def copy_of(original: Path) -> Copy:
    """A git worktree of the last commit where the repository is one, else a copy of the files. The original is not written to.

    The copy's folder has the original's name, for agents write it into their prompts.
    """
    original = original.resolve()
    if not original.is_dir():
        raise ReplayError(f"{original} is no folder, so there is nothing to run the program in; give repository=")
    outer = Path(tempfile.mkdtemp(prefix="anton_notebook_"))
    path = outer / (original.name or "repository")
    if (original / ".git").exists() and shutil.which("git"):
        done = _git(original, "worktree", "add", "--detach", "--quiet", str(path), "HEAD")
        if done.returncode == 0:

            def remove() -> None:
                _git(original, "worktree", "remove", "--force", str(path))
                shutil.rmtree(outer, ignore_errors=True)

            return Copy(original, path, "git worktree", remove)
    try:
        shutil.copytree(original, path, symlinks=True, ignore=shutil.ignore_patterns(*OWN, ".git"))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(outer, ignore_errors=True)
        raise ReplayError(f"{original} cannot be copied: {error}") from error
    return Copy(original, path, "copy", lambda: shutil.rmtree(outer, ignore_errors=True))


def given(original: Path, path: Path) -> Copy:
    """A folder of the caller's own, which is never the original."""
    here = path.expanduser().resolve()
    if not here.is_dir():
        raise ReplayError(f"workdir={str(path)!r} is no folder; 'copy' makes one")
    if here == original.resolve() or original.resolve() in here.parents or here in original.resolve().parents:
        raise ReplayError(
            f"workdir={str(path)!r} is the repository itself, in it or around it, where a replay is never run; 'copy' makes one"
        )
    return Copy(original.resolve(), here, "given", lambda: None)


def swapped(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> Callable[[str], str]:
    """A function that puts `other` in the place of the path `one` in texts, whole paths only.

    >>> swapped("/a/repo", "/b/repo")("in /a/repo/x, not /a/repository")
    'in /b/repo/x, not /a/repository'
    """
    old, new = os.fspath(one), os.fspath(other)
    pattern = re.compile(rf"(?<![\w/]){re.escape(old)}(?!\.?[\w-])")
    return lambda text: pattern.sub(lambda _: new, text) if old in text else text


def _git(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without the repository's hooks and its watcher, which are programs."""
    return subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *words],
        cwd=where,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
