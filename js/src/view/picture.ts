/** Draws the graph: bands, axis, edges and nodes where there is room, coloured strips where there is not. */
import type { Layout } from "../layout/layout";
import { Marks } from "../layout/pixels";
import type { Model } from "../model";
import { Flag, Status } from "../protocol";
import type { Theme } from "../theme";
import { drawAxis } from "./axis";
import type { Camera } from "./camera";
import { drawEdges } from "./edges";
import { sideLabels, title } from "./labels";
import { drawNode, LABELLED } from "./shapes";
import { drawStrips } from "./strips";
import { Fitter, money, span } from "./words";

/** Above so many spans in view, or below this scale, nodes give way to strips. */
const MOST_NODES = 900;
const LEAST_SCALE = 0.3;
const SLIDE_MS = 260;

export interface Attention {
  hovered: number;
  selected: number;
  /** The path to the root and down, while something is hovered or selected. */
  lit: ReadonlySet<number> | null;
}

export class Picture {
  readonly visible: number[] = [];
  /** Whether single nodes are drawn, as against strips. */
  near = true;
  private readonly marks = new Marks();
  private readonly fitter = new Fitter();
  private readonly born = new Map<number, number>();

  constructor(
    private readonly model: Model,
    private readonly layout: Layout,
    private readonly camera: Camera,
    private readonly still: boolean,
  ) {}

  /** Remembers when nodes came, so that they slide in; many at once just stand there. */
  welcome(first: number, now: number): void {
    if (this.still || this.model.size - first > 150) return;
    for (let slot = first; slot < this.model.size; slot++) this.born.set(slot, now);
  }
  forget(): void {
    this.born.clear();
  }

  scale(): number {
    return Math.min(1, this.camera.kx * Math.max(this.layout.unit, 1e-9) * 1.15, this.camera.ky * 1.7);
  }

  /** Draws one frame. Returns in how many ms something moves by itself, 0 at once, -1 never. */
  draw(context: CanvasRenderingContext2D, ratio: number, theme: Theme, attention: Attention, now: number): number {
    const { camera, layout } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, camera.width, camera.height);
    this.bands(context, theme);
    const pad = 70;
    const box = [
      camera.worldX(-pad),
      camera.worldY(-pad),
      camera.worldX(camera.width + pad),
      camera.worldY(camera.height + pad),
    ] as const;
    const scale = this.scale();
    this.near = scale >= LEAST_SCALE && layout.count(...box) <= MOST_NODES;
    this.visible.length = 0;
    let next = -1;
    if (this.near) {
      layout.query(...box, (slot) => {
        if (this.model.alive[slot]) this.visible.push(slot);
      });
      next = this.nodes(context, theme, attention, scale, now);
      if (layout.settle(this.visible)) next = 0;
    } else {
      drawStrips(context, ratio, this.model, layout, camera, this.marks, theme, this.fitter, attention);
      if (this.anyRunning()) next = 250;
    }
    this.labels(context, theme);
    drawAxis(context, layout, camera, theme, this.origin());
    return next;
  }

  private anyRunning(): boolean {
    return this.model.runs.get(this.model.shown[0] ?? "")?.status === "running";
  }
  private origin(): number {
    return this.model.runs.get(this.model.shown[0] ?? "")?.start ?? Number.NaN;
  }

  private bands(context: CanvasRenderingContext2D, theme: Theme): void {
    const { camera } = this;
    for (const [i, lane] of this.layout.lanes.entries()) {
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

  private labels(context: CanvasRenderingContext2D, theme: Theme): void {
    const { camera } = this;
    const font = `600 11px ${theme.font}`;
    context.font = font;
    context.textAlign = "left";
    context.textBaseline = "top";
    let free = 0;
    const lanes = [...this.layout.lanes].sort((a, b) => a.y0 - b.y0);
    for (const lane of lanes) {
      const top = Math.max(camera.y(lane.y0) + 5, free);
      const bottom = camera.y(lane.y1);
      if (bottom < 26 || top > camera.height - 12 || bottom - top < 9) continue;
      const text = this.fitter.fit(context, lane.label || "no agent", 220, font);
      const y = Math.max(top, 28);
      if (y + 12 > bottom + 4) continue;
      context.lineWidth = 4;
      context.lineJoin = "round";
      context.strokeStyle = theme.ground;
      context.strokeText(text, 10, y);
      context.fillStyle = theme.muted;
      context.fillText(text, 10, y);
      free = y + 15;
    }
  }

  private nodes(
    context: CanvasRenderingContext2D,
    theme: Theme,
    attention: Attention,
    scale: number,
    now: number,
  ): number {
    const { camera, layout, model } = this;
    let next = -1;
    const slide = (slot: number): number => {
      const since = this.born.get(slot);
      if (since === undefined) return 1;
      const part = (now - since) / SLIDE_MS;
      if (part >= 1) {
        this.born.delete(slot);
        return 1;
      }
      next = 0;
      return 1 - (1 - Math.max(0, part)) ** 3;
    };
    const arrived = new Map<number, number>();
    for (const slot of this.visible) {
      const part = slide(slot);
      if (part < 1) arrived.set(slot, part);
    }
    const place = {
      x: (slot: number) => camera.x(layout.x[slot]!) + (1 - (arrived.get(slot) ?? 1)) * 26,
      y: (slot: number) => camera.y(layout.y[slot]!),
      scale,
    };
    this.durations(context, theme, place, scale, attention);
    drawEdges(context, model, this.visible, place, theme, attention.lit, (slot) => arrived.get(slot) ?? 1);
    const inside = scale > LABELLED;
    const under = inside && camera.ky > 0.75;
    const breath = this.still ? 0.5 : 0.5 + 0.5 * Math.sin(now / 420);
    for (const slot of this.visible) {
      const running = model.status[slot] === Status.running;
      if (running && next !== 0 && !this.still) next = 50;
      const dim = attention.lit !== null && !attention.lit.has(slot);
      drawNode(
        context,
        {
          kind: model.kindCode(slot),
          status: model.status[slot]!,
          flags: model.flags[slot]!,
          provenance: model.provenance[slot]!,
          name: title(model, slot),
          branch: model.traceId(slot) !== model.shown[0],
        },
        place.x(slot),
        place.y(slot),
        {
          scale,
          alpha: (arrived.get(slot) ?? 1) * (dim ? 0.35 : 1),
          selected: slot === attention.selected,
          hovered: slot === attention.hovered,
          breath,
          inside,
          under,
        },
        theme,
        this.fitter,
      );
      if (under && !dim) this.caption(context, slot, place.x(slot), place.y(slot), theme);
    }
    if (!under)
      sideLabels(context, model, this.visible, place, theme, this.fitter, attention.lit, camera.width, inside);
    return next;
  }

  /** How long a span took: a soft bar from its node to its end. */
  private durations(
    context: CanvasRenderingContext2D,
    _theme: Theme,
    place: { x(s: number): number; y(s: number): number },
    scale: number,
    attention: Attention,
  ): void {
    if (this.layout.mode !== "time") return;
    const { model } = this;
    for (const slot of this.visible) {
      const kind = model.kindCode(slot);
      const from = place.x(slot);
      const long = this.camera.x(this.layout.endX(slot)) - this.camera.x(this.layout.homeX(slot));
      if (long < 4) continue;
      const high = (kind === 2 ? 14 : kind === 3 ? 9 : 4) * scale;
      context.globalAlpha =
        attention.lit !== null && !attention.lit.has(slot) ? 0.08 : model.status[slot] === Status.error ? 0.4 : 0.24;
      context.fillStyle = model.status[slot] === Status.error ? _theme.error : _theme.kinds[kind]!;
      context.beginPath();
      context.roundRect(from, place.y(slot) - high / 2, long, high, high / 2);
      context.fill();
    }
    context.globalAlpha = 1;
  }

  private caption(context: CanvasRenderingContext2D, slot: number, x: number, y: number, theme: Theme): void {
    const { model } = this;
    const kind = model.kindCode(slot);
    if (kind < 2 || model.flags[slot]! & Flag.pending) return;
    const parts = [span(model.duration[slot])];
    if (kind === 2 && Number.isFinite(model.cost[slot])) parts.push(money(model.cost[slot]!));
    if (parts[0] === "–") parts[0] = model.status[slot] === Status.running ? "running" : "";
    const text = parts.filter(Boolean).join(" · ");
    const font = `400 9px ${theme.font}`;
    context.font = font;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.fillStyle = theme.muted;
    context.fillText(this.fitter.fit(context, text, 84, font), x, y + (kind === 2 ? 20 : 19));
  }
}
