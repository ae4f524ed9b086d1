/** Words beside nodes, as far as the next one leaves room; they lie on the bar, and where that ends, lines make way. */

import { Status } from "../kernel/protocol";
import type { Marks } from "../layout/pixel-marks";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import { money, shortModel, span } from "../ui/format";
import type { CollapsedLabel } from "./collapsed-label";
import type { Place } from "./edges";
import { highOf, SIZES } from "./nodes";
import type { TextFitter } from "./text-fitter";

const LEAST_WIDTH = 26;
const MOST_WIDTH = 210;
const HIGH = 13;
/** Between a node and the words beside it: the ring of one that failed and is selected has room there. */
const GAP = 9;
/** From this scale on, what has no room beside its node may stand under it. */
const UNDER = 0.75;

/** What stands in a node or beside it: of a call to a model, the model. */
export function title(model: Model, slot: number): string {
  return model.kindCode(slot) === 2 ? shortModel(model.modelName(slot) || model.name(slot)) : model.name(slot);
}

export interface Label {
  slot: number;
  text: string;
  /** Left edge, middle, width. */
  x: number;
  y: number;
  wide: number;
}

/** Where words go; names of model and tool calls are in their nodes when `inside`. */
export function planLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  visible: readonly number[],
  place: Place,
  theme: Theme,
  fitter: TextFitter,
  lit: ReadonlySet<number> | null,
  width: number,
  inside: boolean,
  folded: (slot: number) => CollapsedLabel | null = () => null,
): Label[] {
  const ordered = visible
    .map((slot) => ({ slot, x: place.x(slot), y: Math.round(place.y(slot)) }))
    .sort((a, b) => a.y - b.y || a.x - b.x);
  const font = fontOf(theme);
  context.font = font;
  const labels: Label[] = [];
  for (const [i, { slot, x, y }] of ordered.entries()) {
    if (lit !== null && !lit.has(slot)) continue;
    const kind = model.kindCode(slot);
    const half = (SIZES[kind]! / 2) * place.scale * place.factor(slot);
    const from = Math.max(x + half + GAP, 6);
    const next = ordered[i + 1];
    const beside = next !== undefined && next.y - y < 8 ? next : undefined;
    const end =
      beside === undefined
        ? width - 4
        : beside.x - (SIZES[model.kindCode(beside.slot)]! / 2) * place.scale * place.factor(beside.slot) - 4;
    const room = Math.min(MOST_WIDTH, end - from, width - 4 - from);
    const [name, facts] = said(model, slot, inside && (kind === 2 || kind === 3), folded(slot));
    const text = room < LEAST_WIDTH ? "" : longest(context, fitter, name, facts, room, font);
    if (text !== "") labels.push({ slot, text, x: from, y, wide: fitter.width(context, text, font) });
    else if (inside && place.scale > UNDER && facts[0] !== undefined) {
      const before = ordered[i - 1];
      const left = before !== undefined && y - before.y < 8 ? before.x : Number.NEGATIVE_INFINITY;
      const wide = fitter.width(context, facts[0], font);
      if (wide > Math.min(beside === undefined ? 90 : beside.x - x, x - left, 90) - 4) continue;
      labels.push({
        slot,
        text: facts[0],
        x: x - wide / 2,
        y: y + (highOf(kind) / 2) * place.scale * place.factor(slot) + 8,
        wide,
      });
    }
  }
  return labels;
}

function said(
  model: Model,
  slot: number,
  named: boolean,
  folded: CollapsedLabel | null,
): [name: string, facts: string[]] {
  if (folded !== null) {
    const { times, facts } = folded;
    return named ? ["", [times, ...facts].filter(Boolean)] : [[title(model, slot), times].join(" ").trim(), facts];
  }
  const facts: string[] = [];
  if (model.status[slot] === Status.running) facts.push("running");
  else if (Number.isFinite(model.duration[slot])) facts.push(span(model.duration[slot]));
  if (named && model.cost[slot]! > 0) facts.push(money(model.cost[slot]!));
  return [named ? "" : title(model, slot), facts];
}

/** As many facts after the name as fit; else the name, cut. */
function longest(
  context: CanvasRenderingContext2D,
  fitter: TextFitter,
  name: string,
  facts: string[],
  room: number,
  font: string,
): string {
  for (let n = facts.length; n >= 0; n--) {
    const whole = [name, ...facts.slice(0, n)].filter(Boolean).join(" · ");
    if (fitter.width(context, whole, font) <= room) return whole;
  }
  return name === "" ? "" : fitter.fit(context, name, room, font);
}

/** Clears the way for words: drawn after the lines and before the bars. */
export function clearFor(context: CanvasRenderingContext2D, labels: readonly Label[], ground: (y: number) => string) {
  for (const { x, y, wide } of labels) {
    context.fillStyle = ground(y);
    context.fillRect(x - 2, y - HIGH / 2, wide + 4, HIGH);
  }
}

export function writeLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  labels: readonly Label[],
  theme: Theme,
  strength: (slot: number) => number = () => 1,
): void {
  context.font = fontOf(theme);
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const { slot, text, x, y } of labels) {
    context.globalAlpha = strength(slot);
    context.fillStyle = model.status[slot] === Status.error ? theme.error : theme.text;
    context.fillText(text, x, y + 0.5);
  }
  context.globalAlpha = 1;
}

function fontOf(theme: Theme): string {
  return `500 10px ${theme.font}`;
}

export function stripLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  marks: Marks,
  ratio: number,
  y: (world: number) => number,
  high: number,
  theme: Theme,
  fitter: TextFitter,
  ink: (slot: number) => string,
): void {
  const font = `600 ${high >= 14 ? 10 : 9}px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (let i = 0; i < marks.n; i++) {
    const left = Math.max(marks.px0[i]! / ratio, 0);
    const wide = (marks.px1[i]! + 1) / ratio - left;
    if (wide < 34 || marks.count[i]! > 1) continue;
    const slot = marks.slot[i]!;
    if (model.kindCode(slot) <= 1) continue;
    context.fillStyle = marks.worst[i] === 2 ? theme.onError : ink(slot);
    context.fillText(
      fitter.fit(context, title(model, slot), Math.min(wide, 400) - 8, font),
      left + 4,
      y(marks.y[i]!) + 0.5,
    );
  }
}
