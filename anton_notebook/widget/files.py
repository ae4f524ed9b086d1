"""Writing exported files: for their owner alone, and never over an existing file unless asked."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: str | os.PathLike[str], content: str | bytes, *, overwrite: bool = False) -> Path:
    """Write a file with mode 0600.

    Args:
        path: The file.
        content: Text (written as UTF-8) or bytes.
        overwrite: Whether an existing file is replaced.

    Returns:
        The path.

    Raises:
        FileExistsError: The file exists and `overwrite` is false.
    """
    target = Path(path).expanduser()
    # O_EXCL checks and creates in one step, so no other process can create the file in between.
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        descriptor = os.open(target, flags, 0o600)
    except FileExistsError:
        raise FileExistsError(
            f"{target} already exists and was not overwritten. Choose another name, or pass overwrite=True."
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    return target
