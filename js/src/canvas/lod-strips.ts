/** From afar: what falls into one pixel of a line is one mark, and lines of marks are drawn as colored strips. */
import type { Layout } from "../layout/layout";
import { collectMarks, type Marks } from "../layout/level-of-detail";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import type { Camera } from "./camera";
import type { Encoding } from "./encoding";
import { FADED, type HighlightState } from "./graph-renderer";
import { stripLabels } from "./labels";
import type { TextFitter } from "./text-fitter";

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
  fitter: TextFitter,
  attention: HighlightState,
  encoding: Encoding,
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
  // whole pixels of the screen: a strip between two of them would be pale
  const heights = HEIGHTS.map((part) => Math.max(1, Math.round(tall * part * ratio) / ratio));
  const plain = encoding.colorBy === "kind";
  const fades = (attention.kept ?? null) !== null;
  const color = (i: number): string => {
    if (plain) return theme.kinds[marks.kind[i]!]!;
    return encoding.figure === null ? encoding.fill(marks.slot[i]!, theme) : encoding.shade(marks.dearest[i]!, theme);
  };
  for (let worst = 0; worst <= ERROR; worst++) {
    const failed = worst === ERROR;
    let last = "";
    for (let i = 0; i < marks.n; i++) {
      if (marks.worst[i] !== worst) continue;
      const fill = failed && encoding.figure === null ? theme.error : color(i);
      if (fill !== last) context.fillStyle = fill;
      last = fill;
      const alpha = (!failed && marks.trace[i]! > 0 ? 0.55 : 1) * (fades && marks.dearest[i] === 0 ? FADED : 1);
      if (context.globalAlpha !== alpha) context.globalAlpha = alpha;
      const high = heights[marks.kind[i]!]! + (failed ? 2 : 0);
      const left = marks.px0[i]! / ratio;
      const whole = (marks.px1[i]! - marks.px0[i]! + 1) / ratio;
      // a gap tells one call from the next
      const wide = whole >= 4 ? whole - 1 / ratio : Math.max(failed ? 2 : 1, whole);
      const top = Math.round((camera.y(marks.y[i]!) - high / 2) * ratio) / ratio;
      context.fillRect(left, top, wide, high);
      if (!failed || encoding.figure === null) continue;
      // a figure keeps its color, the error is a line under it
      context.fillStyle = theme.error;
      context.fillRect(left, top + high - 2, wide, 2);
      last = "";
    }
  }
  context.globalAlpha = 1;
  const ink = (slot: number): string => encoding.ink(slot, theme);
  if (tall >= 11) stripLabels(context, model, marks, ratio, (y) => camera.y(y), tall, theme, fitter, ink);
  for (const [slot, color] of [
    [attention.hovered, theme.text],
    [attention.selected, theme.accent],
  ] as const) {
    if (slot < 0 || slot >= model.size) continue;
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.strokeRect(camera.x(layout.x[slot]!) - 3, camera.y(layout.y[slot]!) - tall / 2 - 3, 8, tall + 6);
  }
}
