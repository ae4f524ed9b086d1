/** Mouse and keys on the timeline: hover and click a bar, brush a period of time, walk the tree. */

import type { Camera } from "../../canvas/camera";
import { type Point, PointerController } from "../../canvas/pointer-controller";
import type { Layout } from "../../layout/layout";
import type { Theme } from "../../theme";
import type { Bench } from "../../workbench/types";
import type { Box } from "../graph/box";
import type { RowLayout } from "./row-layout";

interface TimelineHandlers {
  /** Px on top that belong to ruler and curve, where a drag is a brush. */
  head(): number;
  hover(slot: number, x: number, y: number): void;
  dirty(): void;
}

const BRUSH_PX = 3;

export class TimelinePointer extends PointerController {
  protected readonly keys: Readonly<Record<string, () => void>>;
  /** True while this view itself selects. */
  selecting = false;
  private brushing = false;
  private brushed: { x0: number; x1: number } | null = null;

  constructor(
    stage: HTMLElement,
    private readonly bench: Bench,
    private readonly layout: Layout,
    camera: Camera,
    private readonly lines: RowLayout,
    private readonly handlers: TimelineHandlers,
  ) {
    super(stage, bench.model, camera);
    this.keys = { Enter: () => bench.open() };
  }

  /** The span whose bar is under a place of the screen, -1 for none. */
  at(x: number, y: number): number {
    const { camera, layout, lines } = this;
    const head = this.handlers.head();
    const row = y < head ? undefined : lines.at(y - head - camera.ty);
    if (row === undefined) return -1;
    const reach = 3 / camera.kx;
    const world = camera.worldX(x);
    const next = row.upperBound(world + reach);
    if (next === 0) return -1;
    const slot = row.slots[next - 1]!;
    return layout.endX(slot) + reach >= world ? slot : -1;
  }

  /** Selects what begins or goes on in a box of the screen. */
  box({ x0, y0, x1, y1 }: Box): void {
    const top = y0 - this.handlers.head() - this.camera.ty;
    this.take(x0, x1, top, top + (y1 - y0));
  }

  draw(context: CanvasRenderingContext2D, theme: Theme): void {
    if (this.brushed === null) return;
    const { x0, x1 } = this.brushed;
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.16;
    context.fillRect(x0, 0, x1 - x0, this.camera.height);
    context.globalAlpha = 1;
    for (const x of [x0, x1]) context.fillRect(x - 0.5, 0, 1, this.camera.height);
  }

  private take(x0: number, x1: number, top: number, bottom: number): void {
    const { camera, layout, lines } = this;
    const { model, state } = this.bench;
    const { y0, y1 } = lines.window(top, bottom);
    const slots: number[] = [];
    layout.query(camera.worldX(x0), y0, camera.worldX(x1), y1, (slot) => {
      if (model.alive[slot] && state.lit?.[slot] !== 0) slots.push(slot);
    });
    slots.sort((a, b) => model.start[a]! - model.start[b]!);
    this.selecting = true;
    this.bench.selectMany(slots);
    this.selecting = false;
  }

  protected selected(): number {
    return this.bench.state.selected;
  }
  protected step(slot: number): void {
    this.bench.select(slot);
  }
  protected press(place: Point, event: PointerEvent): void {
    this.brushing = place.y < this.handlers.head();
    if (this.brushing) this.stage.setPointerCapture(event.pointerId);
  }
  protected move({ x, y }: Point): void {
    if (this.from === null) {
      this.handlers.hover(this.at(x, y), x, y);
      if (y < this.handlers.head()) this.stage.style.cursor = "col-resize";
    } else if (this.brushing && Math.abs(x - this.from.x) > BRUSH_PX) {
      this.brushed = { x0: Math.min(x, this.from.x), x1: Math.max(x, this.from.x) };
      this.handlers.dirty();
    }
  }
  protected lift({ x, y }: Point, still: boolean): void {
    const { brushed } = this;
    this.cancel();
    if (brushed !== null) this.take(brushed.x0, brushed.x1, 0, this.lines.height);
    else if (still) {
      this.selecting = true;
      this.bench.select(this.at(x, y));
      this.selecting = false;
    }
    this.handlers.dirty();
  }
  protected cancel(): void {
    this.brushing = false;
    this.brushed = null;
  }
  protected leave(): void {
    this.handlers.hover(-1, 0, 0);
  }
}
