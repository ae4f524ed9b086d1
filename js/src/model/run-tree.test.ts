import { describe, expect, it } from "vitest";
import { figures } from "../testing/runs";
import { descent, indent } from "./run-tree";

const run = (trace_id: string, start: number, original_trace_id: string | null = null) => ({
  ...figures([], trace_id),
  start,
  original_trace_id,
});
const said = (...runs: ReturnType<typeof run>[]): string[] =>
  descent(runs).map(({ run: one, depth }) => `${indent(depth)}${one.trace_id}`);

describe("runs as they descend from each other", () => {
  it("stand newest first, each before its branches, those in the order they began", () => {
    expect(
      said(
        run("old", 1),
        run("b2", 6, "old"),
        run("new", 5),
        run("b1", 3, "old"),
        run("bb", 9, "b1"),
        run("bbb", 10, "bb"),
      ),
    ).toEqual(["new", "old", "└ b1", "\u2003└ bb", "\u2003\u2003└ bbb", "└ b2"]);
  });

  it("stand for themselves where their original is not here, also where two name each other, and each once", () => {
    expect(said(run("b", 2, "gone"), run("x", 3, "y"), run("y", 4, "x"), run("self", 1, "self"))).toEqual([
      "b",
      "self",
      "y",
      "└ x",
    ]);
    expect(said()).toEqual([]);
  });
});
