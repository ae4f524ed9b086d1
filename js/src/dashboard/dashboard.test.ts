// @vitest-environment jsdom
import { describe, expect, it, vi } from "vitest";
import { Host } from "./host";
import { type ListedRun, RunList } from "./runs";
import { TriesPage } from "./tables";
import { unpack, type Wire } from "./wire";

/** What `anton_notebook.widget.protocol.frame` makes of `{"type":"x"}` and the buffers 1 2 3 and 4; tests/dashboard/test_dashboard.py has it too. */
const PACKED = "0c0000007b2274797065223a2278227d0000000003000000010203000100000004";

function bytes(hex: string): ArrayBuffer {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)).buffer;
}

function run(trace: string, more: Partial<ListedRun> = {}): ListedRun {
  return {
    trace_id: trace,
    name: null,
    origin: "run",
    original_trace_id: null,
    status: "ok",
    start: "2026-11-23T01:18:00Z",
    duration_ms: 1200,
    spans: 3,
    llm_calls: 2,
    errors: 0,
    input_tokens: 10,
    output_tokens: 5,
    cost_usd: 0.01,
    unpriced_calls: 0,
    ...more,
  };
}

const drawn = (): Promise<void> => new Promise((wake) => setTimeout(wake, 90));

describe("the dashboard's frames", () => {
  it("are read as Python packs them, each buffer where columns can be read in place", () => {
    const { header, buffers } = unpack(bytes(PACKED));
    expect(header).toEqual({ type: "x" });
    expect(buffers.map((one) => [...new Uint8Array(one.buffer, one.byteOffset, one.byteLength)])).toEqual([
      [1, 2, 3],
      [4],
    ]);
    expect(buffers.every((one) => one.byteOffset % 8 === 0)).toBe(true);
  });
});

describe("the dashboard's widgets", () => {
  const open = (): { host: Host; sent: unknown[] } => {
    const sent: unknown[] = [];
    const wire = { send: (comm: string, data: unknown) => sent.push([comm, data]) } as unknown as Wire;
    const host = new Host(() => wire);
    host.take({
      header: { type: "comm_open", comm_id: "w", data: { state: { height: 560 }, buffer_paths: [["packed"]] } },
      buffers: [new DataView(new ArrayBuffer(2))],
    });
    return { host, sent };
  };

  it("have the state they were opened with, its binary values in place", async () => {
    const model = await open().host.find("w");
    expect(model.get("height")).toBe(560);
    expect((model.get("packed") as DataView).byteLength).toBe(2);
  });

  it("send what was set, once, and tell of it", async () => {
    const { host, sent } = open();
    const model = await host.find("w");
    const told = vi.fn();
    model.on("change:height", told);
    model.set("height", 300);
    model.set("height", 300);
    model.save_changes();
    model.save_changes();
    expect(told).toHaveBeenCalledTimes(1);
    expect(sent).toEqual([["w", { method: "update", state: { height: 300 }, buffer_paths: [] }]]);
  });

  it("hear of changes and messages, and of their end", async () => {
    const { host } = open();
    const model = await host.find("w");
    const heard: unknown[] = [];
    model.on("change:height", () => heard.push(["height", model.get("height")]));
    model.on("msg:custom", (content: unknown) => heard.push(content));
    model.on("comm:close", () => heard.push("closed"));
    const message = (data: unknown) => ({ header: { type: "comm_msg", comm_id: "w", data }, buffers: [] });
    host.take(message({ method: "update", state: { height: 200 } }));
    host.take(message({ method: "custom", content: { type: "answer" } }));
    host.lose();
    expect(heard).toEqual([["height", 200], { type: "answer" }, "closed"]);
    expect(model.comm_live).toBe(false);
    await expect(host.find("w")).rejects.toThrow("no such widget");
  });

  it("leave frames alone that are about something else", () => {
    expect(open().host.take({ header: { type: "runs" }, buffers: [] })).toBe(false);
  });
});

describe("the list of runs", () => {
  it("shows the newest first with their figures, marks those that go on, and tells which is shown", async () => {
    const picked: (string | null)[] = [];
    const list = new RunList((trace) => picked.push(trace));
    document.body.replaceChildren(list.element);
    list.take(
      [
        run("old", { name: "An old one" }),
        run("new", { start: "2026-11-23T02:00:00Z", status: "running", name: "<b>A new one</b>", cost_usd: null }),
      ],
      2,
    );
    list.mark(null, "new");
    await drawn();
    const names = [...list.element.querySelectorAll(".ad-name")].map((one) => one.textContent);
    expect(names).toEqual(["<b>A new one</b>", "An old one"]);
    expect(list.element.querySelector("b")).toBeNull();
    expect(list.element.querySelector(".ad-dot")?.getAttribute("aria-label")).toBe("running");
    expect(list.element.querySelector('[aria-current="true"]')?.textContent).toContain("A new one");
    const facts = [...list.element.querySelectorAll(".ad-facts")].map((one) => one.textContent);
    expect(facts[0]).toContain("running");
    expect(facts[2]).toContain("$0.010");
    expect(facts[3]).toBe("3 spans · 15 tokens");
    (list.element.querySelectorAll(".ad-run")[1] as HTMLElement).click();
    (list.element.querySelector(".ad-follow") as HTMLElement).click();
    expect(picked).toEqual(["old", null]);
  });

  it("finds by name, and keeps experiments apart", async () => {
    const list = new RunList(() => {});
    list.take([run("a", { name: "cache" }), run("b", { name: "queue", origin: "rerun", original_trace_id: "a" })], 2);
    expect(list.tries.map((one) => one.trace_id)).toEqual(["b"]);
    expect(list.newest()).toBe("a");
    const search = list.element.querySelector("input") as HTMLInputElement;
    search.value = "QUE";
    search.dispatchEvent(new Event("input"));
    await drawn();
    expect([...list.element.querySelectorAll(".ad-run")]).toHaveLength(1);
    expect(list.element.querySelector(".ad-try")?.textContent).toBe("rerun");
  });
});

describe("experiments and replays", () => {
  it("are two tables; each opens its run, and is compared with its original", () => {
    const list = new RunList(() => {});
    const opened: unknown[] = [];
    const page = new TriesPage(list, (one, compare) => opened.push([one.trace_id, compare]));
    page.draw();
    expect(page.element.textContent).toContain("Nothing was tried yet");
    expect(page.element.textContent).toContain("No run was forked yet");
    list.take(
      [
        run("a", { name: "<i>cache</i>" }),
        run("b", { origin: "rerun", original_trace_id: "a", cost_usd: null }),
        run("c", { origin: "replay", original_trace_id: "a", status: "error" }),
      ],
      3,
    );
    page.draw();
    expect(page.element.querySelectorAll("table")).toHaveLength(2);
    expect(page.element.querySelector("i")).toBeNull();
    expect(page.element.querySelectorAll("tbody tr")[1]?.textContent).toContain("<i>cache</i>");
    for (const button of page.element.querySelectorAll("button")) button.click();
    expect(opened).toEqual([
      ["b", false],
      ["b", true],
      ["c", false],
      ["c", true],
    ]);
  });
});
