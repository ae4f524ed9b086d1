/** What the colours stand for, in a corner of the picture. Names of agents and models go in as text. */

import type { ColourBy, Legend } from "../../canvas/encoding";
import { h, put, swap } from "../../ui/dom";

const MOST = 8;

export function legendElement(element: HTMLElement, legend: Legend | null, by: ColourBy): void {
  element.toggleAttribute("hidden", legend === null || (legend.names.length === 0 && legend.ramp === null));
  if (legend === null) return;
  const key = JSON.stringify([by, legend]);
  if (element.dataset.key === String(key.length) + key.slice(-80)) return;
  element.dataset.key = String(key.length) + key.slice(-80);
  swap(element, h("b", {}, by));
  for (const { colour, name } of legend.names.slice(0, MOST)) {
    const dot = h("i");
    dot.style.background = colour;
    put(element, h("span", {}, dot, name));
  }
  if (legend.names.length > MOST) put(element, h("span", {}, `and ${legend.names.length - MOST} more`));
  if (legend.ramp === null) return;
  const bar = h("i.an-ramp");
  bar.style.background = `linear-gradient(90deg, ${legend.ramp.colours.join(", ")})`;
  put(element, h("span", {}, legend.ramp.low), bar, h("span", {}, legend.ramp.high));
}
