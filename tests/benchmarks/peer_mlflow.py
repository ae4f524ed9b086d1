"""Run by `peers` in MLflow's own environment: seconds of `mlflow.search_traces` on a store of this machine, as JSON.

Usage: `peer_mlflow.py SPANS`. MLflow gives a row a trace, with its spans inside; runs of 100 spans, as for the others.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from importlib.metadata import version

TIMES = 3
RUN = 100


def main(count: int) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow

    with tempfile.TemporaryDirectory(prefix="peer-mlflow-") as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        experiment = mlflow.create_experiment("bench", artifact_location=f"file://{folder}/artifacts")
        mlflow.set_experiment(experiment_id=experiment)
        for run in range(count // RUN):
            write(mlflow, run)
        found = []
        for _ in range(TIMES):
            start = time.perf_counter()
            frame = mlflow.search_traces(locations=[experiment], max_results=count)
            found.append(time.perf_counter() - start)
        spans = int(frame["spans"].map(len).sum())
    said = {"name": "MLflow", "version": version("mlflow"), "call": "search_traces"}
    print(json.dumps({**said, "spans": spans, "seconds": min(found)}))


def write(mlflow: object, run: int) -> None:
    def words(i: int) -> str:
        return (
            f"Question {i}. " + "What does this module do, and which of its functions are called from elsewhere? " * 6
        )

    first = run * RUN
    with mlflow.start_span(name="run", span_type="AGENT") as root:  # type: ignore[attr-defined]
        root.set_inputs({"task": words(first)})
        for step in range(1, RUN):
            i = first + step
            kind = "LLM" if step % 2 == 0 else "TOOL"
            with mlflow.start_span(name="call", span_type=kind) as span:  # type: ignore[attr-defined]
                span.set_inputs({"messages": [{"role": "user", "content": words(i)}]})
                span.set_outputs(words(i)[::-1])
                if kind == "LLM":
                    usage = {"input_tokens": 1000 + i % 100, "output_tokens": 100 + i % 10, "total_tokens": 1100}
                    span.set_attribute("mlflow.chat.tokenUsage", usage)


if __name__ == "__main__":
    main(int(sys.argv[1]))
