/**
 * Where each span stands, in world units (CSS px at zoom 1). No DOM, no screen.
 *
 * Time (or order) runs on x, agents lie under one another on y. A span that has its place keeps it while others come:
 * only `relayout`, a reset of the model, or a span's own change of start or agent moves it.
 *
 * Advice for the camera: zoom x and y apart (kx = k, ky = min(k, 1)). y has its natural size at 1; x may go on to
 * 1,000 and more, since a long run is a few thousand px wide at zoom 1. At kx * unit >= 1 nodes have their natural
 * room; below, draw them smaller, and far below as marks (pixels.ts).
 */
import type { Model } from "../model/model";
import { CollisionSolver } from "./collision";
import type { Lane } from "./lanes";
import { Placement } from "./placement";
import type { LayoutColumns, Row } from "./row";
import type { LayoutOptions } from "./types";

export { type Lane, ROW_HEIGHT } from "./lanes";
export { type Bounds, type LayoutOptions, WIDTHS } from "./types";

export class Layout extends Placement {
  private readonly settler = new CollisionSolver(this);

  constructor(model: Model, options: LayoutOptions) {
    super(model, options);
    this.build();
  }

  /** One band for each agent, in order of arrival; a band that ran out of room goes on in another of the same label. */
  get lanes(): readonly Lane[] {
    return this.bands.lanes;
  }
  /** All lines, from top to bottom. */
  get rows(): readonly Row[] {
    return this.bands.byY;
  }
  get columnsOfSpans(): LayoutColumns {
    return this.spanColumns;
  }

  /** World px of a millisecond, or of a column. */
  get pace(): number {
    return this.mode === "time" ? this.scale.perMs : this.columns.step;
  }

  /** Every span whose centre lies in the rectangle, or whose bar reaches into it; each once. */
  query(x0: number, y0: number, x1: number, y1: number, visit: (slot: number) => void): void {
    const { byY } = this.bands;
    const home = (row: Row, at: number): void => {
      const slot = row.slots[at] as number;
      if (this.away.size === 0 || !this.away.has(slot)) visit(slot);
    };
    for (let i = this.firstRow(y0); i < byY.length && (byY[i] as Row).y <= y1; i++) {
      const row = byY[i] as Row;
      const first = row.lowerBound(x0);
      row.summary.reaching(x0, first, this.spanColumns, (at) => home(row, at));
      for (let at = first; at < row.n && (row.keys[at] as number) <= x1; at++) home(row, at);
    }
    for (const slot of this.away.keys()) {
      const y = this.y[slot] as number;
      if (y >= y0 && y <= y1 && (this.x[slot] as number) <= x1 && this.endX(slot) >= x0) visit(slot);
    }
  }

  /** How many spans have their line's place in the rectangle, without walking over them. */
  count(x0: number, y0: number, x1: number, y1: number): number {
    const { byY } = this.bands;
    let sum = 0;
    for (let i = this.firstRow(y0); i < byY.length && (byY[i] as Row).y <= y1; i++) {
      const row = byY[i] as Row;
      sum += row.upperBound(x1) - row.lowerBound(x0);
    }
    return sum;
  }

  /** The nearest centre within `radius` (in y within `radiusY`, where the zooms differ); -1 if there is none. */
  nearest(x: number, y: number, radius: number, radiusY = radius): number {
    let best = -1;
    let least = 1;
    const look = (slot: number): void => {
      const far = ((this.x[slot]! - x) / radius) ** 2 + ((this.y[slot]! - y) / radiusY) ** 2;
      if (far <= least) {
        least = far;
        best = slot;
      }
    };
    const { byY } = this.bands;
    for (let i = this.firstRow(y - radiusY); i < byY.length && (byY[i] as Row).y <= y + radiusY; i++) {
      const row = byY[i] as Row;
      const at = row.lowerBound(x);
      for (const step of [-1, 1]) {
        let next = step < 0 ? at - 1 : at;
        while (next >= 0 && next < row.n && this.away.has(row.slots[next] as number)) next += step;
        if (next >= 0 && next < row.n) look(row.slots[next] as number);
      }
    }
    for (const slot of this.away.keys()) look(slot);
    return best;
  }

  /** What the color stands for from now on, 0 where it is unknown; null: no figure. */
  valueBy(value: ((slot: number) => number) | null): void {
    if (this.value === value) return;
    this.value = value;
    this.spanColumns = { ...this.spanColumns, value };
    for (const row of this.bands.rows) {
      row.revalue();
      this.stale.add(row);
    }
    this.refresh();
  }

  /** Folds what lies under a slot, or the run that it is part of, or opens it; false where there is nothing to fold. */
  toggleFold(slot: number): boolean {
    return this.refolded(this.folds.toggle(slot));
  }
  /** Opens all that hides a slot; false if nothing does. */
  reveal(slot: number): boolean {
    return this.refolded(this.folds.reveal(slot));
  }
  /** What is folded by hand, as rows of the kernel; runs that were opened as -1 - row. */
  get folded(): number[] {
    return this.folds.state;
  }
  set folded(rows: readonly number[]) {
    this.folds.state = rows;
    this.refolded(true);
  }
  private refolded(differs: boolean): boolean {
    if (differs) this.build();
    return differs;
  }

  /** One tick of moving colliding nodes apart; false when they rest, or when they are too many for it. */
  settle(visible: readonly number[]): boolean {
    return this.settler.tick(visible);
  }

  /** Dragged by hand: stays, also through a new snapshot. */
  pin(slot: number, x: number, y: number): void {
    this.pins[this.mode].set(this.model.row[slot] as number, [x, y]);
    this.moveAside(slot, x, y, true);
  }
  unpin(slot: number): void {
    const away = this.away.get(slot);
    this.pins[this.mode].delete(this.model.row[slot] as number);
    if (away === undefined) return;
    this.away.delete(slot);
    this.x[slot] = away.homeX;
    this.y[slot] = away.homeY;
  }
  pinned(slot: number): boolean {
    return this.away.get(slot)?.pinned ?? false;
  }

  protected override build(): void {
    super.build();
    this.settler.reset();
  }

  private firstRow(y: number): number {
    const { byY } = this.bands;
    let low = 0;
    let high = byY.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((byY[middle] as Row).y < y) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
