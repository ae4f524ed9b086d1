/** Mouse and keys on the graph: hover, click, drag a node, collapse it, walk the tree. */
import type { Camera } from "../../canvas/camera";
import type { GraphRenderer } from "../../canvas/graph-renderer";
import { SIZES } from "../../canvas/nodes";
import { CLICK_PX, type Point, PointerController } from "../../canvas/pointer-controller";
import type { Layout } from "../../layout/layout";
import type { Model } from "../../model/model";

export interface PointerHandlers {
  hover(slot: number, x: number, y: number): void;
  select(slot: number): void;
  moved(): void;
  fit(): void;
  escape(): void;
  keys(): void;
  open(): void;
  /** Collapses or expands a node: a double click, a key, or a click on a run of like calls. */
  fold(slot: number): void;
}

const DOUBLE_MS = 400;
const DOUBLE_PX = 8;

export class GraphPointer extends PointerController {
  protected readonly keys: Readonly<Record<string, () => void>>;
  private grabbed = -1;
  private dragging = false;
  /** Where in the node it was grabbed. */
  private hold: Point = { x: 0, y: 0 };
  private clicked = { slot: -1, at: 0, x: 0, y: 0 };

  constructor(
    stage: HTMLElement,
    model: Model,
    private readonly layout: Layout,
    camera: Camera,
    private readonly picture: GraphRenderer,
    private readonly handlers: PointerHandlers,
    private readonly selectedSlot: () => number,
  ) {
    super(stage, model, camera);
    this.keys = {
      f: () => handlers.fit(),
      Escape: () => handlers.escape(),
      "?": () => handlers.keys(),
      Enter: () => handlers.open(),
      " ": () => handlers.fold(this.selected()),
    };
  }

  at(x: number, y: number): number {
    const { camera, layout, picture } = this;
    const reach = picture.near ? 32 * Math.max(0.35, picture.scale()) : 7;
    const slot = layout.nearest(
      camera.worldX(x),
      camera.worldY(y),
      reach / camera.kx,
      Math.max(6, reach * 0.7) / camera.ky,
    );
    if (slot < 0 || !picture.near) return slot;
    const size = (SIZES[this.model.kindCode(slot)]! / 2 + 6) * picture.scale() * picture.factor(slot);
    const inside = Math.abs(camera.x(layout.x[slot]!) - x) <= size && Math.abs(camera.y(layout.y[slot]!) - y) <= size;
    return inside ? slot : -1;
  }

  protected selected(): number {
    return this.selectedSlot();
  }
  protected step(slot: number): void {
    this.picture.reveal(slot);
    this.handlers.select(slot);
    this.camera.reveal(this.layout.x[slot]!, this.layout.y[slot]!);
  }

  protected press(place: Point, event: PointerEvent): void {
    const { camera, layout } = this;
    this.grabbed = this.at(place.x, place.y);
    this.dragging = false;
    if (this.grabbed < 0) return;
    this.hold = { x: camera.x(layout.x[this.grabbed]!) - place.x, y: camera.y(layout.y[this.grabbed]!) - place.y };
    this.stage.setPointerCapture(event.pointerId);
  }

  protected move({ x, y }: Point): void {
    if (this.from === null) {
      this.handlers.hover(this.at(x, y), x, y);
      return;
    }
    const far = Math.hypot(x - this.from.x, y - this.from.y) > CLICK_PX;
    if (this.grabbed < 0) {
      if (far) this.handlers.hover(-1, 0, 0);
      return;
    }
    this.dragging ||= far && this.picture.near;
    if (!this.dragging) return;
    this.camera.following = false;
    this.layout.pin(this.grabbed, this.camera.worldX(x + this.hold.x), this.camera.worldY(y + this.hold.y));
    this.handlers.moved();
  }

  protected lift(place: Point, still: boolean, event: PointerEvent): void {
    if (still && !this.dragging) this.click(place.x, place.y, event.timeStamp);
    this.cancel();
  }
  protected cancel(): void {
    this.grabbed = -1;
    this.dragging = false;
  }
  protected leave(): void {
    this.handlers.hover(-1, 0, 0);
  }

  /** The second click goes to the span of the first one: the details that it opened may have moved the picture. */
  private click(x: number, y: number, at: number): void {
    const { clicked, grabbed } = this;
    const twice =
      clicked.slot >= 0 && at - clicked.at < DOUBLE_MS && Math.hypot(x - clicked.x, y - clicked.y) < DOUBLE_PX;
    this.clicked = { slot: twice ? -1 : grabbed, at, x, y };
    if (twice) {
      this.handlers.fold(clicked.slot);
      return;
    }
    if (grabbed >= 0 && this.picture.isRun(grabbed)) {
      this.clicked.slot = -1;
      this.handlers.fold(grabbed);
    }
    this.handlers.select(grabbed);
  }
}
