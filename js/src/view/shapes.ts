/** One node: its outline by kind, its state, its name. Colours and sizes are passed in; nothing is read off the page. */
import { Flag, Provenance, Status } from "../protocol";
import type { Theme } from "../theme";
import type { Fitter } from "./words";

/** Above this scale a name has room in or under its node; below it stands beside it. */
export const LABELLED = 0.62;

/** Width of a node at its natural size, by kind code. */
export const SIZES = [40, 35, 60, 50, 40] as const;

export interface Node {
  kind: number;
  status: number;
  flags: number;
  provenance: number;
  name: string;
  branch: boolean;
}

export interface Look {
  scale: number;
  alpha: number;
  selected: boolean;
  hovered: boolean;
  /** 0 to 1: how far the breath of a running node is out. */
  breath: number;
  /** Whether its name is drawn in it, and whether under it, as its kind has it. */
  inside: boolean;
  under: boolean;
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
  fitter: Fitter,
): void {
  const { kind } = node;
  const size = SIZES[kind]! * look.scale;
  const colour = theme.kinds[kind]!;
  const pending = (node.flags & Flag.pending) !== 0;
  const dashed = node.branch || pending;
  context.globalAlpha = look.alpha;
  if (node.status === Status.running && !pending) {
    context.globalAlpha = look.alpha * (0.18 + 0.22 * look.breath);
    context.fillStyle = colour;
    outline(context, kind, x, y, size + (8 + 10 * look.breath) * Math.max(0.5, look.scale));
    context.fill();
    context.globalAlpha = look.alpha;
  }
  if (look.selected || look.hovered) {
    context.strokeStyle = look.selected ? theme.accent : theme.muted;
    context.lineWidth = look.selected ? 3 : 1.5;
    outline(context, kind, x, y, size + 9);
    context.stroke();
  }
  outline(context, kind, x, y, size);
  context.fillStyle = theme.ground;
  context.fill();
  context.globalAlpha = look.alpha * (pending ? 0.15 : node.provenance === Provenance.stale ? 0.3 : 1);
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = look.alpha;
  if (kind === 0 && !pending) ring(context, x, y, size, theme);
  const failed = node.status === Status.error;
  if (failed || dashed) {
    context.strokeStyle = failed ? theme.error : theme.muted;
    context.lineWidth = failed ? Math.max(2, 3 * look.scale) : 1.5;
    if (dashed) context.setLineDash([4, 3]);
    outline(context, kind, x, y, failed ? size + 4 * look.scale : size);
    context.stroke();
    context.setLineDash([]);
  }
  if (failed && look.scale > 0.5)
    badge(context, x + size / 2, y - size * (kind === 2 || kind === 3 ? 0.28 : 0.36), look.scale, theme);
  if (kind === 2 || kind === 3 ? look.inside : look.under) label(context, node, x, y, size, look, theme, fitter);
  context.globalAlpha = 1;
}

/** Not by colour alone: two circles are told apart by a ring. */
function ring(context: CanvasRenderingContext2D, x: number, y: number, size: number, theme: Theme): void {
  context.strokeStyle = theme.ground;
  context.lineWidth = Math.max(1, size / 20);
  context.beginPath();
  context.arc(x, y, size * 0.32, 0, 2 * Math.PI);
  context.stroke();
}

/** Not by colour alone: an error carries a sign. */
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

function label(
  context: CanvasRenderingContext2D,
  node: Node,
  x: number,
  y: number,
  size: number,
  look: Look,
  theme: Theme,
  fitter: Fitter,
): void {
  const inside = node.kind === 2 || node.kind === 3;
  const room = inside ? size - (node.kind === 3 ? 10 : 6) : 110;
  let points = Math.max(8, Math.round((inside ? 10 : 11) * Math.min(1, look.scale + 0.1)));
  let font = `${inside ? 600 : 500} ${points}px ${theme.font}`;
  context.font = font;
  while (inside && points > 8 && fitter.width(context, node.name, font) > room) {
    font = `600 ${--points}px ${theme.font}`;
    context.font = font;
  }
  context.textAlign = "center";
  context.textBaseline = "middle";
  const pending = (node.flags & Flag.pending) !== 0;
  const faint = pending || node.provenance === Provenance.stale;
  if (inside) {
    context.fillStyle = faint ? theme.text : theme.onKinds[node.kind]!;
    context.fillText(fitter.fit(context, node.name, room, font), x, y + 0.5);
    return;
  }
  const text = fitter.fit(context, pending ? "not seen yet" : node.name, room, font);
  context.lineWidth = 3;
  context.strokeStyle = theme.ground;
  context.lineJoin = "round";
  context.strokeText(text, x, y + size / 2 + points);
  context.fillStyle = theme.text;
  context.fillText(text, x, y + size / 2 + points);
}
