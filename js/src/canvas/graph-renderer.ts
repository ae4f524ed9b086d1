/** Draws the graph: bands, axis, edges and nodes where there is room, colored strips where there is not. */

import { type Run, Status } from "../kernel/protocol";
import type { Layout } from "../layout/layout";
import { Marks } from "../layout/level-of-detail";
import type { Delta, Model } from "../model/model";
import type { Theme } from "../theme";
import { markSign } from "../ui/span-marks";
import { drawAxis, drawGrid } from "./axis";
import { drawBandNames, drawBands, groundAt } from "./bands";
import { drawBars } from "./bars";
import type { Camera } from "./camera";
import { type CollapsedLabel, CollapsedLabels } from "./collapsed-label";
import { drawEdges, type Place } from "./edges";
import { type ColorBy, Encoding, type Legend, type SizeBy } from "./encoding";
import { clearFor, planLabels, title, writeLabels } from "./labels";
import { drawStrips } from "./lod-strips";
import { drawNode, LABELLED } from "./nodes";
import { drawPhaseLines, drawPhases, headHeight } from "./phases";
import { TextFitter } from "./text-fitter";

/** Above so many spans in view, or below this scale, nodes give way to strips. */
const MOST_NODES = 900;
const LEAST_SCALE = 0.3;
const SLIDE_MS = 260;
/** Stands for "nothing, but not faded" among figures. */
const LEAST = 1e-9;
/** How bright what is filtered out still is. */
export const FADED = 0.14;

export interface HighlightState {
  hovered: number;
  selected: number;
  /** The path to the root and down, while something is hovered or selected. */
  lit: ReadonlySet<number> | null;
  /** By slot, 0 for what fades: filtered out, or not what is searched for. */
  kept?: Uint8Array | null;
  /** Whether it is one of several that are selected. */
  among?: (slot: number) => boolean;
}

export class GraphRenderer {
  readonly visible: number[] = [];
  /** Whether single nodes are drawn, as against strips. */
  near = true;
  private readonly marks = new Marks();
  private readonly fitter = new TextFitter();
  private readonly born = new Map<number, number>();
  private readonly encoding: Encoding;
  private readonly folded: CollapsedLabels;
  /** By slot, 0 for what fades. Read anew in every call: it grows with the model. */
  private kept: () => Uint8Array | null = () => null;

  constructor(
    private readonly model: Model,
    private readonly layout: Layout,
    private readonly camera: Camera,
    private readonly still: boolean,
  ) {
    camera.still = still;
    this.encoding = new Encoding(model);
    this.folded = new CollapsedLabels(model, layout);
  }

  /** Folds what lies under a node, or opens it; the node stays where it is seen. False where there is nothing to fold. */
  fold(slot: number): boolean {
    const { camera, layout } = this;
    const first = layout.folds.runOf(slot);
    const stays = first >= 0 ? first : slot;
    const [x, y] = [camera.x(layout.x[stays]!), camera.y(layout.y[stays]!)];
    if (!layout.toggleFold(slot)) return false;
    this.refolded();
    camera.shift(x - camera.x(layout.x[stays]!), y - camera.y(layout.y[stays]!));
    return true;
  }
  /** Whether a click opens it: a run of like calls that is folded into one. */
  isRun(slot: number): boolean {
    return this.layout.folds.likeOf(slot) !== undefined;
  }
  /** Opens what hides a span. */
  reveal(slot: number): boolean {
    const hid = this.layout.reveal(slot);
    if (hid) this.refolded();
    return hid;
  }
  setFolded(rows: readonly number[]): void {
    this.layout.folded = rows;
    this.refolded();
  }
  private refolded(): void {
    this.folded.forget();
    this.born.clear();
  }

  /** What color and size stand for from the next frame on. */
  encode(color: ColorBy, size: SizeBy = this.encoding.sizeBy): void {
    this.encoding.set(color, size);
    this.revalue();
  }
  /** What fades from the next frame on: from afar a pixel is as bright as the brightest span in it. */
  fade(kept: () => Uint8Array | null): void {
    this.kept = kept;
    this.revalue();
  }
  private revalue(): void {
    const { encoding, kept } = this;
    const figure = encoding.figure !== null;
    if (kept() === null) this.layout.valueBy(figure ? (slot) => encoding.value(slot) : null);
    else this.layout.valueBy((slot) => (kept()?.[slot] === 0 ? 0 : Math.max(figure ? encoding.value(slot) : 1, LEAST)));
  }
  get encoded(): { color: ColorBy; size: SizeBy } {
    return { color: this.encoding.colorBy, size: this.encoding.sizeBy };
  }
  legend(theme: Theme): Legend {
    return this.encoding.legend(theme);
  }
  /** By how much a node is larger than others of its kind. */
  factor(slot: number): number {
    return this.encoding.factor(slot);
  }
  /** Remembers when nodes came, so that they slide in; many at once just stand there. */
  welcome(delta: Delta, now: number): void {
    const first = delta.added;
    this.encoding.take(false);
    for (const slot of delta.changed) this.encoding.widen(slot);
    if (this.still || this.model.size - first > 150) return;
    for (let slot = first; slot < this.model.size; slot++) this.born.set(slot, now);
  }
  forget(): void {
    this.encoding.take(true);
    this.born.clear();
  }

  scale(): number {
    return Math.min(1, this.camera.kx * Math.max(this.layout.unit, 1e-9) * 1.15, this.camera.ky * 1.7);
  }

  /** Draws one frame. Returns in how many ms something moves by itself, 0 at once, -1 never. */
  draw(context: CanvasRenderingContext2D, ratio: number, theme: Theme, attention: HighlightState, now: number): number {
    const { camera, layout } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.ground;
    context.fillRect(0, 0, camera.width, camera.height);
    drawBands(context, layout, camera, theme);
    drawGrid(context, layout, camera, theme, this.origin());
    const run = this.run();
    camera.top = headHeight(run);
    drawPhaseLines(context, layout, camera, theme, run);
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
      drawStrips(context, ratio, this.model, layout, camera, this.marks, theme, this.fitter, attention, this.encoding);
      if (this.anyRunning()) next = 250;
    }
    drawBandNames(context, layout, camera, theme, this.fitter);
    drawAxis(context, layout, camera, theme, this.origin());
    drawPhases(context, layout, camera, theme, this.fitter, run);
    return next;
  }

  private run(): Run | undefined {
    return this.model.runs.get(this.model.shown[0] ?? "");
  }
  private anyRunning(): boolean {
    return this.run()?.status === "running";
  }
  private origin(): number {
    return this.run()?.start ?? Number.NaN;
  }

  private nodes(
    context: CanvasRenderingContext2D,
    theme: Theme,
    attention: HighlightState,
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
    const place: Place = {
      x: (slot: number) => camera.x(layout.x[slot]!) + (1 - (arrived.get(slot) ?? 1)) * 26,
      y: (slot: number) => camera.y(layout.y[slot]!),
      factor: (slot: number) => this.encoding.factor(slot),
      end: (slot: number) => place.x(slot) + Math.max(0, camera.x(layout.endX(slot)) - camera.x(layout.homeX(slot))),
      scale,
    };
    const kept = attention.kept ?? null;
    const strength = (slot: number): number =>
      (arrived.get(slot) ?? 1) *
      (attention.lit !== null && !attention.lit.has(slot) ? 0.35 : 1) *
      (kept !== null && kept[slot] === 0 ? FADED : 1);
    const inside = scale > LABELLED;
    const { fitter, visible } = this;
    const { lit } = attention;
    const folded = (slot: number): CollapsedLabel | null => this.folded.of(slot, now);
    const labels = planLabels(context, model, visible, place, theme, fitter, lit, camera.width, inside, folded);
    const faint = (slot: number): number => (kept !== null && kept[slot] === 0 ? FADED : 1);
    drawEdges(context, model, visible, place, theme, lit, (slot) => (arrived.get(slot) ?? 1) * faint(slot));
    clearFor(context, labels, groundAt(layout, camera, theme));
    drawBars(context, model, visible, place, theme, (slot) => this.encoding.fill(slot, theme), strength);
    const breath = this.still ? 0.5 : 0.5 + 0.5 * Math.sin(now / 420);
    for (const slot of visible) {
      const kind = model.kindCode(slot);
      if (model.status[slot] === Status.running && next !== 0 && !this.still) next = 100;
      const fold = folded(slot);
      const node = {
        kind,
        stack: fold !== null,
        inner: fold?.errors ?? 0,
        fill: this.encoding.fill(slot, theme),
        ink: this.encoding.ink(slot, theme),
        status: model.status[slot]!,
        flags: model.flags[slot]!,
        provenance: model.provenance[slot]!,
        name: title(model, slot),
        branch: model.traceId(slot) !== model.shown[0],
        mark: markSign(model.mark[slot]),
      };
      const look = {
        scale: scale * place.factor(slot),
        alpha: strength(slot),
        selected: slot === attention.selected || attention.among?.(slot) === true,
        hovered: slot === attention.hovered,
        breath,
        inside,
      };
      drawNode(context, node, place.x(slot), place.y(slot), look, theme, fitter);
    }
    writeLabels(context, model, labels, theme, (slot) => Math.min(1, faint(slot) * 2));
    return next;
  }
}
