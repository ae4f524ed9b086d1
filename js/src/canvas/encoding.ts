/** What color and size stand for. Pure: figures of the model in, colors and factors out, and the legend that explains them. */

import { NONE } from "../kernel/protocol";
import type { Model } from "../model/model";
import type { Theme } from "../theme";
import { count, money, shortModel, span } from "../ui/format";
import { brightness, hex, mix, parse, type Rgb } from "./color";

export const COLORS = ["kind", "agent", "model", "cost", "tokens", "duration", "status"] as const;
export const SIZES_BY = ["kind", "cost", "tokens", "duration"] as const;
export type ColorBy = (typeof COLORS)[number];
export type SizeBy = (typeof SIZES_BY)[number];
type Figure = "cost" | "tokens" | "duration";

export interface Legend {
  /** Named colors, in the order in which they are to be read; more names than colors share the last one. */
  names: { color: string; name: string }[];
  /** Of a figure: colors from the lowest to the highest, and what these are. */
  ramp: { colors: readonly string[]; low: string; high: string } | null;
}

/** Told apart by people who do not see red and green as others do, on white and on black (after Okabe and Ito). */
const NAMED = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a300", "#7f6dd6"] as const;
const OTHER = "#8a94a0";
const STATUS = ["#56b4e9", "#009e73", "#d55e00"] as const;
const STATUS_NAMES = ["running", "ok", "failed"] as const;
/** From little to much: brightness alone tells the order. On a dark ground much is bright, on a light one dark. */
const LITTLE_LIGHT: Rgb = [196, 217, 236];
const MUCH_LIGHT: Rgb = [70, 18, 92];
const LITTLE_DARK: Rgb = [52, 74, 104];
const MUCH_DARK: Rgb = [255, 224, 120];
const MIDDLE: Rgb = [190, 92, 128];
const STEPS = 9;
const LEAST_FACTOR = 0.55;
const MOST_FACTOR = 1.5;

export class Encoding {
  private color: ColorBy = "kind";
  private size: SizeBy = "kind";
  private readonly low: Record<Figure, number> = { cost: 0, tokens: 0, duration: 0 };
  private readonly high: Record<Figure, number> = { cost: 0, tokens: 0, duration: 0 };
  private seen = 0;
  private readonly names = new Map<string, number>();
  private ramp: readonly string[] = [];
  private rampOf: Theme | null = null;

  constructor(private readonly model: Model) {}

  get colorBy(): ColorBy {
    return this.color;
  }
  get sizeBy(): SizeBy {
    return this.size;
  }
  set(color: ColorBy, size: SizeBy): void {
    if (color !== this.color) this.names.clear();
    this.color = color;
    this.size = size;
    this.take(true);
  }

  /** Whether the color is that of a figure, of which the largest in a pixel shows. */
  get figure(): Figure | null {
    return isFigure(this.color) ? this.color : null;
  }

  /** Looks at what is new: what came since, and with `anew` everything. */
  take(anew: boolean): void {
    if (anew || this.seen > this.model.size) {
      this.seen = 0;
      for (const figure of ["cost", "tokens", "duration"] as const) this.low[figure] = this.high[figure] = 0;
    }
    if (this.figure === null && !isFigure(this.size)) return;
    for (; this.seen < this.model.size; this.seen++) this.widen(this.seen);
  }
  /** One span's figures have changed. */
  widen(slot: number): void {
    for (const figure of [this.color, this.size]) {
      if (!isFigure(figure)) continue;
      const value = figureOf(this.model, slot, figure);
      if (value > this.high[figure]) this.high[figure] = value;
      if (value > 0 && (this.low[figure] === 0 || value < this.low[figure])) this.low[figure] = value;
    }
  }

  /** The figure behind a color, 0 where it is unknown. */
  value(slot: number): number {
    return this.figure === null ? 0 : figureOf(this.model, slot, this.figure);
  }

  fill(slot: number, theme: Theme): string {
    const { model } = this;
    if (this.color === "kind") return theme.kinds[model.kindCode(slot)]!;
    if (this.color === "status") return STATUS[model.status[slot]!] ?? OTHER;
    if (this.figure !== null) return this.shade(this.value(slot), theme);
    const name = this.color === "agent" ? model.agent(slot) : model.modelName(slot);
    return name === "" ? OTHER : this.named(name);
  }
  ink(slot: number, theme: Theme): string {
    if (this.color === "kind") return theme.onKinds[this.model.kindCode(slot)]!;
    return inkOn(this.fill(slot, theme));
  }
  /** The color of a figure; what is unknown or nothing is grey. */
  shade(value: number, theme: Theme): string {
    const figure = this.figure;
    if (figure === null || !(value > 0)) return theme.line;
    const ramp = this.rampFor(theme);
    return ramp[Math.round(part(value, this.low[figure], this.high[figure]) * (STEPS - 1))]!;
  }

  /** By how much a node is larger or smaller than its kind: its area follows the figure. */
  factor(slot: number): number {
    if (!isFigure(this.size)) return 1;
    const most = this.high[this.size];
    const value = figureOf(this.model, slot, this.size);
    return most > 0 ? LEAST_FACTOR + (MOST_FACTOR - LEAST_FACTOR) * Math.sqrt(Math.min(1, value / most)) : 1;
  }

  legend(theme: Theme): Legend {
    const named = (colors: readonly string[], names: readonly string[]): Legend => ({
      names: names.map((name, i) => ({ color: colors[Math.min(i, colors.length - 1)]!, name })),
      ramp: null,
    });
    if (this.color === "kind") return named(theme.kinds, ["orchestrator", "agent", "LLM call", "tool call", "other"]);
    if (this.color === "status") return named(STATUS, STATUS_NAMES);
    const { figure } = this;
    if (figure !== null) {
      const words = {
        cost: (v: number) => money(v),
        tokens: (v: number) => count(v),
        duration: (v: number) => span(v),
      };
      const [low, high] = [words[figure](this.low[figure]), words[figure](this.high[figure])];
      return { names: [], ramp: this.high[figure] > 0 ? { colors: this.rampFor(theme), low, high } : null };
    }
    this.learnNames();
    const names = [...this.names.keys()];
    const short = this.color === "model" ? names.map(shortModel) : names;
    return named([...NAMED, OTHER], short);
  }

  /** Names get their colors in the order in which the model learned them, whatever is drawn first. */
  private learnNames(): void {
    const part = this.color === "agent" ? 2 : 4;
    for (const codes of this.model.classes) {
      const name = this.model.strings[codes?.[part] ?? 0] ?? "";
      if (name !== "" && !this.names.has(name)) this.names.set(name, this.names.size);
    }
  }
  private named(name: string): string {
    if (!this.names.has(name)) this.learnNames();
    return NAMED[this.names.get(name) ?? NAMED.length] ?? OTHER;
  }

  private rampFor(theme: Theme): readonly string[] {
    if (this.rampOf === theme) return this.ramp;
    this.rampOf = theme;
    const [little, much] = theme.dark ? [LITTLE_DARK, MUCH_DARK] : [LITTLE_LIGHT, MUCH_LIGHT];
    this.ramp = Array.from({ length: STEPS }, (_, i) => {
      const at = i / (STEPS - 1);
      return hex(at < 0.5 ? mix(little, MIDDLE, at * 2) : mix(MIDDLE, much, at * 2 - 1));
    });
    return this.ramp;
  }
}

export function figureOf(model: Model, slot: number, figure: Figure): number {
  if (figure === "cost") return model.cost[slot]! || 0;
  if (figure === "duration") return model.duration[slot]! || 0;
  const [input, output] = [model.input[slot]!, model.output[slot]!];
  return (input === NONE ? 0 : input) + (output === NONE ? 0 : output);
}

function isFigure(by: string): by is Figure {
  return by === "cost" || by === "tokens" || by === "duration";
}

/** Where a figure lies between lowest and highest, 0 to 1; by orders of magnitude, as costs and times spread. */
function part(value: number, low: number, high: number): number {
  if (!(high > low)) return 1;
  return Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
}

const inks = new Map<string, string>();
/** Black or white, whichever is read better on a color. */
function inkOn(color: string): string {
  let ink = inks.get(color);
  if (ink === undefined) {
    const known = parse(color);
    ink = known !== null && brightness(known) < 0.52 ? "#ffffff" : "#10151a";
    inks.set(color, ink);
  }
  return ink;
}
