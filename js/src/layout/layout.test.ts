import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NONE } from "../kernel/protocol";
import { Model } from "../model/model";
import { FakeKernel, type Span } from "../testing/kernel";
import { figures, makeRun, Player, random } from "../testing/runs";
import { Layout, type LayoutOptions, ROW_HEIGHT } from "./layout";
import { collectMarks, Marks } from "./level-of-detail";

const MODES = ["time", "order"] as const;
const START = Date.UTC(2026, 9, 1, 9);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface World {
  kernel: FakeKernel;
  model: Model;
}

async function world(spans: Span[] = [], traces = ["run-1"]): Promise<World> {
  const kernel = new FakeKernel();
  kernel.shown = traces;
  for (const span of spans) kernel.put(span);
  kernel.runs = traces.map((trace) => figures(spans, trace));
  kernel.flush();
  const model = new Model(kernel.connect());
  await vi.advanceTimersByTimeAsync(1);
  return { kernel, model };
}

async function laidOut(spans: Span[], mode: LayoutOptions["mode"] = "time", traces?: string[]) {
  const { kernel, model } = await world(spans, traces);
  const layout = new Layout(model, { mode, now: START + 1e7 });
  model.subscribe((delta) => layout.update(delta));
  const flush = async (): Promise<void> => {
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
  };
  return { kernel, model, layout, flush };
}

function call(over: Partial<Span>): Span {
  const none = { parent: null, cost: Number.NaN, input: NONE, output: NONE, flags: 0, provenance: 0 };
  const said = { trace: "run-1", kind: "llm", agent: "coder", name: "llm", model: "m", status: 1 };
  return { ...none, ...said, start: START, duration: 1_000, ...over };
}

function everything(layout: Layout): number[] {
  const found: number[] = [];
  layout.query(-1e9, -1e9, 1e9, 1e9, (slot) => found.push(slot));
  return found.sort((a, b) => a - b);
}

function living(model: Model): number[] {
  return Array.from({ length: model.size }, (_, slot) => slot).filter((slot) => model.alive[slot]);
}

/** Spans at work at the same time never stand in one line (as long as there are lines). */
function overlapping(model: Model, layout: Layout): [number, number][] {
  const pairs: [number, number][] = [];
  for (const row of layout.rows) {
    for (let at = 1; at < row.n; at++) {
      const [left, right] = [row.slots[at - 1] as number, row.slots[at] as number];
      const end = (model.start[left] as number) + Math.max(0, model.duration[left] as number);
      // A ten-thousandth of a pixel is what single precision leaves open.
      if (end > (model.start[right] as number) + 1 && layout.x1[left]! > layout.x[right]! + 1e-2)
        pairs.push([left, right]);
    }
  }
  return pairs;
}

describe("time on x", () => {
  it("is linear, whatever a slow call does to the width", async () => {
    const spans = [0, 1, 2, 3].map((i) => call({ start: START + i * 4_000, duration: 3_000 }));
    spans.push(
      call({ start: START + 16_000, duration: 3_600_000 }),
      call({ start: START + 3_616_000, duration: 3_000 }),
    );
    const { model, layout } = await laidOut(spans);
    const perMs = (layout.x[5]! - layout.x[0]!) / 3_616_000;
    for (let slot = 0; slot < model.size; slot++) {
      expect(layout.x[slot]).toBeCloseTo((model.start[slot]! - START) * perMs, 1);
      expect(layout.x1[slot]! - layout.x[slot]!).toBeCloseTo(model.duration[slot]! * perMs, 1);
    }
    expect(layout.bounds.x1).toBeLessThan(10_000);
  });

  it("gives a model call of median length one and a half node widths in a short run", async () => {
    const { layout } = await laidOut([0, 1, 2].map((i) => call({ start: START + i * 5_000, duration: 4_000 })));
    expect(layout.x1[0]! - layout.x[0]!).toBeCloseTo(90, 0);
    expect(layout.unit).toBe(1);
  });

  it.each(MODES)("can be read off again from x (%s)", async (mode) => {
    const { layout } = await laidOut(makeRun({ spans: 500, seed: 3 }), mode);
    let before = Number.NEGATIVE_INFINITY;
    for (let x = 0; x <= layout.bounds.x1; x += layout.bounds.x1 / 200) {
      const time = layout.timeOf(x);
      expect(time).toBeGreaterThanOrEqual(before);
      expect(layout.timeOf(layout.xOf(time))).toBeCloseTo(time, -1);
      before = time;
    }
  });

  it("lets running spans end now", async () => {
    const { layout, kernel, flush } = await laidOut([call({ status: 0, duration: Number.NaN })]);
    layout.now = START + 2_000;
    expect(layout.endX(0)).toBeCloseTo(layout.xOf(START + 2_000), 3);
    kernel.put(call({ duration: 500 }), 0);
    await flush();
    expect(layout.endX(0)).toBeCloseTo(layout.xOf(START + 500), 3);
  });
});

describe("order on x", () => {
  it("keeps equal distances where a slow call takes nearly all the time", async () => {
    const spans = [0, 1, 2, 3].map((i) => call({ start: START + i, duration: 1 }));
    spans.push(call({ start: START + 9e6, duration: 10 }));
    const { layout } = await laidOut(spans, "order");
    const steps = [1, 2, 3, 4].map((i) => layout.x[i]! - layout.x[i - 1]!);
    expect(new Set(steps)).toEqual(new Set([76]));
  });

  it("puts what is at work together in one column, what follows and what is called to the right", async () => {
    const spans = [
      call({ kind: "orchestrator", agent: "boss", duration: 9_000 }),
      call({ agent: "boss", start: START, duration: 1_000, parent: 0 }),
      // The nodes of agents come after their calls, as the kernel derives them.
      call({ agent: "a", start: START + 1_000, duration: 3_000, parent: 4 }),
      call({ agent: "b", start: START + 1_100, duration: 3_000, parent: 5 }),
      call({ kind: "agent", agent: "a", start: START + 1_000, duration: 3_000, parent: 1 }),
      call({ kind: "agent", agent: "b", start: START + 1_100, duration: 3_000, parent: 1 }),
      call({ agent: "boss", start: START + 5_000, parent: 0 }),
    ];
    const { layout } = await laidOut(spans, "order");
    expect(Array.from(layout.x.slice(0, 7), (x) => x / 76)).toEqual([0, 0, 1, 1, 1, 1, 2]);
  });

  it("never puts a span left of one that began earlier", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 2_000, seed: 5 }), "order");
    const byStart = living(model).sort((a, b) => model.start[a]! - model.start[b]!);
    for (let i = 1; i < byStart.length; i++) {
      expect(layout.x[byStart[i]!]).toBeGreaterThanOrEqual(layout.x[byStart[i - 1]!]!);
    }
  });
});

describe("hierarchy on y", () => {
  it("has the orchestrator on top, agents by first start, and tool calls under the model calls of their agent", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 800, seed: 2 }));
    const bands = [...layout.lanes].sort((a, b) => a.y0 - b.y0);
    expect(bands[0]?.label).toBe("orchestrator");
    const starts = bands.slice(1).map((band) => model.start[band.slot]!);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    for (let i = 1; i < bands.length; i++) expect(bands[i]!.y0).toBeGreaterThanOrEqual(bands[i - 1]!.y1);
    for (const slot of living(model)) {
      const parent = model.parent[slot]!;
      const band = bands.find((one) => one.label === model.agent(slot))!;
      expect(layout.y[slot]).toBeGreaterThan(band.y0);
      expect(layout.y[slot]).toBeLessThan(band.y1);
      if (model.kind(slot) === "tool" && parent >= 0) expect(layout.y[slot]).toBeGreaterThan(layout.y[parent]!);
    }
  });

  it("gives spans at work together lines of their own", async () => {
    const spans = Array.from({ length: 30 }, (_, i) => call({ kind: "tool", start: START + i, duration: 5_000 }));
    const { model, layout } = await laidOut(spans);
    expect(new Set(living(model).map((slot) => layout.y[slot])).size).toBe(30);
    const long = await laidOut(makeRun({ spans: 3_000, seed: 11 }));
    expect(overlapping(long.model, long.layout)).toEqual([]);
  });

  it("draws branches in bands of their own beneath, from the same left edge", async () => {
    const spans = makeRun({ spans: 60, seed: 1 });
    const branch = makeRun({ spans: 60, seed: 1, trace: "branch", start: START + 864e5, firstRow: 60 });
    const { model, layout } = await laidOut([...spans, ...branch], "time", ["run-1", "branch"]);
    const ys = (trace: string): number[] =>
      living(model)
        .filter((s) => model.traceId(s) === trace)
        .map((s) => layout.y[s]!);
    expect(Math.min(...ys("branch"))).toBeGreaterThan(Math.max(...ys("run-1")) + ROW_HEIGHT / 2);
    for (let i = 0; i < 60; i++) expect(layout.x[60 + i]).toBeCloseTo(layout.x[i]!, 1);
    expect(layout.lanes.filter((lane) => lane.trace === 1).every((lane) => lane.trace_id === "branch")).toBe(true);
  });
});

describe("a run that grows", () => {
  it.each(MODES)("never moves a node that stands (%s)", async (mode) => {
    for (let seed = 1; seed <= 6; seed++) {
      const spans = makeRun({ spans: 400, seed });
      const { kernel, model, layout } = await laidOut([], mode);
      const player = new Player(kernel, spans);
      const rnd = random(seed);
      let places: [number, number][] = [];
      let calls = 0;
      while (!player.over) {
        player.until(player.nextTime + rnd() * 3_000);
        await vi.advanceTimersByTimeAsync(1);
        layout.now = player.nextTime;
        const finished = living(model).filter((s) => model.kind(s) === "llm" && model.duration[s]! > 0).length;
        // The first model calls tell how long calls are; until then the scale is a guess.
        if (calls >= 3 || mode === "order") {
          for (const [slot, [x, y]] of places.entries()) {
            expect([slot, layout.x[slot], layout.y[slot]]).toEqual([slot, x, y]);
          }
        }
        calls = finished;
        places = living(model).map((slot) => [layout.x[slot]!, layout.y[slot]!]);
      }
      expect(everything(layout)).toEqual(living(model));
      expect(overlapping(model, layout)).toEqual([]);
      model.close();
    }
  });

  it("shows the same spans as a fresh layout of the end, whatever came in between", async () => {
    const rnd = random(99);
    for (let round = 0; round < 30; round++) {
      const { kernel, model, layout, flush } = await laidOut([], round % 2 ? "order" : "time");
      for (let step = 0; step < 20; step++) {
        for (let i = 0; i < 8; i++) {
          const row = Math.floor(rnd() * (kernel.spans.length + 4));
          const old = kernel.spans[row];
          if (old && rnd() < 0.3) kernel.gone(row);
          else {
            const agent = `agent ${Math.floor(rnd() * 4)}`;
            const kind = ["llm", "tool", "agent", "thought"][Math.floor(rnd() * 4)] as string;
            const start = rnd() < 0.1 ? Number.NaN : START + rnd() * 1e5;
            const status = Math.floor(rnd() * 3);
            const fresh = call({
              agent,
              kind,
              start,
              duration: status === 0 ? Number.NaN : rnd() * 4_000 - 500,
              status,
            });
            kernel.put(fresh, old ? row : undefined);
          }
        }
        await flush();
        expect(everything(layout)).toEqual(living(model));
      }
      const marks = collectMarks(layout, { x0: -1e5, x1: 1e5, y0: -1e5, y1: 1e5, kx: 0.01, exact: true }, new Marks());
      let counted = 0;
      for (let i = 0; i < marks.n; i++) counted += marks.count[i]!;
      expect(counted).toBe(living(model).length);
      model.close();
    }
  });

  it("leaves a dragged node in the hand while others still settle", async () => {
    const { layout } = await laidOut([call({}), call({ start: START + 1 }), call({ start: START + 2 })]);
    const settle = (): boolean => layout.settle([0, 1, 2]);
    for (let i = 0; i < 5; i++) settle();
    layout.pin(1, 40, 60);
    for (let i = 0; i < 400 && settle(); i++) expect([layout.x[1], layout.y[1]]).toEqual([40, 60]);
    expect(settle()).toBe(false);
  });

  it("moves a span whose agent or start turns out to be another, and that one alone", async () => {
    const spans = [call({}), call({ start: START + 5_000 }), call({ agent: "tester", start: START + 100 })];
    const { kernel, layout, flush } = await laidOut(spans);
    const others = [layout.x[0], layout.y[0], layout.x[2], layout.y[2]];
    kernel.put(call({ agent: "tester", start: START + 9_000 }), 1);
    await flush();
    expect(layout.y[1]).toBe(layout.y[2]);
    expect(layout.x[1]).toBeCloseTo(layout.xOf(START + 9_000), 2);
    expect([layout.x[0], layout.y[0], layout.x[2], layout.y[2]]).toEqual(others);
  });
});

describe("what is wrong in a trace", () => {
  it("leaves a run readable when one clock is off by decades", async () => {
    const spans = Array.from({ length: 40 }, (_, i) => call({ start: START + i * 4_000, duration: 3_000 }));
    for (const wrong of [0, Date.UTC(9999, 0, 1)]) {
      const { layout } = await laidOut([...spans, call({ start: wrong })]);
      expect(layout.x[1]! - layout.x[0]!).toBeGreaterThan(50);
      expect(layout.bounds.x1 - layout.bounds.x0).toBeLessThan(20_000);
    }
  });

  it("has no bar of negative length, and a place for a span without a start", async () => {
    const parent = call({ start: START + 2_000 });
    const { layout } = await laidOut([
      parent,
      call({ duration: -5 }),
      call({ start: Number.NaN, parent: 0, kind: "tool" }),
    ]);
    expect(layout.endX(1)).toBe(layout.x[1]);
    expect(layout.x[2]).toBeCloseTo(layout.x[0]!, 3);
    expect(everything(layout)).toEqual([0, 1, 2]);
  });

  it("takes 10,000 parallel children and a chain 5,000 deep", async () => {
    const wide = Array.from({ length: 10_000 }, (_, i) =>
      call({ kind: "tool", start: START + i, duration: 1e6, parent: 0 }),
    );
    const deep = Array.from({ length: 5_000 }, (_, i) =>
      call({ agent: "deep", start: START + i, parent: i ? 9_999 + i : null }),
    );
    const { model, layout } = await laidOut([...wide, ...deep]);
    expect(everything(layout)).toEqual(living(model));
    expect(layout.rows.length).toBeLessThan(200);
  });

  it("is empty where there is nothing", async () => {
    const { layout } = await laidOut([]);
    expect(everything(layout)).toEqual([]);
    expect(layout.nearest(0, 0, 100)).toBe(-1);
    expect(collectMarks(layout, { x0: 0, x1: 10, y0: 0, y1: 10, kx: 1 }, new Marks()).n).toBe(0);
  });
});

describe("finding", () => {
  it("visits each span in a rectangle once: nodes and bars that reach into it", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 3_000, seed: 8 }));
    const rnd = random(5);
    for (let round = 0; round < 200; round++) {
      const [w, h] = [layout.bounds.x1, layout.bounds.y1];
      const x0 = rnd() * w;
      const y0 = rnd() * h;
      const x1 = x0 + rnd() * rnd() * w;
      const y1 = y0 + rnd() * rnd() * h;
      const found: number[] = [];
      layout.query(x0, y0, x1, y1, (slot) => found.push(slot));
      const wanted = living(model).filter((slot) => {
        const y = layout.y[slot]!;
        return y >= y0 && y <= y1 && layout.x[slot]! <= x1 && layout.x1[slot]! >= x0;
      });
      expect(found.sort((a, b) => a - b)).toEqual(wanted);
      const nodes = wanted.filter((slot) => layout.x[slot]! >= x0);
      expect(layout.count(x0, y0, x1, y1)).toBe(nodes.length);
    }
  });

  it("finds the nearest node", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 2_000, seed: 9 }));
    layout.pin(7, 400, 300);
    const rnd = random(6);
    for (let round = 0; round < 300; round++) {
      const x = rnd() * layout.bounds.x1;
      const y = rnd() * layout.bounds.y1;
      const far = (slot: number): number => Math.hypot(layout.x[slot]! - x, layout.y[slot]! - y);
      const best = Math.min(...living(model).map(far));
      const found = layout.nearest(x, y, 40);
      if (best > 40) expect(found).toBe(-1);
      else expect(far(found)).toBeCloseTo(best, 3);
    }
  });
});

describe("moving nodes", () => {
  it("keeps a dragged node where it is put: through news, a new snapshot and settling", async () => {
    const { kernel, model, layout, flush } = await laidOut(makeRun({ spans: 50, seed: 1 }));
    layout.pin(5, 123, 456);
    const found: number[] = [];
    layout.query(122, 455, 124, 457, (slot) => found.push(slot));
    expect(found).toEqual([5]);
    kernel.put({ ...(kernel.spans[5] as Span), status: 2 }, 5);
    await flush();
    for (let i = 0; i < 400 && layout.settle(living(model)); i++);
    kernel.show(["run-1"]);
    await vi.advanceTimersByTimeAsync(1);
    expect([layout.x[5], layout.y[5], layout.pinned(5)]).toEqual([123, 456, true]);
    layout.unpin(5);
    expect(layout.x[5]).toBeCloseTo(layout.xOf(model.start[5]!), 2);
    expect(everything(layout)).toEqual(living(model));
  });

  it("moves colliding nodes apart, rests, and then holds them while another comes", async () => {
    const spans = Array.from({ length: 12 }, (_, i) => call({ start: START + i * 400, duration: 100, kind: "tool" }));
    const { kernel, model, layout, flush } = await laidOut(spans);
    const closest = (): number => {
      let least = Number.POSITIVE_INFINITY;
      for (const a of living(model)) {
        for (const b of living(model)) {
          if (a < b) least = Math.min(least, Math.hypot(layout.x[a]! - layout.x[b]!, layout.y[a]! - layout.y[b]!));
        }
      }
      return least;
    };
    const before = closest();
    let ticks = 0;
    while (layout.settle(living(model))) ticks++;
    expect(ticks).toBeLessThan(300);
    expect(closest()).toBeGreaterThan(Math.max(before, 30));
    expect(layout.settle(living(model))).toBe(false);
    const places = living(model).map((slot) => [layout.x[slot], layout.y[slot]]);
    kernel.put(call({ start: START + 600, duration: 100, kind: "tool" }));
    await flush();
    while (layout.settle(living(model)));
    expect(
      living(model)
        .slice(0, 12)
        .map((slot) => [layout.x[slot], layout.y[slot]]),
    ).toEqual(places);
    expect(everything(layout)).toEqual(living(model));
  });

  it("does not settle more than it can", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 1_200, seed: 1 }));
    expect(layout.settle(living(model))).toBe(false);
  });
});

describe("marks", () => {
  /** By line and pixel, from the spans themselves: the worst of those that begin there. */
  function truth(model: Model, layout: Layout, view: { x0: number; x1: number; kx: number }) {
    const cells = new Map<string, { worst: number; count: number }>();
    for (const row of layout.rows) {
      for (let at = 0; at < row.n; at++) {
        const x = row.keys[at]!;
        const pixel = Math.floor((x - view.x0) * view.kx);
        if (x < view.x0 || pixel > Math.floor((view.x1 - view.x0) * view.kx)) continue;
        const key = `${row.y} ${pixel}`;
        const cell = cells.get(key) ?? { worst: 0, count: 0 };
        cell.worst = Math.max(cell.worst, [1, 0, 2][model.status[row.slots[at]!]!]!);
        cell.count++;
        cells.set(key, cell);
      }
    }
    return cells;
  }

  it.each(MODES)("are one for each pixel of a line at most, and say the worst in it (%s)", async (mode) => {
    const { model, layout } = await laidOut(makeRun({ spans: 6_000, seed: 4, agents: 5 }), mode);
    const rnd = random(7);
    for (let round = 0; round < 60; round++) {
      const width = layout.bounds.x1 * (0.02 + rnd());
      const x0 = (rnd() - 0.2) * layout.bounds.x1;
      const view = { x0, x1: x0 + width, y0: -1e6, y1: 1e6, kx: 600 / width, exact: true };
      const marks = collectMarks(layout, view, new Marks());
      const cells = truth(model, layout, view);
      let counted = 0;
      const last = new Map<number, number>();
      for (let i = 0; i < marks.n; i++) {
        const y = marks.y[i]!;
        expect(marks.px0[i]).toBeGreaterThan(last.get(y) ?? -1);
        expect(marks.px1[i]).toBeLessThanOrEqual(600);
        last.set(y, marks.px1[i]!);
        counted += marks.count[i]!;
        let worst = 0;
        let any = false;
        for (let px = marks.px0[i]!; px <= marks.px1[i]!; px++) {
          const cell = cells.get(`${y} ${px}`);
          if (cell === undefined) continue;
          any = true;
          worst = Math.max(worst, cell.worst);
        }
        if (any) expect(marks.worst[i]).toBeGreaterThanOrEqual(worst);
      }
      expect(counted).toBe([...cells.values()].reduce((sum, cell) => sum + cell.count, 0));
    }
  });

  it("show every error at every zoom, kept or not", async () => {
    const { model, layout } = await laidOut(makeRun({ spans: 4_000, seed: 6, agents: 4 }));
    const errors = living(model).filter((slot) => model.status[slot] === 2);
    expect(errors.length).toBeGreaterThan(20);
    for (const kx of [0.01, 0.05, 0.11, 0.3, 0.9]) {
      const view = { x0: -10, x1: layout.bounds.x1 + 10, y0: -1e6, y1: 1e6, kx };
      for (const exact of [false, true]) {
        const marks = collectMarks(layout, { ...view, exact }, new Marks());
        // A kept mark may lie half a pixel beside its place, so it can come to stand one pixel beside it.
        const off = exact ? 0 : 1;
        for (const slot of errors) {
          const px = Math.floor((layout.x[slot]! - view.x0) * kx);
          let seen = false;
          for (let i = 0; i < marks.n && !seen; i++) {
            seen =
              marks.y[i] === layout.y[slot] &&
              marks.worst[i] === 2 &&
              marks.px0[i]! <= px + off &&
              marks.px1[i]! >= px - off;
          }
          expect([kx, exact, slot, seen]).toEqual([kx, exact, slot, true]);
        }
      }
    }
  });

  it("follow a change of status and say what is dearest in them", async () => {
    const spans = [
      call({ cost: 0.25 }),
      call({ start: START + 10, cost: 0.5, status: 0, duration: Number.NaN }),
      call({ start: START + 20 }),
    ];
    const { kernel, model, layout, flush } = await laidOut(spans);
    layout.now = START + 4_000;
    const view = { x0: -1, x1: 200, y0: -1e6, y1: 1e6, kx: 0.05, exact: true };
    const worst = (): number =>
      Math.max(...Array.from(collectMarks(layout, { ...view, exact: false }, new Marks()).worst));
    const dearest = (exact: boolean): number =>
      Math.max(...collectMarks(layout, { ...view, exact }, new Marks()).dearest.slice(0, 3));
    expect(dearest(false)).toBe(0);
    layout.valueBy((slot) => model.cost[slot]! || 0);
    expect(worst()).toBe(1);
    expect([dearest(true), dearest(false)]).toEqual([0.5, 0.5]);
    kernel.put(call({ start: START + 10, cost: 0.75, status: 2 }), 1);
    await flush();
    expect(worst()).toBe(2);
    expect([dearest(true), dearest(false)]).toEqual([0.75, 0.75]);
  });
});
