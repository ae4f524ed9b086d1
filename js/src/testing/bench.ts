/** A workbench of one view: real state, real model, and a note of what the view asked for. */
import { ViewState } from "../model/view-state";
import type { Bench } from "../workbench/types";
import { type Held, THEME } from "./page";

export interface FakeBench extends Bench {
  readonly opened: number[];
  readonly peeked: [number, string, string][];
  /** The errors that the view passed on. */
  readonly failed: unknown[];
}

export function benchOf({ model, connection }: Held): FakeBench {
  const state = new ViewState(model);
  const opened: number[] = [];
  const peeked: [number, string, string][] = [];
  const failed: unknown[] = [];
  return {
    model,
    connection,
    state,
    still: true,
    opened,
    peeked,
    failed,
    theme: () => THEME,
    select: (slot) => state.select(slot),
    selectMany: (slots) =>
      state.select(
        slots[0] ?? -1,
        Int32Array.from(slots, (slot) => model.row[slot]!),
      ),
    open: () => opened.push(state.selected),
    peek: (row, title, kind) => peeked.push([row, title, kind]),
    escape: () => {},
    keys: () => {},
    fail: (_part, error) => failed.push(error),
    painted: () => {},
  };
}
