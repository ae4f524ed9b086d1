/** Search over names, at once, in the page. */
import { h } from "../ui/dom";
import { count } from "../view/words";
import type { Bench } from "./view";

const PAUSE_MS = 120;

export class Search {
  private readonly input = h("input.an-search", {
    type: "search",
    placeholder: "Search names",
    "aria-label": "Search names (/)",
    title: "Search names (/); Enter goes to the next",
    spellcheck: "false",
  }) as HTMLInputElement;
  private readonly said = h("span.an-found", { role: "status" });
  readonly element = h("div.an-searching", { role: "search" }, this.input, this.said);
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly bench: Bench) {
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), PAUSE_MS);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        this.look();
        this.next(event.shiftKey ? -1 : 1);
      }
    });
  }

  focus(): void {
    this.input.focus();
    this.input.select();
  }
  escape(): boolean {
    if (this.input.value === "") return false;
    this.input.value = "";
    this.look();
    return true;
  }
  close(): void {
    clearTimeout(this.timer);
  }
  update(): void {
    const { state } = this.bench;
    const text = state.wanted === "" ? "" : state.litCount === 0 ? "none" : count(state.litCount);
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  private look(): void {
    clearTimeout(this.timer);
    this.bench.state.search(this.input.value.trim());
  }

  /** The next one found in order of arrival, after the one that is selected. */
  private next(step: 1 | -1): void {
    const { model, state } = this.bench;
    const { lit } = state;
    if (state.wanted === "" || lit === null || state.litCount === 0) return;
    const { size } = model;
    for (let i = 1, at = state.selected; i <= size; i++) {
      at = (at + step + size) % size;
      if (lit[at] === 1) {
        this.bench.select(at);
        return;
      }
    }
  }
}
