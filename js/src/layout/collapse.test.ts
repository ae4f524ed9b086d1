import { describe, expect, it } from "vitest";
import { Model } from "../model/model";
import { FakeKernel, type Span } from "../testing/kernel";
import { START, settled, spanOf } from "../testing/page";
import { random } from "../testing/runs";
import { LIKE } from "./collapse";
import { Layout } from "./layout";
import { sumsUnder } from "./subtree-totals";

async function folding(spans: Span[], likes = true) {
  const kernel = new FakeKernel();
  kernel.show(["t"]);
  for (const span of spans) kernel.put(span);
  kernel.flush();
  const model = new Model(kernel.connect());
  await settled();
  const layout = new Layout(model, { mode: "time", now: START + 1e6, likes });
  model.subscribe((delta) => layout.update(delta));
  const flush = async (): Promise<void> => {
    kernel.flush();
    await settled();
  };
  return { kernel, model, layout, flush };
}
const seen = (layout: Layout): number[] => {
  const found: number[] = [];
  layout.query(-1e9, -1e9, 1e9, 1e9, (slot) => found.push(slot));
  return found.sort((a, b) => a - b);
};
const reads = (n: number, from = 1_000, more: Partial<Span> = {}): Span[] =>
  Array.from({ length: n }, (_, i) =>
    spanOf("tool", { parent: 0, agent: "a", name: "read_file", start: START + from + i * 50, duration: 40, ...more }),
  );
const CALL = spanOf("llm", { agent: "a", duration: 500 });

describe("a run of like calls", () => {
  it(`of ${LIKE} folds into the first, which lasts until the last ends; one fewer does not`, async () => {
    const few = await folding([CALL, ...reads(LIKE - 1)]);
    expect(seen(few.layout).length).toBe(LIKE);
    const many = await folding([CALL, ...reads(LIKE)]);
    expect(seen(many.layout)).toEqual([0, 1]);
    expect(many.layout.folds.likeOf(1)).toMatchObject({ count: LIKE, last: LIKE });
    const wide = many.layout.endX(1) - many.layout.x[1]!;
    expect(wide).toBeCloseTo(many.layout.xOf(START + 50 * (LIKE - 1) + 40) - many.layout.xOf(START), 0);
  });

  it("folds as it grows, and the same as when it is read at once", async () => {
    const live = await folding([CALL]);
    for (const span of reads(20)) {
      live.kernel.put(span);
      await live.flush();
    }
    expect(seen(live.layout)).toEqual([0, 1]);
    expect(live.layout.folds.likeOf(1)?.count).toBe(20);
    const once = await folding([CALL, ...reads(20)]);
    expect(live.layout.endX(1)).toBe(once.layout.endX(1));
  });

  it("is parted by an error, by another name and by a call that called somebody", async () => {
    const spans = [CALL, ...reads(30)];
    spans[10] = { ...spans[10]!, status: 2 };
    const failed = await folding(spans);
    expect(seen(failed.layout)).toEqual([0, 1, 10, 11]);
    const late = await folding([CALL, ...reads(30)]);
    late.kernel.put({ ...reads(30)[9]!, status: 2 }, 10);
    await late.flush();
    expect(seen(late.layout)).toEqual([0, 1, 10, 11]);
    late.kernel.put(spanOf("llm", { parent: 20, agent: "a" }));
    await late.flush();
    expect(seen(late.layout)).toEqual([0, 1, 10, 11, 20, 21, 31]);
    spans[15] = { ...spans[15]!, name: "search" };
    expect(seen((await folding(spans)).layout)).toEqual([0, 1, 10, ...[11, 12, 13, 14], 15, 16]);
  });

  it("opens and closes, and stays open while it grows", async () => {
    const { kernel, layout, flush } = await folding([CALL, ...reads(10)]);
    expect(layout.toggleFold(1)).toBe(true);
    expect(seen(layout).length).toBe(11);
    expect(layout.folded).toEqual([-2]);
    kernel.put(reads(1, 5_000)[0]!);
    await flush();
    expect(seen(layout).length).toBe(12);
    expect(layout.toggleFold(11)).toBe(true);
    expect(seen(layout)).toEqual([0, 1]);
    expect(layout.folded).toEqual([]);
  });

  it("does not fold where nobody asked for it", async () => {
    expect(seen((await folding([CALL, ...reads(20)], false)).layout).length).toBe(21);
  });
});

describe("a node folded by hand", () => {
  const TREE = [
    spanOf("orchestrator"),
    spanOf("llm", { parent: 0 }),
    spanOf("agent", { parent: 1, agent: "a" }),
    spanOf("llm", { parent: 2, agent: "a", cost: 0.5, input: 10, output: 5 }),
    spanOf("tool", { parent: 3, agent: "a", status: 2 }),
    spanOf("llm", { parent: 0 }),
  ];

  it("hides all that lies under it, also what comes later, and gives it back", async () => {
    const { kernel, layout, flush } = await folding(TREE);
    expect(layout.toggleFold(1)).toBe(true);
    expect(seen(layout)).toEqual([0, 1, 5]);
    expect(layout.lanes.length).toBe(1);
    kernel.put(spanOf("tool", { parent: 3, agent: "a" }));
    kernel.put(spanOf("tool", { parent: 5 }));
    await flush();
    expect(seen(layout)).toEqual([0, 1, 5, 7]);
    layout.toggleFold(1);
    expect(seen(layout)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(layout.toggleFold(4)).toBe(false);
  });

  it("is remembered by the kernel's rows through a new snapshot, and revealed on demand", async () => {
    const { kernel, model, layout } = await folding(TREE);
    layout.folded = [2];
    expect(seen(layout)).toEqual([0, 1, 2, 5]);
    kernel.show(["t"]);
    await settled();
    expect(seen(layout)).toEqual([0, 1, 2, 5]);
    expect(layout.reveal(model.slotOf(4))).toBe(true);
    expect(layout.folded).toEqual([]);
    expect(layout.reveal(0)).toBe(false);
  });

  it("sums up what it hides", async () => {
    const { model } = await folding(TREE);
    expect(sumsUnder(model, 1)).toMatchObject({ spans: 3, errors: 1, running: 0, tokens: 15, cost: 0.5 });
  });

  it("agrees with a layout made anew, whatever comes in whatever order", async () => {
    for (const seed of [1, 2, 3, 4]) {
      const rnd = random(seed);
      const { kernel, model, layout, flush } = await folding(TREE);
      for (let round = 0; round < 40; round++) {
        for (let i = 0; i < 4; i++) {
          const n = kernel.spans.length;
          const parent = Math.floor(rnd() * n);
          const old = rnd() < 0.25 ? 1 + Math.floor(rnd() * (n - 1)) : -1;
          if (old >= 0) kernel.put({ ...kernel.spans[old]!, status: rnd() < 0.3 ? 2 : 1, duration: 100 }, old);
          else
            kernel.put(
              spanOf(rnd() < 0.7 ? "tool" : "llm", { parent: rnd() < 0.8 ? 3 : parent, agent: "a", name: "x" }),
            );
        }
        await flush();
        if (rnd() < 0.2) layout.toggleFold(Math.floor(rnd() * model.size));
        const fresh = new Layout(model, { mode: "time", now: START + 1e6, likes: true });
        fresh.folded = layout.folded;
        expect([seed, round, seen(layout)]).toEqual([seed, round, seen(fresh)]);
      }
      model.close();
    }
  });
});
