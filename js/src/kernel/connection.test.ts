import type { AnyModel } from "@anywidget/types";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { connectAnywidget, modelId, NOT_CONNECTED } from "./connection";
import type { Request } from "./protocol";

type Callback = (...args: never[]) => void;

/** The part of a Jupyter widget's model that we rely on: events, traits, a comm that can die. */
class WidgetModel {
  readonly sent: Request[] = [];
  saved = 0;
  comm: object | undefined = {};
  comm_live = true;
  widget_manager: { get_model(id: string): Promise<WidgetModel> } | undefined;
  private readonly callbacks = new Map<string, Set<Callback>>();
  private readonly traits = new Map<string, unknown>();

  get(trait: string): unknown {
    return this.traits.get(trait);
  }
  set(trait: string, value: unknown): void {
    this.traits.set(trait, value);
    this.trigger(`change:${trait}`);
  }
  save_changes(): void {
    this.saved++;
  }
  on(name: string, callback: Callback): void {
    const all = this.callbacks.get(name) ?? new Set();
    this.callbacks.set(name, all.add(callback));
  }
  off(name: string, callback: Callback): void {
    this.callbacks.get(name)?.delete(callback);
  }
  send(content: Request): void {
    this.sent.push(content);
  }
  trigger(name: string, ...args: unknown[]): void {
    for (const callback of [...(this.callbacks.get(name) ?? [])]) callback(...(args as never[]));
  }
  get listeners(): number {
    return [...this.callbacks.values()].reduce((sum, all) => sum + all.size, 0);
  }
}

function pair(): { stream: WidgetModel; commands: WidgetModel } {
  const stream = new WidgetModel();
  const commands = new WidgetModel();
  stream.set("_commands", "IPY_MODEL_abc");
  stream.widget_manager = {
    get_model: (id) => (id === "abc" ? Promise.resolve(commands) : Promise.reject(new Error("model not found"))),
  };
  return { stream, commands };
}

const connect = (model: WidgetModel) => connectAnywidget(model as unknown as AnyModel);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("requests", () => {
  it("go over the commands' comm, and answers find their request", async () => {
    const { stream, commands } = pair();
    const connection = connect(stream);
    const first = connection.request<{ n: number }>("details", { row: 1 });
    const second = connection.request("details", { row: 2 });
    await vi.advanceTimersByTimeAsync(0);
    expect(stream.sent).toEqual([]);
    expect(commands.sent.map(({ type, op, row }) => [type, op, row])).toEqual([
      ["request", "details", 1],
      ["request", "details", 2],
    ]);
    const [a, b] = commands.sent.map((request) => request.id);
    expect(a).not.toBe(b);
    expect(a).toContain(connection.client);
    const error = { type: "ValueError", message: "no such row" };
    commands.trigger("msg:custom", { type: "answer", id: b, ok: false, error });
    commands.trigger("msg:custom", { type: "answer", id: a, ok: true, value: { n: 7 } });
    await expect(first).resolves.toEqual({ n: 7 });
    await expect(second).rejects.toThrow("no such row");
    commands.trigger("msg:custom", { type: "answer", id: "another page:1", ok: true, value: {} });
  });

  it("go over the widget's own comm where the host has no manager", async () => {
    const { stream } = pair();
    stream.widget_manager = undefined;
    const connection = connect(stream);
    const answer = connection.request("alive");
    await vi.advanceTimersByTimeAsync(0);
    stream.trigger("msg:custom", { type: "answer", id: stream.sent[0]?.id, ok: true, value: 3 }, []);
    await expect(answer).resolves.toBe(3);
  });

  it("say after a second that the kernel is busy, but not for what the page asks by itself", async () => {
    const { stream, commands } = pair();
    const connection = connect(stream);
    const said: boolean[] = [];
    connection.onSlow((waiting) => said.push(waiting));
    const hello = connection.request("hello", {}, 5_000);
    hello.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(said).toEqual([]);
    const details = connection.request("details");
    await vi.advanceTimersByTimeAsync(1_001);
    expect(said).toEqual([true]);
    commands.trigger("msg:custom", { type: "answer", id: commands.sent[1]?.id, ok: true, value: 1 });
    await details;
    expect(said).toEqual([true, false]);
  });

  it("give up after their time, with a sentence that says what to do", async () => {
    const { stream } = pair();
    const connection = connect(stream);
    const late = connection.request("details", {}, 3_000);
    const wait = expect(late).rejects.toThrow(/did not answer "details" within 3 s.*busy/);
    await vi.advanceTimersByTimeAsync(3_001);
    await wait;
  });
});

describe("a comm that dies", () => {
  it("rejects what waits, says so once, and comes back with the comm", async () => {
    const { stream, commands } = pair();
    const connection = connect(stream);
    const said: boolean[] = [];
    connection.onConnected((connected) => said.push(connected));
    await vi.advanceTimersByTimeAsync(0);
    const waiting = connection.request("details");
    const failed = expect(waiting).rejects.toThrow(NOT_CONNECTED);
    await vi.advanceTimersByTimeAsync(0);
    commands.comm_live = false;
    commands.trigger("comm_live_update");
    commands.trigger("comm_live_update");
    await failed;
    expect([connection.connected(), said]).toEqual([false, [false]]);
    await expect(connection.request("details")).rejects.toThrow(NOT_CONNECTED);
    connection.set("height", 300);
    expect([stream.get("height"), stream.saved]).toEqual([300, 0]);
    commands.comm_live = true;
    commands.trigger("comm_live_update");
    expect([connection.connected(), said]).toEqual([true, [false, true]]);
  });

  it("is not there at all in a notebook that was opened without a kernel", async () => {
    const { stream, commands } = pair();
    commands.comm = undefined;
    commands.comm_live = false;
    const connection = connect(stream);
    await vi.advanceTimersByTimeAsync(0);
    expect(connection.connected()).toBe(false);
  });

  it("is waited for while the manager makes its models, and then given up", async () => {
    const { stream, commands } = pair();
    let asked = 0;
    stream.widget_manager = {
      get_model: () => (++asked < 3 ? Promise.reject(new Error("model not found")) : Promise.resolve(commands)),
    };
    const connection = connect(stream);
    const answer = connection.request("alive");
    await vi.advanceTimersByTimeAsync(1_500);
    expect(commands.sent.length).toBe(1);
    commands.trigger("msg:custom", { type: "answer", id: commands.sent[0]?.id, ok: true, value: 1 });
    await answer;
    const lonely = pair();
    lonely.stream.set("_commands", "IPY_MODEL_unknown");
    const none = connect(lonely.stream);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(none.connected()).toBe(false);
  });
});

describe("traits and cleaning up", () => {
  it("syncs traits both ways and leaves no listener behind", async () => {
    const { stream, commands } = pair();
    const connection = connect(stream);
    await vi.advanceTimersByTimeAsync(0);
    let changes = 0;
    const off = connection.onTrait("height", () => changes++);
    connection.onTrait("trace_id", () => changes++);
    connection.set("height", 400);
    expect([changes, stream.saved, connection.get("height")]).toEqual([1, 1, 400]);
    off();
    connection.set("height", 500);
    expect(changes).toBe(1);
    const waiting = connection.request("details");
    const failed = expect(waiting).rejects.toThrow(NOT_CONNECTED);
    await vi.advanceTimersByTimeAsync(0);
    connection.close();
    connection.close();
    await failed;
    expect([stream.listeners, commands.listeners]).toEqual([0, 0]);
  });

  it("reads references of both kinds and no others", () => {
    expect(modelId("IPY_MODEL_12ab")).toBe("12ab");
    expect(modelId("anywidget:12ab")).toBe("12ab");
    for (const none of [null, undefined, "", "12ab", 3]) expect(modelId(none)).toBeNull();
  });
});

describe("a host whose models know no comm", () => {
  it("is connected as long as its page is there", async () => {
    const { stream, commands } = pair();
    for (const name of ["comm", "comm_live"]) Reflect.deleteProperty(commands, name);
    const connection = connect(stream);
    await vi.runAllTimersAsync();
    expect(connection.connected()).toBe(true);
    void connection.request("hello").catch(() => {});
    expect(commands.sent.map((one) => one.op)).toEqual(["hello"]);
    connection.close();
  });
});
