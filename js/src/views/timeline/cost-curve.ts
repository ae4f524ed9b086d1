/** What the run had cost up to a moment: sums by the calls' ends, looked up by pixel. */
import type { Model } from "../../model/model";

/** Places of a call in a sort key: 2^21 calls, and milliseconds above them. */
const CALLS = 2 ** 21;

export class CostCurve {
  /** Ends of priced calls in ms after `origin`, ascending, and the sum up to each. */
  private ends = new Float64Array(0);
  private sums = new Float64Array(0);
  private origin = 0;

  get total(): number {
    return this.sums[this.sums.length - 1] ?? 0;
  }

  /** Of the trace that is looked at; costs one pass and one sort. */
  build(model: Model): void {
    const { cost, start, duration, alive, size, classes, strings, shown } = model;
    const own = classes.map((codes) => strings[codes?.[0] ?? 0] === shown[0]);
    const slots = new Uint32Array(Math.min(size, CALLS));
    let n = 0;
    let origin = Number.POSITIVE_INFINITY;
    for (let slot = 0; slot < size && n < CALLS; slot++) {
      if (!(cost[slot]! > 0) || alive[slot] === 0 || !own[model.cls[slot]!] || Number.isNaN(start[slot]!)) continue;
      slots[n++] = slot;
      if (start[slot]! < origin) origin = start[slot]!;
    }
    const endOf = (slot: number): number => start[slot]! + (duration[slot]! || 0) - origin;
    const keys = new Float64Array(n);
    for (let i = 0; i < n; i++) keys[i] = Math.max(0, Math.round(endOf(slots[i]!))) * CALLS + i;
    keys.sort();
    this.origin = origin;
    this.ends = new Float64Array(keys.length);
    this.sums = new Float64Array(keys.length);
    let sum = 0;
    for (let i = 0; i < keys.length; i++) {
      const slot = slots[keys[i]! % CALLS]!;
      sum += cost[slot]!;
      this.ends[i] = endOf(slot);
      this.sums[i] = sum;
    }
  }

  /** US dollars spent up to a time in ms since 1970 UTC. */
  at(time: number): number {
    const after = time - this.origin;
    let low = 0;
    let high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle]! <= after) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : this.sums[low - 1]!;
  }
}
