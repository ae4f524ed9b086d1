/**
 * Figures of the model and the layout without a browser: first layout, one append while live, collecting what a frame
 * shows while panning and zooming, bytes held for a span. Prints a table beside the bars.
 * Run: npx esbuild bench/layout.bench.ts --bundle --platform=node --format=esm | node --expose-gc --input-type=module
 */

import { type ClassCodes, NONE, type Puts, pack, unpack } from "../src/kernel/protocol";
import { Layout } from "../src/layout/layout";
import { collectMarks, Marks } from "../src/layout/level-of-detail";
import type { Delta, Model } from "../src/model/model";
import { SpanColumns } from "../src/model/span-columns";
import type { Span } from "../src/testing/kernel";
import { figures, makeRun } from "../src/testing/runs";

const WIDTH = 1_200;
const HEIGHT = 560;
const SIZES = (process.env.SIZES ?? "1000,10000,100000,1000000").split(",").map(Number);

/** A model that is fed by hand: no connection, the same columns. */
class Fed extends SpanColumns {
  shown = ["run-1"];
  runs = new Map();
  feed(puts: Puts[]): Delta {
    const { added, changed } = this.merge(puts);
    return { reset: false, added, changed, runs: false, status: false, link: false };
  }
  teach(strings: string[], classes: ClassCodes[]): void {
    this.learn([0, ...strings], [0, ...classes]);
  }
}

class Words {
  readonly strings = [""];
  readonly classes: ClassCodes[] = [];
  private readonly codes = new Map([["", 0]]);
  private readonly found = new Map<string, number>();
  of(span: Span): number {
    const key = [span.trace, span.kind, span.agent, span.name, span.model];
    const text = key.join("\n");
    let code = this.found.get(text);
    if (code === undefined) {
      code = this.classes.push(key.map((word) => this.string(word)) as ClassCodes) - 1;
      this.found.set(text, code);
    }
    return code;
  }
  private string(text: string): number {
    let code = this.codes.get(text);
    if (code === undefined) {
      code = this.strings.push(text) - 1;
      this.codes.set(text, code);
    }
    return code;
  }
}

function columns(spans: Span[], words: Words, firstRow: number): Puts {
  const n = spans.length;
  return {
    n,
    start: Float64Array.from(spans, (s) => s.start),
    row: Uint32Array.from(spans, (_, i) => firstRow + i),
    parent: Uint32Array.from(spans, (s) => s.parent ?? NONE),
    cls: Uint32Array.from(spans, (s) => words.of(s)),
    duration: Float32Array.from(spans, (s) => s.duration),
    cost: Float64Array.from(spans, (s) => s.cost),
    input: Uint32Array.from(spans, (s) => s.input),
    output: Uint32Array.from(spans, (s) => s.output),
    status: Uint8Array.from(spans, (s) => s.status),
    flags: Uint8Array.from(spans, (s) => s.flags),
    provenance: Uint8Array.from(spans, (s) => s.provenance),
    mark: new Uint8Array(n),
    gone: new Uint32Array(0),
  };
}

const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 0).padStart(9);
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const high = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.95)] as number;

function timed(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

/** Everything made for one size; the million objects are let go before anything is measured. */
function prepare(size: number) {
  const spans = makeRun({ spans: size + 300, seed: 7 });
  const words = new Words();
  for (const span of spans) words.of(span);
  const old = spans.slice(0, size);
  const parts: DataView[][] = [];
  const PART = 25_000;
  for (let at = 0; at < size; at += PART) parts.push(pack(columns(old.slice(at, at + PART), words, at)));
  const sizes = parts.map((_, i) => Math.min(PART, size - i * PART));
  const changed = Array.from({ length: 100 }, (_, i) => Math.floor((i / 100) * size));
  return {
    words,
    parts,
    sizes,
    run: figures(old.slice(0, 1), "run-1"),
    tail: spans.slice(size),
    changed: changed.map((row) => [row, spans[row] as Span] as const),
    now: (old[size - 1] as Span).start + 5_000,
  };
}

function measure(size: number, mode: "time" | "order"): void {
  const { words, parts, sizes, run, tail, changed, now } = prepare(size);
  globalThis.gc?.();
  const model = new Fed();
  model.teach(words.strings, words.classes);
  model.runs.set("run-1", { ...run, status: "running", end: null });
  const unpacked = timed(() => model.feed(parts.map((part, i) => unpack({ puts: sizes[i] as number, gone: 0 }, part))));
  let layout!: Layout;
  const first = timed(() => {
    layout = new Layout(model as unknown as Model, { mode, now });
  });
  const marks = new Marks();
  const { bounds } = layout;
  const fit = WIDTH / (bounds.x1 - bounds.x0);
  const frames: number[] = [];
  let most = 0;
  for (let frame = 0; frame < 240; frame++) {
    const zoom = fit * 2 ** ((frame % 80) / 8);
    const left = bounds.x0 + (((frame * 37) % 97) / 97) * Math.max(0, bounds.x1 - bounds.x0 - WIDTH / zoom);
    const ky = Math.min(1, Math.max(zoom, HEIGHT / (bounds.y1 - bounds.y0)));
    const top = frame % 80 < 10 ? bounds.y0 : (((frame * 13) % 89) / 89) * Math.max(0, bounds.y1 - HEIGHT / ky);
    const view = {
      x0: left,
      x1: left + WIDTH / zoom,
      y0: top,
      y1: top + HEIGHT / (frame % 80 < 10 ? 0.001 : ky),
      kx: zoom,
    };
    frames.push(
      timed(() => {
        if (layout.count(view.x0, view.y0, view.x1, view.y1) < 1_500)
          layout.query(view.x0, view.y0, view.x1, view.y1, () => most);
        else most = Math.max(most, collectMarks(layout, view, marks).n);
      }),
    );
  }
  const appends: number[] = [];
  tail.forEach((span, i) => {
    const one = unpack({ puts: 1, gone: 0 }, pack(columns([span], words, size + i)));
    appends.push(timed(() => layout.update(model.feed([one]))));
  });
  const changes: number[] = [];
  for (const [row, span] of changed) {
    const one = columns([{ ...span, status: 2 }], words, row);
    changes.push(timed(() => layout.update(model.feed([one]))));
  }
  const bytes = (model.bytes + layout.bytes) / model.size;
  console.log(
    `${String(size).padStart(9)} ${mode.padEnd(5)} ${ms(unpacked)} ${ms(first)} ${ms(mean(frames))} ${ms(high(frames))} ${ms(Math.max(...frames))} ${String(most).padStart(7)}` +
      ` ${ms(mean(appends))} ${ms(Math.max(...appends))} ${ms(mean(changes))} ${bytes.toFixed(1).padStart(7)}   lanes ${layout.lanes.length}, lines ${layout.rows.length}, unit ${layout.unit.toPrecision(2)}, ${Math.round(bounds.x1)} x ${Math.round(bounds.y1)} px`,
  );
}

console.log(
  "    spans mode     unpack    layout  frame ms       p95       max   marks    append       max    change  B/span",
);
for (const mode of ["time", "order"] as const) for (const size of SIZES) measure(size, mode);
