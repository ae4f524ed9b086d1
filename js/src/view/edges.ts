/** The lines between nodes: a request solid, the response dashed, a delegation thick. They run in steps, so that many are few. */
import type { Model } from "../model";
import { Status } from "../protocol";
import type { Theme } from "../theme";

export interface Place {
  x(slot: number): number;
  y(slot: number): number;
  scale: number;
}

const CORNER = 7;

function stepped(context: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number, mid: number): void {
  const way = Math.sign(x1 - x0);
  const r = Math.min(CORNER, Math.abs(x1 - x0) / 2, Math.abs(mid - y0), Math.abs(y1 - mid));
  context.moveTo(x0, y0);
  if (way === 0 || r < 1) {
    context.lineTo(x0, mid);
    context.lineTo(x1, mid);
    context.lineTo(x1, y1);
    return;
  }
  const down0 = Math.sign(mid - y0);
  const down1 = Math.sign(y1 - mid);
  context.lineTo(x0, mid - r * down0);
  context.quadraticCurveTo(x0, mid, x0 + r * way, mid);
  context.lineTo(x1 - r * way, mid);
  context.quadraticCurveTo(x1, mid, x1, mid + r * down1);
  context.lineTo(x1, y1);
}

/** Draws the edges that lead to these nodes from their parents. `lit` are drawn in the accent colour, on top. */
export function drawEdges(
  context: CanvasRenderingContext2D,
  model: Model,
  slots: readonly number[],
  place: Place,
  theme: Theme,
  lit: ReadonlySet<number> | null,
  alpha: (slot: number) => number,
): void {
  const batches: { width: number; dash: number[]; colour: string; alpha: number; slots: number[]; back: boolean }[] =
    [];
  const solid = { width: 1.3, dash: [], colour: theme.line, alpha: 1, slots: [] as number[], back: false };
  const back = { width: 1.1, dash: [3, 4], colour: theme.muted, alpha: 0.8, slots: [] as number[], back: true };
  const thick = { width: 3, dash: [], colour: theme.line, alpha: 1, slots: [] as number[], back: false };
  const bright = { width: 2.4, dash: [], colour: theme.accent, alpha: 1, slots: [] as number[], back: false };
  for (const slot of slots) {
    const parent = model.parent[slot] as number;
    if (parent < 0 || !model.alive[parent]) continue;
    if (lit?.has(slot) && lit.has(parent)) {
      bright.slots.push(slot);
      continue;
    }
    const delegates = model.kindCode(slot) <= 1;
    (delegates ? thick : solid).slots.push(slot);
    if (model.kindCode(slot) === 3 && model.status[slot] !== Status.running) back.slots.push(slot);
  }
  batches.push(thick, solid, back, bright);
  for (const batch of batches) {
    if (batch.slots.length === 0) continue;
    context.strokeStyle = batch.colour;
    context.lineWidth = batch.width * Math.max(0.5, Math.min(1, place.scale));
    context.setLineDash(batch.dash);
    let level = -1;
    context.beginPath();
    for (const slot of batch.slots) {
      const strength = batch.alpha * (lit !== null && batch !== bright ? 0.35 : 1) * alpha(slot);
      if (strength !== level) {
        if (level >= 0) context.stroke();
        context.beginPath();
        context.globalAlpha = strength;
        level = strength;
      }
      const parent = model.parent[slot] as number;
      const [x0, y0, x1, y1] = [place.x(parent), place.y(parent), place.x(slot), place.y(slot)];
      const aside = batch.back ? 6 * place.scale : 0;
      const gap =
        Math.abs(y1 - y0) < 2 ? y0 + 26 * place.scale : y1 > y0 ? y1 - 31 * place.scale : y1 + 31 * place.scale;
      stepped(context, x0 + aside, y0, x1 + aside, y1, gap + aside / 2);
    }
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}
