// @vitest-environment jsdom
import { afterEach, describe, expect, it, vi } from "vitest";
import { NONE } from "../kernel/protocol";
import { add, type Held, modelOf, START, smallRun, spanOf } from "../testing/page";
import { figures } from "../testing/runs";
import { VIEWS } from "../workbench/types";
import { Toolbar, type ToolbarHandlers } from "./toolbar";

let held: Held;
afterEach(() => held.model.close());

async function toolbar(spans = smallRun(), wishes: Partial<ToolbarHandlers> = {}): Promise<Toolbar> {
  held = await modelOf(spans);
  const none = { fit: () => {}, mode: () => {}, view: () => {}, keys: () => {}, failed: () => {} };
  const bar = new Toolbar(held.model, held.connection, { ...none, ...wishes });
  bar.update();
  return bar;
}
const totals = (bar: Toolbar): string[] =>
  [...bar.element.querySelectorAll(".an-total")].map((one) => one.textContent ?? "");
const options = (bar: Toolbar): string[] => [...bar.element.querySelectorAll("option")].map((one) => one.text);

describe("the toolbar", () => {
  it("sums up the run", async () => {
    expect(totals(await toolbar())).toEqual(["6 spans", "1,240 tokens", "$0.020 cost", "12.0 s duration", "1 error"]);
  });

  it("says at least where a call has no known price, and why", async () => {
    const bar = await toolbar([...smallRun(), spanOf("llm", { parent: 2, flags: 16 })]);
    expect(totals(bar)[2]).toBe("≥ $0.020 cost");
    expect(bar.element.querySelector("[title*='no known price']")).not.toBeNull();
  });

  it("claims no cost where no call is priced", async () => {
    expect(totals(await toolbar([spanOf("llm", { flags: 16 })]))[2]).toBe("– cost");
    expect(totals(await toolbar([spanOf("tool")]))[2]).toBe("$0 cost");
  });

  it("marks errors, and only then", async () => {
    expect((await toolbar()).element.querySelector(".an-bad")?.textContent).toBe("1 error");
    expect((await toolbar([spanOf("tool")])).element.querySelector(".an-bad")).toBeNull();
  });

  it("tells whether it is live, and whether the run runs", async () => {
    const bar = await toolbar();
    expect(bar.element.querySelector(".an-state")?.textContent).toBe("done");
    expect(bar.element.querySelector(".an-live")?.textContent).toBe("following");
    await add(held.kernel, [spanOf("tool", { status: 0, duration: Number.NaN })]);
    bar.update();
    expect(bar.element.querySelector(".an-state")?.textContent).toBe("running");
    expect(bar.element.querySelector(".an-live")?.textContent).toBe("following");
    held.connection.setConnected(false);
    bar.update();
    expect(bar.element.querySelector(".an-live")?.textContent).toBe("not connected");
  });

  it("says how far a run is as long as it runs, and follows", async () => {
    const bar = await toolbar([...smallRun(), spanOf("tool", { status: 0, duration: Number.NaN })]);
    const said = (): string | null | undefined => bar.element.querySelector(".an-progress")?.textContent;
    expect(said()).toBe("");
    const [run] = held.kernel.runs;
    for (const progress of ["phase 1 of 2, 3 of 4 subtasks", "phase 2 of 2, 3 of 4 subtasks", "<b>x</b>"]) {
      held.kernel.runs = [{ ...run!, status: "running", progress }];
      held.kernel.flush();
      await Promise.resolve();
      bar.update();
      expect(said()).toBe(progress);
    }
    held.kernel.runs = [{ ...run!, status: "ok", progress: "completed, 2 of 2 phases" }];
    held.kernel.flush();
    await Promise.resolve();
    bar.update();
    expect(said()).toBe("");
  });

  it("does not call unknown tokens none", async () => {
    expect(totals(await toolbar([spanOf("tool", { input: NONE, output: NONE })]))[1]).toBe("– tokens");
  });

  it("lists the runs, newest first, and asks the kernel for the one that is picked", async () => {
    const bar = await toolbar();
    const other = { ...figures(smallRun(), "t"), trace_id: "<b>old</b>", name: "<b>old</b>", start: START - 3_600_000 };
    held.kernel.runs = [...held.kernel.runs, other];
    held.kernel.flush();
    await Promise.resolve();
    bar.update();
    const texts = options(bar);
    expect(texts.length).toBe(3);
    expect(texts[0]).toMatch(/^Newest: Run t/);
    expect(texts[2]).toMatch(/^<b>old<\/b>/);
    expect(bar.element.querySelector("b b")).toBeNull();
    const picker = bar.element.querySelector("select")!;
    picker.value = "1";
    picker.dispatchEvent(new Event("change"));
    await new Promise((wake) => setTimeout(wake, 0));
    expect(held.kernel.traits.get("trace_id")).toBe("<b>old</b>");
    bar.update();
    expect(options(bar)[0]).toBe("Follow the newest run");
    picker.value = "";
    picker.dispatchEvent(new Event("change"));
    await new Promise((wake) => setTimeout(wake, 0));
    expect(held.kernel.traits.get("trace_id")).toBeNull();
  });

  it("does not rebuild the list of runs, which may be open, while nothing in it changes", async () => {
    const bar = await toolbar();
    const first = bar.element.querySelector("option");
    bar.update();
    expect(bar.element.querySelector("option")).toBe(first);
  });

  it("passes on what its buttons wish", async () => {
    const wishes = { fit: vi.fn(), mode: vi.fn(), view: vi.fn(), keys: vi.fn() };
    const bar = await toolbar(smallRun(), wishes);
    for (const button of bar.element.querySelectorAll("button")) button.click();
    expect(wishes.mode.mock.calls).toEqual([["time"], ["order"]]);
    expect(wishes.view.mock.calls).toEqual(VIEWS.map((name) => [name]));
    expect([wishes.fit.mock.calls.length, wishes.keys.mock.calls.length]).toEqual([1, 1]);
    bar.mode("order");
    bar.view("graph");
    const pressed = [...bar.element.querySelectorAll("[aria-pressed=true]")].map((one) => one.textContent);
    expect(pressed).toEqual(["Graph", "Order"]);
  });

  it("is empty and whole without a run", async () => {
    held = await modelOf([]);
    held.model.runs.clear();
    const none = { fit: () => {}, mode: () => {}, view: () => {}, keys: () => {}, failed: () => {} };
    const bar = new Toolbar(held.model, held.connection, none);
    bar.update();
    expect([options(bar), totals(bar)]).toEqual([["Follow the newest run"], []]);
  });
});
