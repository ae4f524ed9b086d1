/** What the kernel answers about replays (`anton_notebook/forking`); snake_case as on the wire. */
import type { Quote } from "../rerun/protocol";

export const WORDS = ["executed", "inferred", "stale", "reused"] as const;
export type Word = (typeof WORDS)[number];

export interface Reason {
  row: number;
  title: string;
  provenance: Word;
  reason: string;
}

export interface Planned {
  allowed: boolean;
  how_to_allow: string;
  caution: string;
  problem: string | null;
  quote: Quote | null;
  /** The recorded prompt; null where there is none to change. */
  prompt: string | null;
  rows: Record<Word, number[]>;
  reasons: Reason[];
  left_usd: number;
}

export interface Watched {
  state: "running" | "done" | "stopped" | "failed";
  error: string | null;
  trace_id: string;
  done: number;
  total: number;
  counts: Record<Word, number>;
  failed: number;
  first_error: string | null;
  changed: number;
  cost_usd: number;
  left_usd: number;
  notes: string[];
}
