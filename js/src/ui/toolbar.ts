/** What a run costs, where it is and what failed, at a glance; and the way to another run. */
import type { Connection } from "../kernel/connection";
import type { Run } from "../kernel/protocol";
import type { Model } from "../model/model";
import { descent, indent } from "../model/run-tree";
import { type Segment, segment, Tools } from "../workbench/tools";
import { EXPLAINED, TITLES, VIEWS, type ViewName } from "../workbench/types";
import { append, h, replaceChildren } from "./dom";
import { count, money, span, when } from "./format";

export interface ToolbarHandlers {
  fit(): void;
  mode(mode: "time" | "order"): void;
  view(name: ViewName): void;
  keys(): void;
  failed(error: unknown): void;
}

export class Toolbar {
  readonly element = h("div.an-toolbar", { role: "toolbar", "aria-label": "Trace graph" });
  /** Where buttons are added. */
  readonly tools = new Tools();
  private readonly picker = h("select.an-picker", { "aria-label": "Run", title: "Run" }) as HTMLSelectElement;
  private readonly live = h("span.an-live", { role: "status" });
  /** Whether the run has ended; `live` says whether the files are still followed. */
  private readonly runState = h("span.an-state", { role: "status" });
  private readonly progress = h("span.an-progress", { role: "status" });
  private readonly totals = h("div.an-totals");
  private readonly modes: Segment<"time" | "order">;
  private readonly views: Segment<ViewName>;
  private said = "";

  constructor(
    private readonly model: Model,
    private readonly connection: Connection,
    wishes: ToolbarHandlers,
  ) {
    this.views = segment("View", VIEWS, TITLES, (name, i) => `${EXPLAINED[name]} (${i + 1})`, wishes.view);
    const explained = { time: "Time from left to right", order: "Equal steps in order of start" };
    this.modes = segment(
      "What runs from left to right",
      ["time", "order"] as const,
      { time: "Time", order: "Order" },
      (name) => explained[name],
      wishes.mode,
    );
    this.tools.add({ element: this.views.element, at: "left" });
    this.tools.add({ element: this.modes.element, views: ["graph"] });
    this.tools.button("Fit", "Show the whole run (f)", wishes.fit, ["graph", "timeline"]);
    this.tools.button("?", "Keys (?)", wishes.keys).setAttribute("aria-label", "Keys");
    this.picker.addEventListener("change", () => {
      const { value } = this.picker;
      this.connection
        .request("show", { trace_id: value === "" ? null : this.order[Number(value)] })
        .catch(wishes.failed);
    });
    const head = h("div.an-head", {}, this.picker, this.runState, this.live, this.progress, this.totals);
    append(this.element, head, this.tools.element);
  }

  private order: string[] = [];

  mode(mode: "time" | "order"): void {
    this.modes.choose(mode);
  }
  view(name: ViewName): void {
    this.views.choose(name);
    this.tools.shown(name);
  }

  update(): void {
    this.runs();
    const run = this.model.runs.get(this.model.shown[0] ?? "");
    this.state(run);
    if (run === undefined) {
      replaceChildren(this.totals);
      return;
    }
    const { input_tokens, output_tokens } = run;
    const tokens = input_tokens === null && output_tokens === null ? null : (input_tokens ?? 0) + (output_tokens ?? 0);
    const cost =
      run.cost_usd === null ? (run.unpriced_calls > 0 ? "–" : "$0") : money(run.cost_usd, run.unpriced_calls > 0);
    const why =
      run.unpriced_calls > 0 ? `${run.unpriced_calls} calls have no known price` : "recomputed from tokens and prices";
    const took = run.start === null ? null : (run.end ?? Date.now()) - run.start;
    replaceChildren(
      this.totals,
      total(count(run.spans), run.spans === 1 ? "span" : "spans"),
      total(count(tokens), "tokens"),
      total(cost, "cost", why),
      total(span(took), "duration"),
      total(count(run.errors), run.errors === 1 ? "error" : "errors", "", run.errors > 0),
    );
  }

  private state(run: Run | undefined): void {
    const { link, status_ } = this.model;
    const running = run?.status === "running";
    const state = run === undefined ? "" : running ? "running" : "done";
    if (this.runState.textContent !== state) {
      this.runState.textContent = state;
      this.runState.className = `an-state an-state-${state || "none"}`;
    }
    const far = running ? run.progress : "";
    if (this.progress.textContent !== far) {
      replaceChildren(this.progress, far);
      this.progress.title = far;
    }
    const [word, kind] =
      link === "lost"
        ? ["not connected", "off"]
        : link === "saved"
          ? ["saved copy", "off"]
          : link === "connecting"
            ? ["connecting", "off"]
            : link === "waiting"
              ? ["kernel busy", "wait"]
              : status_.live
                ? ["following", "live"]
                : ["read once", "off"];
    if (word === this.said) return;
    this.said = word;
    this.live.className = `an-live an-live-${kind}`;
    replaceChildren(this.live, word);
  }

  private runs(): void {
    const tree = descent(this.model.runs.values());
    const runs = tree.map(({ run }) => run);
    const follows = this.connection.get("trace_id") === null || this.connection.get("trace_id") === undefined;
    const shown = this.model.shown[0] ?? "";
    const texts = tree.map(({ run, depth }) => indent(depth) + runText(run));
    const key = JSON.stringify([follows, shown, texts]);
    if (this.picker.dataset.key === String(hash(key))) return;
    this.picker.dataset.key = String(hash(key));
    this.order = runs.map((run) => run.trace_id);
    const option = (value: string, text: string, chosen: boolean): HTMLElement => {
      const made = h("option", { value }, text) as HTMLOptionElement;
      made.selected = chosen;
      return made;
    };
    const newest = runs.find((run) => run.trace_id === shown);
    const first = option("", follows && newest ? `Newest: ${runText(newest)}` : "Follow the newest run", follows);
    replaceChildren(
      this.picker,
      first,
      ...texts.map((text, i) => option(String(i), text, !follows && runs[i]!.trace_id === shown)),
    );
  }
}

function runText(run: Run): string {
  const name = run.name || run.trace_id;
  const short = name.length > 58 ? `${name.slice(0, 57)}…` : name;
  const state = run.status === "ok" ? "" : run.status === "error" ? " · failed" : " · running";
  const origin = run.origin === "rerun" || run.origin === "replay" ? ` · ${run.origin}` : "";
  return `${short} · ${when(run.start)}${origin}${state}`;
}

function total(value: string, name: string, title = "", bad = false): HTMLElement {
  return h(`span.an-total${bad ? ".an-bad" : ""}`, title ? { title } : {}, h("b", {}, value), ` ${name}`);
}

function hash(text: string): number {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) | 0;
  return sum;
}
