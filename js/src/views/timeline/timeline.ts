/** One bar a span, those at work together under one another, under the curve of what was spent. */

import { drawAxis, drawGrid } from "../../canvas/axis";
import { Camera } from "../../canvas/camera";
import { canvasOf, fitCanvas, stageElement, watchSize } from "../../canvas/canvas-host";
import { COLORS, Encoding } from "../../canvas/encoding";
import { drawPhaseLines, drawPhases, headHeight } from "../../canvas/phases";
import { RafScheduler } from "../../canvas/raf-scheduler";
import { emptyMessage } from "../../canvas/status-text";
import { TextFitter } from "../../canvas/text-fitter";
import { TooltipTexts } from "../../canvas/tooltip-text";
import { Layout } from "../../layout/layout";
import { collectMarks, Marks } from "../../layout/level-of-detail";
import type { Delta } from "../../model/model";
import type { Part } from "../../model/view-state";
import { h } from "../../ui/dom";
import { Tooltip } from "../../ui/overlays";
import type { Bench, View } from "../../workbench/types";
import { boxes } from "../graph/box";
import { CostCurve } from "./cost-curve";
import { CURVE, drawCurve, drawHeadings, drawMarks, ring, type Sheet } from "./draw";
import { TimelinePointer } from "./pointer";
import { LINE, RowLayout } from "./row-layout";

const LEAST = 1e-9;
/** With many spans the curve is summed up this often at most, in ms. */
const FRESH_MS = 700;

export class TimelineView implements View {
  readonly name = "timeline";
  readonly element = stageElement();
  readonly focus = this.element;
  private readonly canvas = h("canvas", { "aria-hidden": "true" }) as HTMLCanvasElement;
  private readonly empty = h("div.an-empty");
  private readonly tip = new Tooltip();
  private readonly context: CanvasRenderingContext2D | null;
  private readonly layout: Layout;
  private readonly lines: RowLayout;
  private readonly camera: Camera;
  private readonly encoding: Encoding;
  private readonly spending = new CostCurve();
  private readonly marks = new Marks();
  private readonly fitter = new TextFitter();
  private readonly frames: RafScheduler;
  private readonly reasons: TooltipTexts;
  private readonly pointer: TimelinePointer;
  private readonly undo: (() => void)[] = [];
  private hovered = -1;
  private scroll = 0;
  private head = CURVE;
  private shown = false;
  private summedAt = 0;
  private looked = "";
  /** A view is told of everything when it has just been made, with all in its place. */
  private built = true;

  constructor(private readonly bench: Bench) {
    const { model, connection } = bench;
    this.element.setAttribute("aria-roledescription", "timeline");
    this.element.append(this.canvas, this.empty, this.tip.element);
    this.context = this.canvas.getContext("2d");
    this.layout = new Layout(model, { mode: "time", now: Date.now(), likes: false });
    this.lines = new RowLayout(this.layout);
    this.encoding = new Encoding(model);
    this.reasons = new TooltipTexts(model, connection);
    this.undo.push(boxes(this.element, (box) => this.pointer.box(box)));
    this.camera = new Camera(
      this.element,
      () => this.moved(),
      (event) => !event.shiftKey && event.clientY - this.element.getBoundingClientRect().top > this.head,
      { content: () => this.layout.bounds },
    );
    this.pointer = new TimelinePointer(this.element, bench, this.layout, this.camera, this.lines, {
      head: () => this.head,
      hover: (slot, x, y) => this.hover(slot, x, y),
      dirty: () => this.frames.dirty(),
    });
    this.frames = new RafScheduler(
      (now) => this.draw(now),
      (error) => bench.fail("timeline", error),
    );
    const colors = (): void => this.encode();
    this.undo.push(
      connection.onTrait("color", colors),
      watchSize(this.element, () => this.resize()),
    );
    colors();
  }

  close(): void {
    for (const off of this.undo.splice(0)) off();
    this.pointer.close();
    this.frames.close();
    this.camera.close();
  }
  show(): void {
    this.shown = true;
    const { place, selected } = this.bench.state;
    this.resize();
    if (place === null) this.fit();
    else if (this.looked !== `${place.from} ${place.to}`)
      this.camera.across(this.layout.xOf(place.from), this.layout.xOf(place.to));
    if (selected >= 0) this.reveal(selected);
  }
  hide(): void {
    this.shown = false;
    this.tip.hide();
  }
  onModelChange(delta: Delta): void {
    const { model } = this.bench;
    this.layout.now = Date.now();
    if (delta.reset) {
      if (!this.built) this.layout.relayout({ mode: "time", now: Date.now() });
      this.encoding.take(true);
      this.summedAt = 0;
    } else {
      this.layout.update(delta);
      this.encoding.take(false);
    }
    this.built = false;
    this.lines.build();
    const now = performance.now();
    if (model.size < 20_000 || now - this.summedAt > FRESH_MS || this.summedAt === 0) {
      this.spending.build(model);
      this.summedAt = now;
    }
    this.empty.textContent = emptyMessage(model);
    const run = model.runs.get(model.shown[0] ?? "");
    const label =
      run === undefined ? "Timeline" : `Timeline: ${run.spans} spans, ${run.errors} errors. Arrows walk the tree.`;
    this.element.setAttribute("aria-label", label);
    this.frames.dirty();
  }
  changed(part: Part): void {
    if (part === "light") this.encode();
    if (part === "selection") this.tip.hide();
    if (part === "selection" && !this.pointer.selecting && this.bench.state.rows.length < 2)
      this.reveal(this.bench.state.selected);
    this.frames.dirty();
  }
  onThemeChange(): void {
    this.frames.dirty();
  }
  fit(): void {
    this.camera.following = true;
    this.frames.dirty();
  }
  /** The whole run from edge to edge, as long as nobody took the picture in hand. */
  private whole(): void {
    const { camera, layout } = this;
    const from = layout.bounds.x0;
    const edge = Math.max(1, (this.ends() - from) * 0.02);
    camera.kx = camera.width / Math.max(this.ends() - from + 2 * edge, 1e-9);
    camera.tx = -(from - edge) * camera.kx;
  }

  private ends(): number {
    const { bounds } = this.layout;
    return this.running() ? Math.max(bounds.x1, this.layout.nowX(0)) : bounds.x1;
  }
  private running(): boolean {
    const { model } = this.bench;
    return model.runs.get(model.shown[0] ?? "")?.status === "running";
  }
  private encode(): void {
    const { encoding, bench } = this;
    const said = bench.connection.get("color");
    encoding.set(COLORS.find((one) => one === said) ?? "kind", "kind");
    const figure = encoding.figure !== null;
    const { state } = bench;
    if (state.lit === null) this.layout.valueBy(figure ? (slot) => encoding.value(slot) : null);
    else
      this.layout.valueBy((slot) => (state.lit?.[slot] === 0 ? 0 : Math.max(figure ? encoding.value(slot) : 1, LEAST)));
    this.frames.dirty();
  }
  private resize(): void {
    fitCanvas(this.element, this.canvas, this.camera);
    this.frames.dirty();
  }

  /** The camera zooms both ways; here lines keep their height, and the wheel moves time alone. */
  private moved(): void {
    const { camera } = this;
    if (camera.ky !== 1) {
      camera.ky = 1;
      camera.ty = this.scroll;
    }
    const least = Math.min(0, camera.height - this.head - this.lines.height - LINE);
    camera.ty = Math.min(0, Math.max(least, camera.ty));
    this.scroll = camera.ty;
    this.frames.dirty();
  }
  private reveal(slot: number): void {
    if (slot < 0) return;
    const { camera, layout, lines, head } = this;
    const [left, right] = [camera.x(layout.homeX(slot)), camera.x(layout.endX(slot))];
    if (right < 20 || left > camera.width - 20) camera.shift(camera.width / 2 - (left + right) / 2, 0);
    const top = lines.topOf(layout.homeY(slot));
    const seen = head + camera.ty + top;
    if (seen < head + LINE || seen > camera.height - LINE * 2) {
      camera.ty = (camera.height - head) / 2 - top;
      this.moved();
    }
    this.frames.dirty();
  }
  private hover(slot: number, x: number, y: number): void {
    if (slot < 0) this.tip.hide();
    else {
      const again = (): void => {
        if (this.hovered === slot && this.shown) this.hover(slot, x, y);
      };
      this.tip.about(this.reasons.about(slot, again), x, y, this.camera);
    }
    this.element.style.cursor = slot < 0 ? "grab" : "pointer";
    if (slot === this.hovered) return;
    this.hovered = slot;
    this.frames.dirty();
  }

  private draw(_now: number): void {
    const { context, bench, camera, layout, canvas } = this;
    if (context === null || canvas.width === 0 || !this.shown) return;
    camera.step();
    layout.now = Date.now();
    if (camera.following) this.whole();
    this.paint(context, canvas.width / camera.width);
    this.tellPlace();
    bench.painted();
    if (this.running()) this.frames.later(bench.still ? 500 : 100);
  }

  picture(ratio: number): HTMLCanvasElement | null {
    const made = this.shown ? canvasOf(this.camera, ratio) : null;
    if (made !== null) this.paint(made.context, ratio);
    return made?.canvas ?? null;
  }

  private paint(context: CanvasRenderingContext2D, ratio: number): void {
    const { bench, camera, layout, lines } = this;
    const running = this.running();
    const theme = bench.theme();
    const run = bench.model.runs.get(bench.model.shown[0] ?? "");
    camera.top = headHeight(run);
    this.head = camera.top + CURVE;
    const sheet: Sheet = { context, ratio, camera, layout, theme, fitter: this.fitter, head: this.head };
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, camera.width, camera.height);
    const origin = run?.start ?? Number.NaN;
    drawHeadings(sheet, lines);
    drawGrid(context, layout, camera, theme, origin);
    drawPhaseLines(context, layout, camera, theme, run);
    const seen = lines.window(-camera.ty, camera.height - this.head - camera.ty);
    const view = { x0: camera.worldX(0), x1: camera.worldX(camera.width), kx: camera.kx * ratio, ...seen };
    collectMarks(layout, view, this.marks);
    drawMarks(sheet, bench.model, lines, this.marks, this.encoding, bench.state.lit !== null);
    if (this.hovered >= 0) ring(sheet, lines, this.hovered, theme.text);
    const { rows, selected } = bench.state;
    if (rows.length > 1 && rows.length <= 2_000)
      for (const slot of bench.state.slots()) ring(sheet, lines, slot, theme.accent);
    if (selected >= 0) ring(sheet, lines, selected, theme.accent);
    drawCurve(sheet, this.spending, running ? layout.now : (run?.end ?? layout.now));
    drawAxis(context, layout, camera, theme, origin);
    drawPhases(context, layout, camera, theme, this.fitter, run);
    this.pointer.draw(context, theme);
  }

  private tellPlace(): void {
    const { camera, layout } = this;
    if (camera.following) {
      this.bench.state.look(null);
      return;
    }
    const [from, to] = [layout.timeOf(camera.worldX(0)), layout.timeOf(camera.worldX(camera.width))];
    if (!(to > from)) return;
    this.looked = `${from} ${to}`;
    this.bench.state.look({ from, to });
  }
}
