"""Every one of the 72 cases has a test with its id in its name, and `tests/FAULTS.md` says where."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
CASES = {"T": 14, "P": 13, "G": 9, "W": 11, "R": 13, "X": 12}
IDS = [f"{group}-{n}" if group == "P" else f"{group}{n}" for group, many in CASES.items() for n in range(1, many + 1)]


def named() -> dict[str, set[str]]:
    """The tests that name each case, as `path::function`."""
    found: dict[str, set[str]] = {one: set() for one in IDS}
    for path in TESTS.rglob("test_*.py"):
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE):
            words = re.match(r"test_((?:(?:[TGWRX]\d+|P_\d+)_)+)", name)
            for case in re.findall(r"[TGWRX]\d+|P_\d+", words[1]) if words else ():
                found[case.replace("_", "-")].add(f"{path.relative_to(TESTS).as_posix()}::{name}")
    return found


def table() -> dict[str, str]:
    rows = re.findall(r"^\| ([A-Z]-?\d+) \| (.+) \|$", (TESTS / "FAULTS.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a case stands there twice"
    return dict(rows)


def test_every_case_has_a_test_that_bears_its_name() -> None:
    assert len(IDS) == 72
    assert not [case for case, tests in named().items() if not tests]


def test_the_table_has_every_case_and_names_tests_that_are_there() -> None:
    rows, tests = table(), named()
    assert list(rows) == IDS
    for case, said in rows.items():
        places = set(re.findall(r"`([\w/]+\.py::\w+)`", said))
        assert places & tests[case], (case, said)
        for place in places:
            path, _, name = place.partition("::")
            assert re.search(rf"^(async )?def {name}\(", (TESTS / path).read_text(), re.MULTILINE), (case, place)
