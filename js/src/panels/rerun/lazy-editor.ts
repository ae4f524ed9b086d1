/**
 * The editor, fetched when it is first wanted: it is eight times as heavy as the rest of the page.
 *
 * A widget's module is loaded from memory and has no address to import its neighbours from. So the kernel sends the
 * editor's text over the comm, and the page imports it from a Blob's URL, without a server or a request. A page whose
 * policy forbids that (a strict Content-Security-Policy) gets plain text fields: all else works as it does with them.
 */
import type { Connection } from "../../kernel/connection";
import { h } from "../../ui/dom";

export interface Field {
  text(): string;
  set(text: string): void;
  focus(): void;
  close(): void;
}

export interface FieldOptions {
  text: string;
  json: boolean;
  label: string;
  changed(): void;
  run(): void;
}

export interface Sides {
  /** Says what the answer is now. */
  set(answer: string): void;
  close(): void;
}

export interface Kit {
  /** Why it is the plain one; null for the whole editor. */
  plain: string | null;
  edit(parent: HTMLElement, options: FieldOptions): Field;
  compare(parent: HTMLElement, original: string, answer: string): Sides;
}

type EditorModule = Pick<Kit, "edit" | "compare">;

let known: Promise<Kit> | null = null;

/** The kit of this page: one for all its graphs. Never rejects; a failure is tried again next time. */
export function loadKit(connection: Connection): Promise<Kit> {
  known ??= fetchKit(connection).catch((error: unknown) => {
    known = null;
    return plainKit(error instanceof Error ? error.message : String(error));
  });
  return known;
}

async function fetchKit(connection: Connection): Promise<Kit> {
  const { text } = await connection.request<{ text: string }>("asset", { name: "editor.js" }, 30_000);
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    const found = (await import(/* @vite-ignore */ url)) as EditorModule;
    return { plain: null, edit: found.edit, compare: found.compare };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Text fields that every page has. */
export function plainKit(why: string): Kit {
  return { plain: why, edit: plainField, compare: plainSides };
}

function plainField(parent: HTMLElement, options: FieldOptions): Field {
  const area = h("textarea.an-try-plain", { "aria-label": options.label, spellcheck: "false" }) as HTMLTextAreaElement;
  area.value = options.text;
  area.addEventListener("input", options.changed);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      options.run();
    }
  });
  parent.append(area);
  return {
    text: () => area.value,
    set: (text) => {
      area.value = text;
      options.changed();
    },
    focus: () => area.focus(),
    close: () => area.remove(),
  };
}

function plainSides(parent: HTMLElement, original: string, answer: string): Sides {
  const right = h("pre", {}, answer);
  const both = h("div.an-try-sides", {}, h("pre", {}, original), right);
  parent.append(both);
  return {
    set: (text) => {
      right.textContent = text;
    },
    close: () => both.remove(),
  };
}
