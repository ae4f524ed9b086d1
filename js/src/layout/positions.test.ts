/** Python draws without a browser by the same rules: one file of positions holds both (`tests/data/positions.json`). */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { Flag, NONE } from "../kernel/protocol";
import { Model } from "../model/model";
import { FakeKernel, type Span } from "../testing/kernel";
import { figures, makeRun } from "../testing/runs";
import { Layout } from "./layout";
import { type Sums, sumsUnder } from "./subtree-totals";

const FILE = new URL("../../../tests/data/positions.json", import.meta.url);
const T0 = 1_700_000_000_000;

interface Case {
  name: string;
  mode: "time" | "order";
  shown: string[];
  ends: (number | null)[];
  spans: (Omit<Span, "start" | "duration" | "cost"> & {
    start: number | null;
    duration: number | null;
    cost?: number | null | undefined;
  })[];
  x: number[];
  y: number[];
  x1: (number | null)[];
  folding?: Folding;
}

/** What is folded by hand and opened, as `Folds` keeps it; and what comes of it, by row. */
interface Folding {
  state: number[];
  hidden: number[];
  likes: [row: number, count: number, end: number | null][];
  sums: [row: number, sums: Sums][];
}

function one(more: Partial<Span>): Span {
  return {
    trace: "t",
    kind: "llm",
    agent: "api",
    name: "llm",
    model: "m",
    parent: null,
    start: T0,
    duration: 1000,
    cost: Number.NaN,
    input: 0,
    output: 0,
    status: 1,
    flags: 0,
    provenance: 0,
    ...more,
  };
}

/** Calls of one agent: a run of a dozen, one too short, one broken by a failure, one that goes on, and what they call. */
function calls(): Span[] {
  const spans = [one({ kind: "orchestrator", name: "o", agent: "o", duration: 90_000, cost: Number.NaN })];
  let at = T0;
  const add = (more: Partial<Span>): number => {
    at += 700;
    return spans.push(one({ start: at, duration: 500, parent: 1, ...more })) - 1;
  };
  const tools = (count: number, name: string, more: Partial<Span> = {}): void => {
    for (let i = 0; i < count; i++) add({ kind: "tool", name, input: NONE, output: NONE, ...more });
  };
  add({ kind: "agent", name: "api", parent: 0, duration: 60_000 });
  add({ cost: 0.25, input: 100, output: 20 });
  tools(12, "read");
  tools(7, "write");
  add({ cost: Number.NaN, input: 30, output: NONE, flags: Flag.unpriced });
  tools(4, "read");
  tools(1, "read", { status: 2 });
  tools(9, "read", { duration: 300 });
  const caller = add({ kind: "tool", name: "read" });
  add({ parent: caller, cost: 0.5, input: 7, output: 7 });
  tools(8, "read", { start: Number.NaN });
  add({ kind: "agent", name: "tests", agent: "tests", parent: 0, duration: 20_000 });
  const other = spans.length - 1;
  tools(10, "run", { parent: other, agent: "tests" });
  tools(1, "run", { parent: other, agent: "tests", status: 0, duration: Number.NaN });
  add({ parent: other, agent: "tests", cost: 2 });
  return spans;
}

/** Spans as they come, and the runs that go on. */
function runs(): { name: string; spans: Span[]; living: boolean; state?: number[] }[] {
  const parallel = Array.from({ length: 9 }, (_, i) =>
    one({ kind: "tool", name: "read", start: T0 + 10 * i, duration: 400, parent: i === 0 ? null : 0 }),
  );
  const odd = [
    one({ kind: "agent", name: "api", start: Number.NaN, duration: Number.NaN, status: 0 }),
    one({ start: T0 + 500, parent: 0, status: 0, duration: Number.NaN }),
    one({ start: T0 + 200, parent: 0 }),
    one({ kind: "retriever", name: "search", start: T0 + 100, duration: 30, parent: 2, agent: "" }),
    one({ kind: "tool", name: "read", start: Number.NaN, parent: 2, status: 2 }),
  ];
  const late = makeRun({ spans: 40, seed: 5, start: T0 });
  const branch = makeRun({ spans: 25, seed: 6, start: T0 + 86_400_000, trace: "branch" });
  const clock = [...makeRun({ spans: 40, seed: 8, start: T0 }), one({ trace: "t", start: T0 - 4e11 })];
  return [
    { name: "a small run", spans: makeRun({ spans: 60, seed: 3, start: T0 }), living: false },
    { name: "a long run", spans: makeRun({ spans: 250, seed: 4, start: T0 }), living: false },
    { name: "calls at the same time", spans: parallel, living: false },
    { name: "what is not known, and goes on", spans: odd, living: true },
    { name: "a branch beside its original", spans: [...late, ...branch], living: false },
    { name: "one wrong clock", spans: clock, living: false },
    { name: "like calls fold by themselves", spans: calls(), living: false, state: [] },
    { name: "like calls, one run of them opened", spans: calls(), living: true, state: [-1 - 3] },
    { name: "an agent folded by hand, another's calls opened", spans: calls(), living: false, state: [1, -1 - 48] },
    { name: "a folded node under a folded one", spans: calls(), living: false, state: [0, 1] },
    {
      name: "a run with agents folded",
      spans: makeRun({ spans: 70, seed: 9, start: T0 }),
      living: false,
      state: [2, 9],
    },
  ];
}

async function laid(
  spans: Span[],
  living: boolean,
  mode: "time" | "order",
  state?: number[],
): Promise<Omit<Case, "name">> {
  const kernel = new FakeKernel();
  const offsets = new Map<string, number>();
  spans.forEach((span, i) => {
    if (!offsets.has(span.trace)) offsets.set(span.trace, i);
  });
  const put = spans.map((span) => ({
    ...span,
    parent: span.parent === null ? null : span.parent + (span.trace === "branch" ? (offsets.get("branch") ?? 0) : 0),
  }));
  for (const span of put) kernel.put(span);
  const shown = [...offsets.keys()];
  kernel.runs = shown.map((id) => {
    const own = put.filter((span) => span.trace === id);
    return { ...figures(own, id), status: living ? "running" : "ok", end: living ? null : T0 + 1e6 };
  });
  kernel.shown = shown;
  kernel.flush();
  const model = new Model(kernel.connect());
  await vi.advanceTimersByTimeAsync(1);
  const layout = new Layout(model, { mode, now: T0 + 5000, likes: state !== undefined });
  if (state !== undefined) layout.folded = state;
  const order = put.map((_, row) => model.slotOf(row));
  const known = (value: number): number | null => (Number.isNaN(value) ? null : value);
  const round = (value: number | undefined): number => Math.round((value ?? Number.NaN) * 100) / 100;
  return {
    mode,
    shown,
    ends: kernel.runs.map((run) => run.end),
    spans: put.map((span) => ({
      ...span,
      cost: state === undefined ? undefined : known(span.cost),
      start: known(span.start),
      duration: known(span.duration),
    })),
    x: order.map((slot) => round(layout.x[slot])),
    y: order.map((slot) => round(layout.y[slot])),
    x1: order.map((slot) => (Number.isFinite(layout.x1[slot] as number) ? round(layout.x1[slot]) : null)),
    ...(state === undefined ? {} : { folding: folding() }),
  };

  function folding(): Folding {
    const { folds } = layout;
    const likes: Folding["likes"] = [];
    const sums: Folding["sums"] = [];
    for (const [row, slot] of order.entries()) {
      const like = folds.likeOf(slot);
      if (like !== undefined) likes.push([row, like.count, known(like.end)]);
      if (folds.isFolded(slot)) sums.push([row, sumsUnder(model, slot)]);
    }
    return {
      state: state ?? [],
      hidden: [...order.keys()].filter((row) => folds.hidden[order[row]!] === 1),
      likes,
      sums,
    };
  }
}

vi.useFakeTimers();
const all: Case[] = [];
for (const { name, spans, living, state } of runs())
  for (const mode of ["time", "order"] as const) all.push({ name, ...(await laid(spans, living, mode, state)) });
vi.useRealTimers();
if (process.env.ANTON_POSITIONS === "write") writeFileSync(FILE, `${JSON.stringify(all)}\n`);

describe("positions that Python's picture shares", () => {
  const golden = JSON.parse(readFileSync(FILE, "utf-8")) as Case[];

  it.each(all.map((one) => [one.name, one.mode, one] as const))("%s, by %s", (name, mode, found) => {
    const known = golden.find((one) => one.name === name && one.mode === mode);
    expect(found.x.every(Number.isFinite)).toBe(true);
    expect(found.x).toEqual(known?.x);
    expect(found.y).toEqual(known?.y);
    expect(found.x1).toEqual(known?.x1);
    expect(found.folding).toEqual(known?.folding);
  });
});
