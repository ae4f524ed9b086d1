/** Who talks to models in a run, and which of them a span belongs to. */
import type { Model } from "../../model/model";

const LLM = 2;

export interface Talker {
  /** The first of its calls. */
  slot: number;
  label: string;
  calls: number;
}

/** In order of the first call. */
export function agentsOf(model: Model): Talker[] {
  const found = new Map<string, Talker & { start: number }>();
  const byClass = new Map<number, Talker & { start: number }>();
  for (let slot = 0; slot < model.size; slot++) {
    if (!model.alive[slot] || model.kindCode(slot) !== LLM) continue;
    const cls = model.cls[slot]!;
    let one = byClass.get(cls);
    if (one === undefined) {
      const key = JSON.stringify([model.traceId(slot), model.agent(slot)]);
      one = found.get(key);
      if (one === undefined) {
        const branch = model.traceId(slot) === model.shown[0] ? "" : " (branch)";
        one = { slot, label: (model.agent(slot) || "no agent") + branch, calls: 0, start: Number.POSITIVE_INFINITY };
        found.set(key, one);
      }
      byClass.set(cls, one);
    }
    one.calls++;
    if (model.start[slot]! < one.start) {
      one.start = model.start[slot]!;
      one.slot = slot;
    }
  }
  return [...found.values()].sort((a, b) => a.start - b.start);
}

/** A call of the agent that a span belongs to: itself, what it was called by, or what it called first; -1 for none. */
export function callerOf(model: Model, slot: number): number {
  for (let at = slot, steps = 0; at >= 0 && steps < 1_000; at = model.parent[at]!, steps++) {
    if (model.kindCode(at) === LLM) return at;
    if (at === slot && model.kindCode(at) <= 1) {
      for (let child = model.firstChild[at]!; child >= 0; child = model.nextSibling[child]!)
        if (model.kindCode(child) === LLM) return child;
    }
  }
  return -1;
}
