/** How long a span took: a soft bar from its node to its end, high enough to carry a name. */

import { Status } from "../kernel/protocol";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import type { Place } from "./edges";
import { highOf } from "./nodes";

/** A name of ten points lies on a bar without touching its edges. */
const READABLE = 14;
const TINT = 0.16;
const TINT_DARK = 0.26;

export function drawBars(
  context: CanvasRenderingContext2D,
  model: Model,
  slots: readonly number[],
  place: Place,
  theme: Theme,
  color: (slot: number) => string,
  strength: (slot: number) => number,
): void {
  const tint = theme.dark ? TINT_DARK : TINT;
  for (const slot of slots) {
    const from = place.x(slot);
    const long = place.end(slot) - from;
    if (long < 3) continue;
    const kind = model.kindCode(slot);
    const natural = highOf(kind) * place.scale * (kind <= 1 ? 0.5 : 0.78);
    const high = Math.max(natural, Math.min(READABLE, highOf(kind) * place.scale));
    const y = place.y(slot);
    const failed = model.status[slot] === Status.error;
    const running = model.status[slot] === Status.running;
    context.fillStyle = failed ? theme.error : color(slot);
    context.globalAlpha = tint * strength(slot) * (kind <= 1 ? 0.75 : 1);
    context.beginPath();
    context.roundRect(from, y - high / 2, long, high, running ? 0 : Math.min(4, high / 3));
    context.fill();
    if (!running) continue;
    // the end that moves is an edge of its own
    context.globalAlpha = 0.8 * strength(slot);
    context.fillRect(from + long - 2, y - high / 2, 2, high);
  }
  context.globalAlpha = 1;
}
