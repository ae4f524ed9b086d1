/** How time becomes x. Linear; each trace counts from its own start, so that branches stand under their original. */

import { Status } from "../kernel/protocol";
import type { Model } from "../model/model";

/** An LLM call of median length is one and a half node widths long. */
const MEDIAN_WIDTH = 90;
const USUAL_CALL_MS = 3_000;
export const MAX_WIDTH = 8_000;
const SAMPLES = 2_000;
const HOUR = 3_600_000;
/** A clock that is this many times farther off than the rest of the run is wrong, and stands at the edge. */
const WRONG_CLOCK = 500;

export class TimeScale {
  /** World px per millisecond. */
  perMs = MEDIAN_WIDTH / USUAL_CALL_MS;
  /** How much of its natural room a node has: below 1 the run is too long for the width. */
  unit = 1;
  /** Start of each trace. */
  readonly origins: number[] = [];
  /** Limits in milliseconds after the start of the trace. */
  private low = -HOUR;
  private high = Number.POSITIVE_INFINITY;

  /** `traces` gives the number of the trace by class. */
  fit(model: Model, traces: Uint32Array): void {
    const { times, calls, longest } = this.sample(model, traces);
    this.under(model);
    this.low = -HOUR;
    this.high = Number.POSITIVE_INFINITY;
    let length = longest;
    if (times.length >= 20) {
      const from = quantile(times, 0.05);
      const usual = Math.max(quantile(times, 0.95) - from, 1);
      if (longest > usual * WRONG_CLOCK) {
        // The start itself may be the wrong clock: count from where the run is.
        for (let trace = 0; trace < this.origins.length; trace++)
          this.origins[trace] = (this.origins[trace] ?? 0) + from;
        this.low = -usual * 0.2;
        this.high = usual * 1.4;
        length = this.high - this.low;
      }
    }
    const ideal = MEDIAN_WIDTH / Math.min(Math.max(calls.length > 0 ? quantile(calls, 0.5) : USUAL_CALL_MS, 20), HOUR);
    this.perMs = length > 0 ? Math.min(ideal, MAX_WIDTH / length) : ideal;
    this.unit = this.perMs / ideal;
  }

  /** Answers that are about one call stand under it: their trace counts from where that call began. */
  private under(model: Model): void {
    for (let trace = 1; trace < this.origins.length; trace++) {
      const original = originalOf(model, trace);
      if (original < 0 || this.origins[trace] === undefined) continue;
      const before = (model.start[original] as number) - (this.origins[0] as number);
      if (before > 0) this.origins[trace]! -= before;
    }
  }

  x(time: number, trace: number): number {
    const after = time - this.origin(trace, time);
    return Math.min(Math.max(after, this.low), this.high) * this.perMs;
  }

  length(duration: number): number {
    return duration > 0 ? Math.min(duration, this.high) * this.perMs : 0;
  }

  time(x: number, trace = 0): number {
    return x / this.perMs + (this.origins[trace] ?? 0);
  }

  private origin(trace: number, time: number): number {
    let known = this.origins[trace];
    if (known === undefined) {
      known = time;
      this.origins[trace] = time;
    }
    return known;
  }

  private sample(model: Model, traces: Uint32Array): { times: number[]; calls: number[]; longest: number } {
    const { size, start, duration, alive, cls } = model;
    const { origins } = this;
    const ends: number[] = [];
    origins.length = 0;
    for (let slot = 0; slot < size; slot++) {
      const time = start[slot] as number;
      if (Number.isNaN(time) || alive[slot] === 0) continue;
      const trace = traces[cls[slot] as number] as number;
      const took = duration[slot] as number;
      const end = took > 0 ? time + took : time;
      if (!((origins[trace] as number) <= time)) origins[trace] = time;
      if (!((ends[trace] as number) >= end)) ends[trace] = end;
    }
    const times: number[] = [];
    const calls: number[] = [];
    for (let slot = 0, step = Math.max(1, Math.floor(size / SAMPLES)); slot < size; slot += step) {
      const time = start[slot] as number;
      const took = duration[slot] as number;
      if (Number.isNaN(time) || alive[slot] === 0) continue;
      times.push(time - (origins[traces[cls[slot] as number] as number] as number));
      if (model.kindCode(slot) === 2 && took > 0) calls.push(took);
    }
    const longest = origins.reduce((most, origin, trace) => Math.max(most, (ends[trace] as number) - origin), 0);
    return { times, calls, longest };
  }
}

/** The slot of the call that a shown trace is about; -1 where it is about none, or that call is not in sight. */
export function originalOf(model: Model, trace: number): number {
  const row = trace > 0 ? model.runs.get(model.shown[trace] ?? "")?.original_row : null;
  const slot = row === null || row === undefined ? -1 : model.slotOf(row);
  return slot >= 0 && model.alive[slot] ? slot : -1;
}

function ended(slot: number, time: number, model: Model): boolean {
  const took = model.duration[slot] as number;
  return model.status[slot] !== Status.running && (model.start[slot] as number) + (took > 0 ? took : 0) <= time;
}

/** When the span began, or else who called it. */
export function startOf(model: Model, slot: number): number | undefined {
  let at = slot;
  for (let i = 0; i < 16 && at >= 0; i++) {
    const known = model.start[at] as number;
    if (!Number.isNaN(known)) return known;
    at = model.parent[at] as number;
  }
  return undefined;
}

/** Who called a span and has no place yet, from the first caller on. */
export function callersOf(model: Model, slot: number, placed: (slot: number) => boolean): number[] {
  const { parent, start } = model;
  const callers: number[] = [];
  for (let at = parent[slot] as number; at >= 0 && callers.length < 64; at = parent[at] as number) {
    if (placed(at) || (start[at] as number) > (start[slot] as number)) break;
    callers.push(at);
  }
  return callers.reverse();
}

/** By trace: when its run ended; undefined while it goes on. */
export function endsOfRuns(model: Model): (number | undefined)[] {
  return model.shown.map((id) => {
    const run = model.runs.get(id);
    return run === undefined || run.status === "running" ? undefined : (run.end ?? undefined);
  });
}

/** Whether enough model calls have ended to say how long calls are. */
export function knowsCalls(model: Model): boolean {
  let found = 0;
  for (let slot = 0; slot < model.size && found < 3; slot++) {
    if (model.kindCode(slot) === 2 && (model.duration[slot] as number) > 0) found++;
  }
  return found >= 3;
}

/** Columns of the order mode: no span stands left of an earlier one, and what shares a column was at work together. */
export class Columns {
  step = 76;
  last = 0;
  /** Start of the first span in each column; never falls. */
  private starts = new Float64Array(256);
  /** Slots in the last column. */
  private members: number[] = [];

  clear(): void {
    this.last = 0;
    this.members = [];
    this.starts = new Float64Array(256);
  }

  /** The column for a span that must stand right of column `after` (-1: none). */
  place(slot: number, start: number, after: number, model: Model): number {
    if (after >= this.last || this.members.some((other) => ended(other, start, model))) {
      this.last++;
      this.members = [];
    }
    this.members.push(slot);
    if (this.last >= this.starts.length) {
      const longer = new Float64Array(this.starts.length * 2);
      longer.set(this.starts);
      this.starts = longer;
    }
    const before = this.last > 0 ? (this.starts[this.last - 1] as number) : 0;
    if (this.starts[this.last] === 0) this.starts[this.last] = Math.max(before, !Number.isNaN(start) ? start : before);
    return this.last;
  }

  /** Too long an order is drawn closer together; must be known before positions are taken from it. */
  fit(): void {
    this.step = Math.min(76, Math.max(MAX_WIDTH / (this.last + 1), 0.005));
  }

  time(x: number): number {
    const column = Math.min(Math.max(x / this.step, 0), this.last);
    const left = Math.floor(column);
    const a = this.starts[left] as number;
    const b = left < this.last ? (this.starts[left + 1] as number) : a;
    return a + (b - a) * (column - left);
  }

  x(time: number): number {
    let low = 0;
    let high = this.last;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.starts[middle] as number) <= time) low = middle;
      else high = middle - 1;
    }
    const a = this.starts[low] as number;
    const b = low < this.last ? (this.starts[low + 1] as number) : a;
    const part = b > a ? Math.min(Math.max((time - a) / (b - a), 0), 1) : 0;
    return (low + part) * this.step;
  }
}

function quantile(values: number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/**
 * The living slots in order of start (unknown starts where they arrived); null when they are in order already.
 * Radix sort over the time since the first start, in 32 bits: a million spans in some 20 ms.
 */
export function orderOfStart(model: Model): Uint32Array | null {
  const { size, start } = model;
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  let sorted = true;
  for (let slot = 0; slot < size; slot++) {
    const time = start[slot] as number;
    if (Number.isNaN(time)) continue;
    if (time < last) sorted = false;
    if (time < first) first = time;
    if (time > last) last = time;
  }
  if (sorted) return null;
  const keys = new Uint32Array(size);
  const unit = 0xffffffff / Math.max(last - first, 1);
  let previous = 0;
  for (let slot = 0; slot < size; slot++) {
    const time = start[slot] as number;
    if (!Number.isNaN(time)) previous = Math.floor((time - first) * unit);
    keys[slot] = previous;
  }
  let order = Uint32Array.from(keys, (_, i) => i);
  let other = new Uint32Array(size);
  const counts = new Uint32Array(0x10001);
  for (let shift = 0; shift < 32; shift += 16) {
    counts.fill(0);
    for (let i = 0; i < size; i++) counts[(((keys[i] as number) >>> shift) & 0xffff) + 1]!++;
    for (let i = 0; i < 0x10000; i++) counts[i + 1]! += counts[i] as number;
    for (let i = 0; i < size; i++) {
      const slot = order[i] as number;
      other[counts[((keys[slot] as number) >>> shift) & 0xffff]!++] = slot;
    }
    [order, other] = [other, order];
  }
  return order;
}
