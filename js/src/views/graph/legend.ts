/** What the colors stand for, in a corner of the picture. Names of agents and models go in as text. */

import type { ColorBy, Legend } from "../../canvas/encoding";
import { append, h, replaceChildren } from "../../ui/dom";

const MOST = 8;

export function legendElement(element: HTMLElement, legend: Legend | null, by: ColorBy): void {
  element.toggleAttribute("hidden", legend === null || (legend.names.length === 0 && legend.ramp === null));
  if (legend === null) return;
  const key = JSON.stringify([by, legend]);
  if (element.dataset.key === String(key.length) + key.slice(-80)) return;
  element.dataset.key = String(key.length) + key.slice(-80);
  replaceChildren(element, h("b", {}, by));
  for (const { color, name } of legend.names.slice(0, MOST)) {
    const dot = h("i");
    dot.style.background = color;
    append(element, h("span", {}, dot, name));
  }
  if (legend.names.length > MOST) append(element, h("span", {}, `and ${legend.names.length - MOST} more`));
  if (legend.ramp === null) return;
  const bar = h("i.an-ramp");
  bar.style.background = `linear-gradient(90deg, ${legend.ramp.colors.join(", ")})`;
  append(element, h("span", {}, legend.ramp.low), bar, h("span", {}, legend.ramp.high));
}
