"""The house's rules, read from the source itself: who may import whom, how long a file may be, and what must not ship.

`HOUSE` is the table of the design. A module of the package that is not in it fails the test, and so does an import that it
does not allow: change the table only together with the design.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "anton_notebook"
SCRIPTS = ROOT / "js" / "src"
NAME = PACKAGE.name


class Room(NamedTuple):
    """What a module may import: modules of our own, and outside libraries whose one door it is."""

    own: str = ""
    doors: str = ""


ANY = "*"
TOOLS = {"numpy", "msgspec"}
"""Plain tools of the inner modules; all but errors may use them."""

HOUSE = {
    "errors": Room(),
    "model": Room("errors"),
    "redact": Room("model store errors"),
    "store": Room("model errors"),
    "sources": Room("model store errors"),
    "sources.watcher": Room("model store sources errors", "watchdog"),
    "sources.otlp.protobuf_file": Room("model store sources errors", "google opentelemetry"),
    "pricing": Room("model errors", "genai_prices"),
    "tables": Room("model store pricing errors", "pandas"),
    "tables.plots": Room("model store pricing tables errors", "pandas matplotlib"),
    "api": Room(
        "model store sources tables pricing redact archive.delta_table errors", "pandas pyarrow polars networkx"
    ),
    "archive": Room(
        "model store sources tables api pricing errors", "dask distributed fsspec pyarrow deltalake pandas"
    ),
    "llm": Room("model errors"),
    "llm.anthropic": Room("model llm errors", "anthropic"),
    "llm.openai": Room("model llm errors", "openai"),
    "capture": Room("model llm sources.writer sources.home errors", "tornado opentelemetry google pydantic_ai"),
    "experiments": Room(
        "model store sources.writer sources.home api llm capture tables pricing errors", "pandas scipy"
    ),
    "experiments.compare": Room("model store api errors", "rapidfuzz"),
    "render": Room("model store errors"),
    "widget": Room(
        "model store sources.follower api experiments llm pricing render redact tables errors",
        "anywidget ipywidgets traitlets IPython",
    ),
    "widget.kernel_comm": Room(doors="comm"),
    "dashboard": Room(ANY, "tornado comm pandas"),
    "simulate": Room(ANY),
    "__main__": Room("cli", ""),
    "cli": Room(ANY, "jupyter_client nbformat typer rich pandas"),
    "__init__": Room(ANY, "lazy_loader"),
}


def files(folder: Path, *endings: str) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in endings and not {"node_modules", "__pycache__", "static"} & set(path.parts)
    )


def module_of(path: Path) -> str:
    """`sources.watch` for `anton_notebook/sources/watch.py`, `store` for `anton_notebook/store/__init__.py`."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def part_of(module: str) -> str:
    return module.split(".")[0]


def room_of(module: str) -> Room | None:
    parents = [module.rsplit(".", n)[0] for n in range(module.count(".") + 1)]
    return next((HOUSE[name] for name in parents if name in HOUSE), None)


def imports(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported, within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import; write the whole name"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def own_name(full: str) -> str | None:
    """`sources.follower` for `anton_notebook.sources.follower.follow`; None for what is not ours."""
    parts = full.split(".")
    if parts[0] != NAME:
        return None
    inner: list[str] = []
    for part in parts[1:]:
        base = PACKAGE.joinpath(*inner, part)
        if not (base.is_dir() or base.with_suffix(".py").is_file() or (not inner and part in HOUSE)):
            break
        inner.append(part)
    return ".".join(inner) or "__init__"


def for_types_only(tree: ast.Module) -> set[int]:
    """Lines of imports that only a type checker sees."""
    return {
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }


def wrong_imports(source: str, module: str) -> list[str]:
    """What a module imports and may not, one sentence each."""
    room = room_of(module)
    if room is None:
        return [f"{module} is not in the table"]
    tree = ast.parse(source)
    typing = for_types_only(tree)
    out = []
    for line, full in imports(tree, module):
        own = own_name(full)
        if own is None:
            top = full.split(".")[0]
            allowed = (
                top in sys.stdlib_module_names or top in room.doors.split() or (top in TOOLS and module != "errors")
            )
            if not allowed and line not in typing:
                out.append(f"{module}:{line} imports {top}, whose door is another module")
        elif room.own != ANY and part_of(own) != part_of(module):
            rights = room.own.split()
            parents = [own.rsplit(".", n)[0] for n in range(own.count(".") + 1)]
            inside = any(name in rights for name in [*parents, part_of(own)])
            if not inside:
                out.append(f"{module}:{line} imports {own}; allowed are {', '.join(rights) or 'none'}")
    return out


@pytest.mark.parametrize("path", files(PACKAGE, ".py"), ids=module_of)
def test_every_module_imports_what_the_design_allows(path: Path) -> None:
    found = wrong_imports(path.read_text(), module_of(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("errors", "import numpy", 1),
        ("errors", "import json, re", 0),
        ("store", "import pandas as pd", 1),
        ("store.store", "from anton_notebook.tables import build", 1),
        ("store.store", "from anton_notebook.store import aggregates", 0),
        ("sources.tail", "import watchdog.events", 1),
        ("sources.watcher", "import watchdog.events", 0),
        ("experiments.rerun", "from anton_notebook.sources.writer import create", 0),
        ("experiments.rerun", "from anton_notebook.sources.reader import Reader", 1),
        ("experiments.rerun", "def late():\n    import anthropic", 1),
        ("widget", "from anton_notebook.sources.follower import follow", 0),
        ("widget", "from anton_notebook.sources.tail import Tail", 1),
        ("widget.stream", "from anton_notebook.widget import protocol", 0),
        ("capture.gateway", "import requests", 1),
        ("brand_new", "", 1),
        ("cli.demo", "from anton_notebook import api, store", 0),
        ("tables", "import anton_notebook", 1),
    ],
)
def test_the_rule_itself_catches_what_it_should(module: str, source: str, wrong: int) -> None:
    assert len(wrong_imports(source, module)) == wrong


def test_nothing_imports_the_front_doors() -> None:
    doors = {"simulate", "cli"}
    for path in files(PACKAGE, ".py"):
        if part_of(module_of(path)) not in doors | {"__init__", "__main__"}:
            for line, full in imports(ast.parse(path.read_text()), module_of(path)):
                assert (own_name(full) or "").split(".")[0] not in doors, f"{path}:{line}"


def test_importing_the_package_loads_no_sdk_and_none_of_the_optional_libraries() -> None:
    heavy = "anthropic openai httpx httpx2 jupyterlab dask distributed matplotlib tornado"
    code = f"import sys, anton_notebook; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(("folder", "ending", "limit"), [(PACKAGE, ".py", 400), (SCRIPTS, ".ts", 300)])
def test_no_file_is_two_things(folder: Path, ending: str, limit: int) -> None:
    paths = [
        path for path in files(folder, ending) if not path.name.endswith(".test.ts") and "testing" not in path.parts
    ]
    long = {str(path.relative_to(ROOT)): n for path in paths if (n := len(path.read_text().splitlines())) > limit}
    assert not long, f"longer than {limit} lines: {long}"


def test_the_top_level_holds_the_four_folders_and_no_other() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("NOT TESTED: not a git checkout")
    folders = {line.split("/")[0] for line in done.stdout.splitlines() if "/" in line}
    assert {name for name in folders if not name.startswith(".")} <= {"anton_notebook", "js", "examples", "tests"}


# What must not ship, in words that this file itself may not be caught by.
SINKS = "inner" + "HTML|outer" + "HTML|insertAdjacent" + "HTML|dangerouslySet|document" + r"\.write|srcdoc"
SCRIPT_RULE = re.compile(rf"{SINKS}|\beval\(|new Function\b|createContextualFragment|DOMParser|javascript:")
BANNED_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
BANNED_CALLS = {
    "eval",
    "exec",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "subprocess.getoutput",
}
QUERIES = {"execute", "executemany", "executescript"}


def sins(source: str) -> list[str]:
    """Calls and imports that must not ship, in Python."""
    tree = ast.parse(source)
    out = [f"{line}: imports {full}" for line, full in imports(tree, "") if full.split(".")[0] in BANNED_MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in BANNED_CALLS:
            out.append(f"{node.lineno}: calls {name}")
        if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
            out.append(f"{node.lineno}: imports a module whose name is data")
        for word in node.keywords:
            if word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False):
                out.append(f"{node.lineno}: runs a shell")
            if word.arg == "allow_pickle":
                out.append(f"{node.lineno}: allows pickles")
        if isinstance(node.func, ast.Attribute) and node.func.attr in QUERIES and node.args:
            query = node.args[0]
            made = isinstance(query, ast.JoinedStr | ast.BinOp) or (
                isinstance(query, ast.Call)
                and isinstance(query.func, ast.Attribute)
                and query.func.attr in {"format", "join"}
            )
            if made:
                out.append(f"{node.lineno}: a query put together from text")
    return out


def test_X12_no_process_of_ours_imports_from_the_folder_that_it_is_run_in() -> None:
    started = [re.findall(r'sys\.executable,\s*("-[A-Za-z]+")', path.read_text()) for path in PACKAGE.rglob("*.py")]
    assert [flag for found in started for flag in found] == ['"-P"'] * 3


@pytest.mark.parametrize("path", files(PACKAGE, ".py"), ids=module_of)
def test_X12_no_python_file_does_what_must_not_ship(path: Path) -> None:
    assert sins(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from cloudpickle import loads",
        "eval('1')",
        "import yaml\nyaml.load(text)",
        "import subprocess\nsubprocess.run(command, shell=True)",
        "import subprocess\nsubprocess.run(command, shell=flag)",
        "import os\nos.system('ls')",
        "db.execute(f'select {column} from spans')",
        "db.execute('select * from ' + table)",
        "db.execute('select * from %s' % table)",
        "db.execute('select * from {}'.format(table))",
        "import importlib\nimportlib.import_module(name)",
        "import numpy\nnumpy.load(path, allow_pickle=True)",
    ],
)
def test_each_sin_in_python_is_caught(source: str) -> None:
    assert len(sins(source)) == 1


def test_X12_no_script_writes_markup_or_runs_text() -> None:
    for path in files(SCRIPTS, ".ts"):
        if not path.name.endswith(".test.ts"):
            found = [line for line in path.read_text().splitlines() if SCRIPT_RULE.search(line)]
            assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    "line",
    [
        "el.inner" + "HTML = x",
        "new Function('a')",
        "eval(text)",
        "x.insertAdjacent" + "HTML('', t)",
        "document" + ".write(x)",
    ],
)
def test_each_sin_in_a_script_is_caught(line: str) -> None:
    assert SCRIPT_RULE.search(line)


def test_dependencies_are_pinned_without_naming_a_place_to_get_them_from() -> None:
    lock = (ROOT / "js" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') > 50
    constraints = (ROOT / "constraints.txt").read_text()
    for line in constraints.splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+( ; [^@]+)?", line), line
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    places = re.compile(r"--(extra-)?index-url|--registry[ =]|registry\.npm" + r"js|files\.python" + r"hosted")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".txt", ".toml", ".json", ".cfg", ".yml", ".yaml", ".npmrc", ""} and path.is_file():
            assert not places.search(path.read_text(errors="replace")), name
