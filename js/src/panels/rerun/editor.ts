/** A bundle of its own (`editor.js`): CodeMirror as the panel wants it. Colors are the page's variables, so themes just turn. */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { markdown } from "@codemirror/lang-markdown";
import { bracketMatching, foldGutter, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { MergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";
import type { Field, FieldOptions, Sides } from "./lazy-editor";

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--an-text)", backgroundColor: "transparent", fontSize: "12.5px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": {
    fontFamily: "var(--jp-code-font-family, ui-monospace, Menlo, Consolas, monospace)",
    lineHeight: "1.55",
    overflow: "auto",
  },
  ".cm-content": { caretColor: "var(--an-text)", padding: "8px 0" },
  ".cm-line": { padding: "0 12px" },
  ".cm-cursor": { borderLeftColor: "var(--an-text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "var(--an-code-selection)",
  },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--an-muted)", border: "none", opacity: "0.7" },
  ".cm-matchingBracket": { backgroundColor: "var(--an-code-selection) !important", color: "inherit" },
  ".cm-searchMatch": { backgroundColor: "var(--an-code-match)", borderRadius: "2px" },
  ".cm-searchMatch-selected": { outline: "1px solid var(--an-accent)" },
  ".cm-selectionMatch": { backgroundColor: "var(--an-code-selection)" },
  ".cm-panels": { backgroundColor: "var(--an-soft)", color: "var(--an-text)" },
  ".cm-panels-top": { borderBottom: "1px solid var(--an-line)" },
  ".cm-panel.cm-search": { padding: "5px 30px 5px 8px", fontFamily: "var(--an-font)", fontSize: "12px" },
  ".cm-panel.cm-search label": { fontSize: "11.5px", color: "var(--an-muted)" },
  ".cm-textfield": {
    border: "1px solid var(--an-line)",
    borderRadius: "4px",
    backgroundColor: "var(--an-ground)",
    color: "var(--an-text)",
    padding: "3px 7px",
  },
  ".cm-button": { backgroundImage: "none" },
  ".cm-specialChar": { color: "var(--an-bad)" },
  ".cm-collapsedLines": {
    background: "var(--an-soft)",
    color: "var(--an-muted)",
    padding: "2px 12px",
    fontSize: "11.5px",
  },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": { backgroundColor: "var(--an-less-soft)" },
  "&.cm-merge-b .cm-changedLine": { backgroundColor: "var(--an-more-soft)" },
  "&.cm-merge-a .cm-changedText": { background: "var(--an-less)", borderRadius: "2px" },
  "&.cm-merge-b .cm-changedText": { background: "var(--an-more)", borderRadius: "2px" },
});

const colors = syntaxHighlighting(
  HighlightStyle.define([
    { tag: t.heading, fontWeight: "700", color: "var(--an-accent)" },
    { tag: t.strong, fontWeight: "700" },
    { tag: t.emphasis, fontStyle: "italic" },
    { tag: t.strikethrough, textDecoration: "line-through" },
    { tag: [t.link, t.url], color: "var(--an-accent)" },
    { tag: [t.monospace, t.string], color: "var(--an-code-string)" },
    { tag: [t.propertyName, t.labelName], color: "var(--an-code-key)" },
    { tag: [t.number, t.bool, t.null], color: "var(--an-code-value)" },
    { tag: [t.processingInstruction, t.contentSeparator], color: "var(--an-muted)" },
    { tag: t.invalid, color: "var(--an-bad)" },
  ]),
);

/** A page with a policy lets in only styles that carry its word; CodeMirror has to be told. */
function allowed(page: Document): Extension {
  const word = page.querySelector<HTMLElement>("script[nonce], style[nonce], link[nonce]")?.nonce;
  return word ? EditorView.cspNonce.of(word) : [];
}

export function edit(parent: HTMLElement, options: FieldOptions): Field {
  const run = (): boolean => {
    options.run();
    return true;
  };
  const view = new EditorView({
    parent,
    doc: options.text,
    extensions: [
      keymap.of([{ key: "Mod-Enter", run }, ...searchKeymap, ...historyKeymap, ...defaultKeymap]),
      history(),
      search({ top: true }),
      highlightSelectionMatches(),
      highlightSpecialChars(),
      drawSelection(),
      bracketMatching(),
      options.json ? [json(), lineNumbers(), foldGutter()] : markdown(),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": options.label, spellcheck: "false" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) options.changed();
      }),
      allowed(parent.ownerDocument),
      look,
      colors,
    ],
  });
  return {
    text: () => view.state.doc.toString(),
    set: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    focus: () => view.focus(),
    close: () => view.destroy(),
  };
}

/** Two texts beside each other; the right one may grow. */
export function compare(parent: HTMLElement, original: string, answer: string): Sides {
  const still = (label: string): Extension => [
    EditorState.readOnly.of(true),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": label }),
    keymap.of([...searchKeymap, ...defaultKeymap]),
    search({ top: true }),
    highlightSpecialChars(),
    allowed(parent.ownerDocument),
    look,
    colors,
  ];
  const both = new MergeView({
    parent,
    a: { doc: original, extensions: still("The recorded answer") },
    b: { doc: answer, extensions: still("The new answer") },
    gutter: false,
    collapseUnchanged: { margin: 3, minSize: 8 },
    diffConfig: { scanLimit: 5_000 },
  });
  return {
    set: (text) => {
      const before = both.b.state.doc;
      // What has come is only added to: the rest of the document, and where it is scrolled to, stays.
      const old = before.toString();
      if (text === old) return;
      const from = text.startsWith(old) ? old.length : 0;
      both.b.dispatch({ changes: { from, to: before.length, insert: text.slice(from) } });
    },
    close: () => both.destroy(),
  };
}
