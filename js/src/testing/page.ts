/** What jsdom lacks for a view: a canvas, sizes, observers of sizes and of the color scheme; and what is left behind. */
import { vi } from "vitest";
import { Model } from "../model/model";
import type { Theme } from "../theme";
import { KIND_COLORS } from "../theme";
import { RecordingContext } from "./canvas";
import type { FakeConnection } from "./connection";
import { FakeKernel, type Span } from "./kernel";
import { figures } from "./runs";

export const THEME: Theme = {
  dark: false,
  ground: "ground",
  band: "band",
  line: "line",
  text: "text",
  muted: "muted",
  accent: "accent",
  error: "error",
  onError: "onError",
  font: "Sans",
  kinds: KIND_COLORS,
  onKinds: ["on0", "on1", "on2", "on3", "on4"],
};

export const STAGE = { width: 1000, height: 500 };

export interface FakePage {
  context: RecordingContext;
  /** How many listeners and observers were added and not taken away again. */
  left(): number;
}

/** For one test: everything goes back with `vi.unstubAllGlobals` and `vi.restoreAllMocks`. */
export function fakePage(): FakePage {
  const context = new RecordingContext();
  let left = 0;
  class Sizes {
    observe(): void {
      left++;
    }
    disconnect(): void {
      left--;
    }
  }
  vi.stubGlobal("ResizeObserver", Sizes);
  vi.stubGlobal("matchMedia", () => ({
    matches: false,
    addEventListener: () => left++,
    removeEventListener: () => left--,
  }));
  const page = HTMLElement.prototype;
  Object.assign(page, { setPointerCapture: () => {}, releasePointerCapture: () => {} });
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(context.context as never);
  vi.spyOn(page, "clientWidth", "get").mockReturnValue(STAGE.width);
  vi.spyOn(page, "clientHeight", "get").mockReturnValue(STAGE.height);
  for (const target of [window, document, document.body]) {
    const [add, remove] = [target.addEventListener.bind(target), target.removeEventListener.bind(target)];
    vi.spyOn(target, "addEventListener").mockImplementation((...args: unknown[]) => {
      left++;
      (add as (...all: unknown[]) => void)(...args);
    });
    vi.spyOn(target, "removeEventListener").mockImplementation((...args: unknown[]) => {
      left--;
      (remove as (...all: unknown[]) => void)(...args);
    });
  }
  return { context, left: () => left };
}

/** Lets promises that wait for nothing else go on; timers stand still. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 40; i++) await Promise.resolve();
}

export interface Held {
  kernel: FakeKernel;
  connection: FakeConnection;
  model: Model;
}

/** A model that holds these spans of the trace `t`. */
export async function modelOf(spans: Span[]): Promise<Held> {
  const kernel = new FakeKernel();
  kernel.show(["t"]);
  const connection = kernel.connect();
  const model = new Model(connection);
  await settled();
  await add(kernel, spans);
  return { kernel, connection, model };
}

export async function add(kernel: FakeKernel, spans: Span[]): Promise<void> {
  for (const span of spans) kernel.put(span);
  kernel.runs = [figures(kernel.state().values(), "t")];
  kernel.flush();
  await settled();
}

export const START = Date.UTC(2026, 9, 1, 9);

export function spanOf(kind: string, more: Partial<Span> = {}): Span {
  const known = { trace: "t", agent: "coder", name: kind, model: "", parent: null, start: START, duration: 2_000 };
  const rest = { cost: Number.NaN, input: 0, output: 0, status: 1, flags: 0, provenance: 0 };
  return { kind, ...known, ...rest, ...more };
}

/** An orchestrator, its call, an agent, the agent's call and that one's two tools: rows 0 to 5. */
export function smallRun(): Span[] {
  return [
    spanOf("orchestrator", { agent: "orchestrator", duration: 12_000 }),
    spanOf("llm", { agent: "orchestrator", parent: 0, name: "plan", model: "claude-opus-4-5", start: START + 500 }),
    spanOf("agent", { parent: 1, name: "coder", start: START + 3_000, duration: 8_000 }),
    spanOf("llm", { parent: 2, model: "gpt-5", start: START + 3_200, cost: 0.02, input: 1200, output: 40 }),
    spanOf("tool", { parent: 3, name: "read_file", start: START + 6_000, duration: 300 }),
    spanOf("tool", { parent: 3, name: "run_tests", start: START + 9_000, duration: 900, status: 2 }),
  ];
}
