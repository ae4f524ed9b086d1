/** The base of what mouse and keys do on a canvas: listeners, places, clicks, and the keys that every canvas view shares. */
import type { Model } from "../model/model";
import { walk } from "../workbench/keyboard-navigation";
import type { Camera } from "./camera";

export interface Point {
  x: number;
  y: number;
}

/** A press that moves less, in px, is a click. */
export const CLICK_PX = 4;
const ZOOM_STEP = 1.4;

export abstract class PointerController {
  protected from: Point | null = null;
  private readonly undo: (() => void)[] = [];

  constructor(
    protected readonly stage: HTMLElement,
    protected readonly model: Model,
    protected readonly camera: Camera,
  ) {
    this.listen<PointerEvent>("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.from = this.place(event);
      this.press(this.from, event);
    });
    this.listen<PointerEvent>("pointermove", (event) => this.move(this.place(event), event));
    this.listen<PointerEvent>("pointerup", (event) => {
      const place = this.place(event);
      const { from } = this;
      const still = from !== null && Math.hypot(place.x - from.x, place.y - from.y) <= CLICK_PX;
      this.lift(place, still, event);
      this.from = null;
    });
    this.listen<PointerEvent>("pointercancel", () => {
      this.from = null;
      this.cancel();
    });
    this.listen<PointerEvent>("pointerleave", () => this.leave());
    this.listen<KeyboardEvent>("keydown", (event) => this.key(event));
  }

  close(): void {
    for (const off of this.undo.splice(0)) off();
  }

  /** The span under a place on the screen, -1 for none. */
  abstract at(x: number, y: number): number;
  protected abstract press(place: Point, event: PointerEvent): void;
  protected abstract move(place: Point, event: PointerEvent): void;
  /** `still`: the pointer has not moved since it was pressed. */
  protected abstract lift(place: Point, still: boolean, event: PointerEvent): void;
  protected abstract cancel(): void;
  protected abstract leave(): void;
  protected abstract selected(): number;
  /** An arrow key leads to a span. */
  protected abstract step(slot: number): void;
  /** Keys of this view alone. */
  protected abstract readonly keys: Readonly<Record<string, () => void>>;

  private listen<E extends Event>(type: string, run: (event: E) => void): void {
    this.stage.addEventListener(type, run as (event: Event) => void);
    this.undo.push(() => this.stage.removeEventListener(type, run as (event: Event) => void));
  }
  private place(event: PointerEvent): Point {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Shift+Enter runs the notebook's cell.
    if (event.key === "Enter" && event.shiftKey) return;
    const slot = walk(this.model, this.selected(), event.key);
    const run = Object.hasOwn(this.keys, event.key) ? this.keys[event.key] : undefined;
    if (slot !== undefined) {
      if (slot >= 0 && this.model.alive[slot]) this.step(slot);
    } else if (event.key === "+" || event.key === "=") this.camera.zoomBy(ZOOM_STEP);
    else if (event.key === "-") this.camera.zoomBy(1 / ZOOM_STEP);
    else if (run !== undefined) run();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
