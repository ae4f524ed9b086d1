import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NONE } from "../kernel/protocol";
import { Model } from "../model/model";
import { FakeKernel, type Span } from "../testing/kernel";
import { figures } from "../testing/runs";
import { Layout } from "./layout";

const START = Date.UTC(2026, 9, 1, 9);
beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function call(over: Partial<Span>): Span {
  const none = { parent: null, cost: Number.NaN, input: NONE, output: NONE, flags: 0, provenance: 0 };
  const said = { trace: "run", kind: "llm", agent: "coder", name: "llm", model: "m", status: 1 };
  return { ...none, ...said, start: START, duration: 1_000, ...over };
}

/** Three agents, one call each; the second one's is tried again an hour later. */
async function tried(mode: "time" | "order") {
  const run = ["plan", "code", "test"].map((agent, i) => call({ agent, start: START + i * 2_000 }));
  const answer = (i: number): Span => call({ trace: "sweep", agent: "code", start: START + 3.6e6 + i * 10 });
  const kernel = new FakeKernel();
  kernel.shown = ["run", "sweep"];
  for (const span of [...run, answer(0)]) kernel.put(span);
  kernel.runs = [
    figures(run, "run"),
    { ...figures([answer(0)], "sweep", "rerun", "run"), end: START + 3.6e6 + 1_000, original_row: 1 },
  ];
  kernel.flush();
  const model = new Model(kernel.connect());
  await vi.advanceTimersByTimeAsync(1);
  const layout = new Layout(model, { mode, now: START + 4e6 });
  model.subscribe((delta) => layout.update(delta));
  const more = async (i: number): Promise<void> => {
    kernel.put(answer(i));
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
  };
  return { model, layout, more };
}

describe.each(["time", "order"] as const)("answers of an experiment, by %s", (mode) => {
  it("stand under their original, in a band right below that of its agent", async () => {
    const { layout } = await tried(mode);
    const lanes = [...layout.lanes].sort((a, b) => a.y0 - b.y0);
    expect(lanes.map((lane) => [lane.label, lane.trace])).toEqual([
      ["plan", 0],
      ["code", 0],
      ["code", 1],
      ["test", 0],
    ]);
    expect(Math.abs(layout.x[3]! - layout.x[1]!)).toBeLessThan(1);
    expect(layout.y[3]!).toBeGreaterThan(layout.y[1]!);
    expect(layout.y[3]!).toBeLessThan(layout.y[2]!);
  });

  it("stay beside it, each apart from the others, as more of them arrive", async () => {
    const { layout, more, model } = await tried(mode);
    for (let i = 1; i < 6; i++) await more(i);
    const lanes = [...layout.lanes].sort((a, b) => a.y0 - b.y0);
    expect(lanes.map((lane) => lane.trace)).toEqual([0, 0, 1, 0]);
    const places = new Set<string>();
    for (let slot = 3; slot < model.size; slot++) {
      places.add(`${Math.round(layout.x[slot]!)} ${layout.y[slot]}`);
      expect(layout.y[slot]!).toBeGreaterThan(layout.y[1]!);
      expect(layout.y[slot]!).toBeLessThan(layout.y[2]!);
    }
    expect(places.size).toBe(6);
  });
});
