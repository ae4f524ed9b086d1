/** One line of the table in the page; made once and filled again for whatever it has to show. */

import { Status } from "../../kernel/protocol";
import type { Model } from "../../model/model";
import { h, replaceChildren } from "../../ui/dom";
import { count, money, shortModel, span } from "../../ui/format";
import { markSign, markWord } from "../../ui/span-marks";
import { type Table, titleOf } from "./tree-rows";

const KINDS = ["orchestrator", "agent", "llm", "tool", "other"] as const;

export interface Shown {
  index: number;
  selected: boolean;
  folded: boolean;
  faint: boolean;
  top: number;
}

export class Line {
  private readonly fold = h("span.an-fold", { "aria-hidden": "true" });
  private readonly dot = h("span.an-dot", { "aria-hidden": "true" });
  private readonly title = h("span.an-name");
  private readonly name = h("div.an-cell.an-cell-name", { role: "gridcell" }, this.fold, this.dot, this.title);
  private readonly kind = h("div.an-cell", { role: "gridcell" });
  private readonly duration = h("div.an-cell.an-num", { role: "gridcell" });
  private readonly tokens = h("div.an-cell.an-num", { role: "gridcell" });
  private readonly cost = h("div.an-cell.an-num", { role: "gridcell" });
  private readonly bar = h("i");
  private readonly part = h("span");
  private readonly share = h(
    "div.an-cell.an-share",
    { role: "gridcell" },
    h("span.an-bar-of", { "aria-hidden": "true" }, this.bar),
    this.part,
  );
  readonly element: HTMLElement;
  slot = -1;

  constructor(id: string) {
    const cells = [this.name, this.kind, this.duration, this.tokens, this.cost, this.share];
    this.element = h("div.an-row", { role: "row", id }, ...cells);
  }

  fill(model: Model, table: Table, shown: Shown): void {
    const slot = table.slots[shown.index]!;
    const { element } = this;
    this.slot = slot;
    const kind = KINDS[model.kindCode(slot)]!;
    const status = model.status[slot]!;
    const parent = model.firstChild[slot]! >= 0;
    const state = status === Status.error ? " an-failed" : status === Status.running ? " an-running" : "";
    element.className = `an-row${shown.selected ? " an-chosen" : ""}${shown.faint ? " an-faint" : ""}${state}`;
    element.style.transform = `translateY(${shown.top}px)`;
    const depth = table.depths[shown.index]!;
    this.name.style.paddingLeft = `${8 + Math.min(depth, 40) * 16}px`;
    this.fold.textContent = parent ? (shown.folded ? "▸" : "▾") : "";
    this.dot.className = `an-dot an-kind-${kind}`;
    const title = titleOf(model, slot);
    const mark = model.mark[slot]!;
    replaceChildren(
      this.title,
      kind === "llm" ? shortModel(title) : title,
      status === Status.error ? h("em", {}, "failed") : null,
      mark > 0
        ? h("span.an-noted", { title: `marked ${markWord(mark)}` }, `${markSign(mark)} ${markWord(mark)}`)
        : null,
    );
    this.title.title = title;
    this.kind.textContent =
      kind === "other" ? model.kind(slot) : kind === "llm" ? "LLM call" : kind === "tool" ? "tool call" : kind;
    const took = model.duration[slot]!;
    const known = status === Status.running && Number.isNaN(took) ? Date.now() - model.start[slot]! : took;
    this.duration.textContent = span(known);
    this.tokens.textContent = table.tokens[slot]! > 0 ? count(table.tokens[slot]!) : "–";
    this.cost.textContent = table.costs[slot]! > 0 ? money(table.costs[slot]!) : "–";
    const share = table.share(slot);
    this.bar.style.width = `${share * 100}%`;
    this.part.textContent =
      share === 0 ? "–" : share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
    element.setAttribute("aria-level", String(depth + 1));
    element.setAttribute("aria-rowindex", String(shown.index + 2));
    element.setAttribute("aria-selected", String(shown.selected));
    if (parent) element.setAttribute("aria-expanded", String(!shown.folded));
    else element.removeAttribute("aria-expanded");
  }

  isFold(target: EventTarget | null): boolean {
    return target === this.fold && this.fold.textContent !== "";
  }
}
