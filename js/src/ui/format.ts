/** Numbers, times and model names as text. */

export function money(usd: number, atLeast = false): string {
  const sign = atLeast ? "≥ " : "";
  if (!Number.isFinite(usd)) return "–";
  if (usd === 0) return `${sign}$0`;
  const digits = usd >= 100 ? 0 : usd >= 1 ? 2 : usd >= 0.01 ? 3 : 5;
  const text = usd.toFixed(digits);
  if (Number(text) === 0) return `${sign}$${usd.toExponential(1)}`;
  return `${sign}$${usd >= 1000 ? text.replace(/\B(?=(\d{3})+$)/g, ",") : text}`;
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
