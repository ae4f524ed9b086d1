/** The small things around the picture: tooltip, banners, the list of keys, and what a screen reader hears. */
import { append, copyButton, h, replaceChildren } from "./dom";

export class Tooltip {
  readonly element = h("div.an-tip", { "aria-hidden": "true", hidden: true });

  /** What there is to say of a span. */
  about(
    { title, lines, bad }: { title: string; lines: readonly string[]; bad: string | null },
    x: number,
    y: number,
    stage: { width: number; height: number },
  ): void {
    this.show(x, y, stage.width, stage.height, title, lines, bad);
  }

  /** Beside the pointer at x, y, inside a stage of this width and height. */
  show(
    x: number,
    y: number,
    width: number,
    height: number,
    title: string,
    lines: readonly string[],
    bad: string | null,
  ): void {
    replaceChildren(
      this.element,
      h("b", {}, title),
      ...lines.map((line) => h("div", {}, line)),
      bad === null ? null : h("div.an-bad", {}, bad),
    );
    this.element.removeAttribute("hidden");
    const { offsetWidth: wide, offsetHeight: high } = this.element;
    const left = x + 16 + wide <= width ? x + 16 : x - 16 - wide;
    const top = y + 14 + high <= height ? y + 14 : y - 14 - high;
    this.element.style.left = `${Math.max(0, Math.min(left, width - wide))}px`;
    this.element.style.top = `${Math.max(0, Math.min(top, height - high))}px`;
  }
  hide(): void {
    this.element.setAttribute("hidden", "");
  }
}

export class Banners {
  readonly element = h("div.an-banners");
  private readonly shown = new Map<string, HTMLElement>();

  /** One banner a topic; null takes it away. */
  set(topic: string, message: string | null, kind: "error" | "wait" = "error"): void {
    const old = this.shown.get(topic);
    if (message === null) {
      old?.remove();
      this.shown.delete(topic);
      return;
    }
    const close = h("button.an-close", { type: "button", "aria-label": "Close this message" }, "×");
    const banner = h(
      `div.an-banner.an-banner-${kind}`,
      { role: kind === "error" ? "alert" : "status" },
      h("span", {}, message),
    );
    if (kind === "error")
      append(
        banner,
        copyButton("Copy this message", () => message),
        close,
      );
    close.addEventListener("click", () => this.set(topic, null));
    if (old === undefined) this.element.append(banner);
    else old.replaceWith(banner);
    this.shown.set(topic, banner);
  }
}

const KEYS: readonly [string, string][] = [
  ["← →", "the call before, the next one"],
  ["↑ ↓", "up to the parent, down to the first child"],
  ["Enter", "read the details"],
  ["Space", "fold what lies under it, or open it; a double click does too"],
  ["1 to 5", "graph, timeline, tree, chat, compare"],
  ["/", "search; Enter goes to the next one found"],
  ["f", "show the whole run"],
  ["Shift + drag", "select what lies in a box; with Alt, in a shape of any form"],
  ["+ −", "zoom; the wheel does too"],
  ["Esc", "close what is open"],
  ["?", "this list"],
];

export function keysPanel(): HTMLElement {
  const list = h("dl");
  for (const [key, what] of KEYS) append(list, h("dt", {}, key), h("dd", {}, what));
  return h("div.an-keys", { role: "dialog", "aria-label": "Keys", hidden: true }, h("h3", {}, "Keys"), list);
}

/** Says things aloud, at most one a second. */
export class LiveRegion {
  readonly element = h("div.an-hidden", { "aria-live": "polite" });
  private timer: ReturnType<typeof setTimeout> | undefined;
  private next = "";

  say(text: string): void {
    this.next = text;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.element.textContent = this.next;
    }, 300);
  }
  close(): void {
    clearTimeout(this.timer);
  }
}
