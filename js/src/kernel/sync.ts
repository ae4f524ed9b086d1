/**
 * Keeps a copy in step with the kernel. Messages may be lost, doubled or turned round on their way (a Jupyter server
 * drops what a noisy cell makes too much), so every message says from which revision to which it leads. What does not
 * join is kept for a while, and `hello` asks for what lies between.
 */
import type { Connection } from "./connection";
import { type Message, MessageAssembler } from "./message-assembler";
import type { ChangesHeader } from "./protocol";

export type { Message } from "./message-assembler";

/**
 * connecting: no snapshot yet; live: in step with the kernel; waiting: the kernel does not answer now (a busy cell);
 * lost: nobody can answer ("not connected: run the cell again"); saved: nobody can, and what is shown was kept in the
 * notebook. What is known stays on the screen in every state.
 */
export type Link = "connecting" | "live" | "waiting" | "lost" | "saved";

export interface Place {
  epoch: string;
  scope: number;
  revision: number;
}

export interface Target {
  readonly place: Readonly<Place>;
  /** Counts of the strings and classes known in this epoch. */
  words(): { strings: number; classes: number };
  /** All of `messages` at once, parts of one change; false when it cannot be applied to what is known. */
  apply(messages: Message[]): boolean;
  linkChanged(): void;
}

export interface Timing {
  /** Pauses before a hello is said again, in ms; the last one stays. */
  retry: readonly number[];
  /** After this quiet time it is asked once whether anything was missed. */
  quiet: number;
  alive: number;
}

export const TIMING: Timing = {
  retry: [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000],
  quiet: 1_500,
  alive: 10_000,
};

const KEPT_MESSAGES = 64;
/** So many answers without a message mean that nothing is missing. */
const ANSWERS_IN_VAIN = 3;

type Timer = ReturnType<typeof setTimeout>;

export class Sync {
  link: Link = "connecting";
  private ahead: Message[] = [];
  private readonly parts = new MessageAssembler();
  private inVain = 0;
  /** Something is known to be missing. */
  private behind = true;
  private asking = 0;
  private attempt = 0;
  private retryTimer: Timer | undefined;
  private quietTimer: Timer | undefined;
  private aliveTimer: ReturnType<typeof setInterval> | undefined;
  private lastAlive = 0;
  private aliveWaits = false;
  private closed = false;
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly connection: Connection,
    private readonly target: Target,
    private readonly timing: Timing = TIMING,
  ) {
    this.undo.push(connection.onChanges((header, buffers) => this.receive({ header, buffers })));
    this.undo.push(connection.onConnected((connected) => this.onConnected(connected)));
    if (typeof document !== "undefined") {
      const look = (): void => this.onVisibility();
      document.addEventListener("visibilitychange", look);
      this.undo.push(() => document.removeEventListener("visibilitychange", look));
    }
    if (connection.connected()) this.onVisibility();
    else this.link = "lost";
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const off of this.undo.splice(0)) off();
    this.stopTimers();
    this.ahead = [];
    this.parts.clear();
    if (this.connection.connected()) this.connection.request("bye", this.me(), 5_000).catch(() => undefined);
  }

  private me(): { client: string } {
    return { client: this.connection.client };
  }

  private receive(message: Message): void {
    const { header } = message;
    if (this.closed || (header.for !== null && header.for !== this.connection.client)) return;
    const whole = this.parts.collect(message);
    if (whole !== null) this.consider(whole);
    // A snapshot that is on its way is no reason to ask for it again.
    else if (this.behind) this.askLater();
  }

  private consider(messages: Message[]): void {
    const { header } = messages[0] as Message;
    const { epoch, scope, revision } = this.target.place;
    const ours = header.epoch === epoch;
    if (ours && header.scope < scope) return;
    const moved = !ours || header.scope > scope;
    if (header.from < 0) {
      if (moved || header.to > revision) this.take(messages);
      else this.confirmed(header);
    } else if (moved) this.fellBehind();
    else if (header.from > revision) {
      if (messages.length === 1) this.ahead.push(messages[0] as Message);
      if (this.ahead.length > KEPT_MESSAGES) this.ahead.shift();
      this.fellBehind();
    } else if (header.to > revision || (header.from === revision && header.status !== null)) this.take(messages);
    else this.confirmed(header);
  }

  private take(messages: Message[]): void {
    const before = this.target.place.revision;
    let applied = false;
    try {
      applied = this.target.apply(messages);
    } catch (error) {
      // A damaged message counts as a lost one.
      console.warn("anton_notebook: a message could not be read and is asked for again.", error);
    }
    if (!applied) {
      this.fellBehind();
      return;
    }
    this.inStep();
    const { epoch, scope, revision } = this.target.place;
    if (revision !== before) this.askWhenQuiet();
    this.ahead = this.ahead.filter(
      ({ header }) => header.epoch === epoch && header.scope === scope && header.to > revision,
    );
    const next = this.ahead.find(({ header }) => header.from <= revision);
    if (next !== undefined) this.take([next]);
    else if (this.ahead.length > 0) this.fellBehind();
  }

  /** An answer that brings nothing new; an old one that came twice must not hide that something is missing. */
  private confirmed(header: ChangesHeader): void {
    const { revision } = this.target.place;
    if (header.for === null || header.to !== revision || this.ahead.length > 0) return;
    const doubted = this.behind;
    this.inStep();
    if (doubted) this.askWhenQuiet();
  }

  private inStep(): void {
    this.behind = false;
    this.attempt = 0;
    this.inVain = 0;
    this.asking++;
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.setLink(this.connection.connected() ? "live" : "saved");
  }

  private fellBehind(): void {
    this.behind = true;
    clearTimeout(this.quietTimer);
    if (this.retryTimer === undefined) this.hello();
  }

  /** One hello is under way at a time; the next is said when it brought nothing for a while, and ever more rarely. */
  private hello(): void {
    if (this.closed || !this.connection.connected()) return;
    const asked = ++this.asking;
    this.askLater();
    const { epoch, scope, revision } = this.target.place;
    const known = { epoch: epoch === "" ? null : epoch, scope, revision, ...this.target.words() };
    const patience = 2 * this.pause();
    this.lastAlive = Date.now();
    this.connection.request("hello", { ...this.me(), ...known }, patience).then(
      () => {
        if (this.closed || asked !== this.asking) return;
        if (this.behind && (revision < 0 || ++this.inVain < ANSWERS_IN_VAIN)) return;
        this.inStep();
      },
      () => {
        if (this.closed || asked !== this.asking) return;
        if (this.link === "live") this.setLink("waiting");
        if (this.behind) return;
        this.attempt++;
        this.askWhenQuiet(this.pause());
      },
    );
  }

  private pause(): number {
    const { retry } = this.timing;
    return retry[Math.min(this.attempt, retry.length - 1)] as number;
  }

  private askLater(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => {
      this.retryTimer = undefined;
      if (!this.behind || this.closed) return;
      this.attempt++;
      if (this.link === "live") this.setLink("waiting");
      if (visible()) this.hello();
    }, this.pause());
  }

  /** The last message before a pause can be lost without a trace, so after a pause it is asked once. */
  private askWhenQuiet(after = this.timing.quiet): void {
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      if (!this.behind && visible()) this.hello();
    }, after);
  }

  private onConnected(connected: boolean): void {
    if (this.closed) return;
    if (!connected) {
      this.stopTimers();
      this.setLink("lost");
      return;
    }
    this.setLink(this.target.place.revision < 0 ? "connecting" : "waiting");
    this.onVisibility();
  }

  private onVisibility(): void {
    if (this.closed) return;
    clearInterval(this.aliveTimer);
    if (!visible()) return;
    this.lastAlive = Date.now();
    this.aliveTimer = setInterval(() => this.sayAlive(), this.timing.alive);
    this.attempt = 0;
    clearTimeout(this.retryTimer);
    this.hello();
  }

  private sayAlive(): void {
    if (!this.connection.connected()) return;
    const now = Date.now();
    const slept = now - this.lastAlive > 3 * this.timing.alive;
    this.lastAlive = now;
    // A laptop that slept was dropped by the kernel, and so was a client whose alive is refused.
    if (slept) {
      this.fellBehind();
      return;
    }
    if (this.aliveWaits) return;
    this.aliveWaits = true;
    this.connection
      .request("alive", this.me(), 6 * this.timing.alive)
      .catch(() => this.askWhenQuiet(this.pause()))
      .finally(() => {
        this.aliveWaits = false;
      });
  }

  private stopTimers(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.quietTimer);
    clearInterval(this.aliveTimer);
    this.retryTimer = undefined;
  }

  private setLink(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.target.linkChanged();
  }
}

function visible(): boolean {
  return typeof document === "undefined" || document.visibilityState !== "hidden";
}
