/** Colours and fonts, read off the page: JupyterLab's variables where they are, else light or dark by the page's ground. */

export interface Theme {
  dark: boolean;
  ground: string;
  band: string;
  line: string;
  text: string;
  muted: string;
  accent: string;
  error: string;
  font: string;
  kinds: readonly string[];
  onKinds: readonly string[];
}

/** Orchestrator, agent, LLM call, tool call, anything else. */
export const KIND_COLOURS = ["#4A90E2", "#E67E22", "#9B59B6", "#2ECC71", "#8A94A0"] as const;
const ON_KINDS = ["#06223F", "#2E1500", "#FFFFFF", "#04260F", "#10151A"] as const;

const LIGHT = {
  ground: "#ffffff",
  band: "#f5f7fa",
  line: "#c3cad4",
  text: "#1c2430",
  muted: "#5b6675",
  accent: "#1666c9",
  error: "#d3202f",
};
const DARK = {
  ground: "#15191f",
  band: "#1b2129",
  line: "#465160",
  text: "#e6eaf0",
  muted: "#a3afbd",
  accent: "#6cb0ff",
  error: "#ff6b6b",
};

export function readTheme(element: HTMLElement): Theme {
  const style = getComputedStyle(element);
  const variable = (name: string): string => style.getPropertyValue(name).trim();
  const ground = variable("--jp-layout-color1") || variable("--vscode-editor-background");
  const dark = isDark(element, ground);
  const base = dark ? DARK : LIGHT;
  const font = variable("--jp-ui-font-family") || "system-ui, -apple-system, 'Segoe UI', sans-serif";
  return { ...base, ground: ground || base.ground, dark, font, kinds: KIND_COLOURS, onKinds: ON_KINDS };
}

function isDark(element: HTMLElement, ground: string): boolean {
  const page = element.ownerDocument;
  const said = page.body?.dataset.jpThemeLight;
  if (said !== undefined) return said === "false";
  if (page.body?.classList.contains("vscode-dark") || page.documentElement.getAttribute("theme") === "dark")
    return true;
  const luminance = brightness(ground);
  if (luminance !== null) return luminance < 0.5;
  const scheme = getComputedStyle(element).colorScheme;
  if (scheme === "dark") return true;
  return scheme !== "light" && (page.defaultView?.matchMedia?.("(prefers-color-scheme: dark)").matches ?? false);
}

function brightness(colour: string): number | null {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour)?.[1];
  const parts = hex
    ? (hex.length === 3 ? [...hex].map((c) => c + c) : (hex.match(/../g) ?? [])).map((c) => Number.parseInt(c, 16))
    : /^rgba?\((\d+)[ ,]+(\d+)[ ,]+(\d+)/.exec(colour)?.slice(1).map(Number);
  if (!parts || parts.length < 3) return null;
  return (0.299 * parts[0]! + 0.587 * parts[1]! + 0.114 * parts[2]!) / 255;
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
