/** A span's note and mark in the details: read, written, and kept by the kernel. */
import type { Connection } from "../kernel/connection";
import type { Details } from "../kernel/protocol";
import { append, h } from "./dom";
import { MARKS, SIGNS } from "./span-marks";

export function noting(connection: Connection, epoch: () => string, details: Details): HTMLElement | null {
  const { note, mark, row } = details;
  const title = h("h4", {}, "Your note");
  if (!connection.connected()) {
    if (!note && !mark) return null;
    const sign = SIGNS[MARKS.indexOf(mark as (typeof MARKS)[number])];
    return h("section.an-note", {}, title, h("p", {}, [sign && `${sign} ${mark}`, note].filter(Boolean).join(" · ")));
  }
  const choice = h(
    "select",
    { "aria-label": "Mark of this span" },
    h("option", {}, "no mark"),
    ...MARKS.map((word, i) => h("option", {}, `${word} ${SIGNS[i]}`)),
  ) as HTMLSelectElement;
  choice.selectedIndex = 1 + MARKS.indexOf(mark as (typeof MARKS)[number]);
  const area = h("textarea", {
    "aria-label": "Note about this span",
    rows: "2",
    maxlength: "20000",
    placeholder: "What is to be remembered about it",
  }) as HTMLTextAreaElement;
  area.value = note;
  const keep = h("button", { type: "button", title: "Save the note (Ctrl+Enter)", disabled: true }, "Save");
  const said = h("span.an-note-said", { role: "status" });
  let [kept, turn] = [note, 0];
  const changed = (): void => {
    keep.toggleAttribute("disabled", area.value === kept);
  };
  const save = async (): Promise<void> => {
    const now = ++turn;
    const text = area.value;
    said.textContent = "Saving …";
    said.classList.remove("an-bad");
    try {
      const word = MARKS[choice.selectedIndex - 1] ?? "";
      await connection.request("note", { epoch: epoch(), row, note: text, mark: word });
      if (now !== turn) return;
      kept = text;
      said.textContent = "Saved";
    } catch (error) {
      if (now !== turn) return;
      said.textContent = error instanceof Error ? error.message : String(error);
      said.classList.add("an-bad");
    }
    changed();
  };
  choice.addEventListener("change", () => void save());
  keep.addEventListener("click", () => void save());
  area.addEventListener("input", () => {
    said.textContent = "";
    changed();
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void save();
  });
  const section = h("section.an-note", {}, h("div.an-note-head", {}, title, choice));
  append(section, area, h("div.an-note-foot", {}, said, keep));
  return section;
}
