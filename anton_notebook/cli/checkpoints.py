"""`anton-notebook checkpoints`: the saved checkpoints under a path."""

from __future__ import annotations

from anton_notebook.cli._common import JsonOption, PathArgument
from anton_notebook.cli._output import Column, counted, print_json_lines, print_table, records

EXAMPLE = "anton-notebook checkpoints ."
HIDDEN = ("modified_prompts", "module_states", "repo_knowledge")


def run(path: PathArgument = ".", as_json: JsonOption = False) -> int:
    """List checkpoints, those of anton included, and whether each can be replayed."""
    from anton_notebook.experiments.checkpoints import checkpoints
    from anton_notebook.model.formatting import one_line

    frame = checkpoints(path)
    rows = records(frame)
    if as_json:
        print_json_lines(rows)
        return 0
    if not rows:
        print("No checkpoints were found. Save one with anb.checkpoint(span).")
        return 0
    names = [name for name in frame.columns if name not in HIDDEN]
    columns = [Column(name, 0 if i == 0 else i, widest=40) for i, name in enumerate(names)]
    lines = [["" if row[name] is None else one_line(row[name]) for name in names] for row in rows]
    print_table(counted(len(rows), "checkpoint"), columns, lines)
    return 0
