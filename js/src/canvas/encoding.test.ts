// @vitest-environment jsdom
import { afterEach, describe, expect, it } from "vitest";
import { add, type Held, modelOf, spanOf, THEME } from "../testing/page";
import { brightness, parse } from "./color";
import { COLORS, Encoding, SIZES_BY } from "./encoding";

let held: Held | undefined;
afterEach(() => held?.model.close());

const SPANS = [
  spanOf("orchestrator", { agent: "chief", duration: 9_000 }),
  spanOf("llm", { agent: "coder", model: "gpt-5", cost: 0.001, input: 100, output: 10, duration: 500 }),
  spanOf("llm", { agent: "tester", model: "opus", cost: 0.1, input: 9_000, output: 1_000, duration: 4_000 }),
  spanOf("tool", { agent: "coder", duration: 20, status: 2 }),
];
const LIGHT = { ...THEME, dark: false };
const DARK = { ...THEME, dark: true };

async function encoding(): Promise<Encoding> {
  held = await modelOf(SPANS);
  return new Encoding(held.model);
}
const light = (color: string): number => brightness(parse(color)!);

describe("color", () => {
  it("is the kind's to begin with, and every size its kind's", async () => {
    const plain = await encoding();
    expect([0, 1, 3].map((slot) => plain.fill(slot, LIGHT))).toEqual([0, 2, 3].map((kind) => THEME.kinds[kind]));
    expect([0, 1, 2].map((slot) => plain.factor(slot))).toEqual([1, 1, 1]);
    expect(plain.legend(LIGHT).names.map(({ name }) => name)).toContain("tool call");
  });

  it.each(["agent", "model", "status"] as const)(
    "by %s is the same for the same and differs for others",
    async (by) => {
      const one = await encoding();
      one.set(by, "kind");
      const [call, other, tool] = [1, 2, 3].map((slot) => one.fill(slot, LIGHT));
      if (by === "agent") expect(call).toBe(tool);
      if (by === "status") expect(call).toBe(other);
      else expect(call).not.toBe(other);
      if (by !== "agent") expect(call).not.toBe(tool);
      const { names } = one.legend(LIGHT);
      expect(new Set(names.map(({ color }) => color)).size).toBe(names.length);
      expect(names.map(({ color }) => color)).toContain(call);
    },
  );

  it.each([
    ["cost", "$0.00100", "$0.100"],
    ["tokens", "110", "10.0 k"],
    ["duration", "20 ms", "9.00 s"],
  ] as const)("by %s goes by brightness, darker for more on white and lighter on black", async (by, low, high) => {
    const one = await encoding();
    one.set(by, "kind");
    expect(light(one.fill(1, LIGHT))).toBeGreaterThan(light(one.fill(2, LIGHT)));
    expect(light(one.fill(1, DARK))).toBeLessThan(light(one.fill(2, DARK)));
    expect(one.legend(LIGHT).ramp).toMatchObject({ low, high });
    for (const theme of [LIGHT, DARK]) {
      const steps = one.legend(theme).ramp!.colors.map(light);
      const sorted = [...steps].sort((a, b) => (theme.dark ? a - b : b - a));
      expect(steps).toEqual(sorted);
    }
  });

  it("of what has no figure is that of a line, and a legend without figures has no ramp", async () => {
    held = await modelOf([spanOf("tool", { duration: Number.NaN, status: 0 })]);
    const one = new Encoding(held.model);
    one.set("cost", "cost");
    expect(one.fill(0, LIGHT)).toBe("line");
    expect(one.legend(LIGHT)).toEqual({ names: [], ramp: null });
    expect(one.factor(0)).toBe(1);
  });

  it("follows what comes and what changes", async () => {
    const one = await encoding();
    one.set("cost", "cost");
    const before = one.factor(2);
    await add(held!.kernel, [spanOf("llm", { cost: 10 })]);
    one.take(false);
    expect(one.legend(LIGHT).ramp!.high).toBe("$10.00");
    expect(one.factor(2)).toBeLessThan(before);
    held!.kernel.put(spanOf("llm", { cost: 40 }), 1);
    held!.kernel.flush();
    await new Promise((wake) => setTimeout(wake, 0));
    one.widen(1);
    expect(one.factor(1)).toBe(1.5);
  });

  it("is a word of ink that can be read, for all that can be chosen", async () => {
    const one = await encoding();
    for (const by of COLORS)
      for (const size of SIZES_BY)
        for (const theme of [LIGHT, DARK]) {
          one.set(by, size);
          for (const slot of [1, 2]) {
            const [ground, ink] = [parse(one.fill(slot, theme)), parse(one.ink(slot, theme))];
            if (ground === null || ink === null) continue;
            expect(Math.abs(brightness(ground) - brightness(ink)), `${by} ${slot}`).toBeGreaterThan(0.35);
          }
        }
  });
});
