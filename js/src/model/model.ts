/** What the page knows of the shown runs: one for each widget model; views, tables and pictures subscribe to it. */
import type { Connection } from "../kernel/connection";
import { Listeners } from "../kernel/connection";
import { type Following, type Run, unpack } from "../kernel/protocol";
import { type Link, type Message, type Place, Sync, type Target, TIMING, type Timing } from "../kernel/sync";
import { SpanColumns } from "./span-columns";

export type { Link } from "../kernel/sync";

export interface Delta {
  /** Everything is new: drop what was derived from the spans. */
  reset: boolean;
  /** The first new slot; all slots from here to model.size are new. */
  added: number;
  /** Slots that were there before and differ now (fields, parent, alive); each once. */
  changed: Int32Array;
  runs: boolean;
  status: boolean;
  link: boolean;
}

const NOTHING = new Int32Array(0);

export class Model extends SpanColumns implements Target {
  readonly place: Place = { epoch: "", scope: -1, revision: -1 };
  /** +1 with every applied message. */
  version = 0;
  runs = new Map<string, Run>();
  /** The traces of this scope; the first is the one looked at, the others are branches and experiments beside it. */
  shown: string[] = [];
  status_: Following = { live: false, following: "off", problems: 0, sentence: "" };
  private readonly subscribers = new Listeners<[Delta]>();
  private readonly sync: Sync;

  constructor(
    readonly connection: Connection,
    timing: Timing = TIMING,
  ) {
    super();
    this.sync = new Sync(connection, this, timing);
  }

  get epoch(): string {
    return this.place.epoch;
  }
  get scope(): number {
    return this.place.scope;
  }
  get revision(): number {
    return this.place.revision;
  }
  get link(): Link {
    return this.sync.link;
  }

  subscribe(cb: (delta: Delta) => void): () => void {
    return this.subscribers.add(cb);
  }

  close(): void {
    this.sync.close();
    this.subscribers.clear();
  }

  words(): { strings: number; classes: number } {
    return { strings: this.strings.length, classes: this.classes.length };
  }

  apply(messages: Message[]): boolean {
    const { header } = messages[0] as Message;
    const snapshot = header.from < 0;
    const stranger = header.epoch !== this.place.epoch;
    const puts = messages.map((message) => unpack(message.header, message.buffers));
    if (stranger) {
      if (header.strings[0] > 1 || header.classes[0] > 0) return false;
      this.forgetWords();
      this.runs.clear();
    }
    for (const message of messages) if (!this.learn(message.header.strings, message.header.classes)) return false;
    if (snapshot) this.clear();
    const { added, changed } = this.merge(puts);
    this.place.epoch = header.epoch;
    this.place.scope = header.scope;
    this.place.revision = header.to;
    this.version++;
    const runs = this.takeRuns(messages, snapshot);
    const status = this.takeStatus(messages);
    this.tell({ reset: snapshot, added, changed: snapshot ? NOTHING : changed, runs, status, link: false });
    return true;
  }

  linkChanged(): void {
    this.tell({ reset: false, added: this.size, changed: NOTHING, runs: false, status: false, link: true });
  }

  private takeRuns(messages: Message[], snapshot: boolean): boolean {
    let told = snapshot;
    for (const { header } of messages) {
      for (const run of header.runs) this.runs.set(run.trace_id, run);
      told ||= header.runs.length > 0;
    }
    this.shown = (messages[messages.length - 1] as Message).header.shown;
    return told;
  }

  private takeStatus(messages: Message[]): boolean {
    let told = false;
    for (const { header } of messages) {
      if (header.status === null) continue;
      this.status_ = header.status;
      told = true;
    }
    return told;
  }

  private tell(delta: Delta): void {
    this.subscribers.call(delta);
  }
}
