// @vitest-environment jsdom
import { expect, it } from "vitest";
import { hideStill } from "./hide-static-output";

const settled = (ms = 20): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

function output(name: string): HTMLElement {
  const child = document.createElement("div");
  child.className = "jp-OutputArea-child";
  const inner = document.createElement("div");
  inner.className = name;
  child.append(inner);
  return child;
}

it("hides the picture below a view, also one that comes later, and shows it again in the end", async () => {
  const area = document.createElement("div");
  const view = output("view");
  area.append(view);
  document.body.append(area);
  const show = hideStill(view.firstElementChild as Element);
  const still = output("anton-still");
  const other = output("text");
  area.append(still, other);
  await settled();
  expect([still.style.display, other.style.display]).toEqual(["none", ""]);
  show();
  expect(still.style.display).toBe("");
});

it("waits until the view is put into its page, and leaves pages alone that have no such outputs", async () => {
  const view = output("view");
  const cell = view.firstElementChild as Element;
  cell.remove();
  const show = hideStill(cell);
  const area = document.createElement("div");
  const still = output("anton-still");
  view.append(cell);
  area.append(view, still);
  await settled(250);
  expect(still.style.display).toBe("none");
  show();
  const alone = document.createElement("div");
  hideStill(alone)();
});
