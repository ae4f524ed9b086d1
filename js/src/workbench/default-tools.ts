/** The tools that every view has: search, filters, colors. */
import type { Delta } from "../model/model";
import type { Part } from "../model/view-state";
import { addLooks } from "./encoding-menu";
import { Filters } from "./filters";
import { Search } from "./search";
import type { Tools } from "./tools";
import type { Bench } from "./types";

export interface Finding {
  focus(): void;
  /** Closes what is open; false if nothing was. */
  escape(): boolean;
  onModelChange(delta: Delta): void;
  changed(part: Part): void;
  close(): void;
}

export function addTools(bench: Bench, tools: Tools): Finding {
  const search = new Search(bench);
  const filters = new Filters(bench);
  const update = (): void => {
    search.update();
    filters.update();
  };
  const offLooks = addLooks(bench, tools);
  tools.first({ element: filters.element });
  tools.first({ element: search.element });
  return {
    focus: () => search.focus(),
    escape: () => filters.shut() || search.escape(),
    onModelChange: update,
    changed: update,
    close: () => {
      search.close();
      offLooks();
    },
  };
}
