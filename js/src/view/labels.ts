/** Names where nodes are too small to hold them: beside the node, as far as the next one leaves room, or in a strip. */
import type { Marks } from "../layout/marks";
import type { Model } from "../model";
import type { Theme } from "../theme";
import type { Place } from "./edges";
import { SIZES } from "./shapes";
import { type Fitter, shortModel, span } from "./words";

const LEAST_WIDTH = 34;

/** What stands in a node or beside it: of a call to a model, the model. */
export function title(model: Model, slot: number): string {
  return model.kindCode(slot) === 2 ? shortModel(model.modelName(slot) || model.name(slot)) : model.name(slot);
}

export function sideLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  visible: readonly number[],
  place: Place,
  theme: Theme,
  fitter: Fitter,
  lit: ReadonlySet<number> | null,
  width: number,
  inside: boolean,
): void {
  const ordered = visible
    .map((slot) => ({ slot, x: place.x(slot), y: Math.round(place.y(slot)) }))
    .sort((a, b) => a.y - b.y || a.x - b.x);
  const font = `500 10px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = theme.ground;
  context.fillStyle = theme.text;
  for (const [i, { slot, x, y }] of ordered.entries()) {
    const kind = model.kindCode(slot);
    if (kind === 0 || (lit !== null && !lit.has(slot))) continue;
    const next = ordered[i + 1];
    const from = x + (SIZES[kind]! / 2) * place.scale + 4;
    const end = next !== undefined && next.y - y < 4 ? next.x - (SIZES[2] / 2) * place.scale - 4 : width - 4;
    const room = Math.min(150, end - from, width - 4 - from);
    if (room < LEAST_WIDTH) continue;
    const took = Number.isFinite(model.duration[slot]) ? span(model.duration[slot]) : "";
    const name = inside && (kind === 2 || kind === 3) ? "" : title(model, slot);
    const whole = [name, took].filter(Boolean).join(" · ");
    const text = fitter.width(context, whole, font) <= room ? whole : fitter.fit(context, name, room, font);
    if (text === "") continue;
    context.globalAlpha = 0.9;
    context.strokeText(text, from, y + 0.5);
    context.globalAlpha = 0.9;
    context.fillText(text, from, y + 0.5);
  }
  context.globalAlpha = 1;
}

export function stripLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  marks: Marks,
  ratio: number,
  y: (world: number) => number,
  theme: Theme,
  fitter: Fitter,
): void {
  const font = `600 9px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (let i = 0; i < marks.n; i++) {
    const left = marks.px0[i]! / ratio;
    const wide = (marks.px1[i]! - marks.px0[i]! + 1) / ratio;
    if (wide < 34 || marks.count[i] !== 1) continue;
    const slot = marks.slot[i]!;
    context.fillStyle = theme.onKinds[model.kindCode(slot)]!;
    const text = fitter.fit(context, title(model, slot), Math.min(wide, 400) - 8, font);
    context.fillText(text, Math.max(left, 0) + 4, y(marks.y[i]!) + 0.5);
  }
}
