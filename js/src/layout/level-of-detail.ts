/**
 * What falls into one pixel of a line is one mark. The cost of collecting follows the pixels of the window: where many
 * spans share a pixel, whole blocks of the line's summary are taken in one step.
 */

import { BITS } from "./block-index";
import type { Layout } from "./layout";
import { addMark, type KeptMarks, Marks } from "./pixel-marks";
import type { LayoutColumns, Row } from "./row";

export { Marks } from "./pixel-marks";

export interface Viewport {
  /** World rectangle that is seen. */
  x0: number;
  y0: number;
  x1: number;
  y1: number;
  /** Screen px for each world px, in x. */
  kx: number;
  /** Look at the spans themselves, and not at what was kept of a line at a zoom near by. */
  exact?: boolean;
}

/** A line this many px wide at most is kept as marks, so that panning and zooming need not look at its spans again. */
const KEPT_PIXELS = 4_096;
/** Last column of a bar whose span still runs. */
const OPEN = 1 << 30;

export type RowSource = Pick<Layout, "rows" | "columnsOfSpans" | "nowX">;

export function collectMarks(layout: RowSource, view: Viewport, marks: Marks): Marks {
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
    const now = layout.nowX(row.trace);
    const known = view.exact === true ? null : kept(row, columns, view.kx);
    if (known === null) collectRow(row, columns, view, now, marks);
    else showKept(row, known, view, now, marks);
  }
  return marks;
}

/** What is taken together from one pixel on; one object for all rows, no object for each mark. */
const taken = { worst: 0, dearest: 0, end: 0 };
const scratch = new Marks();

function collectRow(row: Row, columns: LayoutColumns, view: Viewport, now: number, marks: Marks): void {
  const { keys, slots } = row;
  const { x0, x1, kx } = view;
  const lastPixel = Math.floor((x1 - x0) * kx);
  const first = marks.n;
  let at = row.lowerBound(x0);
  if (at > 0) {
    const reach = row.summary.farthest(at, columns);
    const end = reach === Number.POSITIVE_INFINITY ? now : reach;
    const last = Math.min(lastPixel, Math.floor((end - x0) * kx));
    const slot = slots[at - 1] as number;
    const figure = columns.value === null ? 0 : columns.value(slot);
    if (last >= 0) addMark(marks, first, row, 0, last, row.ranks[at - 1] as number, figure, 0, slot);
  }
  while (at < row.n) {
    const pixel = Math.floor(((keys[at] as number) - x0) * kx);
    if (pixel > lastPixel) break;
    const begin = at;
    at = takePixel(row, columns, at, x0 + (pixel + 1) / kx);
    const end = taken.end === Number.POSITIVE_INFINITY ? now : taken.end;
    const last = Math.min(lastPixel, Math.max(pixel, Math.floor((end - x0) * kx)));
    addMark(marks, first, row, pixel, last, taken.worst, taken.dearest, at - begin, slots[begin] as number);
  }
}

/** The whole line as marks, with pixels between the screen's own size and half of it. */
function kept(row: Row, columns: LayoutColumns, kx: number): KeptMarks | null {
  const fine = 2 ** Math.ceil(Math.log2(kx));
  const x0 = row.keys[0] as number;
  if ((row.lastKey - x0) * fine > KEPT_PIXELS) return null;
  if (row.kept !== null && row.kept.kx === fine) return row.kept;
  scratch.n = 0;
  collectRow(row, columns, { x0, x1: x0 + OPEN / fine, y0: 0, y1: 0, kx: fine }, Number.POSITIVE_INFINITY, scratch);
  const { n } = scratch;
  row.kept = {
    kx: fine,
    n,
    px0: scratch.px0.slice(0, n),
    px1: scratch.px1.slice(0, n),
    worst: scratch.worst.slice(0, n),
    dearest: columns.value === null ? null : scratch.dearest.slice(0, n),
    count: scratch.count.slice(0, n),
    slot: scratch.slot.slice(0, n),
  };
  return row.kept;
}

function showKept(row: Row, marked: KeptMarks, view: Viewport, now: number, marks: Marks): void {
  const { px0, px1, worst, dearest, count, slot } = marked;
  const first = marks.n;
  const scale = view.kx / marked.kx;
  const shift = ((row.keys[0] as number) - view.x0) * view.kx;
  const lastPixel = Math.floor((view.x1 - view.x0) * view.kx);
  const nowPixel = Math.floor((now - view.x0) * view.kx);
  let low = 0;
  let high = marked.n;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (((px1[middle] as number) + 1) * scale + shift <= 0) low = middle + 1;
    else high = middle;
  }
  for (let i = low; i < marked.n; i++) {
    const left = Math.floor((px0[i] as number) * scale + shift);
    if (left > lastPixel) break;
    const end = px1[i] as number;
    const right = end >= OPEN - 1 ? nowPixel : Math.ceil((end + 1) * scale + shift) - 1;
    const from = Math.max(0, left);
    const to = Math.min(lastPixel, Math.max(left, right));
    const figure = dearest === null ? 0 : (dearest[i] as number);
    if (to >= 0)
      addMark(marks, first, row, from, to, worst[i] as number, figure, count[i] as number, slot[i] as number);
  }
}

/** Takes all spans from index `at` that begin left of `edge` (at least one); the next index. */
function takePixel(row: Row, columns: LayoutColumns, from: number, edge: number): number {
  const { keys, slots, n } = row;
  const { levels } = row.summary;
  let at = from;
  let worst = 0;
  const { value } = columns;
  let dearest = 0;
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
      if (value !== null) dearest = Math.max(dearest, value(slots[at] as number));
      at++;
      single = true;
    } else {
      const summary = levels[level] as (typeof levels)[number];
      const block = at >>> (BITS * (level + 1));
      const rank = summary.worst[block] as number;
      const reach = summary.end[block] as number;
      if (rank > worst) worst = rank;
      if (value !== null) dearest = Math.max(dearest, summary.dearest[block] as number);
      if (reach > end) end = reach;
      single = false;
      at += 1 << (BITS * (level + 1));
    }
  } while (at < n && (keys[at] as number) < edge);
  // Bars of one line do not overlap, so of single spans the last one reaches farthest.
  if (single) end = Math.max(end, columns.ends[slots[at - 1] as number] as number);
  taken.worst = worst;
  taken.dearest = dearest;
  taken.end = end;
  return at;
}
