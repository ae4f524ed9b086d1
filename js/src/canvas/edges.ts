/**
 * The lines between nodes: a request solid, the response dashed, a delegation thick. A request leaves its caller's bar
 * at the time when it was made; a response leaves where the call ended. What shares its way is drawn once.
 */

import { Status } from "../kernel/protocol";
import { originalOf } from "../layout/time-scale";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import { SIZES } from "./nodes";

export interface Place {
  x(slot: number): number;
  y(slot: number): number;
  /** Right end of the span's bar; x itself where it has none. */
  end(slot: number): number;
  /** By how much the node is larger than its kind. */
  factor(slot: number): number;
  scale: number;
}

const CORNER = 7;
const DASH = [3, 4];
/** In the order in which they lie over one another. */
const LOOKS = {
  thick: { width: 3, dash: [] as number[], color: "line", alpha: 1 },
  solid: { width: 1.3, dash: [] as number[], color: "line", alpha: 1 },
  back: { width: 1.1, dash: DASH, color: "muted", alpha: 0.75 },
  /** From a call to what was answered when it was tried again. */
  tried: { width: 1.5, dash: [6, 4] as number[], color: "accent", alpha: 0.8 },
  bright: { width: 2.2, dash: [] as number[], color: "accent", alpha: 1 },
  brightBack: { width: 1.6, dash: DASH, color: "accent", alpha: 1 },
} as const;

/** One way: from the caller down to a level, along it, and from there to every callee on it. */
interface Way {
  x0: number;
  y0: number;
  level: number;
  xs: number[];
  ys: number[];
}

class Batch {
  readonly ways = new Map<string, Way>();
  constructor(
    readonly width: number,
    readonly dash: number[],
    readonly color: string,
    readonly alpha: number,
  ) {}

  /** `way` says what may share a line. */
  add(way: string, x0: number, y0: number, level: number, x1: number, y1: number): void {
    const key = `${way} ${Math.round(x0)} ${Math.round(level)}`;
    const found = this.ways.get(key);
    if (found === undefined) this.ways.set(key, { x0, y0, level, xs: [x1], ys: [y1] });
    else {
      found.xs.push(x1);
      found.ys.push(y1);
    }
  }
}

/** Down, along and down again; only the ends that lie farthest out are rounded, the others hang from the line. */
function trace(context: CanvasRenderingContext2D, { x0, y0, level, xs, ys }: Way): void {
  const left = Math.min(x0, ...xs);
  const right = Math.max(x0, ...xs);
  const sides = new Set([left, right].filter((side) => Math.abs(side - x0) >= 1));
  context.moveTo(x0, y0);
  const far = (x: number): number => {
    let most = level;
    for (let i = 0; i < xs.length; i++)
      if (Math.abs(xs[i]! - x) < 1 && Math.abs(ys[i]! - level) >= Math.abs(most - level)) most = ys[i]!;
    return most;
  };
  if (sides.size === 0) {
    context.lineTo(x0, far(x0));
    return;
  }
  for (const side of sides) {
    const end = far(side);
    const way = Math.sign(side - x0);
    const r = Math.min(CORNER, Math.abs(side - x0) / 2, Math.abs(level - y0), Math.abs(end - level));
    context.lineTo(x0, level - r * Math.sign(level - y0));
    context.quadraticCurveTo(x0, level, x0 + r * way, level);
    context.lineTo(side - r * way, level);
    context.quadraticCurveTo(side, level, side, level + r * Math.sign(end - level));
    context.lineTo(side, end);
    context.moveTo(x0, y0);
  }
  for (const [i, x] of xs.entries()) {
    if (sides.has(x)) continue;
    context.moveTo(x, level);
    context.lineTo(x, ys[i]!);
  }
}

/** Draws the edges that lead to these nodes from their parents. `lit` are drawn in the accent color, on top. */
export function drawEdges(
  context: CanvasRenderingContext2D,
  model: Model,
  slots: readonly number[],
  place: Place,
  theme: Theme,
  lit: ReadonlySet<number> | null,
  alpha: (slot: number) => number,
): void {
  const { scale } = place;
  const faint = lit === null ? 1 : 0.35;
  const batches = new Map<string, Batch>();
  /** Lines of one look and strength are one stroke. */
  const batch = (look: keyof typeof LOOKS, strength: number): Batch => {
    const key = `${look} ${strength.toFixed(2)}`;
    let found = batches.get(key);
    if (found === undefined) {
      const { width, dash, color, alpha } = LOOKS[look];
      found = new Batch(width, dash, theme[color], alpha * strength * (color === "accent" ? 1 : faint));
      batches.set(key, found);
    }
    return found;
  };
  const about = model.shown.map((_, trace) => originalOf(model, trace));
  const traces = new Map(model.shown.map((id, trace) => [id, trace]));
  for (const slot of slots) {
    const original = traces.size > 1 && model.kindCode(slot) === 2 ? about[traces.get(model.traceId(slot)) ?? 0]! : -1;
    if (original >= 0) request(batch("tried", alpha(slot)), model, slot, original, place);
    const parent = model.parent[slot] as number;
    if (parent < 0 || !model.alive[parent]) continue;
    const kind = model.kindCode(slot);
    const onWay = lit?.has(slot) === true && lit.has(parent);
    const strength = alpha(slot);
    request(batch(onWay ? "bright" : kind <= 1 ? "thick" : "solid", strength), model, slot, parent, place);
    if (kind === 3 && model.status[slot] !== Status.running)
      response(batch(onWay ? "brightBack" : "back", strength), model, slot, parent, place);
  }
  const order = Object.keys(LOOKS);
  const sorted = [...batches].sort(([a], [b]) => order.indexOf(a.split(" ")[0]!) - order.indexOf(b.split(" ")[0]!));
  for (const [, batch] of sorted) {
    context.strokeStyle = batch.color;
    context.globalAlpha = batch.alpha;
    context.lineWidth = batch.width * Math.max(0.7, Math.min(1, scale));
    context.setLineDash(batch.dash);
    context.beginPath();
    for (const way of batch.ways.values()) trace(context, way);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

/** From the caller's bar, straight down where the callee began under it. */
function request(batch: Batch, model: Model, slot: number, parent: number, place: Place): void {
  const { scale } = place;
  const [x1, y0, y1] = [place.x(slot), place.y(parent), place.y(slot)];
  const x0 = Math.min(Math.max(x1, place.x(parent)), place.end(parent));
  const near = Math.abs(x1 - x0) <= asideOf(model, slot) * scale;
  const level = levelAt(y0, y1, 31 * scale);
  batch.add(`${parent} ${near}`, x0, y0, level, near ? x0 : x1, y1);
}

/** From the callee's end up to just under its caller, and there to it. */
function response(batch: Batch, model: Model, slot: number, parent: number, place: Place): void {
  const { scale } = place;
  const [x1, y0, y1] = [place.x(slot), place.y(parent), place.y(slot)];
  const aside = asideOf(model, slot) * scale;
  const x0 = Math.min(Math.max(x1, place.x(parent)), place.end(parent));
  // calls that began together and took no time are one way back
  const from = Math.max(place.end(slot), (Math.abs(x1 - x0) <= aside ? x0 : x1) + aside);
  const level = levelAt(y1, y0, 25 * scale);
  batch.add(`${parent}`, x0 + 4 * scale, y0, level, from, y1);
}

/** How far from a node's middle a line still meets it well. */
function asideOf(model: Model, slot: number): number {
  return SIZES[model.kindCode(slot)]! * 0.3;
}

/** The level of the line along, this far before `to`; beside nodes of one line it runs under them. */
function levelAt(from: number, to: number, before: number): number {
  if (Math.abs(to - from) < 2) return from + before * 0.85;
  return to > from ? to - before : to + before;
}
