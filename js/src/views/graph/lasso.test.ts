import { describe, expect, it } from "vitest";
import { type Point, within } from "./lasso";

describe("a shape drawn by hand", () => {
  it("holds what lies in it, also in a hollow shape", () => {
    // a U: its opening is outside
    const inside = within([
      { x: 0, y: 0 },
      { x: 30, y: 0 },
      { x: 30, y: 80 },
      { x: 70, y: 80 },
      { x: 70, y: 0 },
      { x: 100, y: 0 },
      { x: 100, y: 100 },
      { x: 0, y: 100 },
    ]);
    expect([inside(15, 50), inside(85, 50), inside(50, 90)]).toEqual([true, true, true]);
    expect([inside(50, 40), inside(-5, 50), inside(105, 50), inside(50, -3), inside(50, 120)]).toEqual(
      Array(5).fill(false),
    );
  });

  it("is a circle as a circle is known, wherever it lies", () => {
    const [cx, cy, radius] = [-40.3, 261.7, 77];
    const shape: Point[] = Array.from({ length: 240 }, (_, i) => ({
      x: cx + radius * Math.cos((i / 240) * 2 * Math.PI),
      y: cy + radius * Math.sin((i / 240) * 2 * Math.PI),
    }));
    const inside = within(shape);
    let wrong = 0;
    for (let x = cx - 100; x < cx + 100; x += 1.7)
      for (let y = cy - 100; y < cy + 100; y += 1.3) {
        const far = Math.hypot(x - cx, y - cy) - radius;
        if (Math.abs(far) > 1 && inside(x, y) !== far < 0) wrong++;
      }
    expect(wrong).toBe(0);
  });

  it("without any room holds nothing", () => {
    const inside = within([
      { x: 5, y: 5 },
      { x: 5, y: 5 },
    ]);
    expect(inside(5, 5)).toBe(false);
  });
});
