/** What a notebook, or a page of its own, kept of a graph: the messages of a snapshot, packed, and perhaps spans' texts. */
import type { ChangesHeader, Details } from "./protocol";

export interface Saved {
  messages: { header: ChangesHeader; buffers: DataView[] }[];
  /** By row; empty where no texts were saved. */
  details: Map<number, Details>;
}

const MAGIC = "ANB1";

/** 4 bytes of length and the JSON header; then for each buffer padding to 8, its 4 bytes of length, and its bytes. */
export function unframe(
  data: ArrayBuffer,
  from = 0,
  size = data.byteLength - from,
): { header: unknown; buffers: DataView[] } {
  const view = new DataView(data, from, size);
  const length = view.getUint32(0, true);
  const header: unknown = JSON.parse(new TextDecoder().decode(new Uint8Array(data, from + 4, length)));
  const buffers: DataView[] = [];
  let at = 4 + length;
  while (at < size) {
    at += (8 - ((at + 4) % 8)) % 8;
    const bytes = view.getUint32(at, true);
    at += 4;
    buffers.push(new DataView(data, from + at, bytes));
    at += bytes;
  }
  return { header, buffers };
}

/** Frames one after another, each with its length before it. */
export async function unpackSaved(packed: DataView): Promise<Saved> {
  const magic = String.fromCharCode(
    ...new Uint8Array(packed.buffer, packed.byteOffset, Math.min(4, packed.byteLength)),
  );
  if (magic !== MAGIC) throw new Error("what was saved of this graph cannot be read by this version");
  const zipped = new Uint8Array(packed.buffer as ArrayBuffer, packed.byteOffset + 4, packed.byteLength - 4);
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = await new Response(stream).arrayBuffer();
  const saved: Saved = { messages: [], details: new Map() };
  const view = new DataView(data);
  let at = 0;
  while (at + 4 <= data.byteLength) {
    const size = view.getUint32(at, true);
    // A copy begins at 0, where the frame's own alignment holds.
    const { header, buffers } = unframe(data.slice(at + 4, at + 4 + size));
    const found = header as ChangesHeader | { type: "details"; row: number; details: Details };
    if (found.type === "changes") saved.messages.push({ header: found, buffers });
    else saved.details.set(found.row, found.details);
    at += 4 + size;
  }
  return saved;
}
