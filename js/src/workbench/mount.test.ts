// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Mark } from "../testing/canvas";
import {
  add,
  type FakePage,
  fakePage,
  type Held,
  modelOf,
  STAGE,
  START,
  settled,
  smallRun,
  spanOf,
} from "../testing/page";
import { makeRun } from "../testing/runs";
import { KIND_COLORS } from "../theme";
import { mountView } from "./mount";

let page: FakePage;
let held: Held;
let unmount: () => void = () => {};

beforeEach(() => {
  vi.useFakeTimers({ now: START + 60_000 });
  page = fakePage();
});
afterEach(() => {
  unmount();
  held?.model.close();
  document.body.replaceChildren();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const one = (selector: string): HTMLElement => document.querySelector<HTMLElement>(selector)!;
/** Lets frames pass, and what they started. */
async function frames(ms = 40): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}
/** The marks of the frame that is drawn now. */
async function picture(): Promise<Mark[]> {
  page.context.forget();
  window.dispatchEvent(new Event("resize"));
  one(".an-stage").dispatchEvent(new KeyboardEvent("keydown", { key: "f" }));
  await frames(1_500);
  const { marks } = page.context;
  const grounds = marks.filter((mark) => mark.op === "fillRect" && mark.x1 === STAGE.width && mark.y1 === STAGE.height);
  return marks.slice(marks.indexOf(grounds.at(-1)!));
}
async function mount(spans = smallRun()): Promise<void> {
  held = await modelOf(spans);
  held.kernel.details = (row) => ({
    row,
    name: `span ${row}`,
    kind: "tool",
    status: "error",
    error: "exit code 1",
    bodies: [],
    problems: [],
    agent: null,
    model: null,
    provider: null,
    start: null,
    duration_ms: null,
    input_tokens: null,
    output_tokens: null,
    cost_usd: null,
    recorded_cost_usd: null,
    usage: {},
    finish_reason: null,
    span_id: `s${row}`,
    trace_id: "t",
    source: null,
    line: null,
  });
  unmount = mountView(document.body, held.model, held.connection, new AbortController().signal);
  await frames();
}
function nodes(marks: Mark[], kind: number): Mark[] {
  return marks.filter((mark) => mark.op === "fill" && mark.color === KIND_COLORS[kind] && mark.alpha === 1);
}
function pointer(type: string, mark: { x0: number; x1: number; y0: number; y1: number }, dx = 0, dy = 0): void {
  const at = { clientX: (mark.x0 + mark.x1) / 2 + dx, clientY: (mark.y0 + mark.y1) / 2 + dy, button: 0, bubbles: true };
  one(".an-stage").dispatchEvent(new PointerEvent(type, { ...at, pointerId: 1 }));
}
async function press(key: string): Promise<void> {
  one(".an-stage").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await frames();
}
const selected = (): unknown => held.kernel.traits.get("_selected_row");

describe("the view", () => {
  it("draws each span once, in its kind's color, and its names", async () => {
    await mount();
    const marks = await picture();
    expect([0, 1, 2, 3].map((kind) => nodes(marks, kind).length)).toEqual([1, 1, 2, 2]);
    const texts = marks
      .filter((mark) => mark.op === "fillText")
      .map((mark) => mark.text)
      .join("\n");
    for (const name of ["opus-4-5", "gpt-5", "coder"]) expect(texts).toContain(name);
  });

  it("draws many spans as strips, at no more than a few marks a pixel", async () => {
    await mount(makeRun({ spans: 20_000, trace: "t", start: START }));
    const marks = await picture();
    expect(marks.filter((mark) => mark.op === "fill" && mark.path === "roundRect").length).toBe(0);
    const strips = marks.filter((mark) => mark.op === "fillRect" && KIND_COLORS.includes(mark.color as never));
    expect(strips.length).toBeGreaterThan(500);
    expect(strips.length).toBeLessThan(20_000);
    for (const strip of strips)
      expect(strip.x1 > 0 && strip.x0 < STAGE.width && strip.y0 < STAGE.height + 30).toBe(true);
    const failed = marks.filter((mark) => mark.op === "fillRect" && mark.color === "#d3202f");
    expect(failed.length).toBeGreaterThan(10);
  });

  it("says what it waits for while there is nothing", async () => {
    held = await modelOf([]);
    unmount = mountView(document.body, held.model, held.connection, new AbortController().signal);
    await frames();
    expect(one(".an-empty").textContent).toBe("Waiting for the first span …");
    await add(held.kernel, smallRun());
    expect(one(".an-empty").textContent).toBe("");
  });

  it("says where it looks and what was found instead, as text, until a span comes", async () => {
    held = await modelOf([]);
    unmount = mountView(document.body, held.model, held.connection, new AbortController().signal);
    held.connection.set("waiting", {
      path: "/runs/<b>nigthly</b>",
      looked_for: ["*.jsonl"],
      found: [],
      similar: ["/runs/nightly"],
      hints: ["Record a program: anton-notebook record -- python program.py"],
    });
    await frames();
    const panel = one(".an-waiting");
    expect(panel.hidden).toBe(false);
    const labels = [...panel.querySelectorAll("dt")].map((label) => label.textContent);
    expect(labels).toEqual(["Path", "Looked for", "Similar names"]);
    expect(panel.querySelector("dd")?.textContent).toBe("/runs/<b>nigthly</b>");
    expect(panel.querySelector("li")?.textContent).toContain("Record a program");
    await add(held.kernel, smallRun());
    expect(panel.hidden).toBe(true);
  });

  it.each(["timeline", "graph"])("keeps a highlight that was set while the %s was hidden", async (view) => {
    await mount();
    const other = view === "graph" ? "timeline" : "graph";
    const seen = async (): Promise<string> => {
      await frames(2_000);
      page.context.forget();
      one(".an-stage:not([hidden])").dispatchEvent(new KeyboardEvent("keydown", { key: "f", bubbles: true }));
      await frames(1_500);
      const { marks } = page.context;
      return JSON.stringify(marks.map(({ op, color, alpha, x0, y0 }) => [op, color, alpha, x0, y0]).sort());
    };
    for (const name of [view, other, view]) {
      held.connection.set("view", name);
      await frames();
    }
    const third = new DataView(new Int32Array([1, 3]).buffer);
    const plain = await seen();
    held.connection.set("_bright_rows", third);
    const lit = await seen();
    expect(lit).not.toBe(plain);
    held.connection.set("_bright_rows", null);
    await seen();
    held.connection.set("view", other);
    await frames();
    held.connection.set("_bright_rows", third);
    held.connection.set("view", view);
    expect(await seen()).toBe(lit);
  });

  it("draws what comes, and tells the page when it is painted", async () => {
    const painted: number[] = [];
    document.addEventListener("anton:painted", (event) => painted.push((event as CustomEvent).detail.spans), true);
    await mount();
    await add(held.kernel, [spanOf("tool", { parent: 3, name: "late", start: START + 10_000 })]);
    await frames();
    expect(painted.at(-1)).toBe(7);
    expect(one(".anton").dataset.spans).toBe("7");
  });

  it("draws nothing while nothing happens", async () => {
    await mount();
    await frames(3_000);
    page.context.forget();
    await frames(3_000);
    expect(page.context.marks).toEqual([]);
  });

  it("goes on drawing while something runs", async () => {
    await mount([spanOf("orchestrator", { status: 0, duration: Number.NaN })]);
    await frames(3_000);
    page.context.forget();
    await frames(500);
    expect(page.context.marks.length).toBeGreaterThan(0);
  });
});

describe("the pointer", () => {
  it("on a node selects it in the kernel and opens its details; beside it takes the selection away", async () => {
    await mount();
    const [tool] = nodes(await picture(), 3);
    pointer("pointerdown", tool!);
    pointer("pointerup", tool!);
    await frames();
    expect(selected()).toBe(4);
    expect(one(".an-details").hidden).toBe(false);
    pointer("pointerdown", { x0: 990, x1: 990, y0: 490, y1: 490 });
    pointer("pointerup", { x0: 990, x1: 990, y0: 490, y1: 490 });
    await frames();
    expect(selected()).toBe(-1);
    expect(one(".an-details").hasAttribute("hidden")).toBe(true);
  });

  it("over a failed span says why, asked of the kernel once", async () => {
    await mount();
    const tool = nodes(await picture(), 3)[1]!;
    held.kernel.requests.length = 0;
    for (let i = 0; i < 3; i++) {
      pointer("pointermove", tool, i);
      await frames();
    }
    expect(one(".an-tip").textContent).toContain("run_tests");
    expect(one(".an-tip .an-bad").textContent).toBe("exit code 1");
    expect(held.kernel.requests.map((request) => request.op)).toEqual(["details"]);
  });

  it("over a node lights its path and fades the rest", async () => {
    await mount();
    const tool = nodes(await picture(), 3)[0]!;
    page.context.forget();
    pointer("pointermove", tool);
    await frames();
    const faded = page.context.of("fill", KIND_COLORS[3]).filter((mark) => mark.alpha === 0.35);
    expect(faded.length).toBeGreaterThanOrEqual(1);
    expect(page.context.of("stroke").filter((mark) => mark.color === "#1666c9").length).toBeGreaterThan(0);
  });

  it("drags a node, which stays where it was put when others come", async () => {
    await mount();
    const tool = nodes(await picture(), 3)[0]!;
    pointer("pointerdown", tool);
    pointer("pointermove", tool, 30, 40);
    pointer("pointermove", tool, 60, 80);
    pointer("pointerup", tool, 60, 80);
    page.context.forget();
    await add(held.kernel, [spanOf("tool", { parent: 3, start: START + 20_000 })]);
    await frames(1_000);
    const centres = nodes(page.context.marks, 3).map((mark) => [(mark.x0 + mark.x1) / 2, (mark.y0 + mark.y1) / 2]);
    const want = [(tool.x0 + tool.x1) / 2 + 60, (tool.y0 + tool.y1) / 2 + 80];
    expect(centres.some((at) => Math.hypot(at[0]! - want[0]!, at[1]! - want[1]!) < 2)).toBe(true);
    expect(selected()).toBeUndefined();
  });
});

describe("folding", () => {
  const reads = Array.from({ length: 40 }, (_, i) =>
    spanOf("tool", { parent: 3, agent: "coder", name: "read_file", start: START + 9_000 + i * 100, duration: 80 }),
  );
  const texts = (marks: Mark[]): string =>
    marks
      .filter((mark) => mark.op === "fillText")
      .map((m) => m.text)
      .join("|");

  it("makes one of forty like calls, says how many, and opens at a click", async () => {
    await mount([...smallRun(), ...reads]);
    const marks = await picture();
    expect(texts(marks)).toContain("× 40 · 3.98 s");
    const tools = nodes(marks, 3);
    expect(tools.length).toBe(3);
    const run = tools.at(-1)!;
    pointer("pointerdown", run);
    pointer("pointerup", run);
    await frames(100);
    expect(held.kernel.traits.get("_folded")).toEqual([-7]);
    expect(selected()).toBe(6);
    // Collision may push one beyond the right edge.
    expect(nodes(await picture(), 3).length).toBeGreaterThan(40);
  });

  it("at a double click hides what lies under a node and says what it sums up to", async () => {
    await mount();
    const [call] = nodes(await picture(), 2);
    for (let click = 0; click < 2; click++) {
      pointer("pointerdown", call!);
      pointer("pointerup", call!);
    }
    await frames();
    expect(held.kernel.traits.get("_folded")).toEqual([1]);
    const marks = await picture();
    expect(texts(marks)).toContain("4 spans");
    expect([1, 3].map((kind) => nodes(marks, kind).length)).toEqual([0, 0]);
    await press(" ");
    expect(held.kernel.traits.get("_folded")).toEqual([]);
  });

  it("opens what hides the span that the kernel selects", async () => {
    await mount();
    held.kernel.setTrait("_folded", [1]);
    expect(nodes(await picture(), 3).length).toBe(0);
    held.kernel.setTrait("_selected_row", 4);
    expect(nodes(await picture(), 3).length).toBe(2);
  });
});

describe("the keys", () => {
  it("walk the tree", async () => {
    await mount();
    const way: unknown[] = [];
    for (const key of [
      "ArrowDown",
      "ArrowDown",
      "ArrowDown",
      "ArrowDown",
      "ArrowDown",
      "ArrowRight",
      "ArrowRight",
      "ArrowLeft",
      "ArrowUp",
    ]) {
      await press(key);
      way.push(selected());
    }
    expect(way).toEqual([0, 1, 2, 3, 4, 5, 5, 4, 3]);
  });

  it("open the list of keys and close first it, then the details", async () => {
    await mount();
    await press("ArrowDown");
    await press("?");
    expect(one(".an-keys").hasAttribute("hidden")).toBe(false);
    await press("Escape");
    expect(one(".an-keys").hasAttribute("hidden")).toBe(true);
    expect(selected()).toBe(0);
    await press("Escape");
    expect(selected()).toBe(-1);
  });

  it("that are the page's own stay the page's", async () => {
    await mount();
    const event = new KeyboardEvent("keydown", { key: "ArrowDown", ctrlKey: true, bubbles: true, cancelable: true });
    one(".an-stage").dispatchEvent(event);
    expect(event.defaultPrevented).toBe(false);
    expect(selected()).toBeUndefined();
  });
});

describe("what the kernel says", () => {
  it("selects: the details open without a request to select again", async () => {
    await mount();
    held.kernel.setTrait("_selected_row", 4);
    await frames();
    expect(one(".an-details h3").textContent).toBe("span 4");
    expect(held.kernel.requests.filter((request) => request.op === "select")).toEqual([]);
  });

  it("stands in a banner while it lasts", async () => {
    await mount();
    held.kernel.setTrait("_error", "The folder is not readable.");
    expect(one(".an-banner-error").textContent).toContain("The folder is not readable.");
    held.kernel.setTrait("_error", "");
    expect(document.querySelector(".an-banner-error")).toBeNull();
  });

  it("when it answers late, is waited for in words", async () => {
    await mount();
    held.kernel.setBusy(true);
    void held.connection.request("alive");
    await frames(1_100);
    expect(one(".an-banner-wait").textContent).toContain("busy");
    held.kernel.setBusy(false);
    await frames();
    expect(document.querySelector(".an-banner-wait")).toBeNull();
  });

  it("of lines that could not be read stands under the picture", async () => {
    await mount();
    held.kernel.status = { ...held.kernel.status, sentence: "3 lines could not be read" };
    held.kernel.flush();
    await frames();
    expect(one(".an-foot").textContent).toBe("3 lines could not be read");
  });

  it("of height is the height in px, and nonsense is not", async () => {
    await mount();
    for (const [height, px] of [
      [300, "300px"],
      [20, "160px"],
      ["x", "560px"],
      [-5, "560px"],
    ] as const) {
      held.kernel.setTrait("height", height);
      expect(one(".anton").style.height).toBe(px);
    }
  });
});

describe("unmounting", () => {
  it("leaves no listener, no timer and no element", async () => {
    held = await modelOf([spanOf("orchestrator", { status: 0, duration: Number.NaN })]);
    const before = [page.left(), vi.getTimerCount()];
    const shown = new AbortController();
    unmount = mountView(document.body, held.model, held.connection, shown.signal);
    await frames(100);
    await press("ArrowDown");
    expect(page.left()).toBeGreaterThan(before[0]!);
    expect(vi.getTimerCount()).toBeGreaterThan(before[1]!);
    shown.abort();
    unmount();
    expect([page.left(), vi.getTimerCount()]).toEqual(before);
    expect(document.body.childElementCount).toBe(0);
    page.context.forget();
    held.kernel.setTrait("x_axis", "order");
    await add(held.kernel, smallRun());
    await frames(500);
    expect(page.context.marks).toEqual([]);
  });

  it("of one of two views leaves the other alive", async () => {
    await mount();
    const second = mountView(document.body, held.model, held.connection, new AbortController().signal);
    second();
    await add(held.kernel, [spanOf("tool", { parent: 3 })]);
    await frames();
    expect(one(".anton").dataset.spans).toBe("7");
  });
});
