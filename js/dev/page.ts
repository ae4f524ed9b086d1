/** The view without a kernel, for looking at it while working on it: `?spans=300&dark&live&select=12`. */
import { Model } from "../src/model/model";
import { FakeKernel } from "../src/testing/kernel";
import { figures, makeRun, Player } from "../src/testing/runs";
import { MARKS, markWord } from "../src/ui/span-marks";
import { mountView } from "../src/workbench/mount";

const query = new URLSearchParams(location.search);
const spans = Number(query.get("spans") ?? 30);
if (query.has("dark")) document.body.dataset.jpThemeLight = "false";
else document.body.dataset.jpThemeLight = "true";
if (query.has("dark")) document.body.style.background = "#111";
const kernel = new FakeKernel();
kernel.setTrait("height", Number(query.get("height") ?? 560));
kernel.setTrait("x_axis", query.get("layout") ?? "time");
kernel.setTrait("_selected_row", Number(query.get("select") ?? -1));
for (const name of ["color", "size"]) if (query.has(name)) kernel.setTrait(name, query.get(name));
if (query.has("view")) kernel.setTrait("view", query.get("view"));
if (query.has("folded")) kernel.setTrait("_folded", JSON.parse(query.get("folded") ?? "[]"));
const text = "The cache must be invalidated on every write, else the billing page shows yesterday's totals.";
kernel.details = (row) => {
  const span = kernel.spans[row]!;
  return {
    row,
    note: "",
    ...(notes.get(row) ?? { mark: markWord(span.mark) }),
    span_id: `span-${row}`,
    trace_id: span.trace,
    kind: span.kind,
    agent: span.agent,
    name: span.name,
    status: ["running", "ok", "error"][span.status],
    start: span.start,
    end: span.start + span.duration,
    duration_ms: span.duration,
    provider: "anthropic",
    model: span.model || null,
    input_tokens: 5120,
    output_tokens: 611,
    cached_tokens: 4096,
    tokens_estimated: false,
    tokens_lower_bound: false,
    cost_usd: 0.0123,
    usage: {},
    recorded_cost_usd: 0.012,
    cost_source: "genai-prices 0.2.3",
    finish_reason: "stop",
    error: span.status === 2 ? "Error code: 529 - the model is overloaded" : null,
    source: "traces/module_api_20261123_011802.jsonl",
    line: 14,
    depth: 3,
    problems: [],
    bodies: [
      {
        part: "system",
        label: "system",
        role: "system",
        kind: "text",
        text: `You are a specialist agent. ${text.repeat(20)}`,
        chars: 2000,
      },
      { part: "messages.0", label: "user", role: "user", kind: "text", text, chars: text.length },
      {
        part: "parameters",
        label: "parameters",
        role: null,
        kind: "json",
        text: JSON.stringify({ path: "src/api/cache.py", lines: [1, 2, 3], options: { deep: true, note: null } }),
        chars: 90,
      },
      {
        part: "response",
        label: "assistant",
        role: "assistant",
        kind: "text",
        text: "I shall add a cache layer with a TTL and cover it with tests.",
        chars: 60,
      },
    ],
  };
};
const run =
  spans > 0
    ? makeRun({
        spans,
        trace: "Add a cache layer to all modules",
        start: query.has("live") ? Date.now() - 8000 : undefined,
      })
    : [];
// a call that reads many files one after another: they fold into one
const caller = run.findIndex((span) => span.kind === "llm" && span.agent === "coder");
for (let i = 0; i < Number(query.get("likes") ?? 0) && caller >= 0; i++) {
  const { start, duration, agent, trace } = run[caller] as (typeof run)[number];
  const [tool] = run.filter((span) => span.kind === "tool");
  const at = { start: start + duration + i * 90, duration: 80, parent: caller, status: 1 };
  run.push({ ...(tool as (typeof run)[number]), agent, trace, name: "read_file", ...at });
}
// a replay beside its original: what was reused, executed, guessed and is out of date
const branch = query.has("branch")
  ? run.map((span, i) => ({
      ...span,
      trace: "replay",
      start: span.start + 500,
      provenance: i < run.length * 0.35 ? 1 : i < run.length * 0.6 ? 2 : i < run.length * 0.85 ? 3 : 4,
    }))
  : [];
// notes and marks, as the kernel would keep them
const notes = new Map<number, { note: string; mark: string }>();
if (query.has("marks")) for (const [i, span] of run.entries()) if (i % 5 === 1) span.mark = 1 + ((i / 5) & 3);
kernel.answers.note = (args) => {
  const row = Number(args.row);
  notes.set(row, { note: String(args.note), mark: String(args.mark) });
  const mark = 1 + MARKS.indexOf(String(args.mark) as (typeof MARKS)[number]);
  kernel.put({ ...(kernel.spans[row] as (typeof run)[number]), mark }, row);
  setTimeout(() => kernel.flush(), 1);
  return notes.get(row);
};
// one call tried again an hour later: answers that arrive one after another
const tried = query.has("tried")
  ? run.findIndex((span, i) => span.kind === "llm" && span.agent !== "orchestrator" && i > 8)
  : -1;
const answers = Array.from({ length: tried < 0 ? 0 : Number(query.get("tried") || 3) }, (_, i) => ({
  ...(run[tried] as (typeof run)[number]),
  trace: "sweep",
  parent: null,
  start: (run[tried] as (typeof run)[number]).start + 3.6e6 + i * 400,
  status: 1,
}));
kernel.answers.conversation = (args) => {
  const asked = kernel.spans[Number(args.row)] as (typeof run)[number];
  const calls = run.flatMap((span, row) => (span.kind === "llm" && span.agent === asked.agent ? [row] : []));
  const offset = Number(args.offset);
  const said = (part: string, role: string, words: string) => ({
    part,
    role,
    kind: "text",
    text: words,
    chars: words.length,
  });
  const shown = calls.slice(offset, offset + 12).map((row, i) => ({
    row,
    said: [
      ...(offset + i === 0 ? [said("system", "system", `You are a specialist agent. ${text.repeat(4)}`)] : []),
      said(`messages/${i}`, i % 2 ? "tool" : "user", i % 2 ? "exit code 0, 14 passed" : text),
      said(
        "response",
        "assistant",
        `I shall add a cache layer with a TTL and cover it with tests. ${text.repeat(i % 3)}`,
      ),
    ],
    tools: run.flatMap((span, at) => (span.parent === row && span.kind === "tool" ? [at] : [])),
    problem: null,
  }));
  const end = offset + shown.length;
  return { agent: asked.agent, calls: shown, offset, total: calls.length, next: end < calls.length ? end : null };
};
kernel.answers.compare = () => {
  const side = (row: number, provenance: string) => {
    const span = run[row] as (typeof run)[number];
    const name = span.kind === "llm" ? span.model : span.name;
    const status = ["running", "ok", "error"][span.status];
    return {
      row,
      kind: span.kind,
      agent: span.agent,
      name,
      status,
      duration_ms: span.duration,
      cost_usd: span.kind === "llm" ? 0.012 : null,
      provenance,
      reason: "",
    };
  };
  const origins = ["reused", "reused", "reused", "reused", "executed", "inferred", "stale"];
  const pairs = run.slice(0, 40).map((_, row) => ({
    left: row === 7 ? null : side(row, ""),
    right: row === 9 ? null : side(row, origins[Math.min(row, 6)] as string),
    differs:
      row === 7
        ? ["added"]
        : row === 9
          ? ["missing"]
          : row < 4
            ? []
            : row % 3 === 0
              ? ["messages", "response"]
              : row % 3 === 1
                ? ["response"]
                : [],
  }));
  return {
    pairs,
    offset: 0,
    total: pairs.length,
    differing: pairs.filter((pair) => pair.differs.length).length,
    parts: 4,
    unread: 0,
  };
};
kernel.answers.difference = () => ({
  stretches: [
    ["equal", "I shall add a cache ", ""],
    ["replace", "layer with a TTL", "that is written through"],
    ["equal", " and cover it with tests.", ""],
  ],
});
kernel.show([
  "Add a cache layer to all modules",
  ...(branch.length > 0 ? ["replay"] : []),
  ...(tried < 0 ? [] : ["sweep"]),
]);
const root = document.getElementById("cell") as HTMLElement;
const connection = kernel.connect();
const model = new Model(connection);
if (query.has("live")) {
  const player = new Player(kernel, run);
  const tick = (): void => {
    player.until(Date.now());
    if (!player.over) setTimeout(tick, 60);
  };
  tick();
} else {
  for (const span of run) kernel.put(span);
  for (const span of branch) kernel.put({ ...span, parent: span.parent === null ? null : span.parent + run.length });
  if (run.length > 0) kernel.runs = [figures(run, "Add a cache layer to all modules")];
  if (branch.length > 0) kernel.runs.push(figures(branch, "replay", "replay", "Add a cache layer to all modules"));
  for (const span of answers) kernel.put(span);
  if (tried >= 0) {
    const sweep = figures(answers, "sweep", "rerun", run[0]!.trace);
    kernel.runs.push({ ...sweep, name: "3 prompts", end: answers[0]!.start + 60_000, original_row: tried });
  }
  if (query.has("branch")) {
    const [first] = kernel.runs as (typeof kernel.runs)[number][];
    kernel.runs = [
      first!,
      {
        ...first!,
        trace_id: "branch",
        name: "Replay: shorter prompt",
        origin: "replay",
        original_trace_id: first!.trace_id,
      },
    ];
  }
  if (query.has("phases")) {
    const { start, end } = kernel.runs[0] as { start: number; end: number };
    const at = (share: number): number => start + (end - start) * share;
    kernel.runs = kernel.runs.map((one) => ({
      ...one,
      phases: [
        { name: "plan", start: at(0), end: at(0.08), status: "ok" as const },
        { name: "implement modules", start: at(0.08), end: at(0.7), status: "ok" as const },
        { name: "review", start: at(0.7), end: at(0.85), status: "error" as const },
        { name: "integrate", start: at(0.85), end: null, status: "running" as const },
      ],
      marks: [0.08, 0.36, 0.7].map((share, i) => ({ name: `checkpoint ${i + 1}`, time: at(share) })),
    }));
  }
  if (query.has("sentence"))
    kernel.status = { ...kernel.status, sentence: "3 lines could not be read in full: see problems_df()", problems: 3 };
  kernel.flush();
}
const shadow = query.has("shadow") ? root.attachShadow({ mode: "open" }) : null;
const inner = document.createElement("div");
if (shadow !== null) {
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: "style.css" });
  document.querySelector("link")?.remove();
  shadow.append(style, inner);
}
const over = new AbortController();
const start = (): void => void mountView(shadow === null ? root : inner, model, connection, over.signal);
// `?wait`: whoever watches the page starts and ends the view
if (query.has("wait")) Object.assign(window, { start, end: () => over.abort() });
else start();
Object.assign(window, { kernel, model, connection, makeRun, figures });
