/**
 * Keys stay in the widget. JupyterLab listens to keys before any element does and acts on the focused cell, so that a stray
 * `x` deletes it. It leaves elements with a mark alone; the mark is taken off for the keys that the notebook needs. A click on
 * the picture moves the focus into the widget, where the notebook would otherwise keep it.
 */
const MARK = "data-lm-suppress-shortcuts";
const EDITABLE = "input, textarea, select, [contenteditable]";
const FOCUSABLE = `button, a[href], summary, [tabindex], ${EDITABLE}`;
/** Two presses of Escape within this many ms, with nothing between them, leave the widget. */
const TWICE = 800;

/** Whether a key is the notebook's: run the cell, save. */
export function isHostKey(event: KeyboardEvent): boolean {
  const editing = (event.target as HTMLElement | null)?.closest?.(EDITABLE) != null;
  if (event.key === "Enter" && event.shiftKey) return !editing;
  return (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "s";
}

/** Keeps keys and the focus in `root`; returns the way to stop that. */
export function keepKeys(root: HTMLElement): () => void {
  const page = root.ownerDocument.defaultView;
  let escaped = Number.NEGATIVE_INFINITY;
  root.setAttribute(MARK, "true");

  const first = (event: KeyboardEvent): void => {
    if (!event.composedPath().includes(root)) return;
    if (isHostKey(event)) root.removeAttribute(MARK);
    else root.setAttribute(MARK, "true");
  };
  const last = (event: KeyboardEvent): void => {
    if (isHostKey(event)) return;
    if (event.type === "keydown" && event.key === "Escape") {
      if (event.timeStamp - escaped < TWICE) leave(root);
      escaped = event.timeStamp;
    } else if (event.type === "keydown") escaped = Number.NEGATIVE_INFINITY;
    event.stopPropagation();
  };
  const focus = (event: Event): void => {
    escaped = Number.NEGATIVE_INFINITY;
    const target = event.target as HTMLElement | null;
    const near = target?.closest?.<HTMLElement>(FOCUSABLE);
    const wanted = near != null && root.contains(near) ? near : root;
    page?.setTimeout(() => {
      if (root.isConnected && !holdsFocus(root)) wanted.focus({ preventScroll: true });
    });
  };
  page?.addEventListener("keydown", first, true);
  for (const name of ["keydown", "keypress", "keyup"] as const) root.addEventListener(name, last);
  for (const name of ["mousedown", "click"] as const) root.addEventListener(name, focus);
  return () => {
    page?.removeEventListener("keydown", first, true);
    for (const name of ["keydown", "keypress", "keyup"] as const) root.removeEventListener(name, last);
    for (const name of ["mousedown", "click"] as const) root.removeEventListener(name, focus);
  };
}

/** Whether the focus is inside an element, also within a shadow root. */
export function holdsFocus(root: HTMLElement): boolean {
  const { activeElement } = root.getRootNode() as Document | ShadowRoot;
  return activeElement !== null && root.contains(activeElement);
}

function leave(root: HTMLElement): void {
  const cell = root.closest<HTMLElement>(".jp-Cell, .jp-Notebook");
  if (cell !== null) cell.focus({ preventScroll: true });
  else ((root.getRootNode() as Document).activeElement as HTMLElement | null)?.blur?.();
}
