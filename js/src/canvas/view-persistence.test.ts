// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type FakePage, fakePage, type Held, modelOf, START, settled, smallRun } from "../testing/page";
import { KIND_COLORS } from "../theme";
import { mountView } from "../workbench/mount";

let page: FakePage;
let held: Held;
const unmount: (() => void)[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: START + 60_000 });
  page = fakePage();
});
afterEach(() => {
  for (const off of unmount.splice(0)) off();
  held?.model.close();
  document.body.replaceChildren();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function frames(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}
async function view(): Promise<HTMLElement> {
  const el = document.createElement("div");
  document.body.append(el);
  unmount.push(mountView(el, held.model, held.connection, new AbortController().signal));
  await frames(600);
  return el.querySelector<HTMLElement>(".an-stage")!;
}
const press = (stage: HTMLElement, key: string): boolean => stage.dispatchEvent(new KeyboardEvent("keydown", { key }));
const camera = (): Record<string, unknown> | undefined =>
  held.kernel.traits.get("_camera") as Record<string, unknown> | undefined;
/** Middles of the bodies of model calls that were drawn last. */
function calls(): number[][] {
  const bodies = page.context.marks.filter((mark) => mark.op === "fill" && mark.color === KIND_COLORS[2]);
  return bodies.map((mark) => [Math.round((mark.x0 + mark.x1) / 2), Math.round((mark.y0 + mark.y1) / 2)]);
}

describe("where a view looks", () => {
  it("is said once it has come to rest, and not while the picture follows the run", async () => {
    held = await modelOf(smallRun());
    const set = vi.spyOn(held.connection, "set");
    const stage = await view();
    expect(set.mock.calls.filter(([name]) => name === "_camera")).toEqual([]);
    for (let i = 0; i < 10; i++) {
      press(stage, "+");
      await frames(100);
    }
    expect(camera()).toBeUndefined();
    await frames(400);
    expect(set.mock.calls.filter(([name]) => name === "_camera").length).toBe(1);
    expect(camera()).toMatchObject({ mode: "time", row: expect.any(Number), pace: expect.any(Number) });
    press(stage, "f");
    await frames(1_500);
    expect(camera()).toEqual({});
  });

  it("is where another view begins, and moves none that is there", async () => {
    held = await modelOf(smallRun());
    const first = await view();
    press(first, "+");
    await frames(600);
    const there = camera();
    const before = calls().slice(-1);
    expect(before.length).toBe(1);
    page.context.forget();
    const second = await view();
    expect(calls().slice(-1)).toEqual(before);
    expect(camera()).toBe(there);
    page.context.forget();
    press(second, "+");
    await frames(600);
    expect(camera()).not.toEqual(there);
    press(first, "+");
    await frames(600);
    const pace = camera()!.pace as number;
    expect(pace / (there!.pace as number)).toBeCloseTo(1.4, 5); // its own place, once closer
  });

  it.each([
    ["of another order", { mode: "order" }],
    ["by a span that is not there", { row: 999 }],
    ["that is none", { pace: Number.NaN }],
  ])("is no place %s", async (_, wrong) => {
    held = await modelOf(smallRun());
    await view();
    const before = calls().slice(-1);
    page.context.forget();
    held.kernel.traits.set("_camera", {
      ...{ mode: "time", row: 1, x: 5, y: 5, pace: 1, ky: 1, width: 500, height: 300 },
      ...wrong,
    });
    await view();
    expect(before.length).toBe(1);
    expect(calls().slice(-1)).toEqual(before);
  });
});
