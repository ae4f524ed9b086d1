/** What the mouse and the keys do: hover, click, drag a node, walk the tree. */
import type { Layout } from "../layout/layout";
import type { Model } from "../model/model";
import { walk } from "../workbench/keyboard-navigation";
import type { Camera } from "./camera";
import type { GraphRenderer } from "./graph-renderer";
import { SIZES } from "./nodes";

export interface PointerHandlers {
  hover(slot: number, x: number, y: number): void;
  select(slot: number): void;
  moved(): void;
  fit(): void;
  escape(): void;
  keys(): void;
  open(): void;
  /** Folds or opens a node: a double click, a key, or a click on a run of like calls. */
  fold(slot: number): void;
}

const DOUBLE_MS = 400;

export class PointerController {
  private grabbed = -1;
  private from: { x: number; y: number } | null = null;
  private dragging = false;
  private hold = { x: 0, y: 0 };
  private clicked = { slot: -1, at: 0, x: 0, y: 0 };
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly stage: HTMLElement,
    private readonly model: Model,
    private readonly layout: Layout,
    private readonly camera: Camera,
    private readonly picture: GraphRenderer,
    private readonly wishes: PointerHandlers,
    private readonly selected: () => number,
  ) {
    this.listen("pointermove", (event) => this.move(event as PointerEvent));
    this.listen("pointerleave", () => this.wishes.hover(-1, 0, 0));
    this.listen("pointerdown", (event) => this.down(event as PointerEvent));
    this.listen("pointerup", (event) => this.up(event as PointerEvent));
    this.listen("pointercancel", () => this.release());
    this.listen("keydown", (event) => this.key(event as KeyboardEvent));
  }

  close(): void {
    for (const off of this.undo.splice(0)) off();
  }

  /** The span under a place on the screen, -1 for none. */
  at(x: number, y: number): number {
    const { camera, layout } = this;
    const reach = this.picture.near ? 32 * Math.max(0.35, this.picture.scale()) : 7;
    const slot = layout.nearest(
      camera.worldX(x),
      camera.worldY(y),
      reach / camera.kx,
      Math.max(6, reach * 0.7) / camera.ky,
    );
    if (slot < 0 || !this.picture.near) return slot;
    const size = (SIZES[this.model.kindCode(slot)]! / 2 + 6) * this.picture.scale() * this.picture.factor(slot);
    return Math.abs(camera.x(layout.x[slot]!) - x) <= size && Math.abs(camera.y(layout.y[slot]!) - y) <= size
      ? slot
      : -1;
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
    this.from = place;
    this.grabbed = this.at(place.x, place.y);
    // where in the node it was taken: there it stays in the hand
    this.hold = { x: 0, y: 0 };
    if (this.grabbed >= 0) {
      const { camera, layout, grabbed } = this;
      this.hold = { x: camera.x(layout.x[grabbed]!) - place.x, y: camera.y(layout.y[grabbed]!) - place.y };
    }
    this.dragging = false;
    if (this.grabbed >= 0) this.stage.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    const { x, y } = this.place(event);
    if (this.from === null) {
      this.wishes.hover(this.at(x, y), x, y);
      return;
    }
    const far = Math.hypot(x - this.from.x, y - this.from.y) > 4;
    if (this.grabbed < 0) {
      if (far) this.wishes.hover(-1, 0, 0);
      return;
    }
    this.dragging ||= far && this.picture.near;
    if (!this.dragging) return;
    this.camera.following = false;
    this.layout.pin(this.grabbed, this.camera.worldX(x + this.hold.x), this.camera.worldY(y + this.hold.y));
    this.wishes.moved();
  }

  private up(event: PointerEvent): void {
    const { x, y } = this.place(event);
    const still = this.from !== null && Math.hypot(x - this.from.x, y - this.from.y) <= 4;
    if (still && !this.dragging) this.click(x, y, event.timeStamp);
    this.release();
  }
  /** The second click goes to what the first one meant: the details that it opened may have moved the picture. */
  private click(x: number, y: number, at: number): void {
    const { clicked, grabbed } = this;
    const twice = clicked.slot >= 0 && at - clicked.at < DOUBLE_MS && Math.hypot(x - clicked.x, y - clicked.y) < 8;
    this.clicked = { slot: twice ? -1 : grabbed, at, x, y };
    if (twice) {
      this.wishes.fold(clicked.slot);
      return;
    }
    const run = grabbed >= 0 && this.picture.isRun(grabbed);
    if (run) {
      this.clicked.slot = -1;
      this.wishes.fold(grabbed);
    }
    this.wishes.select(grabbed);
  }
  private release(): void {
    this.from = null;
    this.grabbed = -1;
    this.dragging = false;
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const does: Record<string, () => void> = {
      f: () => this.wishes.fit(),
      "+": () => this.camera.zoomBy(1.4),
      "=": () => this.camera.zoomBy(1.4),
      "-": () => this.camera.zoomBy(1 / 1.4),
      Escape: () => this.wishes.escape(),
      "?": () => this.wishes.keys(),
      Enter: () => this.wishes.open(),
      " ": () => this.wishes.fold(this.selected()),
    };
    const slot = walk(this.model, this.selected(), event.key);
    if (slot !== undefined) {
      if (slot >= 0 && this.model.alive[slot]) {
        this.picture.reveal(slot);
        this.wishes.select(slot);
        this.camera.reveal(this.layout.x[slot]!, this.layout.y[slot]!);
      }
    } else if (does[event.key] !== undefined) does[event.key]!();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
