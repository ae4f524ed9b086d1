/**
 * One line of nodes: sorted by x, with a summary over blocks of 8, of 64, of 512 and so on. The summary lets a drawing
 * pass over thousands of spans in one step where they share a pixel, and finds long bars that began far to the left.
 */
import type { KeptMarks } from "./marks";

export interface SpanColumns {
  readonly status: Uint8Array;
  readonly cost: Float32Array;
  readonly ends: Float32Array;
}

const BITS = 3;
const BLOCK = 1 << BITS;
const RANK = [1, 0, 2];

export interface Level {
  worst: Uint8Array;
  cost: Float32Array;
  end: Float32Array;
}

export class Row {
  n = 0;
  y = Number.NaN;
  /** World x of the nodes, ascending. */
  keys = new Float32Array(4);
  slots = new Int32Array(4);
  /** How bad each span is, beside its key: a frame reads many of them. */
  ranks = new Uint8Array(4);
  levels: Level[] = [];
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
  free(x: number, end: number, width: number, columns: SpanColumns): 0 | 1 | 2 {
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
  refresh(columns: SpanColumns, width: number): void {
    if (this.dirty === Number.POSITIVE_INFINITY) return;
    if (this.n === 0) this.levels = [];
    this.fit();
    const from = Math.min(this.dirty, Math.max(0, this.n - 1));
    for (let level = 0; level < this.levels.length; level++) {
      const shift = BITS * (level + 1);
      const blocks = (Math.max(0, this.n - 1) >>> shift) + 1;
      for (let block = from >>> shift; block < blocks; block++) this.summarize(level, block, columns);
    }
    this.dirty = Number.POSITIVE_INFINITY;
    this.endAgain(columns, width);
  }

  /** After one span's status, cost or end changed. */
  touch(x: number, slot: number, columns: SpanColumns, width: number): void {
    const at = this.indexOf(x, slot);
    if (at < 0) return;
    this.kept = null;
    this.ranks[at] = rankOf(columns.status[slot] as number);
    if (this.dirty <= at) return;
    for (let level = 0; level < this.levels.length; level++) {
      this.summarize(level, at >>> (BITS * (level + 1)), columns);
    }
    this.endAgain(columns, width);
  }

  /** Visits the indices before `limit` whose bars reach x. */
  reaching(x: number, limit: number, columns: SpanColumns, visit: (index: number) => void): void {
    const top = this.levels.length - 1;
    const blocks = limit <= 0 ? 0 : ((limit - 1) >>> (BITS * (top + 1))) + 1;
    for (let block = 0; block < blocks; block++) this.reachingIn(top, block, x, limit, columns, visit);
  }

  /** How far the bars before `limit` reach. */
  farthest(limit: number, columns: SpanColumns): number {
    let end = Number.NEGATIVE_INFINITY;
    let at = 0;
    while (at < limit) {
      let level = -1;
      while (
        level + 1 < this.levels.length &&
        at % (BLOCK << (BITS * (level + 1))) === 0 &&
        at + (BLOCK << (BITS * (level + 1))) <= limit
      )
        level++;
      const one =
        level < 0 ? columns.ends[this.slots[at] as number] : this.levels[level]?.end[at >>> (BITS * (level + 1))];
      end = Math.max(end, one as number);
      at += level < 0 ? 1 : BLOCK << (BITS * level);
    }
    return end;
  }

  trim(): void {
    this.growing = false;
    if (this.keys.length > this.n + (this.n >>> 3) + 8) this.reserve(this.n + (this.n >>> 4) + 4);
  }

  get bytes(): number {
    const summary = this.levels.reduce(
      (sum, { worst, cost, end }) => sum + worst.length + cost.byteLength + end.byteLength,
      0,
    );
    return this.keys.byteLength + this.slots.byteLength + this.ranks.byteLength + summary;
  }

  private reachingIn(
    level: number,
    block: number,
    x: number,
    limit: number,
    columns: SpanColumns,
    visit: (index: number) => void,
  ): void {
    if (level < 0) {
      const end = Math.min(limit, (block + 1) << BITS);
      for (let at = block << BITS; at < end; at++) {
        if ((columns.ends[this.slots[at] as number] as number) >= x) visit(at);
      }
      return;
    }
    if (((this.levels[level] as Level).end[block] as number) < x) return;
    if (level === 0) {
      this.reachingIn(-1, block, x, limit, columns, visit);
      return;
    }
    const shift = BITS * level;
    const children = Math.min((block + 1) << BITS, ((limit - 1) >>> shift) + 1);
    for (let child = block << BITS; child < children; child++)
      this.reachingIn(level - 1, child, x, limit, columns, visit);
  }

  private endAgain(columns: SpanColumns, width: number): void {
    this.trueEnd = this.n > 0 ? this.farthest(this.n, columns) : Number.NEGATIVE_INFINITY;
    this.visualEnd = Math.max(this.trueEnd, this.lastKey + width);
  }

  private summarize(level: number, block: number, columns: SpanColumns): void {
    const into = this.levels[level] as Level;
    let worst = 0;
    let cost = 0;
    let end = Number.NEGATIVE_INFINITY;
    const first = block << BITS;
    if (level === 0) {
      const last = Math.min(this.n, first + BLOCK);
      for (let at = first; at < last; at++) {
        const slot = this.slots[at] as number;
        const one = columns.cost[slot] as number;
        worst = Math.max(worst, this.ranks[at] as number);
        if (!Number.isNaN(one)) cost += one;
        end = Math.max(end, columns.ends[slot] as number);
      }
    } else {
      const below = this.levels[level - 1] as Level;
      const last = Math.min(((this.n - 1) >>> (BITS * level)) + 1, first + BLOCK);
      for (let at = first; at < last; at++) {
        worst = Math.max(worst, below.worst[at] as number);
        cost += below.cost[at] as number;
        end = Math.max(end, below.end[at] as number);
      }
    }
    into.worst[block] = worst;
    into.cost[block] = cost;
    into.end[block] = end;
  }

  private fit(): void {
    let blocks = this.n;
    for (let level = 0; blocks > BLOCK; level++) {
      blocks = ((blocks - 1) >>> BITS) + 1;
      const old = this.levels[level];
      if (old !== undefined && old.worst.length >= blocks) continue;
      const capacity = blocks + (blocks >>> 3) + 1;
      const next = {
        worst: new Uint8Array(capacity),
        cost: new Float32Array(capacity),
        end: new Float32Array(capacity),
      };
      if (old === undefined) this.dirty = 0;
      else {
        next.worst.set(old.worst);
        next.cost.set(old.cost);
        next.end.set(old.end);
      }
      this.levels[level] = next;
    }
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
