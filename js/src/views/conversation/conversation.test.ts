// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { benchOf, type FakeBench } from "../../testing/bench";
import { type Held, modelOf, START, settled, smallRun, spanOf } from "../../testing/page";
import { EVERYTHING_NEW } from "../../workbench/types";
import { agentsOf, callerOf } from "./agents";
import { ConversationView } from "./conversation";

const said = (part: string, role: string, text: string, chars = text.length) => ({
  part,
  role,
  kind: "text",
  text,
  chars,
});

let held: Held;
let bench: FakeBench;
let view: ConversationView;
let asked: Record<string, unknown>[];

/** Two agents; the coder has two calls, the first with two tools. */
async function show(answers: Record<string, (args: Record<string, unknown>) => unknown> = {}): Promise<void> {
  held = await modelOf([...smallRun(), spanOf("llm", { parent: 2, model: "gpt-5", start: START + 9_900 })]);
  held.kernel.answers = {
    conversation: (args) => {
      asked.push(args);
      const coder = args.row === 3;
      const calls = coder
        ? [
            {
              row: 3,
              said: [said("system", "system", "You write code."), said("prompt", "user", "<b>Go</b>")],
              tools: [4, 5],
              problem: null,
            },
            { row: 6, said: [said("response", "assistant", "Done.")], tools: [], problem: "its file is gone" },
          ]
        : [{ row: 1, said: [said("prompt", "user", "Plan it.")], tools: [], problem: null }];
      return { agent: coder ? "coder" : "orchestrator", calls, offset: 0, total: calls.length, next: null };
    },
    ...answers,
  };
  bench = benchOf(held);
  view = new ConversationView(bench);
  document.body.append(view.element);
  bench.state.on((part) => view.changed(part));
  view.onModelChange(EVERYTHING_NEW);
  view.show();
  await settled();
}
const all = (selector: string): HTMLElement[] => [...view.element.querySelectorAll<HTMLElement>(selector)];
const texts = (selector: string): string[] => all(selector).map((one) => one.textContent ?? "");

beforeEach(() => {
  asked = [];
  Element.prototype.scrollIntoView = vi.fn();
});
afterEach(() => {
  view.close();
  held.model.close();
  document.body.replaceChildren();
});

describe("whose conversation a span is part of", () => {
  it("is that of the call above it, and for an agent that of its first call", async () => {
    await show();
    expect([0, 1, 2, 3, 4, 5].map((slot) => callerOf(held.model, slot))).toEqual([1, 1, 3, 3, 3, 3]);
    expect(agentsOf(held.model).map(({ slot, label, calls }) => [slot, label, calls])).toEqual([
      [1, "orchestrator", 1],
      [3, "coder", 2],
    ]);
  });
});

describe("the conversation", () => {
  it("begins with the first agent, and follows what is selected", async () => {
    await show();
    expect(texts(".an-said-text")).toEqual(["Plan it."]);
    bench.select(4);
    await settled();
    expect(asked.map(({ row, offset }) => [row, offset])).toEqual([
      [1, 0],
      [3, 0],
    ]);
    expect(texts(".an-said-text")).toEqual(["You write code.", "<b>Go</b>", "Done."]);
    expect(texts(".an-found")).toEqual(["2 of 2 calls"]);
    expect(all(".an-chosen").map((one) => one.dataset.row)).toEqual(["4"]);
  });

  it("shows text as text, tools folded in with how many failed, and what could not be read", async () => {
    await show();
    bench.select(3);
    await settled();
    expect(view.element.querySelector("b")).toBeNull();
    const folded = view.element.querySelector("details") as HTMLDetailsElement;
    expect(folded.open).toBe(false);
    expect(folded.querySelector("summary")?.textContent).toBe("2 tool callsread_file, run_tests1 failed");
    expect(texts(".an-problem")).toEqual(["its file is gone"]);
  });

  it("selects a call or a tool that is clicked, and walks by the arrow keys", async () => {
    await show();
    bench.select(3);
    await settled();
    all(".an-tool")[1]?.click();
    expect(bench.state.selected).toBe(5);
    all(".an-call-head")[0]?.click();
    expect(bench.state.selected).toBe(3);
    view.focus.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    expect(bench.state.selected).toBe(6);
    view.focus.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    expect(bench.opened).toEqual([6]);
  });

  it("reads the rest of a long text in pieces when it is opened, and folds it again", async () => {
    const long = "x".repeat(2_000);
    const pieces: unknown[] = [];
    await show({
      conversation: () => ({
        agent: "orchestrator",
        calls: [{ row: 1, said: [said("prompt", "user", long.slice(0, 800), 2_000)], tools: [], problem: null }],
        offset: 0,
        total: 1,
        next: null,
      }),
      text: ({ part, offset }) => {
        pieces.push([part, offset]);
        const text = long.slice(Number(offset), Number(offset) + 700);
        const next = Number(offset) + text.length;
        return { text, next_offset: next < 2_000 ? next : null };
      },
    });
    const more = view.element.querySelector(".an-said .an-more") as HTMLButtonElement;
    expect([texts(".an-said-text")[0]?.length, more.textContent]).toEqual([702, "Show all 2,000 characters"]);
    more.click();
    await settled();
    expect(pieces).toEqual([
      ["prompt", 800],
      ["prompt", 1500],
    ]);
    expect([texts(".an-said-text")[0], more.getAttribute("aria-expanded")]).toEqual([long, "true"]);
    more.click();
    await settled();
    expect([texts(".an-said-text")[0]?.length, pieces.length]).toEqual([702, 2]);
  });

  it("asks for more calls on demand, and says when it could not", async () => {
    let fails = false;
    await show({
      conversation: ({ offset }) => {
        if (fails) throw new Error("The trace is gone.");
        asked.push({ offset });
        fails = true;
        return { agent: "o", calls: [{ row: 1, said: [], tools: [], problem: null }], offset: 0, total: 9, next: 1 };
      },
    });
    const more = view.element.querySelector("button.an-more") as HTMLButtonElement;
    expect([more.hidden, texts(".an-found")]).toEqual([false, ["1 of 9 calls"]]);
    more.click();
    await settled();
    expect(texts("[role=alert]")).toEqual(["The trace is gone."]);
    expect(all(".an-call").length).toBe(1);
  });

  it("fades calls that are not lit", async () => {
    await show();
    bench.state.search("read_file");
    bench.select(3);
    await settled();
    view.changed("light");
    const faint = all("[data-row]").filter((one) => one.classList.contains("an-faint"));
    expect(faint.map((one) => one.dataset.row)).toEqual(["3", "5", "6"]);
  });
});
