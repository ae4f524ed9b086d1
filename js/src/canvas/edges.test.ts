// @vitest-environment jsdom
import { afterEach, describe, expect, it } from "vitest";
import { RecordingContext } from "../testing/canvas";
import { add, type Held, modelOf, smallRun, spanOf, THEME } from "../testing/page";
import { pathOf } from "./ancestor-path";
import { drawEdges, type Place } from "./edges";

let held: Held | undefined;
afterEach(() => held?.model.close());

function placeOf(long: Record<number, number> = {}): Place {
  const x = (slot: number): number => slot * 100;
  return { x, y: (slot) => slot * 80, end: (slot) => x(slot) + (long[slot] ?? 0), scale: 1, factor: () => 1 };
}

async function drawn(slots: number[], lit: ReadonlySet<number> | null = null): Promise<RecordingContext> {
  held = await modelOf(smallRun());
  const canvas = new RecordingContext();
  const place = placeOf();
  drawEdges(canvas.context, held.model, slots, place, THEME, lit, () => 1);
  return canvas;
}

describe("edges", () => {
  it("draw a request solid and thin, a delegation thick", async () => {
    const request = (await drawn([3])).of("stroke");
    expect(request.map((edge) => [edge.color, edge.dash.length, edge.width])).toEqual([["line", 0, 1.3]]);
    const delegation = (await drawn([2])).of("stroke");
    expect(delegation.map((edge) => [edge.dash.length, edge.width])).toEqual([[0, 3]]);
  });

  it("draw a tool's response dashed beside its request", async () => {
    const edges = (await drawn([4])).of("stroke");
    expect(edges.map((edge) => edge.dash.length > 0)).toEqual([false, true]);
    expect(edges[1]!.x0).toBeGreaterThan(edges[0]!.x0);
  });

  it("lead from the parent's middle to the child's", async () => {
    const [edge] = (await drawn([3])).of("stroke");
    expect(edge).toMatchObject({ x0: 200, y0: 160, x1: 300, y1: 240 });
  });

  it("go straight down from the caller's bar where the call was made", async () => {
    held = await modelOf(smallRun());
    const canvas = new RecordingContext();
    drawEdges(canvas.context, held.model, [3], placeOf({ 2: 500 }), THEME, null, () => 1);
    const [edge] = canvas.of("stroke");
    expect(edge).toMatchObject({ path: "moveTo lineTo", x0: 300, x1: 300, y0: 160, y1: 240 });
  });

  it("lead dashed from a call to what was answered when it was tried again", async () => {
    held = await modelOf([]);
    const { kernel, model } = held;
    kernel.show(["t", "sweep"]);
    await add(kernel, [spanOf("llm"), spanOf("llm", { trace: "sweep" })]);
    const run = { ...model.runs.values().next().value!, trace_id: "sweep", origin: "rerun", original_row: 0 };
    model.runs.set("sweep", run);
    const canvas = new RecordingContext();
    drawEdges(canvas.context, model, [0, 1], placeOf(), THEME, null, () => 1);
    const edge = canvas.of("stroke").find((one) => one.color === "accent");
    expect(edge).toMatchObject({ x0: 0, y0: 0, x1: 100, y1: 80 });
    expect(edge!.dash.length).toBeGreaterThan(0);
  });

  it("share one line where they share a way, so that dashes do not pile up", async () => {
    held = await modelOf([spanOf("llm"), ...Array.from({ length: 12 }, () => spanOf("tool", { parent: 0 }))]);
    const canvas = new RecordingContext();
    const place: Place = {
      x: (slot) => (slot === 0 ? 0 : 200),
      y: (slot) => (slot === 0 ? 0 : 200),
      end: () => 0,
      scale: 1,
      factor: () => 1,
    };
    const slots = Array.from({ length: 12 }, (_, i) => i + 1);
    drawEdges(canvas.context, held.model, slots, place, THEME, null, () => 1);
    const steps = canvas.of("stroke").map((edge) => edge.path.split(" ").filter((step) => step === "quadraticCurveTo"));
    expect(steps.map((curves) => curves.length)).toEqual([2, 2]);
  });

  it("of a response leave where the call ended", async () => {
    held = await modelOf(smallRun());
    const canvas = new RecordingContext();
    drawEdges(canvas.context, held.model, [4], placeOf({ 4: 300 }), THEME, null, () => 1);
    expect(canvas.of("stroke").find((edge) => edge.dash.length > 0)?.x1).toBe(700);
  });

  it("draw nothing for a root, nor for a parent that is gone", async () => {
    expect((await drawn([0])).of("stroke")).toEqual([]);
    held!.kernel.gone(3);
    await add(held!.kernel, []);
    const canvas = new RecordingContext();
    const place = { x: () => 0, y: () => 0, end: () => 0, scale: 1, factor: () => 1 };
    drawEdges(canvas.context, held!.model, [4], place, THEME, null, () => 1);
    expect(canvas.of("stroke")).toEqual([]);
  });

  it("light up along a path and fade beside it", async () => {
    const canvas = await drawn([1, 2, 3, 4, 5], new Set([0, 1, 2, 3, 4]));
    const bright = canvas.of("stroke", "accent");
    expect(bright.map((edge) => [edge.dash.length > 0, edge.alpha])).toEqual([
      [false, 1],
      [true, 1],
    ]);
    const others = canvas.of("stroke").filter((edge) => edge.color !== "accent");
    expect(others.length).toBeGreaterThan(0);
    expect(others.every((edge) => edge.alpha < 0.4)).toBe(true);
  });
});

describe("the path that lights up", () => {
  it("leads to the root and to everything below", async () => {
    held = await modelOf([...smallRun(), spanOf("agent", { agent: "other", parent: 1 })]);
    expect([...pathOf(held.model, 3)].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...pathOf(held.model, 5)].sort()).toEqual([0, 1, 2, 3, 5]);
    expect([...pathOf(held.model, 6)].sort()).toEqual([0, 1, 6]);
    expect(pathOf(held.model, -1).size).toBe(0);
    expect(pathOf(held.model, 999).size).toBe(0);
  });
});
