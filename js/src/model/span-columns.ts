/**
 * The spans as columns: typed arrays by slot, no object per span. Slots are dense and in order of arrival; the slot of
 * a span that has gone stays, marked not alive. An applied message costs what it brings, whatever is there already.
 */
import { type ClassCodes, NONE, type Puts } from "../kernel/protocol";

type Column = Float64Array | Float32Array | Uint32Array | Int32Array | Uint8Array;

const KINDS: Record<string, number> = { orchestrator: 0, agent: 1, llm: 2, tool: 3 };
export const OTHER_KIND = 4;
const PAGE_BITS = 12;
const PAGE = 1 << PAGE_BITS;

export function grown<T extends Column>(column: T, capacity: number): T {
  const larger = new (column.constructor as new (length: number) => T)(capacity);
  larger.set(column as never);
  return larger;
}

export interface Applied {
  added: number;
  changed: Int32Array;
}

/** The arrays are replaced when they grow: read them from the mirror again in every call, never keep one. */
export class SpanColumns {
  size = 0;
  row = new Uint32Array(0);
  /** Slot of the parent, or -1. */
  parent = new Int32Array(0);
  /** Milliseconds since 1970 UTC; NaN unknown. */
  start = new Float64Array(0);
  /** Milliseconds; NaN unknown or running. */
  duration = new Float32Array(0);
  /** USD; NaN unknown. */
  cost = new Float64Array(0);
  /** Tokens; NONE unknown. */
  input = new Uint32Array(0);
  output = new Uint32Array(0);
  status = new Uint8Array(0);
  flags = new Uint8Array(0);
  provenance = new Uint8Array(0);
  mark = new Uint8Array(0);
  cls = new Uint32Array(0);
  /** 0 for a slot whose span has gone. */
  alive = new Uint8Array(0);
  /** Children as linked lists of slots, in order of arrival; -1 ends them. */
  firstChild = new Int32Array(0);
  nextSibling = new Int32Array(0);
  strings: string[] = [""];
  classes: ClassCodes[] = [];

  prevSibling = new Int32Array(0);
  private lastChild = new Int32Array(0);
  private kinds: number[] = [];
  private pages: (Int32Array | undefined)[] = [];
  /** Row of a parent that has not come yet -> the slots that wait for it; and the other way round. */
  private readonly waiting = new Map<number, number[]>();
  private readonly waitsFor = new Map<number, number>();

  /** 0 orchestrator, 1 agent, 2 llm, 3 tool, 4 any other. */
  kindCode(slot: number): number {
    return this.kinds[this.cls[slot] as number] ?? OTHER_KIND;
  }
  kind(slot: number): string {
    return this.word(slot, 1);
  }
  agent(slot: number): string {
    return this.word(slot, 2);
  }
  name(slot: number): string {
    return this.word(slot, 3);
  }
  modelName(slot: number): string {
    return this.word(slot, 4);
  }
  traceId(slot: number): string {
    return this.word(slot, 0);
  }
  /** -1 when no living span has this row. */
  slotOf(row: number): number {
    const page = this.pages[row >>> PAGE_BITS];
    return page === undefined ? -1 : (page[row & (PAGE - 1)] as number) - 1;
  }

  /** False when codes are missing between what is known and what this brings: then nothing is learned. */
  protected learn(strings: [number, ...string[]], classes: [number, ...ClassCodes[]]): boolean {
    const [firstString, ...texts] = strings;
    const [firstClass, ...codes] = classes;
    if (firstString > this.strings.length || firstClass > this.classes.length) return false;
    for (let i = 0; i < texts.length; i++) this.strings[firstString + i] = texts[i] as string;
    for (let i = 0; i < codes.length; i++) {
      const one = codes[i] as ClassCodes;
      this.classes[firstClass + i] = one;
      const kind = this.strings[one[1]] ?? "";
      this.kinds[firstClass + i] = Object.hasOwn(KINDS, kind) ? (KINDS[kind] as number) : OTHER_KIND;
    }
    return true;
  }

  protected forgetWords(): void {
    this.strings = [""];
    this.classes = [];
    this.kinds = [];
  }

  protected clear(): void {
    this.size = 0;
    this.pages = [];
    this.waiting.clear();
    this.waitsFor.clear();
    // A smaller scope must not keep the memory of a larger one.
    for (const name of COLUMNS) (this[name] as Column) = grown(this[name].subarray(0, 0), 0);
  }

  /** Several messages that belong together (the parts of one snapshot) are applied as one. */
  protected merge(messages: readonly Puts[]): Applied {
    const added = this.size;
    const changed = new Set<number>();
    let most = this.size;
    for (const puts of messages) most += puts.n;
    if (messages.length > 1) this.reserve(most);
    for (const puts of messages) for (const row of puts.gone) this.remove(row, added, changed);
    const slots = messages.map((puts) => this.fill(puts, added, changed));
    for (let m = 0; m < messages.length; m++) this.connect(messages[m] as Puts, slots[m] as Int32Array, added, changed);
    return { added, changed: Int32Array.from(changed) };
  }

  private word(slot: number, part: 0 | 1 | 2 | 3 | 4): string {
    return this.strings[this.classes[this.cls[slot] as number]?.[part] ?? 0] ?? "";
  }

  /** Columns grow at different sizes, so that one append copies one column and not all of them. */
  private reserve(size: number): void {
    for (let i = 0; i < COLUMNS.length; i++) {
      const name = COLUMNS[i] as (typeof COLUMNS)[number];
      if (this[name].length >= size) continue;
      const slack = Math.max(256, (size >>> 4) + Math.floor((size * i) / 128));
      (this[name] as Column) = grown(this[name], size + slack);
    }
  }

  private fill(puts: Puts, added: number, changed: Set<number>): Int32Array {
    const { n } = puts;
    const slots = new Int32Array(n);
    const first = this.size;
    this.reserve(first + n);
    for (let i = 0; i < n; i++) {
      const row = puts.row[i] as number;
      const page = this.pageOf(row);
      let slot = (page[row & (PAGE - 1)] as number) - 1;
      if (slot < 0) {
        slot = this.size++;
        page[row & (PAGE - 1)] = slot + 1;
      } else if (slot < added) changed.add(slot);
      slots[i] = slot;
    }
    const last = this.size;
    this.alive.fill(1, first, last);
    for (const links of [this.parent, this.firstChild, this.nextSibling, this.lastChild, this.prevSibling]) {
      links.fill(-1, first, last);
    }
    for (const name of SENT) {
      const from = puts[name];
      const to = this[name];
      if (last - first === n) to.set(from as never, first);
      else for (let i = 0; i < n; i++) to[slots[i] as number] = from[i] as number;
    }
    return slots;
  }

  private connect(puts: Puts, slots: Int32Array, added: number, changed: Set<number>): void {
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i] as number;
      const row = puts.row[i] as number;
      const parentRow = puts.parent[i] as number;
      const parent = parentRow === NONE || parentRow === row ? -1 : this.slotOf(parentRow);
      if (this.waitsFor.size > 0) this.waitsFor.delete(slot);
      if (parent < 0 && parentRow !== NONE && parentRow !== row) this.wait(slot, parentRow);
      if (parent !== this.parent[slot]) this.setParent(slot, parent);
      if (this.waiting.size > 0) this.adopt(row, slot, added, changed);
    }
  }

  private adopt(row: number, slot: number, added: number, changed: Set<number>): void {
    const children = this.waiting.get(row);
    if (children === undefined) return;
    this.waiting.delete(row);
    for (const child of children) {
      if (this.waitsFor.get(child) !== row) continue;
      this.waitsFor.delete(child);
      this.setParent(child, slot);
      if (child < added) changed.add(child);
    }
  }

  private wait(slot: number, parentRow: number): void {
    this.waitsFor.set(slot, parentRow);
    const others = this.waiting.get(parentRow);
    if (others === undefined) this.waiting.set(parentRow, [slot]);
    else others.push(slot);
  }

  private remove(row: number, added: number, changed: Set<number>): void {
    const slot = this.slotOf(row);
    if (slot < 0) return;
    for (let child = this.firstChild[slot] as number; child >= 0; child = this.firstChild[slot] as number) {
      this.setParent(child, -1);
      if (child < added) changed.add(child);
    }
    this.setParent(slot, -1);
    this.waitsFor.delete(slot);
    this.pageOf(row)[row & (PAGE - 1)] = 0;
    this.alive[slot] = 0;
    if (slot < added) changed.add(slot);
  }

  private setParent(slot: number, parent: number): void {
    const old = this.parent[slot] as number;
    const before = this.prevSibling[slot] as number;
    const after = this.nextSibling[slot] as number;
    if (old >= 0) {
      if (before >= 0) this.nextSibling[before] = after;
      else this.firstChild[old] = after;
      if (after >= 0) this.prevSibling[after] = before;
      else this.lastChild[old] = before;
    }
    this.parent[slot] = parent;
    this.nextSibling[slot] = -1;
    this.prevSibling[slot] = -1;
    if (parent < 0) return;
    const last = this.lastChild[parent] as number;
    if (last >= 0) this.nextSibling[last] = slot;
    else this.firstChild[parent] = slot;
    this.prevSibling[slot] = last;
    this.lastChild[parent] = slot;
  }

  private pageOf(row: number): Int32Array {
    const number = row >>> PAGE_BITS;
    let page = this.pages[number];
    if (page === undefined) {
      page = new Int32Array(PAGE);
      this.pages[number] = page;
    }
    return page;
  }

  /** Bytes that the columns hold, for the memory's benchmark. */
  get bytes(): number {
    let sum = this.pages.reduce((bytes, page) => bytes + (page?.byteLength ?? 0), 0);
    for (const name of COLUMNS) sum += this[name].byteLength;
    return sum;
  }
}

const SENT = [
  "row",
  "start",
  "duration",
  "cost",
  "input",
  "output",
  "status",
  "flags",
  "provenance",
  "mark",
  "cls",
] as const;

// `satisfies` cannot see private names, so the private column is named through the public type.
const COLUMNS = [
  "row",
  "parent",
  "start",
  "duration",
  "cost",
  "input",
  "output",
  "status",
  "flags",
  "provenance",
  "mark",
  "cls",
  "alive",
  "firstChild",
  "nextSibling",
  "lastChild",
  "prevSibling",
] as unknown as ("row" | "parent" | "start" | "status")[];
