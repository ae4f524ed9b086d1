/** Filters by kind, agent, model and status, by ranges of cost and duration, and by a text in names. */

import { EVERYTHING, inUse, LISTS, type List, type Range, STATUS_WORDS, UNMARKED } from "../model/filter";
import { append, h, replaceChildren } from "../ui/dom";
import { count } from "../ui/format";
import { MARKS } from "../ui/span-marks";
import type { Bench } from "./types";

const PLACE: Record<"kind" | "agent" | "model", 1 | 2 | 4> = { kind: 1, agent: 2, model: 4 };
const MOST = 60;

export class Filters {
  private readonly button = h(
    "button",
    {
      type: "button",
      "aria-expanded": "false",
      title: "Filter by kind, agent, model, status, mark, cost, duration",
      onclick: () => this.toggle(),
    },
    "Filter",
  );
  private readonly box = h("div.an-filters", { role: "group", "aria-label": "Filters", hidden: true });
  private readonly lists = h("div.an-filter-lists");
  private readonly left = h("span.an-found", { role: "status" });
  readonly element = h("div.an-filtering", {}, this.button, this.box);
  private known = "";

  constructor(private readonly bench: Bench) {
    const all = h("button", { type: "button", onclick: () => this.clear() }, "Show all");
    const ranges = h(
      "div.an-ranges",
      {},
      this.range("Cost, US$", "cost", 1),
      this.range("Duration, s", "duration", 1_000),
      this.words(),
    );
    append(this.box, this.lists, ranges, h("div.an-filter-foot", {}, this.left, all));
  }

  get open(): boolean {
    return !this.box.hasAttribute("hidden");
  }
  shut(): boolean {
    if (!this.open) return false;
    this.toggle();
    this.button.focus();
    return true;
  }
  update(): void {
    const { state } = this.bench;
    const used = inUse(state.criteria) + Number(state.filtering && inUse(state.criteria) === 0);
    const text = used > 0 ? `Filter · ${used}` : "Filter";
    if (this.button.textContent !== text) this.button.textContent = text;
    this.button.classList.toggle("an-on", used > 0);
    this.left.textContent = state.kept === null ? "" : `${count(state.keptCount)} left`;
    if (this.open) this.fill();
  }

  private toggle(): void {
    this.box.toggleAttribute("hidden");
    this.button.setAttribute("aria-expanded", String(this.open));
    if (!this.open) return;
    this.known = "";
    this.update();
    this.box.querySelector<HTMLElement>("input, button")?.focus();
  }
  private clear(): void {
    this.bench.state.filter(EVERYTHING);
    for (const input of this.box.querySelectorAll<HTMLInputElement>("input:not([type=checkbox])")) input.value = "";
    this.known = "";
    this.update();
  }

  private values(list: List): string[] {
    if (list === "status") return [...STATUS_WORDS];
    const { model } = this.bench;
    if (list === "mark") return model.mark.some((mark) => mark > 0) ? [...MARKS, UNMARKED] : [];
    const found = new Set<string>();
    for (const codes of model.classes) {
      const word = model.strings[codes?.[PLACE[list]] ?? 0] ?? "";
      if (word !== "") found.add(word);
    }
    return [...found].sort().slice(0, MOST);
  }

  private fill(): void {
    const all = LISTS.map((list) => this.values(list));
    const key = JSON.stringify([all]);
    if (key === this.known) return;
    this.known = key;
    replaceChildren(this.lists, ...LISTS.map((list, i) => this.choices(list, all[i]!)));
  }
  private choices(list: List, values: string[]): HTMLElement | null {
    if (values.length === 0) return null;
    const chosen = this.bench.state.criteria[list];
    const boxes = values.map((value) => {
      const input = h("input", { type: "checkbox" }) as HTMLInputElement;
      input.checked = chosen === null || chosen.has(value);
      return input;
    });
    const take = (): void => {
      const on = values.filter((_, i) => boxes[i]!.checked);
      const { criteria } = this.bench.state;
      this.bench.state.filter({ ...criteria, [list]: on.length === values.length ? null : new Set(on) });
    };
    const lines = values.map((value, i) => {
      boxes[i]!.addEventListener("change", take);
      const only = h("button.an-only", { type: "button", title: "This alone", "aria-label": `Only ${value}` }, "only");
      only.addEventListener("click", () => {
        for (const [n, box] of boxes.entries()) box.checked = n === i;
        take();
      });
      return h("div.an-check", {}, h("label", {}, boxes[i]!, h("span", {}, value)), only);
    });
    return h("fieldset", {}, h("legend", {}, list), ...lines);
  }

  private range(label: string, name: "cost" | "duration", unit: number): HTMLElement {
    const field = (side: keyof Range): HTMLElement => {
      const words = side === "from" ? "at least" : "at most";
      const input = h("input", {
        type: "number",
        min: "0",
        step: "any",
        placeholder: words,
        "aria-label": `${label}, ${words}`,
      }) as HTMLInputElement;
      input.addEventListener("input", () => {
        const value = input.value === "" ? Number.NaN : Number(input.value) * unit;
        const { criteria } = this.bench.state;
        this.bench.state.filter({
          ...criteria,
          [name]: { ...criteria[name], [side]: Number.isFinite(value) ? value : null },
        });
      });
      return input;
    };
    return h("fieldset", {}, h("legend", {}, label), field("from"), field("to"));
  }
  private words(): HTMLElement {
    const input = h("input", {
      type: "text",
      placeholder: "in names",
      "aria-label": "Names hold",
      spellcheck: "false",
    }) as HTMLInputElement;
    input.addEventListener("input", () => {
      this.bench.state.filter({ ...this.bench.state.criteria, text: input.value.trim().toLowerCase() });
    });
    return h("fieldset", {}, h("legend", {}, "Text"), input);
  }
}
