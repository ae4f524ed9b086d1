/** Mouse and keys on the timeline: hover and click a bar, brush a stretch of time, walk the tree. */

import type { Camera } from "../../canvas/camera";
import type { Layout } from "../../layout/layout";
import type { Theme } from "../../theme";
import { walk } from "../../workbench/keyboard-navigation";
import type { Bench } from "../../workbench/types";
import type { Box } from "../graph/box";
import type { RowLayout } from "./row-layout";

interface TimelineHandlers {
  /** Px on top that belong to ruler and curve, where a drag is a brush. */
  head(): number;
  hover(slot: number, x: number, y: number): void;
  dirty(): void;
}

export class Pointer {
  /** While a selection is made here. */
  own = false;
  private from: { x: number; y: number; brush: boolean } | null = null;
  private brushed: { x0: number; x1: number } | null = null;
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly stage: HTMLElement,
    private readonly bench: Bench,
    private readonly layout: Layout,
    private readonly camera: Camera,
    private readonly lines: RowLayout,
    private readonly wishes: TimelineHandlers,
  ) {
    this.listen("pointerdown", (event) => this.down(event as PointerEvent));
    this.listen("pointermove", (event) => this.move(event as PointerEvent));
    this.listen("pointerup", (event) => this.up(event as PointerEvent));
    this.listen("pointerleave", () => wishes.hover(-1, 0, 0));
    this.listen("pointercancel", () => {
      this.from = null;
    });
    this.listen("keydown", (event) => this.key(event as KeyboardEvent));
  }
  close(): void {
    for (const off of this.undo.splice(0)) off();
  }

  /** The span whose bar is under a place of the screen, -1 for none. */
  at(x: number, y: number): number {
    const { camera, layout, lines } = this;
    const head = this.wishes.head();
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
    const top = y0 - this.wishes.head() - this.camera.ty;
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
    this.own = true;
    this.bench.selectMany(slots);
    this.own = false;
  }

  private listen(type: string, cb: (event: Event) => void): void {
    this.stage.addEventListener(type, cb);
    this.undo.push(() => this.stage.removeEventListener(type, cb));
  }
  private place(event: PointerEvent): { x: number; y: number } {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    const place = this.place(event);
    this.from = { ...place, brush: place.y < this.wishes.head() };
    if (this.from.brush) this.stage.setPointerCapture(event.pointerId);
  }
  private move(event: PointerEvent): void {
    const { x, y } = this.place(event);
    if (this.from === null) {
      this.wishes.hover(this.at(x, y), x, y);
      this.stage.style.cursor = y < this.wishes.head() ? "col-resize" : this.stage.style.cursor;
    } else if (this.from.brush && Math.abs(x - this.from.x) > 3) {
      this.brushed = { x0: Math.min(x, this.from.x), x1: Math.max(x, this.from.x) };
      this.wishes.dirty();
    }
  }
  private up(event: PointerEvent): void {
    const { x, y } = this.place(event);
    const { from, brushed } = this;
    this.from = null;
    this.brushed = null;
    if (brushed !== null) this.take(brushed.x0, brushed.x1, 0, this.lines.height);
    else if (from !== null && Math.hypot(x - from.x, y - from.y) <= 4) {
      this.own = true;
      this.bench.select(this.at(x, y));
      this.own = false;
    }
    this.wishes.dirty();
  }
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { model, state } = this.bench;
    const slot = walk(model, state.selected, event.key);
    if (slot !== undefined) {
      if (slot >= 0 && model.alive[slot]) this.bench.select(slot);
    } else if (event.key === "+" || event.key === "=") this.camera.zoomBy(1.4);
    else if (event.key === "-") this.camera.zoomBy(1 / 1.4);
    else if (event.key === "Enter") this.bench.open();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
