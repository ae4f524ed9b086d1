/** The line of tools under the run's figures; a button is added with one line. */
import { append, h } from "../ui/dom";
import type { ViewName } from "./types";

export interface Tool {
  element: HTMLElement;
  /** The views that it is for; all where none is named. */
  views?: readonly ViewName[];
  at?: "left" | "right";
}

export class Tools {
  private readonly left = h("div.an-tools");
  private readonly right = h("div.an-tools.an-tools-right");
  readonly element = h("div.an-bar", {}, this.left, this.right);
  private readonly all: Tool[] = [];
  private view: ViewName = "graph";

  add(tool: Tool): void {
    this.all.push(tool);
    append(tool.at === "left" ? this.left : this.right, tool.element);
    this.shown(this.view);
  }
  button(text: string, title: string, run: () => void, views?: readonly ViewName[]): HTMLElement {
    const element = h("button", { type: "button", title, onclick: run }, text);
    this.add({ element, ...(views && { views }) });
    return element;
  }
  /** Puts a tool before all others of its side. */
  first(tool: Tool): void {
    this.add(tool);
    (tool.at === "left" ? this.left : this.right).prepend(tool.element);
  }
  shown(view: ViewName): void {
    this.view = view;
    for (const { element, views } of this.all) element.toggleAttribute("hidden", views?.includes(view) === false);
  }
}

export interface Segment<T extends string> {
  element: HTMLElement;
  choose(name: T): void;
}

/** Buttons of which one is pressed. */
export function segment<T extends string>(
  label: string,
  names: readonly T[],
  words: Record<T, string>,
  title: (name: T, i: number) => string,
  wanted: (name: T) => void,
): Segment<T> {
  const buttons = names.map((name, i) =>
    h(
      "button",
      { type: "button", title: title(name, i), "aria-pressed": "false", onclick: () => wanted(name) },
      words[name],
    ),
  );
  return {
    element: h("div.an-segment", { role: "group", "aria-label": label }, ...buttons),
    choose: (chosen) => {
      for (const [i, name] of names.entries()) buttons[i]!.setAttribute("aria-pressed", String(name === chosen));
    },
  };
}
