/** The sentences around the picture. */

import type { Run } from "../kernel/protocol";
import type { Model } from "../model/model";

export const BUSY = "The kernel is busy: it answers when the cell ends.";

/** Under the picture: what is wrong with the connection, and what could not be read. */
export function footnote(model: Model): string {
  const lost = model.link === "lost" ? "Not connected to a kernel: run the cell again." : "";
  return [lost, model.status_.sentence].filter(Boolean).join("  ");
}

/** In the place of a picture that has nothing to show. */
export function emptyMessage(model: Model): string {
  if (model.size > 0 || model.link === "lost") return "";
  if (model.link === "connecting") return "Connecting to the kernel …";
  return model.status_.live ? "Waiting for the first span …" : "There are no spans here.";
}

/** What a screen reader hears of the picture. */
export function described(run: Run | undefined): string {
  if (run === undefined) return "Trace graph";
  return `Trace graph: ${run.spans} spans, ${run.errors} errors. Arrows walk the tree.`;
}
