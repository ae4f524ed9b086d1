/** What is chosen in the picture and outlasts it: folding, color, size and place, kept in traits of the widget. */
import type { Connection } from "../kernel/connection";
import type { Layout } from "../layout/layout";
import type { Camera } from "./camera";
import { COLORS, SIZES_BY } from "./encoding";
import type { GraphRenderer } from "./graph-renderer";

/** Takes the traits over now and whenever they change. Returns the way to stop that. */
export function follow(
  connection: Connection,
  layout: Layout,
  picture: GraphRenderer,
  changed: () => void,
): () => void {
  const folded = (): void => {
    const rows = rowsOf(connection.get("_folded"));
    if (String(rows) === String(layout.folded)) return;
    picture.setFolded(rows);
    changed();
  };
  const encoding = (): void => {
    const [color, size] = [connection.get("color"), connection.get("size")];
    picture.encode(COLORS.find((one) => one === color) ?? "kind", SIZES_BY.find((one) => one === size) ?? "kind");
    changed();
  };
  const undo = [
    connection.onTrait("_folded", folded),
    connection.onTrait("color", encoding),
    connection.onTrait("size", encoding),
  ];
  folded();
  encoding();
  return () => {
    for (const off of undo) off();
  };
}

/** Says what is folded now, so that it comes back in another view, and tomorrow. */
export function remember(connection: Connection, layout: Layout): void {
  connection.set("_folded", layout.folded);
}

function rowsOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((row): row is number => Number.isSafeInteger(row)) : [];
}

const REST_MS = 250;

/**
 * Where this view looks: said when it has come to rest, and taken over by a view's first picture alone, so that two
 * views of one graph leave each other in peace. By a span in the middle, which has its place in any layout of the run.
 */
export class Sight {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = 0;
  private known = "{}";
  private fresh = true;

  constructor(
    private readonly connection: Connection,
    private readonly layout: Layout,
    private readonly camera: Camera,
  ) {}

  /** The camera has moved: costs a frame nothing but a look at the clock. */
  moved(): void {
    this.last = performance.now();
    this.timer ??= setTimeout(() => this.rest(), REST_MS);
  }
  /** Something was folded: what is known may be told by a span that is out of sight now. Of other views' places it is silent. */
  refolded(): void {
    if (JSON.stringify(this.connection.get("_camera")) === this.known) this.moved();
  }
  close(): void {
    clearTimeout(this.timer);
  }

  private rest(): void {
    this.timer = undefined;
    const left = this.last + REST_MS - performance.now();
    if (left > 1) this.timer = setTimeout(() => this.rest(), left);
    else this.tell();
  }
  private tell(): void {
    const seen = this.now();
    const said = JSON.stringify(seen);
    if (said === this.known) return;
    this.known = said;
    this.connection.set("_camera", seen);
  }
  /** Nothing while the picture follows the run. */
  private now(): Record<string, number | string> {
    const { camera, layout } = this;
    const [x, y] = [camera.worldX(camera.width / 2), camera.worldY(camera.height / 2)];
    const slot = camera.following ? -1 : layout.nearest(x, y, 1e9 / camera.kx, 1e9 / camera.ky);
    return slot < 0 ? {} : this.from(slot);
  }
  private from(slot: number): Record<string, number | string> {
    const { camera, layout } = this;
    const { kx, ky, top, width } = camera;
    return {
      mode: layout.mode,
      row: layout.model.row[slot]!,
      x: camera.x(layout.homeX(slot)),
      y: camera.y(layout.homeY(slot)) - top,
      pace: kx * layout.pace,
      ky,
      room: kx * layout.unit,
      width,
      height: camera.height - top,
    };
  }

  /** The first picture of a view looks where the last one did; false where there is no such place, or it is not the first. */
  restore(): boolean {
    const { camera, layout, fresh } = this;
    if (camera.width <= 1) return false;
    this.fresh = false;
    const said = (this.connection.get("_camera") ?? {}) as Partial<Record<string, unknown>>;
    const [row, x, y, pace, ky, width, height] = NUMBERS.map((name) => Number(said[name])) as [number, ...number[]];
    const slot = fresh && said.mode === layout.mode ? layout.model.slotOf(row) : -1;
    if (slot < 0 || layout.folds.hidden[slot] === 1 || !(pace! > 0 && ky! > 0 && width! > 0)) return false;
    const wider = camera.width / width!;
    const kx = (pace! / layout.pace) * wider;
    const [tx, ty] = [
      x! * wider - layout.homeX(slot) * kx,
      y! + camera.top + (camera.height - camera.top - height!) / 2 - layout.homeY(slot) * ky!,
    ];
    if (!camera.look(kx, ky!, tx, ty)) return false;
    this.known = JSON.stringify(this.now());
    return true;
  }
}

const NUMBERS = ["row", "x", "y", "pace", "ky", "width", "height"] as const;
