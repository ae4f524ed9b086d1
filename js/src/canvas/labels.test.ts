// @vitest-environment jsdom
import { afterEach, describe, expect, it } from "vitest";
import { overlap, RecordingContext } from "../testing/canvas";
import { type Held, modelOf, START, spanOf, THEME } from "../testing/page";
import { clearFor, planLabels, writeLabels } from "./labels";
import { SIZES } from "./nodes";
import { TextFitter } from "./text-fitter";

let held: Held | undefined;
afterEach(() => held?.model.close());
const WIDTH = 600;

async function labelled(xs: number[], scale = 0.5, name = "run_all_the_tests_there_are"): Promise<RecordingContext> {
  held = await modelOf(xs.map((_, i) => spanOf("tool", { name, start: START + i })));
  const canvas = new RecordingContext();
  const place = {
    x: (slot: number) => xs[slot]!,
    y: () => 100,
    end: (slot: number) => xs[slot]!,
    scale,
    factor: () => 1,
  };
  const slots = xs.map((_, i) => i);
  const labels = planLabels(
    canvas.context,
    held.model,
    slots,
    place,
    THEME,
    new TextFitter(),
    null,
    WIDTH,
    scale > 0.62,
  );
  clearFor(canvas.context, labels, (y) => `ground at ${y}`);
  writeLabels(canvas.context, held.model, labels, THEME);
  return canvas;
}

describe("names beside nodes", () => {
  it.each([[[20, 60, 120, 200, 330]], [[20, 25, 30, 400]], [[10, 110, 210, 310, 410, 510, 590]]])(
    "never overlap one another, nor a node, nor the edge: %j",
    async (xs) => {
      const texts = (await labelled(xs)).of("fillText");
      expect(texts.length).toBeGreaterThan(0);
      for (const [i, text] of texts.entries()) {
        for (const other of texts.slice(i + 1)) expect(overlap(text, other)).toBe(false);
        for (const x of xs) {
          const half = (SIZES[3] / 2) * 0.5;
          expect(overlap(text, { x0: x - half, x1: x + half, y0: 90, y1: 110 })).toBe(false);
        }
        expect(text.x1).toBeLessThanOrEqual(WIDTH);
      }
    },
  );

  it("are cut with an ellipsis where room is short, and left out where there is none", async () => {
    expect((await labelled([20, 120])).texts[0]).toMatch(/^run_.*…$/);
    expect((await labelled([20, 60])).texts.length).toBe(1);
  });

  it("tell how long it took where there is room", async () => {
    expect((await labelled([20], 0.5, "search")).texts).toEqual(["search · 2.00 s"]);
  });

  it("clear the lines behind them in the ground's own color, and have no outline of their own", async () => {
    const canvas = await labelled([20, 300], 0.5, "search");
    const cleared = canvas.of("fillRect", "ground at 100");
    const texts = canvas.of("fillText");
    expect(cleared.length).toBe(texts.length);
    for (const [i, text] of texts.entries()) {
      expect(cleared[i]!.x0).toBeLessThanOrEqual(text.x0);
      expect(cleared[i]!.x1).toBeGreaterThanOrEqual(text.x1);
    }
    expect(canvas.of("strokeText")).toEqual([]);
  });

  it("stand under a node where there is no room beside it, and nowhere where there is none there either", async () => {
    const under = (await labelled([20, 90, 400], 1, "search")).of("fillText");
    expect(under.map((text) => text.y0 > 110)).toEqual([true, false, false]);
    expect((await labelled([20, 40, 60], 1, "search")).texts.length).toBe(1);
  });
});
