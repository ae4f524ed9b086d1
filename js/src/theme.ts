/** Colors and fonts, read off the page: JupyterLab's variables where they are, else light or dark by the page's ground. */
import { brightness, hex, mix, parse } from "./canvas/color";

export interface Theme {
  dark: boolean;
  ground: string;
  band: string;
  line: string;
  text: string;
  muted: string;
  accent: string;
  error: string;
  /** What is written on the error's color. */
  onError: string;
  font: string;
  kinds: readonly string[];
  onKinds: readonly string[];
}

/** Orchestrator, agent, LLM call, tool call, anything else. */
export const KIND_COLORS = ["#4A90E2", "#E67E22", "#9B59B6", "#2ECC71", "#8A94A0"] as const;
const ON_KINDS = ["#06223F", "#2E1500", "#FFFFFF", "#04260F", "#10151A"] as const;

const LIGHT = {
  ground: "#ffffff",
  band: "#f5f7fa",
  line: "#c3cad4",
  text: "#1c2430",
  muted: "#5b6675",
  accent: "#1666c9",
  error: "#d3202f",
  onError: "#ffffff",
};
const DARK = {
  ground: "#15191f",
  band: "#1b2129",
  line: "#465160",
  text: "#e6eaf0",
  muted: "#a3afbd",
  accent: "#6cb0ff",
  error: "#ff6b6b",
  onError: "#2b0606",
};

export function readTheme(element: HTMLElement): Theme {
  const style = getComputedStyle(element);
  const variable = (name: string): string => style.getPropertyValue(name).trim();
  const ground = variable("--jp-layout-color1") || variable("--vscode-editor-background");
  const dark = isDark(element, ground);
  const base = dark ? DARK : LIGHT;
  const font = variable("--jp-ui-font-family") || "system-ui, -apple-system, 'Segoe UI', sans-serif";
  return { ...base, ...shades(ground, base), dark, font, kinds: KIND_COLORS, onKinds: ON_KINDS };
}

/** Bands and lines are the page's own ground, a little towards the words on it: so they suit any theme. */
function shades(ground: string, base: typeof LIGHT): Pick<Theme, "ground" | "band" | "line"> {
  const known = parse(ground);
  const text = parse(base.text);
  if (known === null || text === null) return { ground: ground || base.ground, band: base.band, line: base.line };
  return { ground, band: hex(mix(known, text, 0.035)), line: hex(mix(known, text, 0.24)) };
}

function isDark(element: HTMLElement, ground: string): boolean {
  const page = element.ownerDocument;
  const said = page.body?.dataset.jpThemeLight;
  if (said !== undefined) return said === "false";
  if (page.body?.classList.contains("vscode-dark") || page.documentElement.getAttribute("theme") === "dark")
    return true;
  const known = parse(ground);
  if (known !== null) return brightness(known) < 0.5;
  const scheme = getComputedStyle(element).colorScheme;
  if (scheme === "dark") return true;
  return scheme !== "light" && (page.defaultView?.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false);
}

/** Calls back when the page turns light or dark. Returns the way to stop that. */
export function watchTheme(element: HTMLElement, changed: () => void): () => void {
  const page = element.ownerDocument;
  const observer = new MutationObserver(changed);
  const attributes = {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class", "theme", "style"],
  };
  observer.observe(page.body, attributes);
  observer.observe(page.documentElement, attributes);
  const media = page.defaultView?.matchMedia?.("(prefers-color-scheme: dark)");
  media?.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    media?.removeEventListener("change", changed);
  };
}
