/** A box drawn with shift and the pointer selects what lies in it; with Alt too, it is a shape drawn by hand. */
import { h } from "../../ui/dom";
import { type Point, within } from "./lasso";

export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

const LEAST = 4;

const SVG = "http://www.w3.org/2000/svg";

/** Told of a box in px of the stage, and of the shape in it that was drawn by hand. */
type Drawn = (box: Box, inside: ((x: number, y: number) => boolean) | null) => void;

/** Must be listening before others do: a drag with shift is its alone. */
export function boxes(stage: HTMLElement, drawn: Drawn, free = false): () => void {
  const frame = h("div.an-box", { hidden: true, "aria-hidden": "true" });
  const sheet = document.createElementNS(SVG, "svg");
  const line = sheet.appendChild(document.createElementNS(SVG, "polygon"));
  sheet.setAttribute("class", "an-lasso");
  sheet.setAttribute("aria-hidden", "true");
  stage.append(frame);
  if (free) stage.append(sheet);
  let from: (Point & { pointer: number }) | null = null;
  let shape: Point[] | null = null;
  const place = (event: PointerEvent): Point => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const boxOf = (points: readonly Point[]): Box => {
    const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
    return { x0: Math.min(...xs), y0: Math.min(...ys), x1: Math.max(...xs), y1: Math.max(...ys) };
  };
  const down = (event: PointerEvent): void => {
    if (!event.shiftKey || event.button !== 0) return;
    from = { ...place(event), pointer: event.pointerId };
    shape = free && event.altKey ? [from] : null;
    stage.setPointerCapture(event.pointerId);
    event.stopImmediatePropagation();
    event.preventDefault();
  };
  const move = (event: PointerEvent): void => {
    if (from === null || event.pointerId !== from.pointer) return;
    event.stopImmediatePropagation();
    const to = place(event);
    if (shape !== null) {
      const last = shape[shape.length - 1]!;
      if (Math.hypot(to.x - last.x, to.y - last.y) < LEAST / 2) return;
      shape.push(to);
      line.setAttribute("points", shape.map(({ x, y }) => `${x},${y}`).join(" "));
      return;
    }
    const { x0, y0, x1, y1 } = boxOf([from, to]);
    frame.removeAttribute("hidden");
    Object.assign(frame.style, { left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px` });
  };
  const up = (event: PointerEvent): void => {
    if (from === null || event.pointerId !== from.pointer) return;
    event.stopImmediatePropagation();
    const points = [...(shape ?? [from]), place(event)];
    const [box, inside] = [boxOf(points), shape === null ? null : within(points)];
    cancel();
    if (box.x1 - box.x0 >= LEAST || box.y1 - box.y0 >= LEAST) drawn(box, inside);
  };
  const cancel = (): void => {
    from = shape = null;
    frame.setAttribute("hidden", "");
    line.removeAttribute("points");
  };
  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", cancel);
  return () => {
    stage.removeEventListener("pointerdown", down);
    stage.removeEventListener("pointermove", move);
    stage.removeEventListener("pointerup", up);
    stage.removeEventListener("pointercancel", cancel);
    frame.remove();
    sheet.remove();
  };
}
