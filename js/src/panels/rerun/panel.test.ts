// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "../../kernel/connection";
import { entryWords, quoteWords } from "./labels";
import { RerunPanel } from "./panel";
import type { Looked, Opened, Quoted } from "./protocol";

const EVIL = "<img src=x onerror='window.evil = true'>";
const ENTRY = {
  try: 1,
  trace_id: null,
  started: 0,
  state: "running",
  changed: ["prompt"],
  answers: 1,
  failed: 0,
  model: "gpt-4o",
  cost_usd: null,
} as const;
const QUOTE = {
  calls: 1,
  cached_calls: 0,
  input_tokens: 1_200,
  output_tokens_low: 30,
  output_tokens_high: 400,
  cost_low_usd: 0.002,
  cost_high_usd: 0.05,
  seconds: 2,
  unpriced_models: [],
};
const OPENED: Opened = {
  allowed: true,
  how_to_allow: "Make the graph with allow_rerun=True.",
  provider: "openai",
  model: "gpt-4o",
  texts: { prompt: "Hi", system: "Be kind", messages: "[]", parameters: "{}", tools: "[]" },
  system_is_json: false,
  missing: [],
  response: "Hello",
  tool_calls: "",
  error: null,
  models: ["gpt-4o", "gpt-5"],
  providers: ["anthropic", "openai"],
  tries: [],
};

let asked: { op: string; args: Record<string, unknown> }[];
let opened: Opened;
let quoted: Quoted;
let looks: Looked[];
let panel: RerunPanel;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  opened = OPENED;
  quoted = { quote: QUOTE, problem: null, python: "df = anb.rerun(traces.span('s'))", left_usd: 1 };
  looks = [];
  const answers: Record<string, () => unknown> = {
    try_open: () => opened,
    try_quote: () => quoted,
    try_run: () => ({ try: 1, tries: [ENTRY] }),
    try_look: () => looks.shift(),
    try_history: () => ({ tries: [{ ...ENTRY, state: "done" }] }),
    try_stop: () => ({}),
  };
  const connection = {
    client: "c",
    connected: () => true,
    request: async (op: string, args: Record<string, unknown> = {}) => {
      asked.push({ op, args });
      const answer = answers[op];
      if (answer === undefined) throw new Error("a strict page");
      return answer();
    },
  } as unknown as Connection;
  panel = new RerunPanel(connection, () => "e");
  document.body.append(panel.element);
});
afterEach(() => {
  panel.close();
  document.body.replaceChildren();
  vi.useRealTimers();
});

const find = <T extends HTMLElement>(what: string): T => panel.element.querySelector<T>(what)!;
const last = (op: string): Record<string, unknown> | undefined => asked.filter((one) => one.op === op).at(-1)?.args;
async function show(): Promise<void> {
  await panel.show(4, "gpt-4o");
  await vi.advanceTimersByTimeAsync(400);
}
function type(text: string): void {
  const field = [...panel.element.querySelectorAll<HTMLTextAreaElement>("textarea")].find(
    (one) => !one.parentElement?.hasAttribute("hidden"),
  )!;
  field.value = text;
  field.dispatchEvent(new Event("input"));
}
function tab(name: string): void {
  [...panel.element.querySelectorAll<HTMLElement>("[role=tab]")].find((one) => one.textContent === name)!.click();
}

describe("the panel that tries a prompt", () => {
  it("works with plain text fields where the editor cannot be loaded, and says so", async () => {
    await show();
    expect(find(".an-try-note").textContent).toContain("(a strict page); these are plain text fields");
    expect(find<HTMLTextAreaElement>("textarea").value).toBe("Hi");
    expect(find(".an-try-quote").textContent).toBe(
      "1 call · ≈ 1,200 tokens in, 30 out · $0.00200 to $0.050 at most · $1.00 left",
    );
  });

  it("asks for the quote when typing pauses, and sends what was changed alone", async () => {
    await show();
    const before = asked.length;
    for (const text of ["Hi y", "Hi yo", "Hi you"]) type(text);
    await vi.advanceTimersByTimeAsync(400);
    expect(asked.slice(before).map(({ op }) => op)).toEqual(["try_quote"]);
    tab("System");
    type("");
    await vi.advanceTimersByTimeAsync(400);
    const { prompt, system, messages, parameters } = last("try_quote")!;
    expect([prompt, system, messages, parameters]).toEqual(["Hi you", "", undefined, undefined]);
    find(".an-try-back").click();
    await vi.advanceTimersByTimeAsync(400);
    expect(last("try_quote")).not.toHaveProperty("system");
  });

  it("shows the answer as it comes in, then what it was", async () => {
    await show();
    type("Hello?");
    looks = [
      { state: "running", error: null, answers: [{ place: 0, repeat: 1, offset: 0, text: "Good " }] },
      { state: "running", error: null, answers: [{ place: 0, repeat: 1, offset: 5, text: "day" }] },
      {
        state: "done",
        error: null,
        answers: [{ place: 0, repeat: 1, offset: 0, text: "Good day!", done: true, similarity: 0.5, cost_usd: 0.01 }],
      },
    ];
    await vi.advanceTimersByTimeAsync(400);
    find(".an-try-test").click();
    await vi.advanceTimersByTimeAsync(20);
    const answer = (): string | null => find(".an-try-sides pre:last-child").textContent;
    expect([answer(), find(".an-try-sides pre").textContent]).toEqual(["Good ", "Hello"]);
    await vi.advanceTimersByTimeAsync(100);
    expect(answer()).toBe("Good day");
    expect(last("try_look")!.seen).toEqual([5]);
    await vi.advanceTimersByTimeAsync(100);
    expect(answer()).toBe("Good day!");
    expect(find(".an-try-facts").textContent).toBe("50 % alike · $0.010");
    expect(find(".an-try-history").textContent).toContain("#1");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked.filter(({ op }) => op === "try_look").length).toBe(3);
  });

  it("stops a try, and looks no further once it is closed", async () => {
    await show();
    looks = Array.from({ length: 50 }, () => ({ state: "running", error: null, answers: [] }) satisfies Looked);
    find(".an-try-test").click();
    await vi.advanceTimersByTimeAsync(250);
    [...panel.element.querySelectorAll("button")].find((one) => one.textContent === "Stop")!.click();
    await vi.advanceTimersByTimeAsync(10);
    expect(last("try_stop")).toEqual({ try: 1 });
    panel.close();
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked.length).toBe(before);
  });

  it("has its button where nothing is allowed, and says how to allow it", async () => {
    opened = { ...OPENED, allowed: false };
    await show();
    expect(find<HTMLButtonElement>(".an-try-test").disabled).toBe(true);
    expect(find(".an-try-quote").textContent).toContain("Make the graph with allow_rerun=True.");
    find(".an-try-test").click();
    expect(asked.some(({ op }) => op === "try_run")).toBe(false);
  });

  it("says what stands in the way in place of the quote", async () => {
    quoted = { ...quoted, problem: "no API key for openai: OPENAI_API_KEY is not set" };
    await show();
    expect(find(".an-try-quote").textContent).toBe(quoted.problem);
    expect(find<HTMLButtonElement>(".an-try-test").disabled).toBe(true);
  });

  it("keeps what was written when it is closed and opened again", async () => {
    await show();
    type("A draft");
    panel.close();
    await show();
    expect(find<HTMLTextAreaElement>("textarea").value).toBe("A draft");
    expect(last("try_quote")!.prompt).toBe("A draft");
  });

  it("shows every text of a trace as text", async () => {
    const texts = { prompt: EVIL, system: EVIL, messages: EVIL, parameters: EVIL, tools: EVIL };
    const tries = [{ ...ENTRY, try: null, trace_id: EVIL, model: EVIL, changed: [EVIL] }];
    opened = { ...OPENED, texts, tries, response: EVIL, model: EVIL, models: [EVIL], provider: EVIL, missing: [EVIL] };
    looks = [
      {
        state: "done",
        error: EVIL,
        answers: [{ place: 0, repeat: 1, offset: 0, text: EVIL, done: true, error: EVIL }],
      },
    ];
    quoted = { ...quoted, python: EVIL };
    await panel.show(4, EVIL);
    await vi.advanceTimersByTimeAsync(500);
    expect(panel.element.querySelectorAll("img, script, iframe, a, object").length).toBe(0);
    expect(find(".an-try-sides pre:last-child").textContent).toBe(EVIL);
    for (const one of panel.element.querySelectorAll("*"))
      for (const { value } of one.attributes) expect(value).not.toContain("onerror");
    expect((window as unknown as { evil?: boolean }).evil).toBeUndefined();
  });
});

describe("what is said", () => {
  it("never takes an unknown price for nothing", () => {
    expect(quoteWords({ ...QUOTE, cost_low_usd: null, cost_high_usd: null }, 1)).toContain("price unknown");
    expect(quoteWords({ ...QUOTE, calls: 0, cached_calls: 2 }, 1)).toBe(
      "Nothing to pay: these answers are kept already.",
    );
  });

  it("tells a try by what it changed", () => {
    expect(entryWords({ ...ENTRY, changed: ["prompt", "n"], answers: 3 }, "gpt-4o")).toMatch(
      /^#1 · .* · prompt · 3 answers · running$/,
    );
    expect(entryWords({ ...ENTRY, changed: [], model: "gpt-5" }, "gpt-4o")).toContain("unchanged · gpt-5");
  });
});
