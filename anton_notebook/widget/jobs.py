"""Jobs started from a page: numbered, run on the private event loop, stoppable, never pushed to the page.

Used by `rerun_panel` and `replay_panel`. A page asks for progress, so a lost message costs nothing and a reloaded page finds its
jobs again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from anton_notebook.experiments.rerun.event_loop import private_loop


@dataclass(kw_only=True)
class PanelJob:
    """One job. `state`: `running`, `done`, `stopped` or `failed`; `error` says why it failed."""

    number: int
    state: str = "running"
    error: str | None = None
    future: Future[None] | None = None


Job = TypeVar("Job", bound=PanelJob)


class PanelJobs(Generic[Job]):
    """The jobs of one panel; at most `limit` run at a time. `noun` names them in errors."""

    def __init__(self, noun: str, limit: int) -> None:
        self._noun, self._limit = noun, limit
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._closed = False

    def all(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return list(self._jobs)

    def start(self, create: Callable[[int], Job], run: Callable[[Job], Awaitable[object]]) -> Job:
        """Create a job with the next number and run it; ValueError if too many run or the graph is closed."""
        with self._lock:
            if self._closed:
                raise ValueError("The graph is closed.")
            if sum(job.state == "running" for job in self._jobs) >= self._limit:
                raise ValueError(f"{self._limit} {self._noun}s are running. Wait for one to end, or stop one.")
            job = create(len(self._jobs) + 1)
            self._jobs.append(job)
        job.future = asyncio.run_coroutine_threadsafe(self._run(job, run), private_loop())
        return job

    def get(self, number: object) -> Job:
        """Return a job by its number; ValueError if there is none."""
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(self._jobs):
            return self._jobs[number - 1]
        raise ValueError(f"No {self._noun} {str(number)[:20]} in this graph. The cell may have run again.")

    def stop(self, number: object) -> None:
        """Stop a job."""
        self._cancel(self.get(number))

    def close(self) -> None:
        """Stop all jobs and refuse new ones."""
        self._closed = True
        for job in self.all():
            self._cancel(job)

    def _cancel(self, job: Job) -> None:
        # A job is registered before it has a future; until then there is nothing to cancel.
        if job.future is not None:
            job.future.cancel()

    async def _run(self, job: Job, run: Callable[[Job], Awaitable[object]]) -> None:
        try:
            await run(job)
            job.state = "done"
        except (asyncio.CancelledError, CancelledError):
            job.state = "stopped"
        except Exception as error:
            job.state, job.error = "failed", f"{type(error).__name__}: {error}"[:2000]
