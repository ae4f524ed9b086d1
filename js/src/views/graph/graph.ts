/** The graph among the views: layout, camera, picture and hand put together. */

import { pathOf } from "../../canvas/ancestor-path";
import { Camera } from "../../canvas/camera";
import { canvasOf, fitCanvas, stageElement, watchSize } from "../../canvas/canvas-host";
import { GraphRenderer } from "../../canvas/graph-renderer";
import { Minimap } from "../../canvas/minimap";
import { RafScheduler } from "../../canvas/raf-scheduler";
import { described, emptyMessage } from "../../canvas/status-text";
import { TooltipTexts } from "../../canvas/tooltip-text";
import { follow, remember, Sight } from "../../canvas/view-persistence";
import { Layout } from "../../layout/layout";
import type { Delta } from "../../model/model";
import type { Part } from "../../model/view-state";
import { h } from "../../ui/dom";
import { Tooltip } from "../../ui/overlays";
import type { Bench, View } from "../../workbench/types";
import { type Box, boxes } from "./box";
import { legendElement } from "./legend";
import { GraphPointer, type PointerHandlers } from "./pointer";

export class GraphView implements View {
  readonly name = "graph";
  readonly element = stageElement();
  readonly focus = this.element;
  private readonly canvas = h("canvas", { "aria-hidden": "true" }) as HTMLCanvasElement;
  private readonly empty = h("div.an-empty");
  private readonly legend = h("div.an-legend");
  private readonly tip = new Tooltip();
  private readonly context: CanvasRenderingContext2D | null;
  private readonly layout: Layout;
  private readonly camera: Camera;
  private readonly drawing: GraphRenderer;
  private readonly pointer: GraphPointer;
  private readonly map: Minimap;
  private readonly reasons: TooltipTexts;
  private readonly frames: RafScheduler;
  private readonly sight: Sight;
  private readonly undo: (() => void)[] = [];
  private hovered = -1;
  private fitted = false;
  private shown = true;
  /** A selection made here needs no bringing into view: it was seen. */
  private own = false;
  private trace = "";
  /** What of the time the other views look at, as long as this one has not moved by itself. */
  private looked = "";
  /** A view is told of everything when it has just been made, with all in its place. */
  private built = true;

  constructor(private readonly bench: Bench) {
    const { model, connection, state } = bench;
    this.element.append(this.canvas, this.empty, this.legend, this.tip.element);
    this.reasons = new TooltipTexts(model, connection);
    this.layout = new Layout(model, { mode: this.mode(), now: Date.now(), likes: true });
    this.context = this.canvas.getContext("2d");
    this.undo.push(boxes(this.element, (box, inside) => this.selectIn(box, inside), true));
    this.camera = new Camera(
      this.element,
      () => {
        this.frames.dirty();
        this.sight.moved();
      },
      (event) => !event.shiftKey && this.free(event),
      { content: () => this.layout.bounds },
    );
    this.sight = new Sight(connection, this.layout, this.camera);
    this.drawing = new GraphRenderer(model, this.layout, this.camera, bench.still);
    this.map = new Minimap(model, this.layout, this.camera);
    this.element.append(this.map.element);
    this.drawing.fade(() => state.lit);
    this.frames = new RafScheduler(
      (now) => this.draw(now),
      (error) => bench.fail("picture", error),
    );
    this.pointer = new GraphPointer(
      this.element,
      model,
      this.layout,
      this.camera,
      this.drawing,
      this.handlers(),
      () => state.selected,
    );
    this.undo.push(
      connection.onTrait("x_axis", () => this.relayout()),
      watchSize(this.element, () => this.resize()),
      follow(connection, this.layout, this.drawing, () => {
        this.explainColors();
        this.frames.dirty();
        this.sight.refolded();
      }),
    );
  }

  close(): void {
    for (const off of this.undo.splice(0)) off();
    this.pointer.close();
    this.frames.close();
    this.sight.close();
    this.camera.close();
  }

  show(): void {
    this.shown = true;
    const { place } = this.bench.state;
    this.resize();
    if (place !== null && this.layout.mode === "time" && this.looked !== `${place.from} ${place.to}`)
      this.camera.across(this.layout.xOf(place.from), this.layout.xOf(place.to));
    this.revealSelected();
  }
  hide(): void {
    this.shown = false;
    this.tip.hide();
  }

  onModelChange(delta: Delta): void {
    const { model } = this.bench;
    const other = model.shown[0] !== this.trace;
    this.trace = model.shown[0] ?? "";
    this.layout.now = Date.now();
    if (delta.reset) {
      if (!this.built) this.layout.relayout({ mode: this.mode(), now: Date.now() });
      this.drawing.forget();
    } else {
      this.layout.update(delta);
      this.drawing.welcome(delta, performance.now());
    }
    this.built = false;
    if (delta.reset && other) this.fitted = false;
    if (this.camera.following) this.follow();
    this.empty.textContent = emptyMessage(model);
    this.element.setAttribute("aria-label", described(model.runs.get(this.trace)));
    this.explainColors();
    this.frames.dirty();
  }

  changed(part: Part): void {
    if (part === "light") this.drawing.fade(() => this.bench.state.lit);
    if (part === "selection") this.tip.hide();
    if (part === "selection" && !this.own) this.revealSelected();
    this.frames.dirty();
  }
  onThemeChange(): void {
    this.explainColors();
    this.frames.dirty();
  }

  fit(): void {
    this.camera.following = true;
    this.fitted = true;
    this.camera.fit(this.layout.bounds, 0, !this.bench.still);
  }

  private mode(): "time" | "order" {
    return this.bench.connection.get("x_axis") === "order" ? "order" : "time";
  }
  private relayout(): void {
    this.layout.relayout({ mode: this.mode(), now: Date.now() });
    this.camera.following = true;
    this.fitted = true;
    this.camera.fit(this.layout.bounds, 0, false);
  }

  private handlers(): PointerHandlers {
    const { bench } = this;
    return {
      hover: (slot, x, y) => this.hover(slot, x, y),
      select: (slot) => {
        this.own = true;
        bench.select(slot);
        this.own = false;
      },
      moved: () => this.frames.dirty(),
      fit: () => this.fit(),
      escape: () => bench.escape(),
      keys: () => bench.keys(),
      open: () => bench.open(),
      fold: (slot) => this.fold(slot),
    };
  }

  private explainColors(): void {
    if (!this.shown) return;
    const { color } = this.drawing.encoded;
    legendElement(this.legend, color === "kind" ? null : this.drawing.legend(this.bench.theme()), color);
  }

  private running(): boolean {
    return this.bench.model.runs.get(this.trace)?.status === "running";
  }
  private follow(): void {
    if (this.bench.model.size === 0) return;
    if (this.sight.restore()) return;
    const least = this.running() ? 0.62 / Math.max(this.layout.unit, 1e-9) : 0;
    this.camera.fit(this.layout.bounds, least, this.fitted && !document.hidden && !this.bench.still);
    this.fitted = true;
  }
  private resize(): void {
    if (fitCanvas(this.element, this.canvas, this.camera)) {
      if (this.camera.following) this.follow();
      else this.sight.moved();
    }
    this.frames.dirty();
  }

  private free(event: MouseEvent): boolean {
    const box = this.element.getBoundingClientRect();
    return !this.drawing.near || this.pointer.at(event.clientX - box.left, event.clientY - box.top) < 0;
  }
  private selectIn({ x0, y0, x1, y1 }: Box, drawn: ((x: number, y: number) => boolean) | null): void {
    const { camera, layout } = this;
    const { model, state } = this.bench;
    const slots: number[] = [];
    const [left, right] = [camera.worldX(x0), camera.worldX(x1)];
    layout.query(left, camera.worldY(y0), right, camera.worldY(y1), (slot) => {
      const centre = layout.x[slot]!;
      const inside = drawn?.(camera.x(centre), camera.y(layout.y[slot]!)) ?? (centre >= left && centre <= right);
      if (inside && model.alive[slot] && state.lit?.[slot] !== 0) slots.push(slot);
    });
    this.bench.selectMany(slots);
  }

  private hover(slot: number, x: number, y: number): void {
    if (slot < 0) this.tip.hide();
    else this.explain(slot, x, y);
    this.element.style.cursor = slot < 0 ? "grab" : "pointer";
    if (slot === this.hovered) return;
    this.hovered = slot;
    this.frames.dirty();
  }
  private explain(slot: number, x: number, y: number): void {
    const again = (): void => {
      if (this.hovered === slot && this.shown) this.explain(slot, x, y);
    };
    this.tip.about(this.reasons.about(slot, again), x, y, this.camera);
  }

  private fold(slot: number): void {
    if (slot >= 0 && this.drawing.fold(slot)) remember(this.bench.connection, this.layout);
    this.frames.dirty();
  }
  private revealSelected(): void {
    const { selected, rows } = this.bench.state;
    if (selected < 0 || rows.length > 1) return;
    this.drawing.reveal(selected);
    this.camera.reveal(this.layout.x[selected]!, this.layout.y[selected]!);
  }

  /** Says what of the time is seen, for the other views. */
  private tellPlace(): void {
    const { camera, layout } = this;
    if (layout.mode !== "time") return;
    if (camera.following) {
      this.bench.state.look(null);
      return;
    }
    const [from, to] = [layout.timeOf(camera.worldX(0)), layout.timeOf(camera.worldX(camera.width))];
    if (!(to > from)) return;
    this.looked = `${from} ${to}`;
    this.bench.state.look({ from, to });
  }

  picture(ratio: number): HTMLCanvasElement | null {
    const made = this.shown ? canvasOf(this.camera, ratio) : null;
    if (made === null) return null;
    this.paint(made.context, ratio, performance.now());
    this.frames.dirty();
    return made.canvas;
  }

  private paint(context: CanvasRenderingContext2D, ratio: number, now: number): number {
    const { bench } = this;
    const { state } = bench;
    const lit = this.hovered >= 0 && this.drawing.near ? pathOf(bench.model, this.hovered) : null;
    const among = state.rows.length > 1 ? (slot: number) => state.isSelected(slot) : undefined;
    const attention = {
      hovered: this.hovered,
      selected: state.selected,
      lit,
      kept: state.lit,
      ...(among && { among }),
    };
    return this.drawing.draw(context, ratio, bench.theme(), attention, now);
  }

  private draw(now: number): void {
    const { context, bench, camera } = this;
    if (context === null || this.canvas.width === 0 || !this.shown) return;
    const moving = camera.step();
    this.layout.now = Date.now();
    const next = this.paint(context, this.canvas.width / camera.width, now);
    this.map.draw(bench.theme(), this.canvas.width / camera.width, now);
    if (!moving) this.tellPlace();
    bench.painted();
    if (moving || next === 0) this.frames.dirty();
    else if (next > 0) this.frames.later(next);
  }
}
