/** The bands of the agents: their ground, and their names at the left edge, which stay in sight. */
import type { Layout } from "../layout/layout";
import type { Theme } from "../theme";
import type { Camera } from "./camera";
import type { TextFitter } from "./text-fitter";

const MOST_WIDTH = 220;

export function drawBands(context: CanvasRenderingContext2D, layout: Layout, camera: Camera, theme: Theme): void {
  for (const [i, lane] of layout.lanes.entries()) {
    const [top, bottom] = [camera.y(lane.y0), camera.y(lane.y1)];
    if (bottom < 0 || top > camera.height) continue;
    if (i % 2 === 0) {
      context.fillStyle = theme.band;
      context.fillRect(0, top, camera.width, bottom - top);
    }
    if (lane.trace > 0) {
      context.strokeStyle = theme.line;
      context.setLineDash([6, 5]);
      context.lineWidth = 1;
      context.strokeRect(-2, top, camera.width + 4, bottom - top);
      context.setLineDash([]);
    }
  }
}

/** The color behind a place, by its y on the screen. */
export function groundAt(layout: Layout, camera: Camera, theme: Theme): (y: number) => string {
  return (y) => {
    const world = camera.worldY(y);
    const at = layout.lanes.findIndex((lane) => lane.y0 <= world && world < lane.y1);
    return at >= 0 && at % 2 === 0 ? theme.band : theme.ground;
  };
}

export function drawBandNames(
  context: CanvasRenderingContext2D,
  layout: Layout,
  camera: Camera,
  theme: Theme,
  fitter: TextFitter,
): void {
  const font = `600 11px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "top";
  const ground = groundAt(layout, camera, theme);
  let free = 0;
  const lanes = [...layout.lanes].sort((a, b) => a.y0 - b.y0);
  for (const lane of lanes) {
    const top = Math.max(camera.y(lane.y0) + 5, free);
    const bottom = camera.y(lane.y1);
    if (bottom < camera.top + 4 || top > camera.height - 12 || bottom - top < 9) continue;
    const y = Math.max(top, camera.top + 6);
    if (y + 12 > bottom + 4) continue;
    const origin = lane.trace > 0 ? layout.model.runs.get(lane.trace_id)?.origin : undefined;
    const label = [origin, lane.label || "no agent"].filter(Boolean).join(" · ");
    const text = fitter.fit(context, label, MOST_WIDTH, font);
    context.globalAlpha = 0.86;
    context.fillStyle = ground(y + 6);
    context.beginPath();
    context.roundRect(5, y - 3, fitter.width(context, text, font) + 10, 17, 4);
    context.fill();
    context.globalAlpha = 1;
    context.fillStyle = theme.muted;
    context.fillText(text, 10, y);
    free = y + 15;
  }
}
