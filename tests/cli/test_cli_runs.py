"""`export`, `rerun` and `completion`, as processes; the model is a local server that speaks OpenAI's API."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.cli import COMMANDS
from tests.support.pages import line
from tests.support.servers.llm_server import LlmServer, Reply

SECRET = "sk-" + "ant-api03-" + "a1B2c3D4" * 6


@pytest.fixture(scope="module")
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "traces").mkdir()
    said = [{"role": "user", "content": f"Say hello. {SECRET}"}]
    (tmp_path / "traces" / "a.jsonl").write_bytes(line("s1", messages=said, response="Hello.") + line("s2", "run-2"))
    return tmp_path


def ran(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")} | environ
    command = [sys.executable, "-m", "anton_notebook.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def test_export_writes_a_page_lines_and_an_archive(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    for form, name in (("--html", "run.html"), ("--jsonl", "all.jsonl"), ("--parquet", "archive")):
        done = ran("export", str(folder / "traces"), form, str(folder / name))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert name in done.stderr
    assert "default-src 'none'" in (folder / "run.html").read_text()
    text = (folder / "all.jsonl").read_text()
    assert SECRET not in text
    assert "[redacted: Anthropic key]" in text
    with anb.read_traces(folder / "all.jsonl") as traces:
        assert set(traces.runs_df()["trace_id"]) == {"run-1", "run-2"}
    again = ran("export", str(folder / "traces"), "--jsonl", str(folder / "all.jsonl"))
    assert (again.returncode, "overwrites nothing" in again.stderr) == (1, True)
    wrong = ran("export", str(folder / "traces"), "--trace", "run-7", "--html", str(folder / "x.html"))
    assert (wrong.returncode, "run-1" in wrong.stderr) == (1, True)


def test_rerun_asks_again_and_writes_what_came(folder: Path, server: LlmServer) -> None:
    (folder / "prompt.txt").write_text("Say goodbye.")
    environ = {**server.environment(), "COLUMNS": "100"}
    words = ("rerun", "s1", str(folder / "traces"), "--prompt-file", str(folder / "prompt.txt"), "--n", "2")
    quoted = ran(*words, "--quote", **environ)
    assert quoted.returncode == 0, quoted.stderr
    assert "2 calls" in quoted.stdout
    done = ran(*words, "--out", str(folder / "out.csv"), **environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 answers")
    with (folder / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == ["Say goodbye."] * 2
    assert all(row["response"] and not row["error"] for row in rows)
    lines = ran(*words, "--json", **environ).stdout.splitlines()  # known by now
    assert [json.loads(one)["from_cache"] for one in lines] == [True, True]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("s9",), 1, "no span 's9'"),
        (("s1", "--out", "x.xlsx"), 2, ".parquet"),
        (("s1", "--prompt-file", "/no/such/file"), 2, "cannot be read"),
        (("s1", "--budget", "-1"), 2, "US dollars"),
        (("s1", "--n", "0"), 2, "greater than or equal to 1"),
        (("s1", "--model", "nobody", "--budget", "1"), 1, "set_price"),
        (("s1",), 1, "OPENAI_API_KEY"),
    ],
)
def test_rerun_says_what_is_wrong_before_anything_is_sent(
    folder: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    done = ran("rerun", *words, str(folder / "traces"))
    assert done.returncode == status, done.stderr + done.stdout
    assert said in done.stderr + done.stdout


STEERS = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\r"


def test_no_text_of_a_trace_or_an_answer_steers_a_terminal_or_a_spreadsheet(folder: Path, server: LlmServer) -> None:
    (folder / "traces" / "b.jsonl").write_bytes(line("s3", model=f"m{STEERS}", agent_name=STEERS, name=STEERS))
    before, server.reply = server.reply, lambda call: Reply(f"=HYPERLINK(1){STEERS}")
    try:
        words = (str(folder / "traces"),)
        shown = [
            ran("rerun", "s3", *words, "--quote"),
            ran("replay", "s3", *words, "--plan"),
            ran("rerun", STEERS, *words),
        ]
        shown.append(ran("rerun", "s1", *words, "--out", str(folder / "out.csv"), **server.environment()))
        shown.append(ran("rerun", "s1", *words, "--json", **server.environment()))
    finally:
        server.reply = before
    assert "m\\u001b" in shown[0].stdout and json.loads(shown[-1].stdout)["response"].startswith(
        f"=HYPERLINK(1){STEERS[:9]}"
    )
    assert not [one.args for one in shown for c in set(STEERS) if not c.isprintable() and c in one.stdout + one.stderr]
    with (folder / "out.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["response"].startswith("'=HYPERLINK(1)")
    assert (folder / "out.csv").stat().st_mode & 0o77 == 0


def test_a_budget_and_a_plan_hold_for_a_program_too(folder: Path, server: LlmServer) -> None:
    program = (
        f"import pathlib; pathlib.Path({str(folder / 'ran')!r}).touch(); import openai; openai.OpenAI().models.list()"
    )
    words = ("replay", "s1", str(folder / "traces"))
    planned = ran(*words, "--plan", "--", sys.executable, "-c", program)
    assert (planned.returncode, "tokens in" in planned.stdout) == (0, True), planned.stderr
    refused = ran(*words, "--model", "gpt-4o", "--", sys.executable, "-c", program)
    assert (refused.returncode, "have no effect" in refused.stderr) == (2, True)
    assert not (folder / "ran").exists()
    asking = "import openai; openai.OpenAI(max_retries=0).embeddings.create(model='m', input='x')"
    held = ran(*words, "--budget", "0", "--", sys.executable, "-c", asking, **server.environment())
    assert (held.returncode, "whose price is unknown" in held.stderr) == (1, True), held.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str) -> None:
    done = ran("--show-completion", SHELL=f"/bin/{shell}", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    if done.returncode:
        done = ran("--show-completion", shell)
    assert "_ANTON_NOTEBOOK_COMPLETE" in done.stdout + done.stderr


def test_a_run_is_planned_and_forked_from_a_span_and_its_checkpoints_are_listed(
    folder: Path, server: LlmServer
) -> None:
    (folder / "prompt.txt").write_text("Say goodbye.")
    words = ("replay", "s1", str(folder / "traces"), "--prompt-file", str(folder / "prompt.txt"))
    planned = ran(*words, "--plan", **server.environment())
    assert planned.returncode == 0, planned.stderr
    assert "executed" in planned.stdout
    before = len(server.calls)
    done = ran(*words, "--json", **server.environment())
    assert done.returncode == 0, done.stderr
    rows = [json.loads(one) for one in done.stdout.splitlines()]
    assert [(row["span_id"], row["provenance"]) for row in rows if row["span_id"] == "s1"] == [("s1", "executed")]
    assert len(server.calls) == before + 1
    assert "structural steps" in done.stderr
    listed = ran("checkpoints", str(folder / "traces"), "--json")
    assert [json.loads(one)["span_id"] for one in listed.stdout.splitlines()] == ["s1", "s1"]
    wrong = ran("replay", "s7", str(folder / "traces"))
    assert (wrong.returncode, "no span and no checkpoint 's7'" in wrong.stderr) == (1, True)


@pytest.mark.parametrize(
    "name", sorted(set(COMMANDS) - {"demo", "notebook"})
)  # tests/cli/test_cli.py runs the demo, and looks at what is left of it
def test_the_example_of_each_commands_help_does_what_it_says(name: str, folder: Path, server: LlmServer) -> None:
    (folder / "prompt.txt").write_text("Say goodbye.")
    (folder / "my_agents.py").write_text(
        "import openai\nopenai.OpenAI().chat.completions.create(model='m', messages=[{'role': 'user', 'content': 'Hi'}])\n"
    )
    given = {"SPAN": "s1", "/project": str(folder), "python": sys.executable}
    program, *said = [given.get(word, word) for word in shlex.split(COMMANDS[name].EXAMPLE)]
    assert program == "anton-notebook"
    env = os.environ | server.environment() | {"HOME": str(folder)}
    command = [sys.executable, "-m", "anton_notebook.cli", *said]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        if name == "dashboard":
            assert any("token=" in one for one in process.stdout)
            process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    assert "\x1b" not in out + error  # neither is a terminal
    made = {"export": "run.html", "rerun": "results.csv"}
    assert name not in made or (folder / made[name]).exists()
    assert name != "record" or "1 call" in error and ".jsonl" in error
    assert out or name in ("export", "record", "dashboard")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", ".", "--html", "no/such/folder/x.html"), "no/such/folder/x.html"),
        (("export", ".", "--parquet", "prompt.txt/x"), "prompt.txt"),
        (("export", "nowhere", "--html", "x.html"), "nowhere"),
        (("dashboard", ".", "--trace", "run-l"), "run-1"),
        (("checkpoints", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    words: tuple[str, ...], said: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "traces")
    Path("prompt.txt").write_text("no folder")
    done = ran(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_failure(folder: Path) -> None:
    command = f"'{sys.executable}' -m anton_notebook.cli checkpoints --json '{folder}/traces' | head -0; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("0", "")
