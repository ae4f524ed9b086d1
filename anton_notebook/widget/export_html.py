"""A run as static HTML for saved notebooks, and as a standalone page that needs no network and no kernel."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from anton_notebook.model.html_repr import no_math
from anton_notebook.redact import Redactor
from anton_notebook.render import agent_rows, figures, run_svg
from anton_notebook.widget.bundle import bundled
from anton_notebook.widget.protocol import clean

if TYPE_CHECKING:
    from anton_notebook.store import Store

PAGE_LIMIT = 32 * 2**20  # bytes of the packed state in a standalone page


def static_html(store: Store, codes: tuple[int, ...], redact: bool = True) -> str:
    """Return a run as an image and a table, without scripts; "" without a run.

    Args:
        store: The store.
        codes: Codes of the shown runs, the main one first.
        redact: Whether secrets are removed.

    Returns:
        HTML that notebooks keep even where outputs are sanitized.
    """
    svg = run_svg(store, codes) if codes else ""
    if not svg:
        return ""
    redactor, run = Redactor(), store.run(codes[0])

    def text(value: object, limit: int = 200) -> str:
        cleaned = clean(str(value), limit)
        return escape(redactor.text(cleaned) if redact else cleaned)

    summary = " · ".join(f"{value} {name}".strip() for value, name in figures(run))
    # An <img> survives where notebooks remove inline SVG, and runs no script inside of it.
    image = base64.b64encode((redactor.text(svg) if redact else svg).encode()).decode()
    heads = "".join(f"<th>{name}</th>" for name in ("agent", "calls", "tools", "tokens", "cost", "errors"))
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(value, 60)}</td>" for value in row) + "</tr>"
        for row in agent_rows(store, codes[0])
    )
    return no_math(
        f'<img alt="{text(run["name"] or run["trace_id"])}: {text(summary)}" src="data:image/svg+xml;base64,{image}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>",
        "anton-still",
    )


def standalone_page(packed: bytes, title: str, traits: Mapping[str, Any]) -> str:
    """Return a page that shows a packed state. Its content security policy allows the embedded script and style only.

    Args:
        packed: The state, from `snapshot.pack_state`.
        title: The title.
        traits: Values of synchronized traits.

    Returns:
        The HTML document.
    """
    # A closing tag inside of the script would end its element.
    script, style = bundled("standalone.js").replace("</script", "<\\/script"), bundled("widget.css")
    style += "html,body{margin:0;background:Canvas}body{padding:12px;color-scheme:light dark}"
    state = json.dumps({"saved": base64.b64encode(packed).decode(), "traits": dict(traits)}).replace("<", "\\u003c")

    def source_hash(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n"
        f'<body><div id="anton-cell"></div>\n<script type="application/json" id="anton-state">{state}</script>\n'
        f'<script type="module">{script}</script></body></html>\n'
    )
