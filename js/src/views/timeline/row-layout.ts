/** The layout's lines under one another, closer than in the graph: a heading for each agent, then a line for each of its rows. */
import type { Layout } from "../../layout/layout";
import type { Row } from "../../layout/row";

export const LINE = 20;
export const BAR = 14;
export const HEADING = 22;

export interface Heading {
  y: number;
  bottom: number;
  label: string;
  branch: boolean;
  spans: number;
}

export class RowLayout {
  rows: Row[] = [];
  /** Top of each line, in px from the first. */
  tops: Float64Array = new Float64Array(0);
  headings: Heading[] = [];
  height = 0;
  private readonly byY = new Map<number, number>();

  constructor(private readonly layout: Layout) {}

  build(): void {
    const { lanes } = this.layout;
    this.rows = this.layout.rows.filter((row) => row.n > 0);
    this.tops = new Float64Array(this.rows.length);
    this.headings = [];
    this.byY.clear();
    let at = 0;
    let lane = -1;
    for (const [i, row] of this.rows.entries()) {
      let next = Math.max(lane, 0);
      while (next + 1 < lanes.length && row.y > lanes[next]!.y1 && row.y >= lanes[next + 1]!.y0) next++;
      if (next !== lane && lanes[next] !== undefined) {
        const { label, trace } = lanes[next]!;
        if (this.headings.length > 0) this.headings.at(-1)!.bottom = at;
        this.headings.push({ y: at, bottom: at, label, branch: trace > 0, spans: 0 });
        at += HEADING;
        lane = next;
      }
      this.tops[i] = at;
      this.byY.set(Math.fround(row.y), i);
      if (this.headings.length > 0) this.headings.at(-1)!.spans += row.n;
      at += LINE;
    }
    if (this.headings.length > 0) this.headings.at(-1)!.bottom = at;
    this.height = at;
  }

  /** Top of the line that has this place in the layout. */
  topOf(worldY: number): number {
    const i = this.byY.get(Math.fround(worldY));
    return i === undefined ? Number.NaN : this.tops[i]!;
  }
  /** The line at a distance from the first, or undefined between them. */
  at(y: number): Row | undefined {
    let low = 0;
    let high = this.tops.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.tops[middle]! <= y) low = middle + 1;
      else high = middle;
    }
    return low > 0 && y < this.tops[low - 1]! + LINE ? this.rows[low - 1] : undefined;
  }
  /** The layout's y of the first and last line that are seen. */
  window(from: number, to: number): { y0: number; y1: number } {
    let y0 = Number.POSITIVE_INFINITY;
    let y1 = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.rows.length; i++) {
      if (this.tops[i]! + LINE < from || this.tops[i]! > to) continue;
      y0 = Math.min(y0, this.rows[i]!.y);
      y1 = Math.max(y1, this.rows[i]!.y);
    }
    return { y0, y1 };
  }
}
