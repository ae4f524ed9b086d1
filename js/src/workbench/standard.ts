/** The tools that every view has: search, filters, colours. */
import type { Delta } from "../model";
import { addLooks } from "./looks";
import { Search } from "./search";
import type { Part } from "./state";
import type { Tools } from "./tools";
import type { Bench } from "./view";

export interface Finding {
  focus(): void;
  /** Closes what is open; false if nothing was. */
  escape(): boolean;
  told(delta: Delta): void;
  changed(part: Part): void;
  close(): void;
}

export function addTools(bench: Bench, tools: Tools): Finding {
  const search = new Search(bench);
  const offLooks = addLooks(bench, tools);
  tools.first({ element: search.element });
  return {
    focus: () => search.focus(),
    escape: () => search.escape(),
    told: () => search.update(),
    changed: () => search.update(),
    close: () => {
      search.close();
      offLooks();
    },
  };
}
