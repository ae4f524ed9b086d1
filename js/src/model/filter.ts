/** What the page keeps of the spans: chosen kinds, agents, models, states, ranges of cost and duration, a text. Pure. */

import { markWord } from "../ui/span-marks";
import type { SpanColumns } from "./span-columns";

export const LISTS = ["kind", "agent", "model", "status", "mark"] as const;
export type List = (typeof LISTS)[number];
export const UNMARKED = "no mark";
export const STATUS_WORDS = ["running", "ok", "error"] as const;

export interface Range {
  /** Null: open to that side. What is unknown passes only where both are null. */
  from: number | null;
  to: number | null;
}

export interface Criteria {
  /** Null: all of them. */
  kind: ReadonlySet<string> | null;
  agent: ReadonlySet<string> | null;
  model: ReadonlySet<string> | null;
  status: ReadonlySet<string> | null;
  /** Of the user; `UNMARKED` is one of them. */
  mark: ReadonlySet<string> | null;
  /** US dollars. */
  cost: Range;
  /** Milliseconds. */
  duration: Range;
  /** In names, in small letters. */
  text: string;
}

const OPEN: Range = { from: null, to: null };
export const EVERYTHING: Criteria = {
  kind: null,
  agent: null,
  model: null,
  status: null,
  mark: null,
  cost: OPEN,
  duration: OPEN,
  text: "",
};

export function isOpen(range: Range): boolean {
  return range.from === null && range.to === null;
}

/** How many of them are in use. */
export function inUse(criteria: Criteria): number {
  const lists = LISTS.filter((list) => criteria[list] !== null).length;
  return lists + Number(!isOpen(criteria.cost)) + Number(!isOpen(criteria.duration)) + Number(criteria.text !== "");
}

/** A test by slot. Words are looked at once for each class of spans, so a million spans cost a million look-ups. */
export function tester(model: SpanColumns, criteria: Criteria): (slot: number) => boolean {
  const { cost, duration, mark, status } = criteria;
  const words = classTester(model, (kind, agent, name, modelName) => {
    if (criteria.kind !== null && !criteria.kind.has(kind)) return false;
    if (criteria.agent !== null && !criteria.agent.has(agent)) return false;
    if (criteria.model !== null && !criteria.model.has(modelName)) return false;
    return criteria.text === "" || holds(criteria.text, kind, agent, name, modelName);
  });
  return (slot) =>
    words(slot) &&
    (mark === null || mark.has(markWord(model.mark[slot]) || UNMARKED)) &&
    (status === null || status.has(STATUS_WORDS[model.status[slot]!] ?? "")) &&
    within(model.cost[slot]!, cost) &&
    within(model.duration[slot]!, duration);
}

/** Looks for a text in names, agents, models, kinds and marks. */
export function finder(model: SpanColumns, text: string): (slot: number) => boolean {
  const wanted = text.toLowerCase();
  const words = classTester(model, (...words) => holds(wanted, ...words));
  return (slot) => words(slot) || (model.mark[slot]! > 0 && holds(wanted, markWord(model.mark[slot])));
}

function holds(wanted: string, ...words: string[]): boolean {
  return words.some((word) => word.toLowerCase().includes(wanted));
}

function within(value: number, range: Range): boolean {
  if (isOpen(range)) return true;
  return (range.from === null || value >= range.from) && (range.to === null || value <= range.to);
}

function classTester(
  model: SpanColumns,
  test: (kind: string, agent: string, name: string, modelName: string) => boolean,
): (slot: number) => boolean {
  let known = new Uint8Array(model.classes.length);
  const word = (code: number | undefined): string => model.strings[code ?? 0] ?? "";
  return (slot) => {
    const cls = model.cls[slot]!;
    if (cls >= known.length) {
      const larger = new Uint8Array(Math.max(cls + 1, model.classes.length));
      larger.set(known);
      known = larger;
    }
    if (known[cls] === 0) {
      const codes = model.classes[cls];
      known[cls] = test(word(codes?.[1]), word(codes?.[2]), word(codes?.[3]), word(codes?.[4])) ? 2 : 1;
    }
    return known[cls] === 2;
  };
}
