/** Tries a recorded call with another prompt: editors above, answers below. One panel a view; drafts are kept by call. */
import type { Connection } from "../../kernel/connection";
import { h, replaceChildren } from "../../ui/dom";
import { quoteWords } from "./labels";
import { type Field, type Kit, loadKit } from "./lazy-editor";
import { type Chosen, Settings } from "./options";
import { type Entry, type Opened, PARTS, type Part, type Quoted } from "./protocol";
import { AsPython, Result } from "./results";

const PAUSE_MS = 300;
const LABELS: Record<Part, string> = {
  prompt: "Prompt",
  system: "System",
  messages: "Messages",
  parameters: "Parameters",
  tools: "Tools",
};
const HINTS: Partial<Record<Part, string>> = {
  prompt: "The text of the last message of the user that is no tool result.",
  messages: "All messages, as JSON. What is written under Prompt takes the place of the last one's text.",
  parameters: "Parameters of the call, as JSON: max_tokens, temperature, tool_choice …",
  tools: "Tools that the model may ask for, as JSON. They are never run.",
};

interface Draft {
  texts: Partial<Record<Part, string>>;
  chosen: Chosen;
}

export class RerunPanel {
  private readonly title = h("h3");
  private readonly wide = h("button.an-close", { type: "button", title: "Wider", "aria-label": "Wider" }, "⤢");
  private readonly tabs = h("div.an-try-tabs", { role: "tablist", "aria-label": "Parts of the request" });
  private readonly note = h("p.an-try-note", { hidden: true });
  private readonly editors = h("div.an-try-editors");
  private readonly settings: Settings;
  private readonly test = h(
    "button.an-try-test",
    { type: "button", title: "Ctrl+Enter" },
    "Test prompt",
  ) as HTMLButtonElement;
  private readonly end = h("button", { type: "button", hidden: true }, "Stop");
  private readonly quote = h("span.an-try-quote", { role: "status" });
  private readonly python = new AsPython();
  private readonly result: Result;
  readonly element: HTMLElement;

  private row = -1;
  private opened: Opened | null = null;
  private kit: Kit | null = null;
  private part: Part = "prompt";
  private readonly fields = new Map<Part, { field: Field; host: HTMLElement }>();
  private readonly drafts = new Map<string, Draft>();
  private turn = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly epoch: () => string,
  ) {
    this.settings = new Settings(connection.client, () => this.edited());
    this.result = new Result(
      connection,
      () => ({ epoch: epoch(), row: this.row }),
      () => this.buttons(),
    );
    const close = h("button.an-close", { type: "button", title: "Close (Esc)", "aria-label": "Close the editor" }, "×");
    close.addEventListener("click", () => this.close());
    this.wide.addEventListener("click", () => this.element.classList.toggle("an-try-wide"));
    this.test.addEventListener("click", () => void this.run());
    this.end.addEventListener("click", () => void this.stop());
    this.element = h(
      "section.an-try",
      { "aria-label": "Try another prompt", hidden: true },
      h("header", {}, h("span.an-dot.an-kind-llm"), this.title, this.wide, close),
      this.tabs,
      this.note,
      this.editors,
      this.settings.element,
      h("div.an-try-run", {}, this.test, this.end, this.quote),
      this.python.element,
      this.result.element,
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.stopPropagation();
      this.close();
    });
  }

  get open(): boolean {
    return !this.element.hasAttribute("hidden");
  }

  close(): void {
    this.keep();
    this.turn++;
    clearTimeout(this.timer);
    this.result.stop();
    this.element.setAttribute("hidden", "");
  }

  async show(row: number, title: string): Promise<void> {
    this.keep();
    const turn = ++this.turn;
    this.row = row;
    this.opened = null;
    this.title.textContent = `Try: ${title}`;
    this.element.removeAttribute("hidden");
    this.forget();
    this.say("Reading …", false);
    this.test.disabled = true;
    try {
      const asked = this.connection.request<Opened>("try_open", { epoch: this.epoch(), row });
      const [opened, kit] = await Promise.all([asked, loadKit(this.connection)]);
      if (turn === this.turn) this.fill(opened, kit);
    } catch (error) {
      if (turn === this.turn) this.say(error instanceof Error ? error.message : String(error), true);
    }
  }

  private fill(opened: Opened, kit: Kit): void {
    this.opened = opened;
    this.kit = kit;
    const draft = this.drafts.get(this.key());
    this.settings.fill(opened, draft?.chosen);
    this.part = opened.texts.prompt === null ? "messages" : "prompt";
    const notes = [
      kit.plain === null ? "" : `The editor could not be loaded here (${kit.plain}); these are plain text fields.`,
    ];
    if (opened.missing.length > 0) notes.push(`Not in the recording: ${opened.missing.join(", ")}.`);
    this.note.textContent = notes.filter(Boolean).join(" ");
    this.note.toggleAttribute("hidden", this.note.textContent === "");
    this.choose(this.part);
    this.result.open(opened, kit);
    this.edited();
  }

  /** Shows the editor of a part; each is made once, so that its undo stays. */
  private choose(part: Part): void {
    this.part = part;
    for (const [name, { host }] of this.fields) host.toggleAttribute("hidden", name !== part);
    const before = this.opened?.texts[part];
    if (!this.fields.has(part) && this.kit !== null && before !== null && before !== undefined) {
      const host = h("div.an-try-editor");
      this.editors.append(host);
      const field = this.kit.edit(host, {
        text: this.drafts.get(this.key())?.texts[part] ?? before,
        json: part === "system" ? (this.opened?.system_is_json ?? false) : part !== "prompt",
        label: LABELS[part],
        changed: () => this.edited(),
        run: () => void this.run(),
      });
      this.fields.set(part, { field, host });
    }
    this.fields.get(part)?.field.focus();
    this.marks();
  }

  private marks(): void {
    const changed = this.changes();
    const tabs = PARTS.filter((part) => this.opened?.texts[part] !== null).map((part) => {
      const tab = h(
        `button.an-try-tab${changed[part] === undefined ? "" : ".an-try-changed"}`,
        {
          type: "button",
          role: "tab",
          "aria-selected": part === this.part ? "true" : "false",
          title: HINTS[part] ?? LABELS[part],
        },
        LABELS[part],
      );
      tab.addEventListener("click", () => this.choose(part));
      return tab;
    });
    const back = h("button.an-try-back", { type: "button", title: "Back to what was recorded" }, "Reset");
    back.toggleAttribute("hidden", changed[this.part] === undefined);
    back.addEventListener("click", () => this.fields.get(this.part)?.field.set(this.opened?.texts[this.part] ?? ""));
    replaceChildren(this.tabs, ...tabs, back);
  }

  /** The texts that differ from what was recorded, those of a draft whose editor is not open among them. */
  private changes(): Partial<Record<Part, string>> {
    const out: Partial<Record<Part, string>> = {};
    for (const part of PARTS) {
      const text = this.fields.get(part)?.field.text() ?? this.drafts.get(this.key())?.texts[part];
      if (text !== undefined && text !== this.opened?.texts[part]) out[part] = text;
    }
    return out;
  }

  private args(): Record<string, unknown> {
    return { ...this.changes(), ...this.settings.args(), epoch: this.epoch(), row: this.row };
  }

  private edited(): void {
    if (this.opened === null) return;
    this.marks();
    clearTimeout(this.timer);
    const turn = this.turn;
    this.timer = setTimeout(() => void this.ask(turn), PAUSE_MS);
  }

  private async ask(turn: number): Promise<void> {
    try {
      const found = await this.connection.request<Quoted>("try_quote", this.args());
      if (turn !== this.turn) return;
      this.python.set(found.python);
      const allowed = this.opened?.allowed ?? false;
      this.test.disabled = !allowed || found.problem !== null;
      const words = found.quote === null ? "" : quoteWords(found.quote, found.left_usd);
      if (found.problem !== null) this.say(found.problem, true);
      else if (allowed) this.say(words, false);
      else this.say(`${words}. ${this.opened?.how_to_allow ?? ""}`, true);
    } catch (error) {
      if (turn === this.turn) this.say(error instanceof Error ? error.message : String(error), true);
    }
  }

  private say(text: string, problem: boolean): void {
    this.quote.textContent = text;
    this.quote.classList.toggle("an-bad", problem);
  }

  private buttons(): void {
    this.end.toggleAttribute("hidden", this.result.running === null);
    if (this.result.running === null) this.edited(); // money was spent, an answer is kept: the quote is another
  }

  private async run(): Promise<void> {
    if (this.opened === null || this.test.disabled) return;
    this.test.disabled = true;
    const turn = this.turn;
    try {
      const started = await this.connection.request<{ try: number; tries: Entry[] }>("try_run", this.args());
      if (turn === this.turn) this.result.started(started.try, started.tries);
    } catch (error) {
      if (turn === this.turn) this.say(error instanceof Error ? error.message : String(error), true);
    } finally {
      if (turn === this.turn) this.test.disabled = false;
    }
  }

  private async stop(): Promise<void> {
    if (this.result.running !== null) await this.connection.request("try_stop", { try: this.result.running });
  }

  private key(): string {
    return `${this.epoch()}:${this.row}`;
  }

  /** Remembers what was written, for when the call is opened again. */
  private keep(): void {
    if (this.opened === null) return;
    this.drafts.set(this.key(), { texts: this.changes(), chosen: this.settings.chosen() });
  }

  private forget(): void {
    for (const { field, host } of this.fields.values()) {
      field.close();
      host.remove();
    }
    this.fields.clear();
    this.result.close();
    replaceChildren(this.tabs);
  }
}
