"""How long a test goes on: at every change, by `make nightly`, and before a release by `make release-check`."""

from __future__ import annotations

LEVELS = ("change", "nightly", "release")
_level = 0


def choose(level: str) -> None:
    """Sets the level for this process; before the tests are imported."""
    global _level
    _level = LEVELS.index(level)


def many(change: int, nightly: int, release: int | None = None) -> int:
    """How many rounds of something, at this level."""
    return (change, nightly, nightly if release is None else release)[_level]
