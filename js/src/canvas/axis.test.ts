// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Layout } from "../layout/layout";
import { overlap, RecordingContext } from "../testing/canvas";
import { fakePage, type Held, modelOf, START, smallRun, THEME } from "../testing/page";
import { drawAxis, tickText } from "./axis";
import { Camera } from "./camera";

let held: Held | undefined;
beforeEach(() => {
  fakePage();
});
afterEach(() => {
  held?.model.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function axis(mode: "time" | "order", zoom = 1): Promise<RecordingContext> {
  held = await modelOf(smallRun());
  const layout = new Layout(held.model, { mode, now: START });
  const camera = new Camera(
    document.createElement("div"),
    () => {},
    () => true,
  );
  camera.resize(900, 400);
  camera.fit(layout.bounds);
  if (zoom !== 1) camera.zoomBy(zoom);
  const canvas = new RecordingContext();
  drawAxis(canvas.context, layout, camera, THEME, START);
  return canvas;
}

describe("the ruler", () => {
  it.each([
    [0, 500, "0"],
    [20, 20, "20 ms"],
    [1_500, 500, "1.5 s"],
    [45_000, 5_000, "45 s"],
    [90_000, 30_000, "1:30 min"],
    [5_400_000, 1_800_000, "1:30 h"],
  ])("writes %d ms in steps of %d as %s", (ms, step, text) => expect(tickText(ms, step)).toBe(text));

  it.each([1, 3, 20, 400, 0.02])(
    "has ticks that rise, apart from each other and inside, zoomed by %d",
    async (zoom) => {
      const texts = (await axis("time", zoom)).of("fillText");
      expect(texts.length).toBeGreaterThan(0);
      for (const [i, text] of texts.entries()) {
        expect(text.x1).toBeLessThanOrEqual(900);
        const next = texts[i + 1];
        if (next === undefined) continue;
        expect(next.x0).toBeGreaterThan(text.x0);
        expect(overlap(text, next)).toBe(false);
      }
    },
  );

  it("begins with the time of day and says how long after it", async () => {
    const { texts } = await axis("time");
    expect(texts[0]).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(texts.slice(1).every((text) => text.startsWith("+"))).toBe(true);
  });

  it("in order says that it is no ruler of time", async () => {
    expect((await axis("order")).texts[0]).toBe("in order of start");
  });
});
