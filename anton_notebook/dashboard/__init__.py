"""The workbench as a web page, for people without a notebook: the same widget, the same bundle, no kernel.

`serve` runs until it is stopped; `Dashboard` is for programs that have an event loop of their own. See `gate` for who may come in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from anton_notebook.api import PathLike
from anton_notebook.dashboard.app import Dashboard, DashboardError


def serve(
    path: PathLike | Sequence[PathLike],
    *,
    ready: Callable[[Dashboard], object] | None = None,
    stop: asyncio.Event | None = None,
    **given: Any,
) -> None:
    """Serves the dashboard of a path until Ctrl-C. `ready(dashboard)` is called once it listens; `given` goes to `Dashboard`.

    Raises what `Dashboard` raises, and `DashboardError` where the port cannot be had.
    """

    async def main() -> None:
        made = Dashboard(path, **given)
        try:
            await made.start()
            if ready is not None:
                ready(made)
            await (stop or asyncio.Event()).wait()
        finally:
            made.close()

    asyncio.run(main())


__all__ = ["Dashboard", "DashboardError", "serve"]
