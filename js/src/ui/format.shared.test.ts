import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { count, money, shortModel, span } from "./format";

type Table = Record<"duration" | "usd" | "count" | "model", [never, string][]>;
const TABLE = JSON.parse(readFileSync(new URL("../../../tests/data/formats.json", import.meta.url), "utf8")) as Table;

describe("values as text follow the table that Python's tests read too", () => {
  it.each([
    ["duration", span],
    ["usd", (usd: number | null) => money(usd ?? Number.NaN)],
    ["count", count],
    ["model", shortModel],
  ] as const)("%s", (kind, format) => {
    for (const [value, text] of TABLE[kind]) expect(format(value), String(value)).toBe(text);
  });
});
