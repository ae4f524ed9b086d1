/** The workbench of one cell: the bar above, the views of one model that share a state, the panels beside them. */

import { announce, heightOf } from "../canvas/canvas-host";
import { BUSY, footnote } from "../canvas/status-text";
import type { Connection } from "../kernel/connection";
import { packRows, unpackRows } from "../kernel/row-codec";
import { asked, shoot } from "../kernel/screenshot";
import type { Delta, Model } from "../model/model";
import { type Part, ViewState } from "../model/view-state";
import { DetailsPanel } from "../panels/details/details";
import { readTheme, type Theme, watchTheme } from "../theme";
import { h } from "../ui/dom";
import { Banners, keysPanel, LiveRegion } from "../ui/overlays";
import { markWord } from "../ui/span-marks";
import { Toolbar } from "../ui/toolbar";
import { makeView } from "../views/registry";
import { addTools, type Finding } from "./default-tools";
import { keepKeys } from "./host-keys";
import { Panels } from "./panels";
import { type Bench, EVERYTHING_NEW, VIEWS, type View, type ViewName } from "./types";
import { WaitingPanel } from "./waiting";

export class Workbench implements Bench {
  readonly state: ViewState;
  readonly still: boolean;
  readonly panels: Panels;
  readonly toolbar: Toolbar;
  private readonly root = h("div.anton", { tabindex: "-1" });
  private readonly seat = h("div.an-views");
  private readonly foot = h("div.an-foot");
  private readonly banners = new Banners();
  private readonly voice = new LiveRegion();
  private readonly keyList = keysPanel();
  private readonly waiting = new WaitingPanel();
  private readonly finding: Finding;
  private readonly views = new Map<ViewName, View>();
  private readonly undo: (() => void)[] = [];
  private colors: Theme;
  private shown: View | null = null;
  private errors = 0;
  private closed = false;

  constructor(
    el: HTMLElement,
    readonly model: Model,
    readonly connection: Connection,
  ) {
    this.still = el.ownerDocument.defaultView?.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
    this.state = new ViewState(model);
    this.toolbar = new Toolbar(model, connection, {
      fit: () => this.shown?.fit(),
      mode: (mode) => connection.set("x_axis", mode),
      view: (name) => connection.set("view", name),
      keys: () => this.keys(),
      failed: (error) => this.fail("request", error),
    });
    const main = h("div.an-main", {}, this.seat, this.keyList);
    this.panels = new Panels(main);
    this.panels.add(
      "details",
      new DetailsPanel(
        connection,
        () => model.epoch,
        () => this.shown?.focus.focus(),
        (rows) => (rows === null ? this.takeRows() : this.state.highlight(rows)),
      ),
    );
    this.seat.append(this.waiting.element);
    this.root.append(this.toolbar.element, this.banners.element, main, this.foot, this.voice.element);
    el.append(this.root);
    this.finding = addTools(this, this.toolbar.tools);
    this.colors = readTheme(this.root);
    this.listen();
    this.height();
    this.paintTheme();
    this.takeView();
    this.takeSelection();
    this.onModelChange(EVERYTHING_NEW, this.model.size === 0);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const off of this.undo.splice(0)) off();
    for (const view of this.views.values()) view.close();
    this.finding.close();
    this.voice.close();
    this.root.remove();
  }

  // -- what views ask for

  theme(): Theme {
    return this.colors;
  }
  select(slot: number): void {
    this.state.select(slot);
    this.ask("select", { row: slot < 0 ? null : this.model.row[slot]! });
  }
  selectMany(slots: readonly number[]): void {
    if (slots.length < 2) {
      this.select(slots[0] ?? -1);
      return;
    }
    const rows = new Int32Array(slots.length);
    for (let i = 0; i < rows.length; i++) rows[i] = this.model.row[slots[i]!]!;
    this.state.select(slots[0]!, rows);
    this.ask("select_many", { epoch: this.model.epoch, rows: packRows(rows) });
  }
  peek(row: number, title: string, kind: string): void {
    const slot = this.model.slotOf(row);
    if (slot >= 0) this.select(slot);
    else this.panels.show("details", row, title, kind);
  }
  open(): void {
    this.panels.focus();
  }
  escape(): void {
    if (!this.keyList.hasAttribute("hidden")) this.keyList.setAttribute("hidden", "");
    else if (this.finding.escape()) this.shown?.focus.focus();
    else if (this.state.selected >= 0) this.select(-1);
  }
  keys(): void {
    this.keyList.toggleAttribute("hidden");
  }
  fail(part: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.banners.set(part, part === "request" ? message : `The ${part} could not be drawn: ${message}`);
  }
  painted(): void {
    announce(this.root, this.model);
  }

  private ask(op: string, args: Record<string, unknown>): void {
    this.connection.request(op, args).catch((error: unknown) => this.fail("request", error));
  }

  // -- what it listens to

  private listen(): void {
    const { connection, model, undo } = this;
    undo.push(model.subscribe((delta) => this.onModelChange(delta)));
    undo.push(this.state.on((part) => this.changed(part)));
    undo.push(connection.onTrait("view", () => this.takeView()));
    undo.push(connection.onTrait("x_axis", () => this.toolbar.mode(this.mode())));
    undo.push(connection.onTrait("height", () => this.height()));
    undo.push(connection.onTrait("_selected_row", () => this.takeSelection()));
    undo.push(connection.onTrait("_selected_rows", () => this.takeSelection()));
    undo.push(connection.onTrait("_only_rows", () => this.takeRows()));
    undo.push(connection.onTrait("_bright_rows", () => this.takeRows()));
    undo.push(connection.onTrait("trace_id", () => this.toolbar.update()));
    undo.push(connection.onTrait("waiting", () => this.takeWaiting()));
    undo.push(connection.onTrait("_error", () => this.kernelError()));
    undo.push(connection.onTrait("_shoot", () => this.shoot()));
    undo.push(connection.onSlow((waits) => this.banners.set("slow", waits ? BUSY : null, "wait")));
    undo.push(
      watchTheme(this.root, () => {
        this.paintTheme();
        this.shown?.onThemeChange();
      }),
    );
    const key = (event: KeyboardEvent): void => this.key(event);
    this.root.addEventListener("keydown", key);
    undo.push(() => this.root.removeEventListener("keydown", key));
    undo.push(keepKeys(this.root));
    this.kernelError();
    this.takeRows();
  }

  private shoot(): void {
    const shot = asked(this.connection.get("_shoot"));
    if (shot === null) return;
    shoot(this.connection, this.shown ?? null, shot).catch((error: unknown) => this.fail("picture", error));
  }

  /** Keys that mean the same in every view; a view's own stay with it. */
  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement | null;
    if (target?.closest?.("input, textarea, select, [contenteditable]") && event.key !== "Escape") return;
    const wanted = VIEWS[Number(event.key) - 1];
    if (wanted !== undefined) this.connection.set("view", wanted);
    else if (event.key === "/") this.finding.focus();
    else if (event.key === "?") this.keys();
    else if (event.key === "f") this.shown?.fit();
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  private mode(): "time" | "order" {
    return this.connection.get("x_axis") === "order" ? "order" : "time";
  }
  private paintTheme(): void {
    this.colors = readTheme(this.root);
    this.root.classList.toggle("an-dark", this.colors.dark);
  }
  private height(): void {
    this.root.style.height = heightOf(this.connection.get("height"));
  }
  private kernelError(): void {
    const message = this.connection.get("_error");
    this.banners.set("kernel", typeof message === "string" && message !== "" ? message : null);
  }

  /** A part that fails says so in a banner; the others go on. */
  private guard(part: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fail(part, error);
    }
  }

  private takeView(): void {
    const said = this.connection.get("view");
    const name = VIEWS.find((one) => one === said) ?? "graph";
    if (this.shown?.name === name) return;
    const held = this.shown?.element.contains(document.activeElement) ?? false;
    this.shown?.hide();
    this.shown?.element.setAttribute("hidden", "");
    const known = this.views.get(name);
    const view = known ?? makeView(name, this);
    if (known === undefined) {
      this.views.set(name, view);
      this.seat.append(view.element);
    }
    view.element.removeAttribute("hidden");
    this.shown = view;
    this.root.dataset.view = name;
    this.toolbar.view(name);
    this.guard(name, () => {
      if (this.model.size > 0 || known !== undefined) view.onModelChange(EVERYTHING_NEW);
      if (known !== undefined) view.changed("light"); // a hidden view is not told of a filter
      view.show();
    });
    if (held) view.focus.focus();
    if (known !== undefined || this.model.size > 0) this.voice.say(`${name} view`);
  }

  /** `view`: whether the view has to be told too; one that was just made has been. */
  private onModelChange(delta: Delta, view = true): void {
    this.state.onModelChange(delta);
    if (delta.reset) this.takeSelection();
    if (view) this.guard("picture", () => this.shown?.onModelChange(delta));
    this.guard("toolbar", () => this.toolbar.update());
    this.guard("search", () => this.finding.onModelChange(delta));
    this.takeWaiting();
    this.say();
  }
  private changed(part: Part): void {
    if (part === "selection") this.showSelection();
    this.guard("picture", () => this.shown?.changed(part));
    this.finding.changed(part);
  }

  private say(): void {
    const run = this.model.runs.get(this.model.shown[0] ?? "");
    this.foot.textContent = footnote(this.model);
    this.foot.toggleAttribute("hidden", this.foot.textContent === "");
    if (run !== undefined && run.errors > this.errors)
      this.voice.say(`${run.errors} ${run.errors === 1 ? "error" : "errors"} in this run`);
    this.errors = run?.errors ?? 0;
    this.toolbar.mode(this.mode());
  }

  private takeWaiting(): void {
    const shown = this.model.size === 0 && (this.model.link === "live" || this.model.link === "waiting");
    this.waiting.update(shown ? this.connection.get("waiting") : null);
  }
  private takeSelection(): void {
    const row = Number(this.connection.get("_selected_row") ?? -1);
    const slot = row < 0 ? -1 : this.model.slotOf(row);
    const many = unpackRows(this.connection.get("_selected_rows"));
    this.state.select(slot, slot >= 0 && many !== null && many.includes(row) ? many : undefined);
  }
  private takeRows(): void {
    this.state.keepOnly(unpackRows(this.connection.get("_only_rows")));
    this.state.highlight(unpackRows(this.connection.get("_bright_rows")));
  }
  private showSelection(): void {
    const { selected: slot, rows } = this.state;
    if (slot < 0) {
      this.panels.close();
      return;
    }
    const { model } = this;
    const [name, kind] = [model.name(slot), model.kind(slot)];
    this.panels.show("details", model.row[slot]!, name || kind, kind);
    const state = ["running", "ok", "failed"][model.status[slot]!] ?? "";
    const marked = model.mark[slot]! > 0 ? `, marked ${markWord(model.mark[slot])}` : "";
    this.voice.say(rows.length > 1 ? `${rows.length} spans selected` : `${kind} ${name}, ${state}${marked}`);
  }
}
