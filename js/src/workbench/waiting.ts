/** What is said while no run is shown: the path, what is looked for there, what was found instead, and what to do. */
import { h, replaceChildren } from "../ui/dom";

export class WaitingPanel {
  readonly element = h("div.an-waiting", { role: "status", hidden: "" });
  private said = "";

  /** Takes the value of the trait `waiting`; null or an empty object hides the panel. */
  update(waiting: unknown): void {
    const value = waiting !== null && typeof waiting === "object" ? (waiting as Record<string, unknown>) : {};
    const key = JSON.stringify(value);
    if (key === this.said) return;
    this.said = key;
    const rows = [
      row("Path", texts([value.path])),
      row("Looked for", texts(value.looked_for)),
      row("Found instead", texts(value.found)),
      row("Similar names", texts(value.similar)),
    ].flat();
    const hints = texts(value.hints).map((hint) => h("li", {}, hint));
    replaceChildren(
      this.element,
      ...(rows.length > 0 ? [h("dl", {}, ...rows)] : []),
      ...(hints.length > 0 ? [h("ul", {}, ...hints)] : []),
    );
    this.element.toggleAttribute("hidden", rows.length + hints.length === 0);
  }
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string" && one !== "") : [];
}

function row(label: string, values: string[]): HTMLElement[] {
  return values.length === 0 ? [] : [h("dt", {}, label), h("dd", {}, values.join(", "))];
}
