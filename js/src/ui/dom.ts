/** Elements from our own words; text from a trace goes in as text nodes and nowhere else. */

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/** `h("button.an-fit", {type: "button", onclick: …}, "Fit")`. Tags, classes and attributes are written here, never data. */
export function h(tag: string, attributes: Attributes = {}, ...children: Child[]): HTMLElement {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false) element.setAttribute(key, value);
  }
  append(element, ...children);
  return element;
}

export function append(element: HTMLElement, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "string" ? document.createTextNode(child) : child);
  }
}

export function replaceChildren(element: HTMLElement, ...children: Child[]): void {
  element.replaceChildren();
  append(element, ...children);
}

/** Copies, where the page may; says so on the button either way. */
export function copyButton(label: string, text: () => string | Promise<string>, word = "Copy"): HTMLElement {
  const button = h(
    "button.an-copy",
    { type: "button", title: label, "aria-label": label.includes(word) ? label : word },
    word,
  );
  button.addEventListener("click", async (event) => {
    event.preventDefault(); // in a fold's line it must not fold
    try {
      await navigator.clipboard.writeText(await text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here";
    }
    setTimeout(() => {
      button.textContent = word;
    }, 1500);
  });
  return button;
}
