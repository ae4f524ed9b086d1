/** Whom to ask, how often, and whether kept answers will do. */
import { h, replaceChildren } from "../../ui/dom";
import type { Opened } from "./protocol";

export interface Chosen {
  model: string;
  provider: string;
  n: number;
  fresh: boolean;
}

export class Settings {
  private readonly model = h("input.an-try-model", { type: "text", "aria-label": "Model", spellcheck: "false" });
  private readonly models = h("datalist");
  private readonly provider = h("select", { "aria-label": "Provider" }) as HTMLSelectElement;
  private readonly n = h("input.an-try-n", { type: "number", min: "1", max: "50", "aria-label": "Answers" });
  private readonly fresh = h("input", { type: "checkbox" }) as HTMLInputElement;
  readonly element = h(
    "div.an-try-settings",
    {},
    h("label", {}, "Model", this.model, this.models),
    h("label", {}, "Provider", this.provider),
    h("label", {}, "Answers", this.n),
    h("label", { title: "Ask again even where an answer to the same request is kept" }, this.fresh, "Fresh"),
  );
  private recorded = "";

  /** `page` is a word of ours: a list belongs to its field by an id, and ids are unique in a page of many graphs. */
  constructor(page: string, edited: () => void) {
    this.models.id = `an-models-${page}`;
    this.model.setAttribute("list", this.models.id);
    for (const one of [this.model, this.n]) one.addEventListener("input", edited);
    for (const one of [this.provider, this.fresh]) one.addEventListener("change", edited);
  }

  fill(opened: Opened, before: Chosen | undefined): void {
    this.recorded = opened.provider;
    (this.model as HTMLInputElement).value = before?.model ?? opened.model;
    replaceChildren(this.models, ...opened.models.map((name) => h("option", {}, name)));
    const known = [...new Set([opened.provider, ...opened.providers])];
    replaceChildren(this.provider, ...known.map((name) => h("option", {}, name)));
    this.provider.selectedIndex = Math.max(0, known.indexOf(before?.provider ?? opened.provider));
    (this.n as HTMLInputElement).value = String(before?.n ?? 1);
    this.fresh.checked = before?.fresh ?? false;
  }

  chosen(): Chosen {
    const n = Number((this.n as HTMLInputElement).value);
    return {
      model: (this.model as HTMLInputElement).value,
      provider: this.provider.selectedOptions[0]?.textContent ?? "",
      n: Number.isFinite(n) ? n : 0,
      fresh: this.fresh.checked,
    };
  }

  /** As it is sent. The recorded provider is no choice: a model of another one brings its own along. */
  args(): Record<string, unknown> {
    const chosen = this.chosen();
    return { ...chosen, provider: chosen.provider === this.recorded ? null : chosen.provider };
  }
}
