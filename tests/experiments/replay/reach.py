"""How far the rules reach on recorded runs: every call's prompt is changed in turn, and what follows is counted by its reason.

`python -m tests.experiments.replay.reach FOLDER...` prints the table. Answers are guessed, as a plan does: of the recorded shape, in other words.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import anton_notebook as anb
from anton_notebook.experiments.replay import plan
from anton_notebook.experiments.replay.engine import BEFORE


def reach(folder: Path | str, **how: Any) -> Counter[tuple[str, str]]:
    """(provenance, reason without its names and numbers) of all that was not asked before the change, over all changes."""
    found: Counter[tuple[str, str]] = Counter()
    for trace in anb.read_traces(folder):
        for span in trace.spans:
            if span.kind != "llm":
                continue
            try:
                point = anb.Checkpoint.load_from_span(span, {span.span_id: "Do it otherwise."})
                planned = plan(point, **how)
            except ValueError:
                found["refused", "its recorded request cannot be read"] += 1
                continue
            for name, word in planned.provenance.items():
                if name != span.span_id and planned.reasons[name] != BEFORE:
                    found[word, plain(planned.reasons[name])] += 1
    return found


def plain(reason: str) -> str:
    """A reason without what it names: whose turn, which run, how many."""
    reason = re.sub(r"turn \d+ of [\w/.-]+|[\w/.-]+'s [\w/.-]+", "another call", reason)
    reason = re.sub(r"in the run \w+", "in another run", reason)
    return re.sub(r"\d+", "n", reason)


def table(found: Counter[tuple[str, str]]) -> str:
    """Reasons by how often they were given, and the sums."""
    total = max(1, sum(found.values()))
    words = Counter[str]()
    for (word, _), many in found.items():
        words[word] += many
    sums = ", ".join(f"{many} {word} ({many / total:.0%})" for word, many in words.most_common())
    rows = [f"{many:>5}  {word:9} {why}" for (word, why), many in found.most_common()]
    return "\n".join([f"{total} calls after a change: {sums}", *rows])


if __name__ == "__main__":
    import sys

    for name in sys.argv[1:]:
        print(name)
        for match in ("arguments", "name"):
            print(f"match_tools={match!r}")
            print(table(reach(name, provider="anthropic", match_tools=match)))
