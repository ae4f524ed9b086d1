// @vitest-environment jsdom
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { KIND_COLORS, readTheme, watchTheme } from "./theme";

const css = readFileSync("src/style.css", "utf8");

function luminance(color: string): number {
  const hex = color.slice(1);
  const long = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
  const [r, g, b] = (long.match(/../g) ?? []).map((pair) => {
    const part = Number.parseInt(pair, 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}
/** The fallbacks of the style sheet's variables, under one selector. */
function variables(selector: string): Map<string, string> {
  const block = css.slice(css.indexOf(`${selector} {`)).split("}")[0] ?? "";
  const found = [...block.matchAll(/--an-([a-z-]+):[^;]*?(#[0-9a-f]{3,6})[ )]*;/g)];
  return new Map(found.map((match) => [match[1]!, match[2]!]));
}

beforeEach(() => {
  document.body.dataset.jpThemeLight = "true";
});
afterEach(() => {
  document.body.removeAttribute("style");
  vi.unstubAllGlobals();
});

describe.each([
  ["light", "true"],
  ["dark", "false"],
])("the %s theme", (name, said) => {
  it("has readable words in the picture", () => {
    document.body.dataset.jpThemeLight = said;
    const theme = readTheme(document.body);
    expect(theme.dark).toBe(name === "dark");
    for (const ground of [theme.ground, theme.band])
      for (const color of [theme.text, theme.muted, theme.accent, theme.error])
        expect(contrast(color, ground), `${color} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    for (const [kind, color] of theme.kinds.entries())
      expect(contrast(theme.onKinds[kind]!, color), color).toBeGreaterThanOrEqual(4.5);
  });

  it("has nodes that stand out from the ground", () => {
    document.body.dataset.jpThemeLight = said;
    const theme = readTheme(document.body);
    for (const color of theme.kinds) expect(contrast(color, theme.ground), color).toBeGreaterThanOrEqual(2);
  });

  it("has readable words beside the picture", () => {
    const base = variables(".anton");
    const colors = name === "dark" ? variables(".anton.an-dark") : base;
    for (const need of ["ground", "raised", "soft", "text", "muted", "accent", "bad", "bad-soft", "wait-soft"])
      expect(colors.has(need), need).toBe(true);
    const pairs = [
      ...["ground", "raised", "soft"].flatMap((under) => ["text", "muted", "accent", "bad"].map((on) => [on, under])),
      ["text", "bad-soft"],
      ["bad", "bad-soft"],
      ["text", "wait-soft"],
    ] as [string, string][];
    for (const [on, under] of pairs)
      expect(contrast(colors.get(on)!, colors.get(under)!), `${on} on ${under}`).toBeGreaterThanOrEqual(4.5);
  });
});

describe("the theme", () => {
  it("has the colors that kinds are known by", () => {
    expect(KIND_COLORS.slice(0, 4)).toEqual(["#4A90E2", "#E67E22", "#9B59B6", "#2ECC71"]);
  });

  it("takes the ground from JupyterLab's variable", () => {
    document.body.style.setProperty("--jp-layout-color1", "#fafafa");
    expect(readTheme(document.body).ground).toBe("#fafafa");
  });

  it("of an unknown page goes by the ground's brightness, then by what the system prefers", () => {
    document.body.removeAttribute("data-jp-theme-light");
    document.body.style.setProperty("--jp-layout-color1", "rgb(20, 20, 24)");
    expect(readTheme(document.body).dark).toBe(true);
    document.body.style.setProperty("--jp-layout-color1", "#fff");
    expect(readTheme(document.body).dark).toBe(false);
    document.body.style.removeProperty("--jp-layout-color1");
    vi.stubGlobal("matchMedia", () => ({ matches: true }));
    expect(readTheme(document.body).dark).toBe(true);
  });

  it("is read again when the page changes its own, until it is no longer wanted", async () => {
    const changed = vi.fn();
    const stop = watchTheme(document.body, changed);
    document.body.dataset.jpThemeLight = "false";
    await new Promise((wake) => setTimeout(wake, 0));
    expect(changed).toHaveBeenCalledTimes(1);
    stop();
    document.body.dataset.jpThemeLight = "true";
    await new Promise((wake) => setTimeout(wake, 0));
    expect(changed).toHaveBeenCalledTimes(1);
  });
});
