/** Two runs side by side, pair by pair: where they part, what differs, and how a replayed answer came about. */

import type { Run } from "../../kernel/protocol";
import type { Delta } from "../../model/model";
import { descent, indent } from "../../model/run-tree";
import type { Part } from "../../model/view-state";
import { append, h, replaceChildren } from "../../ui/dom";
import { count, money, shortModel, span, when } from "../../ui/format";
import type { Bench, View } from "../../workbench/types";

interface Side {
  row: number;
  kind: string;
  agent: string;
  name: string;
  status: string;
  duration_ms: number | null;
  cost_usd: number | null;
  provenance: string;
  reason: string;
}
interface Pair {
  left: Side | null;
  right: Side | null;
  differs: string[];
}
interface Answer {
  pairs: Pair[];
  offset: number;
  total: number;
  differing: number;
  parts: number;
  unread: number;
}

const KINDS = new Set(["orchestrator", "agent", "llm", "tool"]);
const ORIGINS: Record<string, string> = {
  reused: "reused: the recorded answer, sound",
  executed: "executed: asked anew with a known request",
  inferred: "inferred: asked anew with a rebuilt request",
  stale: "stale: nothing says what would follow; not sent",
};
const WORDS: Record<string, string> = { missing: "only left", added: "only right", system_prompt: "system" };

export class CompareView implements View {
  readonly name = "compare";
  readonly element: HTMLElement;
  readonly focus: HTMLElement;
  private readonly left = h("select.an-picker", { "aria-label": "Left run" }) as HTMLSelectElement;
  private readonly right = h("select.an-picker", { "aria-label": "Right run" }) as HTMLSelectElement;
  private readonly said = h("div.an-compare-said", { role: "status" });
  private readonly list = h("div.an-pairs", { tabindex: "0", role: "list", "aria-label": "Pairs of spans" });
  private readonly only = h("input", { type: "checkbox" }) as HTMLInputElement;
  private ids: string[] = [];
  private chosen: [string, string] | null = null;
  /** The run that was on the screen when they were chosen. */
  private beside = "";
  private asked = "";
  private turn = 0;
  private shown = false;

  constructor(private readonly bench: Bench) {
    const only = h("label.an-choice-label", {}, this.only, "only what differs");
    const head = h("div.an-chat-head", {}, this.left, h("span", { "aria-hidden": "true" }, "⇄"), this.right, only);
    this.element = h("div.an-view", {}, head, this.said, this.list);
    this.focus = this.list;
    for (const one of [this.left, this.right])
      one.addEventListener("change", () => {
        this.chosen = [this.ids[Number(this.left.value)]!, this.ids[Number(this.right.value)]!];
        void this.load();
      });
    this.only.addEventListener("change", () => this.list.classList.toggle("an-only-differing", this.only.checked));
    this.list.addEventListener("keydown", (event) => this.key(event));
  }

  close(): void {
    this.turn++;
  }
  show(): void {
    this.shown = true;
    this.runs();
    void this.load();
  }
  hide(): void {
    this.shown = false;
  }
  onModelChange(delta: Delta): void {
    if (this.shown && (delta.runs || delta.reset)) {
      this.runs();
      void this.load();
    }
    this.bench.painted();
  }
  changed(part: Part): void {
    if (part === "selection") this.mark();
  }
  onThemeChange(): void {}
  fit(): void {
    this.list.scrollTop = 0;
  }

  /** What is compared unless somebody chooses: the run on the screen with its branch, its original, or the one before it. */
  private wanted(all: Run[]): [string, string] | null {
    const { model } = this.bench;
    const seen = model.shown[0] ?? "";
    if (this.beside === seen && this.chosen?.every((id) => this.ids.includes(id))) return this.chosen;
    this.beside = seen;
    const own = model.runs.get(seen);
    if (own === undefined) return null;
    const original = own.original_trace_id;
    if (original !== null && model.runs.has(original)) return [original, own.trace_id];
    const branch = all.find((run) => run.original_trace_id === own.trace_id);
    const other = branch ?? all.find((run) => run !== own && run.name === own.name) ?? all.find((run) => run !== own);
    return other === undefined ? null : [own.trace_id, other.trace_id];
  }

  private runs(): void {
    const { model } = this.bench;
    const tree = descent(model.runs.values());
    this.ids = tree.map(({ run }) => run.trace_id);
    const pair = this.wanted(tree.map(({ run }) => run));
    for (const [i, select] of [this.left, this.right].entries()) {
      replaceChildren(
        select,
        ...tree.map(({ run, depth }, n) => h("option", { value: String(n) }, indent(depth) + nameOf(run))),
      );
      select.value = String(this.ids.indexOf(pair?.[i] ?? ""));
    }
    this.chosen = pair;
  }

  private async load(): Promise<void> {
    const { model, connection } = this.bench;
    if (this.chosen === null) {
      replaceChildren(this.said);
      replaceChildren(this.list, h("p.an-wait", {}, "There is no other run to compare with yet."));
      return;
    }
    const [left, right] = this.chosen;
    const spans = (id: string): number => model.runs.get(id)?.spans ?? 0;
    const key = JSON.stringify([left, right, spans(left), spans(right), model.epoch]);
    if (key === this.asked) return;
    this.asked = key;
    const turn = ++this.turn;
    this.said.textContent = "Comparing …";
    try {
      let answer = await connection.request<Answer>("compare", { left, right, offset: 0 });
      if (turn !== this.turn) return;
      this.sayWhat(answer, left, right);
      replaceChildren(this.list);
      this.add(answer);
      while (answer.offset + answer.pairs.length < Math.min(answer.total, 4_000)) {
        answer = await connection.request<Answer>("compare", {
          left,
          right,
          offset: answer.offset + answer.pairs.length,
        });
        if (turn !== this.turn) return;
        this.add(answer);
      }
      this.list.querySelector(".an-parting")?.scrollIntoView({ block: "center" });
    } catch (error) {
      if (turn !== this.turn) return;
      this.asked = "";
      replaceChildren(this.said);
      replaceChildren(
        this.list,
        h("p.an-problem", { role: "alert" }, error instanceof Error ? error.message : String(error)),
      );
    }
  }

  private sayWhat(answer: Answer, left: string, right: string): void {
    const { model } = this.bench;
    const figure = (id: string): string => {
      const run = model.runs.get(id);
      const took = run?.start == null ? null : (run.end ?? Date.now()) - run.start;
      return `${run?.cost_usd == null ? "–" : money(run.cost_usd, run.unpriced_calls > 0)}, ${span(took)}`;
    };
    const parts =
      answer.parts < 0 ? "They do not part" : `They part at pair ${count(answer.parts + 1)} of ${count(answer.total)}`;
    const differ = `${count(answer.differing)} ${answer.differing === 1 ? "differs" : "differ"}`;
    const unread = `${count(answer.unread)} ${answer.unread === 1 ? "pair" : "pairs"}`;
    const more = answer.unread > 0 ? `; the texts of ${unread} were not read` : "";
    this.said.textContent = `${parts}; ${differ}${more}. Left ${figure(left)}; right ${figure(right)}.`;
  }

  private add(answer: Answer): void {
    for (const [i, pair] of answer.pairs.entries()) {
      const at = answer.offset + i;
      if (at === answer.parts) append(this.list, h("div.an-parting", { role: "listitem" }, "Here they part"));
      append(this.list, this.pair(pair));
    }
  }

  private pair(pair: Pair): HTMLElement {
    const same = pair.differs.length === 0;
    const differs = h("div.an-differs");
    const below = h("div.an-words", { hidden: true });
    for (const field of pair.differs) {
      const whole = pair.left !== null && pair.right !== null;
      const word = WORDS[field] ?? field.replaceAll("_", " ");
      const chip = whole
        ? h("button.an-chip", { type: "button", title: "Show how it differs", "aria-expanded": "false" }, word)
        : h("span.an-chip", {}, word);
      if (whole) chip.addEventListener("click", () => void this.words(pair, field, chip, below));
      append(differs, chip);
    }
    const line = h(
      "div.an-pair-line",
      {},
      this.side(pair.left),
      h("div.an-between", {}, same ? "=" : differs),
      this.side(pair.right),
    );
    return h(`div.an-pair${same ? ".an-same" : ""}`, { role: "listitem" }, line, below);
  }

  private side(side: Side | null): HTMLElement {
    if (side === null) return h("div.an-side.an-none", {}, "–");
    const kind = KINDS.has(side.kind) ? side.kind : "other";
    const known = side.provenance in ORIGINS ? side.provenance : "";
    const figures = [span(side.duration_ms), side.cost_usd === null ? "" : money(side.cost_usd)]
      .filter(Boolean)
      .join(" · ");
    const button = h(
      `button.an-side${known ? `.an-${known}` : ""}`,
      { type: "button", onclick: () => this.bench.peek(side.row, side.name, side.kind) },
      h(`span.an-dot.an-kind-${kind}`, { "aria-hidden": "true" }),
      h("span.an-name", {}, side.kind === "llm" ? shortModel(side.name) : side.name),
      side.status === "error" ? h("span.an-bad", {}, "failed") : null,
      known
        ? h("span.an-origin", { title: side.reason ? `${ORIGINS[known]}. ${side.reason}` : ORIGINS[known]! }, known)
        : null,
      h("span.an-size", {}, side.agent && side.kind !== "agent" ? `${side.agent} · ${figures}` : figures),
    );
    button.dataset.row = String(side.row);
    return button;
  }

  /** How one field differs, word by word. */
  private async words(pair: Pair, field: string, chip: HTMLElement, below: HTMLElement): Promise<void> {
    const open = chip.getAttribute("aria-expanded") !== "true";
    for (const other of chip.parentElement?.querySelectorAll("[aria-expanded]") ?? [])
      other.setAttribute("aria-expanded", "false");
    chip.setAttribute("aria-expanded", String(open));
    below.toggleAttribute("hidden", !open);
    if (!open) return;
    replaceChildren(below, "Reading …");
    try {
      const { connection, model } = this.bench;
      const args = { epoch: model.epoch, left: pair.left!.row, right: pair.right!.row, field };
      const { stretches } = await connection.request<{ stretches: [string, string, string][] }>("difference", args);
      replaceChildren(below);
      for (const [op, old, fresh] of stretches) {
        if (op === "equal") append(below, old.length > 300 ? `${old.slice(0, 140)} … ${old.slice(-140)}` : old);
        else append(below, old !== "" && h("del", {}, old), fresh !== "" && h("ins", {}, fresh));
      }
    } catch (error) {
      replaceChildren(below, error instanceof Error ? error.message : String(error));
    }
  }

  private mark(): void {
    const { state, model } = this.bench;
    for (const one of this.list.querySelectorAll<HTMLElement>("[data-row]")) {
      const slot = model.slotOf(Number(one.dataset.row));
      one.classList.toggle("an-chosen", slot >= 0 && state.isSelected(slot));
    }
  }
  private key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const sides = [
      ...this.list.querySelectorAll<HTMLElement>(
        ".an-pair-line > button.an-side:first-child, .an-none + .an-between + button.an-side",
      ),
    ];
    const at = sides.indexOf(document.activeElement as HTMLElement);
    sides[Math.max(0, Math.min(sides.length - 1, at + step))]?.focus();
    event.preventDefault();
    event.stopPropagation();
  }
}

function nameOf(run: Run): string {
  const name = run.name || run.trace_id;
  const origin = run.origin === "run" || run.origin === "record" ? "" : ` · ${run.origin}`;
  return `${name.length > 28 ? `${name.slice(0, 27)}…` : name} · ${when(run.start)}${origin}`;
}
