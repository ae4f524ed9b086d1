"""Builds the documentation from README, `examples/docs`, the docstrings and the examples: `make docs`, or `python examples/build_docs.py FOLDER`."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "anton_notebook"
SECTIONS = {
    "Begin": ("index", "quick_start"),
    "How to": ("watch", "ask", "try", "fork", "own_agents", "share", "dashboard"),
    "Reference": ("anton_notebook", "columns", "frames", "commands", "formats", "troubleshooting"),
    "Know": ("guide", "performance", "limits", "security", "developing"),
}
TITLES = {
    "index": "Overview", "quick_start": "Quick start", "watch": "Watch a run", "ask": "Ask and count", "try": "Try another prompt",
    "fork": "Fork a run", "own_agents": "Agents of your own", "share": "Keep and share", "dashboard": "The dashboard, HTTP",
    "anton_notebook": "Python", "columns": "Columns", "frames": "Other frames", "commands": "Command line", "formats": "Formats",
    "troubleshooting": "Troubleshooting", "limits": "Honest limits", "guide": "Guide", "performance": "Performance", "security": "Security", "developing": "Develop",
}  # fmt: skip
WIDGET = "application/vnd.jupyter.widget-view+json"
FRAMES = ("runs", "spans", "messages", "tool_calls", "problems")
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --ground: #fff; --soft: #f5f7fa; --line: #d5dbe3; --way: #1666c9; --faint: #5b6675 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --ground: #15191f; --soft: #1f262f; --line: #3a4450; --way: #6cb0ff; --faint: #9aa5b4 }
}
* { box-sizing: border-box } html { scroll-padding-top: 1rem }
body { margin: 0; display: flex; align-items: flex-start; font: 16px/1.6 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
nav.ways { position: sticky; top: 0; flex: none; width: 15rem; height: 100vh; overflow-y: auto; padding: 1.4rem 1.2rem; border-right: 1px solid var(--line) }
nav.ways b { display: block; margin: 1.1rem 0 .3rem; font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--faint) }
nav.ways a { display: block; padding: .14rem .5rem; margin-left: -.5rem; border-radius: 5px; color: inherit; text-decoration: none; font-size: .93rem }
nav.ways a:hover, nav.ways a[aria-current] { background: var(--soft) } nav.ways a[aria-current] { color: var(--way); font-weight: 600 }
main { flex: 1; min-width: 0; max-width: 58rem; padding: 1.6rem 2.4rem 5rem } h1 { margin-top: 0; line-height: 1.25 }
h2 { margin-top: 2.4rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line) } h3 { margin-top: 1.8rem } a { color: var(--way) }
pre { padding: .8rem 1rem; overflow-x: auto; border-radius: 7px; background: var(--soft); font-size: 13.5px; line-height: 1.5 }
code { font-family: ui-monospace, monospace; font-size: .9em } pre code { font-size: 1em; background: none; padding: 0 }
p code, li code, td code { padding: .06em .3em; border-radius: 4px; background: var(--soft) } img, svg { max-width: 100%; height: auto }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: .92rem }
th, td { padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
table.dataframe, table.dataframe :is(th, td) { border-width: 0 } table.dataframe :is(th, td) { border-bottom: 1px solid var(--line) }
.jp-Cell { margin: 1rem 0 } .jp-InputPrompt, .jp-OutputPrompt, .prompt, .anchor-link { display: none } .jp-RenderedHTMLCommon table { font-size: .85rem }
.jp-OutputArea-output pre { background: none; border-left: 3px solid var(--line); border-radius: 0 } .faint { color: var(--faint) }
@media (max-width: 800px) { body { display: block } nav.ways { position: static; width: auto; height: auto; border: 0 } main { padding: 1rem } }
"""


class Said(NamedTuple):
    """A message that the code can raise."""

    error: str
    text: str
    where: str


def colours() -> str:
    """Of code, light and dark."""
    from pygments.formatters import HtmlFormatter

    light = "\n".join(HtmlFormatter(style="default").get_style_defs(kind) for kind in (".codehilite", ".highlight"))
    dark = "\n".join(HtmlFormatter(style="github-dark").get_style_defs(kind) for kind in (".codehilite", ".highlight"))
    own = ".codehilite, .highlight { background: none !important }"
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def page(name: str, title: str, body: str, books: dict[str, str], style: str) -> str:
    """A page with the way to all others."""
    groups = {head: {one: TITLES[one] for one in names} for head, names in SECTIONS.items()}
    groups = {**dict(list(groups.items())[:2]), "Examples": books, **dict(list(groups.items())[2:])}
    ways = "".join(
        f"<b>{escape(head)}</b>"
        + "".join(
            f'<a href="{one}.html"{" aria-current=page" if one == name else ""}>{escape(said)}</a>'
            for one, said in names.items()
        )
        for head, names in groups.items()
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)} – anton_notebook</title>'
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{style}</style></head>"
        f"<body><nav class='ways' aria-label='Pages'>{ways}</nav><main>{body}</main></body></html>\n"
    )


def html(text: str) -> str:
    """Markdown as HTML; the word after a block's language is for the tests."""
    from markdown2 import markdown

    text = re.sub(r"^```(\w+)[^\n]*$", r"```\1", text, flags=re.M)
    return str(markdown(text, extras=["fenced-code-blocks", "tables", "header-ids", "cuddled-lists"]))


def readme() -> str:
    """README with its links to examples and pages as links between the built pages."""
    text = (ROOT / "README.md").read_text()
    text = re.sub(r"\(examples/([\w-]+)\.ipynb\)", r"(\1.html)", text)
    text = re.sub(r"\(examples/docs/([\w-]+)\.md(#[\w-]+)?\)", r"(\1.html\2)", text).replace(
        "(examples/docs)", "(guide.html)"
    )
    text = re.sub(r"\[([^\]]+)\]\((?:\.github/)?[A-Z]+\.md\)", r"\1", text)
    return text.replace("(examples/", "(")


def columns_page() -> str:
    """Every declared column: name, dtype, meaning, source."""
    import anton_notebook as anb

    parts = ["# Columns", 'Unknown is missing (`NaN`, `<NA>`), never 0 or "". The same list: `anb.columns(frame)`.', ""]
    for frame in FRAMES:
        parts += [
            f"## `{frame}_df`",
            "",
            "| column | dtype | meaning | where it comes from |",
            "| --- | --- | --- | --- |",
        ]
        parts += [
            f"| `{c.name}` | `{c.dtype}` | {c.meaning} | {c.source} |"
            for c in anb.columns(frame).itertuples(index=False)
        ]
        parts.append("")
    return html("\n".join(parts))


def commands_page() -> str:
    """What each command says with `--help`."""
    import os

    os.environ |= {"COLUMNS": "110", "NO_COLOR": "1"}  # as wide as the page, whatever the terminal
    from anton_notebook.cli import COMMANDS, main

    begin = (
        "# Command line\n\nExit codes: 0 done, 1 an error that is said on standard error, 2 wrong usage, 130 Ctrl-C. Results go to standard output and "
        "progress to standard error; colours and widths follow the terminal and are left out in a pipe. `python -m anton_notebook.cli` is the same.\n\n"
        "```bash\nanton-notebook --install-completion       # completes commands and options in bash, zsh and fish\n```\n"
    )
    body = [html(begin)]
    for name in COMMANDS:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            main([name, "--help"])
        body.append(f"<h2 id='{name}'>{name}</h2><pre>{escape(shown.getvalue())}</pre>")
    return "".join(body)


def messages(package: Path = PACKAGE) -> Iterator[Said]:
    """Every message of an error of this library, as it stands in the code; what is filled in is `{…}`."""
    known = {
        node.name for node in ast.parse((package / "errors.py").read_text()).body if isinstance(node, ast.ClassDef)
    }
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text())
        known_here = known | {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in known for base in node.bases)
        }
        for node in ast.walk(tree):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and ast.unparse(call.func) in known_here and call.args:
                text = " ".join(template(call.args[0]).split())
                if len(text) > 8:
                    yield Said(
                        ast.unparse(call.func), text, ".".join(path.relative_to(package.parent).with_suffix("").parts)
                    )


def template(node: ast.expr) -> str:
    """The text of an expression; what is known only when it is raised is `{…}`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return (
            "{" + re.sub(r"\W+", " ", ast.unparse(node.value)).strip()[:24] + "}"
            if isinstance(node.value, ast.Name)
            else "{…}"
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    if isinstance(node, ast.IfExp):
        return f"{template(node.body)} / {template(node.orelse)}"
    return "{…}"


def every_message() -> str:
    """The messages, by error."""
    found: dict[str, list[Said]] = {}
    for said in messages():
        found.setdefault(said.error, []).append(said)
    parts = [
        "<h2 id='every-message'>Every message</h2><p>From the code itself; <code>{…}</code> is filled in when it is raised.</p>"
    ]
    for error in sorted(found):
        rows = "".join(
            f"<tr><td>{escape(one.text)}</td><td><code>{escape(one.where)}</code></td></tr>" for one in found[error]
        )
        parts.append(f"<h3>{escape(error)}</h3><table>{rows}</table>")
    return "".join(parts)


def api() -> str:
    """Every public name: how it is called, what its docstring says, its source."""
    import anton_notebook as anb
    from anton_notebook import dashboard, errors, llm
    from anton_notebook.experiments.replay import ReplayPlan, plan
    from anton_notebook.tables.plots import Pictures

    rooms = {
        "anton_notebook": {name: getattr(anb, name) for name in anb.__all__},
        "anton_notebook.experiments.replay": {"plan": plan, "ReplayPlan": ReplayPlan},
        "anton_notebook.llm": {
            n: getattr(llm, n) for n in ("Provider", "register", "Scripted", "Anthropic", "OpenAI", "Ollama")
        },
        "anton_notebook.dashboard": {"serve": dashboard.serve, "Dashboard": dashboard.Dashboard},
        "frame.anb": {"Pictures": Pictures},
        "anton_notebook.errors": {
            n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, anb.AntonNotebookError)
        },
    }
    parts = ["<h1>Python</h1><p>Times are UTC, durations milliseconds, costs US dollars, unless it says otherwise.</p>"]
    for room, names in rooms.items():
        ways = ", ".join(f'<a href="#{escape(name)}"><code>{escape(name)}</code></a>' for name in names)
        parts.append(f"<h2 id='{room}'>{escape(room)}</h2><p>{ways}</p>")
        parts += [documented(name, thing) for name, thing in names.items()]
    return "".join(parts)


def documented(name: str, thing: object, level: int = 3, of: str = "") -> str:
    """One name; of a class its public methods and properties too, those of our own base classes as well."""
    full = f"{of}.{name}" if of else name
    body = "" if isinstance(thing, property) else signature(thing)
    text = inspect.getdoc(thing) or ""
    if level == 4 and not text:
        return ""
    word = "class " if isinstance(thing, type) else ""
    parts = [f"<h{level} id='{full}'>{word}<code>{escape(full)}</code></h{level}>"]
    parts += [f"<pre><code>{escape(f'{name}{body}')}</code></pre>"] if body else []
    parts.append(html(fenced(text)))
    parts.append(source_of(thing.fget if isinstance(thing, property) else thing))
    if isinstance(thing, type):
        for inner in members(thing):
            found = inspect.getattr_static(thing, inner)
            found = found.__func__ if isinstance(found, classmethod | staticmethod) else found
            parts.append(documented(inner, found, 4, name))
    return "".join(parts)


def members(thing: type) -> list[str]:
    """Public methods and properties of a class that are ours, in the order in which they are written."""
    found: dict[str, None] = {}
    for base in thing.__mro__:
        if base.__module__.startswith("anton_notebook") and base.__module__ != "anton_notebook.errors":
            for name, value in vars(base).items():
                if not name.startswith("_") and (
                    inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)
                ):
                    found.setdefault(name)
    return list(found)


def signature(thing: object) -> str:
    """How it is called, without what is handed over by Python itself; long ones one argument a line."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    given = [one for name, one in found.parameters.items() if name not in ("self", "cls") and not name.startswith("_")]
    if isinstance(thing, type) and [one.kind for one in given] == [
        inspect.Parameter.VAR_POSITIONAL,
        inspect.Parameter.VAR_KEYWORD,
    ]:
        return ""
    ends = isinstance(thing, type) or found.return_annotation is inspect.Signature.empty
    found = found.replace(
        parameters=given, return_annotation=inspect.Signature.empty if ends else found.return_annotation
    )
    said = plain(str(found))
    if len(said) < 90:
        return said
    end = said.rpartition(") -> ")[2] if " -> " in said else ""
    star = [i for i, one in enumerate(given) if one.kind is inspect.Parameter.KEYWORD_ONLY][:1]
    lines = [plain(str(one)) for one in given]
    if star and not any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in given):
        lines.insert(star[0], "*")
    return "(\n    " + ",\n    ".join(lines) + ",\n)" + (f" -> {end}" if end else "")


def plain(text: str) -> str:
    """A signature without the quotes of annotations, and without addresses in memory."""
    return re.sub(r"<(?:object object at \w+|factory)>", "…", re.sub(r"'([^']*)'(?=[,)\]]|$| =| ->)", r"\1", text))


def fenced(text: str) -> str:
    """A docstring as markdown: its examples as blocks of code."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        begins = line.startswith((">>> ", "..."))
        if begins and not inside:
            lines += ["", "```python"]
            inside = True
        elif inside and not line.strip():
            lines += ["```"]
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


def source_of(thing: object) -> str:
    """Its source, folded."""
    try:
        lines, first = inspect.getsourcelines(inspect.unwrap(thing))  # type: ignore[arg-type]
        path = Path(inspect.getsourcefile(thing) or "").relative_to(ROOT)  # type: ignore[arg-type]
    except (TypeError, OSError, ValueError):
        return ""
    if len(lines) > 150:  # of a class: its methods have theirs
        return f"<p class='faint'>{path}, line {first}</p>"
    text = escape("".join(lines))
    return f"<details><summary class='faint'>source: {path}, line {first}</summary><pre><code>{text}</code></pre></details>"


def main(folder: Path) -> None:
    """Writes the pages."""
    import nbconvert
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    books = {
        book.stem: book.stem.replace("_", " ").capitalize() for book in sorted((ROOT / "examples").glob("*.ipynb"))
    }
    style = STYLE + colours()
    for picture in (ROOT / "examples").glob("*.png"):
        (folder / picture.name).write_bytes(picture.read_bytes())
    bodies = {
        "index": html(readme()),
        "columns": columns_page(),
        "commands": commands_page(),
        "anton_notebook": api(),
    }
    for source in (ROOT / "examples" / "docs").glob("*.md"):
        bodies[source.stem] = html(source.read_text())
    bodies["troubleshooting"] += every_message()
    exporter = nbconvert.HTMLExporter(template_name="basic")
    for book in books:
        pages = nbformat.read(ROOT / "examples" / f"{book}.ipynb", as_version=4)
        for cell in pages.cells:  # the picture below stands for the widget, as in a saved notebook
            cell.outputs = [one for one in cell.get("outputs", []) if WIDGET not in one.get("data", {})]
        bodies[book], _ = exporter.from_notebook_node(pages)
    for name, body in bodies.items():
        (folder / f"{name}.html").write_text(page(name, TITLES.get(name) or books[name], body, books, style))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs"))
