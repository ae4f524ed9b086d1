/** The views by name; each is made when it is first looked at. */
import type { Bench, View, ViewName } from "../workbench/view";
import { GraphView } from "./graph/graph";

export function makeView(name: ViewName, bench: Bench): View {
  if (name === "graph") return new GraphView(bench);
  throw new Error(`there is no view ${name}`);
}
