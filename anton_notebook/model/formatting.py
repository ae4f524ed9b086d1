"""Numbers and texts for people: durations, amounts of money, counts and one-line texts.

The rules equal those of `js/src/ui/format.ts`, so that a terminal, a page and a notebook show one value in one way. The tests of
both read `tests/data/formats.json`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal

WIDEST = 40
MISSING = "-"


def format_duration(ms: object) -> str:
    """Format a duration.

    Args:
        ms: Milliseconds; anything that is not a number counts as unknown.

    Returns:
        `850 ms`, `2.13 s`, `12.4 s`, `3 min 5 s` or `2 h 10 min`; `-` if unknown.

    Examples:
        >>> format_duration(850), format_duration(2130), format_duration(65_000), format_duration(None)
        ('850 ms', '2.13 s', '1 min 5 s', '-')
    """
    if not isinstance(ms, int | float) or math.isnan(ms):
        return MISSING
    if ms < 1000:
        return f"{int(ms)} ms" if ms >= 1 or ms <= 0 else f"{_rounded(ms, 2)} ms"
    if ms < 60_000:
        return f"{int(ms / 10) / 100:.2f} s" if ms < 10_000 else f"{int(ms / 100) / 10:.1f} s"
    seconds = int(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def format_usd(usd: object, at_least: bool = False) -> str:
    """Format an amount of US dollars with as many digits as it needs.

    Args:
        usd: The amount; anything that is not a number counts as unknown.
        at_least: Mark the amount as a lower bound ("≥ "), because some calls have no known price.

    Returns:
        `$12.30`, `$0.042` or `$0.00042`; `?` if unknown.

    Examples:
        >>> format_usd(12.3), format_usd(0.00275), format_usd(2.5, at_least=True), format_usd(float("nan"))
        ('$12.30', '$0.00275', '≥ $2.50', '?')
    """
    if not isinstance(usd, int | float) or math.isnan(usd):
        return "?"
    if usd == 0:
        return "≥ $0" if at_least else "$0"
    size = abs(usd)
    digits = 0 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.01 else 5
    rounded = _rounded(size, digits)
    amount = f"{rounded:,}" if rounded else f"{size:.1e}".replace("e-0", "e-")
    return ("≥ " if at_least else "") + ("-" if usd < 0 else "") + f"${amount}"


def format_count(number: object) -> str:
    """Format a count with thousands separators; `-` if it is missing.

    Examples:
        >>> format_count(1234567), format_count(None)
        ('1,234,567', '-')
    """
    if not isinstance(number, int | float) or math.isnan(number):
        return MISSING
    return f"{int(number):,}"


def short_model(name: str) -> str:
    """Return a model's name without vendor, date and suffix, the family first.

    Examples:
        >>> short_model("anthropic/claude-sonnet-4-5-20250929")
        'sonnet-4-5'
    """
    tail = name.rpartition("/")[2]
    short = re.sub(r"[-@]20\d{2}-?\d{2}-?\d{2}(-v\d.*)?$", "", tail)
    short = re.sub(r"^(anthropic\.)?claude-", "", short)
    short = re.sub(r"-(latest|instruct|preview)$", "", short)
    return re.sub(r"^(\d(?:-\d)?)-([a-z]+)$", r"\2-\1", short) or name


def _rounded(value: float, digits: int) -> Decimal:
    """Round half up on the exact value of the float, as JavaScript's toFixed does."""
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def display_width(text: str) -> int:
    """Return how many terminal columns a text takes; East Asian wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def one_line(value: object, widest: int = WIDEST) -> str:
    """Put a text on one line without control characters, so that it cannot steer a terminal.

    Args:
        value: The text; None, NaN and pandas' missing values become `-`.
        widest: The largest number of terminal columns; a longer text ends in `…`.

    Examples:
        >>> one_line("read\\x1b[2J\\nall")
        'read [2J all'
    """
    if value is None or (not isinstance(value, str) and str(value) in ("<NA>", "NaT", "nan")):
        return MISSING
    shown = "".join(c if c.isprintable() else " " for c in str(value)[: widest * 8])
    shown = " ".join(shown.split())
    if display_width(shown) <= widest:
        return shown
    while display_width(shown) > widest - 1:
        shown = shown[:-1]
    return f"{shown}…"
