/** The lower half: answers as they stream in, beside the recorded one; earlier tries; the same from Python. */
import type { Connection } from "../../kernel/connection";
import { append, copyButton, h, replaceChildren } from "../../ui/dom";
import { answerWords, entryWords, wholeText } from "./labels";
import type { Kit, Sides } from "./lazy-editor";
import type { Entry, Looked, Opened, Piece } from "./protocol";

const PACE_MS = 100;

export class Result {
  private readonly picker = h("select.an-try-history", { "aria-label": "Tries of this call" }) as HTMLSelectElement;
  private readonly numbers = h("div.an-try-numbers", { role: "tablist", "aria-label": "Answers" });
  private readonly facts = h("span.an-try-facts", { role: "status" });
  private readonly problem = h("p.an-problem", { role: "alert", hidden: true });
  private readonly heads = h(
    "div.an-try-heads",
    { hidden: true },
    h("span", {}, "Recorded answer"),
    h("span", {}, "New answer"),
  );
  private readonly field = h("div.an-try-difference");
  readonly element = h(
    "section.an-try-result",
    { "aria-label": "Answers" },
    h("div.an-try-line", {}, this.numbers, this.facts, this.picker),
    this.problem,
    this.heads,
    this.field,
  );
  private entries: Entry[] = [];
  private pieces: Piece[] = [];
  private shown = 0;
  private sides: Sides | null = null;
  private turn = 0;
  private opened: Opened | null = null;
  private kit: Kit | null = null;
  /** The try that is under way; null where none is. */
  running: number | null = null;

  constructor(
    private readonly connection: Connection,
    private readonly where: () => { epoch: string; row: number },
    private readonly changed: () => void,
  ) {
    this.picker.addEventListener("change", () => {
      const entry = this.entries[this.entries.length - 1 - this.picker.selectedIndex];
      if (entry !== undefined) void this.follow(entry);
    });
  }

  /** Another call's: shows the newest of its tries. */
  open(opened: Opened, kit: Kit): void {
    this.stop();
    this.opened = opened;
    this.kit = kit;
    this.history(opened.tries);
    const newest = opened.tries.at(-1);
    if (newest !== undefined) void this.follow(newest);
    else this.blank();
  }

  /** Watches a try that has just been started. */
  started(number: number, entries: Entry[]): void {
    this.history(entries);
    const entry = entries.find((one) => one.try === number);
    if (entry !== undefined) void this.follow(entry);
  }

  /** Looks no further; what is under way goes on in the kernel. */
  stop(): void {
    this.turn++;
    this.running = null;
  }

  close(): void {
    this.stop();
    this.sides?.close();
    this.sides = null;
  }

  private blank(): void {
    this.element.classList.add("an-try-blank");
    this.pieces = [];
    this.clear();
    replaceChildren(this.numbers);
    this.facts.textContent = "";
    append(this.field, h("p.an-try-none", {}, "The answer appears here as it comes in, beside the recorded one."));
  }

  private history(entries: Entry[]): void {
    this.entries = entries;
    replaceChildren(
      this.picker,
      ...[...entries].reverse().map((entry) => h("option", {}, entryWords(entry, this.opened?.model ?? ""))),
    );
    this.picker.toggleAttribute("hidden", entries.length === 0);
  }

  private async follow(entry: Entry): Promise<void> {
    const turn = ++this.turn;
    this.element.classList.remove("an-try-blank");
    this.pieces = [];
    this.shown = 0;
    this.clear();
    this.picker.selectedIndex = this.entries.length - 1 - this.entries.indexOf(entry);
    this.running = entry.state === "running" ? entry.try : null;
    this.changed();
    let failures = 0;
    for (;;) {
      try {
        const seen = this.pieces.map((piece) => (piece.done ? -1 : piece.text.length));
        const asked = entry.try === null ? { trace_id: entry.trace_id } : { try: entry.try, seen };
        const found = await this.connection.request<Looked>("try_look", { ...this.where(), ...asked });
        if (turn !== this.turn) return;
        failures = 0;
        this.take(found);
        if (found.state !== "running") return await this.ended(turn);
      } catch (error) {
        if (turn !== this.turn) return;
        this.say(error instanceof Error ? error.message : String(error));
        if (++failures > 2 || !this.connection.connected()) {
          this.running = null;
          this.changed();
          return;
        }
      }
      await new Promise((wake) => setTimeout(wake, PACE_MS));
      if (turn !== this.turn || !this.element.isConnected) return;
    }
  }

  private async ended(turn: number): Promise<void> {
    const was = this.running;
    this.running = null;
    this.changed();
    if (was === null) return;
    const { tries } = await this.connection.request<{ tries: Entry[] }>("try_history", this.where());
    if (turn !== this.turn) return;
    const at = this.picker.selectedIndex;
    this.history(tries);
    this.picker.selectedIndex = at;
  }

  private take(found: Looked): void {
    for (const piece of found.answers) {
      const before = this.pieces[piece.place]?.text ?? "";
      this.pieces[piece.place] = { ...piece, text: before.slice(0, piece.offset) + piece.text };
    }
    this.say(found.error);
    this.paint();
  }

  private say(problem: string | null): void {
    this.problem.textContent = problem ?? "";
    this.problem.toggleAttribute("hidden", !problem);
  }

  private clear(): void {
    this.say(null);
    this.sides?.close();
    this.sides = null;
    replaceChildren(this.field);
    this.heads.setAttribute("hidden", "");
  }

  private paint(): void {
    const piece = this.pieces[this.shown];
    this.tabs();
    if (piece === undefined || this.opened === null || this.kit === null) return;
    this.facts.textContent = answerWords(piece);
    if (piece.error) this.say(piece.error);
    const text = wholeText(piece.text, piece.tool_calls ?? "");
    if (this.sides === null) {
      replaceChildren(this.field);
      this.heads.removeAttribute("hidden");
      this.sides = this.kit.compare(this.field, wholeText(this.opened.response, this.opened.tool_calls), text);
    } else this.sides.set(text);
  }

  private tabs(): void {
    if (this.pieces.length < 2) {
      replaceChildren(this.numbers);
      return;
    }
    const buttons = this.pieces.map((piece, place) => {
      const state = !piece.done ? "wait" : piece.error ? "bad" : "ok";
      const button = h(
        `button.an-try-number.an-try-${state}`,
        { type: "button", role: "tab", "aria-selected": place === this.shown ? "true" : "false" },
        String(place + 1),
      );
      button.addEventListener("click", () => {
        this.shown = place;
        this.clear();
        this.paint();
      });
      return button;
    });
    replaceChildren(this.numbers, ...buttons);
  }
}

/** The line of Python that does the same, folded away until somebody wants it. */
export class AsPython {
  private readonly code = h("pre", {}, "");
  private line = "";
  readonly element = h(
    "details.an-try-python",
    {},
    h(
      "summary",
      {},
      h("span", {}, "As Python"),
      copyButton("Copy the line of Python", () => this.line),
    ),
    this.code,
  );

  set(line: string | null): void {
    if (line === null) return;
    this.line = line;
    this.code.textContent = line;
  }
}
