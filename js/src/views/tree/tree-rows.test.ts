import { afterEach, describe, expect, it } from "vitest";
import { type Held, modelOf, START, smallRun, spanOf } from "../../testing/page";
import { makeRun } from "../../testing/runs";
import { type Column, Table } from "./tree-rows";

let held: Held;
afterEach(() => held?.model.close());

async function table(spans = smallRun()): Promise<Table> {
  held = await modelOf(spans);
  return new Table(held.model);
}
function shown(
  made: Table,
  by: Column | null = null,
  down = true,
  folded: number[] = [],
  kept: Uint8Array | null = null,
): number[] {
  made.build(new Set(folded), kept, by, down);
  return [...made.slots.subarray(0, made.n)];
}

describe("the table", () => {
  it("has parents before their children, each as deep as it lies", async () => {
    const made = await table();
    expect(shown(made)).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...made.depths.subarray(0, 6)]).toEqual([0, 1, 2, 3, 4, 4]);
    expect(made.indexOf(4)).toBe(4);
  });

  it("sums up what lies under a span, and shares add up", async () => {
    const made = await table([...smallRun(), spanOf("llm", { parent: 0, cost: 0.06, input: 100, output: 10 })]);
    shown(made);
    expect([0, 2, 3, 6].map((slot) => Number(made.costs[slot]!.toFixed(4)))).toEqual([0.08, 0.02, 0.02, 0.06]);
    expect([0, 3].map((slot) => made.tokens[slot])).toEqual([1_350, 1_240]);
    expect([0, 2, 6].map((slot) => Number(made.share(slot).toFixed(3)))).toEqual([1, 0.25, 0.75]);
  });

  it("leaves out what is folded, and with a filter all but what passes and what that lies under", async () => {
    const made = await table();
    expect(shown(made, null, true, [3])).toEqual([0, 1, 2, 3]);
    expect(shown(made, null, true, [1])).toEqual([0, 1]);
    expect(shown(made, null, true, [], Uint8Array.of(0, 0, 0, 0, 0, 1))).toEqual([0, 1, 2, 3, 5]);
  });

  it("sorts siblings by a column, both ways", async () => {
    const costs = [0.3, 0.1, 0.2].map((cost, i) =>
      spanOf("llm", { parent: 0, cost, start: START + i, name: "cab"[i] as string }),
    );
    const made = await table([spanOf("orchestrator"), ...costs]);
    expect(shown(made, "cost")).toEqual([0, 1, 3, 2]);
    expect(shown(made, "cost", false)).toEqual([0, 2, 3, 1]);
    expect(shown(made, "name", false)).toEqual([0, 2, 3, 1]);
    expect(shown(made)).toEqual([0, 1, 2, 3]);
  });

  it("shows every span of a long run once", async () => {
    const made = await table(makeRun({ spans: 30_000, trace: "t", start: START }));
    const all = shown(made, "duration");
    expect(new Set(all).size).toBe(30_000);
  });
});
