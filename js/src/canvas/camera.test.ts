// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Camera, type CameraOptions } from "./camera";

let element: HTMLElement;
let changed = 0;
beforeEach(() => {
  element = document.createElement("div");
  element.tabIndex = 0;
  Object.assign(element, { setPointerCapture: () => {} });
  document.body.append(element);
  element.focus();
  vi.spyOn(element, "clientWidth", "get").mockReturnValue(1000);
  vi.spyOn(element, "clientHeight", "get").mockReturnValue(500);
  changed = 0;
});
afterEach(() => element.remove());

function camera(free = true, options: CameraOptions = {}): Camera {
  const made = new Camera(
    element,
    () => changed++,
    () => free,
    options,
  );
  made.resize(1000, 500);
  return made;
}
const BOUNDS = { x0: 0, y0: 0, x1: 4_000, y1: 900 };

function wheel(deltaY: number, more: WheelEventInit = {}): WheelEvent {
  const at = { deltaY, clientX: 300, clientY: 200, bubbles: true, cancelable: true };
  const event = new WheelEvent("wheel", { ...at, ...more });
  element.dispatchEvent(event);
  return event;
}
function pointer(type: string, clientX: number, clientY: number, pointerType = "mouse"): void {
  const more = { pointerId: 1, pointerType, button: 0, bubbles: true, cancelable: true };
  element.dispatchEvent(new PointerEvent(type, { clientX, clientY, ...more }));
}
function drag(fromX: number, toX: number, fromY = 100, toY = 100): void {
  pointer("pointerdown", fromX, fromY);
  pointer("pointermove", toX, toY);
  pointer("pointerup", toX, toY);
}
function tap(clientX: number, clientY: number): void {
  pointer("pointerdown", clientX, clientY, "touch");
  pointer("pointerup", clientX, clientY, "touch");
}

describe("the camera", () => {
  it("comes closer by two taps of a finger, about that place, and not by one", () => {
    const one = camera();
    one.fit(BOUNDS);
    const [kx, under] = [one.kx, one.worldX(400)];
    tap(400, 200);
    expect(one.kx).toBeCloseTo(kx, 9);
    tap(400, 200);
    expect(one.kx).toBeCloseTo(2 * kx, 9);
    expect(one.worldX(400)).toBeCloseTo(under, 6);
    expect(one.following).toBe(false);
  });

  it("brings nothing into view before the first picture, which shows everything", () => {
    const one = camera();
    one.reveal(90_000, 90_000);
    expect(one.following).toBe(true);
    one.fit(BOUNDS);
    const before = [one.tx, one.ty];
    while (one.step());
    expect([one.tx, one.ty]).toEqual(before);
    one.reveal(90_000, 90_000);
    expect(one.following).toBe(false);
  });

  it("fits a finished run to the width, and a running one no larger than natural size", () => {
    const one = camera();
    one.fit(BOUNDS);
    expect(one.x(BOUNDS.x0)).toBeGreaterThanOrEqual(100);
    expect(one.x(BOUNDS.x1)).toBeLessThanOrEqual(1000);
    expect(one.y(BOUNDS.y0)).toBeGreaterThan(22);
    expect(one.y(BOUNDS.y1)).toBeLessThanOrEqual(500);
    const small = { x0: 0, y0: 0, x1: 50, y1: 50 };
    one.fit(small);
    expect(one.x(50)).toBeGreaterThan(850);
    expect(one.x(0)).toBeLessThan(150);
    expect(one.ky).toBe(1);
    one.fit(small, 0.5);
    expect([one.kx, one.ky]).toEqual([1, 1]);
  });

  it("of a running picture shows its right end at a readable size", () => {
    const one = camera();
    one.fit(BOUNDS, 0.8);
    expect(one.kx).toBeCloseTo(0.8);
    expect(one.x(BOUNDS.x1)).toBeLessThanOrEqual(1000);
    expect(one.x(BOUNDS.x1)).toBeGreaterThan(800);
  });

  it("zooms about the pointer: what lies under it stays", () => {
    const one = camera();
    one.fit(BOUNDS);
    const [x, y, kx] = [one.worldX(300), one.worldY(200), one.kx];
    for (const step of [-200, -100, 50]) wheel(step);
    expect(one.kx).toBeGreaterThan(kx);
    expect(one.worldX(300)).toBeCloseTo(x, 3);
    expect(one.worldY(200)).toBeCloseTo(y, 3);
    expect(changed).toBeGreaterThan(2);
  });

  it("leaves the wheel to the page until it has the focus, and says so; with Ctrl or Meta it zooms at once", () => {
    let refused = 0;
    const one = camera(true, { refused: () => refused++ });
    one.fit(BOUNDS);
    const { kx } = one;
    element.blur();
    expect(wheel(-100).defaultPrevented).toBe(false);
    expect([one.kx, one.following, refused]).toEqual([kx, true, 1]);
    expect(wheel(-100, { ctrlKey: true }).defaultPrevented).toBe(true);
    expect(one.kx).toBeGreaterThan(kx);
    expect(wheel(-100, { metaKey: true }).defaultPrevented).toBe(true);
    element.focus();
    expect(wheel(-100).defaultPrevented).toBe(true);
  });

  it("zooms out to the whole content and no further", () => {
    const one = camera(true, { content: () => BOUNDS });
    one.fit(BOUNDS);
    const whole = [one.kx, one.ky, one.tx, one.ty];
    for (let i = 0; i < 5; i++) wheel(300);
    expect([one.kx, one.ky, one.tx, one.ty]).toEqual(whole);
    for (let i = 0; i < 5; i++) wheel(-300);
    for (let i = 0; i < 9; i++) wheel(300, { clientX: 900 });
    expect([one.kx, one.ky, one.tx, one.ty]).toEqual(whole);
  });

  it("zooms time alone where that is asked for, and the lanes too with Ctrl or Shift", () => {
    const one = camera(true, { timeAlone: () => true });
    one.fit({ ...BOUNDS, y1: 2_000 });
    const { kx, ky } = one;
    wheel(-100);
    expect(one.kx).toBeGreaterThan(kx);
    expect(one.ky).toBe(ky);
    wheel(-100, { shiftKey: true });
    expect(one.ky).toBeGreaterThan(ky);
  });

  it("never makes lines higher than natural, however far x is zoomed", () => {
    const one = camera();
    one.fit(BOUNDS);
    for (let i = 0; i < 30; i++) wheel(-400);
    expect(one.kx).toBeGreaterThan(1_000);
    expect(one.ky).toBe(1);
  });

  it("pans by what the pointer moved, and follows no longer", () => {
    const one = camera();
    one.fit(BOUNDS);
    expect(one.following).toBe(true);
    const [tx, ty] = [one.tx, one.ty];
    drag(400, 460, 100, 90);
    expect(one.tx - tx).toBeCloseTo(60);
    expect(one.ty - ty).toBeCloseTo(-10);
    expect(one.following).toBe(false);
  });

  it("leaves the pointer to others where they want it", () => {
    const one = camera(false);
    one.fit(BOUNDS);
    const { tx } = one;
    drag(400, 460);
    expect(one.tx).toBe(tx);
    expect(one.following).toBe(true);
  });

  it("moves smoothly to where it shall be, and comes to rest there", () => {
    const [one, other] = [camera(), camera()];
    other.fit(BOUNDS);
    one.fit(BOUNDS, 0, true);
    let steps = 0;
    while (one.step()) expect(steps++).toBeLessThan(100);
    expect(steps).toBeGreaterThan(3);
    expect([one.kx, one.ky, one.tx, one.ty]).toEqual([other.kx, other.ky, other.tx, other.ty]);
  });

  it("brings into view what is outside, and leaves the rest alone", () => {
    const one = camera();
    one.fit(BOUNDS, 1);
    const { tx } = one;
    one.reveal(one.worldX(500), one.worldY(200));
    expect(one.step()).toBe(false);
    expect(one.tx).toBe(tx);
    one.reveal(10, 100);
    while (one.step());
    expect(one.x(10)).toBeCloseTo(500);
  });

  it("hears nothing more when it is closed", () => {
    const one = camera();
    one.fit(BOUNDS);
    one.close();
    const { kx, tx } = one;
    wheel(-100);
    drag(400, 460);
    expect([one.kx, one.tx]).toEqual([kx, tx]);
  });
});
