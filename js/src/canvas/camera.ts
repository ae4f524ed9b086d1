/**
 * Maps world to screen. x and y have scales of their own: time may be stretched a thousand times, lanes never grow beyond their
 * natural height. Zooming out ends where the whole content is in view.
 */
import type { Bounds } from "../layout/layout";
import { Gestures } from "./gestures";

/** Room for the agents' names on the left, for the last label on the right. */
const MARGIN = { left: 128, right: 84, under: 14, bottom: 34 };
/** Shares of the width that the margins take at most; in a narrow cell names lie over the picture. */
const MOST_LEFT = 0.14;
const MOST_RIGHT = 0.11;
const LEAST = 1e-6;
const LEAST_Y = 0.02;
const MOST = 1e5;
/** A run of one moment is not stretched without end. */
const MOST_FIT = 40;

export interface Transform {
  kx: number;
  ky: number;
  tx: number;
  ty: number;
}

export interface CameraOptions {
  /** The content: zooming out ends where all of it is in view. */
  content?(): Bounds;
  /** Whether the wheel alone zooms time and leaves the lanes. */
  timeAlone?(): boolean;
  /** The wheel was left to the page. */
  refused?(): void;
}

export class Camera {
  kx = 1;
  ky = 1;
  tx = 0;
  ty = 0;
  width = 1;
  height = 1;
  /** Disables animation for `prefers-reduced-motion`. */
  still = false;
  /** Px on top that belong to the ruler. */
  top = 22;
  /** True until the user pans or zooms; then the view no longer follows the run. */
  following = true;
  private fitted = false;
  private target: Transform | null = null;
  private readonly gestures: Gestures;

  constructor(
    element: HTMLElement,
    private readonly changed: () => void,
    free: (event: PointerEvent) => boolean,
    private readonly options: CameraOptions = {},
  ) {
    this.gestures = new Gestures(element, {
      free,
      refused: () => this.options.refused?.(),
      pan: (dx, dy) => {
        this.following = false;
        this.shift(dx, dy);
      },
      zoom: (factor, x, y, both) => {
        this.following = false;
        this.target = null;
        this.scale(factor, x, y, both || this.options.timeAlone?.() !== true);
        this.changed();
      },
    });
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

  /** Shows the whole content from margin to margin; with `least` (a running trace), no smaller than that and with its right end in view. */
  fit(bounds: Bounds, least = 0, smooth = false): void {
    this.fitted = true;
    this.go(this.fitting(bounds, least), smooth);
  }

  private fitting(bounds: Bounds, least = 0): Transform {
    const w = Math.max(1, bounds.x1 - bounds.x0);
    const h = Math.max(1, bounds.y1 - bounds.y0);
    const left = Math.min(MARGIN.left, this.width * MOST_LEFT);
    const right = Math.min(MARGIN.right, this.width * MOST_RIGHT);
    const roomX = Math.max(40, this.width - left - right);
    const roomY = Math.max(40, this.height - this.top - MARGIN.under - MARGIN.bottom);
    // A finished run fills the width; a running one would shrink with every new span, so it starts at natural size.
    const whole = Math.min(least > 0 ? 1 : MOST_FIT, roomX / w);
    const kx = Math.max(whole, Math.min(1, least));
    const ky = Math.min(1, Math.max(roomY / h, least > 0 ? 0.26 : 0));
    const tx = kx > whole ? this.width - right - bounds.x1 * kx : left - bounds.x0 * kx;
    const spare = roomY - h * ky;
    const ty = this.top + MARGIN.under - bounds.y0 * ky + (spare > 0 ? Math.min(spare / 2, 40) : 0);
    return { kx, ky, tx, ty };
  }

  /** Brings a place into view without zooming. */
  reveal(worldX: number, worldY: number): void {
    // The first frame shows everything, so before it there is nothing to move.
    if (!this.fitted) return;
    const [x, y] = [this.x(worldX), this.y(worldY)];
    const inside = x > 40 && x < this.width - 40 && y > 40 && y < this.height - 40;
    if (inside) return;
    this.following = false;
    this.go({ kx: this.kx, ky: this.ky, tx: this.tx + this.width / 2 - x, ty: this.ty + this.height / 2 - y }, true);
  }

  /** Centers a place of the world, at once. */
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

  /** Restores a saved transform; false where it is not valid. */
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

  private go(target: Transform, smooth: boolean): void {
    if (smooth && !this.still) this.target = target;
    else {
      this.target = null;
      Object.assign(this, target);
    }
    this.changed();
  }

  private scale(factor: number, px: number, py: number, both = true): void {
    const bounds = this.options.content?.();
    const whole = bounds === undefined ? null : this.fitting(bounds);
    // A zoom that went further out already (a run that grew) is not thrown back.
    const least = Math.max(LEAST, Math.min(whole?.kx ?? LEAST, this.kx));
    const low = Math.max(LEAST_Y, Math.min(whole?.ky ?? LEAST_Y, this.ky));
    const kx = Math.min(MOST, Math.max(least, this.kx * factor));
    const ky = both ? Math.min(1, Math.max(low, this.ky * factor)) : this.ky;
    this.tx = px - ((px - this.tx) / this.kx) * kx;
    this.ty = py - ((py - this.ty) / this.ky) * ky;
    this.kx = kx;
    this.ky = ky;
    if (whole === null || factor >= 1) return;
    if (kx === whole.kx) this.tx = whole.tx;
    if (ky === whole.ky && both) this.ty = whole.ty;
  }

  close(): void {
    this.gestures.close();
  }
}
