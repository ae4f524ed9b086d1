/** Draws the timeline: bars, headings, the curve of what was spent, and what is brushed. */

import type { Camera } from "../../canvas/camera";
import type { Encoding } from "../../canvas/encoding";
import { FADED } from "../../canvas/graph-renderer";
import type { TextFitter } from "../../canvas/text-fitter";
import type { Layout } from "../../layout/layout";
import type { Marks } from "../../layout/level-of-detail";
import type { Model } from "../../model/model";
import type { Theme } from "../../theme";
import { money, shortModel } from "../../ui/format";
import { markSign } from "../../ui/span-marks";
import type { CostCurve } from "./cost-curve";
import { BAR, HEADING, LINE, type RowLayout } from "./row-layout";

export const CURVE = 52;
const ERROR = 2;
const LEAST_NAME = 34;

export interface Sheet {
  context: CanvasRenderingContext2D;
  ratio: number;
  camera: Camera;
  layout: Layout;
  theme: Theme;
  fitter: TextFitter;
  /** Where the lines begin, below ruler, phases and curve. */
  head: number;
}

export function drawHeadings({ context, camera, theme, head, fitter }: Sheet, lines: RowLayout): void {
  context.textBaseline = "middle";
  context.textAlign = "left";
  const font = `600 11px ${theme.font}`;
  for (const heading of lines.headings) {
    const y = head + camera.ty + heading.y;
    if (y > camera.height || head + camera.ty + heading.bottom < head) continue;
    context.fillStyle = theme.band;
    context.fillRect(0, y, camera.width, HEADING);
    context.font = font;
    const text = fitter.fit(context, heading.label, Math.max(60, camera.width * 0.6), font);
    context.fillStyle = theme.text;
    context.fillText(text, 10, y + HEADING / 2 + 0.5);
    const wide = fitter.width(context, text, font);
    context.font = `400 11px ${theme.font}`;
    context.fillStyle = theme.muted;
    const said = heading.spans === 1 ? "1 span" : `${heading.spans.toLocaleString("en")} spans`;
    context.fillText(heading.branch ? `${said}, branch` : said, 10 + wide + 10, y + HEADING / 2 + 0.5);
  }
}

export function drawMarks(
  sheet: Sheet,
  model: Model,
  lines: RowLayout,
  marks: Marks,
  encoding: Encoding,
  fades: boolean,
): void {
  const { context, ratio, camera, theme, head, fitter } = sheet;
  const font = `500 10px ${theme.font}`;
  context.font = font;
  context.textBaseline = "middle";
  const named: number[] = [];
  for (let worst = 0; worst <= ERROR; worst++) {
    for (let i = 0; i < marks.n; i++) {
      if (marks.worst[i] !== worst) continue;
      const top = head + camera.ty + lines.topOf(marks.y[i]!) + (LINE - BAR) / 2;
      if (!(top > head - LINE)) continue;
      const left = marks.px0[i]! / ratio;
      const wide = Math.max(worst === ERROR ? 2 : 1, (marks.px1[i]! - marks.px0[i]! + 1) / ratio);
      const plain = encoding.figure === null;
      const bad = worst === ERROR && plain;
      context.globalAlpha = (marks.trace[i]! > 0 ? 0.55 : 1) * (fades && marks.dearest[i] === 0 ? FADED : 1);
      context.fillStyle = bad
        ? theme.error
        : plain
          ? encoding.fill(marks.slot[i]!, theme)
          : encoding.shade(marks.dearest[i]!, theme);
      if (wide > 5) {
        context.beginPath();
        context.roundRect(left, top, wide, BAR, 2.5);
        context.fill();
      } else context.fillRect(left, top, wide, BAR);
      if (wide > LEAST_NAME && marks.count[i]! <= 1) named.push(i);
    }
  }
  for (const i of named) {
    const slot = marks.slot[i]!;
    const left = Math.max(0, marks.px0[i]! / ratio) + 5;
    const room = Math.min(camera.width, (marks.px1[i]! + 1) / ratio) - left - 4;
    if (room < LEAST_NAME - 8) continue;
    const name = model.kindCode(slot) === 2 ? shortModel(model.modelName(slot)) : model.name(slot);
    const text = fitter.fit(context, name || model.kind(slot), room, font);
    if (text === "" || text.length < 2) continue;
    context.globalAlpha = fades && marks.dearest[i] === 0 ? FADED * 2 : 1;
    const bad = marks.worst[i] === ERROR && encoding.figure === null;
    context.fillStyle = bad ? theme.onError : encoding.ink(slot, theme);
    context.fillText(text, left, head + camera.ty + lines.topOf(marks.y[i]!) + LINE / 2 + 0.5);
  }
  drawSigns(sheet, model, lines, marks);
  context.globalAlpha = 1;
}

/** The user's marks, each just before its bar. */
function drawSigns({ context, ratio, camera, theme, head }: Sheet, model: Model, lines: RowLayout, marks: Marks): void {
  context.globalAlpha = 1;
  context.font = `700 11px ${theme.font}`;
  context.fillStyle = theme.text;
  const before = context.textAlign;
  context.textAlign = "right";
  for (let i = 0; i < marks.n; i++) {
    const sign = marks.count[i]! <= 1 ? markSign(model.mark[marks.slot[i]!]) : "";
    if (sign === "") continue;
    const top = head + camera.ty + lines.topOf(marks.y[i]!);
    if (top > head - LINE) context.fillText(sign, Math.max(11, marks.px0[i]! / ratio - 2), top + LINE / 2 + 0.5);
  }
  context.textAlign = before;
}

/** A ring around one bar. */
export function ring(sheet: Sheet, lines: RowLayout, slot: number, color: string): void {
  const { context, camera, layout, head } = sheet;
  const top = head + camera.ty + lines.topOf(layout.homeY(slot));
  if (!(top > head - LINE) || top > camera.height) return;
  const left = Math.max(-4, camera.x(layout.homeX(slot)));
  const right = Math.min(camera.width + 4, camera.x(layout.endX(slot)));
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.beginPath();
  context.roundRect(left - 1.5, top + (LINE - BAR) / 2 - 1.5, Math.max(3, right - left) + 3, BAR + 3, 3.5);
  context.stroke();
}

export function drawCurve({ context, camera, layout, theme, head }: Sheet, spending: CostCurve, now: number): void {
  const { total } = spending;
  const [top, bottom] = [head - CURVE + 8, head - 6];
  context.fillStyle = theme.ground;
  context.fillRect(0, head - CURVE, camera.width, CURVE);
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, head - 0.5);
  context.lineTo(camera.width, head - 0.5);
  context.stroke();
  context.font = `400 10px ${theme.font}`;
  context.textBaseline = "top";
  context.textAlign = "left";
  if (!(total > 0)) {
    context.fillStyle = theme.muted;
    context.fillText("no priced calls", 10, top);
    return;
  }
  const last = Math.min(camera.width, camera.x(layout.xOf(now)));
  context.beginPath();
  context.moveTo(0, bottom);
  let y = bottom;
  for (let x = 0; x <= last; x++) {
    y = bottom - (spending.at(layout.timeOf(camera.worldX(x))) / total) * (bottom - top);
    context.lineTo(x, y);
  }
  context.lineTo(Math.max(0, last), bottom);
  context.closePath();
  context.fillStyle = theme.accent;
  context.globalAlpha = 0.16;
  context.fill();
  context.globalAlpha = 1;
  context.beginPath();
  for (let x = 0; x <= last; x++) {
    y = bottom - (spending.at(layout.timeOf(camera.worldX(x))) / total) * (bottom - top);
    if (x === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  context.strokeStyle = theme.accent;
  context.lineWidth = 1.5;
  context.stroke();
  const text = `${money(total)} in all`;
  const wide = context.measureText(text).width;
  context.fillStyle = theme.ground;
  context.globalAlpha = 0.85;
  context.fillRect(4, top - 3, wide + 12, 15);
  context.globalAlpha = 1;
  context.fillStyle = theme.muted;
  context.fillText(text, 10, top);
}
