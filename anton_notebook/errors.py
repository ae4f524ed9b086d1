"""The exceptions of anton_notebook.

    AntonNotebookError
    ├── TraceError                      something on disk cannot be read as a trace
    │   ├── PathNotFound                (also FileNotFoundError)
    │   ├── NotATrace                   (also ValueError) a file or folder that holds no trace
    │   ├── BodyUnavailable             (also OSError) a span's text is no longer where it was read
    │   └── Unreadable                  (also ValueError) part of what a frame is made of, where `strict` was asked for
    ├── SpanNotFound                    (also KeyError) names near misses
    ├── TraceNotFound                   (also KeyError) names near misses
    ├── UnknownColumn                   (also KeyError) names near misses
    ├── AmbiguousSpan                   (also KeyError) the id is in several traces, which are named
    ├── NotRerunnable                   (also ValueError) a span from which no request can be made
    ├── ProviderError                   a model could not be asked
    │   ├── MissingKey                  names the environment variable
    │   ├── UnknownProvider             (also ValueError)
    │   ├── CallFailed                  one attempt to ask came to nothing; says of what kind
    │   └── MissingSDK                  (also ImportError)
    ├── TranslationError                (also ValueError) a request that the other provider cannot take
    ├── BudgetError                     (also ValueError) a limit that cannot be kept, such as an unknown price
    ├── CheckpointError                 a checkpoint cannot be saved, found or read
    │   └── NewerSchema                 the file was written by a newer version
    ├── ReplayError                     (also ValueError) a replay that cannot be done
    │   └── ReplayDivergence            the program asked for something else than the recording holds
    ├── ArchiveError                    an archive in Parquet cannot be written or read, and why
    ├── NoteError                       (also ValueError) a note or mark that cannot be kept, and why
    ├── NotAllowed                      (also PermissionError) a page asked for what Python has not allowed
    ├── ConditionError                  (also ValueError) a condition on spans that cannot be evaluated
    ├── NoRun                           (also LookupError) nothing is shown yet that could be drawn or saved
    └── MissingBundle                   (also FileNotFoundError) the front end has not been built

Every message says what was wrong, where, what is possible, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AntonNotebookError(Exception):
    """The root of all errors that this library raises on purpose.

    >>> issubclass(SpanNotFound, AntonNotebookError)
    True
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TraceError(AntonNotebookError):
    """Something on disk cannot be read as a trace."""


class PathNotFound(TraceError, FileNotFoundError):
    """The path does not exist."""


class NotATrace(TraceError, ValueError):
    """The file or folder holds no trace of a known kind."""


class BodyUnavailable(TraceError, OSError):
    """The text of a span is no longer at the place where it was read."""


class Unreadable(TraceError, ValueError):
    """Something of what was asked for could not be read, and `strict=True` forbids leaving it out.

    Attributes: `problems` (how many).
    """

    def __init__(self, message: str, problems: int) -> None:
        super().__init__(message)
        self.problems = problems


class SpanNotFound(AntonNotebookError, KeyError):
    """No span has this id."""


class TraceNotFound(AntonNotebookError, KeyError):
    """No trace has this id."""


class UnknownColumn(AntonNotebookError, KeyError):
    """A frame has no column of this name."""


class AmbiguousSpan(AntonNotebookError, KeyError):
    """Several traces have a span of this id: give `trace_id` too."""


class NotRerunnable(AntonNotebookError, ValueError):
    """No request to a model can be made from this span."""


class ConditionError(AntonNotebookError, ValueError):
    """A condition on spans that cannot be evaluated."""


class NoRun(AntonNotebookError, LookupError):
    """Nothing is shown yet that could be drawn or saved."""


class NoPage(AntonNotebookError, RuntimeError):
    """No page can be asked: none shows the graph, none answers, or the kernel cannot hear it now."""


class PictureError(AntonNotebookError, ValueError):
    """A page shows something that is no picture."""


class ProviderError(AntonNotebookError):
    """A model could not be asked."""


class MissingKey(ProviderError):
    """The provider's key is not in the environment."""


class UnknownProvider(ProviderError, ValueError):
    """It is not known who serves this model."""


class MissingSDK(ProviderError, ImportError):
    """The provider's package is not installed."""


class CallFailed(ProviderError):
    """One attempt to ask a model came to nothing.

    Attributes: `kind` (`status`, `redirect`, `connection`, `timeout`, `cut`, `stream`, `content`, `exhausted` or `cancelled`),
    `status` (of HTTP, or None), `turned_away` (the server says that it did not take the request), `passing` (it may go better
    another time), `retry_after` (seconds that the server asks for, or None), `partial` (what had been answered, or None).
    """

    def __init__(
        self,
        message: str,
        kind: str,
        *,
        status: int | None = None,
        turned_away: bool = False,
        passing: bool = False,
        retry_after: float | None = None,
        partial: object = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.turned_away, self.passing = kind, status, turned_away, passing
        self.retry_after, self.partial = retry_after, partial


class TranslationError(AntonNotebookError, ValueError):
    """A request holds something that the other provider cannot take."""


class BudgetError(AntonNotebookError, ValueError):
    """A budget that cannot be kept, such as one for a model without a known price."""


class CheckpointError(AntonNotebookError):
    """A checkpoint cannot be saved, found or read."""


class NewerSchema(CheckpointError):
    """The file was written by a newer version of this library."""


class NoteError(AntonNotebookError, ValueError):
    """A note or a mark that cannot be kept or read; for a mark that there is none of, those that there are."""


class ReplayError(AntonNotebookError, ValueError):
    """A replay that cannot be done."""


class ReplayDivergence(ReplayError):
    """A program asked for something else than the recording holds, before the changed point.

    Attributes: `step` (number of the request, from 0), `expected` and `actual` (the differing values).
    """

    def __init__(self, message: str, step: int, expected: object, actual: object) -> None:
        super().__init__(message)
        self.step = step
        self.expected = expected
        self.actual = actual


class ArchiveError(AntonNotebookError):
    """An archive cannot be written or read: it is none, it is of a newer version, or a package is missing."""


class NotAllowed(AntonNotebookError, PermissionError):
    """A page asked for something that costs money or changes something, and Python has not allowed it."""


class MissingBundle(AntonNotebookError, FileNotFoundError):
    """The front end has not been built."""


def did_you_mean(name: str, known: Iterable[str], limit: int = 3) -> str:
    """The end of a sentence that names the nearest known names: `"; near: 'a', 'b'"`, or `""`.

    >>> did_you_mean("trace_idd", ["trace_id", "height"])
    "; did you mean 'trace_id'?"
    """
    found = difflib.get_close_matches(name, list(known), limit, 0.5)
    return f"; did you mean {' or '.join(repr(n) for n in found)}?" if found else ""
