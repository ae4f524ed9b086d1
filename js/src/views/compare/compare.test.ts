// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { benchOf, type FakeBench } from "../../testing/bench";
import { type Held, modelOf, START, settled, smallRun, spanOf } from "../../testing/page";
import { figures } from "../../testing/runs";
import { EVERYTHING_NEW } from "../../workbench/types";
import { CompareView } from "./compare";

const side = (row: number, more: object = {}) => ({
  row,
  kind: "llm",
  agent: "coder",
  name: "claude-sonnet-4-20250514",
  status: "ok",
  duration_ms: 2_000,
  cost_usd: 0.02,
  provenance: "",
  reason: "",
  ...more,
});
const PAIRS = [
  { left: side(1), right: side(7), differs: [] },
  {
    left: side(3),
    right: side(8, { provenance: "executed", reason: "the prompt was changed", status: "error" }),
    differs: ["response", "system_prompt"],
  },
  { left: side(4, { kind: "tool", name: "read_file" }), right: null, differs: ["missing"] },
];

let held: Held;
let bench: FakeBench;
let view: CompareView;
let asked: Record<string, unknown>[];

async function show(runs: [string, object][], pairs = PAIRS, parts = 1): Promise<void> {
  held = await modelOf([...smallRun(), ...[6, 7, 8].map((i) => spanOf("llm", { trace: "u", start: START + i }))]);
  const { kernel } = held;
  kernel.runs = runs.map(([trace, more]) => ({ ...figures(kernel.state().values(), trace), ...more }));
  kernel.flush();
  await settled();
  kernel.answers = {
    compare: (args) => {
      asked.push(args);
      const from = Number(args.offset);
      const some = pairs.slice(from, from + 2);
      return { pairs: some, offset: from, total: pairs.length, differing: 2, parts, unread: 1 };
    },
    difference: (args) => {
      asked.push(args);
      return {
        stretches: [
          ["equal", "Say ", ""],
          ["replace", "<i>this</i>", "that"],
        ],
      };
    },
  };
  bench = benchOf(held);
  view = new CompareView(bench);
  document.body.append(view.element);
  view.onModelChange(EVERYTHING_NEW);
  view.show();
  await settled();
}
const all = (selector: string): HTMLElement[] => [...view.element.querySelectorAll<HTMLElement>(selector)];

beforeEach(() => {
  asked = [];
  Element.prototype.scrollIntoView = vi.fn();
});
afterEach(() => {
  view.close();
  held.model.close();
  document.body.replaceChildren();
});

describe("which runs are compared", () => {
  it("a run and its branch, the original on the left", async () => {
    await show([
      ["t", { name: "first", start: START }],
      ["x", { name: "other", start: START + 1 }],
      ["u", { name: "branch", start: START + 2, original_trace_id: "t", origin: "replay" }],
    ]);
    expect([asked[0]?.left, asked[0]?.right]).toEqual(["t", "u"]);
    const pickers = all("select") as HTMLSelectElement[];
    expect(pickers.map((one) => one.selectedOptions[0]?.textContent?.replace(/\d+ \w+ (\d+ )?\d\d:\d\d/, "T"))).toEqual(
      ["first · T", "└ branch · T · replay"],
    );
  });

  it("others when they are picked, and nothing twice", async () => {
    await show([
      ["t", { name: "a", start: START }],
      ["u", { name: "b", start: START + 1 }],
    ]);
    const before = asked.length;
    view.onModelChange(EVERYTHING_NEW);
    await settled();
    expect(asked.length).toBe(before);
    const [left, right] = all("select") as HTMLSelectElement[];
    [left!.value, right!.value] = [right!.value, left!.value];
    left!.dispatchEvent(new Event("change"));
    await settled();
    expect([asked.at(-1)?.left, asked.at(-1)?.right]).toEqual(["u", "t"]);
  });

  it("none where there is one run, which is said", async () => {
    await show([["t", { name: "alone", start: START }]]);
    expect(asked).toEqual([]);
    expect(all(".an-wait")[0]?.textContent).toContain("no other run");
  });
});

describe("the comparison", () => {
  const runs: [string, object][] = [
    ["t", { name: "a", start: START }],
    ["u", { name: "b", start: START + 1 }],
  ];

  it("is read in pieces, and says where the runs part and what differs", async () => {
    await show(runs);
    expect(asked.map(({ offset }) => offset)).toEqual([0, 2]);
    expect(all(".an-compare-said")[0]?.textContent).toContain("They part at pair 2 of 3; 2 differ");
    expect(all(".an-compare-said")[0]?.textContent).toContain("texts of 1 pair were not read");
    const order = [...all(".an-pairs")[0]!.children].map((one) => one.className);
    expect(order).toEqual(["an-pair an-same", "an-parting", "an-pair", "an-pair"]);
    expect(all(".an-chip").map((one) => one.textContent)).toEqual(["response", "system", "only left"]);
    expect(all(".an-none").length).toBe(1);
  });

  it("tells how a replayed answer came about, and that one failed", async () => {
    await show(runs);
    const replayed = all("button.an-executed");
    expect(replayed.length).toBe(1);
    expect(replayed[0]?.querySelector(".an-origin")?.getAttribute("title")).toMatch(
      /^executed: .*the prompt was changed$/,
    );
    expect(replayed[0]?.querySelector(".an-bad")?.textContent).toBe("failed");
  });

  it("shows word by word how a field differs, as text", async () => {
    await show(runs);
    const [chip] = all("button.an-chip");
    chip?.click();
    await settled();
    expect(asked.at(-1)).toMatchObject({ left: 3, right: 8, field: "response" });
    expect(all("del, ins").map((one) => [one.tagName, one.textContent])).toEqual([
      ["DEL", "<i>this</i>"],
      ["INS", "that"],
    ]);
    expect(view.element.querySelector("i")).toBeNull();
    expect(chip?.getAttribute("aria-expanded")).toBe("true");
    chip?.click();
    expect(all(".an-words").every((one) => one.hidden)).toBe(true);
  });

  it("shows the details of what is clicked, walks by keys, and hides what is equal", async () => {
    await show(runs);
    all("button.an-side")[3]?.click();
    expect(bench.peeked).toEqual([[8, "claude-sonnet-4-20250514", "llm"]]);
    const press = (key: string): void => {
      view.focus.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    };
    press("ArrowDown");
    press("ArrowDown");
    expect((document.activeElement as HTMLElement).dataset.row).toBe("3");
    press("ArrowUp");
    expect((document.activeElement as HTMLElement).dataset.row).toBe("1");
    const only = view.element.querySelector("input") as HTMLInputElement;
    only.click();
    expect(all(".an-only-differing").length).toBe(1);
  });

  it("of equal runs says so; of one that is gone shows the error", async () => {
    await show(runs, [PAIRS[0]!], -1);
    expect(all(".an-compare-said")[0]?.textContent).toContain("They do not part");
    held.kernel.answers.compare = () => {
      throw new Error("No such run.");
    };
    held.kernel.spans.length = 0;
    const [left] = all("select") as HTMLSelectElement[];
    left!.value = "0";
    left!.dispatchEvent(new Event("change"));
    await settled();
    expect(all("[role=alert]")[0]?.textContent).toContain("No such run.");
  });
});
