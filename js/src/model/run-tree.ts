/** Runs as they descend from each other: newest first, each followed by what was branched off it. */
import type { Run } from "../kernel/protocol";

export interface Descent {
  run: Run;
  /** 0 for a run of its own, 1 for a branch, 2 for a branch of a branch. */
  depth: number;
}

/** Every run once. A branch whose original is not here stands for itself; branches of one run stand in the order they began. */
export function descent(runs: Iterable<Run>): Descent[] {
  const known = new Map<string, Run>();
  for (const run of runs) known.set(run.trace_id, run);
  const below = new Map<string, Run[]>();
  const roots: Run[] = [];
  for (const run of known.values()) {
    const original = run.original_trace_id;
    if (original === null || original === run.trace_id || !known.has(original)) roots.push(run);
    else below.set(original, [...(below.get(original) ?? []), run]);
  }
  const found: Descent[] = [];
  const seen = new Set<string>();
  const walk = (list: Run[], depth: number): void => {
    for (const run of list) {
      if (seen.has(run.trace_id)) continue;
      seen.add(run.trace_id);
      found.push({ run, depth });
      walk((below.get(run.trace_id) ?? []).sort(older), depth + 1);
    }
  };
  walk(roots.sort(newer), 0);
  walk([...known.values()].sort(newer), 0); // those that name each other as originals
  return found;
}

/** A name's indentation in a list that knows none. */
export function indent(depth: number): string {
  return depth === 0 ? "" : `${"\u2003".repeat(depth - 1)}\u2514 `;
}

function newer(a: Run, b: Run): number {
  return (b.start ?? 0) - (a.start ?? 0);
}
function older(a: Run, b: Run): number {
  return (a.start ?? 0) - (b.start ?? 0);
}
