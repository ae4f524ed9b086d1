/** The phases of a run as a ribbon under the ruler, lines down to the spans where they meet, checkpoints as marks on it. */

import type { Run } from "../kernel/protocol";
import type { Layout } from "../layout/layout";
import type { Theme } from "../theme";
import { AXIS_HEIGHT } from "./axis";
import type { Camera } from "./camera";
import type { TextFitter } from "./text-fitter";

const RIBBON = 18;
const MARK = 4.5;
const LEAST_NAME = 24;

/** How much of the picture's top belongs to the ruler and what hangs from it. */
export function headHeight(run: Run | undefined): number {
  return AXIS_HEIGHT + ((run?.phases?.length ?? 0) > 0 ? RIBBON : 0);
}

/** Faint lines where phases and checkpoints lie, under everything else. */
export function drawPhaseLines(
  context: CanvasRenderingContext2D,
  layout: Layout,
  camera: Camera,
  theme: Theme,
  run: Run | undefined,
): void {
  if (run === undefined) return;
  const top = headHeight(run);
  const line = (time: number, dash: number[], color: string): void => {
    const x = Math.round(camera.x(layout.xOf(time))) + 0.5;
    if (x < 0 || x > camera.width) return;
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, camera.height);
    context.stroke();
  };
  context.lineWidth = 1;
  context.globalAlpha = 0.7;
  for (const phase of run.phases ?? []) line(phase.start, [], theme.line);
  context.globalAlpha = 0.45;
  for (const mark of run.marks ?? []) line(mark.time, [2, 4], theme.accent);
  context.setLineDash([]);
  context.globalAlpha = 1;
}

export function drawPhases(
  context: CanvasRenderingContext2D,
  layout: Layout,
  camera: Camera,
  theme: Theme,
  fitter: TextFitter,
  run: Run | undefined,
): void {
  if (run === undefined) return;
  const phases = run.phases ?? [];
  const at = (time: number): number => camera.x(layout.xOf(time));
  if (phases.length > 0) {
    context.fillStyle = theme.ground;
    context.fillRect(0, AXIS_HEIGHT + 1, camera.width, RIBBON);
  }
  const font = `600 10px ${theme.font}`;
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const [i, phase] of phases.entries()) {
    const over = phase.end ?? phases[i + 1]?.start ?? run.end ?? layout.now;
    const left = Math.max(at(phase.start) + 1, -4);
    const right = Math.min(at(over) - 1, camera.width + 4);
    if (right - left < 1) continue;
    const failed = phase.status === "error";
    context.fillStyle = failed ? theme.error : phase.status === "stopped" ? theme.muted : theme.accent;
    context.globalAlpha = phase.status === "running" ? 0.3 : i % 2 === 0 ? 0.16 : 0.1;
    context.beginPath();
    context.roundRect(left, AXIS_HEIGHT + 2, right - left, RIBBON - 3, 3);
    context.fill();
    context.globalAlpha = 1;
    const from = Math.max(left, 0) + 6;
    const name = right - from < LEAST_NAME ? "" : fitter.fit(context, phase.name, right - from - 4, font);
    if (name === "") continue;
    context.fillStyle = failed ? theme.error : theme.text;
    context.fillText(name, from, AXIS_HEIGHT + RIBBON / 2 + 1);
  }
  drawMarks(context, camera, theme, fitter, run, at);
}

/** A checkpoint is a small diamond on the ruler's line; its name stands before the next one where there is room. */
function drawMarks(
  context: CanvasRenderingContext2D,
  camera: Camera,
  theme: Theme,
  fitter: TextFitter,
  run: Run,
  at: (time: number) => number,
): void {
  const marks = run.marks ?? [];
  const font = `500 9px ${theme.font}`;
  context.font = font;
  for (const [i, mark] of marks.entries()) {
    const x = at(mark.time);
    if (x < -MARK || x > camera.width + MARK) continue;
    context.fillStyle = theme.accent;
    context.strokeStyle = theme.ground;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, AXIS_HEIGHT - MARK);
    context.lineTo(x + MARK, AXIS_HEIGHT);
    context.lineTo(x, AXIS_HEIGHT + MARK);
    context.lineTo(x - MARK, AXIS_HEIGHT);
    context.closePath();
    context.stroke();
    context.fill();
    if ((run.phases ?? []).length > 0) continue;
    const next = marks[i + 1];
    const room = Math.min(next === undefined ? 120 : at(next.time) - x - 12, 120);
    const name = room < LEAST_NAME ? "" : fitter.fit(context, mark.name, room, font);
    if (name !== "") context.fillText(name, x + MARK + 3, AXIS_HEIGHT + 8);
  }
}
