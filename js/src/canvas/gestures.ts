/**
 * Pan, zoom and pinch on an element, as changes for the camera. The wheel zooms only while the element has the focus (it was
 * clicked or reached with Tab) or Ctrl or ⌘ is held; otherwise it scrolls the page, and `refused` is called.
 */
export interface GestureHandlers {
  pan(dx: number, dy: number): void;
  /** `both`: lanes too, not time alone. */
  zoom(factor: number, x: number, y: number, both: boolean): void;
  refused(): void;
  /** Whether a press here may begin a pan. */
  free(event: PointerEvent): boolean;
}

interface Finger {
  x: number;
  y: number;
}

const DOUBLE_TAP_MS = 320;
const DOUBLE_TAP_PX = 24;
/** A press that moves less is a click. */
const CLICK_PX = 4;
/** Pixels of a line and of a page, for wheels that report those. */
const LINE_PX = 18;
const PAGE_PX = 400;
/** Trackpads report a pinch as small steps with Ctrl. */
const PINCH_STEP_PX = 40;

export class Gestures {
  private readonly fingers = new Map<number, Finger>();
  private from: Finger | null = null;
  private panning = false;
  private spread = 0;
  private tap = { at: Number.NEGATIVE_INFINITY, x: 0, y: 0 };
  private readonly abort = new AbortController();

  constructor(
    private readonly element: HTMLElement,
    private readonly handlers: GestureHandlers,
  ) {
    const { signal } = this.abort;
    const on = <E extends Event>(type: string, run: (event: E) => void): void =>
      element.addEventListener(type, run as (event: Event) => void, { signal, passive: false });
    on<PointerEvent>("pointerdown", (event) => this.down(event));
    on<PointerEvent>("pointermove", (event) => this.move(event));
    on<PointerEvent>("pointerup", (event) => this.up(event));
    on<PointerEvent>("pointercancel", (event) => this.release(event));
    on<WheelEvent>("wheel", (event) => this.wheel(event));
  }

  close(): void {
    this.abort.abort();
    this.fingers.clear();
  }

  private place(event: MouseEvent): Finger {
    const box = this.element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0 || (this.fingers.size === 0 && !this.handlers.free(event))) return;
    const place = this.place(event);
    this.fingers.set(event.pointerId, place);
    this.from = place;
    this.panning = false;
    this.spread = this.distance();
  }

  private move(event: PointerEvent): void {
    const last = this.fingers.get(event.pointerId);
    if (last === undefined || this.from === null) return;
    const place = this.place(event);
    if (!this.panning) {
      if (Math.hypot(place.x - this.from.x, place.y - this.from.y) <= CLICK_PX && this.fingers.size < 2) return;
      this.panning = true;
      this.element.setPointerCapture(event.pointerId);
    }
    this.fingers.set(event.pointerId, place);
    const share = this.fingers.size;
    this.handlers.pan((place.x - last.x) / share, (place.y - last.y) / share);
    const spread = this.distance();
    if (share === 2 && spread > 0 && this.spread > 0) {
      const [a, b] = [...this.fingers.values()] as [Finger, Finger];
      this.handlers.zoom(spread / this.spread, (a.x + b.x) / 2, (a.y + b.y) / 2, true);
    }
    this.spread = spread;
  }

  private up(event: PointerEvent): void {
    const tapped = event.pointerType === "touch" && this.fingers.has(event.pointerId) && !this.panning;
    this.release(event);
    if (!tapped) return;
    const { x, y } = this.place(event);
    const again =
      event.timeStamp - this.tap.at < DOUBLE_TAP_MS && Math.hypot(x - this.tap.x, y - this.tap.y) < DOUBLE_TAP_PX;
    this.tap = { at: again ? Number.NEGATIVE_INFINITY : event.timeStamp, x, y };
    if (again) this.handlers.zoom(2, x, y, true);
  }

  private release(event: PointerEvent): void {
    this.fingers.delete(event.pointerId);
    this.spread = this.distance();
    if (this.fingers.size > 0) return;
    this.from = null;
    this.panning = false;
  }

  private distance(): number {
    const [a, b] = [...this.fingers.values()];
    return a === undefined || b === undefined ? 0 : Math.hypot(a.x - b.x, a.y - b.y);
  }

  private wheel(event: WheelEvent): void {
    const forced = event.ctrlKey || event.metaKey;
    if (!forced && !this.element.contains(this.element.ownerDocument.activeElement)) {
      this.handlers.refused();
      return;
    }
    event.preventDefault();
    const unit = event.deltaMode === 1 ? LINE_PX : event.deltaMode === 2 ? PAGE_PX : 1;
    // With Shift some systems turn the wheel sideways.
    const delta = (event.deltaY || event.deltaX) * unit;
    const pace = event.ctrlKey && Math.abs(delta) < PINCH_STEP_PX ? 0.012 : 0.002;
    const { x, y } = this.place(event);
    this.handlers.zoom(2 ** (-delta * pace), x, y, forced || event.shiftKey);
  }
}
