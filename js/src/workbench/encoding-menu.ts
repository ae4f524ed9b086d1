/** What color and size stand for, chosen in a small menu. */

import { COLORS, SIZES_BY } from "../canvas/encoding";
import { h } from "../ui/dom";
import type { Tools } from "./tools";
import type { Bench } from "./types";

export function addLooks(bench: Bench, tools: Tools): () => void {
  const { connection } = bench;
  const off: (() => void)[] = [];
  const choice = (trait: string, label: string, all: readonly string[]): HTMLElement => {
    const options = all.map((one) => h("option", { value: one }, one));
    const select = h("select.an-choice", { "aria-label": label, title: label }, ...options) as HTMLSelectElement;
    const take = (): void => {
      const said = connection.get(trait);
      select.value = all.find((one) => one === said) ?? "kind";
    };
    select.addEventListener("change", () => connection.set(trait, select.value));
    off.push(connection.onTrait(trait, take));
    take();
    return h("label.an-choice-label", {}, label.split(" ")[0] ?? "", select);
  };
  tools.first({ element: choice("size", "Size by", SIZES_BY), views: ["graph"] });
  tools.first({ element: choice("color", "Color by", COLORS), views: ["graph", "timeline"] });
  return () => {
    for (const one of off) one();
  };
}
