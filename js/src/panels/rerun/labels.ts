/** What is said about a quote, an answer and a try. */
import { clock, count, money, span } from "../../ui/format";
import type { Entry, Piece, Quote } from "./protocol";

export function quoteWords(quote: Quote, left: number): string {
  const kept = quote.cached_calls > 0 ? `${quote.cached_calls} kept already` : "";
  if (quote.calls === 0)
    return `Nothing to pay: ${quote.cached_calls === 1 ? "this answer is" : "these answers are"} kept already.`;
  const calls = `${quote.calls} ${quote.calls === 1 ? "call" : "calls"}`;
  const tokens = `≈ ${count(quote.input_tokens)} tokens in, ${count(quote.output_tokens_low)} out`;
  return [calls, kept, tokens, dollars(quote), `${money(left)} left`].filter(Boolean).join(" · ");
}

function dollars(quote: Quote): string {
  const { cost_low_usd: low, cost_high_usd: high } = quote;
  if (low === null && high === null) return "price unknown";
  if (low === null) return `at most ${money(high!)}`;
  return high === null ? `from ${money(low)}` : `${money(low)} to ${money(high)} at most`;
}

export function answerWords(piece: Piece): string {
  if (!piece.done)
    return piece.text === "" ? "waiting for the first word …" : `${count(piece.text.length)} characters so far …`;
  const alike =
    piece.similarity === null || piece.similarity === undefined ? "" : `${Math.round(piece.similarity * 100)} % alike`;
  const tokens =
    piece.input_tokens == null && piece.output_tokens == null
      ? ""
      : `${count(piece.input_tokens)} in, ${count(piece.output_tokens)} out`;
  const cost = piece.cost_usd == null ? "price unknown" : piece.from_cache ? "kept answer, $0" : money(piece.cost_usd);
  const took = piece.duration_ms == null ? "" : span(piece.duration_ms);
  const tries = (piece.attempts ?? 1) > 1 ? `${piece.attempts} attempts` : "";
  return [alike, tokens, cost, took, tries, piece.finish_reason].filter(Boolean).join(" · ");
}

/** The model is told where it is another than the recorded one. */
export function entryWords(entry: Entry, recorded: string): string {
  const who = entry.try === null ? "from Python or earlier" : `#${entry.try}`;
  const what = entry.changed.filter((name) => name !== "n").join(", ") || (entry.try === null ? "" : "unchanged");
  const model = entry.model === recorded ? "" : entry.model;
  const many = entry.answers > 1 ? `${entry.answers} answers` : "";
  const cost = entry.cost_usd === null ? "" : money(entry.cost_usd);
  const bad = entry.failed > 0 ? `${entry.failed} failed` : "";
  const state = entry.state === "done" ? "" : entry.state;
  return [who, clock(entry.started), what, model, many, cost, bad, state].filter(Boolean).join(" · ");
}

/** An answer's text with the tools it asks for, which are a part of what it says. */
export function wholeText(text: string, calls: string): string {
  return calls === "" ? text : `${text}${text === "" ? "" : "\n\n"}Tools asked for:\n${calls}`;
}
