/** What the table shows, without a page: rows in order, their depth, and sums over what lies under each. */

import { NONE } from "../../kernel/protocol";
import type { Model } from "../../model/model";

export const COLUMNS = ["name", "kind", "duration", "tokens", "cost", "share"] as const;
export type Column = (typeof COLUMNS)[number];

export class Table {
  /** Slots in the order in which they are shown, and how deep each lies. */
  slots = new Int32Array(0);
  depths = new Uint16Array(0);
  n = 0;
  /** By slot: with all that lies under it. */
  costs = new Float64Array(0);
  tokens = new Float64Array(0);
  /** What shares are shares of: cost, tokens where nothing is priced, else time. */
  shareOf: "cost" | "tokens" | "duration" = "cost";
  private whole = 0;
  private places = new Map<number, number>();

  constructor(private readonly model: Model) {}

  /** Everything anew: sums, order, what is folded away and what the filter leaves. */
  build(folded: ReadonlySet<number>, kept: Uint8Array | null, by: Column | null, down: boolean): void {
    // sums first: they are what some columns are sorted by
    const plain = this.order(null, down);
    this.sum(plain);
    const all = by === null ? plain : this.order(by, down);
    const shows = kept === null ? null : this.withParents(all, kept);
    const { model } = this;
    this.slots = new Int32Array(all.length);
    this.depths = new Uint16Array(all.length);
    this.places.clear();
    this.n = 0;
    const depth = new Uint16Array(model.size);
    const hidden = new Uint8Array(model.size);
    for (const slot of all) {
      const parent = model.parent[slot]!;
      if (parent >= 0) {
        depth[slot] = Math.min(depth[parent]! + 1, 65_535);
        if (hidden[parent] === 1 || (folded.size > 0 && folded.has(model.row[parent]!))) hidden[slot] = 1;
      }
      if (hidden[slot] === 1 || shows?.[slot] === 0) continue;
      this.slots[this.n] = slot;
      this.depths[this.n++] = depth[slot]!;
    }
  }

  /** Where a slot stands among the rows, -1 if it is not shown. */
  indexOf(slot: number): number {
    if (slot < 0) return -1;
    if (this.places.size === 0) for (let i = 0; i < this.n; i++) this.places.set(this.slots[i]!, i);
    return this.places.get(slot) ?? -1;
  }
  /** 0 to 1. */
  share(slot: number): number {
    return this.whole > 0 ? Math.min(1, this.figure(slot, this.shareOf) / this.whole) : 0;
  }

  private figure(slot: number, by: Column): number {
    if (by === "cost") return this.costs[slot]!;
    if (by === "tokens") return this.tokens[slot]!;
    if (by === "share") return this.share(slot);
    return this.model.duration[slot]! || 0;
  }

  /** Every living span, parents before children. */
  private order(by: Column | null, down: boolean): Int32Array {
    const { model } = this;
    const compare = this.comparison(by, down);
    const out = new Int32Array(model.size);
    let n = 0;
    const stack: number[] = [];
    const push = (list: number[]): void => {
      if (!sorted(list, compare)) list.sort(compare);
      for (let i = list.length - 1; i >= 0; i--) stack.push(list[i]!);
    };
    const roots: number[] = [];
    for (let slot = 0; slot < model.size; slot++) if (model.alive[slot] && model.parent[slot]! < 0) roots.push(slot);
    push(roots);
    while (stack.length > 0 && n < out.length) {
      const slot = stack.pop()!;
      out[n++] = slot;
      if (model.firstChild[slot]! < 0) continue;
      const children: number[] = [];
      for (let child = model.firstChild[slot]!; child >= 0; child = model.nextSibling[child]!) children.push(child);
      push(children);
    }
    return out.subarray(0, n);
  }

  private comparison(by: Column | null, down: boolean): (a: number, b: number) => number {
    const { model } = this;
    const sign = down ? -1 : 1;
    const early = (a: number, b: number): number => model.start[a]! - model.start[b]! || a - b;
    if (by === null) return early;
    if (by === "name") return (a, b) => sign * titleOf(model, a).localeCompare(titleOf(model, b)) || early(a, b);
    if (by === "kind") return (a, b) => sign * (model.kindCode(a) - model.kindCode(b)) || early(a, b);
    return (a, b) => sign * (this.figure(a, by) - this.figure(b, by)) || early(a, b);
  }

  private sum(all: Int32Array): void {
    const { model } = this;
    if (this.costs.length < model.size) {
      this.costs = new Float64Array(model.size + 256);
      this.tokens = new Float64Array(model.size + 256);
    }
    for (const slot of all) {
      const [input, output] = [model.input[slot]!, model.output[slot]!];
      this.costs[slot] = model.cost[slot]! || 0;
      this.tokens[slot] = (input === NONE ? 0 : input) + (output === NONE ? 0 : output);
    }
    let [cost, tokens, time] = [0, 0, 0];
    for (let i = all.length - 1; i >= 0; i--) {
      const slot = all[i]!;
      const parent = model.parent[slot]!;
      if (parent >= 0) {
        this.costs[parent]! += this.costs[slot]!;
        this.tokens[parent]! += this.tokens[slot]!;
      } else {
        cost += this.costs[slot]!;
        tokens += this.tokens[slot]!;
        time += model.duration[slot]! || 0;
      }
    }
    this.shareOf = cost > 0 ? "cost" : tokens > 0 ? "tokens" : "duration";
    this.whole = cost > 0 ? cost : tokens > 0 ? tokens : time;
  }

  private withParents(all: Int32Array, kept: Uint8Array): Uint8Array {
    const shows = new Uint8Array(this.model.size);
    for (let i = all.length - 1; i >= 0; i--) {
      const slot = all[i]!;
      if (kept[slot] === 1) shows[slot] = 1;
      const parent = this.model.parent[slot]!;
      if (shows[slot] === 1 && parent >= 0) shows[parent] = 1;
    }
    return shows;
  }
}

export function titleOf(model: Model, slot: number): string {
  const kind = model.kind(slot);
  return (kind === "llm" && model.modelName(slot)) || model.name(slot) || model.agent(slot) || kind;
}

function sorted(list: readonly number[], compare: (a: number, b: number) => number): boolean {
  for (let i = 1; i < list.length; i++) if (compare(list[i - 1]!, list[i]!) > 0) return false;
  return true;
}
