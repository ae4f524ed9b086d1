import { describe, expect, it } from "vitest";
import { RecordingContext } from "../testing/canvas";
import { THEME } from "../testing/page";
import { KIND_COLORS } from "../theme";
import { drawNode, type Look, type Node, SIZES } from "./nodes";
import { TextFitter } from "./text-fitter";

const LOOK: Look = { scale: 1, alpha: 1, selected: false, hovered: false, breath: 0.5, inside: true };
const NODE = {
  kind: 2,
  status: 1,
  flags: 0,
  provenance: 0,
  name: "gpt-5",
  branch: false,
  stack: false,
  inner: 0,
  mark: "",
};

function drawn(node: Partial<Node> = {}, look: Partial<Look> = {}): RecordingContext {
  const canvas = new RecordingContext();
  const colors = { fill: KIND_COLORS[node.kind ?? 2]!, ink: "ink" };
  drawNode(canvas.context, { ...NODE, ...colors, ...node }, 100, 100, { ...LOOK, ...look }, THEME, new TextFitter());
  return canvas;
}

describe("a node", () => {
  it("carries the user's mark as a sign, at the corner across from an error's", () => {
    const [sign] = drawn({ mark: "✗", status: 2 })
      .of("fillText")
      .filter((one) => one.text === "✗");
    expect(sign!.x0).toBeLessThan(100);
    expect(
      drawn()
        .of("fillText")
        .some((one) => one.text === "✗"),
    ).toBe(false);
  });

  it.each([
    [0, "arc", 40, "#4A90E2"],
    [1, "arc", 35, "#E67E22"],
    [2, "roundRect", 60, "#9B59B6"],
    [3, "moveTo lineTo lineTo lineTo lineTo lineTo closePath", 50, "#2ECC71"],
    [4, "roundRect", 32, "#8A94A0"],
  ])("of kind %d is drawn as %s, %d wide, in %s", (kind, path, wide, color) => {
    const [body] = drawn({ kind }).of("fill", color).slice(-1);
    expect(body?.path).toBe(path);
    expect(body!.x1 - body!.x0).toBeCloseTo(wide);
    expect((body!.x0 + body!.x1) / 2).toBeCloseTo(100);
    expect(color).toBe(KIND_COLORS[kind]);
  });

  it("is told from every other kind without its color", () => {
    const looks = [0, 1, 2, 3, 4].map((kind) => {
      const canvas = drawn({ kind }, { inside: false });
      return canvas.marks.map((mark) => `${mark.op} ${mark.path}`).join("; ");
    });
    // a call to a model and a thing of no known kind are both rectangles: a long one and a square
    expect(new Set(looks).size).toBe(4);
    const square = drawn({ kind: 4 }).of("fill", "#8A94A0")[0]!;
    expect(square.x1 - square.x0).toBeCloseTo(square.y1 - square.y0);
  });

  it("with an error has a red ring around it and a sign", () => {
    const failed = drawn({ status: 2 });
    const ring = failed.of("stroke", "error")[0]!;
    expect(ring.x1 - ring.x0).toBeGreaterThan(SIZES[2]);
    expect(failed.of("fill", "error").map((mark) => mark.path)).toEqual(["arc"]);
    expect(failed.of("fillRect", "ground").length).toBe(2);
    expect(drawn({ status: 1 }).of("stroke", "error")).toEqual([]);
  });

  it("that is not seen yet is dashed and faint, and says so", () => {
    const pending = drawn({ kind: 2, flags: 2, name: "" });
    expect(pending.of("stroke", "muted")[0]?.dash).toEqual([4, 3]);
    expect(pending.of("fill", "#9B59B6")[0]?.alpha).toBeLessThan(0.3);
    expect(pending.texts.join(" ")).toBe("not seen yet");
    expect(drawn({ kind: 1 }).marks.every((mark) => mark.dash.length === 0)).toBe(true);
  });

  it("of a branch is dashed, an error of it is dashed and red", () => {
    expect(drawn({ branch: true }).of("stroke", "muted")[0]?.dash).toEqual([4, 3]);
    expect(drawn({ branch: true, status: 2 }).of("stroke", "error")[0]?.dash).toEqual([4, 3]);
  });

  it("breathes while it runs and stands still when it ended", () => {
    const wide = (breath: number): number => {
      const halo = drawn({ status: 0 }, { breath }).of("fill", "#9B59B6")[0]!;
      expect(halo.alpha).toBeLessThan(0.5);
      return halo.x1 - halo.x0;
    };
    expect(wide(1)).toBeGreaterThan(wide(0));
    expect(drawn({ status: 1 }).of("fill", "#9B59B6").length).toBe(1);
  });

  it("that is selected has a thick frame in the accent color, under the pointer a thin one", () => {
    expect(drawn({}, { selected: true }).of("stroke", "accent")[0]?.width).toBe(3);
    expect(drawn({}, { hovered: true }).of("stroke", "muted")[0]?.width).toBe(1.5);
  });

  it("holds its name inside its outline, cut where it is too long", () => {
    for (const kind of [2, 3]) {
      const texts = drawn({ kind, name: "a_tool_with_a_very_long_name" }).of("fillText");
      expect(texts.at(-1)!.text.endsWith("…")).toBe(true);
      for (const text of texts) expect(text.x1 - text.x0).toBeLessThanOrEqual(SIZES[kind]! - 4);
    }
    expect(drawn({ name: "gpt-5" }).texts).toEqual(["gpt-5"]);
  });

  it("writes a name that is a little too long smaller, then on two lines, before it cuts it", () => {
    const size = (name: string): number => Number(/([\d.]+)px/.exec(drawn({ name }).of("fillText")[0]!.font)![1]);
    expect(size("sonnet-4-5")).toBeLessThan(size("gpt-5"));
    const texts = drawn({ kind: 3, name: "read_file" }).of("fillText");
    expect(texts.map((text) => text.text)).toEqual(["read_", "file"]);
    expect(texts[1]!.y0).toBeGreaterThan(texts[0]!.y0 + 7);
  });

  it("tells what was reused, executed, guessed and is out of date without a legend", () => {
    const look = (provenance: number): string =>
      drawn({ provenance }, { inside: false })
        .marks.map((mark) => `${mark.op} ${mark.path.slice(0, 40)} ${mark.alpha < 0.5} ${mark.dash.length}`)
        .join("; ");
    const [reused, executed, inferred, stale] = [1, 2, 3, 4].map(look);
    expect(new Set([reused, executed, inferred, stale]).size).toBe(4);
    expect(executed).toBe(look(0));
    expect(drawn({ provenance: 1 }).of("fill", "#9B59B6")[0]?.alpha).toBeLessThan(0.3);
    expect(drawn({ provenance: 3 }).of("stroke", "muted")[0]).toMatchObject({ dash: [4, 3], x0: 66.5 });
    expect(drawn({ provenance: 4 }).of("fill", "#9B59B6")).toEqual([]);
  });

  it("leaves the pen as it found it", () => {
    const canvas = drawn({ status: 2, branch: true });
    canvas.beginPath();
    canvas.moveTo(0, 0);
    canvas.stroke();
    expect(canvas.marks.at(-1)).toMatchObject({ alpha: 1, dash: [] });
  });
});
