/** One line of nodes: sorted by x, with a summary over its blocks. */

import { BITS, BlockIndex } from "./block-index";
import type { KeptMarks } from "./pixel-marks";

export interface LayoutColumns {
  readonly status: Uint8Array;
  /** What the color stands for, where it is a figure: the dearest span of a pixel shows. */
  readonly value: ((slot: number) => number) | null;
  readonly ends: Float32Array;
}

const RANK = [1, 0, 2];

export class Row {
  n = 0;
  y = Number.NaN;
  /** World x of the nodes, ascending. */
  keys = new Float32Array(4);
  slots = new Int32Array(4);
  /** How bad each span is, beside its key: a frame reads many of them. */
  ranks = new Uint8Array(4);
  readonly summary = new BlockIndex(this);
  /** What pixels.ts made of the line; null when it must be made again. */
  kept: KeptMarks | null = null;
  /** Where the last bar ends, and where the last node has room again. Infinity while a span runs. */
  trueEnd = Number.NEGATIVE_INFINITY;
  visualEnd = Number.NEGATIVE_INFINITY;
  /** While a whole run is laid out: room is doubled, and given back in `trim`. */
  growing = false;
  private dirty = Number.POSITIVE_INFINITY;

  constructor(
    readonly id: number,
    readonly band: number,
    readonly kind: number,
    readonly trace: number,
  ) {}

  get lastKey(): number {
    return this.n > 0 ? (this.keys[this.n - 1] as number) : Number.NEGATIVE_INFINITY;
  }

  /** The first index whose key is at least x. */
  lowerBound(x: number): number {
    const { keys } = this;
    let low = 0;
    let high = this.n;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle] as number) < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The first index whose key is greater than x. */
  upperBound(x: number): number {
    const { keys } = this;
    let low = 0;
    let high = this.n;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle] as number) <= x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  insert(x: number, slot: number, rank: number): void {
    if (this.n === this.keys.length)
      this.reserve(this.n < 64 ? 2 * this.n + 4 : this.n + (this.n >>> (this.growing ? 0 : 2)));
    // Equal places are told apart after rounding, as the keys are kept.
    const key = Math.fround(x);
    let at = this.n;
    if (key < this.lastKey) {
      at = this.upperBound(key);
      this.keys.copyWithin(at + 1, at, this.n);
      this.slots.copyWithin(at + 1, at, this.n);
      this.ranks.copyWithin(at + 1, at, this.n);
    }
    this.keys[at] = key;
    this.slots[at] = slot;
    this.ranks[at] = rank;
    this.n++;
    this.kept = null;
    this.dirty = Math.min(this.dirty, at);
  }

  remove(x: number, slot: number): void {
    const at = this.indexOf(x, slot);
    if (at < 0) return;
    this.keys.copyWithin(at, at + 1, this.n);
    this.slots.copyWithin(at, at + 1, this.n);
    this.ranks.copyWithin(at, at + 1, this.n);
    this.n--;
    this.kept = null;
    this.dirty = Math.min(this.dirty, at);
  }

  indexOf(x: number, slot: number): number {
    const key = Math.fround(x);
    for (let at = this.lowerBound(key); at < this.n && this.keys[at] === key; at++) {
      if (this.slots[at] === slot) return at;
    }
    return -1;
  }

  /** 2: free, with room for the whole node; 1: free in time; 0: another span is at work there. */
  free(x: number, end: number, width: number, columns: LayoutColumns): 0 | 1 | 2 {
    if (x >= this.lastKey) return x >= this.visualEnd ? 2 : x >= this.trueEnd ? 1 : 0;
    const next = this.upperBound(x);
    const nextKey = this.keys[next] as number;
    const before = next > 0 ? (columns.ends[this.slots[next - 1] as number] as number) : Number.NEGATIVE_INFINITY;
    const room = next > 0 ? (this.keys[next - 1] as number) + width : Number.NEGATIVE_INFINITY;
    if (before > x || end > nextKey) return 0;
    return Math.max(before, room) <= x && x + width <= nextKey ? 2 : 1;
  }

  /** Room is taken at once, the summary follows in `refresh`. */
  take(end: number, visualEnd: number): void {
    this.trueEnd = Math.max(this.trueEnd, end);
    this.visualEnd = Math.max(this.visualEnd, visualEnd);
  }

  /** Brings the summary up to date after inserts and removals, from the first place that differs. */
  refresh(columns: LayoutColumns, width: number): void {
    if (this.dirty === Number.POSITIVE_INFINITY) return;
    const { summary } = this;
    if (summary.fit()) this.dirty = 0;
    const from = Math.min(this.dirty, Math.max(0, this.n - 1));
    for (let level = 0; level < summary.levels.length; level++) {
      const shift = BITS * (level + 1);
      const blocks = (Math.max(0, this.n - 1) >>> shift) + 1;
      for (let block = from >>> shift; block < blocks; block++) summary.take(level, block, columns);
    }
    this.dirty = Number.POSITIVE_INFINITY;
    this.endAgain(columns, width);
  }

  /** The figures mean something else now: everything is summed up again with the next refresh. */
  revalue(): void {
    this.dirty = 0;
    this.kept = null;
  }

  /** After one span's status, figure or end changed. */
  touch(x: number, slot: number, columns: LayoutColumns, width: number): void {
    const at = this.indexOf(x, slot);
    if (at < 0) return;
    this.kept = null;
    this.ranks[at] = rankOf(columns.status[slot] as number);
    if (this.dirty <= at) return;
    const { summary } = this;
    for (let level = 0; level < summary.levels.length; level++)
      summary.take(level, at >>> (BITS * (level + 1)), columns);
    this.endAgain(columns, width);
  }

  trim(): void {
    this.growing = false;
    if (this.keys.length > 1.6 * this.n + 8) this.reserve(this.n + (this.n >>> 4) + 4);
  }

  get bytes(): number {
    return this.keys.byteLength + this.slots.byteLength + this.ranks.byteLength + this.summary.bytes;
  }

  private endAgain(columns: LayoutColumns, width: number): void {
    this.trueEnd = this.n > 0 ? this.summary.farthest(this.n, columns) : Number.NEGATIVE_INFINITY;
    this.visualEnd = Math.max(this.trueEnd, this.lastKey + width);
  }

  private reserve(capacity: number): void {
    const keys = new Float32Array(capacity);
    const slots = new Int32Array(capacity);
    const ranks = new Uint8Array(capacity);
    keys.set(this.keys.subarray(0, this.n));
    slots.set(this.slots.subarray(0, this.n));
    ranks.set(this.ranks.subarray(0, this.n));
    Object.assign(this, { keys, slots, ranks });
  }
}

/** By status code how bad: ok 0, running 1, error 2. */
export function rankOf(status: number): number {
  return RANK[status] ?? 0;
}
