import { describe, expect, it } from "vitest";
import { count, money, shortModel, span, when } from "./format";

describe("numbers as people read them", () => {
  it.each([
    [0, "$0"],
    [0.00042, "$0.00042"],
    [0.0123, "$0.012"],
    [3.276, "$3.28"],
    [117.4, "$117"],
    [Number.NaN, "–"],
  ])("writes %d dollars as %s", (usd, text) => expect(money(usd)).toBe(text));

  it.each([
    [new Date(2026, 10, 23, 9, 5, 7), "09:05:07"],
    [new Date(2026, 10, 21, 9, 5, 7), "21 Nov 09:05"],
    [new Date(2025, 10, 23, 9, 5, 7), "23 Nov 2025 09:05"],
  ])("a run of %s is listed as of %s", (date, text) =>
    expect(when(date.getTime(), new Date(2026, 10, 23, 23).getTime())).toBe(text),
  );

  it("says where a sum is at least so much, and claims nothing of what is unknown", () => {
    expect(money(3.276, true)).toBe("≥ $3.28");
    expect(money(Number.NaN, true)).toBe("–");
  });

  it.each([
    [0.5, "0.50 ms"],
    [999, "999 ms"],
    [2_190, "2.19 s"],
    [20_540, "20.5 s"],
    [149_000, "2 min 29 s"],
    [7_500_000, "2 h 5 min"],
    [Number.NaN, "–"],
    [null, "–"],
  ])("writes %s ms as %s", (ms, text) => expect(span(ms)).toBe(text));

  it.each([
    [119_700, "1 min 59 s"],
    [59_980, "59.9 s"],
    [9_999, "9.99 s"],
    [999.7, "999 ms"],
    [7_199_000, "1 h 59 min"],
  ])("never rounds %s ms up to sixty of something: %s", (ms, text) => expect(span(ms)).toBe(text));

  it.each([
    [7, "7"],
    [1_234, "1,234"],
    [74_500, "74.5 k"],
    [842_000, "842 k"],
    [999_999, "1.0 M"],
    [1_500_000, "1.5 M"],
    [30_000_000, "30 M"],
    [null, "–"],
  ])("counts %s as %s", (n, text) => expect(count(n)).toBe(text));
});

describe("names of models", () => {
  it.each([
    ["claude-sonnet-4-5-20250929", "sonnet-4-5"],
    ["anthropic/claude-3-5-haiku-latest", "haiku-3-5"],
    ["claude-3-opus-20240229", "opus-3"],
    ["gpt-4o-2024-08-06", "gpt-4o"],
    ["gpt-5", "gpt-5"],
    ["claude-", "claude-"],
    ["", ""],
  ])("shortens %s to %s", (name, short) => expect(shortModel(name)).toBe(short));
});
