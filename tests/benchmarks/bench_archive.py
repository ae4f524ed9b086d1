"""Archives: `costs` of `scan` over many gigabytes of lines on two workers with one gigabyte each; writing and reading Parquet.

`SCAN_GB` says how many gigabytes (default 1; the bar is for 10). Run: `SCAN_GB=10 python tests/benchmarks archive`.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

from bench_reading import write_lines

GB = 1 << 30
SPANS, BODY = 20_000, 4_000
LIMIT = 1 << 30


def lines(path: Path, size: int) -> int:
    """Writes about so many bytes of lines of 4 KB; how many spans."""
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.jsonl"
        write_lines(one, SPANS, BODY)
        text = one.read_bytes()
    copies = max(1, size // len(text))
    with path.open("wb") as file:
        for copy in range(copies):
            file.write(text.replace(b'"run-', b'"run-%d-' % copy))
    return copies * SPANS


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def rows() -> list[dict[str, str]]:
    """One row a figure: what was measured, the measurement, the bar."""
    import dask
    from distributed import Client, LocalCluster

    import anton_notebook as anb

    size = int(float(os.environ.get("SCAN_GB", "1")) * GB)
    result = []
    dask.config.set({"distributed.worker.daemon": False})
    with tempfile.TemporaryDirectory(prefix="bench-archive-") as folder:
        path = Path(folder) / "t.jsonl"
        spans = lines(path, size)
        whole = path.stat().st_size / GB
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, dashboard_address=None)
        with cluster, Client(cluster) as client:
            start = time.perf_counter()
            table = anb.costs(anb.scan(path), by="agent")
            took = time.perf_counter() - start
            assert table["calls"].sum() + table["tool_calls"].sum() == spans
            most = max(client.run(peak).values())
            workers = client.scheduler_info()["workers"].values()
            spilled = sum(worker["metrics"]["spilled_bytes"]["disk"] for worker in workers)
            what = f"costs(scan({whole:.1f} GB of lines, {spans:,} spans), by='agent'), 2 workers of 1 GB"
            result.append({"what": what, "measured": f"{took:.1f} s", "bar": "no bodies spilled"})
            result.append(
                {"what": "  the most memory of a worker", "measured": f"{most / (1 << 20):.0f} MB", "bar": "1024 MB"}
            )
            result.append({"what": "  spilled to disk", "measured": f"{spilled} B", "bar": "0 B"})
            archive = Path(folder) / "archive"
            with anb.read_traces(path) as traces:
                start = time.perf_counter()
                traces.to_parquet(archive)
                wrote = time.perf_counter() - start
                start = time.perf_counter()
                traces.to_parquet(archive)
                again = time.perf_counter() - start
            start = time.perf_counter()
            anb.costs(anb.scan(archive), by="agent")
            took = time.perf_counter() - start
        light = sum(file.stat().st_size for file in archive.rglob("*.parquet"))
        result.append({"what": "to_parquet of these spans", "measured": f"{wrote:.1f} s", "bar": "-"})
        result.append({"what": "  with nothing new", "measured": f"{again:.1f} s", "bar": "-"})
        result.append(
            {"what": f"costs(scan(archive of {light / (1 << 20):.0f} MB))", "measured": f"{took:.1f} s", "bar": "-"}
        )
    return result
