/** The dashboard's page: runs on the left, the widget on the right; the widget's own module, over a WebSocket. */
import widget from "../index";
import { append, h, replaceChildren } from "../ui/dom";
import { Host, type HostModel } from "./host";
import { type ListedRun, RunList } from "./runs";
import { CostsPage, TriesPage } from "./tables";
import { type Frame, Wire } from "./wire";

type Page = "workbench" | "costs" | "tries";
const PAGES: [Page, string][] = [
  ["workbench", "Workbench"],
  ["costs", "Costs"],
  ["tries", "Experiments"],
];

/** The token belongs to whoever opened the page, not to its history, and not to whoever is shown the address. */
function hideToken(): void {
  const address = new URL(location.href);
  if (!address.searchParams.has("token")) return;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

const wanted = new URLSearchParams(location.hash.slice(1));

class Dashboard {
  private readonly stage = h("main.ad-stage");
  private readonly state = h("p.ad-state", { role: "status" });
  private readonly title = h("span.ad-title", {}, "anton_notebook");
  private readonly runs = new RunList((trace) => this.pick(trace));
  private readonly costs = new CostsPage(() => this.shown());
  private readonly tries = new TriesPage(this.runs, (run, compare) => this.open(run.trace_id, compare));
  private readonly tabs = new Map<Page, HTMLElement>();
  private readonly wire: Wire;
  private readonly host: Host;
  private graph: HostModel | null = null;
  private end: (() => void) | null = null;
  private page: Page = "workbench";

  constructor() {
    hideToken();
    this.wire = new Wire(
      () => "/ws/page",
      (frame) => this.take(frame),
      (open, why) => this.link(open, why),
    );
    this.host = new Host(() => this.wire);
    const tabs = h("nav.ad-tabs", { "aria-label": "Pages" });
    for (const [page, name] of PAGES) {
      const tab = h("button", { type: "button" }, name);
      tab.addEventListener("click", () => this.show(page));
      this.tabs.set(page, tab);
      append(tabs, tab);
    }
    append(
      document.body,
      h("header.ad-head", {}, this.title, tabs, this.state),
      h("div.ad-body", {}, this.runs.element, this.stage, this.costs.element, this.tries.element),
    );
    new ResizeObserver(() => this.fill()).observe(this.stage);
    this.show("workbench");
    this.wire.open();
  }

  private take(frame: Frame): void {
    const { header } = frame;
    if (this.host.take(frame)) return;
    if (header.type === "root") void this.mount(String(header.comm_id), String(header.title ?? ""));
    else if (header.type === "runs") {
      this.runs.take(header.runs as ListedRun[], Number(header.total));
      this.mark();
      if (this.page === "tries") this.tries.draw();
    } else if (header.type === "failed") this.say(String(header.message));
  }

  private async mount(id: string, title: string): Promise<void> {
    this.unmount();
    const model = await this.host.find(id);
    this.graph = model;
    this.title.textContent = title || "anton_notebook";
    document.title = title ? `${title} – anton_notebook` : "anton_notebook";
    const over = new AbortController();
    const el = h("div.ad-cell");
    replaceChildren(this.stage, el);
    const given = { model: model as never, signal: over.signal, experimental: undefined as never, host: {} as never };
    const first = widget.initialize(given as never);
    this.fill();
    const last = widget.render({ ...given, el } as never);
    this.end = () => {
      over.abort();
      last();
      first();
    };
    model.on("change:trace_id", () => this.mark());
    const trace = wanted.get("trace");
    if (trace !== null) this.pick(trace);
    const compare = wanted.get("compare");
    if (compare !== null) this.open(compare, true);
    this.mark();
  }

  private unmount(): void {
    this.end?.();
    this.end = null;
    this.graph = null;
  }

  private link(open: boolean, why: string): void {
    if (open) this.say("");
    else {
      this.host.lose();
      this.say(why || "Not connected: the dashboard was ended, or is out of reach. Trying again …");
    }
  }

  private say(text: string): void {
    this.state.textContent = text;
  }

  private shown(): string {
    return String(this.graph?.get("trace_id") ?? "") || this.runs.newest();
  }

  private mark(): void {
    const chosen = this.graph?.get("trace_id");
    this.runs.mark(typeof chosen === "string" ? chosen : null, this.shown());
  }

  private pick(trace: string | null): void {
    if (this.graph === null) return;
    this.ask("show", { trace_id: trace });
    if (this.page === "tries") this.show("workbench");
    else if (this.page === "costs") setTimeout(() => void this.costs.load(), 150);
  }

  /** Shows a run in the workbench; a branch compared with its original, where that is asked for. */
  private open(trace: string, compare: boolean): void {
    this.pick(trace);
    this.show("workbench");
    this.graph?.set("view", compare ? "compare" : "graph");
    try {
      this.graph?.save_changes();
    } catch {
      // said already: there is no connection
    }
  }

  private ask(op: string, args: Record<string, unknown>): void {
    const id = `page:${Math.random().toString(36).slice(2)}`;
    try {
      this.graph?.send({ ...args, type: "request", id, op });
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }

  private show(page: Page): void {
    this.page = page;
    for (const [name, tab] of this.tabs) tab.setAttribute("aria-current", name === page ? "page" : "false");
    this.stage.toggleAttribute("hidden", page !== "workbench");
    this.costs.element.toggleAttribute("hidden", page !== "costs");
    this.tries.element.toggleAttribute("hidden", page !== "tries");
    if (page === "costs") void this.costs.load();
    if (page === "tries") this.tries.draw();
    if (page === "workbench") this.fill();
  }

  /** The picture takes the room that there is. */
  private fill(): void {
    const height = Math.max(240, Math.floor(this.stage.clientHeight) - 20);
    if (this.graph === null || height === this.graph.get("height") || this.stage.hasAttribute("hidden")) return;
    this.graph.set("height", Math.min(10_000, height));
    try {
      this.graph.save_changes();
    } catch {
      // said already: there is no connection
    }
  }
}

new Dashboard();
