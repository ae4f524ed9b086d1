/** Names where nodes are too small to hold them: beside the node, as far as the next one leaves room, or in a strip. */
import type { Marks } from "../layout/marks";
import type { Model } from "../model";
import type { Theme } from "../theme";
import type { Place } from "./edges";
import { SIZES } from "./shapes";
import { type Fitter, shortModel, span } from "./words";

const LEAST_WIDTH = 26;

function title(model: Model, slot: number): string {
  return model.kindCode(slot) === 2 ? shortModel(model.name(slot)) : model.name(slot);
}

export function sideLabels(
  context: CanvasRenderingContext2D,
  model: Model,
  visible: readonly number[],
  place: Place,
  theme: Theme,
  fitter: Fitter,
  lit: ReadonlySet<number> | null,
): void {
  const ordered = visible
    .map((slot) => ({ slot, x: place.x(slot), y: Math.round(place.y(slot)) }))
    .sort((a, b) => a.y - b.y || a.x - b.x);
  const font = `500 10px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const [i, { slot, x, y }] of ordered.entries()) {
    if (model.kindCode(slot) === 0 || (lit !== null && !lit.has(slot))) continue;
    const next = ordered[i + 1];
    const from = x + (SIZES[model.kindCode(slot)]! / 2) * place.scale + 4;
    const room = Math.min(
      150,
      next !== undefined && next.y - y < 4 ? next.x - (SIZES[2] / 2) * place.scale - 4 - from : 150,
    );
    if (room < LEAST_WIDTH) continue;
    const took = Number.isFinite(model.duration[slot]) ? ` · ${span(model.duration[slot])}` : "";
    const name = title(model, slot);
    const whole = `${name}${took}`;
    const text = context.measureText(whole).width <= room ? whole : fitter.fit(context, name, room, font);
    context.fillStyle = theme.text;
    context.globalAlpha = 0.85;
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
