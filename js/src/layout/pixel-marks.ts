/** What is drawn where spans are too many for nodes: colored strips, at most one for each pixel of a line. */
import type { Row } from "./row";

/** A line as marks at one zoom: first and last pixel from its first key on, and what they hold. */
export interface KeptMarks {
  kx: number;
  n: number;
  px0: Int32Array;
  px1: Int32Array;
  worst: Uint8Array;
  /** Null where the color is no figure. */
  dearest: Float32Array | null;
  count: Uint32Array;
  slot: Int32Array;
}

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
  /** The largest figure in it, where the color is one; number of spans that begin in the mark. */
  dearest = new Float32Array(1024);
  count = new Uint32Array(1024);
  /** The first span of the mark. */
  slot = new Int32Array(1024);

  grow(): void {
    const more = this.px0.length * 2;
    for (const name of ["px0", "px1", "y", "worst", "kind", "trace", "dearest", "count", "slot"] as const) {
      const old = this[name];
      const next = new (old.constructor as new (length: number) => typeof old)(more);
      next.set(old);
      (this[name] as typeof old) = next;
    }
  }
}

/** Small equal neighbours become one mark; a long bar ends where the next mark begins. */
export function addMark(
  marks: Marks,
  first: number,
  row: Row,
  px0: number,
  px1: number,
  worst: number,
  dearest: number,
  count: number,
  slot: number,
): void {
  const before = marks.n - 1;
  if (before >= first) {
    const end = marks.px1[before] as number;
    const began = marks.px0[before] as number;
    const rank = marks.worst[before] as number;
    const small = px1 - px0 <= 1 && (end - began <= 1 || (marks.count[before] as number) > 1);
    if (px0 <= began || (px0 <= end + 1 && rank === worst && small)) {
      marks.px1[before] = Math.max(end, px1);
      marks.worst[before] = Math.max(rank, worst);
      marks.dearest[before] = Math.max(marks.dearest[before] as number, dearest);
      marks.count[before]! += count;
      return;
    }
    if (px0 <= end) marks.px1[before] = px0 - 1;
  }
  if (marks.n === marks.px0.length) marks.grow();
  const i = marks.n++;
  marks.px0[i] = px0;
  marks.px1[i] = px1;
  marks.y[i] = row.y;
  marks.worst[i] = worst;
  marks.kind[i] = row.kind;
  marks.trace[i] = row.trace;
  marks.dearest[i] = dearest;
  marks.count[i] = count;
  marks.slot[i] = slot;
}
