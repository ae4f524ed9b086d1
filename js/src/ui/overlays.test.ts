// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Banners, LiveRegion, Tooltip } from "./overlays";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("banners", () => {
  it("are one a topic, say the newest, and go", () => {
    const banners = new Banners();
    banners.set("picture", "first");
    banners.set("request", "other");
    banners.set("picture", "second");
    const said = (): string[] => [...banners.element.querySelectorAll("span")].map((one) => one.textContent ?? "");
    expect(said()).toEqual(["second", "other"]);
    banners.set("picture", null);
    banners.set("nothing", null);
    expect(said()).toEqual(["other"]);
    banners.element.querySelector<HTMLElement>(".an-close")!.click();
    expect(said()).toEqual([]);
  });

  it("keep markup as text and tell a screen reader", () => {
    const banners = new Banners();
    banners.set("kernel", "<img src=x onerror=alert(1)>");
    expect(banners.element.querySelector("img")).toBeNull();
    expect(banners.element.querySelector("[role=alert] span")?.textContent).toBe("<img src=x onerror=alert(1)>");
    banners.set("slow", "busy", "wait");
    expect(banners.element.querySelector("[role=status]")?.textContent).toBe("busy");
  });

  it("copy their message, and say so", async () => {
    const writeText = vi.fn(async () => {});
    vi.stubGlobal("navigator", { clipboard: { writeText } });
    const banners = new Banners();
    banners.set("kernel", "why");
    const button = banners.element.querySelector<HTMLElement>(".an-copy")!;
    button.click();
    await vi.advanceTimersByTimeAsync(1);
    expect(writeText).toHaveBeenCalledWith("why");
    expect(button.textContent).toBe("Copied");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(button.textContent).toBe("Copy");
  });
});

describe("the tooltip", () => {
  it.each([
    [10, 10],
    [470, 10],
    [10, 290],
    [475, 295],
    [240, 150],
  ])("at %d, %d stays on the stage", (x, y) => {
    const tip = new Tooltip();
    vi.spyOn(tip.element, "offsetWidth", "get").mockReturnValue(260);
    vi.spyOn(tip.element, "offsetHeight", "get").mockReturnValue(120);
    tip.show(x, y, 480, 300, "run_tests", ["tool of coder", "2.00 s"], "exit code 1");
    const [left, top] = [tip.element.style.left, tip.element.style.top].map((px) => Number.parseFloat(px));
    expect(left).toBeGreaterThanOrEqual(0);
    expect(left! + 260).toBeLessThanOrEqual(480);
    expect(top).toBeGreaterThanOrEqual(0);
    expect(top! + 120).toBeLessThanOrEqual(300);
  });

  it("says what and why, as text", () => {
    const tip = new Tooltip();
    tip.show(0, 0, 480, 300, "<b>x</b>", ["line"], "<i>bad</i>");
    expect(tip.element.textContent).toBe("<b>x</b>line<i>bad</i>");
    expect(tip.element.querySelector("i")).toBeNull();
    tip.hide();
    expect(tip.element.hasAttribute("hidden")).toBe(true);
  });
});

describe("the voice", () => {
  it("says only the newest of what comes at once, and nothing after it is closed", async () => {
    const voice = new LiveRegion();
    voice.say("one");
    voice.say("two");
    await vi.advanceTimersByTimeAsync(400);
    expect(voice.element.textContent).toBe("two");
    voice.say("three");
    voice.close();
    await vi.advanceTimersByTimeAsync(400);
    expect(voice.element.textContent).toBe("two");
  });
});
