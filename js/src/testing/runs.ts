/** Makes runs shaped like real ones: agents in waves, each a sequence of model calls, each with its tool calls. */
import { NONE, type Run, Status } from "../kernel/protocol";
import type { FakeKernel, Span } from "./kernel";

/** A small generator of random numbers with a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface RunShape {
  spans: number;
  seed?: number;
  trace?: string;
  /** Milliseconds since 1970 UTC. */
  start?: number | undefined;
  /** How many agents there are, and how many of them work at a time. */
  agents?: number;
  parallel?: number;
  /** Row of the first span; parents count from there. */
  firstRow?: number;
}

const TOOLS = ["read_file", "write_file", "search", "run_tests", "list_directory", "git_diff", "fetch_page"];
const MODELS = ["claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5", "claude-opus-4-5"];
const ROLES = ["planner", "researcher", "coder", "reviewer", "tester", "writer", "data_analyst", "critic"];

/** Spans in order of their start. */
export function makeRun(shape: RunShape): Span[] {
  const { spans, seed = 1, trace = "run-1", start = Date.UTC(2026, 9, 1, 9), firstRow = 0 } = shape;
  const agents = shape.agents ?? Math.max(3, Math.min(200, Math.round(Math.sqrt(spans) / 4)));
  const parallel = Math.min(agents, shape.parallel ?? 8);
  const rnd = random(seed);
  const out: Span[] = [];
  const skewed = (median: number, spread: number): number => median * Math.exp(spread * gauss(rnd));
  const add = (span: Partial<Span> & Pick<Span, "kind" | "agent" | "name" | "start">): number => {
    const defaults = { trace, model: "", parent: null, duration: 0, cost: Number.NaN, input: NONE, output: NONE };
    out.push({ ...defaults, status: Status.ok, flags: 0, provenance: 0, ...span });
    return firstRow + out.length - 1;
  };
  const root = add({ kind: "orchestrator", agent: "orchestrator", name: "orchestrator", start });
  const perAgent = Math.max(4, Math.floor((spans - 2 * agents) / agents));
  const freeAt = new Array<number>(parallel).fill(start + 500);
  for (let a = 0; a < agents && out.length < spans; a++) {
    const worker = freeAt.indexOf(Math.min(...freeAt));
    const name =
      a < ROLES.length ? (ROLES[a] as string) : `${ROLES[a % ROLES.length]}_${Math.floor(a / ROLES.length) + 1}`;
    let time = freeAt[worker] as number;
    const plan = skewed(1_500, 0.4);
    const call = add({
      ...llm(rnd, skewed),
      kind: "llm",
      agent: "orchestrator",
      name: "plan",
      parent: root,
      start: time,
      duration: plan,
    });
    time += plan;
    const agent = add({ kind: "agent", agent: name, name, parent: call, start: time, flags: 1 });
    const left = a === agents - 1 ? spans - out.length : perAgent;
    time = work(add, rnd, skewed, name, agent, left, time);
    (out[agent - firstRow] as Span).duration = time - (out[agent - firstRow] as Span).start;
    freeAt[worker] = time + skewed(200, 0.5);
  }
  (out[0] as Span).duration = Math.max(...freeAt) - start;
  return inOrderOfStart(out, firstRow);
}

type Add = (span: Partial<Span> & Pick<Span, "kind" | "agent" | "name" | "start">) => number;
type Skewed = (median: number, spread: number) => number;

function work(
  add: Add,
  rnd: () => number,
  skewed: Skewed,
  agent: string,
  parent: number,
  spans: number,
  start: number,
): number {
  let time = start;
  for (let made = 0; made < spans; ) {
    const slow = rnd() < 0.002 ? 40 : 1;
    const duration = skewed(3_000, 0.6) * slow;
    const failed = rnd() < 0.01;
    const call = { kind: "llm", agent, name: "llm", parent, start: time, duration, status: failed ? 2 : 1 };
    const row = add({ ...llm(rnd, skewed), ...call });
    made++;
    time += duration;
    const tools = failed ? 0 : Math.min(spans - made, Math.floor(rnd() * rnd() * 6));
    const together = rnd() < 0.3;
    let end = time;
    for (let t = 0; t < tools; t++, made++) {
      const took = skewed(120, 1.2);
      const name = TOOLS[Math.floor(rnd() * TOOLS.length)] as string;
      const at = together ? time : end;
      add({ kind: "tool", agent, name, parent: row, start: at, duration: took, status: rnd() < 0.02 ? 2 : 1 });
      end = Math.max(end, at + took);
    }
    time = end + skewed(40, 0.5);
  }
  return time;
}

function llm(rnd: () => number, skewed: Skewed): Partial<Span> {
  const input = Math.round(skewed(4_000, 0.8));
  const output = Math.round(skewed(400, 0.7));
  const priced = rnd() > 0.02;
  const model = MODELS[Math.floor(rnd() * rnd() * MODELS.length)] as string;
  return { model, input, output, cost: priced ? input * 3e-6 + output * 15e-6 : Number.NaN, flags: priced ? 0 : 16 };
}

function gauss(rnd: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - rnd())) * Math.cos(2 * Math.PI * rnd());
}

function inOrderOfStart(spans: Span[], firstRow: number): Span[] {
  const order = spans.map((_, i) => i).sort((a, b) => (spans[a] as Span).start - (spans[b] as Span).start || a - b);
  const place = new Int32Array(spans.length);
  order.forEach((from, to) => {
    place[from] = to;
  });
  return order.map((from) => {
    const span = spans[from] as Span;
    return { ...span, parent: span.parent === null ? null : firstRow + (place[span.parent - firstRow] as number) };
  });
}

/** The figures of a run, as the kernel counts them. */
export function figures(spans: Iterable<Span>, trace: string, origin = "run", original: string | null = null): Run {
  const run: Run = {
    trace_id: trace,
    name: `Run ${trace}`,
    origin,
    original_trace_id: original,
    original_row: null,
    status: "ok",
    start: null,
    end: null,
    spans: 0,
    llm_calls: 0,
    tool_calls: 0,
    agents: 0,
    errors: 0,
    input_tokens: null,
    output_tokens: null,
    cost_usd: null,
    unpriced_calls: 0,
    progress: "",
    phases: [],
    marks: [],
  };
  for (const span of spans) {
    if (span.trace !== trace) continue;
    run.spans++;
    if (span.kind === "llm") run.llm_calls++;
    if (span.kind === "tool") run.tool_calls++;
    if (span.kind === "agent") run.agents++;
    if (span.status === Status.error) run.errors++;
    if (span.status === Status.running) run.status = "running";
    if (span.input !== NONE) run.input_tokens = (run.input_tokens ?? 0) + span.input;
    if (span.output !== NONE) run.output_tokens = (run.output_tokens ?? 0) + span.output;
    if (!Number.isNaN(span.cost)) run.cost_usd = (run.cost_usd ?? 0) + span.cost;
    if (span.flags & 16) run.unpriced_calls++;
    run.start = Math.min(run.start ?? span.start, span.start);
    const end = span.start + (Number.isNaN(span.duration) ? 0 : span.duration);
    run.end = Math.max(run.end ?? end, end);
  }
  if (run.status === "running") run.end = null;
  return run;
}

/** Lets a finished run happen again in a fake kernel: spans start, run and end at their times. */
export class Player {
  private readonly events: { time: number; index: number; ends: boolean }[];
  private readonly rows: (number | undefined)[];
  private next = 0;

  constructor(
    private readonly kernel: FakeKernel,
    private readonly spans: Span[],
    private readonly trace = spans[0]?.trace ?? "",
  ) {
    this.rows = new Array(spans.length);
    this.events = spans.flatMap((span, index) => [
      { time: span.start, index, ends: false },
      { time: span.start + span.duration, index, ends: true },
    ]);
    this.events.sort((a, b) => a.time - b.time || Number(a.ends) - Number(b.ends) || a.index - b.index);
  }

  get over(): boolean {
    return this.next >= this.events.length;
  }
  /** When the next event happens, in milliseconds since 1970. */
  get nextTime(): number {
    return this.events[this.next]?.time ?? Number.POSITIVE_INFINITY;
  }

  /** Plays up to `time` and sends one message. */
  until(time: number): void {
    if (this.nextTime > time) return;
    for (; this.next < this.events.length; this.next++) {
      const event = this.events[this.next] as (typeof this.events)[number];
      if (event.time > time) break;
      this.play(event.index, event.ends);
    }
    this.kernel.runs = [
      ...this.kernel.runs.filter((run) => run.trace_id !== this.trace),
      figures([...this.kernel.state().values()], this.trace),
    ];
    this.kernel.flush();
  }

  private play(index: number, ends: boolean): void {
    const span = this.spans[index] as Span;
    const parent = span.parent === null ? null : (this.rows[span.parent] ?? null);
    const running = { ...span, parent, duration: Number.NaN, cost: Number.NaN, input: NONE, output: NONE, status: 0 };
    this.rows[index] = this.kernel.put(ends ? { ...span, parent } : running, this.rows[index]);
  }
}
