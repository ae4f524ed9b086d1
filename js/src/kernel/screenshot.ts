/** The kernel asks for the picture as it is seen here: drawn once more at its scale, sent back in pieces. */

import type { View } from "../workbench/types";
import type { Connection } from "./connection";

const PIECE = 512 * 1024;

interface Shot {
  id: string;
  scale: number;
}

/** What the kernel asks for now, or null where that is no question. */
export function asked(value: unknown): Shot | null {
  const { id, scale } = (value ?? {}) as Partial<Shot>;
  return typeof id === "string" && typeof scale === "number" && scale > 0 && scale <= 4 ? { id, scale } : null;
}

export async function shoot(connection: Connection, view: View | null, shot: Shot): Promise<void> {
  const client = `${connection.client}.${Math.random().toString(36).slice(2, 8)}`;
  const say = (args: Record<string, unknown>): Promise<unknown> =>
    connection.request("drawn", { shot: shot.id, client, ...args });
  const canvas = view?.picture?.(shot.scale) ?? null;
  if (canvas === null) {
    const seen = view?.element.isConnected && view.element.clientWidth > 0;
    const why = seen
      ? `The ${view.name} view is no picture: graph.view = "graph" or "timeline" first, or graph.to_html(path).`
      : "The graph is in no visible part of the page.";
    await say({ problem: why });
    return;
  }
  const data = canvas.toDataURL("image/png").split(",")[1] ?? "";
  for (let at = 0; at < data.length; at += PIECE)
    await say({ piece: data.slice(at, at + PIECE), last: at + PIECE >= data.length });
}
