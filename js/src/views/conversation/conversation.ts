/** What an agent was told and said, as a chat: every message once, its tools' calls folded in. Texts are text nodes. */

import { Status, type TextPiece } from "../../kernel/protocol";
import type { Delta } from "../../model/model";
import type { Part } from "../../model/view-state";
import { append, h, replaceChildren } from "../../ui/dom";
import { count, money, shortModel, span } from "../../ui/format";
import type { Bench, View } from "../../workbench/types";
import { agentsOf, callerOf } from "./agents";

interface Said {
  part: string;
  role: string;
  kind: "text" | "json";
  text: string;
  chars: number;
}
interface Call {
  row: number;
  said: Said[];
  tools: number[];
  problem: string | null;
}
interface Answer {
  agent: string;
  calls: Call[];
  offset: number;
  total: number;
  next: number | null;
}

const ROLES = new Set(["system", "user", "assistant", "tool", "error"]);
/** So much of a message is seen before somebody asks for more. */
const SHORT = 700;

export class ConversationView implements View {
  readonly name = "chat";
  readonly element: HTMLElement;
  readonly focus: HTMLElement;
  private readonly picker = h("select.an-agent", { "aria-label": "Agent" }) as HTMLSelectElement;
  private readonly said = h("span.an-found", { role: "status" });
  private readonly scroller = h("div.an-chat", {
    tabindex: "0",
    role: "log",
    "aria-label": "Conversation",
    "aria-live": "off",
  });
  private readonly more = h(
    "button.an-more",
    { type: "button", onclick: () => void this.load(), hidden: true },
    "Show the next calls",
  );
  private caller = -1;
  private next: number | null = 0;
  private total = 0;
  private turn = 0;
  private shown = false;
  private loading = false;

  constructor(private readonly bench: Bench) {
    const head = h("div.an-chat-head", {}, h("label", {}, "Agent ", this.picker), this.said);
    this.element = h("div.an-view", {}, head, this.scroller);
    this.focus = this.scroller;
    this.picker.addEventListener("change", () => this.take(Number(this.picker.value)));
    this.scroller.addEventListener("scroll", () => {
      const { scrollTop, clientHeight, scrollHeight } = this.scroller;
      if (scrollTop + clientHeight > scrollHeight - 300) void this.load();
    });
    this.scroller.addEventListener("keydown", (event) => this.key(event));
  }

  close(): void {
    this.turn++;
  }
  show(): void {
    this.shown = true;
    this.follow(true);
  }
  hide(): void {
    this.shown = false;
  }
  onModelChange(delta: Delta): void {
    if (delta.reset) this.caller = -1;
    if (delta.reset || delta.added < this.bench.model.size) this.agents();
    if (delta.reset) this.follow(false);
    else if (this.next === null && this.caller >= 0) {
      const grows = this.bench.model.size > delta.added || delta.changed.length > 0;
      if (grows) void this.load(true);
    }
    this.bench.painted();
  }
  changed(part: Part): void {
    if (part === "selection") this.follow(true);
    if (part === "light") this.mark();
  }
  onThemeChange(): void {}
  fit(): void {
    this.scroller.scrollTop = 0;
  }

  private agents(): void {
    const { model } = this.bench;
    const all = agentsOf(model);
    const options = all.map(({ slot, label, calls }) =>
      h("option", { value: String(slot) }, `${label} · ${calls} ${calls === 1 ? "call" : "calls"}`),
    );
    replaceChildren(this.picker, ...options);
    this.picker.value = String(this.caller);
  }

  /** Shows the conversation that the selected span is part of; without one, the first. */
  private follow(scroll: boolean): void {
    const { model, state } = this.bench;
    if (!this.shown) return;
    const wanted = state.selected >= 0 ? callerOf(model, state.selected) : -1;
    if (wanted >= 0 && !this.isOf(wanted)) this.take(wanted);
    else if (this.caller < 0) {
      const first = agentsOf(model)[0];
      if (first !== undefined) this.take(first.slot);
      else replaceChildren(this.scroller, h("p.an-wait", {}, "No calls to a model yet."));
    }
    this.mark();
    if (scroll) this.scroller.querySelector(".an-call.an-chosen")?.scrollIntoView({ block: "nearest" });
  }
  private isOf(slot: number): boolean {
    const { model } = this.bench;
    const { caller } = this;
    return caller >= 0 && model.agent(slot) === model.agent(caller) && model.traceId(slot) === model.traceId(caller);
  }
  private take(slot: number): void {
    const { model } = this.bench;
    const first = agentsOf(model).find(
      (one) => model.agent(one.slot) === model.agent(slot) && model.traceId(one.slot) === model.traceId(slot),
    );
    this.caller = first?.slot ?? slot;
    this.picker.value = String(this.caller);
    this.turn++;
    this.next = 0;
    this.loading = false;
    replaceChildren(this.scroller, this.more);
    this.scroller.scrollTop = 0;
    void this.load();
  }

  private async load(grown = false): Promise<void> {
    if (this.loading || this.caller < 0 || (this.next === null && !grown)) return;
    const { turn } = this;
    const { model, connection } = this.bench;
    this.loading = true;
    try {
      const args = { epoch: model.epoch, row: model.row[this.caller]!, offset: this.next ?? this.total };
      const answer = await connection.request<Answer>("conversation", args);
      if (turn !== this.turn) return;
      for (const call of answer.calls) this.scroller.insertBefore(this.call(call), this.more);
      this.next = answer.next;
      this.total = answer.offset + answer.calls.length;
      this.more.toggleAttribute("hidden", answer.next === null);
      this.said.textContent = `${count(this.total)} of ${count(answer.total)} calls`;
      this.mark();
      if (answer.offset === 0) this.scroller.querySelector(".an-call.an-chosen")?.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (turn !== this.turn) return;
      const message = error instanceof Error ? error.message : String(error);
      if (!grown) this.scroller.insertBefore(h("p.an-problem", { role: "alert" }, message), this.more);
      this.next = null;
    } finally {
      if (turn === this.turn) this.loading = false;
    }
  }

  private call(call: Call): HTMLElement {
    const { model } = this.bench;
    const slot = model.slotOf(call.row);
    const facts = slot < 0 ? "" : this.facts(slot);
    const pick = h(
      "button.an-call-head",
      { type: "button", title: "Select this call", onclick: () => this.pick(call.row) },
      h("span.an-dot.an-kind-llm", { "aria-hidden": "true" }),
      facts || "call",
    );
    const block = h("section.an-call", {}, pick);
    block.dataset.row = String(call.row);
    for (const one of call.said) append(block, this.message(call.row, one));
    if (call.problem !== null) append(block, h("p.an-problem", {}, call.problem));
    if (call.tools.length > 0) append(block, this.tools(call.tools));
    return block;
  }
  private facts(slot: number): string {
    const { model } = this.bench;
    const words = [shortModel(model.modelName(slot)) || model.name(slot), span(model.duration[slot])];
    if (model.cost[slot]! > 0) words.push(money(model.cost[slot]!));
    if (model.status[slot] === Status.error) words.push("failed");
    if (model.status[slot] === Status.running) words.push("running");
    return words.filter(Boolean).join(" · ");
  }

  private message(row: number, one: Said): HTMLElement {
    const role = ROLES.has(one.role) ? one.role : "other";
    const short = one.role === "system" || one.role === "tool" ? 160 : SHORT;
    const body = h(one.kind === "json" ? "pre" : "div.an-said-text");
    const cut = one.text.length > short ? `${one.text.slice(0, short).trimEnd()} …` : one.text;
    body.textContent = cut;
    const bubble = h(`article.an-said.an-said-${role}`, {}, h("header", {}, one.role), body);
    if (one.chars <= short) return bubble;
    let open = false;
    const more = h(
      "button.an-more",
      { type: "button", "aria-expanded": "false" },
      `Show all ${count(one.chars)} characters`,
    );
    more.addEventListener("click", async () => {
      open = !open;
      more.setAttribute("aria-expanded", String(open));
      if (open && one.text.length < one.chars) {
        more.textContent = "Reading …";
        try {
          await this.rest(row, one);
        } catch (error) {
          open = false;
          more.textContent = error instanceof Error ? error.message : String(error);
          return;
        }
      }
      body.textContent = open ? one.text : cut;
      more.textContent = open ? "Show less" : `Show all ${count(one.chars)} characters`;
    });
    append(bubble, more);
    return bubble;
  }
  private async rest(row: number, one: Said): Promise<void> {
    const { connection, model } = this.bench;
    while (one.text.length < one.chars) {
      const args = { epoch: model.epoch, row, part: one.part, offset: one.text.length };
      const piece = await connection.request<TextPiece>("text", args);
      one.text += piece.text;
      if (piece.next_offset === null || piece.text.length === 0) break;
    }
  }

  private tools(rows: number[]): HTMLElement {
    const { model } = this.bench;
    const slots = rows.map((row) => model.slotOf(row)).filter((slot) => slot >= 0);
    const failed = slots.filter((slot) => model.status[slot] === Status.error).length;
    const names = [...new Set(slots.map((slot) => model.name(slot)))];
    const said = names.length > 3 ? `${names.slice(0, 3).join(", ")} and others` : names.join(", ");
    const list = h("div.an-tool-list");
    for (const slot of slots) {
      const row = model.row[slot]!;
      const bad = model.status[slot] === Status.error;
      const button = h(
        "button.an-tool",
        { type: "button", onclick: () => this.pick(row) },
        h("span.an-dot.an-kind-tool", { "aria-hidden": "true" }),
        model.name(slot) || model.kind(slot),
        h(`span.an-size${bad ? ".an-bad" : ""}`, {}, bad ? "failed" : span(model.duration[slot])),
      );
      button.dataset.row = String(row);
      append(list, button);
    }
    const words = `${rows.length} ${rows.length === 1 ? "tool call" : "tool calls"}`;
    return h(
      "details.an-tools-of",
      {},
      h(
        "summary",
        {},
        words,
        h("span.an-size", {}, said),
        failed > 0 ? h("span.an-bad", {}, `${failed} failed`) : null,
      ),
      list,
    );
  }

  private pick(row: number): void {
    const slot = this.bench.model.slotOf(row);
    if (slot >= 0) this.bench.select(slot);
  }
  private mark(): void {
    const { state, model } = this.bench;
    for (const one of this.scroller.querySelectorAll<HTMLElement>("[data-row]")) {
      const slot = model.slotOf(Number(one.dataset.row));
      one.classList.toggle("an-chosen", slot >= 0 && state.isSelected(slot));
      one.classList.toggle("an-faint", slot >= 0 && state.lit?.[slot] === 0);
    }
  }
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.scroller) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      const calls = [...this.scroller.querySelectorAll<HTMLElement>(".an-call")];
      const at = calls.findIndex((one) => one.classList.contains("an-chosen"));
      const next = calls[at < 0 ? 0 : at + step];
      if (next !== undefined) this.pick(Number(next.dataset.row));
    } else if (event.key === "Enter") this.bench.open();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
