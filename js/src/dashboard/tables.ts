/** The two other pages: what was spent, and what was tried. */
import { append, h, replaceChildren } from "../ui/dom";
import { count, money, span, when } from "../ui/format";
import type { ListedRun, RunList } from "./runs";

interface CostRow {
  [name: string]: string | number | null;
}

const BY = ["agent", "model", "name", "kind", "phase", "run", "hour"];

export class CostsPage {
  readonly element = h("section.ad-page", { "aria-label": "Costs", hidden: true });
  private readonly table = h("div.ad-table");
  private readonly by = h("select", { "aria-label": "Group by" }) as HTMLSelectElement;
  private readonly scope = h("select", { "aria-label": "Which runs" }) as HTMLSelectElement;
  private turn = 0;

  constructor(private readonly shown: () => string) {
    for (const word of BY) append(this.by, h("option", { value: word }, word));
    append(this.scope, h("option", { value: "run" }, "this run"), h("option", { value: "all" }, "all runs"));
    for (const one of [this.by, this.scope]) one.addEventListener("change", () => void this.load());
    const again = h("button", { type: "button" }, "Read again");
    again.addEventListener("click", () => void this.load());
    append(
      this.element,
      h("header", {}, h("h2", {}, "Costs"), h("label", {}, "by ", this.by), h("label", {}, "of ", this.scope), again),
      this.table,
    );
  }

  async load(): Promise<void> {
    const turn = ++this.turn;
    const query = new URLSearchParams({ by: this.by.value });
    if (this.scope.value === "run" && this.shown()) query.set("trace_id", this.shown());
    try {
      const answer = await fetch(`/api/costs?${query.toString()}`);
      const value = (await answer.json()) as { costs?: CostRow[]; error?: { message: string } };
      if (turn !== this.turn) return;
      if (value.costs === undefined) throw new Error(value.error?.message ?? answer.statusText);
      this.draw(value.costs, this.by.value);
    } catch (error) {
      if (turn === this.turn)
        replaceChildren(
          this.table,
          h("p.ad-problem", { role: "alert" }, error instanceof Error ? error.message : String(error)),
        );
    }
  }

  private draw(rows: CostRow[], by: string): void {
    const number = (value: unknown): number | null => (typeof value === "number" ? value : null);
    const dollars = (row: CostRow): string => {
      const cost = number(row.cost_usd);
      return cost === null ? "–" : money(cost, (number(row.unpriced_calls) ?? 0) > 0);
    };
    const heads = [by, "calls", "input", "output", "cached", "cost", "share", "p50", "p95", "errors"];
    const body = rows.map((row) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, String(row[by] ?? "–")),
        h("td", {}, count(number(row.calls))),
        h("td", {}, count(number(row.input_tokens))),
        h("td", {}, count(number(row.output_tokens))),
        h("td", {}, count(number(row.cached_tokens))),
        h("td", {}, dollars(row)),
        share(number(row.share)),
        h("td", {}, span(number(row.p50_ms))),
        h("td", {}, span(number(row.p95_ms))),
        h("td", {}, count(number(row.errors))),
      ),
    );
    const head = h("tr", {}, ...heads.map((name) => h("th", { scope: "col" }, name)));
    const unpriced = rows.reduce((sum, row) => sum + (number(row.unpriced_calls) ?? 0), 0);
    replaceChildren(
      this.table,
      rows.length > 0
        ? h("table", {}, h("thead", {}, head), h("tbody", {}, ...body))
        : h("p", {}, "Nothing was spent yet."),
      unpriced > 0
        ? h(
            "p.ad-note",
            {},
            `${unpriced} ${unpriced === 1 ? "call has" : "calls have"} no known price; sums that lack them are shown as “≥”.`,
          )
        : null,
    );
  }
}

function share(value: number | null): HTMLElement {
  if (value === null) return h("td", {}, "–");
  const bar = h("span.ad-bar");
  bar.style.width = `${Math.round(Math.max(0, Math.min(1, value)) * 72)}px`;
  return h("td.ad-share", {}, bar, `${(value * 100).toFixed(1)} %`);
}

const KINDS: [string, string, string][] = [
  ["rerun", "Experiments", "Nothing was tried yet: open a call in the workbench and run it again with another prompt."],
  ["replay", "Replays", "No run was forked yet: open a call in the workbench and choose “Rerun from here”."],
];

/** Experiments and replays, each a trace of its own. */
export class TriesPage {
  readonly element = h("section.ad-page", { "aria-label": "Experiments and replays", hidden: true });
  private readonly tables = h("div.ad-table");

  constructor(
    private readonly runs: RunList,
    private readonly pick: (run: ListedRun, compare: boolean) => void,
  ) {
    append(this.element, this.tables);
  }

  draw(): void {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.at : undefined;
    const parts = KINDS.flatMap(([origin, title, none]) => {
      const found = this.runs.tries.filter((run) => run.origin === origin);
      return [h("h2", {}, title), found.length > 0 ? this.table(found) : h("p.ad-note", {}, none)];
    });
    replaceChildren(this.tables, ...parts);
    if (focused !== undefined)
      for (const one of this.tables.querySelectorAll<HTMLElement>("button"))
        if (one.dataset.at === focused) one.focus();
  }

  private table(found: ListedRun[]): HTMLElement {
    const button = (name: string, words: string, run: ListedRun, compare: boolean): HTMLElement => {
      const made = h(name, { type: "button" }, words);
      made.dataset.at = `${this.runs.tries.indexOf(run)}${compare ? "c" : "o"}`;
      made.addEventListener("click", () => this.pick(run, compare));
      return made;
    };
    const rows = found.map((run) => {
      const original = run.original_trace_id === null ? "–" : this.runs.name(run.original_trace_id);
      return h(
        "tr",
        {},
        h(
          "th",
          { scope: "row" },
          button("button.ad-link", when(run.start === null ? null : Date.parse(run.start)), run, false),
        ),
        h("td.ad-of", { title: original }, original),
        h("td", {}, count(run.llm_calls)),
        h("td", {}, run.cost_usd === null ? "–" : money(run.cost_usd, run.unpriced_calls > 0)),
        h("td", {}, span(run.duration_ms)),
        h(`td${run.status === "error" ? ".ad-bad" : ""}`, {}, run.status),
        h("td", {}, run.original_trace_id === null ? null : button("button.ad-small", "Compare", run, true)),
      );
    });
    const heads = ["started", "of the run", "calls", "cost", "took", "status"];
    const head = [...heads.map((name) => h("th", { scope: "col" }, name)), h("td", {})];
    return h("table.ad-tries", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
  }
}
