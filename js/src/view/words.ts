/** Numbers and names as people read them, and texts cut to the width there is. */

export function money(usd: number, atLeast = false): string {
  const sign = atLeast ? "≥ " : "";
  if (!Number.isFinite(usd)) return "–";
  if (usd === 0) return `${sign}$0`;
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : usd >= 0.01 ? 3 : 5;
  return `${sign}$${usd.toFixed(digits)}`;
}

export function count(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  if (n >= 9_950_000) return `${Math.round(n / 1e6)} M`;
  if (n >= 999_500) return `${(n / 1e6).toFixed(1)} M`;
  if (n >= 99_950) return `${Math.round(n / 1e3)} k`;
  if (n >= 10_000) return `${(n / 1e3).toFixed(1)} k`;
  return String(n).replace(/\B(?=(\d{3})+$)/, ",");
}

/** Rounds down, so that no second has a thousand milliseconds and no minute sixty seconds. */
export function span(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 10) / 100).toFixed(2)} s`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const s = Math.floor(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function clock(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** The time of a run in a list: today's by the clock, others by their day too. */
export function when(ms: number | null | undefined, now = Date.now()): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const [date, today] = [new Date(ms), new Date(now)];
  if (date.toDateString() === today.toDateString()) return clock(ms);
  const year = date.getFullYear() === today.getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year} ${clock(ms).slice(0, 5)}`;
}

export function moment(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const date = new Date(ms);
  const day = `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
  return `${day} ${clock(ms)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** A model's name without what nobody reads twice: the vendor, the word before the family, the date; the family first. */
export function shortModel(name: string): string {
  const tail = name.slice(name.lastIndexOf("/") + 1);
  const short = tail
    .replace(/[-@]20\d{2}-?\d{2}-?\d{2}(-v\d.*)?$/, "")
    .replace(/^(anthropic\.)?claude-/, "")
    .replace(/-(latest|instruct|preview)$/, "")
    .replace(/^(\d(?:-\d)?)-([a-z]+)$/, "$2-$1");
  return short || name;
}

/** Measures once and remembers: texts repeat a thousand times in a picture. */
export class Fitter {
  private readonly known = new Map<string, string>();
  private readonly widths = new Map<string, number>();
  private readonly parted = new Map<string, readonly string[]>();

  /** The width of a text in the font that the context has. */
  width(context: CanvasRenderingContext2D, text: string, font: string): number {
    const key = `${font}\n${text}`;
    const found = this.widths.get(key);
    if (found !== undefined) return found;
    if (this.widths.size > 4_000) this.widths.clear();
    const { width } = context.measureText(text);
    this.widths.set(key, width);
    return width;
  }

  fit(context: CanvasRenderingContext2D, text: string, width: number, font: string): string {
    const key = `${font}\n${Math.round(width)}\n${text}`;
    const found = this.known.get(key);
    if (found !== undefined) return found;
    if (this.known.size > 4_000) this.known.clear();
    const flat = text.length > 200 ? text.slice(0, 200) : text;
    let fitted = flat;
    if (context.measureText(flat).width > width) {
      let low = 0;
      let high = flat.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (context.measureText(`${flat.slice(0, middle)}…`).width <= width) low = middle;
        else high = middle - 1;
      }
      const half = /[\ud800-\udbff]$/.test(flat.slice(0, low)) ? 1 : 0;
      fitted = low === half ? "" : `${flat.slice(0, low - half).trimEnd()}…`;
    }
    this.known.set(key, fitted);
    return fitted;
  }

  /** One line, or two where the name can be parted: at a mark between words, or where a small letter meets a large one. */
  lines(context: CanvasRenderingContext2D, text: string, width: number, font: string): readonly string[] {
    if (this.width(context, text, font) <= width) return [text];
    const key = `${font}\n${Math.round(width)}\n\n${text}`;
    const found = this.parted.get(key);
    if (found !== undefined) return found;
    if (this.parted.size > 4_000) this.parted.clear();
    let best: readonly string[] = [this.fit(context, text, width, font)];
    let most = 0;
    for (const { index, 0: mark } of text.matchAll(/[_\-. /:]|(?<=[a-z])(?=[A-Z])/g)) {
      const head = text.slice(0, index + mark.length).trimEnd();
      if (this.width(context, head, font) > width) break;
      const tail = this.fit(context, text.slice(index + mark.length), width, font);
      const shown = head.length + tail.length - (tail.endsWith("…") ? 1 : 0);
      if (tail === "" || shown <= most) continue;
      most = shown;
      best = [head, tail];
    }
    this.parted.set(key, best);
    return best;
  }
}
