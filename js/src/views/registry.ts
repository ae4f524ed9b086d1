/** The views by name; each is made when it is first looked at. */
import type { Bench, View, ViewName } from "../workbench/types";
import { CompareView } from "./compare/compare";
import { ConversationView } from "./conversation/conversation";
import { GraphView } from "./graph/graph";
import { TimelineView } from "./timeline/timeline";
import { TreeView } from "./tree/tree";

export function makeView(name: ViewName, bench: Bench): View {
  if (name === "graph") return new GraphView(bench);
  if (name === "timeline") return new TimelineView(bench);
  if (name === "tree") return new TreeView(bench);
  if (name === "chat") return new ConversationView(bench);
  return new CompareView(bench);
}
