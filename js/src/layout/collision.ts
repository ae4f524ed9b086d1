/** Moves colliding nodes a little apart, while they are few. Their place in time and band stays what holds them. */
import { forceCollide, forceSimulation, forceX, forceY, type Simulation } from "d3-force";
import type { Layout } from "./layout";

export const MOST_SETTLED = 1_000;
const RADIUS = 27;
/** A model call is wider than it is high; x is pressed together so that circles keep them apart. */
const PRESSED = RADIUS / 33;

interface Body {
  slot: number;
  index?: number;
  x: number;
  y: number;
  vx?: number;
  vy?: number;
  fx?: number | null;
  fy?: number | null;
  homeX: number;
  homeY: number;
}

export class CollisionSolver {
  private readonly bodies = new Map<number, Body>();
  private simulation: Simulation<Body, undefined> | null = null;
  private shown: readonly number[] = [];
  private begun = false;
  private resting = false;

  constructor(private readonly layout: Layout) {}

  reset(): void {
    this.bodies.clear();
    this.simulation = null;
    this.shown = [];
    this.begun = false;
    this.resting = false;
  }

  tick(visible: readonly number[]): boolean {
    if (visible.length >= MOST_SETTLED || visible.length === 0) return false;
    if (!this.same(visible)) {
      // while the picture moves, nobody needs room yet
      this.shown = visible.slice();
      this.begun = false;
      return true;
    }
    if (!this.begun) this.begin(visible);
    this.begun = true;
    const { simulation } = this;
    if (simulation === null || this.resting) return false;
    for (const body of simulation.nodes()) if (this.layout.pinned(body.slot)) this.hold(body);
    simulation.tick();
    for (const body of simulation.nodes()) {
      if (body.fx !== undefined && body.fx !== null) continue;
      const x = body.x / this.press();
      const aside = Math.abs(x - body.homeX) > 0.5 || Math.abs(body.y - body.homeY) > 0.5;
      if (aside || this.layout.x[body.slot] !== Math.fround(body.homeX)) this.layout.moveAside(body.slot, x, body.y);
    }
    if (simulation.alpha() >= simulation.alphaMin()) return true;
    // Who has come to rest stays there; only who comes later has to find a place.
    for (const body of simulation.nodes()) {
      body.fx = body.x;
      body.fy = body.y;
    }
    this.resting = true;
    return false;
  }

  /** A node in somebody's hand stays in it. */
  private hold(body: Body): void {
    body.fx = body.x = this.layout.x[body.slot]! * this.press();
    body.fy = body.y = this.layout.y[body.slot]!;
  }
  private press(): number {
    return PRESSED / Math.max(this.layout.unit, 1e-6);
  }

  private same(visible: readonly number[]): boolean {
    const { shown } = this;
    return shown.length === visible.length && shown.every((slot, i) => visible[i] === slot);
  }

  /** Who came to rest stays; only newcomers, and who stands near them, are simulated. */
  private begin(visible: readonly number[]): void {
    const { layout } = this;
    const press = this.press();
    const loose: Body[] = [];
    const fixed: Body[] = [];
    for (const slot of visible) {
      const [homeX, homeY] = [layout.homeX(slot), layout.homeY(slot)];
      let body = this.bodies.get(slot);
      if (body === undefined || body.homeX !== homeX || body.homeY !== homeY) {
        body = { slot, x: layout.x[slot]! * press, y: layout.y[slot]!, homeX, homeY };
        this.bodies.set(slot, body);
      }
      if (layout.pinned(slot)) this.hold(body);
      (body.fx === undefined || body.fx === null ? loose : fixed).push(body);
    }
    this.resting = loose.length === 0;
    this.simulation = null;
    if (this.resting) return;
    const near = nearOf(loose);
    this.simulation = forceSimulation([...loose, ...fixed.filter(near)])
      .stop()
      .alphaDecay(0.06)
      .velocityDecay(0.5)
      .force("x", forceX<Body>((body) => body.homeX * press).strength(0.25))
      .force("y", forceY<Body>((body) => body.homeY).strength(0.35))
      .force("apart", forceCollide<Body>(RADIUS).strength(0.7).iterations(2));
  }
}

/** Whether a body stands where one of these may be pushed to. */
function nearOf(bodies: readonly Body[]): (body: Body) => boolean {
  const reach = 4 * RADIUS;
  const cells = new Set<string>();
  const cell = (at: number): number => Math.floor(at / reach);
  for (const { x, y } of bodies)
    for (const dx of [-1, 0, 1]) for (const dy of [-1, 0, 1]) cells.add(`${cell(x) + dx} ${cell(y) + dy}`);
  return (body) => cells.has(`${cell(body.x)} ${cell(body.y)}`);
}
