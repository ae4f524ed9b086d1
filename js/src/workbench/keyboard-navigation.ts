/** Ways through the tree of spans, for the arrow keys of every view. */
import type { Model } from "../model/model";

export function firstRoot(model: Model): number {
  for (let slot = 0; slot < model.size; slot++) if (model.alive[slot] && model.parent[slot]! < 0) return slot;
  return -1;
}

/** In order of start. */
export function childrenOf(model: Model, slot: number): number[] {
  const found: number[] = [];
  for (let child = model.firstChild[slot] ?? -1; child >= 0; child = model.nextSibling[child]!) found.push(child);
  return found.sort((a, b) => model.start[a]! - model.start[b]!);
}

export function beside(model: Model, slot: number, step: number): number {
  const parent = model.parent[slot] ?? -1;
  if (parent < 0) return -1;
  const all = childrenOf(model, parent);
  return all[all.indexOf(slot) + step] ?? -1;
}

/** Where an arrow key leads; -1 nowhere, undefined for another key. */
export function walk(model: Model, slot: number, key: string): number | undefined {
  if (!key.startsWith("Arrow")) return undefined;
  if (slot < 0) return firstRoot(model);
  if (key === "ArrowUp") return model.parent[slot] ?? -1;
  if (key === "ArrowDown") return childrenOf(model, slot)[0] ?? -1;
  return beside(model, slot, key === "ArrowLeft" ? -1 : 1);
}
