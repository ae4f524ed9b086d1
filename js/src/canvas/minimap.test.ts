// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Layout } from "../layout/layout";
import { type FakePage, fakePage, type Held, modelOf, START, THEME } from "../testing/page";
import { makeRun } from "../testing/runs";
import { Camera } from "./camera";
import { Minimap } from "./minimap";

let page: FakePage;
let held: Held;
beforeEach(() => {
  page = fakePage();
});
afterEach(() => {
  held.model.close();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function mapped(width = 1_000, height = 500) {
  held = await modelOf(makeRun({ spans: 400, trace: "t", start: START }));
  const layout = new Layout(held.model, { mode: "time", now: START + 1e6 });
  const camera = new Camera(
    document.createElement("div"),
    () => {},
    () => true,
  );
  camera.resize(width, height);
  camera.fit(layout.bounds);
  const map = new Minimap(held.model, layout, camera);
  const draw = (now = 0): void => map.draw(THEME, 1, now);
  return { layout, camera, map, draw };
}
const frame = (): { x0: number; y0: number; x1: number; y1: number } => page.context.of("strokeRect", "accent").at(-1)!;

describe("the minimap", () => {
  it("is there only while a part is out of sight, and not in a small cell", async () => {
    const { camera, map, draw } = await mapped();
    draw();
    expect(map.element.hidden).toBe(true);
    camera.zoomBy(8);
    draw();
    expect(map.element.hidden).toBe(false);
    camera.resize(380, 500);
    draw();
    expect(map.element.hidden).toBe(true);
  });

  it("shows which part is seen", async () => {
    const { camera, draw } = await mapped();
    camera.zoomBy(8);
    draw();
    const before = frame();
    expect(before.x1 - before.x0).toBeLessThan(60);
    camera.shift(-4_000, 0);
    draw();
    expect(frame().x0).toBeGreaterThan(before.x0);
  });

  it("draws the spans once, and again when they are others", async () => {
    const { camera, layout, map, draw } = await mapped();
    camera.zoomBy(8);
    draw(0);
    page.context.forget();
    for (let i = 1; i < 20; i++) draw(i * 10);
    expect(page.context.of("fillRect", THEME.kinds[2]).length).toBe(0);
    layout.relayout({ mode: "order", now: START });
    draw(5_000);
    expect(page.context.of("fillRect", THEME.kinds[2]).length).toBeGreaterThan(20);
    expect(map.element.hidden).toBe(false);
  });

  it("brings the place under the pointer into the middle, and keeps the gesture to itself", async () => {
    const { camera, layout, map, draw } = await mapped();
    camera.zoomBy(8);
    draw();
    const seen = vi.fn();
    const stage = document.createElement("div");
    stage.append(map.element);
    stage.addEventListener("pointerdown", seen);
    const at = { clientX: 5, clientY: 5, bubbles: true, pointerId: 1 };
    map.element.dispatchEvent(new PointerEvent("pointerdown", at));
    expect(seen).not.toHaveBeenCalled();
    expect(camera.x(layout.bounds.x0)).toBeCloseTo(500);
    map.element.dispatchEvent(new PointerEvent("pointermove", { ...at, clientX: 163 }));
    expect(camera.x(layout.bounds.x1)).toBeCloseTo(500);
    map.element.dispatchEvent(new PointerEvent("pointerup", at));
    map.element.dispatchEvent(new PointerEvent("pointermove", { ...at, clientX: 50 }));
    expect(camera.x(layout.bounds.x1)).toBeCloseTo(500);
  });
});
