// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Held, modelOf, settled, smallRun } from "../../testing/page";
import { ReplayPanel } from "./panel";

const PLANNED = {
  prompt: "Plan it.",
  rows: { executed: [1], inferred: [3], stale: [5], reused: [] },
  reasons: [{ row: 3, title: "coder", provenance: "inferred", reason: "<b>confirmed 2 of 2</b>" }],
  quote: null,
  left_usd: null,
  allowed: true,
  how_to_allow: "allow_replay=True",
  problem: null,
  caution: "structural steps only",
};
const SEEN = {
  state: "running",
  done: 1,
  total: 3,
  counts: { executed: 1, inferred: 0, stale: 0, reused: 0 },
  changed: 1,
  failed: 0,
  first_error: null,
  error: null,
  cost_usd: 0.01,
  notes: [],
};

let held: Held;
let panel: ReplayPanel;
let lit: (number[] | null)[];
let asked: [string, Record<string, unknown>][];
let seen: object;
let planned: object;

beforeEach(async () => {
  vi.useFakeTimers();
  held = await modelOf(smallRun());
  [lit, asked, seen, planned] = [[], [], SEEN, PLANNED];
  const note =
    (op: string, answer: () => unknown) =>
    (args: Record<string, unknown>): unknown => {
      asked.push([op, args]);
      return answer();
    };
  held.kernel.answers = {
    fork_plan: note("plan", () => planned),
    fork_run: note("run", () => ({ fork: 7, trace_id: "branch" })),
    fork_look: () => seen,
    fork_stop: note("stop", () => ({})),
  };
  panel = new ReplayPanel(
    held.connection,
    () => held.model.epoch,
    (rows) => lit.push(rows === null ? null : [...rows]),
  );
  document.body.append(panel.element);
});
afterEach(() => {
  vi.useRealTimers();
  held.model.close();
  document.body.replaceChildren();
});
const find = <T extends HTMLElement>(selector: string): T => panel.element.querySelector<T>(selector) as T;
const named = (word: string): HTMLButtonElement =>
  [...panel.element.querySelectorAll("button")].find((one) => one.textContent === word) as HTMLButtonElement;
async function pause(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await settled();
}

describe("what would follow", () => {
  it("is lit and said before anything is asked, reasons as text", async () => {
    await panel.show(1, "plan");
    expect(lit.at(-1)).toEqual([1, 3, 5]);
    expect(find(".an-fork-inferred li").textContent).toBe("coder <b>confirmed 2 of 2</b>");
    expect(find<HTMLElement>(".an-fork-reused").hidden).toBe(true);
    find(".an-fork-stale").dispatchEvent(new Event("mouseenter"));
    expect(lit.at(-1)).toEqual([5]);
    expect(asked.map(([op]) => op)).toEqual(["plan"]);
  });

  it("is planned again when the prompt is changed, once nobody types", async () => {
    await panel.show(1, "plan");
    const edit = find<HTMLTextAreaElement>("textarea");
    for (const text of ["Plan", "Plan th", "Plan that."]) {
      edit.value = text;
      edit.dispatchEvent(new Event("input"));
      await pause(100);
    }
    expect(named("Run again").disabled).toBe(true);
    await pause(400);
    expect(asked.map(([op, { prompt }]) => [op, prompt])).toEqual([
      ["plan", undefined],
      ["plan", "Plan that."],
    ]);
    expect(named("Run again").disabled).toBe(false);
  });

  it("cannot be run where it is not allowed, and how to allow it is said", async () => {
    planned = { ...PLANNED, allowed: false };
    await panel.show(1, "plan");
    expect([named("Run again").disabled, find(".an-fork-quote").textContent]).toEqual([true, "allow_replay=True"]);
  });
});

describe("a replay that runs", () => {
  it("can be stopped and not edited, also after the panel was closed and opened elsewhere", async () => {
    await panel.show(1, "plan");
    named("Run again").click();
    await pause(50);
    const edit = find<HTMLTextAreaElement>("textarea");
    expect([edit.readOnly, named("Run again").disabled, named("Stop").hidden]).toEqual([true, true, false]);
    expect(find(".an-fork-quote").textContent).toContain("1 of 3 calls settled");
    panel.close();
    await panel.show(3, "coder");
    expect(find("h3").textContent).toBe("Rerun from here: plan");
    named("Stop").click();
    seen = { ...SEEN, state: "stopped" };
    await pause(400);
    expect(asked.at(-1)).toMatchObject(["stop", { fork: 7 }]);
    expect(find(".an-fork-quote").textContent).toContain("Stopped");
    expect([edit.readOnly, named("Run again").disabled, named("Stop").hidden]).toEqual([false, false, true]);
    await panel.show(3, "coder");
    expect(find("h3").textContent).toBe("Rerun from here: coder");
  });

  it("that fails says why and can be tried again", async () => {
    held.kernel.answers.fork_run = () => {
      throw new Error("The budget is spent.");
    };
    await panel.show(1, "plan");
    named("Run again").click();
    await pause(50);
    expect(find(".an-fork-quote").textContent).toBe("The budget is spent.");
    expect(named("Run again").disabled).toBe(false);
  });
});
