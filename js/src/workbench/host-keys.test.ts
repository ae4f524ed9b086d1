// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { holdsFocus, keepKeys } from "./host-keys";

let root: HTMLElement;
let stop: () => void;
beforeEach(() => {
  vi.useFakeTimers();
  root = document.createElement("div");
  root.tabIndex = -1;
  const button = document.createElement("button");
  root.append(button, document.createElement("input"));
  document.body.replaceChildren(root);
  stop = keepKeys(root);
});
afterEach(() => {
  stop();
  vi.useRealTimers();
});

function press(key: string, more: KeyboardEventInit = {}, target: Element = root): boolean {
  let reached = false;
  const hear = (): void => {
    reached = true;
  };
  document.body.addEventListener("keydown", hear);
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, composed: true, ...more }));
  document.body.removeEventListener("keydown", hear);
  return reached;
}

test("no plain key reaches the page, and the mark keeps JupyterLab's shortcuts away", () => {
  for (const key of ["m", "b", "x", "d", "y", "c", "v", "1", "Enter", "ArrowDown", "Escape"]) {
    expect(press(key)).toBe(false);
    expect(root.hasAttribute("data-lm-suppress-shortcuts")).toBe(true);
  }
});

test("running the cell and saving reach the notebook", () => {
  expect(press("Enter", { shiftKey: true })).toBe(true);
  expect(root.hasAttribute("data-lm-suppress-shortcuts")).toBe(false);
  expect(press("s", { ctrlKey: true })).toBe(true);
  expect(press("x")).toBe(false);
  expect(root.hasAttribute("data-lm-suppress-shortcuts")).toBe(true);
});

test("Shift and Enter in a text field stay there", () => {
  expect(press("Enter", { shiftKey: true }, root.querySelector("input")!)).toBe(false);
});

test("a click brings the focus in", () => {
  root.querySelector("button")!.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  vi.runAllTimers();
  expect(document.activeElement).toBe(root.querySelector("button"));
  document.body.focus();
  (document.activeElement as HTMLElement).blur();
  root.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
  vi.runAllTimers();
  expect(holdsFocus(root)).toBe(true);
});

test("Escape twice leaves the widget", () => {
  root.focus();
  press("Escape");
  expect(holdsFocus(root)).toBe(true);
  press("Escape");
  expect(holdsFocus(root)).toBe(false);
});

test("a click between two presses of Escape keeps the focus in the widget", () => {
  root.focus();
  press("Escape");
  root.dispatchEvent(new MouseEvent("mousedown", { bubbles: true }));
  press("Escape");
  expect(holdsFocus(root)).toBe(true);
});
