/** What a node says that stands for others: a run of like calls, or all that lies under it. */
import type { Layout } from "../layout/layout";
import { SumsKept } from "../layout/subtree-totals";
import type { Model } from "../model/model";
import { count, money, span } from "../ui/format";

export interface CollapsedLabel {
  /** Behind the name: "× 40" of like calls. */
  times: string;
  facts: string[];
  /** Failed spans that are out of sight. */
  errors: number;
}

export class CollapsedLabels {
  private readonly sums: SumsKept;

  constructor(
    private readonly model: Model,
    private readonly layout: Layout,
  ) {
    this.sums = new SumsKept(model);
  }

  /** Null for a node that stands for itself. */
  of(slot: number, now: number): CollapsedLabel | null {
    const { folds } = this.layout;
    const like = folds.likeOf(slot);
    if (like !== undefined) {
      const took = like.end - this.model.start[slot]!;
      return { times: `× ${like.count}`, facts: took > 0 ? [span(took)] : [], errors: 0 };
    }
    if (!folds.isFolded(slot)) return null;
    const sums = this.sums.of(slot, now);
    const facts = [`${count(sums.spans)} ${sums.spans === 1 ? "span" : "spans"}`];
    if (sums.cost > 0) facts.push(money(sums.cost, sums.atLeast));
    if (this.model.duration[slot]! > 0) facts.push(span(this.model.duration[slot]));
    if (sums.tokens > 0) facts.push(`${count(sums.tokens)} tokens`);
    return { times: "", facts, errors: sums.errors };
  }

  forget(): void {
    this.sums.clear();
  }
}
