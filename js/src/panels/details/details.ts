/** The panel beside the picture: everything about the selected span. */
import type { Connection } from "../../kernel/connection";
import type { Body, Details, TextPiece } from "../../kernel/protocol";
import { append, copyButton, h, replaceChildren } from "../../ui/dom";
import { count, moment, money, span } from "../../ui/format";
import { jsonTree } from "../../ui/json";
import { noting } from "../../ui/note-editor";
import { type Light, ReplayPanel } from "../replay/panel";
import { RerunPanel } from "../rerun/panel";

const FOLD_OVER = 1_600;

export class DetailsPanel {
  readonly element = h("aside.an-details", {
    "aria-label": "Details of the selected span",
    tabindex: "-1",
    hidden: true,
  });
  private wanted = 0;
  private trying: RerunPanel | null = null;
  private forking: ReplayPanel | null = null;

  constructor(
    private readonly connection: Connection,
    private readonly epoch: () => string,
    private readonly closed: () => void,
    private readonly light: Light = () => undefined,
  ) {}

  get open(): boolean {
    return !this.element.hasAttribute("hidden");
  }

  close(): void {
    this.wanted++;
    this.element.setAttribute("hidden", "");
  }

  /** Shows what is known at once, then what the kernel answers. */
  async show(row: number, title: string, kind: string): Promise<void> {
    const turn = ++this.wanted;
    this.element.removeAttribute("hidden");
    replaceChildren(this.element, this.head(title, kind), h("p.an-wait", {}, "Reading …"));
    try {
      const details = await this.connection.request<Details>("details", { epoch: this.epoch(), row });
      if (turn === this.wanted) this.fill(details);
    } catch (error) {
      if (turn !== this.wanted) return;
      const message = error instanceof Error ? error.message : String(error);
      replaceChildren(this.element, this.head(title, kind), h("p.an-problem", { role: "alert" }, message));
    }
  }

  private head(title: string, kind: string): HTMLElement {
    const close = h("button.an-close", { type: "button", title: "Close (Esc)", "aria-label": "Close details" }, "×");
    close.addEventListener("click", () => {
      this.close();
      this.closed();
    });
    return h("header", {}, h(`span.an-dot.an-kind-${KNOWN.has(kind) ? kind : "other"}`), h("h3", {}, title), close);
  }

  private fill(details: Details): void {
    const top = this.element.scrollTop;
    replaceChildren(
      this.element,
      this.head(titleOf(details), details.kind),
      this.actions(details),
      this.facts(details),
    );
    append(this.element, noting(this.connection, this.epoch, details));
    if (details.error)
      append(this.element, h("section.an-error", {}, h("h4", {}, "Error"), h("pre", {}, details.error)));
    for (const problem of details.problems) append(this.element, h("p.an-problem", {}, problem));
    for (const body of details.bodies) append(this.element, this.body(details.row, body));
    this.element.scrollTop = top;
  }

  private actions(d: Details): HTMLElement {
    const actions = h("div.an-actions");
    if (d.kind === "llm") {
      const open = h("button.an-try-open", { type: "button" }, "Try another prompt");
      open.addEventListener("click", () => this.tryIt(d));
      append(actions, open);
    }
    const again = h("button.an-fork-open", { type: "button" }, "Rerun from here");
    again.addEventListener("click", () => this.fork(d));
    append(actions, again);
    append(
      actions,
      copyButton("Copy the Python that fetches this span", () => d.python, "Copy as Python"),
    );
    return actions;
  }

  /** The panel stands where the details stand, over the picture's side of the view. */
  private tryIt(d: Details): void {
    this.trying ??= new RerunPanel(this.connection, this.epoch);
    this.element.parentElement?.append(this.trying.element);
    void this.trying.show(d.row, titleOf(d));
  }

  private fork(d: Details): void {
    this.forking ??= new ReplayPanel(this.connection, this.epoch, this.light);
    this.element.parentElement?.append(this.forking.element);
    void this.forking.show(d.row, titleOf(d));
  }

  private facts(d: Details): HTMLElement {
    const rows: [string, string | null][] = [
      ["Status", d.status],
      ["Agent", d.agent],
      ["Model", d.model && d.provider ? `${d.model} (${d.provider})` : d.model],
      ["Started", moment(d.start)],
      ["Duration", span(d.duration_ms)],
      ["Tokens", d.input_tokens === null && d.output_tokens === null ? null : this.tokens(d)],
      ["Web searches", typeof d.usage.web_searches === "number" ? count(d.usage.web_searches) : null],
      ["Service tier", typeof d.usage.service_tier === "string" ? d.usage.service_tier : null],
      ["Cost", this.cost(d)],
      ["Finish reason", d.finish_reason],
      ["Span", d.span_id],
      ["Trace", d.trace_id],
      ["Source", d.source === null ? null : d.line === null ? d.source : `${d.source}, line ${d.line}`],
    ];
    const list = h("dl.an-facts");
    for (const [name, value] of rows) {
      if (value)
        append(list, h("dt", {}, name), h(`dd${name === "Status" && value === "error" ? ".an-bad" : ""}`, {}, value));
    }
    return list;
  }

  private tokens(d: Details): string {
    const out = `${d.tokens_lower_bound ? "≥ " : ""}${count(d.output_tokens)} out`;
    const parts = [`${count(d.input_tokens)} in`, out];
    if (d.cached_tokens) parts.push(`${count(d.cached_tokens)} cached`);
    for (const [name, value] of Object.entries(d.usage))
      if (typeof value === "number" && name.endsWith("_tokens"))
        parts.push(`${count(value)} ${name.slice(0, -"_tokens".length).replaceAll("_", " ")}`);
    return `${parts.join(", ")}${d.tokens_estimated ? " (estimated)" : ""}`;
  }

  private cost(d: Details): string | null {
    if (d.kind !== "llm") return null;
    const own =
      d.cost_usd === null
        ? "unknown: no price for this model"
        : `${money(d.cost_usd)}${d.cost_source ? ` (${d.cost_source})` : ""}`;
    return d.recorded_cost_usd === null ? own : `${own}; recorded ${money(d.recorded_cost_usd)}`;
  }

  private body(row: number, body: Body): HTMLElement {
    const block = h("details.an-body") as HTMLDetailsElement;
    block.open = (body.chars <= FOLD_OVER || body.part === "response") && body.part !== "raw";
    const size = body.chars > 400 ? h("span.an-size", {}, `${count(body.chars)} characters`) : null;
    const role = body.role ?? body.kind;
    const summary = h(
      "summary",
      {},
      h(`span.an-role.an-role-${ROLES.has(role) ? role : "other"}`, {}, body.label),
      size,
    );
    let text = body.text;
    let whole = text.length >= body.chars;
    const pre = h("pre", {}, text);
    const rest = async (): Promise<void> => {
      while (!whole) {
        const piece = await this.connection.request<TextPiece>("text", {
          epoch: this.epoch(),
          row,
          part: body.part,
          offset: text.length,
        });
        text += piece.text;
        whole = piece.next_offset === null || piece.text.length === 0;
      }
    };
    // beside the fold's line and not in it, where a screen reader would not find it
    const copy = copyButton(`Copy ${body.label}`, () => rest().then(() => text));
    block.append(summary);
    const parsed = body.kind === "json" && whole ? parse(text) : undefined;
    block.append(parsed === undefined ? pre : jsonTree(parsed));
    if (!whole) {
      const more = h(
        "button.an-more",
        { type: "button" },
        `Show the other ${count(body.chars - text.length)} characters`,
      );
      more.addEventListener("click", async () => {
        more.textContent = "Reading …";
        try {
          await rest();
          pre.textContent = text;
          more.remove();
        } catch (error) {
          more.textContent = error instanceof Error ? error.message : String(error);
        }
      });
      block.append(more);
    }
    return h("div.an-body-of", {}, block, copy);
  }
}

/** A call is known by its model: its name says no more than what it is. */
function titleOf(d: Details): string {
  return (d.kind === "llm" ? d.model || d.name : d.name) || d.kind;
}

const KNOWN = new Set(["orchestrator", "agent", "llm", "tool"]);
const ROLES = new Set(["system", "user", "assistant", "tool"]);

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
