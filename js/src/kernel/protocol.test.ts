import { describe, expect, it } from "vitest";
import { NONE, type Puts, pack, SPAN_BYTES, unpack } from "./protocol";

function columns(n: number, gone: number[] = []): Puts {
  const of = (value: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => value(i));
  return {
    n,
    start: Float64Array.from(of((i) => 1.76e12 + i + 0.25)),
    row: Uint32Array.from(of((i) => 4_000_000_000 + i)),
    parent: Uint32Array.from(of((i) => (i ? i - 1 : NONE))),
    cls: Uint32Array.from(of((i) => i)),
    duration: Float32Array.from(of((i) => (i % 2 ? Number.NaN : i / 2))),
    cost: Float64Array.from(of((i) => i / 1e6)),
    input: Uint32Array.from(of((i) => i * 10)),
    output: Uint32Array.from(of(() => NONE)),
    status: Uint8Array.from(of((i) => i % 3)),
    flags: Uint8Array.from(of((i) => i % 32)),
    provenance: Uint8Array.from(of((i) => i % 5)),
    mark: Uint8Array.from(of(() => 0)),
    gone: Uint32Array.from(gone),
  };
}

describe("the columns of a message", () => {
  it.each([1, 2, 3, 7, 1_000])("come out as they went in (%i spans)", (n) => {
    const puts = columns(n, [5, 6]);
    const buffers = pack(puts);
    expect(buffers[0]?.byteLength).toBe(n * SPAN_BYTES);
    expect(unpack({ puts: n, gone: 2 }, buffers)).toEqual(puts);
  });

  it("are views into the message's buffer where that is aligned, and right where it is not", () => {
    const puts = columns(9);
    const [buffer] = pack(puts) as [DataView<ArrayBuffer>];
    const views = unpack({ puts: 9, gone: 0 }, [buffer]);
    expect(views.start.buffer).toBe(buffer.buffer);
    const shifted = new Uint8Array(buffer.byteLength + 3);
    shifted.set(new Uint8Array(buffer.buffer), 3);
    expect(unpack({ puts: 9, gone: 0 }, [new DataView(shifted.buffer, 3)])).toEqual(puts);
  });

  it("may be gone rows alone, with or without an empty buffer before them", () => {
    const [gone] = pack(columns(0, [1, 2, 3])) as [DataView];
    expect([...unpack({ puts: 0, gone: 3 }, [gone]).gone]).toEqual([1, 2, 3]);
    expect([...unpack({ puts: 0, gone: 3 }, [new DataView(new ArrayBuffer(0)), gone]).gone]).toEqual([1, 2, 3]);
    expect(unpack({ puts: 0, gone: 0 }, []).n).toBe(0);
  });

  it("are refused where the header announces another number", () => {
    const buffers = pack(columns(3));
    expect(() => unpack({ puts: 4, gone: 0 }, buffers)).toThrow(/132 bytes.*176/);
    expect(() => unpack({ puts: 3, gone: 1 }, buffers)).toThrow(/gone/);
  });

  it("lie where the kernel puts them: start, cost, row, parent, class, duration, input, output, then the bytes", () => {
    const [buffer] = pack(columns(2)) as [DataView];
    expect(buffer.getFloat64(8, true)).toBe(1.76e12 + 1.25);
    expect(buffer.getUint32(32, true)).toBe(4_000_000_000);
    expect(buffer.getUint32(40, true)).toBe(NONE);
    expect(buffer.getFloat64(24, true)).toBe(1e-6);
    expect([buffer.getUint8(80), buffer.getUint8(81), buffer.getUint8(83)]).toEqual([0, 1, 1]);
  });
});
