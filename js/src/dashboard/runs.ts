/** The list of runs beside the workbench: newest first, those that go on marked. */
import { append, h, replaceChildren } from "../ui/dom";
import { count, money, span, when } from "../ui/format";

export interface ListedRun {
  trace_id: string;
  name: string | null;
  origin: string;
  original_trace_id: string | null;
  status: string;
  start: string | null;
  duration_ms: number | null;
  spans: number;
  llm_calls: number;
  errors: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cost_usd: number | null;
  unpriced_calls: number;
}

const SHOWN = 200;

export class RunList {
  readonly element = h("nav.ad-runs", { "aria-label": "Runs" });
  private readonly search = h("input.ad-search", {
    type: "search",
    placeholder: "Find a run",
    "aria-label": "Find a run",
  }) as HTMLInputElement;
  private readonly follow = h("button.ad-follow", { type: "button", title: "Always show the newest run" }, "Newest");
  private readonly list = h("ul.ad-list");
  private readonly foot = h("p.ad-foot");
  private readonly all = new Map<string, ListedRun>();
  private total = 0;
  private due = 0;
  private chosen: string | null = null;
  private shown = "";

  constructor(pick: (trace: string | null) => void) {
    this.search.addEventListener("input", () => this.draw());
    this.follow.addEventListener("click", () => pick(null));
    this.list.addEventListener("click", (event) => {
      const item = (event.target as Element).closest<HTMLElement>(".ad-run");
      const at = item === null ? -1 : [...this.list.children].indexOf(item.parentElement as Element);
      if (at >= 0) pick(this.order[at]!);
    });
    append(this.element, h("div.ad-find", {}, this.search, this.follow), this.list, this.foot);
    this.later();
  }

  private order: string[] = [];

  take(runs: ListedRun[], total: number): void {
    for (const run of runs) this.all.set(run.trace_id, run);
    this.total = Math.max(total, this.all.size);
    this.later();
  }

  /** `chosen` is null while the newest is followed; `shown` is the run on the screen. */
  mark(chosen: string | null, shown: string): void {
    if (chosen === this.chosen && shown === this.shown) return;
    [this.chosen, this.shown] = [chosen, shown];
    this.later();
  }

  newest(): string {
    return this.sorted().find((run) => !isTry(run))?.trace_id ?? "";
  }

  get tries(): ListedRun[] {
    return this.sorted().filter(isTry);
  }
  name(trace: string): string {
    return this.all.get(trace)?.name || trace;
  }

  private sorted(): ListedRun[] {
    return [...this.all.values()].sort((a, b) => (b.start ?? "").localeCompare(a.start ?? ""));
  }

  private later(): void {
    if (this.due === 0)
      this.due = window.setTimeout(() => {
        this.due = 0;
        this.draw();
      }, 60);
  }

  private draw(): void {
    const word = this.search.value.trim().toLowerCase();
    const found = this.sorted().filter(
      (run) => !word || `${run.name ?? ""} ${run.trace_id}`.toLowerCase().includes(word),
    );
    const focused = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    this.follow.setAttribute("aria-pressed", String(this.chosen === null));
    this.order = found.slice(0, SHOWN).map((run) => run.trace_id);
    replaceChildren(this.list, ...found.slice(0, SHOWN).map((run) => this.item(run)));
    if (focused >= 0) (this.list.children[focused]?.firstElementChild as HTMLElement | null)?.focus();
    const left = this.total - Math.min(found.length, SHOWN);
    replaceChildren(
      this.foot,
      this.all.size === 0 ? "No run yet: waiting for the first." : left > 0 && !word ? `${count(left)} older runs` : "",
    );
  }

  private item(run: ListedRun): HTMLElement {
    const state = run.status === "running" ? "run" : run.status === "error" ? "bad" : "ok";
    const words = { run: "running", bad: "failed", ok: "done" }[state];
    const cost = run.cost_usd === null ? "" : money(run.cost_usd, run.unpriced_calls > 0);
    const tokens = (run.input_tokens ?? 0) + (run.output_tokens ?? 0);
    const facts = [
      when(run.start === null ? null : Date.parse(run.start)),
      state === "run" ? "running" : span(run.duration_ms),
      cost,
    ];
    const more = [
      `${count(run.spans)} ${run.spans === 1 ? "span" : "spans"}`,
      tokens > 0 ? `${count(tokens)} tokens` : "",
    ];
    const errors = run.errors > 0 ? `${run.errors} ${run.errors === 1 ? "error" : "errors"}` : "";
    const button = h(
      "button.ad-run",
      { type: "button", "aria-current": run.trace_id === this.shown ? "true" : "false" },
      h(`span.ad-dot.ad-is-${state}`, { role: "img", "aria-label": words }),
      h(
        "span.ad-words",
        {},
        h(
          "span.ad-first",
          {},
          h("span.ad-name", { title: run.name || run.trace_id }, run.name || run.trace_id),
          isTry(run) ? h("span.ad-try", {}, run.origin) : null,
        ),
        h("span.ad-facts", {}, facts.filter(Boolean).join(" · ")),
        h("span.ad-facts", {}, more.filter(Boolean).join(" · "), errors ? h("span.ad-bad", {}, ` · ${errors}`) : null),
      ),
    );
    return h("li", {}, button);
  }
}

export function isTry(run: ListedRun): boolean {
  return run.origin === "rerun" || run.origin === "replay";
}
