/** What is chosen in the picture and outlasts it: folding, colour and size, kept in traits of the widget. */
import type { Connection } from "../connection";
import type { Layout } from "../layout/layout";
import { COLOURS, SIZES_BY } from "./encode";
import type { Picture } from "./picture";

/** Takes the traits over now and whenever they change. Returns the way to stop that. */
export function follow(connection: Connection, layout: Layout, picture: Picture, changed: () => void): () => void {
  const folded = (): void => {
    const rows = rowsOf(connection.get("_folded"));
    if (String(rows) === String(layout.folded)) return;
    picture.setFolded(rows);
    changed();
  };
  const encoding = (): void => {
    const [colour, size] = [connection.get("_colour"), connection.get("_size")];
    picture.encode(COLOURS.find((one) => one === colour) ?? "kind", SIZES_BY.find((one) => one === size) ?? "kind");
    changed();
  };
  const undo = [
    connection.onTrait("_folded", folded),
    connection.onTrait("_colour", encoding),
    connection.onTrait("_size", encoding),
  ];
  folded();
  encoding();
  return () => {
    for (const off of undo) off();
  };
}

/** Says what is folded now, so that it comes back in another view, and tomorrow. */
export function remember(connection: Connection, layout: Layout): void {
  connection.set("_folded", layout.folded);
}

function rowsOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((row): row is number => Number.isSafeInteger(row)) : [];
}
