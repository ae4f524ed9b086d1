/** A box drawn with shift and the pointer selects what lies in it. */
import { h } from "../../ui/dom";

export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

const LEAST = 4;

/** Calls back with a box in px of the stage. Must be listening before others do: a drag with shift is its alone. */
export function boxes(stage: HTMLElement, drawn: (box: Box) => void): () => void {
  const frame = h("div.an-box", { hidden: true, "aria-hidden": "true" });
  stage.append(frame);
  let from: { x: number; y: number; pointer: number } | null = null;
  const place = (event: PointerEvent): { x: number; y: number } => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const boxTo = (event: PointerEvent): Box => {
    const { x, y } = place(event);
    const start = from as { x: number; y: number };
    return {
      x0: Math.min(x, start.x),
      y0: Math.min(y, start.y),
      x1: Math.max(x, start.x),
      y1: Math.max(y, start.y),
    };
  };
  const down = (event: PointerEvent): void => {
    if (!event.shiftKey || event.button !== 0) return;
    from = { ...place(event), pointer: event.pointerId };
    stage.setPointerCapture(event.pointerId);
    event.stopImmediatePropagation();
    event.preventDefault();
  };
  const move = (event: PointerEvent): void => {
    if (from === null || event.pointerId !== from.pointer) return;
    event.stopImmediatePropagation();
    const { x0, y0, x1, y1 } = boxTo(event);
    frame.removeAttribute("hidden");
    Object.assign(frame.style, { left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px` });
  };
  const up = (event: PointerEvent): void => {
    if (from === null || event.pointerId !== from.pointer) return;
    event.stopImmediatePropagation();
    const box = boxTo(event);
    cancel();
    if (box.x1 - box.x0 >= LEAST || box.y1 - box.y0 >= LEAST) drawn(box);
  };
  const cancel = (): void => {
    from = null;
    frame.setAttribute("hidden", "");
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
  };
}
