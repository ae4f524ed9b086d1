"""Print the figures of the code base beside their bars: `python tests/tools/house.py`.

Each figure is a function of the source tree, so that `test_house.py` can hold it. Only the import time is measured.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "anton_notebook"
SCRIPTS = ROOT / "js" / "src"
LONGEST, MOST_BRANCHES = 60, 15

REFUSED = (
    r"told of",
    r"let(?:s|ting)? go of",
    r"takes? note",
    r"\b[Ww]hoever\b",
    r"\b(?:of|with|have) (?:one's|its|their) own\b",
    r"\bof ours\b",
    r"where there is none",
    r"where there are none",
    r"\bis no [a-z]+\b",
    r"\b(?:can|could)(?:not|n't) be had\b",
    r"\b(?:is|are|was|were) (?:told|said|asked)\b",
    r"^\s*What (?:a|an|the|of|is|was|stands|comes|lies|[a-z]+s)\b[^?]*$",
)
"""Phrases that STYLE.md refuses in docstrings, comments and messages; matched line by line."""

PRIVATE = re.compile(
    r"\._mgr\b|getrefcount|_from_backing_data|_transport_for_url|_create_subshell|\._holding_sync|\._property_lock"
    r"|kernel\._(?!_)|comm_manager\._|ipykernel\.[\w.]*\b_\w+|httpx2?\._|pandas\._|\._trait_values"
)
"""Private attributes of third-party packages that were in use once."""


def python_files(folder: Path = PACKAGE) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def source_lines() -> int:
    return sum(len(path.read_text("utf-8").splitlines()) for path in python_files())


def loose_modules() -> list[str]:
    return sorted(path.name for path in PACKAGE.glob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def repeated_classes() -> list[str]:
    """Names of module-level classes that are defined more than once."""
    names = Counter(
        node.name
        for path in python_files()
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    return sorted(name for name, count in names.items() if count > 1)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the `def` to the end, without the docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    if node.body and isinstance(first := node.body[0], ast.Expr) and isinstance(first.value, ast.Constant):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def long_functions() -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({length} lines)"
        for path in python_files()
        for node in functions(path)
        if (length := body_lines(node)) > LONGEST
    ]


def complex_functions() -> list[str]:
    """What ruff's C901 reports over the bar."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "C901", "--output-format", "concise"]
    command += ["--config", f"lint.mccabe.max-complexity={MOST_BRANCHES}", str(PACKAGE)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    return [line for line in out.splitlines() if "C901" in line]


def import_graph() -> dict[str, set[str]]:
    """Which modules of the package each module imports, imports for type checkers included."""
    names = {_module(path): path for path in python_files()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        edges: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                edges |= {
                    full if (full := f"{node.module}.{alias.name}") in names else node.module for alias in node.names
                }
            elif isinstance(node, ast.Import):
                edges |= {alias.name for alias in node.names}
        graph[name] = (edges & names.keys()) - {name}
    return graph


def import_cycles() -> list[list[str]]:
    """Groups of modules that import each other (strongly connected components, by Tarjan's algorithm)."""
    graph, index, low, stack, groups = import_graph(), {}, {}, [], []  # type: ignore[var-annotated]

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                groups.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return groups


def private_attributes() -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if PRIVATE.search(line)
    ]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of comments, docstrings and other texts with a space in them."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ")
            elif token.type in (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)) and " " in token.string:
                yield from enumerate(token.string.strip("rbfRBF\"'").splitlines(), token.start[0])


def refused_phrases(folder: Path = PACKAGE) -> list[str]:
    rule = re.compile("|".join(REFUSED))
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in python_files(folder)
        for number, line in prose(path)
        if rule.search(line)
    ]


def comment_share() -> float:
    """Percent of source lines that are or carry a comment; linter and type-checker marks do not count."""
    comments = lines = 0
    for path in python_files():
        lines += len(path.read_text("utf-8").splitlines())
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT and not re.match(r"#\s*(?:noqa|type:|fmt:|pragma)", token.string):
                    comments += 1
    return 100 * comments / lines


def import_seconds(runs: int = 7) -> float:
    """Median seconds of `import anton_notebook` in a fresh interpreter, less those of an empty one."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        return time.perf_counter() - start

    bare = statistics.median(once("pass") for _ in range(runs))
    return statistics.median(once("import anton_notebook") for _ in range(runs)) - bare


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main() -> None:
    rows = [
        ("Python source lines in anton_notebook/", f"{source_lines():,}", "<= 29,000"),
        ("loose modules at the top of the package", str(len(loose_modules())), "<= 3"),
        ("class names used twice", str(len(repeated_classes())), "0"),
        (f"functions over {LONGEST} lines", str(len(long_functions())), "0"),
        (f"functions of complexity over {MOST_BRANCHES}", str(len(complex_functions())), "0"),
        ("import cycles, type-only included", str(len(import_cycles())), "0"),
        ("private attributes of third-party packages", str(len(private_attributes())), "0"),
        ("phrases refused by the style check", str(len(refused_phrases())), "0"),
        ("comment lines", f"{comment_share():.1f} %", ">= 3 %"),
        ("import anton_notebook", f"{import_seconds():.2f} s", "<= 0.35 s"),
    ]
    for what, value, bar in rows:
        print(f"{what:45} {value:>9}   {bar}")
    if "-v" in sys.argv[1:]:
        for listing in (
            repeated_classes,
            long_functions,
            complex_functions,
            import_cycles,
            private_attributes,
            refused_phrases,
        ):
            print(f"\n{listing.__name__}")
            for entry in listing():
                print(f"  {entry}")


if __name__ == "__main__":
    main()
