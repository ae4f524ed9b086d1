/** One view of a model in a cell. */
import type { Connection } from "../kernel/connection";
import type { Model } from "../model/model";
import { Workbench } from "./workbench";

export function mountView(el: HTMLElement, model: Model, connection: Connection, signal: AbortSignal): () => void {
  const bench = new Workbench(el, model, connection);
  const close = (): void => bench.close();
  signal.addEventListener("abort", close, { once: true });
  return close;
}
