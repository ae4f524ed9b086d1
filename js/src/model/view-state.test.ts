import { afterEach, describe, expect, it } from "vitest";
import { packRows, unpackRows } from "../kernel/row-codec";
import { add, type Held, modelOf, smallRun, spanOf } from "../testing/page";
import { EVERYTHING, finder, tester, UNMARKED } from "./filter";
import { type Part, ViewState } from "./view-state";

let held: Held;
afterEach(() => held?.model.close());

async function state(spans = smallRun()): Promise<ViewState> {
  held = await modelOf(spans);
  const made = new ViewState(held.model);
  held.model.subscribe((delta) => made.onModelChange(delta));
  return made;
}
const on = (mask: Uint8Array | null): number[] | null =>
  mask && [...mask.subarray(0, held.model.size)].flatMap((bit, slot) => (bit ? [slot] : []));

describe("the filters", () => {
  it("test each span by its words, its figures and its state", async () => {
    await state();
    const passing = (criteria: Partial<typeof EVERYTHING>): number[] => {
      const test = tester(held.model, { ...EVERYTHING, ...criteria });
      return Array.from({ length: held.model.size }, (_, slot) => slot).filter(test);
    };
    expect(passing({})).toEqual([0, 1, 2, 3, 4, 5]);
    expect(passing({ kind: new Set(["llm"]) })).toEqual([1, 3]);
    expect(passing({ kind: new Set(["llm"]), model: new Set(["gpt-5"]) })).toEqual([3]);
    expect(passing({ status: new Set(["error"]) })).toEqual([5]);
    expect(passing({ cost: { from: 0.01, to: null } })).toEqual([3]);
    expect(passing({ duration: { from: 3_000, to: 9_000 } })).toEqual([2]);
    expect(passing({ text: "RUN_TESTS".toLowerCase() })).toEqual([5]);
    expect(passing({ kind: new Set() })).toEqual([]);
    await add(held.kernel, [spanOf("tool", { mark: 2 }), spanOf("tool", { mark: 4 })]);
    expect(passing({ mark: new Set(["bad"]) })).toEqual([6]);
    expect(passing({ mark: new Set([UNMARKED]) })).toEqual([0, 1, 2, 3, 4, 5]);
    const find = finder(held.model, "Important");
    expect([6, 7].map(find)).toEqual([false, true]);
  });

  it("take in classes that come later", async () => {
    await state();
    const test = finder(held.model, "Nova");
    expect(test(0)).toBe(false);
    await add(held.kernel, [spanOf("tool", { name: "supernova" })]);
    expect(test(6)).toBe(true);
  });
});

describe("the shared state", () => {
  it("lights what passes all there is: filters, the kernel's rows, what is searched", async () => {
    const made = await state();
    expect([made.kept, made.lit]).toEqual([null, null]);
    made.filter({ ...EVERYTHING, kind: new Set(["tool", "llm"]) });
    expect([on(made.kept), made.keptCount]).toEqual([[1, 3, 4, 5], 4]);
    made.keepOnly(Int32Array.of(3, 4));
    expect(on(made.kept)).toEqual([3, 4]);
    made.search("gpt");
    expect([on(made.kept), on(made.lit), made.litCount]).toEqual([[3, 4], [3], 1]);
    made.search("gpt", Int32Array.of(4));
    expect(on(made.lit)).toEqual([3, 4]);
    made.highlight(Int32Array.of(4));
    expect(on(made.lit)).toEqual([4]);
    made.keepOnly(null);
    made.filter(EVERYTHING);
    made.highlight(null);
    made.search("");
    expect([made.kept, made.lit]).toEqual([null, null]);
    made.keepOnly(new Int32Array(0));
    expect([on(made.kept), made.filtering]).toEqual([[], true]);
  });

  it("judges what comes and what changes as it judged what was there", async () => {
    const made = await state();
    made.filter({ ...EVERYTHING, status: new Set(["error"]) });
    await add(held.kernel, [spanOf("tool", { status: 2 }), spanOf("tool", { status: 1 })]);
    expect([on(made.kept), made.keptCount]).toEqual([[5, 6], 2]);
    held.kernel.put(spanOf("tool", { status: 1 }), 6);
    held.kernel.flush();
    await add(held.kernel, []);
    expect([on(made.kept), made.keptCount]).toEqual([[5], 1]);
  });

  it("tells of a change once, and of none where nothing differs", async () => {
    const made = await state();
    const heard: Part[] = [];
    made.on((part) => heard.push(part));
    made.select(2);
    made.select(2);
    made.select(2, Int32Array.of(2, 4));
    made.look({ from: 1, to: 2 });
    made.look({ from: 1, to: 2 });
    expect(heard).toEqual(["selection", "selection", "place"]);
    expect([1, 2, 3, 4].map((slot) => made.isSelected(slot))).toEqual([false, true, false, true]);
    expect(made.slots()).toEqual([2, 4]);
  });
});

describe("packed rows", () => {
  it("come back as they were, and nothing is not none", () => {
    const bytes = Uint8Array.from(atob(packRows([5, 0, 1_000_000])), (one) => one.charCodeAt(0));
    expect([...unpackRows(new DataView(bytes.buffer))!]).toEqual([5, 0, 1_000_000]);
    const none = Uint8Array.from(atob(packRows([])), (one) => one.charCodeAt(0));
    expect(unpackRows(new DataView(none.buffer))).toEqual(new Int32Array(0));
    for (const nothing of [null, undefined, new DataView(new ArrayBuffer(0)), "AAAA"])
      expect(unpackRows(nothing)).toBeNull();
  });
});
