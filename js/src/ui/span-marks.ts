/** The marks that people give to spans: their words and signs, by the number that crosses the wire. Told apart without color. */
export const MARKS = ["good", "bad", "question", "important"] as const;
export const SIGNS = ["✓", "✗", "?", "★"] as const;

/** The word of a mark; empty where there is none. */
export function markWord(mark: number | undefined): string {
  return MARKS[(mark ?? 0) - 1] ?? "";
}
export function markSign(mark: number | undefined): string {
  return SIGNS[(mark ?? 0) - 1] ?? "";
}
