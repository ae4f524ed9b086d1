// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "../../kernel/connection";
import type { Body, Details } from "../../kernel/protocol";
import { settled } from "../../testing/page";
import { jsonTree } from "../../ui/json";
import { DetailsPanel } from "./details";

const EVIL = '<img src=x onerror="window.evil = true"><script>window.evil = true</script>';

const DETAILS: Details = {
  row: 4,
  span_id: "s4",
  trace_id: "t",
  kind: "llm",
  agent: "coder",
  name: "gpt-5",
  status: "ok",
  start: Date.UTC(2026, 9, 1, 9),
  end: Date.UTC(2026, 9, 1, 9, 0, 2),
  duration_ms: 2_190,
  provider: "openai",
  model: "gpt-5",
  input_tokens: 5_120,
  output_tokens: 611,
  cached_tokens: 4_096,
  tokens_estimated: true,
  tokens_lower_bound: false,
  usage: {},
  cost_usd: 0.0123,
  recorded_cost_usd: 0.012,
  cost_source: "genai-prices",
  finish_reason: "stop",
  error: null,
  source: "traces/a.jsonl",
  line: 14,
  depth: 3,
  note: "",
  mark: "",
  python: "traces.span('s4')",
  bodies: [],
  problems: [],
};

let answers: Record<string, (args: Record<string, unknown>) => unknown>;
let asked: { op: string; args: Record<string, unknown> }[];
let closed = 0;
let panel: DetailsPanel;

beforeEach(() => {
  asked = [];
  closed = 0;
  const connection = {
    connected: () => true,
    request: async (op: string, args: Record<string, unknown> = {}) => {
      asked.push({ op, args });
      return answers[op]!(args);
    },
  } as unknown as Connection;
  panel = new DetailsPanel(
    connection,
    () => "e1",
    () => closed++,
  );
  document.body.append(panel.element);
});
afterEach(() => document.body.replaceChildren());

async function show(more: Partial<Details> = {}): Promise<HTMLElement> {
  answers = { details: () => ({ ...DETAILS, ...more }) };
  await panel.show(4, "gpt-5", "llm");
  return panel.element;
}
function body(text: string, more: Partial<Body> = {}): Body {
  return { part: "response", label: "assistant", role: "assistant", kind: "text", text, chars: text.length, ...more };
}
function facts(element: HTMLElement): Record<string, string> {
  const names = [...element.querySelectorAll("dt")].map((dt) => dt.textContent ?? "");
  const values = [...element.querySelectorAll("dd")].map((dd) => dd.textContent ?? "");
  return Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""]));
}

describe("a note", () => {
  const field = (element: HTMLElement): HTMLTextAreaElement => element.querySelector(".an-note textarea")!;

  it("is shown, labelled, and saved by the button, by Ctrl+Enter and by choosing a mark", async () => {
    const element = await show({ note: "why twice?", mark: "question" });
    const sent: unknown[] = [];
    answers.note = (args) => sent.push(args) && {};
    const choice = element.querySelector<HTMLSelectElement>(".an-note select")!;
    expect(field(element).value).toBe("why twice?");
    expect(choice.selectedOptions[0]!.textContent).toBe("question ?");
    expect([field(element), choice].map((one) => one.getAttribute("aria-label"))).toEqual([
      "Note about this span",
      "Mark of this span",
    ]);
    const keep = element.querySelector<HTMLButtonElement>(".an-note-foot button")!;
    expect(keep.disabled).toBe(true);
    field(element).value = EVIL;
    field(element).dispatchEvent(new Event("input"));
    expect(keep.disabled).toBe(false);
    keep.click();
    await vi.waitFor(() => expect(element.querySelector(".an-note-said")!.textContent).toBe("Saved"));
    choice.selectedIndex = 2;
    choice.dispatchEvent(new Event("change"));
    field(element).value = "";
    field(element).dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", ctrlKey: true, cancelable: true }));
    await vi.waitFor(() => expect(sent.length).toBe(3));
    expect(sent).toMatchObject([
      { row: 4, note: EVIL, mark: "question" },
      { row: 4, note: EVIL, mark: "bad" },
      { row: 4, note: "", mark: "bad" },
    ]);
  });

  it("that is not kept says why, and stays to be tried again", async () => {
    const element = await show();
    answers.note = () => {
      throw new Error("the disk is full");
    };
    field(element).value = "lost?";
    field(element).dispatchEvent(new Event("input"));
    element.querySelector<HTMLButtonElement>(".an-note-foot button")!.click();
    await vi.waitFor(() => expect(element.querySelector(".an-note-said")!.textContent).toBe("the disk is full"));
    expect(field(element).value).toBe("lost?");
    expect(element.querySelector<HTMLButtonElement>(".an-note-foot button")!.disabled).toBe(false);
  });
});

describe("the details", () => {
  it("tell the facts, and leave out what is not known", async () => {
    const found = facts(await show({ finish_reason: null }));
    expect(found).toMatchObject({
      Status: "ok",
      Model: "gpt-5 (openai)",
      Duration: "2.19 s",
      Tokens: "5,120 in, 611 out, 4,096 cached (estimated)",
      Cost: "$0.012 (genai-prices); recorded $0.012",
      Source: "traces/a.jsonl, line 14",
    });
    expect(found).not.toHaveProperty("Finish reason");
  });

  it("name every billed part of the tokens, and what changes their rate", async () => {
    const usage = { cache_write_tokens: 1_024, reasoning_tokens: 500, web_searches: 2, service_tier: "<b>flex</b>" };
    const found = facts(await show({ usage, tokens_estimated: false, tokens_lower_bound: true }));
    expect(found).toMatchObject({
      Tokens: "5,120 in, ≥ 611 out, 4,096 cached, 1,024 cache write, 500 reasoning",
      "Web searches": "2",
      "Service tier": "<b>flex</b>",
    });
  });

  it("say that a price is not known, never that it cost nothing", async () => {
    expect(facts(await show({ cost_usd: null, recorded_cost_usd: null })).Cost).toBe(
      "unknown: no price for this model",
    );
    expect(facts(await show({ kind: "tool" }))).not.toHaveProperty("Cost");
  });

  it("show every text of a trace as text, wherever it comes from", async () => {
    const element = await show({
      name: EVIL,
      agent: EVIL,
      model: EVIL,
      provider: EVIL,
      kind: EVIL,
      error: EVIL,
      source: EVIL,
      span_id: EVIL,
      problems: [EVIL],
      bodies: [
        body(EVIL, { label: EVIL, role: EVIL }),
        body(JSON.stringify({ [EVIL]: [EVIL] }), { kind: "json", part: "parameters", role: null }),
      ],
    });
    expect(element.querySelectorAll("img, script, iframe, a, object, svg, style").length).toBe(0);
    expect(element.querySelector("pre")?.textContent).toBe(EVIL);
    expect(element.querySelector("h3")?.textContent).toBe(EVIL);
    for (const one of element.querySelectorAll("*"))
      for (const { name, value } of one.attributes)
        if (!["title", "aria-label"].includes(name)) expect(value).not.toContain("img");
    expect((window as unknown as { evil?: boolean }).evil).toBeUndefined();
  });

  it("are headed by the model of a call, and give the Python that fetches it", async () => {
    const element = await show({ name: "llm" });
    expect(element.querySelector("h3")?.textContent).toBe("gpt-5");
    const copied: string[] = [];
    vi.stubGlobal("navigator", { clipboard: { writeText: async (text: string) => copied.push(text) } });
    element.querySelector<HTMLElement>(".an-actions .an-copy")!.click();
    await settled();
    expect(copied).toEqual(["traces.span('s4')"]);
    vi.unstubAllGlobals();
  });

  it("offer another prompt on calls of models alone", async () => {
    expect((await show()).querySelector(".an-try-open")).not.toBeNull();
    expect((await show({ kind: "tool" })).querySelector(".an-try-open")).toBeNull();
  });

  it("show why it failed", async () => {
    const element = await show({ status: "error", error: "529: overloaded" });
    expect(element.querySelector(".an-error pre")?.textContent).toBe("529: overloaded");
    expect(element.querySelector("dd.an-bad")?.textContent).toBe("error");
  });

  it("fetch the rest of a long text when it is asked for", async () => {
    const element = await show({ bodies: [body("abc", { chars: 9 })] });
    answers.text = ({ offset }) =>
      offset === 3 ? { text: "def", next_offset: 6, chars: 9 } : { text: "ghi", next_offset: null, chars: 9 };
    const more = element.querySelector<HTMLElement>(".an-more")!;
    expect(more.textContent).toBe("Show the other 6 characters");
    more.click();
    await settled();
    expect(element.querySelector("pre")?.textContent).toBe("abcdefghi");
    expect(element.querySelector(".an-more")).toBeNull();
    expect(asked.filter(({ op }) => op === "text").map(({ args }) => args)).toEqual([
      { epoch: "e1", row: 4, part: "response", offset: 3 },
      { epoch: "e1", row: 4, part: "response", offset: 6 },
    ]);
  });

  it("show what the kernel says when it cannot answer", async () => {
    answers = {
      details: () => {
        throw new Error("The file is gone.");
      },
    };
    await panel.show(4, "gpt-5", "llm");
    expect(panel.element.querySelector("[role=alert]")?.textContent).toBe("The file is gone.");
  });

  it("of the span chosen last win, in whatever order answers come", async () => {
    const waiting: ((value: unknown) => void)[] = [];
    answers = { details: () => new Promise((answer) => waiting.push(answer)) };
    const both = [panel.show(1, "first", "llm"), panel.show(2, "second", "tool")];
    waiting[1]!({ ...DETAILS, kind: "tool", name: "second" });
    waiting[0]!({ ...DETAILS, name: "first" });
    await Promise.all(both);
    expect(panel.element.querySelector("h3")?.textContent).toBe("second");
  });

  it("close by their button, and an answer that comes later does not open them", async () => {
    let answer: (value: unknown) => void = () => {};
    answers = {
      details: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    };
    const shown = panel.show(1, "first", "llm");
    panel.element.querySelector<HTMLElement>(".an-close")!.click();
    answer(DETAILS);
    await shown;
    expect([panel.open, closed]).toEqual([false, 1]);
    expect(panel.element.querySelector("dl")).toBeNull();
  });
});

describe("JSON as a tree", () => {
  it("shows keys and values as they are", () => {
    const tree = jsonTree({ path: "a.py", lines: [1, 2], deep: { note: null, on: true }, none: {}, empty: [] });
    expect(tree.textContent).toBe(
      '{ 5 keys }path: "a.py"lines: [ 2 items ]0: 11: 2deep: { 2 keys }note: nullon: truenone: {}empty: []',
    );
  });

  it("makes long lists and deep places only as they are opened", async () => {
    const tree = jsonTree(Array.from({ length: 1_000 }, (_, i) => i)) as HTMLDetailsElement;
    expect(tree.querySelectorAll(".an-json-row").length).toBe(0);
    tree.open = true;
    tree.dispatchEvent(new Event("toggle"));
    expect(tree.querySelectorAll(".an-json-row").length).toBe(200);
    const more = tree.querySelector<HTMLElement>(".an-more")!;
    expect(more.textContent).toBe("800 more");
    more.click();
    expect(tree.querySelectorAll(".an-json-row").length).toBe(400);
  });

  it("holds out a thousand levels", () => {
    let deep: unknown = "bottom";
    for (let i = 0; i < 1_000; i++) deep = [deep];
    expect(jsonTree(deep).querySelectorAll("details").length).toBeLessThan(10);
  });

  it("keeps markup as text", () => {
    vi.stubGlobal("evil", undefined);
    const tree = jsonTree({ [EVIL]: EVIL });
    expect(tree.querySelectorAll("img, script").length).toBe(0);
    expect(tree.textContent).toContain("<img src=x");
    vi.unstubAllGlobals();
  });
});
