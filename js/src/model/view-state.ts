/** What all views of one graph share: selection, filter, what is lit, and the place in time that is looked at. */
import { Listeners } from "../kernel/connection";
import { sameRows } from "../kernel/row-codec";
import { type Criteria, EVERYTHING, finder, inUse, tester } from "./filter";
import type { Delta, Model } from "./model";
import { grown } from "./span-columns";

export type Part = "selection" | "light" | "place";

export interface Place {
  /** Milliseconds since 1970 UTC. */
  from: number;
  to: number;
}

const NO_ROWS = new Int32Array(0);

export class ViewState {
  /** Slot of the span that is looked at, -1 for none. */
  selected = -1;
  /** Rows of all that are selected; the one that is looked at is among them. */
  rows: Int32Array = NO_ROWS;
  /** What of the time is seen; null until a view says so, and after "fit". */
  place: Place | null = null;
  /** By slot, 1 for what passes the filters; null where nothing filters. */
  kept: Uint8Array | null = null;
  /** By slot, 1 for what is neither filtered out nor unlike what is searched or lit; null where all is. */
  lit: Uint8Array | null = null;
  /** How many spans pass `kept`, and how many are `lit`. */
  keptCount = 0;
  litCount = 0;
  criteria: Criteria = EVERYTHING;
  /** What is searched for in names; "" for nothing. */
  wanted = "";
  private only: Int32Array | null = null;
  private bright: Int32Array | null = null;
  /** Rows in whose bodies the text was found. */
  private found: Int32Array = NO_ROWS;
  /** By row, 1 for each of several that are selected: a set of a million numbers takes too long to make. */
  private many = new Uint8Array(0);
  private readonly listeners = new Listeners<[Part]>();
  private testKept: (slot: number) => boolean = () => true;
  private testName: (slot: number) => boolean = () => true;
  private inOnly: Set<number> | null = null;
  private inBright: Set<number> | null = null;
  private inFound: Set<number> = new Set();

  constructor(private readonly model: Model) {}

  on(cb: (part: Part) => void): () => void {
    return this.listeners.add(cb);
  }

  isSelected(slot: number): boolean {
    return slot === this.selected || this.many[this.model.row[slot]!] === 1;
  }
  /** Slots of all that are selected. */
  slots(): number[] {
    const slots: number[] = [];
    for (const row of this.rows) {
      const slot = this.model.slotOf(row);
      if (slot >= 0) slots.push(slot);
    }
    return slots;
  }
  select(slot: number, rows?: Int32Array): void {
    const next = rows ?? (slot < 0 ? NO_ROWS : Int32Array.of(this.model.row[slot]!));
    if (slot === this.selected && sameRows(next, this.rows)) return;
    this.selected = slot;
    this.rows = next;
    let most = -1;
    if (next.length > 1) for (let i = 0; i < next.length; i++) most = Math.max(most, next[i]!);
    this.many = new Uint8Array(most + 1);
    if (most >= 0) for (let i = 0; i < next.length; i++) this.many[next[i]!] = 1;
    this.listeners.call("selection");
  }

  look(place: Place | null): void {
    if (place?.from === this.place?.from && place?.to === this.place?.to) return;
    this.place = place;
    this.listeners.call("place");
  }

  /** Filters of the page. */
  filter(criteria: Criteria): void {
    this.criteria = criteria;
    this.relight();
  }
  /** Filters of the kernel: these rows alone; null for all. */
  keepOnly(rows: Int32Array | null): void {
    this.only = rows;
    this.inOnly = rows === null ? null : new Set(rows);
    this.relight();
  }
  /** These rows are lit; null for all. */
  highlight(rows: Int32Array | null): void {
    this.bright = rows;
    this.inBright = rows === null ? null : new Set(rows);
    this.relight();
  }
  /** What is searched for, and rows in whose bodies it was found. */
  search(wanted: string, found: Int32Array = NO_ROWS): void {
    if (wanted === this.wanted && found === this.found) return;
    this.wanted = wanted;
    this.found = found;
    this.inFound = new Set(found);
    this.relight();
  }
  get filtering(): boolean {
    return this.only !== null || inUse(this.criteria) > 0;
  }
  get highlighting(): boolean {
    return this.bright !== null;
  }

  /** Takes in what the model learned: a new snapshot wholly, else what came and what differs. */
  onModelChange(delta: Delta): void {
    if (delta.reset) {
      const row = this.rows[0] ?? -1;
      this.selected = row < 0 ? -1 : this.model.slotOf(row);
      this.relight();
      return;
    }
    if (this.lit === null && this.kept === null) return;
    const { size } = this.model;
    if (this.kept !== null && this.kept.length < size) this.kept = grown(this.kept, size + (size >>> 4) + 256);
    if (this.lit !== null && this.lit.length < size) this.lit = grown(this.lit, size + (size >>> 4) + 256);
    for (const slot of delta.changed) this.judge(slot);
    for (let slot = delta.added; slot < size; slot++) this.judge(slot);
  }

  private relight(): void {
    const { model } = this;
    const lights = this.wanted !== "" || this.bright !== null;
    this.kept = this.filtering ? new Uint8Array(model.size) : null;
    this.lit = this.filtering || lights ? new Uint8Array(model.size) : null;
    this.testKept = inUse(this.criteria) > 0 ? tester(model, this.criteria) : () => true;
    this.testName = this.wanted === "" ? () => true : finder(model, this.wanted);
    this.keptCount = 0;
    this.litCount = 0;
    if (this.lit !== null) for (let slot = 0; slot < model.size; slot++) this.judge(slot);
    this.listeners.call("light");
  }

  private judge(slot: number): void {
    const { model, kept, lit } = this;
    const row = model.row[slot]!;
    const alive = model.alive[slot] === 1;
    const keeps = alive && this.testKept(slot) && (this.inOnly === null || this.inOnly.has(row));
    if (kept !== null) {
      this.keptCount += Number(keeps) - kept[slot]!;
      kept[slot] = keeps ? 1 : 0;
    }
    if (lit === null) return;
    const lights =
      keeps &&
      (this.inBright === null || this.inBright.has(row)) &&
      (this.wanted === "" || this.testName(slot) || this.inFound.has(row));
    this.litCount += Number(lights) - lit[slot]!;
    lit[slot] = lights ? 1 : 0;
  }
}
