/** What the kernel answers about tries (`anton_notebook/trying`); snake_case as on the wire. */

export const PARTS = ["prompt", "system", "messages", "parameters", "tools"] as const;
export type Part = (typeof PARTS)[number];

/** The request of a call, as texts that can be edited; null where there is nothing to change. */
export interface Opened {
  allowed: boolean;
  how_to_allow: string;
  provider: string;
  model: string;
  texts: Record<Part, string | null>;
  system_is_json: boolean;
  missing: string[];
  response: string;
  tool_calls: string;
  error: string | null;
  models: string[];
  providers: string[];
  tries: Entry[];
}

export interface Quote {
  calls: number;
  cached_calls: number;
  input_tokens: number;
  output_tokens_low: number;
  output_tokens_high: number | null;
  cost_low_usd: number | null;
  cost_high_usd: number | null;
  seconds: number;
  unpriced_models: string[];
}

export interface Quoted {
  quote: Quote | null;
  problem: string | null;
  python: string | null;
  left_usd: number;
  assumed?: string[];
}

/** A try of this graph (`try`), or a sweep that stands in the traces (`trace_id`). */
export interface Entry {
  try: number | null;
  trace_id: string | null;
  started: number | null;
  state: JobState;
  changed: string[];
  answers: number;
  failed: number;
  model: string;
  cost_usd: number | null;
}

export type JobState = "running" | "done" | "stopped" | "failed";

/** A piece of an answer from `offset` on; with `done` the whole of it and its figures. */
export interface Piece {
  place: number;
  repeat: number;
  offset: number;
  text: string;
  done?: true;
  tool_calls?: string;
  error?: string | null;
  from_cache?: boolean;
  attempts?: number;
  finish_reason?: string | null;
  model?: string;
  similarity?: number | null;
  cost_usd?: number | null;
  duration_ms?: number | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
}

export interface Looked {
  state: JobState;
  error: string | null;
  answers: Piece[];
  python?: string;
  left_usd?: number;
}
