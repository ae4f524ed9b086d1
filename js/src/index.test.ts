import type { AnyModel } from "@anywidget/types";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Connection } from "./kernel/connection";
import type { Model } from "./model/model";

// A view needs a canvas; here it is only noted who got which model.
const views = vi.hoisted(
  () => [] as { model: Model; connection: Connection; signal: AbortSignal; unmounted: boolean }[],
);
vi.mock("./workbench/mount", () => ({
  mountView: (_el: unknown, model: Model, connection: Connection, signal: AbortSignal) => {
    const view = { model, connection, signal, unmounted: false };
    views.push(view);
    return () => {
      view.unmounted = true;
    };
  },
}));

const widget = (await import("./index")).default;

/** Two proxies of one widget model, as a host makes them: they share nothing but what they answer. */
function host(name: string) {
  const sent: { op?: string }[] = [];
  const commands = { comm: {}, comm_live: true, on: () => {}, off: () => {}, send: (one: object) => sent.push(one) };
  const proxy = (): AnyModel =>
    ({
      get: (trait: string) => (trait === "_commands" ? `IPY_MODEL_${name}` : undefined),
      set: () => {},
      save_changes: () => {},
      on: () => {},
      off: () => {},
      send: () => {},
      widget_manager: { get_model: () => Promise.resolve(commands) },
    }) as unknown as AnyModel;
  return { proxy, sent };
}

// biome-ignore lint/suspicious/noExplicitAny: the host's props hold more than is used here
const props = (model: AnyModel, signal: AbortSignal): any => ({
  model,
  signal,
  el: { closest: () => null },
  host: {},
  experimental: {},
});
const settled = (): Promise<void> => new Promise((wake) => setTimeout(wake, 5));

beforeEach(() => {
  views.length = 0;
});

describe("the widget's module", () => {
  it("makes one model for a widget, whatever the number of its views, and says hello once", async () => {
    const { proxy, sent } = host("a");
    const life = new AbortController();
    const end = widget.initialize(props(proxy(), life.signal));
    expect(typeof end).toBe("function");
    const first = widget.render(props(proxy(), new AbortController().signal));
    widget.render(props(proxy(), new AbortController().signal));
    expect(views.length).toBe(2);
    expect(views[0]?.model).toBe(views[1]?.model);
    await settled();
    expect(sent.map((one) => one.op)).toEqual(["hello"]);
    first();
    expect([views[0]?.unmounted, views[0]?.signal.aborted, views[1]?.signal.aborted]).toEqual([true, true, false]);
    life.abort();
    await settled();
    expect(views[0]?.connection.connected()).toBe(false);
  });

  it("says bye when the widget goes, and only then", async () => {
    const { proxy, sent } = host("b");
    const end = widget.initialize(props(proxy(), new AbortController().signal));
    await settled();
    widget.render(props(proxy(), new AbortController().signal))();
    await settled();
    expect(sent.map((one) => one.op)).toEqual(["hello"]);
    end();
    end();
    await settled();
    expect(sent.map((one) => one.op)).toEqual(["hello", "bye"]);
  });

  it("keeps two widgets apart", () => {
    const [a, b] = [host("c"), host("d")];
    for (const one of [a, b]) widget.initialize(props(one.proxy(), new AbortController().signal));
    for (const one of [b, a]) widget.render(props(one.proxy(), new AbortController().signal));
    expect(views[0]?.model).not.toBe(views[1]?.model);
  });

  it("ends a view by its signal alone", () => {
    const { proxy } = host("e");
    widget.initialize(props(proxy(), new AbortController().signal));
    const shown = new AbortController();
    widget.render(props(proxy(), shown.signal));
    shown.abort();
    expect(views[0]?.signal.aborted).toBe(true);
  });
});
