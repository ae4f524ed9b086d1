"""A live run that goes on and on, at ten times its speed: memory, file handles and threads must not grow with time.

    python tests/soak.py [--minutes 48] [--rate 50] [--speed 10] [--kept 20000]

A writer appends `rate` x `speed` spans a second to files that rotate away; a widget follows with a page at the other end of its
comm. The run is followed anew whenever `kept` spans are held, so that the slope shows what leaks, not what is kept.
Prints a row of figures now and then, and at the end the slope; the exit code is 1 where a bar is missed. `blocks` are the
interpreter's own: where they stay and memory grows, it is the allocator that warms up, which takes more than ten minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import comm
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from anton_notebook.widget import TraceGraph
from tests.pages import line
from tests.widget.fakes import Client, Wire

SLOPE, GROWTH = 1.0, 50.0  # MB an hour of the run's own time, MB in all


def memory() -> float:
    """Resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Write(threading.Thread):
    """Appends at an even rate, each second's spans in one go of many lines."""

    def __init__(self, folder: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.folder, self.rate, self.written, self.over = folder, rate, 0, threading.Event()
        self.run_id = 0

    def run(self) -> None:
        text, began = line("@", trace_id="%", parent_id=None), time.monotonic()
        while not self.over.wait(0.05):
            due = max(0, int((time.monotonic() - began) * self.rate) - self.written)
            name = b'"run-%d"' % self.run_id
            rows = [text.replace(b'"@"', b'"s%d"' % (self.written + i)).replace(b'"%"', name) for i in range(due)]
            with (self.folder / "live.jsonl").open("ab") as out:
                out.write(b"".join(rows))
            self.written += due


class Quiet(Wire):
    """A comm that hands on and keeps nothing behind."""

    def publish_msg(self, *args: object, **keys: object) -> None:  # type: ignore[override]
        super().publish_msg(*args, **keys)  # type: ignore[arg-type]
        if len(self.__dict__["sent"]) > 400:
            del self.__dict__["sent"][:200]
            self.__dict__["cut"] = self.__dict__.get("cut", 0) + 200


def follow(folder: Path, write: Write, kept: int, until: float) -> int:
    """One widget, until it holds `kept` spans. Returns how many it held."""
    Wire.all.clear()
    with TraceGraph(folder) as graph:
        client = Client(graph)
        client.hello()
        while graph.traces.store.size < kept and time.monotonic() < until:
            time.sleep(0.25)
            client.ask("alive", client="page")
        write.run_id += 1
        (folder / "live.jsonl").unlink(missing_ok=True)
        return int(graph.traces.store.live_rows().size)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("minutes", 48.0), ("rate", 50.0), ("speed", 10.0), ("kept", 20_000.0)):
        parser.add_argument(f"--{name}", type=float, default=value)
    given = parser.parse_args()
    comm.create_comm = Quiet  # type: ignore[assignment]
    rows: list[tuple[float, float, int, int]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "traces"
        folder.mkdir()
        write = Write(folder, given.rate * given.speed)
        (folder / "live.jsonl").touch()
        write.start()
        began = time.monotonic()
        until, spent = began + given.minutes * 60, time.process_time()
        while time.monotonic() < until:
            held = follow(folder, write, int(given.kept), until)
            gc.collect()
            row = (time.monotonic() - began, memory(), len(os.listdir("/proc/self/fd")), threading.active_count())
            rows.append(row)
            print(
                json.dumps(
                    {
                        "s": round(row[0]),
                        "MB": round(row[1], 1),
                        "handles": row[2],
                        "threads": row[3],
                        "spans": held,
                        "blocks": sys.getallocatedblocks(),
                    }
                ),
                flush=True,
            )
        write.over.set()
        seconds, busy = time.monotonic() - began, time.process_time() - spent
    warm = rows[max(1, len(rows) // 4) :]
    if len(warm) < 3:
        print("too short to tell: at least a minute for every 30,000 spans")
        return 1
    slope = float(np.polyfit([row[0] for row in warm], [row[1] for row in warm], 1)[0]) * 3600
    own = slope / given.speed
    growth = warm[-1][1] - warm[0][1]
    print(
        f"{seconds / 60:.1f} min at {given.speed:g}x = {seconds * given.speed / 3600:.1f} h of a run, {write.written:,} spans, "
        f"{busy / seconds:.0%} of a core\nmemory {slope:+.1f} MB an hour here, {own:+.2f} MB an hour of the run (bar {SLOPE}); "
        f"{growth:+.1f} MB after the warming up (bar {GROWTH})\n"
        f"handles {warm[-1][2] - warm[0][2]:+d}, threads {warm[-1][3] - warm[0][3]:+d} (bars 0)"
    )
    good = own < SLOPE and growth < GROWTH and warm[-1][2] <= warm[0][2] and warm[-1][3] <= warm[0][3]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
