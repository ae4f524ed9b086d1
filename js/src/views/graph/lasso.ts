/** What lies in a shape drawn by hand: its crossings with every line of pixels are known, so that a million places are soon asked. */
export interface Point {
  x: number;
  y: number;
}

/** Tells of a place in px whether it lies in the shape, to the pixel. The shape closes itself; where it overlaps twice is outside. */
export function within(shape: readonly Point[]): (x: number, y: number) => boolean {
  const top = Math.floor(Math.min(...shape.map((point) => point.y)));
  const lines: number[][] = [];
  let before = shape[shape.length - 1]!;
  for (const point of shape) {
    const [high, low] = point.y < before.y ? [point, before] : [before, point];
    for (let y = Math.ceil(high.y - 0.5); y + 0.5 < low.y; y++) {
      const at = high.x + ((y + 0.5 - high.y) / (low.y - high.y)) * (low.x - high.x);
      lines[y - top] ??= [];
      lines[y - top]!.push(at);
    }
    before = point;
  }
  return (x, y) => {
    let inside = false;
    for (const crossing of lines[Math.floor(y) - top] ?? []) if (crossing < x) inside = !inside;
    return inside;
  };
}
