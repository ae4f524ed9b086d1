import { describe, expect, it } from "vitest";
import type { Run } from "../kernel/protocol";
import type { Layout } from "../layout/layout";
import { overlap, RecordingContext } from "../testing/canvas";
import { THEME } from "../testing/page";
import { figures } from "../testing/runs";
import type { Camera } from "./camera";
import { drawPhaseLines, drawPhases, headHeight } from "./phases";
import { TextFitter } from "./text-fitter";

const camera = { x: (world: number) => world, width: 600, height: 400 } as Camera;
const layout = { xOf: (time: number) => time, now: 550 } as unknown as Layout;
const PLAIN = figures([], "t");
const RUN: Run = {
  ...PLAIN,
  phases: [
    { name: "plan", start: 10, end: 100, status: "ok" },
    { name: "implement all the modules there are", start: 100, end: 160, status: "error" },
    { name: "nobody can read this", start: 160, end: 170, status: "stopped" },
    { name: "integrate", start: 400, end: null, status: "running" },
  ],
  marks: [
    { name: "first", time: 100 },
    { name: "far away", time: 9_000 },
  ],
};

function drawn(run: Run | undefined): RecordingContext {
  const canvas = new RecordingContext();
  drawPhaseLines(canvas.context, layout, camera, THEME, run);
  drawPhases(canvas.context, layout, camera, THEME, new TextFitter(), run);
  return canvas;
}

describe("the phases of a run", () => {
  it("take room under the ruler only where there are some", () => {
    expect(headHeight(PLAIN)).toBe(headHeight(undefined));
    expect(headHeight(RUN)).toBeGreaterThan(headHeight(PLAIN));
    expect(drawn(PLAIN).marks).toEqual([]);
    expect(drawn(undefined).marks).toEqual([]);
  });

  it("are bands from their start to their end, the last until now", () => {
    const bands = drawn(RUN)
      .of("fill")
      .filter((mark) => mark.path === "roundRect");
    expect(bands.map((band) => [band.x0, band.x1])).toEqual([
      [11, 99],
      [101, 159],
      [161, 169],
      [401, 549],
    ]);
    expect(bands.map((band) => band.color)).toEqual(["accent", "error", "muted", "accent"]);
  });

  it("carry their names inside, cut where it is short and left out where it is too short", () => {
    const canvas = drawn(RUN);
    const bands = canvas.of("fill").filter((mark) => mark.path === "roundRect");
    const names = canvas.of("fillText");
    expect(names.map((name) => name.text.slice(0, 4))).toEqual(["plan", "impl", "inte"]);
    expect(names[1]!.text.endsWith("…")).toBe(true);
    for (const name of names) expect(bands.filter((band) => overlap(band, name)).length).toBe(1);
  });

  it("and checkpoints are told apart by more than color, and what is out of sight is not drawn", () => {
    const canvas = drawn(RUN);
    const diamonds = canvas.of("fill").filter((mark) => mark.path.startsWith("moveTo lineTo lineTo lineTo"));
    expect(diamonds.map((mark) => (mark.x0 + mark.x1) / 2)).toEqual([100]);
    const dashed = canvas.of("stroke").filter((mark) => mark.dash.length > 0);
    expect(dashed.map((mark) => mark.x0)).toEqual([100.5]);
  });

  it("of a run without phases leave the checkpoints' names room", () => {
    expect(drawn({ ...RUN, phases: [] }).texts).toEqual(["first"]);
  });
});
