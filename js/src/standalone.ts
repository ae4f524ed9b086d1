/** A page of its own: the widget on what was saved, from one file, without a network and without a kernel. */
import widget from "./index";

type Callback = (...args: never[]) => void;

/** A model that nobody answers; traits live in the page. */
class Kept {
  private readonly callbacks = new Map<string, Set<Callback>>();
  constructor(private readonly state: Record<string, unknown>) {}
  readonly widget_manager = { get_model: () => Promise.reject(new Error("no kernel")) };
  get(name: string): unknown {
    return this.state[name];
  }
  set(name: string, value: unknown): void {
    if (Object.is(this.state[name], value)) return;
    this.state[name] = value;
    for (const callback of [...(this.callbacks.get(`change:${name}`) ?? [])]) (callback as () => void)();
  }
  save_changes(): void {}
  send(): void {
    throw new Error("no kernel");
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
}

function bytes(text: string): DataView {
  const decoded = atob(text);
  const data = new Uint8Array(decoded.length);
  for (let i = 0; i < data.length; i++) data[i] = decoded.charCodeAt(i);
  return new DataView(data.buffer);
}

function start(): void {
  const kept = document.getElementById("anton-state")?.textContent ?? "{}";
  const { saved, traits } = JSON.parse(kept) as { saved: string; traits: Record<string, unknown> };
  const height = Math.max(320, window.innerHeight - 24);
  const model = new Kept({ ...traits, height, _selected_row: -1, _commands: null, _saved: bytes(saved) });
  window.addEventListener("resize", () => model.set("height", Math.max(320, window.innerHeight - 24)));
  const el = document.getElementById("anton-cell");
  const given = { model, el, signal: new AbortController().signal };
  widget.initialize(given as never);
  widget.render(given as never);
}

start();
