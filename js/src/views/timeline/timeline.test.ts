import { afterEach, describe, expect, it } from "vitest";
import { Layout } from "../../layout/layout";
import { type Held, modelOf, START, smallRun, spanOf } from "../../testing/page";
import { CostCurve } from "./cost-curve";
import { HEADING, LINE, RowLayout } from "./row-layout";

let held: Held;
afterEach(() => held?.model.close());

describe("the curve of what was spent", () => {
  it("rises where a call ends, by what it cost", async () => {
    const call = (start: number, duration: number, cost: number) =>
      spanOf("llm", { start: START + start, duration, cost });
    held = await modelOf([
      call(0, 5_000, 0.5),
      call(1_000, 1_000, 0.25),
      call(2_000, 500, Number.NaN),
      call(9_000, 1_000, 0.125),
    ]);
    const spending = new CostCurve();
    spending.build(held.model);
    const at = [0, 1_999, 2_000, 4_999, 5_000, 9_999, 10_000, 60_000].map((ms) => spending.at(START + ms));
    expect(at).toEqual([0, 0, 0.25, 0.25, 0.75, 0.75, 0.875, 0.875]);
    expect(spending.total).toBe(0.875);
  });

  it("is nothing without priced calls", async () => {
    held = await modelOf([spanOf("tool")]);
    const spending = new CostCurve();
    spending.build(held.model);
    expect([spending.total, spending.at(START + 1e9)]).toEqual([0, 0]);
  });
});

describe("the timeline's lines", () => {
  it("stand under their agent's heading, each found again by its place", async () => {
    held = await modelOf(smallRun());
    const layout = new Layout(held.model, { mode: "time", now: START + 60_000, likes: false });
    const lines = new RowLayout(layout);
    lines.build();
    expect(lines.headings.map(({ label }) => label)).toEqual(["orchestrator", "coder"]);
    expect(lines.headings.map(({ spans }) => spans)).toEqual([2, 4]);
    expect(lines.height).toBe(lines.rows.length * LINE + 2 * HEADING);
    for (const row of lines.rows) {
      const top = lines.topOf(row.y);
      expect(lines.at(top + LINE / 2)).toBe(row);
      const { y0, y1 } = lines.window(top + 1, top + LINE - 1);
      expect([y0, y1]).toEqual([row.y, row.y]);
    }
    expect(lines.at(HEADING / 2)).toBeUndefined();
  });

  it("put calls that overlap under one another", async () => {
    const tool = (start: number) => spanOf("tool", { start: START + start, duration: 4_000 });
    held = await modelOf([tool(0), tool(1_000), tool(2_000)]);
    const lines = new RowLayout(new Layout(held.model, { mode: "time", now: START + 60_000, likes: false }));
    lines.build();
    expect(lines.rows.length).toBe(3);
  });
});
