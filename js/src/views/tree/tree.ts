/** The tree with figures: a table of which only the lines in sight are in the page, whatever its length. */

import { emptyMessage } from "../../canvas/status-text";
import type { Delta } from "../../model/model";
import type { Part } from "../../model/view-state";
import { h } from "../../ui/dom";
import type { Bench, View } from "../../workbench/types";
import { Line } from "./row-element";
import { COLUMNS, type Column, Table } from "./tree-rows";

const HIGH = 26;
/** Pages have a largest height: beyond it the scroll bar stands for more lines than it has px. */
const TALLEST = 12_000_000;
const FRESH_MS = 700;
const TITLES: Record<Column, string> = {
  name: "Name",
  kind: "Kind",
  duration: "Duration",
  tokens: "Tokens",
  cost: "Cost",
  share: "Share",
};
let trees = 0;

export class TreeView implements View {
  readonly name = "tree";
  readonly focus: HTMLElement;
  readonly element: HTMLElement;
  private readonly head = h("div.an-row.an-row-head", { role: "row", "aria-rowindex": "1" });
  private readonly space = h("div.an-space", { role: "rowgroup" });
  private readonly scroller: HTMLElement;
  private readonly empty = h("div.an-empty");
  private readonly lines: Line[] = [];
  private readonly table: Table;
  private readonly id = `an-tree-${++trees}`;
  private readonly undo: (() => void)[] = [];
  private by: Column | null = null;
  private down = true;
  private shown = false;
  private asked = 0;
  private builtAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly bench: Bench) {
    this.table = new Table(bench.model);
    for (const column of COLUMNS) this.head.append(this.heading(column));
    const labels = { role: "treegrid", tabindex: "0", "aria-label": "Spans with figures" };
    this.scroller = h("div.an-tree", labels, h("div.an-tree-head", { role: "rowgroup" }, this.head), this.space);
    this.focus = this.scroller;
    this.element = h("div.an-view", {}, this.scroller, this.empty);
    const paint = (): void => this.paint();
    this.scroller.addEventListener("scroll", paint, { passive: true });
    this.scroller.addEventListener("keydown", (event) => this.key(event));
    this.space.addEventListener("click", (event) => this.click(event));
    this.space.addEventListener("dblclick", (event) => this.toggle(this.lineOf(event)?.slot ?? -1));
    const sizes = new ResizeObserver(paint);
    sizes.observe(this.scroller);
    this.undo.push(
      () => sizes.disconnect(),
      bench.connection.onTrait("_folded", () => this.rebuild()),
    );
  }

  close(): void {
    for (const off of this.undo.splice(0)) off();
    clearTimeout(this.timer);
    cancelAnimationFrame(this.asked);
  }
  show(): void {
    this.shown = true;
    this.rebuild();
    this.reveal();
  }
  hide(): void {
    this.shown = false;
  }
  onModelChange(delta: Delta): void {
    this.empty.textContent = emptyMessage(this.bench.model);
    if (delta.added === this.bench.model.size && delta.changed.length === 0 && !delta.reset) return;
    const wait = this.bench.model.size < 20_000 ? 0 : FRESH_MS - (performance.now() - this.builtAt);
    if (wait <= 0 || delta.reset) this.rebuild();
    else this.timer ??= setTimeout(() => this.rebuild(), wait);
  }
  changed(part: Part): void {
    if (part === "light") this.rebuild();
    else if (part === "selection") this.reveal();
  }
  onThemeChange(): void {}
  fit(): void {
    this.scroller.scrollTop = 0;
  }

  private heading(column: Column): HTMLElement {
    const button = h("button", { type: "button", onclick: () => this.sort(column) }, TITLES[column]);
    const wide = column === "name" || column === "kind" ? "" : ".an-num";
    return h(`div.an-cell${wide}`, { role: "columnheader", "aria-sort": "none" }, button);
  }
  private sort(column: Column): void {
    if (this.by === column && !this.down) this.by = null;
    else {
      this.down = this.by === column ? !this.down : true;
      this.by = column;
    }
    for (const [i, one] of COLUMNS.entries()) {
      const state = one !== this.by ? "none" : this.down ? "descending" : "ascending";
      this.head.children[i]!.setAttribute("aria-sort", state);
    }
    this.rebuild();
  }

  private folded(): Set<number> {
    const rows = this.bench.connection.get("_folded");
    return new Set(
      Array.isArray(rows) ? rows.filter((row): row is number => Number.isSafeInteger(row) && row >= 0) : [],
    );
  }
  private toggle(slot: number): void {
    const { model, connection } = this.bench;
    if (slot < 0 || model.firstChild[slot]! < 0) return;
    const rows = connection.get("_folded");
    const all = new Set<number>(Array.isArray(rows) ? (rows as number[]) : []);
    const row = model.row[slot]!;
    if (!all.delete(row)) all.add(row);
    connection.set(
      "_folded",
      [...all].sort((a, b) => a - b),
    );
  }

  private rebuild(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (!this.shown) return;
    this.table.build(this.folded(), this.bench.state.kept, this.by, this.down);
    this.builtAt = performance.now();
    this.scroller.setAttribute("aria-rowcount", String(this.table.n + 1));
    this.space.style.height = `${Math.min(this.table.n * HIGH, TALLEST)}px`;
    this.fill();
  }
  /** How many px of the table one px of the scroll bar stands for. */
  private get ratio(): number {
    const [all, box] = [this.table.n * HIGH, this.scroller.clientHeight - HIGH];
    return all > TALLEST ? (all - box) / (TALLEST - box) : 1;
  }
  private paint(): void {
    if (this.asked !== 0 || !this.shown) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.fill();
    });
  }

  private fill(): void {
    const { bench, table, scroller } = this;
    if (!this.shown) return;
    const { scrollTop } = scroller;
    const top = scrollTop * this.ratio;
    const first = Math.max(0, Math.floor(top / HIGH) - 2);
    const wanted = Math.min(table.n - first, Math.ceil(scroller.clientHeight / HIGH) + 4);
    const { state, model } = bench;
    const folded = this.folded();
    while (this.lines.length < wanted) {
      const line = new Line(`${this.id}-${this.lines.length}`);
      this.lines.push(line);
      this.space.append(line.element);
    }
    let active = "";
    for (const [i, line] of this.lines.entries()) {
      line.element.toggleAttribute("hidden", i >= wanted);
      if (i >= wanted) {
        line.slot = -1;
        continue;
      }
      const index = first + i;
      const slot = table.slots[index]!;
      const selected = state.isSelected(slot);
      if (slot === state.selected) active = line.element.id;
      const shown = { index, selected, folded: folded.has(model.row[slot]!), faint: state.lit?.[slot] === 0 };
      line.fill(model, table, { ...shown, top: index * HIGH - top + scrollTop });
    }
    if (active === "") scroller.removeAttribute("aria-activedescendant");
    else scroller.setAttribute("aria-activedescendant", active);
    bench.painted();
  }

  private reveal(): void {
    const index = this.table.indexOf(this.bench.state.selected);
    if (index >= 0) this.scrollTo(index);
    this.fill();
  }
  private scrollTo(index: number): void {
    const { scroller, ratio } = this;
    const box = scroller.clientHeight - HIGH;
    const top = scroller.scrollTop * ratio;
    if (index * HIGH < top) scroller.scrollTop = (index * HIGH) / ratio;
    else if ((index + 1) * HIGH > top + box) scroller.scrollTop = ((index + 1) * HIGH - box) / ratio;
  }

  private lineOf(event: Event): Line | undefined {
    const row = (event.target as HTMLElement | null)?.closest?.(".an-row");
    return this.lines.find((line) => line.element === row);
  }
  private click(event: Event): void {
    const line = this.lineOf(event);
    if (line === undefined || line.slot < 0) return;
    if (line.isFold(event.target)) this.toggle(line.slot);
    else this.bench.select(line.slot);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.scroller) return;
    const { table } = this;
    const { state, model } = this.bench;
    const slot = state.selected;
    const at = table.indexOf(slot);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / HIGH) - 2);
    const to = (index: number): void => {
      if (table.n > 0) this.bench.select(table.slots[Math.max(0, Math.min(table.n - 1, index))]!);
    };
    const folded = slot >= 0 && this.folded().has(model.row[slot]!);
    const parent = slot >= 0 && model.firstChild[slot]! >= 0;
    const does: Record<string, () => void> = {
      ArrowDown: () => to(at + 1),
      ArrowUp: () => to(at < 0 ? 0 : at - 1),
      PageDown: () => to(at + page),
      PageUp: () => to(at - page),
      Home: () => to(0),
      End: () => to(table.n - 1),
      ArrowRight: () => (parent && folded ? this.toggle(slot) : to(parent ? at + 1 : at)),
      ArrowLeft: () => {
        if (parent && !folded) this.toggle(slot);
        else if (slot >= 0 && model.parent[slot]! >= 0) this.bench.select(model.parent[slot]!);
      },
      Enter: () => this.bench.open(),
      " ": () => this.toggle(slot),
    };
    if (does[event.key] === undefined) return;
    does[event.key]!();
    event.preventDefault();
    event.stopPropagation();
  }
}
