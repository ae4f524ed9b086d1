/** Below a live graph its saved picture need not stand too: it is for those who open the notebook without a kernel. */

const OUTPUT = ".jp-OutputArea-child";
const STILL = ".anton-still";
/** A view may be made before it is put into its page. */
const TRIES = 20;
const PAUSE = 100;

/** Hides the picture in the output after this one, in JupyterLab and Notebook 7. Returns the way to show it again. */
export function hideStill(el: Element): () => void {
  const hidden = new Set<HTMLElement>();
  let watcher: MutationObserver | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (own: Element): void => {
    const next = own.nextElementSibling;
    if (!(next instanceof HTMLElement) || !next.querySelector(STILL) || next.style.display === "none") return;
    next.style.display = "none";
    hidden.add(next);
  };
  const begin = (left: number): void => {
    const own = el.closest(OUTPUT);
    const area = own?.parentElement;
    if (own && area) {
      look(own);
      watcher = new MutationObserver(() => look(own));
      watcher.observe(area, { childList: true, subtree: true });
    } else if (left > 0) timer = setTimeout(() => begin(left - 1), PAUSE);
  };
  begin(TRIES);
  return () => {
    clearTimeout(timer);
    watcher?.disconnect();
    for (const one of hidden) one.style.display = "";
  };
}
