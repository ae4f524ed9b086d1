/** Which spans light up around one: the way to the root, and everything below. */
import type { Model } from "../model/model";

const MOST = 5_000;

export function pathOf(model: Model, slot: number): Set<number> {
  const lit = new Set<number>();
  if (slot < 0 || slot >= model.size) return lit;
  for (let at = slot; at >= 0 && !lit.has(at); at = model.parent[at]!) lit.add(at);
  const stack = [slot];
  const seen = new Set([slot]);
  while (stack.length > 0 && lit.size < MOST) {
    const at = stack.pop()!;
    lit.add(at);
    for (let child = model.firstChild[at]!; child >= 0; child = model.nextSibling[child]!) {
      if (seen.has(child)) continue;
      seen.add(child);
      stack.push(child);
    }
  }
  return lit;
}
