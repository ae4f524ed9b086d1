/** JSON as a tree that folds, of text nodes; long lists are made as they are opened. */
import { h } from "./dom";

const MOST_KEYS = 200;
const OPEN_UP_TO = 12;

export function jsonTree(value: unknown, depth = 0): HTMLElement {
  if (value === null || typeof value !== "object") return leaf(value);
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((item, i): [string, unknown] => [String(i), item])
    : Object.entries(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0) return h("span.an-json-mark", {}, open + close);
  const node = h("details.an-json") as HTMLDetailsElement;
  const kind = Array.isArray(value) ? "items" : "keys";
  node.append(
    h("summary", {}, `${open} ${entries.length} ${entries.length === 1 ? kind.slice(0, -1) : kind} ${close}`),
  );
  const body = h("div.an-json-body");
  node.append(body);
  let made = 0;
  const more = (): void => {
    const stop = Math.min(entries.length, made + MOST_KEYS);
    for (; made < stop; made++) {
      const [key, inner] = entries[made]!;
      body.append(h("div.an-json-row", {}, h("span.an-json-key", {}, `${key}: `), jsonTree(inner, depth + 1)));
    }
    if (made < entries.length) {
      const button = h("button.an-more", { type: "button" }, `${entries.length - made} more`);
      button.addEventListener("click", () => {
        button.remove();
        more();
      });
      body.append(button);
    }
  };
  const fill = (): void => {
    if (made === 0) more();
  };
  node.addEventListener("toggle", () => {
    if (node.open) fill();
  });
  if (depth < 2 && entries.length <= OPEN_UP_TO) {
    node.open = true;
    fill();
  }
  return node;
}

function leaf(value: unknown): HTMLElement {
  const kind = value === null ? "null" : typeof value;
  return h(`span.an-json-${kind}`, {}, typeof value === "string" ? JSON.stringify(value) : String(value));
}
