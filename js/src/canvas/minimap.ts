/** The whole picture, small, in a corner: where one is, and the way to where one is not. There while a part is out of sight. */
import type { Layout } from "../layout/layout";
import { collectMarks, Marks } from "../layout/level-of-detail";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import { h } from "../ui/dom";
import type { Camera } from "./camera";

const WIDE = 168;
const HIGH = 74;
const PAD = 5;
/** A stage smaller than this is all picture. */
const LEAST_STAGE = { width: 420, height: 260 };
/** While spans come in, it is drawn anew this often at most. */
const FRESH_MS = 700;
const CAUGHT = ["pointerdown", "mousedown", "touchstart", "wheel", "dblclick", "pointerup"] as const;

export class Minimap {
  readonly element = h("canvas.an-map", { "aria-hidden": "true", hidden: true }) as HTMLCanvasElement;
  private readonly whole = h("canvas") as HTMLCanvasElement;
  private readonly marks = new Marks();
  private drawn = { version: -1, at: 0, theme: null as Theme | null, mode: "", fold: "", wide: 0 };
  private held = false;

  constructor(
    private readonly model: Model,
    private readonly layout: Layout,
    private readonly camera: Camera,
  ) {
    for (const name of CAUGHT) this.element.addEventListener(name, (event) => event.stopPropagation());
    this.element.addEventListener("pointerdown", (event) => {
      this.held = true;
      this.element.setPointerCapture?.(event.pointerId);
      this.go(event);
    });
    this.element.addEventListener("pointermove", (event) => {
      event.stopPropagation();
      if (this.held) this.go(event);
    });
    for (const name of ["pointerup", "pointercancel"] as const)
      this.element.addEventListener(name, () => {
        this.held = false;
      });
  }

  /** After each frame: shows the part that is seen, or hides itself where that is all. */
  draw(theme: Theme, ratio: number, now: number): void {
    const { camera, layout, element } = this;
    const { x0, y0, x1, y1 } = layout.bounds;
    const [left, right] = [camera.worldX(0), camera.worldX(camera.width)];
    const [top, bottom] = [camera.worldY(camera.top), camera.worldY(camera.height)];
    const slack = [(right - left) * 0.02, (bottom - top) * 0.02] as const;
    const all = left <= x0 + slack[0] && right >= x1 - slack[0] && top <= y0 + slack[1] && bottom >= y1 - slack[1];
    const small = camera.width < LEAST_STAGE.width || camera.height < LEAST_STAGE.height;
    const hide = (all && !this.held) || small || this.model.size === 0;
    if (element.hidden !== hide) element.hidden = hide;
    if (hide) return;
    const context = element.getContext("2d");
    if (context === null) return;
    this.fresh(theme, ratio, now);
    const scale = this.scale();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, WIDE, HIGH);
    context.drawImage(this.whole, 0, 0, WIDE, HIGH);
    const box = {
      x: Math.max(0, PAD + (left - x0) * scale.x),
      y: Math.max(0, PAD + (top - y0) * scale.y),
      x1: Math.min(WIDE, PAD + (right - x0) * scale.x),
      y1: Math.min(HIGH, PAD + (bottom - y0) * scale.y),
    };
    const [wide, high] = [Math.max(6, box.x1 - box.x), Math.max(5, box.y1 - box.y)];
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.12;
    context.fillRect(box.x, box.y, wide, high);
    context.globalAlpha = 1;
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.5;
    context.strokeRect(box.x + 0.75, box.y + 0.75, wide - 1.5, high - 1.5);
  }

  private scale(): { x: number; y: number } {
    const { x0, y0, x1, y1 } = this.layout.bounds;
    return { x: (WIDE - 2 * PAD) / Math.max(1, x1 - x0), y: (HIGH - 2 * PAD) / Math.max(1, y1 - y0) };
  }

  /** The spans, drawn anew only when they differ. */
  private fresh(theme: Theme, ratio: number, now: number): void {
    const { drawn, layout, model } = this;
    const fold = String(layout.folded);
    const same = drawn.theme === theme && drawn.mode === layout.mode && drawn.fold === fold && drawn.wide === ratio;
    if (same && (drawn.version === model.version || now - drawn.at < FRESH_MS)) return;
    this.drawn = { version: model.version, at: now, theme, mode: layout.mode, fold, wide: ratio };
    for (const canvas of [this.whole, this.element]) {
      canvas.width = Math.round(WIDE * ratio);
      canvas.height = Math.round(HIGH * ratio);
    }
    const context = this.whole.getContext("2d");
    if (context === null) return;
    const { x0, y0, x1, y1 } = layout.bounds;
    const scale = this.scale();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const each = Math.max(1, Math.ceil(layout.rows.length / (HIGH - 2 * PAD)));
    const rows = layout.rows.filter((_, i) => i % each === 0);
    const part = { rows, columnsOfSpans: layout.columnsOfSpans, nowX: (trace: number) => layout.nowX(trace) };
    collectMarks(part, { x0, x1, y0: y0 - 1, y1: y1 + 1, kx: scale.x, exact: true }, this.marks);
    const high = Math.max(1, Math.min(4, scale.y * 40));
    for (let worst = 0; worst < 3; worst++)
      for (let i = 0; i < this.marks.n; i++) {
        if (this.marks.worst[i] !== worst) continue;
        context.fillStyle = worst === 2 ? theme.error : theme.kinds[this.marks.kind[i]!]!;
        const wide = Math.max(1, this.marks.px1[i]! - this.marks.px0[i]! + 1);
        context.fillRect(PAD + this.marks.px0[i]!, PAD + (this.marks.y[i]! - y0) * scale.y - high / 2, wide, high);
      }
  }

  private go(event: PointerEvent): void {
    const box = this.element.getBoundingClientRect();
    const scale = this.scale();
    const { x0, y0 } = this.layout.bounds;
    this.camera.center(x0 + (event.clientX - box.left - PAD) / scale.x, y0 + (event.clientY - box.top - PAD) / scale.y);
  }
}
