/**
 * A kernel's side in memory: holds spans, numbers changes and answers requests as the Python package does.
 * For tests and for the page that shows the view without a kernel; no part of the bundle.
 */
import {
  type ChangesHeader,
  type ClassCodes,
  type Following,
  NONE,
  type Puts,
  pack,
  type Run,
} from "../kernel/protocol";
import { type Channel, FakeConnection } from "./connection";

export type { Channel } from "./connection";

export interface Span {
  trace: string;
  kind: string;
  agent: string;
  name: string;
  model: string;
  /** Row of the parent, or null; it may come later. */
  parent: number | null;
  start: number;
  /** Milliseconds; NaN while it runs. */
  duration: number;
  cost: number;
  input: number;
  output: number;
  status: number;
  flags: number;
  provenance: number;
  mark?: number;
}

const soon: Channel = (deliver) => queueMicrotask(deliver);
const SNAPSHOT_ROWS = 25_000;

export class FakeKernel {
  epoch = "fake0001";
  scope = 1;
  revision = 0;
  readonly spans: (Span | null)[] = [];
  runs: Run[] = [];
  shown: string[] = [];
  status: Following = { live: true, following: "inotify", problems: 0, sentence: "" };
  traits = new Map<string, unknown>();
  /** A busy kernel answers nothing until it is idle again; what was asked waits. */
  busy = false;
  requests: { op: string; client: string }[] = [];
  /** What else it is asked, by op. */
  answers: Record<string, (args: Record<string, unknown>) => unknown> = {};
  details: (row: number) => unknown = (row) => ({ row, bodies: [], problems: [] });
  snapshotRows = SNAPSHOT_ROWS;

  private readonly changedAt: number[] = [];
  private readonly goneLog: { revision: number; row: number }[] = [];
  private readonly codes = new Map<string, number>([["", 0]]);
  private readonly strings: string[] = [""];
  private readonly classOf: number[] = [];
  private readonly classCodes = new Map<string, number>();
  private readonly classes: ClassCodes[] = [];
  private readonly connections = new Map<string, FakeConnection>();
  private readonly waiting: (() => void)[] = [];
  private sent = { revision: 0, strings: 1, classes: 0 };

  /** A new span, or a new state of `row`. Nothing is sent before `flush`. */
  put(span: Span, row = this.spans.length): number {
    this.spans[row] = span;
    this.changedAt[row] = this.revision + 1;
    this.classOf[row] = this.classCode(span);
    return row;
  }

  gone(row: number): void {
    this.spans[row] = null;
    this.changedAt[row] = 0;
    this.goneLog.push({ revision: this.revision + 1, row });
  }

  /** Ends a revision and sends what is new to everybody who said hello. */
  flush(): void {
    this.revision++;
    const from = this.sent.revision;
    const messages = this.messages(null, from, this.sent.strings, this.sent.classes);
    this.sent = { revision: this.revision, strings: this.strings.length, classes: this.classes.length };
    for (const connection of this.connections.values()) if (connection.attached) this.send(connection, messages);
  }

  /** Another choice of traces: the rows that were sent count no more. */
  show(shown: string[]): void {
    this.shown = shown;
    this.scope++;
    this.revision++;
    this.sent = { revision: this.revision, strings: this.strings.length, classes: this.classes.length };
    for (const connection of this.connections.values()) {
      if (connection.attached) this.send(connection, this.messages(connection.client, -1, 0, 0));
    }
  }

  restart(): void {
    this.epoch = `fake${Math.floor(1e6 + this.revision * 7919)}`;
    this.scope = 1;
    this.sent = { revision: this.revision, strings: this.strings.length, classes: this.classes.length };
  }

  connect(client = `page${this.connections.size}`, down: Channel = soon, up: Channel = soon): FakeConnection {
    const connection = new FakeConnection(this, client, down, up);
    this.connections.set(client, connection);
    return connection;
  }

  setBusy(busy: boolean): void {
    this.busy = busy;
    if (!busy) for (const run of this.waiting.splice(0)) run();
  }

  /** @returns the value of the answer; throws what becomes an error answer. */
  receive(
    connection: FakeConnection,
    op: string,
    args: Record<string, unknown>,
    answer: (run: () => unknown) => void,
  ): void {
    const run = (): void => answer(() => this.handle(connection, op, args));
    if (this.busy) this.waiting.push(run);
    else run();
  }

  /** What a mirror in step must hold, by row, in the order of rows. */
  state(): Map<number, Span> {
    const found = new Map<number, Span>();
    this.spans.forEach((span, row) => {
      if (span !== null && this.shows(span)) found.set(row, span);
    });
    return found;
  }

  private handle(connection: FakeConnection, op: string, args: Record<string, unknown>): unknown {
    this.requests.push({ op, client: connection.client });
    if (op === "hello") {
      connection.attached = true;
      const known = args.epoch === this.epoch;
      const same = known && args.scope === this.scope;
      const [strings, classes] = known ? [Number(args.strings), Number(args.classes)] : [0, 0];
      const from = same ? Number(args.revision) : -1;
      this.send(connection, this.messages(connection.client, from, strings, classes));
      return { subshell: true };
    }
    if (op === "alive" || op === "bye") {
      if (op === "bye") connection.attached = false;
      return {};
    }
    if (op === "select") {
      this.traits.delete("_selected_rows");
      this.setTrait("_selected_row", args.row ?? -1);
      this.setTrait("selected_span_id", args.row === null ? null : `s${String(args.row)}`);
      return {};
    }
    if (op === "show") {
      this.setTrait("trace_id", args.trace_id);
      return {};
    }
    if (op === "select_many") {
      const bytes = Uint8Array.from(atob(String(args.rows)), (one) => one.charCodeAt(0));
      const packed = new DataView(bytes.buffer);
      this.traits.set("_selected_rows", packed);
      this.setTrait("_selected_row", packed.getInt32(4, true));
      return {};
    }
    if (op === "details") return this.details(Number(args.row));
    const answers = this.answers[op];
    if (answers !== undefined) return answers(args);
    throw new Error(`The kernel knows no "${op}".`);
  }

  setTrait(trait: string, value: unknown): void {
    this.traits.set(trait, value);
    for (const connection of this.connections.values()) connection.traitChanged(trait);
  }

  private send(connection: FakeConnection, messages: { header: ChangesHeader; buffers: DataView[] }[]): void {
    for (const { header, buffers } of messages)
      connection.down(() => connection.deliver(structuredClone(header), buffers));
  }

  private messages(client: string | null, from: number, strings: number, classes: number) {
    const rows: number[] = [];
    for (let row = 0; row < this.spans.length; row++) {
      const span = this.spans[row];
      if (span && (from < 0 || (this.changedAt[row] as number) > from) && this.shows(span)) rows.push(row);
    }
    const gone = from < 0 ? [] : this.goneLog.filter((one) => one.revision > from).map((one) => one.row);
    const parts = from < 0 ? Math.max(1, Math.ceil(rows.length / this.snapshotRows)) : 1;
    const size = from < 0 ? this.snapshotRows : rows.length;
    return Array.from({ length: parts }, (_, part) => {
      const first = part === 0;
      const some = rows.slice(part * size, (part + 1) * size);
      const header: ChangesHeader = {
        type: "changes",
        epoch: this.epoch,
        scope: this.scope,
        for: client,
        from,
        to: this.revision,
        part,
        parts,
        strings: first ? [strings, ...this.strings.slice(strings)] : [this.strings.length],
        classes: first ? [classes, ...this.classes.slice(classes)] : [this.classes.length],
        runs: first ? this.runs : [],
        shown: this.shown,
        status: first ? this.status : null,
        puts: some.length,
        gone: first ? gone.length : 0,
      };
      return { header, buffers: pack(this.columns(some, first ? gone : [])) };
    });
  }

  private columns(rows: number[], gone: number[]): Puts {
    const spans = rows.map((row) => this.spans[row] as Span);
    const of = <T>(pick: (span: Span) => T): T[] => spans.map(pick);
    return {
      n: rows.length,
      start: Float64Array.from(of((s) => s.start)),
      row: Uint32Array.from(rows),
      parent: Uint32Array.from(of((s) => s.parent ?? NONE)),
      cls: Uint32Array.from(rows, (row) => this.classOf[row] as number),
      duration: Float32Array.from(of((s) => s.duration)),
      cost: Float64Array.from(of((s) => s.cost)),
      input: Uint32Array.from(of((s) => s.input)),
      output: Uint32Array.from(of((s) => s.output)),
      status: Uint8Array.from(of((s) => s.status)),
      flags: Uint8Array.from(of((s) => s.flags)),
      provenance: Uint8Array.from(of((s) => s.provenance)),
      mark: Uint8Array.from(of((s) => s.mark ?? 0)),
      gone: Uint32Array.from(gone),
    };
  }

  private shows(span: Span): boolean {
    return this.shown.length === 0 || this.shown.includes(span.trace);
  }

  private classCode(span: Span): number {
    const key = JSON.stringify([span.trace, span.kind, span.agent, span.name, span.model]);
    let code = this.classCodes.get(key);
    if (code === undefined) {
      code = this.classes.length;
      this.classCodes.set(key, code);
      const words = [span.trace, span.kind, span.agent, span.name, span.model].map((text) => this.stringCode(text));
      this.classes.push(words as ClassCodes);
    }
    return code;
  }

  private stringCode(text: string): number {
    let code = this.codes.get(text);
    if (code === undefined) {
      code = this.strings.length;
      this.codes.set(text, code);
      this.strings.push(text);
    }
    return code;
  }
}
