"""The built files of the front end."""

from __future__ import annotations

import pathlib

from anton_notebook.errors import MissingBundle

STATIC = pathlib.Path(__file__).parent.parent / "static"


def bundled(name: str) -> str:
    """Return the text of a file of the front end. It is kept in memory and read again after a build."""
    path = STATIC / name
    try:
        changed = path.stat().st_mtime_ns
        if _texts.get(name, (0, ""))[0] != changed:
            _texts[name] = (changed, path.read_text("utf-8"))
        return _texts[name][1]
    except OSError as error:
        raise MissingBundle(
            f"The front end is missing ({path}: {error.strerror}). In a clone run `npm ci --prefix js && npm run build "
            "--prefix js`, otherwise `pip install --force-reinstall anton-notebook`. Then run this cell again."
        ) from error


_texts: dict[str, tuple[int, str]] = {}
