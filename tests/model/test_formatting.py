"""Values as text: the table that the tests of the page read too."""

from __future__ import annotations

import json
import math

import pytest

from anton_notebook.model import formatting
from tests.conftest import ROOT

TABLE = json.loads((ROOT / "tests" / "data" / "formats.json").read_text("utf-8"))
FORMATTERS = {
    "duration": formatting.format_duration,
    "usd": formatting.format_usd,
    "model": formatting.short_model,
}


@pytest.mark.parametrize("kind", sorted(FORMATTERS))
def test_formatting_follows_the_shared_table(kind: str) -> None:
    values = [value for value, _ in TABLE[kind]]
    assert [FORMATTERS[kind](value) for value in values] == [text for _, text in TABLE[kind]]


def test_formatting_of_unknown_and_partial_values() -> None:
    assert formatting.format_usd(math.nan) == formatting.format_usd(None) == "?"
    assert formatting.format_duration(math.nan) == "-"
    assert formatting.format_count(1_234_567) == "1,234,567"
    assert formatting.format_usd(1.5, at_least=True) == "≥ $1.50"
