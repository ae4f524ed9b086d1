"""What the commands share: numbers and files that are given to them, and showing things."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path


def has_display() -> bool:
    """Whether a browser can be opened; without a display `webbrowser` would open one in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An option's type: a whole number in these bounds."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {bounds}")
        return value

    return number


def dollars(text: str) -> float:
    """An option's type: US dollars."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of US dollars, 0 or more")
    return value


def text_of(name: str) -> str:
    """An option's type: a file's text, or standard input's for `-`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{name} cannot be read as text: {error}") from error


def safe(text: object) -> str:
    """A text that cannot steer a terminal: what is no sign is written as JSON writes it, so that JSON stays what it says.

    >>> safe("a\x1b[2J\u202eb")
    'a\\\\u001b[2J\\\\u202eb'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in str(text))


def private(path: str, flags: int) -> int:
    """An opener of files that are their owner's alone: they hold what was asked and answered."""
    return os.open(path, flags, 0o600)
