"""A replay in a process of its own, to be killed: `python -m tests.experiments.replay.killed FOLDER SPAN PROMPT`."""

from __future__ import annotations

import sys

import anton_notebook as anb

if __name__ == "__main__":
    folder, span_id, prompt = sys.argv[1:]
    traces = anb.read_traces(folder)
    print("ready", flush=True)
    cp = anb.Checkpoint.load_from_span(traces.span(span_id, "trace"), {span_id: prompt})
    df = anb.replay(cp, progress=False)
    print("done", flush=True)
    assert df["error"].isna().all(), df["error"].tolist()
