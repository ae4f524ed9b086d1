/** Below a live graph its saved picture need not stand too: it is for those who open the notebook without a kernel. */

const OUTPUT = ".jp-OutputArea-child";
const STILL = ".anton-still";

/** Hides the picture in the output after this one, in JupyterLab and Notebook 7. Returns the way to show it again. */
export function hideStill(el: Element): () => void {
  const own = el.closest(OUTPUT);
  const area = own?.parentElement;
  if (!own || !area) return () => {};
  const hidden = new Set<HTMLElement>();
  const look = (): void => {
    const next = own.nextElementSibling;
    if (!(next instanceof HTMLElement) || !next.querySelector(STILL) || next.style.display === "none") return;
    next.style.display = "none";
    hidden.add(next);
  };
  look();
  const watcher = new MutationObserver(look);
  watcher.observe(area, { childList: true, subtree: true });
  return () => {
    watcher.disconnect();
    for (const one of hidden) one.style.display = "";
  };
}
