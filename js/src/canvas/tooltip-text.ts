/** What the tooltip says of a span; and why it failed, which is text, and text stays with the kernel until somebody looks. */
import type { Connection } from "../kernel/connection";
import { NONE, Status } from "../kernel/protocol";
import type { Model } from "../model/model";
import { count, money, span } from "../ui/format";
import { markSign, markWord } from "../ui/span-marks";

const MOST_LETTERS = 240;
/** Of a replay, by code: how this answer came about. */
const PROVENANCE: Record<number, string> = {
  1: "reused from the recording",
  2: "executed anew",
  3: "executed on a rebuilt request",
  4: "out of date: not sent again",
};

export interface About {
  title: string;
  lines: string[];
  bad: string | null;
}

export class TooltipTexts {
  private epoch = "";
  private readonly known = new Map<number, string>();

  constructor(
    private readonly model: Model,
    private readonly connection: Connection,
  ) {}

  /** What is known now; `more` is called when there is a reason that was not known. */
  about(slot: number, more: () => void): About {
    const { model } = this;
    const kind = model.kind(slot);
    const agent = model.agent(slot);
    const lines = [agent && kind !== "agent" && kind !== "orchestrator" ? `${kind} of ${agent}` : kind];
    const running = model.status[slot] === Status.running;
    lines.push(
      running ? `running for ${span(Math.max(0, Date.now() - model.start[slot]!))}` : span(model.duration[slot]),
    );
    if (kind === "llm") {
      const known = (n: number): string => (n === NONE ? "?" : count(n));
      const tokens = `${known(model.input[slot]!)} tokens in, ${known(model.output[slot]!)} out`;
      lines.push(`${tokens}, ${money(model.cost[slot]!)}`);
    }
    const origin = PROVENANCE[model.provenance[slot]!];
    if (origin !== undefined) lines.push(origin);
    const mark = model.mark[slot]!;
    if (mark > 0) lines.push(`${markSign(mark)} marked ${markWord(mark)}`);
    const title = (kind === "llm" && model.modelName(slot)) || model.name(slot) || kind;
    return { title, lines, bad: model.status[slot] === Status.error ? this.reason(slot, more) : null };
  }

  private reason(slot: number, more: () => void): string {
    if (this.epoch !== this.model.epoch) this.known.clear();
    this.epoch = this.model.epoch;
    const row = this.model.row[slot]!;
    const found = this.known.get(row);
    if (found === undefined) {
      this.known.set(row, "failed");
      void this.ask(row, more);
    }
    return found ?? "failed";
  }

  private async ask(row: number, more: () => void): Promise<void> {
    const { epoch } = this.model;
    try {
      const { error } = await this.connection.request<{ error: string | null }>("details", { epoch, row });
      if (this.epoch !== epoch) return;
      this.known.set(row, error ? error.slice(0, MOST_LETTERS) : "failed; no reason was recorded");
      more();
    } catch {
      this.known.delete(row);
    }
  }
}
