"""The copy of a repository in which a program runs, and the mapping of paths between both."""

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

OWN_FOLDERS = (".modular-agents", ".anton_notebook")


@dataclass
class WorkingCopy:
    """A copy of a repository; `remove` deletes it."""

    original: Path
    path: Path
    how: str
    remove: Callable[[], None]


def copy_of(original: Path) -> WorkingCopy:
    """Return a git worktree of the last commit, or a copy of the files if the folder is not a git repository.

    The original is not changed. The copy's folder has the original's name, because agents write it into their prompts.
    """
    original = original.resolve()
    if not original.is_dir():
        raise ReplayError(f"{original} is not a folder. Choose the folder to copy with repository=.")
    outer = Path(tempfile.mkdtemp(prefix="anton_notebook_"))
    path = outer / (original.name or "repository")
    if (original / ".git").exists() and shutil.which("git"):
        done = _git(original, "worktree", "add", "--detach", "--quiet", str(path), "HEAD")
        if done.returncode == 0:

            def remove() -> None:
                _git(original, "worktree", "remove", "--force", str(path))
                shutil.rmtree(outer, ignore_errors=True)

            return WorkingCopy(original, path, "git worktree", remove)
    try:
        shutil.copytree(original, path, symlinks=True, ignore=shutil.ignore_patterns(*OWN_FOLDERS, ".git"))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(outer, ignore_errors=True)
        raise ReplayError(f"{original} cannot be copied: {error}") from error
    return WorkingCopy(original, path, "copy", lambda: shutil.rmtree(outer, ignore_errors=True))


def existing_folder(original: Path, path: Path) -> WorkingCopy:
    """Return a folder of the caller as the copy. Raises `ReplayError` if it overlaps with the original."""
    here = path.expanduser().resolve()
    if not here.is_dir():
        raise ReplayError(f"workdir={str(path)!r} is not a folder; 'copy' creates one")
    if here == original.resolve() or original.resolve() in here.parents or here in original.resolve().parents:
        raise ReplayError(
            f"workdir={str(path)!r} is the repository itself, in it or around it; a replay never runs there. 'copy' creates a copy."
        )
    return WorkingCopy(original.resolve(), here, "given", lambda: None)


def path_map(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> Callable[[str], str]:
    """Return a function that replaces the path `one` by `other` in texts, whole paths only.

    >>> path_map("/a/repo", "/b/repo")("in /a/repo/x, not /a/repository")
    'in /b/repo/x, not /a/repository'
    """
    old, new = os.fspath(one), os.fspath(other)
    pattern = re.compile(rf"(?<![\w/]){re.escape(old)}(?!\.?[\w-])")
    return lambda text: pattern.sub(lambda _: new, text) if old in text else text


def _git(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run git without the repository's hooks and file system monitor, which are programs."""
    return subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", *words],
        cwd=where,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
