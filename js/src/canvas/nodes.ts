/** One node: its outline by kind, its state, its name. Colors and sizes are passed in; nothing is read off the page. */
import { Flag, Provenance, Status } from "../kernel/protocol";
import type { Theme } from "../theme";
import type { TextFitter } from "./text-fitter";

/** Above this scale a name has room in or under its node; below it stands beside it. */
export const LABELLED = 0.62;

/** Width of a node at its natural size, by kind code. */
export const SIZES = [40, 35, 60, 50, 40] as const;

/** Of its width, by kind code. */
const HEIGHTS = [1, 1, 0.56, 0.66, 0.8] as const;

/** Height of a node at its natural size. */
export function highOf(kind: number): number {
  return SIZES[kind]! * HEIGHTS[kind]!;
}

export interface Node {
  kind: number;
  /** Its color, and the color of what is written on it. */
  fill: string;
  ink: string;
  status: number;
  flags: number;
  provenance: number;
  name: string;
  branch: boolean;
  /** The user's mark, as a sign; empty where there is none. */
  mark: string;
  /** Stands for others, which lie behind it; and how many of them failed. */
  stack: boolean;
  inner: number;
}

export interface Look {
  scale: number;
  alpha: number;
  selected: boolean;
  hovered: boolean;
  /** 0 to 1: how far the breath of a running node is out. */
  breath: number;
  /** Whether there is room for its name in it, where its kind has it there. */
  inside: boolean;
}

export function outline(context: CanvasRenderingContext2D, kind: number, x: number, y: number, size: number): void {
  context.beginPath();
  if (kind === 0 || kind === 1) context.arc(x, y, size / 2, 0, 2 * Math.PI);
  else if (kind === 3) hexagon(context, x, y, size);
  else {
    const high = kind === 2 ? size * 0.56 : size * 0.8;
    const wide = kind === 2 ? size : size * 0.8;
    context.roundRect(x - wide / 2, y - high / 2, wide, high, kind === 2 ? size * 0.15 : 3);
  }
}

function hexagon(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  const w = size / 2;
  const h = size * 0.33;
  context.moveTo(x - w, y);
  context.lineTo(x - w * 0.62, y - h);
  context.lineTo(x + w * 0.62, y - h);
  context.lineTo(x + w, y);
  context.lineTo(x + w * 0.62, y + h);
  context.lineTo(x - w * 0.62, y + h);
  context.closePath();
}

export function drawNode(
  context: CanvasRenderingContext2D,
  node: Node,
  x: number,
  y: number,
  look: Look,
  theme: Theme,
  fitter: TextFitter,
): void {
  const { kind } = node;
  const size = SIZES[kind]! * look.scale;
  const pending = (node.flags & Flag.pending) !== 0;
  const failed = node.status === Status.error;
  context.globalAlpha = look.alpha;
  if (node.status === Status.running && !pending) breathe(context, node, x, y, size, look);
  if (look.selected || look.hovered) {
    context.strokeStyle = look.selected ? theme.accent : theme.muted;
    context.lineWidth = look.selected ? 3 : 1.5;
    outline(context, kind, x, y, size + (failed ? 13 : 9));
    context.stroke();
  }
  if (node.stack) behind(context, node, x, y, size, look, theme);
  body(context, node, x, y, size, look, theme);
  if (kind === 0 && !pending) ring(context, x, y, size, theme);
  if (failed) {
    context.strokeStyle = theme.error;
    context.lineWidth = Math.max(2, 3 * look.scale);
    if (node.branch && node.provenance === Provenance.none) context.setLineDash([4, 3]);
    outline(context, kind, x, y, size + 4 * look.scale + 2);
    context.stroke();
    context.setLineDash([]);
  }
  if ((failed || node.inner > 0) && look.scale > 0.4)
    badge(
      context,
      x + size / 2,
      y - size * (kind === 2 || kind === 3 ? 0.28 : 0.36),
      Math.max(0.75, look.scale),
      theme,
    );
  if (node.mark !== "" && look.scale > 0.3)
    flag(context, node.mark, x - size / 2, y - highOf(kind) * look.scale * 0.5, Math.max(0.8, look.scale), theme);
  if (look.inside && (kind === 2 || kind === 3)) label(context, node, x, y, size, theme, fitter);
  context.globalAlpha = 1;
}

/** Two more of its kind behind it, like a pile of cards. */
function behind(
  context: CanvasRenderingContext2D,
  node: Node,
  x: number,
  y: number,
  size: number,
  look: Look,
  theme: Theme,
): void {
  const step = Math.max(2, 3.5 * look.scale);
  context.lineWidth = 1;
  for (const far of [2, 1]) {
    outline(context, node.kind, x + far * step, y - far * step, size);
    context.fillStyle = theme.ground;
    context.fill();
    context.globalAlpha = look.alpha * (far === 2 ? 0.25 : 0.45);
    context.fillStyle = node.fill;
    context.fill();
    context.globalAlpha = look.alpha;
    context.strokeStyle = theme.ground;
    context.stroke();
  }
}

function breathe(context: CanvasRenderingContext2D, node: Node, x: number, y: number, size: number, look: Look): void {
  context.globalAlpha = look.alpha * (0.14 + 0.2 * look.breath);
  context.fillStyle = node.fill;
  outline(context, node.kind, x, y, size + (8 + 10 * look.breath) * Math.max(0.5, look.scale));
  context.fill();
  context.globalAlpha = look.alpha;
}

/** Without a legend: what was reused is an empty outline, what was guessed has a dashed ring, what is out of date is hatched. */
function body(
  context: CanvasRenderingContext2D,
  node: Node,
  x: number,
  y: number,
  size: number,
  look: Look,
  theme: Theme,
): void {
  const { kind, provenance } = node;
  const pending = (node.flags & Flag.pending) !== 0;
  const stale = provenance === Provenance.stale;
  const hollow = pending || stale || provenance === Provenance.reused;
  outline(context, kind, x, y, size);
  context.fillStyle = theme.ground;
  context.fill();
  context.globalAlpha = look.alpha * (hollow ? (stale ? 0.28 : 0.14) : 1);
  context.fillStyle = stale ? theme.muted : node.fill;
  context.fill();
  context.globalAlpha = look.alpha;
  if (stale) hatch(context, kind, x, y, size, theme);
  const dashed = pending || (node.branch && provenance === Provenance.none);
  if (!hollow && !dashed && provenance !== Provenance.inferred) return;
  context.lineWidth = 1.5;
  context.strokeStyle = provenance === Provenance.reused ? node.fill : theme.muted;
  if (dashed || provenance === Provenance.inferred) context.setLineDash([4, 3]);
  outline(context, kind, x, y, provenance === Provenance.inferred ? size + 7 : size);
  context.stroke();
  context.setLineDash([]);
}

function hatch(
  context: CanvasRenderingContext2D,
  kind: number,
  x: number,
  y: number,
  size: number,
  theme: Theme,
): void {
  context.save();
  outline(context, kind, x, y, size);
  context.clip();
  context.beginPath();
  const step = Math.max(4, size / 8);
  for (let at = -size; at < size; at += step) {
    context.moveTo(x + at, y + size / 2);
    context.lineTo(x + at + size, y - size / 2);
  }
  context.strokeStyle = theme.muted;
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

/** Not by color alone: two circles are told apart by a ring. */
function ring(context: CanvasRenderingContext2D, x: number, y: number, size: number, theme: Theme): void {
  context.strokeStyle = theme.ground;
  context.lineWidth = Math.max(1, size / 20);
  context.beginPath();
  context.arc(x, y, size * 0.32, 0, 2 * Math.PI);
  context.stroke();
}

/** Not by color alone: an error carries a sign. */
function badge(context: CanvasRenderingContext2D, x: number, y: number, scale: number, theme: Theme): void {
  const r = 7 * scale;
  context.fillStyle = theme.error;
  context.beginPath();
  context.arc(x, y, r, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = theme.ground;
  context.fillRect(x - 1, y - r * 0.55, 2, r * 0.6);
  context.fillRect(x - 1, y + r * 0.3, 2, 2);
}

/** The user's mark: a square with a sign, at the corner across from an error's. */
function flag(
  context: CanvasRenderingContext2D,
  sign: string,
  x: number,
  y: number,
  scale: number,
  theme: Theme,
): void {
  const r = 8 * scale;
  context.beginPath();
  context.roundRect(x - r, y - r, 2 * r, 2 * r, 3);
  context.fillStyle = theme.text;
  context.fill();
  context.strokeStyle = theme.ground;
  context.lineWidth = 1.5;
  context.stroke();
  context.fillStyle = theme.ground;
  context.font = `700 ${(11 * scale).toFixed(1)}px ${theme.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(sign, x, y + 0.5);
}

/** One size of letters for all nodes; what is too long for a line goes on in a second one, and then is cut. */
function label(
  context: CanvasRenderingContext2D,
  node: Node,
  x: number,
  y: number,
  size: number,
  theme: Theme,
  fitter: TextFitter,
): void {
  const room = size * (node.kind === 3 ? 0.84 : 0.92);
  const text = (node.flags & Flag.pending) !== 0 ? "not seen yet" : node.name;
  let points = Math.max(8, Math.min(10, size / 5.6));
  const fontOf = (): string => `600 ${points.toFixed(1)}px ${theme.font}`;
  context.font = fontOf();
  for (
    const least = node.kind === 2 ? 8.3 : points - 0.8;
    points > least && fitter.width(context, text, fontOf()) > room;
  )
    points = Math.max(least, points - 0.8);
  const font = fontOf();
  context.font = font;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const hollow = (node.flags & Flag.pending) !== 0 || node.provenance === Provenance.reused;
  context.fillStyle = hollow || node.provenance === Provenance.stale ? theme.text : node.ink;
  const lines = fitter.lines(context, text, room, font);
  const step = points * 1.1;
  const first = y + 0.5 - ((lines.length - 1) * step) / 2;
  for (const [i, line] of lines.entries()) context.fillText(line, x, first + i * step);
}
