"""What the commands share in showing things."""

from __future__ import annotations

import os
import sys


def has_display() -> bool:
    """Whether a browser can be opened; without a display `webbrowser` would open one in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
