import type { AnyModel } from "@anywidget/types";
import type { Answer, ChangesHeader, Request } from "./protocol";
import { type Saved, unpackSaved } from "./saved-state";

/** The way to a kernel. The view does not know what carries it. */
export interface Connection {
  /** A random name for this page's copy of the widget; one per model, not per view. */
  readonly client: string;
  /** Rejects with an Error whose message can be shown. Without a timeout it waits two minutes. */
  request<T>(op: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T>;
  /** Called with true when a request has been waiting for more than a second, with false when none does any more. */
  onSlow(cb: (waiting: boolean) => void): () => void;
  onChanges(cb: (header: ChangesHeader, buffers: DataView[]) => void): () => void;
  get(trait: string): unknown;
  set(trait: string, value: unknown): void;
  onTrait(trait: string, cb: () => void): () => void;
  /** False when nobody can answer any more: the kernel is gone, or the widget was closed. */
  connected(): boolean;
  onConnected(cb: (connected: boolean) => void): () => void;
  close(): void;
}

export const NOT_CONNECTED = "Not connected to a kernel: run the cell again.";

const NOT_SAVED = "This is a saved copy without texts: run the cell again to read them, or save with save_bodies=True.";

const SLOW_MS = 1_000;
const PATIENCE_MS = 120_000;
/** What the page asks by itself; a user waits for none of it. */
const BACKGROUND = new Set(["hello", "alive", "bye"]);

/** A set of callbacks; adding one gives the way to take it off again. */
export class Listeners<A extends unknown[]> {
  private readonly all = new Set<(...args: A) => void>();
  add(cb: (...args: A) => void): () => void {
    const own = (...args: A): void => cb(...args);
    this.all.add(own);
    return () => {
      this.all.delete(own);
    };
  }
  call(...args: A): void {
    for (const cb of [...this.all]) cb(...args);
  }
  clear(): void {
    this.all.clear();
  }
  get size(): number {
    return this.all.size;
  }
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Numbers requests, matches answers, and knows when an answer is slow. What carries the messages is somebody else's. */
export class Requests {
  readonly slow = new Listeners<[boolean]>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly slowOnes = new Set<string>();
  private number = 0;

  constructor(private readonly client: string) {}

  start<T>(op: string, args: Record<string, unknown>, timeoutMs: number, send: (request: Request) => void): Promise<T> {
    const id = `${this.client}:${++this.number}`;
    return new Promise<T>((resolve, reject) => {
      const late = (): void => {
        const seconds = Math.round(timeoutMs / 1000);
        this.settle(id)?.reject(
          new Error(
            `The kernel did not answer "${op}" within ${seconds} s. It may be busy with a cell: try again when it is idle.`,
          ),
        );
      };
      this.waiting.set(id, {
        resolve: resolve as (value: unknown) => void,
        reject,
        timer: setTimeout(late, timeoutMs),
      });
      if (!BACKGROUND.has(op)) setTimeout(() => this.markSlow(id), SLOW_MS);
      try {
        send({ ...args, type: "request", id, op });
      } catch (error) {
        this.settle(id)?.reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  answer(message: Answer): void {
    const one = this.settle(message.id);
    if (one === undefined) return;
    if (message.ok) one.resolve(message.value);
    else one.reject(new Error(message.error.message));
  }

  rejectAll(reason: string): void {
    for (const id of [...this.waiting.keys()]) this.settle(id)?.reject(new Error(reason));
  }

  private settle(id: string): Waiting | undefined {
    const one = this.waiting.get(id);
    if (one === undefined) return undefined;
    this.waiting.delete(id);
    clearTimeout(one.timer);
    if (this.slowOnes.delete(id) && this.slowOnes.size === 0) this.slow.call(false);
    return one;
  }

  private markSlow(id: string): void {
    if (!this.waiting.has(id)) return;
    this.slowOnes.add(id);
    if (this.slowOnes.size === 1) this.slow.call(true);
  }
}

/** The part of a Jupyter widget model that carries requests; its comm is apart from the stream's. */
interface CommandsModel {
  comm?: unknown;
  comm_live?: boolean;
  on(name: string, cb: (...args: never[]) => void): void;
  off(name: string, cb: (...args: never[]) => void): void;
  send(content: unknown): void;
}

/** `IPY_MODEL_<id>` in ipywidgets, `anywidget:<id>` in hosts that follow anywidget's own references. */
export function modelId(reference: unknown): string | null {
  const found = typeof reference === "string" ? /^(?:IPY_MODEL_|anywidget:)(.+)$/s.exec(reference) : null;
  return found?.[1] ?? null;
}

export function connectAnywidget(model: AnyModel): Connection {
  return new AnywidgetConnection(model);
}

class AnywidgetConnection implements Connection {
  readonly client = randomName();
  private readonly requests = new Requests(this.client);
  private readonly changes = new Listeners<[ChangesHeader, DataView[]]>();
  private readonly state = new Listeners<[boolean]>();
  private readonly undo: (() => void)[] = [];
  private readonly commands: Promise<CommandsModel>;
  private found: CommandsModel | null = null;
  private live = true;
  private closed = false;
  private saved: Promise<Saved> | null = null;

  constructor(private readonly model: AnyModel) {
    const onStream = (content: unknown, buffers: DataView[]): void => this.receive(content, buffers);
    model.on("msg:custom", onStream);
    this.undo.push(() => model.off("msg:custom", onStream));
    this.commands = this.findCommands();
    this.commands.then(
      (commands) => this.attach(commands),
      () => this.setLive(false),
    );
  }

  connected(): boolean {
    return this.live && !this.closed;
  }

  request<T>(op: string, args: Record<string, unknown> = {}, timeoutMs = PATIENCE_MS): Promise<T> {
    const start = (commands: CommandsModel | null): Promise<T> => {
      if (commands === null || !this.connected()) return this.recall<T>(op, args);
      return this.requests.start<T>(op, args, timeoutMs, (request) => commands.send(request));
    };
    // At once where it is possible: a last bye must be out before the connection is closed.
    return this.found !== null ? start(this.found) : this.commands.catch(() => null).then(start);
  }

  onSlow(cb: (waiting: boolean) => void): () => void {
    return this.requests.slow.add(cb);
  }
  onChanges(cb: (header: ChangesHeader, buffers: DataView[]) => void): () => void {
    return this.changes.add(cb);
  }
  onConnected(cb: (connected: boolean) => void): () => void {
    return this.state.add(cb);
  }
  get(trait: string): unknown {
    return this.model.get(trait);
  }
  set(trait: string, value: unknown): void {
    this.model.set(trait, value);
    // Without a comm a change stays in this page; that is no error for whoever turns a switch.
    if (this.connected()) this.model.save_changes();
  }
  onTrait(trait: string, cb: () => void): () => void {
    const own = (): void => cb();
    this.model.on(`change:${trait}`, own);
    const off = (): void => this.model.off(`change:${trait}`, own);
    this.undo.push(off);
    return off;
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const off of this.undo.splice(0)) off();
    this.requests.rejectAll(NOT_CONNECTED);
    this.changes.clear();
    this.state.clear();
  }

  /** A host without a widget manager has one channel for both. */
  private async findCommands(): Promise<CommandsModel> {
    if (this.model.get("_commands") === null) throw new Error(NOT_CONNECTED); // a page of its own
    const id = modelId(this.model.get("_commands"));
    const manager = this.model.widget_manager as AnyModel["widget_manager"] | undefined;
    if (id === null || typeof manager?.get_model !== "function") return this.model as unknown as CommandsModel;
    for (const pause of [0, 200, 1_000, 3_000]) {
      if (pause > 0) await new Promise((wake) => setTimeout(wake, pause));
      try {
        return (await manager.get_model(id)) as unknown as CommandsModel;
      } catch {
        // After a reload the manager may still be making its models.
      }
    }
    throw new Error(NOT_CONNECTED);
  }

  private attach(commands: CommandsModel): void {
    if (this.closed) return;
    this.found = commands;
    if ((commands as unknown) === this.model) return;
    const listen = (name: string, cb: (...args: never[]) => void): void => {
      commands.on(name, cb);
      this.undo.push(() => commands.off(name, cb));
    };
    // marimo's models know no comm: they are there as long as their page is.
    const isLive = (): boolean =>
      !("comm" in commands || "comm_live" in commands) || (commands.comm !== undefined && commands.comm_live !== false);
    listen("msg:custom", (content: unknown) => this.receive(content, []));
    listen("comm_live_update", () => this.setLive(isLive()));
    listen("comm:close", () => this.setLive(false));
    listen("destroy", () => this.setLive(false));
    this.setLive(isLive());
  }

  private receive(content: unknown, buffers: DataView[]): void {
    if (typeof content !== "object" || content === null) return;
    const { type } = content as { type?: unknown };
    if (type === "changes") this.changes.call(content as ChangesHeader, buffers);
    else if (type === "answer") this.requests.answer(content as Answer);
  }

  private setLive(live: boolean): void {
    if (live === this.live || this.closed) return;
    this.live = live;
    if (!live) this.requests.rejectAll(NOT_CONNECTED);
    this.state.call(live);
    if (!live) this.showSaved();
  }

  /** Nobody answers: what the notebook kept is better than nothing. */
  private showSaved(): void {
    const packed = this.model.get("_saved");
    if (this.saved !== null || !(packed instanceof DataView) || packed.byteLength === 0) return;
    this.saved = unpackSaved(packed);
    this.saved.then(
      ({ messages }) => {
        if (!this.live && !this.closed) for (const one of messages) this.changes.call(one.header, one.buffers);
      },
      (error: unknown) => console.warn("anton_notebook:", error),
    );
  }

  private async recall<T>(op: string, args: Record<string, unknown>): Promise<T> {
    if (op === "select" && this.saved !== null) return undefined as T; // it stays in this page
    const known = op === "details" ? (await this.saved?.catch(() => null))?.details.get(Number(args.row)) : undefined;
    if (known === undefined) throw new Error(this.saved === null ? NOT_CONNECTED : NOT_SAVED);
    return known as T;
  }
}

/** `crypto.randomUUID` is missing on pages that came over plain http. */
function randomName(): string {
  const numbers = crypto.getRandomValues(new Uint32Array(2));
  return Array.from(numbers, (n) => n.toString(16).padStart(8, "0")).join("");
}
