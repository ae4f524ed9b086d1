/** What a view is to the workbench, and the workbench to a view. */
import type { Connection } from "../kernel/connection";
import type { Delta, Model } from "../model/model";
import type { Part, ViewState } from "../model/view-state";
import type { Theme } from "../theme";

export type ViewName = "graph" | "timeline" | "tree" | "chat" | "compare";
export const VIEWS: readonly ViewName[] = ["graph", "timeline", "tree", "chat", "compare"];

export const TITLES: Record<ViewName, string> = {
  graph: "Graph",
  timeline: "Timeline",
  tree: "Tree",
  chat: "Chat",
  compare: "Compare",
};

export const EXPLAINED: Record<ViewName, string> = {
  graph: "Who called whom",
  timeline: "One bar a span, and what it cost up to there",
  tree: "A table with figures",
  chat: "Messages that an agent received and sent",
  compare: "Two runs side by side",
};

export interface Bench {
  readonly model: Model;
  readonly connection: Connection;
  readonly state: ViewState;
  /** No movement that nobody asked for. */
  readonly still: boolean;
  theme(): Theme;
  /** Selects a span, here and in the kernel; -1 takes the selection away. */
  select(slot: number): void;
  /** Selects many at once; the first is the one that is looked at. */
  selectMany(slots: readonly number[]): void;
  /** Puts the focus into the details. */
  open(): void;
  /** Shows a span's details that need not be on the screen, by its row in the kernel. */
  peek(row: number, title: string, kind: string): void;
  escape(): void;
  keys(): void;
  fail(part: string, error: unknown): void;
  /** Tells the page around that something was painted. */
  painted(): void;
}

/** A view is told of the model only while it is shown, and with `reset` when it is shown again. */
export interface View {
  readonly name: ViewName;
  readonly element: HTMLElement;
  /** Where the keys go. */
  readonly focus: HTMLElement;
  show(): void;
  hide(): void;
  onModelChange(delta: Delta): void;
  changed(part: Part): void;
  onThemeChange(): void;
  /** Everything in view. */
  fit(): void;
  /** What is seen, drawn anew with so many points a CSS px; null where nothing is. Views without a canvas have none. */
  picture?(ratio: number): HTMLCanvasElement | null;
  close(): void;
}

export const EVERYTHING_NEW: Delta = {
  reset: true,
  added: 0,
  changed: new Int32Array(0),
  runs: true,
  status: true,
  link: true,
};
