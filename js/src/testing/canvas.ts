/** A canvas that draws nothing and notes everything: what was filled, stroked and written, where and in which color. */

export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

export interface Mark extends Box {
  op: "fill" | "stroke" | "fillRect" | "strokeRect" | "fillText" | "strokeText";
  color: string;
  alpha: number;
  width: number;
  dash: readonly number[];
  font: string;
  text: string;
  /** Names of the path's steps, such as `arc` or `moveTo lineTo lineTo`. */
  path: string;
}

/** Every letter is as wide as 0.6 of the font's size. */
const LETTER = 0.6;

export class RecordingContext {
  fillStyle = "#000000";
  strokeStyle = "#000000";
  globalAlpha = 1;
  lineWidth = 1;
  lineJoin = "miter";
  font = "10px sans-serif";
  textAlign = "start";
  textBaseline = "alphabetic";
  marks: Mark[] = [];
  transform = [1, 0, 0, 1, 0, 0];
  private dash: number[] = [];
  private steps: string[] = [];
  private readonly kept: { dash: number[]; lineWidth: number; strokeStyle: string }[] = [];
  private points: [number, number][] = [];

  /** As the drawing code takes it. */
  get context(): CanvasRenderingContext2D {
    return this as unknown as CanvasRenderingContext2D;
  }
  of(op: Mark["op"], color?: string): Mark[] {
    return this.marks.filter((mark) => mark.op === op && (color === undefined || mark.color === color));
  }
  get texts(): string[] {
    return this.of("fillText").map((mark) => mark.text);
  }
  forget(): void {
    this.marks = [];
  }

  setTransform(...parts: number[]): void {
    this.transform = parts;
  }
  save(): void {
    this.kept.push({ dash: [...this.dash], lineWidth: this.lineWidth, strokeStyle: this.strokeStyle });
  }
  restore(): void {
    const { dash, lineWidth, strokeStyle } = this.kept.pop() ?? this.lost();
    Object.assign(this, { lineWidth, strokeStyle });
    this.dash = dash;
  }
  clip(): void {}
  clearRect(): void {}
  drawImage(): void {}
  setLineDash(dash: number[]): void {
    this.dash = [...dash];
  }
  measureText(text: string): { width: number } {
    return { width: [...text].length * this.points_() * LETTER };
  }
  beginPath(): void {
    this.steps = [];
    this.points = [];
  }
  closePath(): void {
    this.steps.push("closePath");
  }
  moveTo(x: number, y: number): void {
    this.step("moveTo", [x, y]);
  }
  lineTo(x: number, y: number): void {
    this.step("lineTo", [x, y]);
  }
  quadraticCurveTo(_cx: number, _cy: number, x: number, y: number): void {
    this.step("quadraticCurveTo", [x, y]);
  }
  arc(x: number, y: number, r: number): void {
    this.step("arc", [x - r, y - r], [x + r, y + r]);
  }
  roundRect(x: number, y: number, w: number, h: number): void {
    this.step("roundRect", [x, y], [x + w, y + h]);
  }
  fill(): void {
    this.note("fill", this.fillStyle, this.bounds());
  }
  stroke(): void {
    if (this.points.length > 0) this.note("stroke", this.strokeStyle, this.bounds());
  }
  fillRect(x: number, y: number, w: number, h: number): void {
    this.note("fillRect", this.fillStyle, { x0: x, y0: y, x1: x + w, y1: y + h });
  }
  strokeRect(x: number, y: number, w: number, h: number): void {
    this.note("strokeRect", this.strokeStyle, { x0: x, y0: y, x1: x + w, y1: y + h });
  }
  fillText(text: string, x: number, y: number): void {
    this.note("fillText", this.fillStyle, this.textBox(text, x, y), text);
  }
  strokeText(text: string, x: number, y: number): void {
    this.note("strokeText", this.strokeStyle, this.textBox(text, x, y), text);
  }

  private lost(): never {
    throw new Error("restore without save");
  }
  private points_(): number {
    return Number(/([\d.]+)px/.exec(this.font)?.[1] ?? 10);
  }
  private step(name: string, ...points: [number, number][]): void {
    this.steps.push(name);
    this.points.push(...points);
  }
  private textBox(text: string, x: number, y: number): Box {
    const { width } = this.measureText(text);
    const high = this.points_();
    const x0 = this.textAlign === "center" ? x - width / 2 : x;
    const y0 = this.textBaseline === "middle" ? y - high / 2 : y;
    return { x0, y0, x1: x0 + width, y1: y0 + high };
  }
  private bounds(): Box {
    const xs = this.points.map((point) => point[0]);
    const ys = this.points.map((point) => point[1]);
    return { x0: Math.min(...xs), y0: Math.min(...ys), x1: Math.max(...xs), y1: Math.max(...ys) };
  }
  private note(op: Mark["op"], color: string, box: Box, text = ""): void {
    const { globalAlpha: alpha, lineWidth: width, font } = this;
    this.marks.push({ op, color, alpha, width, font, text, dash: [...this.dash], path: this.steps.join(" "), ...box });
  }
}

/** Whether two boxes share more than an edge. */
export function overlap(a: Box, b: Box): boolean {
  const a_little = 0.01;
  return a.x0 < b.x1 - a_little && b.x0 < a.x1 - a_little && a.y0 < b.y1 - a_little && b.y0 < a.y1 - a_little;
}
