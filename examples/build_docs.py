"""Builds the documentation from README, the docstrings and the examples: `make docs`, or `python examples/build_docs.py FOLDER`."""

from __future__ import annotations

import re
import sys
import tempfile
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STYLE = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.55 system-ui, sans-serif }
body { color: #1c2430; background: #fff }
pre { padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; background: #f5f7fa; font-size: 14px }
code { font-family: ui-monospace, monospace } table { border-collapse: collapse } img { max-width: 100% }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #d5dbe3; text-align: left; vertical-align: top }
nav a { margin-right: 1.2rem } a { color: #1666c9 }
@media (prefers-color-scheme: dark) {
  body { color: #e6eaf0; background: #15191f } pre { background: #1f262f } th, td { border-color: #3a4450 }
  a { color: #6cb0ff }
}
"""


def page(title: str, body: str, links: dict[str, str]) -> str:
    """A page with the way to all others."""
    ways = "".join(f'<a href="{escape(where)}">{escape(name)}</a>' for name, where in links.items())
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<nav>{ways}</nav>{body}"
    return f"<!doctype html>\n<html lang='en'><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n"


def main(folder: Path) -> None:
    """Writes the pages."""
    import nbconvert
    import pdoc
    from markdown2 import markdown

    folder.mkdir(parents=True, exist_ok=True)
    books = sorted((ROOT / "examples").glob("*.ipynb"))
    links = {"Guide": "index.html", "API": "anton_notebook.html"} | {
        book.stem.replace("_", " ").capitalize(): f"{book.stem}.html" for book in books
    }
    text = (ROOT / "README.md").read_text()
    for picture in (ROOT / "examples").glob("*.png"):
        (folder / picture.name).write_bytes(picture.read_bytes())
    text = re.sub(r"\(examples/([\w-]+)\.ipynb\)", r"(\1.html)", text).replace("(examples/", "(")
    extras = ["fenced-code-blocks", "tables", "header-ids"]
    (folder / "index.html").write_text(page("anton_notebook", markdown(text, extras=extras), links))
    for book in books:
        html, _ = nbconvert.HTMLExporter(template_name="basic").from_filename(str(book))
        (folder / f"{book.stem}.html").write_text(page(book.stem, html, links))
    pdoc.render.configure(docformat="markdown", show_source=False, search=False)
    inner = [f"!anton_notebook.{path.stem}" for path in (ROOT / "anton_notebook").iterdir() if path.stem != "__init__"]
    with tempfile.TemporaryDirectory() as made:
        pdoc.pdoc("anton_notebook", *inner, output_directory=Path(made))
        (folder / "anton_notebook.html").write_text((Path(made) / "anton_notebook.html").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs"))
