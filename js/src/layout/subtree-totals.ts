/** What lies under a node, summed up: what a folded node shows. */

import { NONE, Status } from "../kernel/protocol";
import type { Model } from "../model/model";

export interface Sums {
  /** Spans under the node, itself not counted. */
  spans: number;
  errors: number;
  running: number;
  cost: number;
  /** Whether the cost is known to be more than this. */
  atLeast: boolean;
  tokens: number;
}

const UNPRICED = 16;

/** Walks the whole subtree once. */
export function sumsUnder(model: Model, slot: number): Sums {
  const sums: Sums = { spans: 0, errors: 0, running: 0, cost: 0, atLeast: false, tokens: 0 };
  const stack = [slot];
  const most = model.size + 1;
  for (let steps = 0; stack.length > 0 && steps <= most; steps++) {
    const at = stack.pop() as number;
    if (at !== slot) sums.spans++;
    if (at !== slot && model.status[at] === Status.error) sums.errors++;
    if (model.status[at] === Status.running) sums.running++;
    sums.cost += model.cost[at]! || 0;
    sums.atLeast ||= (model.flags[at]! & UNPRICED) !== 0;
    for (const tokens of [model.input[at]!, model.output[at]!]) if (tokens !== NONE) sums.tokens += tokens;
    for (let child = model.firstChild[at] as number; child >= 0; child = model.nextSibling[child] as number)
      stack.push(child);
  }
  return sums;
}

/** Remembers sums until the model changes, and then for half a second more: a large subtree takes a while. */
export class SumsKept {
  private readonly known = new Map<number, { sums: Sums; version: number; at: number }>();
  constructor(private readonly model: Model) {}

  of(slot: number, now: number): Sums {
    const found = this.known.get(slot);
    if (found !== undefined && (found.version === this.model.version || now - found.at < 500)) return found.sums;
    const sums = sumsUnder(this.model, slot);
    if (this.known.size > 500) this.known.clear();
    this.known.set(slot, { sums, version: this.model.version, at: now });
    return sums;
  }
  clear(): void {
    this.known.clear();
  }
}
