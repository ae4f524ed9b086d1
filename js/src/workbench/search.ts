/** Search: over names at once in the page, and in texts where that is asked. */
import { h } from "../ui/dom";
import { count } from "../ui/format";
import { TextSearch } from "./text-search";
import type { Bench } from "./types";

const PAUSE_MS = 120;
/** Before a search in texts, which reads files, somebody has stopped typing. */
const LONG_PAUSE_MS = 500;

export class Search {
  private readonly input = h("input.an-search", {
    type: "search",
    placeholder: "Search names",
    "aria-label": "Search names (/)",
    title: "Search names (/); Enter goes to the next",
    spellcheck: "false",
  }) as HTMLInputElement;
  private readonly said = h("span.an-found", { role: "status" });
  private readonly texts = h("button.an-texts", {
    type: "button",
    "aria-pressed": "false",
    title: "Search in messages, answers, parameters and results too: the kernel reads the files",
    onclick: () => this.toggle(),
  });
  private readonly halt = h("button", { type: "button", hidden: true, onclick: () => this.cease() }, "Stop");
  readonly element = h("div.an-searching", { role: "search" }, this.input, this.texts, this.said, this.halt);
  private readonly bodies: TextSearch;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private inTexts = false;
  private progress = "";

  constructor(private readonly bench: Bench) {
    this.texts.textContent = "in texts";
    this.bodies = new TextSearch(bench, (rows, said, over) => {
      this.progress = said;
      this.halt.toggleAttribute("hidden", over);
      bench.state.search(this.input.value.trim(), rows);
      this.update();
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), PAUSE_MS);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      if (this.bench.state.wanted !== this.input.value.trim()) this.look();
      this.next(event.shiftKey ? -1 : 1);
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
    this.bodies.stop();
  }
  update(): void {
    const { state } = this.bench;
    const names = state.wanted === "" ? "" : state.litCount === 0 ? "none" : `${count(state.litCount)} found`;
    const text = [names, state.wanted === "" ? "" : this.progress].filter(Boolean).join(" · ");
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  private toggle(): void {
    this.inTexts = !this.inTexts;
    this.texts.setAttribute("aria-pressed", String(this.inTexts));
    this.look();
  }
  private cease(): void {
    this.bodies.stop();
    this.halt.setAttribute("hidden", "");
    this.progress = `${this.progress.replace(/, .*$/, "")}, stopped`;
    this.update();
  }
  private look(): void {
    clearTimeout(this.timer);
    this.bodies.stop();
    this.halt.setAttribute("hidden", "");
    this.progress = "";
    const text = this.input.value.trim();
    this.bench.state.search(text);
    this.update();
    if (!this.inTexts || text === "") return;
    this.timer = setTimeout(() => {
      this.halt.removeAttribute("hidden");
      void this.bodies.start(text);
    }, LONG_PAUSE_MS);
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
