/**
 * The vertical order: one band for each agent of each trace; in it lines for the agent itself, its model calls, its
 * tool calls and the rest. A line, once it has its y, keeps it until everything is laid out anew.
 */
import type { Model } from "../model/model";
import { type LayoutColumns, Row } from "./row";
import { originalOf } from "./time-scale";
import type { Bounds } from "./types";

export const ROW_HEIGHT = 64;
const HEAD_ROOM = 34;
const BAND_GAP = 22;
const TRACE_GAP = 46;
/** Lines of one group: as many as there is room wanted for, as many as there can be for spans at work together. */
const WANTED_LINES = [1, 2, 3, 2];
export const MOST_LINES = 48;
/** Lines that a band keeps free for a run that goes on: agent, model calls, tool calls, others. */
const RESERVED = [0, 1, 2, 0];

/** A band: one agent of one trace. `slot` is the agent's node, or the first span of the band. */
export interface Lane {
  y0: number;
  y1: number;
  label: string;
  slot: number;
  trace_id: string;
  /** 0 = the trace looked at; others are drawn dashed, as branches beside it. */
  trace: number;
}

export class Band {
  /** By group: 0 the agent itself, 1 model calls, 2 tool calls, 3 others. */
  readonly lines: Row[][] = [[], [], [], []];
  readonly spare: number[][] = [[], [], [], []];
  start = Number.POSITIVE_INFINITY;
  orchestrator = false;
  /** Where the band goes on when there was no more room in its place. */
  more: Band | null = null;
  lane: Lane;

  constructor(
    readonly id: number,
    readonly trace: number,
    traceId: string,
    label: string,
    slot: number,
  ) {
    this.lane = { y0: 0, y1: 0, label, slot, trace_id: traceId, trace };
  }
}

export const GROUP_OF_KIND = [0, 0, 1, 2, 3];

export class Bands {
  bands: Band[] = [];
  rows: Row[] = [];
  /** Rows by y, once they have one. */
  byY: Row[] = [];
  lanes: Lane[] = [];
  bottom = 0;
  /** While everything is laid out anew, lines get their y at the end, in `stack`. */
  private loose = true;
  /** Answers found no room beside their original: all is to be laid out anew. */
  crowded = false;
  private readonly found = new Map<string, Band>();
  private byClass: (Band | undefined)[] = [];

  constructor(private readonly model: Model) {}

  clear(): void {
    this.bands = [];
    this.rows = [];
    this.byY = [];
    this.lanes = [];
    this.found.clear();
    this.byClass = [];
    this.bottom = 0;
    this.loose = true;
    this.crowded = false;
  }

  traceOf(slot: number): number {
    const id = this.model.traceId(slot);
    return Math.max(0, this.model.shown.indexOf(id));
  }

  /** Number of the trace, by class. */
  traces(): Uint32Array {
    const { classes, strings, shown } = this.model;
    return Uint32Array.from(classes, (codes) => Math.max(0, shown.indexOf(strings[codes?.[0] ?? 0] ?? "")));
  }

  of(slot: number): Band {
    const cls = this.model.cls[slot] as number;
    let band = this.byClass[cls];
    if (band === undefined) {
      const traceId = this.model.traceId(slot);
      const agent = this.model.agent(slot);
      const key = JSON.stringify([traceId, agent]);
      band = this.found.get(key) ?? this.add(key, slot, traceId, agent || this.model.name(slot));
      this.byClass[cls] = band;
    }
    return band;
  }

  /** First line with room; else one more; else the one where a node overlaps least, but no bar does. */
  lineFor(band: Band, group: number, x: number, end: number, width: number, columns: LayoutColumns): Row {
    const lines = band.lines[group] as Row[];
    let close: Row | null = null;
    let soonest: Row | null = null;
    for (const row of lines) {
      const free = row.free(x, end, width, columns);
      if (free === 2) return row;
      if (free === 1 && (close === null || row.visualEnd < close.visualEnd)) close = row;
      if (soonest === null || row.trueEnd < soonest.trueEnd) soonest = row;
    }
    return this.line(band, group, close === null) ?? close ?? (soonest as Row);
  }

  /** Another line for the group; null when the band may have no more. `needed`: no line has the time free. */
  line(band: Band, group: number, needed: boolean): Row | null {
    const lines = band.lines[group] as Row[];
    const most = needed ? MOST_LINES : (WANTED_LINES[group] as number);
    if (this.loose) return lines.length < most ? this.make(band, group) : null;
    const spare = band.spare[group] as number[];
    const last = this.last(band);
    if (spare.length > 0) return this.put(this.make(band, group), spare.shift() as number);
    if (lines.length > 0 && (this.count(band, group) >= most || (!needed && last.lane.y1 < this.bottom))) return null;
    this.crowded ||= last.lane.y1 < this.bottom && this.host(band.trace) !== undefined;
    const home = last.lane.y1 < this.bottom ? this.goOn(last) : last;
    const y = home.lane.y1 + ROW_HEIGHT / 2;
    home.lane.y1 += ROW_HEIGHT;
    this.bottom = home.lane.y1;
    const row = this.make(band, group);
    return this.put(row, y);
  }

  /** Gives every band and line its y: the trace looked at first, its orchestrator on top, then agents by first start. */
  stack(living: (trace: number) => boolean): void {
    this.loose = false;
    this.bands.sort(
      (a, b) =>
        a.trace - b.trace ||
        Number(b.orchestrator) - Number(a.orchestrator) ||
        (a.start < b.start ? -1 : a.start > b.start ? 1 : a.id - b.id),
    );
    this.bands = this.seated();
    let y = 0;
    let trace = this.bands[0]?.trace ?? 0;
    for (const band of this.bands) {
      const beside = this.host(band.trace) !== undefined || this.host(trace) !== undefined;
      if (band.trace !== trace && !beside) y += TRACE_GAP;
      trace = band.trace;
      y = this.stackOne(band, y, living(trace)) + BAND_GAP;
    }
    this.bottom = y - BAND_GAP;
    this.lanes = this.bands.map((band) => band.lane);
    this.byY = [...this.rows].sort((a, b) => a.y - b.y);
  }

  /** The bands in their order, but answers about a call right under the band of that call's agent. */
  private seated(): Band[] {
    const guests = new Map<Band | undefined, Band[]>();
    for (const band of this.bands) {
      const host = this.host(band.trace);
      guests.set(host, [...(guests.get(host) ?? []), band]);
    }
    const withGuests = (band: Band): Band[] => [band, ...(guests.get(band) ?? []).flatMap(withGuests)];
    return (guests.get(undefined) ?? []).flatMap(withGuests);
  }

  /** The band of the call that a trace is about. */
  private host(trace: number): Band | undefined {
    const original = originalOf(this.model, trace);
    const band = original < 0 ? undefined : this.byClass[this.model.cls[original] as number];
    return band?.trace === trace ? undefined : band;
  }

  /** Widens the bounds to all that stands here; `now` is where running bars of a trace end. */
  reach(bounds: Bounds, now: (trace: number) => number): void {
    for (const row of this.rows) {
      if (row.n === 0) continue;
      const end = row.trueEnd === Number.POSITIVE_INFINITY ? now(row.trace) : row.trueEnd;
      bounds.x0 = Math.min(bounds.x0, row.keys[0] as number);
      bounds.x1 = Math.max(bounds.x1, row.lastKey, end);
    }
    bounds.y1 = Math.max(bounds.y1, this.bottom);
  }

  private stackOne(band: Band, top: number, living: boolean): number {
    let y = top + HEAD_ROOM;
    band.lane.y0 = top;
    for (let group = 0; group < band.lines.length; group++) {
      const lines = band.lines[group] as Row[];
      const room = living ? Math.max(lines.length, RESERVED[group] as number) : lines.length;
      band.spare[group] = [];
      for (let i = 0; i < room; i++, y += ROW_HEIGHT) {
        const row = lines[i];
        if (row === undefined) (band.spare[group] as number[]).push(y + ROW_HEIGHT / 2);
        else row.y = y + ROW_HEIGHT / 2;
      }
    }
    band.lane.y1 = Math.max(y, top + HEAD_ROOM + ROW_HEIGHT);
    return band.lane.y1;
  }

  private add(key: string, slot: number, traceId: string, label: string): Band {
    const band = new Band(this.bands.length, this.traceOf(slot), traceId, label, slot);
    this.bands.push(band);
    this.found.set(key, band);
    if (!this.loose) this.addBelow(band, this.model.kindCode(slot) <= 1);
    return band;
  }

  private addBelow(band: Band, head: boolean): void {
    const before = this.lanes[this.lanes.length - 1];
    const gap = before === undefined ? 0 : before.trace === band.trace ? BAND_GAP : TRACE_GAP;
    const top = this.bottom + gap;
    this.bottom = this.stackOne(band, top, true);
    if (head) {
      // Nothing stands in the new band yet, so its agent's own line can still be the first.
      const shift = (ys: number[]): number[] => ys.map((y) => y + ROW_HEIGHT);
      for (let group = 1; group < 4; group++) band.spare[group] = shift(band.spare[group] as number[]);
      band.spare[0] = [top + HEAD_ROOM + ROW_HEIGHT / 2];
      band.lane.y1 += ROW_HEIGHT;
      this.bottom = band.lane.y1;
    }
    this.lanes.push(band.lane);
  }

  private goOn(band: Band): Band {
    const { label, slot, trace_id } = band.lane;
    const more = new Band(this.bands.length, band.trace, trace_id, label, slot);
    more.lane.y0 = this.bottom + BAND_GAP;
    more.lane.y1 = more.lane.y0 + HEAD_ROOM;
    this.bands.push(more);
    this.lanes.push(more.lane);
    this.bottom = more.lane.y1;
    band.more = more;
    return more;
  }

  private last(band: Band): Band {
    let last = band;
    while (last.more !== null) last = last.more;
    return last;
  }

  private count(band: Band, group: number): number {
    return (band.lines[group] as Row[]).length;
  }

  private make(band: Band, group: number): Row {
    const kind = group === 0 ? (band.orchestrator ? 0 : 1) : group + 1;
    const row = new Row(this.rows.length, band.id, kind, band.trace);
    row.growing = this.loose;
    this.rows.push(row);
    (band.lines[group] as Row[]).push(row);
    return row;
  }

  private put(row: Row, y: number): Row {
    row.y = y;
    let at = this.byY.length;
    while (at > 0 && (this.byY[at - 1] as Row).y > y) at--;
    this.byY.splice(at, 0, row);
    return row;
  }
}
