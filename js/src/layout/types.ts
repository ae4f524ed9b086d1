export interface LayoutOptions {
  mode: "time" | "order";
  /** Milliseconds since 1970 UTC: where running spans end. Setting `layout.now` for each frame costs nothing. */
  now: number;
  /** Whether runs of like calls fold into one by themselves; looked at when the layout is made. */
  likes?: boolean;
}

export interface Bounds {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** Room of a node by group: agents' circles, model calls, tools, others. */
export const WIDTHS = [48, 68, 58, 48];
