/**
 * Gives every span its place and keeps it: what is new is added, what changed is corrected, nothing else moves.
 * Only a new build (another mode, a reset of the model) places everything again.
 */

import { Status } from "../kernel/protocol";
import type { Delta, Model } from "../model/model";
import { grown } from "../model/span-columns";
import { Collapse } from "./collapse";
import { type Band, Bands, GROUP_OF_KIND } from "./lanes";
import { type LayoutColumns, type Row, rankOf } from "./row";
import { Columns, callersOf, endsOfRuns, knowsCalls, orderOfStart, originalOf, startOf, TimeScale } from "./time-scale";
import { type Bounds, type LayoutOptions, WIDTHS } from "./types";

/** A node that does not stand in its line's place: settled aside, or dragged by hand. */
interface Away {
  homeX: number;
  homeY: number;
  pinned: boolean;
}

const [YOUNG, MANY] = [60, 1_000];

export class Placement {
  /** Centre of the node, by slot. Replaced when they grow. */
  x = new Float32Array(0);
  y = new Float32Array(0);
  /** World x of the span's end; Infinity while it runs (see `endX`); equal to x in order mode. */
  x1 = new Float32Array(0);
  bounds: Bounds = { x0: 0, y0: 0, x1: 0, y1: 0 };
  now: number;
  mode: "time" | "order";
  protected readonly scale = new TimeScale();
  protected readonly columns = new Columns();
  protected readonly bands: Bands;
  readonly folds: Collapse;
  private rowOf = new Int32Array(0);
  protected away = new Map<number, Away>();
  /** By the kernel's row, so that they outlast a new snapshot; each mode has its own. */
  protected readonly pins = { time: new Map<number, [number, number]>(), order: new Map<number, [number, number]>() };
  protected readonly stale = new Set<Row>();
  private traceEnds: (number | undefined)[] = [];
  private fitted = false;
  protected value: ((slot: number) => number) | null = null;
  protected spanColumns: LayoutColumns;

  constructor(
    readonly model: Model,
    options: LayoutOptions,
  ) {
    ({ now: this.now, mode: this.mode } = options);
    this.bands = new Bands(model);
    this.folds = new Collapse(model, options.likes ?? false);
    this.spanColumns = { status: model.status, value: null, ends: this.x1 };
  }

  /** How much of its natural room a node has at zoom 1: at most 1, less in runs too long for the width. */
  get unit(): number {
    return this.mode === "time" ? this.scale.unit : this.columns.step / 76;
  }
  relayout(options: LayoutOptions): void {
    this.now = options.now;
    this.mode = options.mode;
    this.build();
  }

  update(delta: Delta): void {
    if (delta.runs) this.traceEnds = endsOfRuns(this.model);
    const fresh = this.model.size - delta.added;
    // Against so many there was nothing worth keeping its place.
    if (delta.reset || (fresh > MANY && fresh > 4 * delta.added)) this.build();
    else this.join(delta);
  }

  private join(delta: Delta): void {
    this.reserve();
    const differ = this.folds.update(delta.added, delta.changed);
    for (const slot of delta.changed) this.change(slot);
    for (const slot of differ) this.change(slot);
    for (let slot = delta.added; slot < this.model.size; slot++)
      if (this.model.alive[slot] && this.folds.hidden[slot] === 0) this.placeCalled(slot, true);
    if (!this.fitted && delta.added < this.model.size) this.fitYoung();
    if (this.bands.crowded) this.build();
    this.refresh();
    this.measure();
  }

  timeOf(x: number): number {
    return this.mode === "time" ? this.scale.time(x) : this.columns.time(x);
  }
  xOf(time: number): number {
    return this.mode === "time" ? this.scale.x(time, 0) : this.columns.x(time);
  }
  nowX(trace: number): number {
    return this.mode === "time" ? this.scale.x(this.traceEnds[trace] ?? this.now, trace) : Number.NEGATIVE_INFINITY;
  }
  /** World x where the span ends; that is now's, while it runs. */
  endX(slot: number): number {
    const end = this.x1[slot] as number;
    const x = this.x[slot] as number;
    if (end !== Number.POSITIVE_INFINITY) return Math.max(end, x);
    return Math.max(x, this.nowX(this.bands.of(slot).trace));
  }

  homeX(slot: number): number {
    return this.away.get(slot)?.homeX ?? (this.x[slot] as number);
  }
  homeY(slot: number): number {
    return this.away.get(slot)?.homeY ?? (this.y[slot] as number);
  }
  moveAside(slot: number, x: number, y: number, pinned = false): void {
    const away = this.away.get(slot);
    if (away === undefined) this.away.set(slot, { homeX: this.x[slot]!, homeY: this.y[slot]!, pinned });
    else away.pinned ||= pinned;
    this.x[slot] = x;
    this.y[slot] = y;
  }

  /** Bytes held for spans, for the memory's benchmark. */
  get bytes(): number {
    const columns = this.x.byteLength + this.y.byteLength + this.x1.byteLength + this.rowOf.byteLength;
    return this.bands.rows.reduce((sum, row) => sum + row.bytes, columns);
  }

  protected build(): void {
    const { model, bands } = this;
    bands.clear();
    this.away.clear();
    this.stale.clear();
    if (this.x.length > 2 * model.size) this.x = this.y = this.x1 = new Float32Array(0);
    if (this.rowOf.length > 2 * model.size) this.rowOf = new Int32Array(0);
    this.reserve();
    this.rowOf.fill(-1);
    this.traceEnds = endsOfRuns(this.model);
    this.folds.build();
    this.columns.clear();
    this.columns.step = 1;
    this.scale.fit(model, bands.traces());
    this.fitted = model.size > YOUNG || knowsCalls(this.model);
    const order = orderOfStart(model);
    for (let i = 0; i < model.size; i++) {
      const slot = order === null ? i : (order[i] as number);
      if (model.alive[slot] && this.folds.hidden[slot] === 0) this.placeCalled(slot, false);
    }
    if (this.mode === "order") this.spread();
    bands.stack((trace) => this.traceEnds[trace] === undefined);
    for (const row of bands.rows) {
      row.trim();
      for (let at = 0; at < row.n; at++) this.y[row.slots[at] as number] = row.y;
    }
    this.refresh();
    for (const [row, [x, y]] of this.pins[this.mode]) {
      const slot = model.slotOf(row);
      if (slot >= 0) this.moveAside(slot, x, y, true);
    }
    this.bounds = { x0: 0, y0: 0, x1: 0, y1: 0 };
    this.measure();
  }

  /** Callers before whom they call: an agent's node comes after its first call, and begins at the same time. */
  private placeCalled(slot: number, live: boolean): void {
    for (const caller of callersOf(this.model, slot, (at) => (this.rowOf[at] as number) >= 0)) this.place(caller, live);
    if ((this.rowOf[slot] as number) < 0) this.place(slot, live);
  }

  private place(slot: number, live: boolean): void {
    const { model } = this;
    const band = this.bands.of(slot);
    const kind = model.kindCode(slot);
    const group = GROUP_OF_KIND[kind] as number;
    const start = this.startOf(slot);
    if (kind === 0) band.orchestrator = true;
    if (start < band.start) band.start = start;
    if (group === 0 && (band.lines[0] as Row[]).length === 0) band.lane.slot = slot;
    const row =
      this.mode === "time" ? this.placeInTime(slot, band, group, start) : this.placeInOrder(slot, band, group, start);
    this.rowOf[slot] = row.id;
    this.stale.add(row);
    if (live) this.y[slot] = row.y;
  }

  private placeInTime(slot: number, band: Band, group: number, start: number): Row {
    const width = (WIDTHS[group] as number) * this.scale.unit;
    this.x[slot] = this.scale.x(start, band.trace);
    const x = this.x[slot] as number;
    const end = this.endOf(slot, x);
    this.x1[slot] = end;
    const row = this.bands.lineFor(band, group, x, end, width, this.spanColumns);
    row.insert(x, slot, rankOf(this.model.status[slot] as number));
    row.take(end, Math.max(end, x + width));
    return row;
  }

  private placeInOrder(slot: number, band: Band, group: number, start: number): Row {
    const { step } = this.columns;
    const row = band.lines[group]?.[0] ?? (this.bands.line(band, group, true) as Row);
    const column = (x: number): number => Math.round(x / step);
    const parent = this.model.parent[slot] as number;
    const caller = parent >= 0 ? this.bands.rows[this.rowOf[parent] as number] : undefined;
    // Who was called by another agent stands right of the call.
    const called = caller === undefined || caller.band === band.id ? -1 : column(this.homeX(parent));
    const after = Math.max(called, row.n > 0 ? column(row.lastKey) : -1);
    const original = originalOf(this.model, band.trace);
    const beside = original >= 0 && this.rowOf[original]! >= 0 ? column(this.homeX(original)) : -1;
    const to = beside < 0 ? this.columns.place(slot, start, after, this.model) : Math.max(beside, after + 1);
    const x = to * step;
    this.x[slot] = this.x1[slot] = x;
    row.insert(x, slot, rankOf(this.model.status[slot] as number));
    return row;
  }

  private change(slot: number): void {
    const { model } = this;
    const row = this.bands.rows[this.rowOf[slot] as number];
    if (!model.alive[slot] || this.folds.hidden[slot] === 1) {
      if (row !== undefined) this.leave(slot, row);
      this.away.delete(slot);
      return;
    }
    if (row === undefined) {
      this.place(slot, true);
      return;
    }
    const band = this.bands.of(slot);
    const home = this.homeX(slot);
    const group = GROUP_OF_KIND[model.kindCode(slot)] as number;
    const moved =
      this.mode === "time" && Math.fround(this.scale.x(this.startOf(slot), band.trace)) !== Math.fround(home);
    if (moved || row.band !== band.id || !(band.lines[group] as Row[]).includes(row)) {
      const away = this.away.get(slot);
      const [x, y] = [this.x[slot] as number, this.y[slot] as number];
      this.leave(slot, row);
      this.away.delete(slot);
      this.place(slot, true);
      if (away?.pinned) this.moveAside(slot, x, y, true);
      return;
    }
    if (this.mode === "time") this.x1[slot] = this.endOf(slot, home);
    row.touch(home, slot, this.spanColumns, (WIDTHS[group] as number) * this.unit);
  }

  private leave(slot: number, row: Row): void {
    row.remove(this.homeX(slot), slot);
    this.rowOf[slot] = -1;
    this.stale.add(row);
  }
  private startOf(slot: number): number {
    return startOf(this.model, slot) ?? this.scale.origins[this.bands.of(slot).trace] ?? 0;
  }
  private endOf(slot: number, x: number): number {
    const like = this.folds.likeOf(slot);
    if (this.model.status[like?.last ?? slot] === Status.running) return Number.POSITIVE_INFINITY;
    if (like !== undefined) return x + this.scale.length(like.end - this.model.start[slot]!);
    return x + this.scale.length(this.model.duration[slot] as number);
  }

  /** A young run has no median yet; the scale is chosen once more when it has, if it was far from right. */
  private fitYoung(): void {
    if (this.model.size > YOUNG) this.fitted = true;
    if (this.fitted || this.mode === "order" || !knowsCalls(this.model)) return;
    this.fitted = true;
    const before = this.scale.perMs;
    const other = new TimeScale();
    other.fit(this.model, this.bands.traces());
    if (other.perMs > 2 * before || other.perMs < before / 2) this.build();
  }
  private spread(): void {
    this.columns.fit();
    const { step } = this.columns;
    for (const row of this.bands.rows) {
      for (let at = 0; at < row.n; at++) {
        const slot = row.slots[at] as number;
        row.keys[at] = this.x[slot] = this.x1[slot] = (row.keys[at] as number) * step;
      }
    }
  }

  protected refresh(): void {
    for (const row of this.stale)
      row.refresh(this.spanColumns, (WIDTHS[GROUP_OF_KIND[row.kind] as number] as number) * this.unit);
    this.stale.clear();
  }
  private measure(): void {
    this.bands.reach(this.bounds, (trace) => this.nowX(trace));
  }

  private reserve(): void {
    const { size } = this.model;
    const slack = Math.max(64, size >>> 4);
    if (this.rowOf.length < size) {
      const before = this.rowOf.length;
      this.rowOf = grown(this.rowOf, size + slack);
      this.rowOf.fill(-1, before);
    }
    if (this.x.length < size) this.x = grown(this.x, size + 2 * slack);
    if (this.y.length < size) this.y = grown(this.y, size + 3 * slack);
    if (this.x1.length < size) this.x1 = grown(this.x1, size + 4 * slack);
    this.spanColumns = { status: this.model.status, value: this.value, ends: this.x1 };
  }
}
