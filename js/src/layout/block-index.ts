/**
 * Of a line, over blocks of 8 spans, of 64, of 512 and so on: the worst, the dearest and the farthest end. It lets a
 * drawing pass over thousands of spans in one step where they share a pixel, and finds long bars that began far left.
 */
import type { LayoutColumns, Row } from "./row";

export const BITS = 3;
const BLOCK = 1 << BITS;

export interface Level {
  worst: Uint8Array;
  dearest: Float32Array;
  end: Float32Array;
}

export class BlockIndex {
  levels: Level[] = [];

  constructor(private readonly row: Row) {}

  get bytes(): number {
    return this.levels.reduce(
      (sum, { worst, dearest, end }) => sum + worst.length + dearest.byteLength + end.byteLength,
      0,
    );
  }

  /** Visits the indices before `limit` whose bars reach x. */
  reaching(x: number, limit: number, columns: LayoutColumns, visit: (index: number) => void): void {
    const top = this.levels.length - 1;
    const blocks = limit <= 0 ? 0 : ((limit - 1) >>> (BITS * (top + 1))) + 1;
    for (let block = 0; block < blocks; block++) this.reachingIn(top, block, x, limit, columns, visit);
  }

  /** How far the bars before `limit` reach. */
  farthest(limit: number, columns: LayoutColumns): number {
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
        level < 0 ? columns.ends[this.row.slots[at] as number] : this.levels[level]?.end[at >>> (BITS * (level + 1))];
      end = Math.max(end, one as number);
      at += level < 0 ? 1 : BLOCK << (BITS * level);
    }
    return end;
  }

  private reachingIn(
    level: number,
    block: number,
    x: number,
    limit: number,
    columns: LayoutColumns,
    visit: (index: number) => void,
  ): void {
    if (level < 0) {
      const end = Math.min(limit, (block + 1) << BITS);
      for (let at = block << BITS; at < end; at++) {
        if ((columns.ends[this.row.slots[at] as number] as number) >= x) visit(at);
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

  /** Sums up one block anew. */
  take(level: number, block: number, columns: LayoutColumns): void {
    const into = this.levels[level] as Level;
    let worst = 0;
    let dearest = 0;
    const { value } = columns;
    let end = Number.NEGATIVE_INFINITY;
    const first = block << BITS;
    if (level === 0) {
      const last = Math.min(this.row.n, first + BLOCK);
      for (let at = first; at < last; at++) {
        const slot = this.row.slots[at] as number;
        worst = Math.max(worst, this.row.ranks[at] as number);
        if (value !== null) dearest = Math.max(dearest, value(slot));
        end = Math.max(end, columns.ends[slot] as number);
      }
    } else {
      const below = this.levels[level - 1] as Level;
      const last = Math.min(((this.row.n - 1) >>> (BITS * level)) + 1, first + BLOCK);
      for (let at = first; at < last; at++) {
        worst = Math.max(worst, below.worst[at] as number);
        dearest = Math.max(dearest, below.dearest[at] as number);
        end = Math.max(end, below.end[at] as number);
      }
    }
    into.worst[block] = worst;
    into.dearest[block] = dearest;
    into.end[block] = end;
  }

  /** Makes room for the line as it is; true when everything has to be summed up anew. */
  fit(): boolean {
    let anew = false;
    let blocks = this.row.n;
    if (blocks === 0) this.levels = [];
    for (let level = 0; blocks > BLOCK; level++) {
      blocks = ((blocks - 1) >>> BITS) + 1;
      const old = this.levels[level];
      if (old !== undefined && old.worst.length >= blocks) continue;
      const capacity = blocks + (blocks >>> 3) + 1;
      const next = {
        worst: new Uint8Array(capacity),
        dearest: new Float32Array(capacity),
        end: new Float32Array(capacity),
      };
      if (old === undefined) anew = true;
      else {
        next.worst.set(old.worst);
        next.dearest.set(old.dearest);
        next.end.set(old.end);
      }
      this.levels[level] = next;
    }
    return anew;
  }
}
