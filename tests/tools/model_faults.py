"""An hour of random faults of models: whatever the server does, each call ends in time, says what happened, and is paid for once.

    python tests/tools/model_faults.py [--minutes 60] [--seed N]

Sweeps of both SDKs go to a local server of which each call fails in one of forty ways, or not; with random retries, budgets and
deadlines, and some are cancelled. Held against what the server saw: attempts, money, time, keys, threads and file handles.
The exit code is 1 where anything was not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import anton_notebook as anb
from anton_notebook.experiments.rerun import Budget, arerun
from anton_notebook.model.request import Request
from tests.support.servers.llm_server import FAULTS, Call, LlmServer, Reply

MODELS = {"anthropic": "claude-3-5-haiku-20241022", "openai": "gpt-4o-mini"}
LATE = 1.0  # seconds after its deadline by which a call has ended
PRICES = (2.0, 10.0)  # US dollars for a million tokens


class Tried:
    """What was asked, and what was wrong with it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.rows = self.attempts = self.cancelled = self.sweeps = 0
        self.latest = 0.0
        self.billed, self.seen = Counter[int](), Counter[int]()

    def fault(self, call: Call) -> str | None:
        """The fault of a call: a third goes well."""
        kind = None if self.dice.random() < 0.33 else self.dice.choice(FAULTS)
        self.kinds[kind or "well"] += 1
        number = int(str(call.body["messages"][-1]["content"]).split()[0])
        self.seen[number] += 1
        if kind is None:
            self.billed[number] += 12 * 2_000_000 + 5 * 10_000_000  # in trillionths of a dollar
        return kind

    def sweep(self) -> None:
        """One sweep, of which all is checked."""
        dice, provider = self.dice, self.dice.choice(list(MODELS))
        timeout, retries = dice.choice([0.5, 1.0, 2.0]), dice.choice([None, 0, 1, 3])
        n, budget = dice.randrange(1, 13), Budget(dice.choice([0.001, 0.01, 1.0]))
        request = Request(
            provider, MODELS[provider], messages=[{"role": "user", "content": "Hi"}], parameters={"max_tokens": 20}
        )
        number = self.sweeps
        asked = arerun(
            request, prompt=[f"{number} {i}" for i in range(n)], provider=provider, budget=budget, retries=retries,
            timeout=timeout, concurrency=dice.choice([1, 4, 16]), cache=False, progress=False,
        )  # fmt: skip
        patience = dice.uniform(0.05, 1.0) if dice.random() < 0.15 else None
        frame = asyncio.run(_within(asked, patience))
        self.sweeps += 1
        seen, billed = self.seen[number], self.billed[number]
        if budget.reserved:
            self.wrong.append(f"{budget} still sets money aside")
        if budget.spent > budget.limit or billed > budget.spent:
            self.wrong.append(f"billed {billed}, known {budget.spent}, allowed {budget.limit}")
        if frame is None:
            self.cancelled += 1
            return
        self.attempts += seen
        if int(frame["attempts"].sum()) < seen:
            self.wrong.append(f"{seen} requests came, {frame['attempts'].sum()} are told")
        for row in frame.itertuples():
            self.rows += 1
            if pd.isna(row.error) and pd.isna(row.response):
                self.wrong.append(f"neither an answer nor an error: {row}")
            self.latest = max(self.latest, float(row.duration_ms) / 1000 - timeout)
            if retries == 0 and row.attempts > 1:
                self.wrong.append(f"{row.attempts} attempts where none but the first was allowed")
        if "canary" in frame.to_csv() + repr(frame.attrs):
            self.wrong.append("a key is in the frame")


async def _within(asked: object, patience: float | None) -> pd.DataFrame | None:
    """The frame; None where it was cancelled after so many seconds."""
    try:
        return await asyncio.wait_for(asked, patience)  # type: ignore[arg-type]
    except TimeoutError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    tried = Tried(given.seed)
    for provider, model in MODELS.items():
        anb.set_price(model, provider=provider, input=PRICES[0], output=PRICES[1])
    with LlmServer(lambda call: Reply(), tried.fault) as server:
        os.environ.update(server.environment())
        for _ in range(5):
            tried.sweep()
        began, handles, threads = time.monotonic(), 0, 0
        while time.monotonic() - began < given.minutes * 60 and len(tried.wrong) < 20:
            tried.sweep()
            server.calls.clear()
            if tried.sweeps == 50:
                handles, threads = _held(server)
            if tried.sweeps % 500 == 0:
                print(
                    f"{(time.monotonic() - began) / 60:.0f} min, {tried.sweeps} sweeps, {len(tried.wrong)} wrong",
                    flush=True,
                )
        after = _held(server)
    if handles and (after[0] > handles + 4 or after[1] > threads + 1):
        tried.wrong.append(f"file handles {handles} -> {after[0]}, threads {threads} -> {after[1]}")
    print(
        f"seed {given.seed}: {tried.sweeps:,} sweeps of 2 SDKs, {tried.rows:,} answers, {tried.attempts:,} attempts, "
        f"{tried.cancelled} cancelled, {len(set(tried.kinds) - {'well'})} of {len(FAULTS)} kinds of faults\n"
        f"latest end {tried.latest:+.2f} s from its deadline (bar {LATE:+.0f}), file handles {handles} -> {after[0]}, "
        f"threads {threads} -> {after[1]}, {len(tried.wrong)} wrong"
    )
    for wrong in tried.wrong:
        print("WRONG", wrong)
    return 1 if tried.wrong or tried.latest > LATE else 0


def _held(server: LlmServer) -> tuple[int, int]:
    """File handles and threads, once the server's own for broken calls have ended."""
    until = time.monotonic() + 30
    while server.open and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


if __name__ == "__main__":
    sys.exit(main())
