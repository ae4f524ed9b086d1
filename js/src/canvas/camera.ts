/**
 * Between world and screen. x and y zoom apart: time may be stretched a thousand times, lines never grow beyond their
 * natural height. Gestures are d3-zoom's; of its transform only the steps are used.
 */
import { select } from "d3-selection";
import { type D3ZoomEvent, type ZoomBehavior, zoom, zoomIdentity } from "d3-zoom";
import type { Bounds } from "../layout/layout";

/** On the left is room for the agents' names. */
const MARGIN = { left: 128, right: 84, under: 14, bottom: 34 };
/** In a narrow cell names lie over the picture instead: so much of the width is left free at most. */
const MOST_LEFT = 0.14;
const MOST_RIGHT = 0.11;
const LEAST = 1e-6;
const MOST = 1e5;

export class Camera {
  kx = 1;
  ky = 1;
  tx = 0;
  ty = 0;
  width = 1;
  height = 1;
  /** Whoever wants less motion sees the picture jump instead of glide. */
  still = false;
  /** Px on top that belong to the ruler. */
  top = 22;
  /** True until the user takes the picture in hand; then it no longer follows the run. */
  following = true;
  private fitted = false;
  private target: { kx: number; ky: number; tx: number; ty: number } | null = null;
  private last = zoomIdentity;
  private readonly behavior: ZoomBehavior<HTMLElement, unknown>;

  constructor(
    private readonly element: HTMLElement,
    private readonly changed: () => void,
    free: (event: MouseEvent) => boolean,
  ) {
    this.behavior = zoom<HTMLElement, unknown>()
      .scaleExtent([LEAST, MOST])
      .clickDistance(4)
      .filter((event: MouseEvent) => {
        if (event.type === "wheel") return true;
        return !event.button && event.type !== "dblclick" && free(event);
      })
      .on("zoom", (event: D3ZoomEvent<HTMLElement, unknown>) => this.moved(event));
    select(element)
      .call(this.behavior)
      .on("dblclick.zoom", (event: MouseEvent | TouchEvent) => this.tapped(event));
  }

  x(world: number): number {
    return world * this.kx + this.tx;
  }
  y(world: number): number {
    return world * this.ky + this.ty;
  }
  worldX(screen: number): number {
    return (screen - this.tx) / this.kx;
  }
  worldY(screen: number): number {
    return (screen - this.ty) / this.ky;
  }

  resize(width: number, height: number): void {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
  }

  /** The whole picture, never larger than its natural size; with `least`, no smaller than that and its right end in view. */
  fit(bounds: Bounds, least = 0, smooth = false): void {
    this.fitted = true;
    const w = Math.max(1, bounds.x1 - bounds.x0);
    const h = Math.max(1, bounds.y1 - bounds.y0);
    const left = Math.min(MARGIN.left, this.width * MOST_LEFT);
    const right = Math.min(MARGIN.right, this.width * MOST_RIGHT);
    const roomX = Math.max(40, this.width - left - right);
    const roomY = Math.max(40, this.height - this.top - MARGIN.under - MARGIN.bottom);
    const whole = Math.min(1, roomX / w);
    const kx = Math.max(whole, Math.min(1, least));
    const ky = Math.min(1, Math.max(roomY / h, least > 0 ? 0.26 : 0));
    const tx = kx > whole ? this.width - right - bounds.x1 * kx : left - bounds.x0 * kx;
    const spare = roomY - h * ky;
    const ty = this.top + MARGIN.under - bounds.y0 * ky + (spare > 0 ? Math.min(spare / 2, 40) : 0);
    this.go({ kx, ky, tx, ty }, smooth);
  }

  /** Brings a place into view without zooming. */
  reveal(worldX: number, worldY: number): void {
    // before the first picture there is nothing to move in: that one shows everything
    if (!this.fitted) return;
    const [x, y] = [this.x(worldX), this.y(worldY)];
    const inside = x > 40 && x < this.width - 40 && y > 40 && y < this.height - 40;
    if (inside) return;
    this.following = false;
    this.go({ kx: this.kx, ky: this.ky, tx: this.tx + this.width / 2 - x, ty: this.ty + this.height / 2 - y }, true);
  }

  /** Brings a place of the world into the middle, at once. */
  center(worldX: number, worldY: number): void {
    this.following = false;
    this.shift(this.width / 2 - this.x(worldX), (this.height + this.top) / 2 - this.y(worldY));
  }

  /** Shows this stretch of the world from edge to edge, and leaves y alone. */
  across(x0: number, x1: number): void {
    const kx = Math.min(MOST, Math.max(LEAST, this.width / Math.max(x1 - x0, 1e-9)));
    this.following = false;
    this.go({ kx, ky: this.ky, tx: -x0 * kx, ty: this.ty }, false);
  }

  /** Goes to a place that was looked at before; false where that is none. */
  look(kx: number, ky: number, tx: number, ty: number): boolean {
    if (!(kx >= LEAST && kx <= MOST && ky >= LEAST && ky <= 1) || !Number.isFinite(tx + ty)) return false;
    this.fitted = true;
    this.following = false;
    this.go({ kx, ky, tx, ty }, false);
    return true;
  }

  /** Moves the picture by px of the screen, at once. */
  shift(dx: number, dy: number): void {
    this.target = null;
    this.tx += dx;
    this.ty += dy;
    this.changed();
  }

  /** Zooms about the middle, for the keyboard. */
  zoomBy(factor: number): void {
    this.following = false;
    this.target = null;
    this.scale(factor, this.width / 2, this.height / 2);
    this.changed();
  }

  /** One step of a movement under way; true while there is more. */
  step(): boolean {
    const { target } = this;
    if (target === null) return false;
    let far = 0;
    for (const part of ["kx", "ky", "tx", "ty"] as const) {
      const way = target[part] - this[part];
      this[part] += way * 0.28;
      far = Math.max(far, part[0] === "k" ? Math.abs(way / target[part]) * 400 : Math.abs(way));
    }
    if (far < 0.5) {
      Object.assign(this, target);
      this.target = null;
    }
    return true;
  }

  private go(target: { kx: number; ky: number; tx: number; ty: number }, smooth: boolean): void {
    if (smooth && !this.still) this.target = target;
    else {
      this.target = null;
      Object.assign(this, target);
    }
    this.changed();
  }

  private scale(factor: number, px: number, py: number): void {
    const kx = Math.min(MOST, Math.max(LEAST, this.kx * factor));
    const ky = Math.min(1, Math.max(0.02, this.ky * factor));
    this.tx = px - ((px - this.tx) / this.kx) * kx;
    this.ty = py - ((py - this.ty) / this.ky) * ky;
    this.kx = kx;
    this.ky = ky;
  }

  private moved(event: D3ZoomEvent<HTMLElement, unknown>): void {
    const next = event.transform;
    const factor = next.k / this.last.k;
    this.target = null;
    this.following = false;
    if (Math.abs(factor - 1) < 1e-9) {
      this.tx += next.x - this.last.x;
      this.ty += next.y - this.last.y;
    } else {
      const box = this.element.getBoundingClientRect();
      const source = event.sourceEvent as { clientX?: number; clientY?: number } | null;
      this.scale(
        factor,
        (source?.clientX ?? box.left + box.width / 2) - box.left,
        (source?.clientY ?? box.top + box.height / 2) - box.top,
      );
    }
    this.last = next;
    this.changed();
  }

  /** Two quick taps of a finger come closer; two clicks of a mouse are for whatever they hit. */
  private tapped(event: MouseEvent | TouchEvent): void {
    const [finger] = "changedTouches" in event ? event.changedTouches : [];
    if (finger === undefined) return;
    const box = this.element.getBoundingClientRect();
    this.target = null;
    this.following = false;
    this.scale(2, finger.clientX - box.left, finger.clientY - box.top);
    this.changed();
  }

  close(): void {
    select(this.element).on(".zoom", null);
  }
}
