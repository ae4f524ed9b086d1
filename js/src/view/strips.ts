/** From afar: what falls into one pixel of a line is one mark, and lines of marks are drawn as coloured strips. */
import type { Layout } from "../layout/layout";
import { collectMarks, type Marks } from "../layout/pixels";
import type { Model } from "../model";
import type { Theme } from "../theme";
import type { Camera } from "./camera";
import { stripLabels } from "./labels";
import type { Attention } from "./picture";
import type { Fitter } from "./words";

/** Of a strip's height, by kind code: calls to models stand out, those who make them are thin lines. */
const HEIGHTS = [0.55, 0.55, 1, 0.7, 0.7] as const;
const ERROR = 2;

export function drawStrips(
  context: CanvasRenderingContext2D,
  ratio: number,
  model: Model,
  layout: Layout,
  camera: Camera,
  marks: Marks,
  theme: Theme,
  fitter: Fitter,
  attention: Attention,
): void {
  const view = {
    x0: camera.worldX(0),
    y0: camera.worldY(-20),
    x1: camera.worldX(camera.width),
    y1: camera.worldY(camera.height + 20),
    kx: camera.kx * ratio,
  };
  collectMarks(layout, view, marks);
  const tall = Math.max(1, Math.min(24, 46 * camera.ky));
  const draw = (worst: number, kind: number, high: number, least: number): void => {
    for (let i = 0; i < marks.n; i++) {
      if (marks.worst[i] !== worst || marks.kind[i] !== kind) continue;
      const left = marks.px0[i]! / ratio;
      const wide = Math.max(least, (marks.px1[i]! - marks.px0[i]! + 1) / ratio);
      context.globalAlpha = worst !== ERROR && marks.trace[i]! > 0 ? 0.55 : 1;
      context.fillRect(left, Math.round((camera.y(marks.y[i]!) - high / 2) * ratio) / ratio, wide, high);
    }
  };
  for (let worst = 0; worst <= ERROR; worst++) {
    for (const [kind, part] of HEIGHTS.entries()) {
      const failed = worst === ERROR;
      context.fillStyle = failed ? theme.error : theme.kinds[kind]!;
      // whole pixels of the screen: a strip between two of them would be pale
      const high = Math.max(1, Math.round(tall * part * ratio) / ratio);
      draw(worst, kind, high + (failed ? 2 : 0), failed ? 2 : 1);
    }
  }
  context.globalAlpha = 1;
  const ink = (slot: number): string => theme.onKinds[model.kindCode(slot)]!;
  if (tall >= 11) stripLabels(context, model, marks, ratio, (y) => camera.y(y), tall, theme, fitter, ink);
  for (const [slot, colour] of [
    [attention.hovered, theme.text],
    [attention.selected, theme.accent],
  ] as const) {
    if (slot < 0 || slot >= model.size) continue;
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(camera.x(layout.x[slot]!) - 3, camera.y(layout.y[slot]!) - tall / 2 - 3, 8, tall + 6);
  }
}
