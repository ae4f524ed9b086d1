/**
 * What goes over the wire, with the names it has there (the mirror of anton_notebook/widget/protocol.py).
 *
 * Spans travel as columns: one binary buffer, little-endian, the columns one after another, 40 bytes a span.
 */

export const NONE = 0xffffffff;
export const SPAN_BYTES = 44;

export const Status = { running: 0, ok: 1, error: 2 } as const;
export const Flag = { derived: 1, pending: 2, estimated: 4, sourceGone: 8, unpriced: 16 } as const;
export const Provenance = { none: 0, reused: 1, executed: 2, inferred: 3, stale: 4 } as const;

/** trace, kind, agent, name, model: each the code of an interned string. */
export type ClassCodes = [trace: number, kind: number, agent: number, name: number, model: number];

export interface Run {
  trace_id: string;
  name: string;
  origin: string;
  original_trace_id: string | null;
  /** The call that an experiment's answers are about, as the kernel's row. */
  original_row: number | null;
  status: string;
  /** Milliseconds since 1970 UTC, or null. */
  start: number | null;
  end: number | null;
  spans: number;
  llm_calls: number;
  tool_calls: number;
  agents: number;
  errors: number;
  /** Null where no call's tokens are known. */
  input_tokens: number | null;
  output_tokens: number | null;
  /** The sum of the priced calls in USD; null when none is priced. */
  cost_usd: number | null;
  unpriced_calls: number;
  /** How far the run is, for people: "phase 1 of 2, 3 of 4 subtasks"; empty where nothing says so. */
  progress: string;
  /** In order of time. */
  phases: Phase[];
  /** Checkpoints, in order of time. */
  marks: Mark[];
}

export interface Phase {
  name: string;
  /** Milliseconds since 1970 UTC; the end is null while the phase goes on. */
  start: number;
  end: number | null;
  /** `stopped`: left in the middle, and nothing says why. */
  status: "running" | "ok" | "error" | "stopped";
}

export interface Mark {
  name: string;
  time: number;
}

export interface Following {
  live: boolean;
  following: "inotify" | "polling" | "off";
  problems: number;
  sentence: string;
}

export interface ChangesHeader {
  type: "changes";
  epoch: string;
  scope: number;
  for: string | null;
  from: number;
  to: number;
  part: number;
  parts: number;
  strings: [first: number, ...texts: string[]];
  classes: [first: number, ...classes: ClassCodes[]];
  runs: Run[];
  shown: string[];
  status: Following | null;
  puts: number;
  gone: number;
}

export interface Request {
  type: "request";
  id: string;
  op: string;
  [argument: string]: unknown;
}

export interface WireError {
  type: string;
  message: string;
}

export type Answer =
  | { type: "answer"; id: string; ok: true; value: unknown }
  | { type: "answer"; id: string; ok: false; error: WireError };

export interface Body {
  part: string;
  label: string;
  role: string | null;
  kind: "text" | "json";
  text: string;
  chars: number;
}

export interface Details {
  row: number;
  span_id: string;
  trace_id: string;
  kind: string;
  agent: string;
  name: string;
  status: string;
  start: number | null;
  end: number | null;
  duration_ms: number | null;
  provider: string | null;
  model: string | null;
  input_tokens: number | null;
  output_tokens: number | null;
  cached_tokens: number | null;
  tokens_estimated: boolean;
  /** The final count of output tokens never came. */
  tokens_lower_bound: boolean;
  /** Parts of input and output, and what changes their rate, by the names of the frames' columns; only what is reported. */
  usage: Record<string, number | string>;
  cost_usd: number | null;
  recorded_cost_usd: number | null;
  cost_source: string | null;
  finish_reason: string | null;
  error: string | null;
  source: string | null;
  line: number | null;
  depth: number | null;
  /** What the user wrote about it; empty where there is nothing. */
  note: string;
  mark: string;
  /** The Python that fetches this span. */
  python: string;
  bodies: Body[];
  problems: string[];
}

/** One piece of a long text, the answer to `text`. */
export interface TextPiece {
  text: string;
  offset: number;
  next_offset: number | null;
  chars: number;
}

/** The columns of one message: views into its buffer where that is aligned, else into one copy of it. */
export interface Puts {
  n: number;
  start: Float64Array;
  cost: Float64Array;
  row: Uint32Array;
  parent: Uint32Array;
  cls: Uint32Array;
  duration: Float32Array;
  input: Uint32Array;
  output: Uint32Array;
  status: Uint8Array;
  flags: Uint8Array;
  provenance: Uint8Array;
  mark: Uint8Array;
  gone: Uint32Array;
}

const LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** @throws Error when the buffers are not as long as the header says. */
export function unpack(header: Pick<ChangesHeader, "puts" | "gone">, buffers: readonly DataView[]): Puts {
  const n = header.puts;
  // A buffer of no bytes is left out by the sender, so the gone rows stand first when there are no puts.
  const puts = block(n > 0 ? buffers[0] : undefined, n * SPAN_BYTES, "puts");
  const gone = block(
    header.gone > 0 ? buffers[n > 0 || buffers.length > 1 ? 1 : 0] : undefined,
    header.gone * 4,
    "gone",
  );
  if (!LITTLE_ENDIAN) swapColumns(puts, gone, n);
  let at = puts.byteOffset;
  const take = (bytes: number): number => {
    const from = at;
    at += n * bytes;
    return from;
  };
  const { buffer } = puts;
  return {
    n,
    start: new Float64Array(buffer, take(8), n),
    cost: new Float64Array(buffer, take(8), n),
    row: new Uint32Array(buffer, take(4), n),
    parent: new Uint32Array(buffer, take(4), n),
    cls: new Uint32Array(buffer, take(4), n),
    duration: new Float32Array(buffer, take(4), n),
    input: new Uint32Array(buffer, take(4), n),
    output: new Uint32Array(buffer, take(4), n),
    status: new Uint8Array(buffer, take(1), n),
    flags: new Uint8Array(buffer, take(1), n),
    provenance: new Uint8Array(buffer, take(1), n),
    mark: new Uint8Array(buffer, take(1), n),
    gone: new Uint32Array(gone.buffer, gone.byteOffset, header.gone),
  };
}

/** Packs columns as the kernel does; for tests and for pages without a kernel. */
export function pack(puts: Puts): DataView[] {
  const { n } = puts;
  const bytes = new Uint8Array(n * SPAN_BYTES);
  let at = 0;
  for (const column of [
    puts.start,
    puts.cost,
    puts.row,
    puts.parent,
    puts.cls,
    puts.duration,
    puts.input,
    puts.output,
    puts.status,
    puts.flags,
    puts.provenance,
    puts.mark,
  ]) {
    bytes.set(new Uint8Array(column.buffer, column.byteOffset, column.byteLength), at);
    at += column.byteLength;
  }
  const gone = puts.gone.slice();
  if (!LITTLE_ENDIAN) swapColumns(bytes, new Uint8Array(gone.buffer), n);
  const buffers: DataView[] = [];
  if (n > 0) buffers.push(new DataView(bytes.buffer));
  if (gone.length > 0) buffers.push(new DataView(gone.buffer));
  return buffers;
}

function block(view: DataView | undefined, bytes: number, what: string): Uint8Array<ArrayBuffer> {
  if (bytes === 0) return new Uint8Array(0);
  const found = view?.byteLength ?? 0;
  if (view === undefined || found !== bytes) {
    throw new Error(`The message's ${what} have ${found} bytes where its header announces ${bytes}.`);
  }
  const aligned = view.byteOffset % 8 === 0 && view.buffer instanceof ArrayBuffer;
  const bytesOf = new Uint8Array(view.buffer, view.byteOffset, bytes);
  return aligned && LITTLE_ENDIAN ? (bytesOf as Uint8Array<ArrayBuffer>) : new Uint8Array(bytesOf);
}

function swapColumns(puts: Uint8Array, gone: Uint8Array, n: number): void {
  for (let i = 0; i < n * 2; i++) puts.subarray(i * 8, i * 8 + 8).reverse();
  for (let i = n * 4; i < n * 10; i++) puts.subarray(i * 4, i * 4 + 4).reverse();
  for (let i = 0; i < gone.length; i += 4) gone.subarray(i, i + 4).reverse();
}
