/**
 * What falls into one pixel of a line is one mark. The cost of collecting follows the pixels of the window: where many
 * spans share a pixel, whole blocks of the line's summary are taken in one step.
 */
import type { Layout } from "./layout";
import type { Row, SpanColumns } from "./row";

export interface Viewport {
  /** World rectangle that is seen. */
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  /** Screen px for each world px, in x. */
  kx: number;
  /** Sum the costs too; only who shows them should ask, since it means a look at every span that is alone in its pixel. */
  costs?: boolean;
}

const BITS = 3;

/**
 * The marks of one frame, in columns that the next frame uses again; only the first `n` count. Draw them in order of
 * `worst`, so that an error is not covered where lines are less than a pixel high.
 */
export class Marks {
  n = 0;
  /** First and last pixel column, from the window's left edge. */
  px0 = new Int32Array(1024);
  px1 = new Int32Array(1024);
  /** World y of the line. */
  y = new Float32Array(1024);
  /** 0 ok, 1 running, 2 error: the worst in it. */
  worst = new Uint8Array(1024);
  /** Kind code: 0 orchestrator, 1 agent, 2 llm, 3 tool, 4 other. */
  kind = new Uint8Array(1024);
  /** 0 = the trace looked at. */
  trace = new Uint16Array(1024);
  /** Summed cost in USD of what is priced; number of spans that begin in the mark. */
  cost = new Float32Array(1024);
  count = new Uint32Array(1024);
  /** The first span of the mark. */
  slot = new Int32Array(1024);

  grow(): void {
    const more = this.px0.length * 2;
    for (const name of ["px0", "px1", "y", "worst", "kind", "trace", "cost", "count", "slot"] as const) {
      const old = this[name];
      const next = new (old.constructor as new (length: number) => typeof old)(more);
      next.set(old);
      (this[name] as typeof old) = next;
    }
  }
}

export function collectMarks(layout: Layout, view: Viewport, marks: Marks): Marks {
  marks.n = 0;
  const { rows } = layout;
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle] as Row).y < view.y0) low = middle + 1;
    else high = middle;
  }
  const columns = layout.columnsOfSpans;
  for (let i = low; i < rows.length && (rows[i] as Row).y <= view.y1; i++) {
    const row = rows[i] as Row;
    if (row.n === 0 || (row.keys[0] as number) > view.x1 || Math.max(row.trueEnd, row.lastKey) < view.x0) continue;
    collectRow(row, columns, view, layout.nowX(row.trace), marks);
  }
  return marks;
}

/** What is taken together from one pixel on; one object for all rows, no object for each mark. */
const taken = { worst: 0, cost: 0, end: 0 };

function collectRow(row: Row, columns: SpanColumns, view: Viewport, now: number, marks: Marks): void {
  const { keys, slots } = row;
  const { x0, x1, kx } = view;
  const lastPixel = Math.floor((x1 - x0) * kx);
  const first = marks.n;
  let at = row.lowerBound(x0);
  if (at > 0) {
    const reach = Math.min(
      row.farthest(at, columns),
      now === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : Math.max(now, x0 - 1),
    );
    const slot = slots[at - 1] as number;
    const end = row.farthest(at, columns) === Number.POSITIVE_INFINITY ? reach : row.farthest(at, columns);
    if (end >= x0) {
      const last = Math.min(lastPixel, Math.floor((end - x0) * kx));
      add(marks, first, row, 0, last, row.ranks[at - 1] as number, 0, 0, slot);
    }
  }
  while (at < row.n) {
    const pixel = Math.floor(((keys[at] as number) - x0) * kx);
    if (pixel > lastPixel) break;
    const edge = x0 + (pixel + 1) / kx;
    const begin = at;
    at = takePixel(row, columns, at, edge, view.costs === true);
    const end = taken.end === Number.POSITIVE_INFINITY ? now : taken.end;
    const last = Math.min(lastPixel, Math.max(pixel, Math.floor((end - x0) * kx)));
    add(marks, first, row, pixel, last, taken.worst, taken.cost, at - begin, slots[begin] as number);
  }
}

/** Takes all spans from index `at` that begin left of `edge` (at least one); the next index. */
function takePixel(row: Row, columns: SpanColumns, from: number, edge: number, costs: boolean): number {
  const { keys, slots, levels, n } = row;
  let at = from;
  let worst = 0;
  let cost = 0;
  let end = Number.NEGATIVE_INFINITY;
  let single = false;
  do {
    let level = -1;
    // As large a block as begins here and ends left of the edge.
    for (let up = 0, size = 1 << BITS; up < levels.length && (at & (size - 1)) === 0; up++, size <<= BITS) {
      if (at + size > n || (keys[at + size - 1] as number) >= edge) break;
      level = up;
    }
    if (level < 0) {
      const rank = row.ranks[at] as number;
      if (rank > worst) worst = rank;
      if (costs) {
        const one = columns.cost[slots[at] as number] as number;
        if (!Number.isNaN(one)) cost += one;
      }
      at++;
      single = true;
    } else {
      const summary = levels[level] as (typeof levels)[number];
      const block = at >>> (BITS * (level + 1));
      const rank = summary.worst[block] as number;
      const reach = summary.end[block] as number;
      if (rank > worst) worst = rank;
      cost += summary.cost[block] as number;
      if (reach > end) end = reach;
      single = false;
      at += 1 << (BITS * (level + 1));
    }
  } while (at < n && (keys[at] as number) < edge);
  // Bars of one line do not overlap, so of single spans the last one reaches farthest.
  if (single) end = Math.max(end, columns.ends[slots[at - 1] as number] as number);
  taken.worst = worst;
  taken.cost = cost;
  taken.end = end;
  return at;
}

/** Small equal neighbours become one mark; a long bar ends where the next mark begins. */
function add(
  marks: Marks,
  first: number,
  row: Row,
  px0: number,
  px1: number,
  worst: number,
  cost: number,
  count: number,
  slot: number,
): void {
  const before = marks.n - 1;
  if (before >= first) {
    const end = marks.px1[before] as number;
    const touches = px0 <= end + 1;
    const small = px1 - px0 <= 1 && (end - (marks.px0[before] as number) <= 1 || (marks.count[before] as number) > 1);
    if (touches && marks.worst[before] === worst && (small || px0 <= (marks.px0[before] as number))) {
      marks.px1[before] = Math.max(end, px1);
      marks.cost[before]! += cost;
      marks.count[before]! += count;
      return;
    }
    if (px0 <= end) {
      if (px0 > (marks.px0[before] as number)) marks.px1[before] = px0 - 1;
      else if (worst > (marks.worst[before] as number)) marks.worst[before] = worst;
    }
  }
  if (marks.n === marks.px0.length) marks.grow();
  const i = marks.n++;
  marks.px0[i] = px0;
  marks.px1[i] = px1;
  marks.y[i] = row.y;
  marks.worst[i] = worst;
  marks.kind[i] = row.kind;
  marks.trace[i] = row.trace;
  marks.cost[i] = cost;
  marks.count[i] = count;
  marks.slot[i] = slot;
}
