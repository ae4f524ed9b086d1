/** The ruler on top: time since the run began, in steps that people count in. */
import type { Layout } from "../layout/layout";
import type { Theme } from "../theme";
import { clock } from "../ui/format";
import type { Camera } from "./camera";

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5,
];
const GAP = 86;
export const AXIS_HEIGHT = 22;

export function tickText(ms: number, step: number): string {
  if (step < 1000)
    return ms === 0
      ? "0"
      : ms < 1000
        ? `${Math.round(ms)} ms`
        : `${(ms / 1000).toFixed(step < 10 ? 3 : step < 100 ? 2 : 1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")} min`;
  return `${Math.floor(s / 3600)}:${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} h`;
}

/** Marks of the ruler in sight: where they stand and how long after the run's start. */
function ticks(layout: Layout, camera: Camera, origin: number): { step: number; at: [x: number, ms: number][] } {
  const none = { step: 0, at: [] };
  if (!Number.isFinite(origin) || layout.mode === "order") return none;
  const from = layout.timeOf(camera.worldX(0)) - origin;
  const to = layout.timeOf(camera.worldX(camera.width)) - origin;
  const each = ((to - from) / camera.width) * GAP;
  if (!Number.isFinite(each) || each <= 0) return none;
  const step = STEPS.find((s) => s >= each) ?? Math.ceil(each / 864e5) * 864e5;
  const at: [number, number][] = [];
  for (let tick = Math.ceil(Math.max(from, 0) / step) * step; tick <= to; tick += step)
    at.push([Math.round(camera.x(layout.xOf(origin + tick))) + 0.5, tick]);
  return { step, at };
}

/** Faint lines under everything, from the ruler's marks down. */
export function drawGrid(
  context: CanvasRenderingContext2D,
  layout: Layout,
  camera: Camera,
  theme: Theme,
  origin: number,
): void {
  context.strokeStyle = theme.line;
  context.globalAlpha = 0.35;
  context.lineWidth = 1;
  context.beginPath();
  for (const [x] of ticks(layout, camera, origin).at) {
    context.moveTo(x, AXIS_HEIGHT);
    context.lineTo(x, camera.height);
  }
  context.stroke();
  context.globalAlpha = 1;
}

export function drawAxis(
  context: CanvasRenderingContext2D,
  layout: Layout,
  camera: Camera,
  theme: Theme,
  origin: number,
): void {
  context.fillStyle = theme.ground;
  context.fillRect(0, 0, camera.width, AXIS_HEIGHT);
  context.font = `400 10px ${theme.font}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  if (!Number.isFinite(origin)) return;
  if (layout.mode === "order") {
    context.fillText("in order of start", 10, AXIS_HEIGHT / 2);
    for (let x = 140; x < camera.width - 60; x += 150) {
      const time = layout.timeOf(camera.worldX(x));
      if (Number.isFinite(time)) context.fillText(clock(time), x, AXIS_HEIGHT / 2);
    }
    return;
  }
  const { step, at } = ticks(layout, camera, origin);
  context.beginPath();
  for (const [x, tick] of at) {
    context.moveTo(x, AXIS_HEIGHT - 5);
    context.lineTo(x, AXIS_HEIGHT);
    const text = tick === 0 ? clock(origin) : `+${tickText(tick, step)}`;
    if (x + 4 + context.measureText(text).width < camera.width) context.fillText(text, x + 4, AXIS_HEIGHT / 2);
  }
  context.moveTo(0, AXIS_HEIGHT + 0.5);
  context.lineTo(camera.width, AXIS_HEIGHT + 0.5);
  context.stroke();
}
