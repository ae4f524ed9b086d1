/** One view of a model: puts the parts together, and takes them apart again. */
import type { Connection } from "../connection";
import { Layout } from "../layout/layout";
import type { Delta, Model } from "../model";
import { readTheme, type Theme, watchTheme } from "../theme";
import { DetailsPanel } from "../ui/details";
import { h } from "../ui/dom";
import { Banners, keysPanel, Tooltip, Voice } from "../ui/notes";
import { Toolbar } from "../ui/toolbar";
import { Camera } from "./camera";
import { Frames } from "./frames";
import { Hand } from "./hand";
import { Minimap } from "./minimap";
import { pathOf } from "./paths";
import { Picture } from "./picture";
import { Reasons } from "./reasons";
import { follow, remember } from "./remembered";
import { BUSY, described, footnote, instead } from "./saying";
import { announce, fitCanvas, heightOf, stageElement, watchSize } from "./surface";

export function mountView(el: HTMLElement, model: Model, connection: Connection, signal: AbortSignal): () => void {
  const view = new View(el, model, connection);
  signal.addEventListener("abort", () => view.close(), { once: true });
  return () => view.close();
}

class View {
  private readonly root = h("div.anton", { "data-lm-suppress-shortcuts": "true" });
  private readonly stage = stageElement();
  private readonly canvas = h("canvas") as HTMLCanvasElement;
  private readonly empty = h("div.an-empty");
  private readonly foot = h("div.an-foot");
  private readonly tip = new Tooltip();
  private readonly banners = new Banners();
  private readonly voice = new Voice();
  private readonly keys = keysPanel();
  private readonly context: CanvasRenderingContext2D | null;
  private readonly layout: Layout;
  private readonly camera: Camera;
  private readonly picture: Picture;
  private readonly hand: Hand;
  private readonly map: Minimap;
  private readonly reasons: Reasons;
  private readonly frames: Frames;
  private readonly toolbar: Toolbar;
  private readonly details: DetailsPanel;
  private readonly undo: (() => void)[] = [];
  private theme: Theme;
  private hovered = -1;
  private selected = -1;
  private fitted = false;
  private errors = 0;
  private closed = false;

  constructor(
    el: HTMLElement,
    private readonly model: Model,
    private readonly connection: Connection,
  ) {
    const still = el.ownerDocument.defaultView?.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? false;
    this.reasons = new Reasons(model, connection);
    this.layout = new Layout(model, { mode: this.mode(), now: Date.now(), likes: true });
    this.toolbar = new Toolbar(model, connection, {
      fit: () => this.fit(true),
      mode: (mode) => this.connection.set("_layout", mode),
      keys: () => this.keys.toggleAttribute("hidden"),
      failed: (error) => this.fail("request", error),
    });
    this.details = new DetailsPanel(
      connection,
      () => model.epoch,
      () => this.stage.focus(),
    );
    this.stage.append(this.canvas, this.empty, this.tip.element, this.keys);
    const body = h("div.an-main", {}, this.stage, this.details.element);
    this.root.append(this.toolbar.element, this.banners.element, body, this.foot, this.voice.element);
    el.append(this.root);
    this.theme = readTheme(this.root);
    this.context = this.canvas.getContext("2d");
    this.camera = new Camera(
      this.stage,
      () => this.frames.dirty(),
      (event) => this.free(event),
    );
    this.picture = new Picture(model, this.layout, this.camera, still);
    this.map = new Minimap(model, this.layout, this.camera);
    this.stage.append(this.map.element);
    this.frames = new Frames(
      (now) => this.draw(now),
      (error) => this.fail("picture", error),
    );
    this.hand = new Hand(this.stage, model, this.layout, this.camera, this.picture, this.wishes(), () => this.selected);
    this.listen();
    this.height();
    this.paintTheme();
    this.resize();
    this.takeSelection();
    this.told({ reset: true, added: 0, changed: new Int32Array(0), runs: true, status: true, link: true });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const off of this.undo.splice(0)) off();
    this.hand.close();
    this.frames.close();
    this.camera.close();
    this.voice.close();
    this.root.remove();
  }

  private mode(): "time" | "order" {
    return this.connection.get("_layout") === "order" ? "order" : "time";
  }

  private listen(): void {
    const { connection, model, undo } = this;
    undo.push(model.subscribe((delta) => this.guard("picture", () => this.told(delta))));
    undo.push(connection.onTrait("_layout", () => this.relayout()));
    undo.push(connection.onTrait("height", () => this.height()));
    undo.push(connection.onTrait("_selected_row", () => this.takeSelection()));
    undo.push(connection.onTrait("trace_id", () => this.toolbar.update()));
    undo.push(connection.onTrait("_error", () => this.kernelError()));
    undo.push(connection.onSlow((waits) => this.banners.set("slow", waits ? BUSY : null, "wait")));
    undo.push(
      watchTheme(this.root, () => {
        this.paintTheme();
        this.frames.dirty();
      }),
    );
    undo.push(watchSize(this.stage, () => this.resize()));
    undo.push(follow(connection, this.layout, this.picture, () => this.frames.dirty()));
    this.kernelError();
  }

  private wishes(): ConstructorParameters<typeof Hand>[5] {
    return {
      hover: (slot, x, y) => this.hover(slot, x, y),
      select: (slot) => this.select(slot),
      moved: () => this.frames.dirty(),
      fit: () => this.fit(true),
      escape: () => this.escape(),
      keys: () => this.keys.toggleAttribute("hidden"),
      open: () => this.details.element.focus(),
      fold: (slot) => this.fold(slot),
    };
  }

  private paintTheme(): void {
    this.theme = readTheme(this.root);
    this.root.classList.toggle("an-dark", this.theme.dark);
  }
  private height(): void {
    this.root.style.height = heightOf(this.connection.get("height"));
  }
  private kernelError(): void {
    const message = this.connection.get("_error");
    this.banners.set("kernel", typeof message === "string" && message !== "" ? message : null);
  }

  /** A panel that fails says so in a banner; the others go on. */
  private guard(part: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fail(part, error);
    }
  }
  private fail(part: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.banners.set(part, part === "request" ? message : `The ${part} could not be drawn: ${message}`);
  }

  private told(delta: Delta): void {
    const before = this.model.shown[0] !== this.root.dataset.trace;
    this.layout.now = Date.now();
    if (delta.reset) {
      this.layout.relayout({ mode: this.mode(), now: Date.now() });
      this.picture.forget();
      this.takeSelection();
    } else {
      this.layout.update(delta);
      this.picture.welcome(delta, performance.now());
    }
    if (delta.reset && before) this.fitted = false;
    if (this.camera.following) this.follow();
    this.guard("toolbar", () => this.toolbar.update());
    this.say();
    this.frames.dirty();
  }

  private say(): void {
    const { model } = this;
    const run = model.runs.get(model.shown[0] ?? "");
    this.foot.textContent = footnote(model);
    this.foot.toggleAttribute("hidden", this.foot.textContent === "");
    this.empty.textContent = instead(model);
    this.stage.setAttribute("aria-label", described(run));
    if (run !== undefined && run.errors > this.errors)
      this.voice.say(`${run.errors} ${run.errors === 1 ? "error" : "errors"} in this run`);
    this.errors = run?.errors ?? 0;
    this.toolbar.mode(this.mode());
  }

  private relayout(): void {
    this.layout.relayout({ mode: this.mode(), now: Date.now() });
    this.toolbar.mode(this.mode());
    this.fit(false);
  }

  private follow(): void {
    if (this.model.size === 0) return;
    const running = this.model.runs.get(this.model.shown[0] ?? "")?.status === "running";
    const least = running ? 0.62 / Math.max(this.layout.unit, 1e-9) : 0;
    this.camera.fit(this.layout.bounds, least, this.fitted && !document.hidden);
    this.fitted = true;
  }
  private fit(smooth: boolean): void {
    this.camera.following = true;
    this.fitted ||= !smooth;
    this.camera.fit(this.layout.bounds, 0, smooth);
  }
  private resize(): void {
    if (fitCanvas(this.stage, this.canvas, this.camera) && this.camera.following) this.follow();
    this.frames.dirty();
  }

  private free(event: MouseEvent): boolean {
    const box = this.stage.getBoundingClientRect();
    return !this.picture.near || this.hand.at(event.clientX - box.left, event.clientY - box.top) < 0;
  }

  private hover(slot: number, x: number, y: number): void {
    if (slot < 0) this.tip.hide();
    else this.guard("tooltip", () => this.explain(slot, x, y));
    this.stage.style.cursor = slot < 0 ? "grab" : "pointer";
    if (slot === this.hovered) return;
    this.hovered = slot;
    this.frames.dirty();
  }

  private explain(slot: number, x: number, y: number): void {
    const again = (): void => {
      if (this.hovered === slot && !this.closed) this.explain(slot, x, y);
    };
    this.tip.about(this.reasons.about(slot, again), x, y, this.camera);
  }

  private fold(slot: number): void {
    if (slot >= 0 && this.picture.fold(slot)) remember(this.connection, this.layout);
    this.frames.dirty();
  }
  private select(slot: number): void {
    const row = slot < 0 ? null : this.model.row[slot]!;
    this.showSelection(slot);
    this.connection.request("select", { row }).catch((error: unknown) => this.fail("request", error));
  }
  private takeSelection(): void {
    const row = Number(this.connection.get("_selected_row") ?? -1);
    const slot = row < 0 ? -1 : this.model.slotOf(row);
    if (slot === this.selected) return;
    if (slot >= 0) this.picture.reveal(slot);
    this.showSelection(slot);
    if (slot >= 0) this.camera.reveal(this.layout.x[slot]!, this.layout.y[slot]!);
  }
  private showSelection(slot: number): void {
    this.selected = slot;
    if (slot < 0) this.details.close();
    else {
      const [name, kind] = [this.model.name(slot), this.model.kind(slot)];
      void this.details.show(this.model.row[slot]!, name || kind, kind);
      this.voice.say(`${kind} ${name}, ${["running", "ok", "failed"][this.model.status[slot]!] ?? ""}`);
    }
    this.frames.dirty();
  }
  private escape(): void {
    if (!this.keys.hasAttribute("hidden")) this.keys.setAttribute("hidden", "");
    else if (this.selected >= 0) this.select(-1);
  }

  private draw(now: number): void {
    if (this.context === null || this.canvas.width === 0) return;
    const moving = this.camera.step();
    this.layout.now = Date.now();
    const lit = this.hovered >= 0 && this.picture.near ? pathOf(this.model, this.hovered) : null;
    const ratio = this.canvas.width / this.camera.width;
    const next = this.picture.draw(
      this.context,
      ratio,
      this.theme,
      { hovered: this.hovered, selected: this.selected, lit },
      now,
    );
    this.map.draw(this.theme, ratio, now);
    announce(this.root, this.model);
    if (moving || next === 0) this.frames.dirty();
    else if (next > 0) this.frames.later(next);
  }
}
