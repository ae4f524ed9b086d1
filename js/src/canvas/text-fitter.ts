/** Fits texts to a width. Measurements are cached, because most texts repeat in every frame. */
export class TextFitter {
  private readonly known = new Map<string, string>();
  private readonly widths = new Map<string, number>();
  private readonly parted = new Map<string, readonly string[]>();

  /** The width of a text in the font that the context has. */
  width(context: CanvasRenderingContext2D, text: string, font: string): number {
    const key = `${font}\n${text}`;
    const found = this.widths.get(key);
    if (found !== undefined) return found;
    if (this.widths.size > 4_000) this.widths.clear();
    const { width } = context.measureText(text);
    this.widths.set(key, width);
    return width;
  }

  fit(context: CanvasRenderingContext2D, text: string, width: number, font: string): string {
    const key = `${font}\n${Math.round(width)}\n${text}`;
    const found = this.known.get(key);
    if (found !== undefined) return found;
    if (this.known.size > 4_000) this.known.clear();
    const flat = text.length > 200 ? text.slice(0, 200) : text;
    let fitted = flat;
    if (context.measureText(flat).width > width) {
      let low = 0;
      let high = flat.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (context.measureText(`${flat.slice(0, middle)}…`).width <= width) low = middle;
        else high = middle - 1;
      }
      const half = /[\ud800-\udbff]$/.test(flat.slice(0, low)) ? 1 : 0;
      fitted = low === half ? "" : `${flat.slice(0, low - half).trimEnd()}…`;
    }
    this.known.set(key, fitted);
    return fitted;
  }

  /** One line, or two where the name can be parted: at a mark between words, or where a small letter meets a large one. */
  lines(context: CanvasRenderingContext2D, text: string, width: number, font: string): readonly string[] {
    if (this.width(context, text, font) <= width) return [text];
    const key = `${font}\n${Math.round(width)}\n\n${text}`;
    const found = this.parted.get(key);
    if (found !== undefined) return found;
    if (this.parted.size > 4_000) this.parted.clear();
    let best: readonly string[] = [this.fit(context, text, width, font)];
    let most = 0;
    for (const { index, 0: mark } of text.matchAll(/[_\-. /:]|(?<=[a-z])(?=[A-Z])/g)) {
      const head = text.slice(0, index + mark.length).trimEnd();
      if (this.width(context, head, font) > width) break;
      const tail = this.fit(context, text.slice(index + mark.length), width, font);
      const shown = head.length + tail.length - (tail.endsWith("…") ? 1 : 0);
      if (tail === "" || shown <= most) continue;
      most = shown;
      best = [head, tail];
    }
    this.parted.set(key, best);
    return best;
  }
}
