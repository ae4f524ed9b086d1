/**
 * What is folded away: all that lies under a node that was folded by hand, and runs of like calls (forty times the same
 * tool, one after another), which fold by themselves into the first of them. A million spans cost a byte each.
 */

import { Status } from "../kernel/protocol";
import type { Model } from "../model/model";
import { grown } from "../model/span-columns";

/** So many like calls in a row become one. */
export const LIKE = 8;
const TOOL = 3;

export interface Like {
  count: number;
  /** Slot of the last call. */
  last: number;
  /** When the last of them that ended did so, in ms since 1970 UTC. */
  end: number;
  parent: number;
  open: boolean;
}

export class Collapse {
  /** 1 for what has no place of its own. */
  hidden = new Uint8Array(0);
  /** Runs of like calls, by the slot of the first. */
  private readonly runs = new Map<number, Like>();
  /** By the kernel's rows, so that they outlast a new snapshot: folded by hand; runs that were opened, by their first. */
  private readonly folded = new Set<number>();
  private readonly opened = new Set<number>();
  /** First call of the run that a slot belongs to, and 1; 0 for none. Made when the first run is found. */
  private firstOf = new Int32Array(0);

  constructor(
    private readonly model: Model,
    public likesFold: boolean,
  ) {}

  /** Rows folded by hand, and of opened runs -1 - row: what is to be remembered. */
  get state(): number[] {
    return [...this.folded, ...[...this.opened].map((row) => -1 - row)].sort((a, b) => a - b);
  }
  set state(rows: readonly number[]) {
    this.folded.clear();
    this.opened.clear();
    for (const row of rows) {
      if (row >= 0) this.folded.add(row);
      else this.opened.add(-1 - row);
    }
  }

  isFolded(slot: number): boolean {
    return this.folded.size > 0 && this.folded.has(this.model.row[slot] as number);
  }
  /** The run that is folded into this slot. */
  likeOf(slot: number): Like | undefined {
    const run = this.runs.size > 0 ? this.runs.get(slot) : undefined;
    return run?.open === false ? run : undefined;
  }
  /** The first call of the run that this one is part of, -1 if it is alone. */
  runOf(slot: number): number {
    return (this.firstOf[slot] ?? 0) - 1;
  }

  /** Folds what lies under the slot, or the run that it is part of; opens it if it is folded. False: nothing to fold. */
  toggle(slot: number): boolean {
    const row = this.model.row[slot] as number;
    if (this.folded.delete(row)) return true;
    const first = this.runOf(slot);
    if (first >= 0) {
      const of = this.model.row[first] as number;
      if (!this.opened.delete(of)) this.opened.add(of);
      return true;
    }
    if ((this.model.firstChild[slot] as number) < 0) return false;
    this.folded.add(row);
    return true;
  }

  /** Opens all that hides a slot; false if nothing does. */
  reveal(slot: number): boolean {
    if (this.hidden[slot] !== 1) return false;
    for (let at = slot, steps = 0; at >= 0 && steps < 1_000; at = this.model.parent[at] as number, steps++) {
      if (at !== slot) this.folded.delete(this.model.row[at] as number);
      const first = this.runOf(at);
      if (first >= 0) this.opened.add(this.model.row[first] as number);
    }
    return true;
  }

  /** Looks at everything anew. */
  build(): void {
    const { model } = this;
    this.hidden = new Uint8Array(model.size);
    this.runs.clear();
    this.firstOf = new Int32Array(0);
    if (this.likesFold) this.findRuns();
    for (const row of this.folded) {
      const slot = model.slotOf(row);
      if (slot >= 0) this.hideUnder(slot);
    }
  }

  /**
   * Takes in new slots from `added` on, and changed ones. Gives what is hidden now and was not, or the other way round:
   * slots from before `added` alone.
   */
  update(added: number, changed: Int32Array): number[] {
    const { model } = this;
    if (this.hidden.length < model.size) {
      this.hidden = grown(this.hidden, model.size + (model.size >>> 4) + 256);
      if (this.firstOf.length > 0) this.firstOf = grown(this.firstOf, this.hidden.length);
    }
    const differ: number[] = [];
    const take = (slot: number): void => {
      if (!model.alive[slot]) return;
      const parent = model.parent[slot] as number;
      const under = parent >= 0 && (this.hidden[parent] === 1 || this.isFolded(parent));
      if (under !== (this.hidden[slot] === 1) && this.runOf(slot) < 0) this.setUnder(slot, under ? 1 : 0, differ);
    };
    for (const slot of changed) take(slot);
    for (let slot = added; slot < model.size; slot++) take(slot);
    if (this.likesFold) {
      for (const slot of changed) this.look(slot, false, differ);
      for (let slot = added; slot < model.size; slot++) this.look(slot, true, differ);
    }
    return differ.filter((slot) => slot < added);
  }

  private setUnder(slot: number, hidden: 0 | 1, differ: number[]): void {
    const { model } = this;
    const stack = [slot];
    while (stack.length > 0) {
      const at = stack.pop() as number;
      if (this.hidden[at] === hidden) continue;
      this.hidden[at] = hidden;
      differ.push(at);
      if (hidden === 0 && this.isFolded(at)) continue;
      for (let child = model.firstChild[at] as number; child >= 0; child = model.nextSibling[child] as number)
        stack.push(child);
    }
  }
  private hideUnder(slot: number): void {
    const { model } = this;
    for (let child = model.firstChild[slot] as number; child >= 0; child = model.nextSibling[child] as number)
      this.setUnder(child, 1, []);
  }

  private findRuns(): void {
    const { model } = this;
    for (let slot = 0; slot < model.size; slot++) if (model.firstChild[slot]! >= 0) this.findUnder(slot, []);
  }
  private findUnder(parent: number, differ: number[]): void {
    const { model } = this;
    let first = model.firstChild[parent] as number;
    while (first >= 0) {
      let last = first;
      let count = 1;
      let next = model.nextSibling[first] as number;
      if (next >= 0 && this.fits(first)) {
        for (; next >= 0 && this.alike(first, next); next = model.nextSibling[next] as number, count++) last = next;
        if (count >= LIKE) this.foldRun(first, last, count, differ);
      }
      first = next;
    }
  }

  /** Everything under a parent anew: costs its children, and is needed only where a run breaks or two grow together. */
  private again(parent: number, differ: number[]): void {
    const { model } = this;
    const under = parent < 0 || this.hidden[parent] === 1 || this.isFolded(parent);
    if (parent < 0) return;
    for (let at = model.firstChild[parent] as number; at >= 0; at = model.nextSibling[at] as number) {
      const first = this.runOf(at);
      if (first < 0) continue;
      this.runs.delete(first);
      this.firstOf[at] = 0;
      differ.push(at);
      if (!under) this.hidden[at] = 0;
    }
    if (under) return;
    this.findUnder(parent, differ);
    for (let at = model.firstChild[parent] as number; at >= 0; at = model.nextSibling[at] as number) {
      if (this.hidden[at] === 1 || this.isFolded(at)) continue;
      for (let child = model.firstChild[at] as number; child >= 0; child = model.nextSibling[child] as number)
        if (this.runOf(child) < 0) this.setUnder(child, 0, differ);
    }
  }

  /** A tool's call that went well and called nobody: two of them may be told as one. */
  private fits(slot: number): boolean {
    const { model } = this;
    return (
      model.kindCode(slot) === TOOL &&
      model.status[slot] !== Status.error &&
      (model.firstChild[slot] as number) < 0 &&
      model.alive[slot] === 1
    );
  }
  private alike(slot: number, other: number): boolean {
    return this.model.cls[slot] === this.model.cls[other] && this.fits(other);
  }

  /** What a new or changed slot means for the runs: mostly nothing, or one more. */
  private look(slot: number, fresh: boolean, differ: number[]): void {
    const { model } = this;
    const parent = model.parent[slot] as number;
    const caller = parent < 0 ? -1 : this.runOf(parent);
    if (caller >= 0) this.again(model.parent[parent] as number, differ);
    const own = this.runOf(slot);
    const run = own < 0 ? undefined : this.runs.get(own);
    if (run !== undefined) {
      if (run.parent === parent && this.fits(slot) && model.cls[slot] === model.cls[run.last]) {
        this.stretch(run, slot);
        differ.push(own);
        return;
      }
      if (run.parent !== parent) {
        this.firstOf[slot] = 0;
        this.hidden[slot] = parent >= 0 && (this.hidden[parent] === 1 || this.isFolded(parent)) ? 1 : 0;
        differ.push(slot);
      }
      this.again(run.parent, differ);
    }
    if (!this.fits(slot) || parent < 0 || this.hidden[slot] === 1 || this.hidden[parent] === 1) return;
    const before = model.prevSibling[slot] as number;
    const tail = fresh && before >= 0 && this.alike(slot, before) ? this.runOf(before) : -1;
    const joined = tail < 0 ? undefined : this.runs.get(tail);
    if (joined !== undefined && joined.last === before) this.append(joined, tail, slot, differ);
    else if (this.together(slot) >= LIKE) this.again(parent, differ);
  }

  /** How many like it stand beside a slot, counted no farther than needed. */
  private together(slot: number): number {
    let count = 1;
    for (const beside of [this.model.prevSibling, this.model.nextSibling])
      for (let at = beside[slot]!, n = 0; at >= 0 && n < LIKE && this.alike(slot, at); at = beside[at]!, n++) count++;
    return count;
  }

  private append(run: Like, first: number, slot: number, differ: number[]): void {
    run.count++;
    run.last = slot;
    this.stretch(run, slot);
    this.firstOf[slot] = first + 1;
    if (run.open) return;
    this.hidden[slot] = 1;
    differ.push(slot, first);
  }

  private stretch(run: Like, slot: number): void {
    run.end = Math.max(run.end, this.model.start[slot]! + (this.model.duration[slot]! || 0));
  }

  private foldRun(first: number, last: number, count: number, differ: number[]): void {
    const { model } = this;
    if (this.firstOf.length === 0) this.firstOf = new Int32Array(this.hidden.length);
    const open = this.opened.has(model.row[first] as number);
    const run = { count, last, end: Number.NEGATIVE_INFINITY, parent: model.parent[first]!, open };
    this.runs.set(first, run);
    for (let at = first; ; at = model.nextSibling[at] as number) {
      this.firstOf[at] = first + 1;
      this.stretch(run, at);
      const hide = at !== first && !open ? 1 : 0;
      if (this.hidden[at] !== hide) {
        this.hidden[at] = hide;
        differ.push(at);
      }
      if (at === last) break;
    }
    differ.push(first);
  }
}
