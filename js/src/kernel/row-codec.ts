/** Rows of the kernel's store as they cross the wire: little-endian int32, the number of them first. */

/** Null for "no such set", which differs from a set of none. */
export function unpackRows(packed: unknown): Int32Array | null {
  if (!(packed instanceof DataView) || packed.byteLength < 4) return null;
  const count = Math.min(packed.getInt32(0, true), Math.floor(packed.byteLength / 4) - 1);
  const rows = new Int32Array(Math.max(0, count));
  for (let i = 0; i < rows.length; i++) rows[i] = packed.getInt32(4 + i * 4, true);
  return rows;
}

/** In a request, which is JSON: base64 of the same. */
export function packRows(rows: ArrayLike<number>): string {
  const view = new DataView(new ArrayBuffer(4 + rows.length * 4));
  view.setInt32(0, rows.length, true);
  for (let i = 0; i < rows.length; i++) view.setInt32(4 + i * 4, rows[i] as number, true);
  const bytes = new Uint8Array(view.buffer);
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += 8192) parts.push(String.fromCharCode(...bytes.subarray(at, at + 8192)));
  return btoa(parts.join(""));
}

export function sameRows(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
