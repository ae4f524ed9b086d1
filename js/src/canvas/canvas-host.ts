/** The elements that the picture is drawn on: their sizes, and what they tell the page around them. */
import type { Model } from "../model/model";
import { h } from "../ui/dom";
import type { Camera } from "./camera";

const USUAL = 560;
const LEAST = 160;

/** What the picture stands on, and what takes the keys and the pointer. */
export function stageElement(): HTMLElement {
  return h("div.an-stage", { tabindex: "0", role: "application", "aria-roledescription": "trace graph" });
}

/** Calls back when the element's size changes. Returns the way to stop that. */
export function watchSize(element: HTMLElement, changed: () => void): () => void {
  const sizes = new ResizeObserver(changed);
  sizes.observe(element);
  return () => sizes.disconnect();
}

/** The cell's height, whatever the kernel says. */
export function heightOf(wanted: unknown): string {
  const height = Number(wanted);
  return `${Number.isFinite(height) && height > 0 ? Math.max(LEAST, height) : USUAL}px`;
}

/** Gives the canvas a point for each point of the screen; false while nothing of it can be seen. */
export function fitCanvas(stage: HTMLElement, canvas: HTMLCanvasElement, camera: Camera): boolean {
  const { clientWidth, clientHeight } = stage;
  if (clientWidth === 0 || clientHeight === 0) return false;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(clientWidth * ratio);
  canvas.height = Math.round(clientHeight * ratio);
  camera.resize(clientWidth, clientHeight);
  return true;
}

/** A canvas of the size of what is seen, with so many points a px; null while nothing is. */
export function canvasOf(
  camera: Camera,
  ratio: number,
): { canvas: HTMLCanvasElement; context: CanvasRenderingContext2D } | null {
  const canvas = h("canvas") as HTMLCanvasElement;
  canvas.width = Math.round(camera.width * ratio);
  canvas.height = Math.round(camera.height * ratio);
  const context = canvas.width > 0 && canvas.height > 0 ? canvas.getContext("2d") : null;
  return context === null ? null : { canvas, context };
}

/** Says what has been painted, for whoever measures or tests; numbers and states of ours alone. */
export function announce(root: HTMLElement, model: Model): void {
  root.dataset.spans = String(model.size);
  root.dataset.revision = String(model.revision);
  root.dataset.trace = model.shown[0] ?? "";
  root.dataset.link = model.link;
  const detail = { revision: model.revision, spans: model.size };
  root.dispatchEvent(new CustomEvent("anton:painted", { bubbles: true, detail }));
}
