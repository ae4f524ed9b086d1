/** Runs again from a node: what would be executed, inferred and left stale is lit before anybody says yes. */
import type { Connection } from "../../kernel/connection";
import { append, h, replaceChildren } from "../../ui/dom";
import { money } from "../../ui/format";
import { quoteWords } from "../rerun/labels";
import { type Planned, type Watched, WORDS, type Word } from "./protocol";

const PAUSE_MS = 350;
const EVERY_MS = 300;
const MEANS: Record<Word, string> = {
  executed: "asked anew: the request is known",
  inferred: "asked anew where the rebuilt request differs, as if the program only copied values",
  stale: "left as they are: no rule reaches them",
  reused: "cannot rest on the change: their answers stand",
};

/** Lights these rows in the picture; null lights all. */
export type Light = (rows: Int32Array | null) => void;

export class ReplayPanel {
  private readonly title = h("h3");
  private readonly edit = h("textarea.an-fork-prompt", {
    rows: "5",
    spellcheck: "false",
    "aria-label": "Prompt of this call",
  }) as HTMLTextAreaElement;
  private readonly field = h("label.an-fork-field", {}, "Prompt (as it is: the call is asked anew)", this.edit);
  private readonly groups = h("div.an-fork-groups");
  private readonly quote = h("p.an-fork-quote", { role: "status" });
  private readonly go = h("button.an-try-test.an-fork-go", { type: "button" }, "Run again") as HTMLButtonElement;
  private readonly end = h("button", { type: "button", hidden: true }, "Stop");
  private readonly look = h("button.an-fork-look", { type: "button", hidden: true }, "Show the branch");
  private readonly caution = h("p.an-fork-caution");
  private readonly anew = h("input", { type: "checkbox" }) as HTMLInputElement;
  readonly element: HTMLElement;

  private row = -1;
  private turn = 0;
  private planned: Planned | null = null;
  private fork: number | null = null;
  private running = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly epoch: () => string,
    private readonly light: Light,
  ) {
    const close = h("button.an-close", { type: "button", title: "Close (Esc)", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => this.close());
    this.edit.addEventListener("input", () => this.later());
    this.anew.addEventListener("change", () => this.later());
    this.go.addEventListener("click", () => void this.run());
    this.end.addEventListener("click", () => void this.stop());
    const anew = h(
      "label.an-fork-anew",
      { title: "Answers kept from before are not taken" },
      this.anew,
      "ask all anew",
    );
    this.element = h(
      "section.an-fork",
      { "aria-label": "Rerun from here", hidden: true },
      h("header", {}, h("span.an-dot.an-kind-llm"), this.title, close),
      this.field,
      this.groups,
      h("div.an-fork-run", {}, this.go, this.end, this.look, anew),
      this.quote,
      this.caution,
    );
    this.element.addEventListener("keydown", (event) => {
      event.stopPropagation(); // what is written here is no key of the view, nor of the notebook
      if (event.key === "Escape") this.close();
    });
  }

  close(): void {
    if (this.element.hasAttribute("hidden")) return;
    if (!this.running) this.turn++;
    clearTimeout(this.timer);
    this.light(null);
    this.element.setAttribute("hidden", "");
  }

  /** While a replay runs, the panel stays with it: what it has done so far, and how to stop it. */
  async show(row: number, title: string): Promise<void> {
    if (this.running) {
      this.element.removeAttribute("hidden");
      this.end.focus();
      return;
    }
    this.turn++;
    this.row = row;
    this.planned = null;
    this.fork = null;
    this.title.textContent = `Rerun from here: ${title}`;
    this.edit.value = "";
    this.field.setAttribute("hidden", "");
    this.look.setAttribute("hidden", "");
    this.end.setAttribute("hidden", "");
    this.go.disabled = true;
    replaceChildren(this.groups);
    this.caution.textContent = "";
    this.element.removeAttribute("hidden");
    this.say("Looking at what follows …", false);
    await this.plan();
    this.edit.focus();
  }

  private args(): Record<string, unknown> {
    const before = this.planned?.prompt ?? null;
    const changed = before !== null && this.edit.value !== before;
    return {
      epoch: this.epoch(),
      row: this.row,
      anew: this.anew.checked,
      ...(changed ? { prompt: this.edit.value } : {}),
    };
  }

  private later(): void {
    clearTimeout(this.timer);
    this.fork = null;
    this.go.disabled = true;
    this.timer = setTimeout(() => void this.plan(), PAUSE_MS);
  }

  private async plan(): Promise<void> {
    const turn = ++this.turn;
    try {
      const planned = await this.connection.request<Planned>("fork_plan", this.args());
      if (turn === this.turn) this.fill(planned);
    } catch (error) {
      if (turn === this.turn) this.say(said(error), true);
    }
  }

  private fill(planned: Planned): void {
    if (this.planned === null && planned.prompt !== null) {
      this.edit.value = planned.prompt;
      this.field.removeAttribute("hidden");
    }
    this.planned = planned;
    replaceChildren(this.groups, ...WORDS.map((word) => this.group(word, planned)));
    this.caution.textContent = planned.caution;
    this.go.disabled = !planned.allowed || planned.problem !== null;
    const words = planned.quote === null ? "" : quoteWords(planned.quote, planned.left_usd);
    if (planned.problem !== null) this.say(planned.problem, true);
    else if (!planned.allowed) this.say([words, planned.how_to_allow].filter(Boolean).join(". "), true);
    else this.say(`${words}, if the new answers have the shape of the old ones`, false);
    this.lights(null);
  }

  /** One of the four, with its mark, what it means, and its calls with their reasons. */
  private group(word: Word, planned: Planned): HTMLElement {
    const rows = planned.rows[word];
    const list = h("ul", {});
    for (const one of planned.reasons) {
      if (one.provenance === word) append(list, h("li", {}, h("b", {}, one.title), ` ${one.reason}`));
    }
    const summary = h(
      "summary",
      {},
      h(`span.an-mark.an-mark-${word}`),
      h("b", {}, `${rows.length} ${word}`),
      ` ${MEANS[word]}`,
    );
    const group = h(`details.an-fork-group.an-fork-${word}`, {}, summary, list);
    group.toggleAttribute("hidden", rows.length === 0);
    const on = (): void => this.lights(word);
    const off = (): void => this.lights(null);
    for (const name of ["mouseenter", "focusin"]) group.addEventListener(name, on);
    for (const name of ["mouseleave", "focusout"]) group.addEventListener(name, off);
    return group;
  }

  /** Everything that the replay touches is lit, or one of the four alone. */
  private lights(word: Word | null): void {
    const rows = this.planned?.rows;
    if (rows === undefined || this.fork !== null) return; // once it has run, the branch is what is looked at
    const wanted = word === null ? [...rows.executed, ...rows.inferred, ...rows.stale] : rows[word];
    this.light(wanted.length === 0 ? null : Int32Array.from(wanted));
  }

  private async run(): Promise<void> {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    this.busy(true);
    try {
      const started = await this.connection.request<{ fork: number; trace_id: string }>("fork_run", this.args());
      if (turn !== this.turn) return;
      this.fork = started.fork;
      this.light(null);
      this.end.removeAttribute("hidden");
      this.look.onclick = () => void this.connection.request("show", { trace_id: started.trace_id });
      await this.watch(turn);
    } catch (error) {
      if (turn === this.turn) this.say(said(error), true);
    } finally {
      this.busy(false);
    }
  }

  /** What is running cannot be edited, so that what stands here is what is being asked. */
  private busy(running: boolean): void {
    this.running = running;
    this.go.disabled = running;
    this.edit.readOnly = running;
    this.anew.disabled = running;
    if (!running) this.end.setAttribute("hidden", "");
  }

  private async watch(turn: number): Promise<void> {
    while (turn === this.turn) {
      const seen = await this.connection.request<Watched>("fork_look", { fork: this.fork });
      if (turn !== this.turn) return;
      this.say(progress(seen), seen.state === "failed" || seen.failed > 0);
      if (seen.state !== "running") {
        this.look.removeAttribute("hidden");
        return;
      }
      await new Promise((wait) => setTimeout(wait, EVERY_MS));
    }
  }

  private async stop(): Promise<void> {
    if (this.fork !== null) await this.connection.request("fork_stop", { fork: this.fork });
  }

  private say(text: string, problem: boolean): void {
    this.quote.textContent = text;
    this.quote.classList.toggle("an-bad", problem);
  }
}

function progress(seen: Watched): string {
  const counts = WORDS.filter((word) => seen.counts[word] > 0).map((word) => `${seen.counts[word]} ${word}`);
  const head = {
    running: `${seen.done} of ${seen.total} calls settled`,
    done: "Done",
    stopped: "Stopped; the same again takes up what was answered, and pays for nothing twice",
    failed: `Failed: ${seen.error ?? ""}`,
  }[seen.state];
  const failed = seen.failed > 0 ? [`${seen.failed} failed: ${seen.first_error ?? ""}`] : [];
  const changed = seen.state === "running" ? [] : [`${seen.changed} answers differ`];
  return [head, counts.join(", "), ...changed, money(seen.cost_usd), ...failed, ...seen.notes]
    .filter(Boolean)
    .join(" · ");
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
