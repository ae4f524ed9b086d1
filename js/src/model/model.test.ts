import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NONE } from "../kernel/protocol";
import { type Channel, FakeKernel, type Span } from "../testing/kernel";
import { figures, makeRun, random } from "../testing/runs";
import { type Delta, Model } from "./model";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function span(over: Partial<Span> = {}): Span {
  const none = { parent: null, start: 1_000, duration: 5, cost: Number.NaN, input: NONE, output: NONE };
  return {
    trace: "t",
    kind: "llm",
    agent: "a",
    name: "call",
    model: "m",
    status: 1,
    flags: 0,
    provenance: 0,
    ...none,
    ...over,
  };
}

/** Everything the model holds, by row, in the kernel's words. */
function held(model: Model): Map<number, Span> {
  const found: [number, Span][] = [];
  for (let slot = 0; slot < model.size; slot++) {
    if (!model.alive[slot]) continue;
    const parent = model.parent[slot] as number;
    found.push([
      model.row[slot] as number,
      {
        trace: model.traceId(slot),
        kind: model.kind(slot),
        agent: model.agent(slot),
        name: model.name(slot),
        model: model.modelName(slot),
        parent: parent < 0 ? null : (model.row[parent] as number),
        start: model.start[slot] as number,
        duration: model.duration[slot] as number,
        cost: model.cost[slot] as number,
        input: model.input[slot] as number,
        output: model.output[slot] as number,
        status: model.status[slot] as number,
        flags: model.flags[slot] as number,
        provenance: model.provenance[slot] as number,
      },
    ]);
  }
  return new Map(found.sort((a, b) => a[0] - b[0]));
}

/** A parent that is not shown (gone, or not there yet) is no parent in the page. */
function expected(kernel: FakeKernel): Map<number, Span> {
  const state = kernel.state();
  return new Map(
    [...state].map(([row, one]) => [
      row,
      {
        ...one,
        parent: one.parent !== null && one.parent !== row && state.has(one.parent) ? one.parent : null,
        duration: Math.fround(one.duration),
        cost: one.cost,
      },
    ]),
  );
}

/** The linked lists of children say the same as the parents do. */
function checkTree(model: Model): void {
  let linked = 0;
  for (let slot = 0; slot < model.size; slot++) {
    for (let child = model.firstChild[slot] as number; child >= 0; child = model.nextSibling[child] as number) {
      expect(model.parent[child]).toBe(slot);
      linked++;
    }
  }
  let parents = 0;
  for (let slot = 0; slot < model.size; slot++) if ((model.parent[slot] as number) >= 0) parents++;
  expect(linked).toBe(parents);
}

describe("a model on a good connection", () => {
  it("asks for a snapshot and then takes what is new", async () => {
    const kernel = new FakeKernel();
    const root = kernel.put(span({ kind: "orchestrator", name: "root" }));
    kernel.put(span({ parent: root }));
    kernel.flush();
    const model = new Model(kernel.connect());
    const deltas: Delta[] = [];
    model.subscribe((delta) => deltas.push(delta));
    await vi.advanceTimersByTimeAsync(1);
    expect(model.size).toBe(2);
    expect(deltas[0]).toMatchObject({ reset: true, added: 0 });
    kernel.put(span({ parent: root, kind: "tool", name: "read_file", status: 0, duration: Number.NaN }));
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    kernel.put(span({ parent: root, kind: "tool", name: "read_file" }), 2);
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    const streamed = deltas.filter((delta) => !delta.reset && !delta.link);
    expect(streamed.map((delta) => [delta.added, [...delta.changed]])).toEqual([
      [2, []],
      [3, [2]],
    ]);
    expect(held(model)).toEqual(expected(kernel));
    expect(model.link).toBe("live");
    checkTree(model);
    model.close();
  });

  it("joins children to a parent that comes later, and lets them go when it goes", async () => {
    const kernel = new FakeKernel();
    const model = new Model(kernel.connect());
    await vi.advanceTimersByTimeAsync(1);
    kernel.put(span({ parent: 7 }), 3);
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    expect(model.parent[model.slotOf(3)]).toBe(-1);
    let last: Delta | undefined;
    model.subscribe((delta) => {
      last = delta;
    });
    kernel.put(span({ kind: "agent" }), 7);
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    expect(model.parent[model.slotOf(3)]).toBe(model.slotOf(7));
    expect([...(last?.changed ?? [])]).toEqual([model.slotOf(3)]);
    kernel.gone(7);
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    expect(model.parent[model.slotOf(3)]).toBe(-1);
    expect(model.slotOf(7)).toBe(-1);
    model.close();
  });

  it("takes a snapshot in parts as one, with parents in later parts", async () => {
    const kernel = new FakeKernel();
    kernel.snapshotRows = 10;
    for (const one of makeRun({ spans: 95, seed: 4 })) kernel.put({ ...one, parent: one.parent });
    kernel.put(span({ parent: 94, trace: "run-1" }), 95);
    kernel.put({ ...(kernel.spans[0] as Span), parent: 95 }, 0);
    kernel.put({ ...(kernel.spans[95] as Span), parent: null }, 95);
    kernel.runs = [figures(kernel.state().values(), "run-1")];
    kernel.flush();
    const model = new Model(kernel.connect());
    const resets: number[] = [];
    model.subscribe((delta) => {
      if (delta.reset) resets.push(model.size);
    });
    await vi.advanceTimersByTimeAsync(1);
    expect(resets).toEqual([96]);
    expect(held(model)).toEqual(expected(kernel));
    expect(model.runs.get("run-1")?.spans).toBe(96);
    checkTree(model);
    model.close();
  });

  it("throws the rows of another scope away", async () => {
    const kernel = new FakeKernel();
    for (const trace of ["a", "b"]) kernel.put(span({ trace }));
    kernel.shown = ["a"];
    kernel.flush();
    const model = new Model(kernel.connect());
    await vi.advanceTimersByTimeAsync(1);
    expect(model.traceId(0)).toBe("a");
    kernel.show(["b"]);
    await vi.advanceTimersByTimeAsync(1);
    expect([model.size, model.traceId(0), model.shown]).toEqual([1, "b", ["b"]]);
    model.close();
  });
});

describe("a kernel that does not answer", () => {
  const hellos = (kernel: FakeKernel): number => kernel.requests.filter((one) => one.op === "hello").length;

  it("is asked ever more rarely, and everything is there when it is idle again", async () => {
    const kernel = new FakeKernel();
    kernel.put(span());
    kernel.flush();
    kernel.busy = true;
    let asked = 0;
    const counting: Channel = (deliver) => {
      asked++;
      queueMicrotask(deliver);
    };
    const model = new Model(kernel.connect("p", undefined, counting));
    await vi.advanceTimersByTimeAsync(600_000);
    expect(asked).toBeLessThan(40);
    expect(model.link).toBe("connecting");
    kernel.setBusy(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(model.size).toBe(1);
    expect(model.link).toBe("live");
    model.close();
  });

  it("is asked once after a pause, and left alone while nothing happens", async () => {
    const kernel = new FakeKernel();
    kernel.put(span());
    kernel.flush();
    const model = new Model(kernel.connect());
    await vi.advanceTimersByTimeAsync(5_000);
    const before = hellos(kernel);
    await vi.advanceTimersByTimeAsync(120_000);
    // The answer to the question after the pause is a message too, and no reason to ask again.
    expect(hellos(kernel) - before).toBe(0);
    expect(kernel.requests.filter((one) => one.op === "alive").length).toBe(12);
    model.close();
    await vi.advanceTimersByTimeAsync(1);
    expect(kernel.requests.at(-1)?.op).toBe("bye");
    expect(vi.getTimerCount()).toBeLessThanOrEqual(3);
  });

  it("is lost when the connection says so, keeps what is known, and can come back", async () => {
    const kernel = new FakeKernel();
    kernel.put(span());
    kernel.flush();
    const connection = kernel.connect();
    const model = new Model(connection);
    await vi.advanceTimersByTimeAsync(1);
    connection.setConnected(false);
    expect(model.link).toBe("lost");
    expect(model.size).toBe(1);
    kernel.restart();
    kernel.put(span());
    connection.setConnected(true);
    kernel.flush();
    await vi.advanceTimersByTimeAsync(1);
    expect([model.link, model.size, model.epoch]).toEqual(["live", 2, kernel.epoch]);
    model.close();
  });
});

describe("a connection that loses, doubles and reorders", () => {
  /** One random run: what the kernel does, and what the channel does to it, follow from the seed. */
  async function run(seed: number): Promise<void> {
    const rnd = random(seed);
    const loss = rnd() * 0.5;
    const double = rnd() * 0.3;
    let trouble = true;
    const channel: Channel = (deliver) => {
      if (!trouble) {
        setTimeout(deliver, 1);
        return;
      }
      if (rnd() < loss) return;
      const copies = rnd() < double ? 2 : 1;
      for (let i = 0; i < copies; i++) setTimeout(deliver, rnd() * 120);
    };
    const kernel = new FakeKernel();
    kernel.snapshotRows = 8;
    kernel.shown = ["t"];
    const model = new Model(kernel.connect("p", channel, channel));
    const traces = ["t", "u"];
    for (let step = 0; step < 25; step++) {
      for (let i = rnd() * 4; i > 0; i--) act(kernel, rnd, traces);
      const what = rnd();
      if (what < 0.03) kernel.show([traces[Math.floor(rnd() * 2)] as string]);
      else if (what < 0.04) kernel.restart();
      else kernel.flush();
      await vi.advanceTimersByTimeAsync(rnd() * 100);
    }
    trouble = false;
    await vi.advanceTimersByTimeAsync(100);
    // Hostile for long: the pauses between questions may have grown.
    for (let s = 0; s < 40 && model.revision !== kernel.revision; s++) await vi.advanceTimersByTimeAsync(1_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([seed, model.epoch, model.scope, model.revision]).toEqual([
      seed,
      kernel.epoch,
      kernel.scope,
      kernel.revision,
    ]);
    expect(held(model)).toEqual(expected(kernel));
    checkTree(model);
    model.close();
  }

  function act(kernel: FakeKernel, rnd: () => number, traces: string[]): void {
    const count = kernel.spans.length;
    const any = (): number => Math.floor(rnd() * (count + 2));
    const what = rnd();
    const row = any();
    if (what < 0.1 && kernel.spans[row]) kernel.gone(row);
    else {
      const old = what < 0.4 && row < count && kernel.spans[row] ? row : undefined;
      const parent = rnd() < 0.3 ? null : any();
      const agent = `agent ${Math.floor(rnd() * (2 + count / 4))}`;
      // A span that moves to another trace is a new row in the kernel, so a row keeps its trace.
      const trace = (old !== undefined && kernel.spans[old]?.trace) || (traces[rnd() < 0.8 ? 0 : 1] as string);
      kernel.put(span({ trace, agent, parent, start: rnd() * 1e6, cost: rnd(), status: Math.floor(rnd() * 3) }), old);
    }
  }

  it("ends with what the kernel has, in 1,000 random runs", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 1_000; seed++) await run(seed);
  });
});
