/** The panels beside the view: one is seen at a time, and each can be added with one line. */

export interface Panel {
  readonly element: HTMLElement;
  show(row: number, title: string, kind: string): void | Promise<void>;
  close(): void;
}

export class Panels {
  private readonly all = new Map<string, Panel>();
  private open: string | null = null;

  constructor(private readonly place: HTMLElement) {}

  add(name: string, panel: Panel): void {
    this.all.set(name, panel);
    this.place.append(panel.element);
  }
  /** Shows a span in a panel; another that is open closes. */
  show(name: string, row: number, title: string, kind: string): void {
    for (const [other, panel] of this.all) if (other !== name) panel.close();
    this.open = name;
    void this.all.get(name)?.show(row, title, kind);
  }
  close(): void {
    for (const panel of this.all.values()) panel.close();
    this.open = null;
  }
  focus(): void {
    if (this.open !== null) this.all.get(this.open)?.element.focus();
  }
}
