/** Widget models without a notebook: what a widget's module expects of its model, over the dashboard's wire. */
import type { Frame, Wire } from "./wire";

type Callback = (...args: never[]) => void;

/** One widget: its state, its events, its messages. */
export class HostModel {
  comm: object | undefined = {};
  comm_live = true;
  readonly widget_manager: { get_model(id: string): Promise<HostModel> };
  private readonly callbacks = new Map<string, Set<Callback>>();
  private readonly changed = new Set<string>();

  constructor(
    readonly id: string,
    readonly state: Record<string, unknown>,
    private readonly wire: Wire,
    host: Host,
  ) {
    this.widget_manager = { get_model: (wanted) => host.find(wanted) };
  }

  get(name: string): unknown {
    return this.state[name];
  }
  set(name: string, value: unknown): void {
    if (Object.is(this.state[name], value)) return;
    this.state[name] = value;
    this.changed.add(name);
    this.tell(`change:${name}`);
    this.tell("change");
  }
  save_changes(): void {
    if (this.changed.size === 0) return;
    const state = Object.fromEntries([...this.changed].map((name) => [name, this.state[name]]));
    this.changed.clear();
    this.wire.send(this.id, { method: "update", state, buffer_paths: [] });
  }
  send(content: unknown): void {
    this.wire.send(this.id, { method: "custom", content });
  }
  on(name: string, callback: Callback): void {
    const all = this.callbacks.get(name) ?? new Set();
    all.add(callback);
    this.callbacks.set(name, all);
  }
  off(name?: string | null, callback?: Callback | null): void {
    if (!name) this.callbacks.clear();
    else if (!callback) this.callbacks.delete(name);
    else this.callbacks.get(name)?.delete(callback);
  }

  receive(data: Record<string, unknown>, buffers: DataView[]): void {
    if (data.method === "custom") this.tell("msg:custom", data.content, buffers);
    else if (data.method === "update") this.update(data, buffers);
  }
  private update(data: Record<string, unknown>, buffers: DataView[]): void {
    const state = data.state as Record<string, unknown>;
    place(state, data.buffer_paths as (string | number)[][] | undefined, buffers);
    for (const [name, value] of Object.entries(state)) {
      this.state[name] = value;
      this.tell(`change:${name}`);
    }
    this.tell("change");
  }
  lose(): void {
    this.comm_live = false;
    this.comm = undefined;
    this.tell("comm_live_update");
    this.tell("comm:close");
  }
  private tell(name: string, ...args: unknown[]): void {
    for (const callback of [...(this.callbacks.get(name) ?? [])]) (callback as (...all: unknown[]) => void)(...args);
  }
}

/** All models of the page, by the id of their comm. */
export class Host {
  private readonly models = new Map<string, HostModel>();

  constructor(private readonly wire: () => Wire) {}

  find(id: string): Promise<HostModel> {
    const found = this.models.get(id);
    return found ? Promise.resolve(found) : Promise.reject(new Error("no such widget"));
  }

  /** True where the frame was about a widget. */
  take({ header, buffers }: Frame): boolean {
    const id = String(header.comm_id ?? "");
    const data = (header.data ?? {}) as Record<string, unknown>;
    if (header.type === "comm_open") {
      const state = { ...(data.state as Record<string, unknown>) };
      place(state, data.buffer_paths as (string | number)[][] | undefined, buffers);
      this.models.set(id, new HostModel(id, state, this.wire(), this));
    } else if (header.type === "comm_msg") this.models.get(id)?.receive(data, buffers);
    else if (header.type === "comm_close") {
      this.models.get(id)?.lose();
      this.models.delete(id);
    } else return false;
    return true;
  }

  lose(): void {
    for (const model of this.models.values()) model.lose();
    this.models.clear();
  }
}

/** Puts binary values back where they were taken out of the state. */
function place(state: Record<string, unknown>, paths: (string | number)[][] | undefined, buffers: DataView[]): void {
  paths?.forEach((path, i) => {
    let at: Record<string | number, unknown> = state;
    for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
    at[path[path.length - 1]!] = buffers[i];
  });
}
