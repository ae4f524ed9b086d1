"""`anton-notebook completion`: the words that a shell completes, as a script for it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

HELP = "print a script that makes a shell complete the commands and their options"
EXAMPLE = "anton-notebook completion bash"

_BASH = """\
_anton_notebook() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; else
    case "$command" in
{cases}
    esac
  fi
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "$words" -- "$word")); else
         COMPREPLY=($(compgen -f -- "$word")); fi ;;
  esac
}}
complete -o filenames -F _anton_notebook anton-notebook
"""
_ZSH = """\
#compdef anton-notebook
_anton_notebook() {{
  local -a commands
  commands=({commands})
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local name=$words[2]
  shift words; (( CURRENT-- ))
  case $name in
{cases}
  esac
}}
compdef _anton_notebook anton-notebook
"""


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace) -> int:
    """Prints the script."""
    from anton_notebook.cli import parser

    print(script(options.shell, parser()), end="")
    return 0


def words(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Every command and its options."""
    return {
        name: sorted(word for action in one._actions for word in action.option_strings if word.startswith("--"))
        for name, one in commands(parser).items()
    }


def commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of the commands, by name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    found: Mapping[str, argparse.ArgumentParser] = actions[0].choices
    return found


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for a shell. zsh and fish also say what a word means; values are completed as files, or from what is possible."""
    if shell == "bash":
        known = words(parser)
        cases = "\n".join(f'      {name}) words="{" ".join(options)}" ;;' for name, options in known.items())
        return _BASH.format(commands=" ".join(known), cases=cases)
    return _fish(commands(parser)) if shell == "fish" else _zsh(commands(parser))


def _fish(known: Mapping[str, argparse.ArgumentParser]) -> str:
    lines = []
    for name, one in known.items():
        lines.append(f"complete -c anton-notebook -f -n __fish_use_subcommand -a {name} -d {_quoted(one.description)}")
        after = f"complete -c anton-notebook -n '__fish_seen_subcommand_from {name}'"
        for action in one._actions:
            for word in (word for word in action.option_strings if word.startswith("--")):
                value = "" if action.nargs == 0 else " -r"
                lines.append(f"{after} -l {word[2:]}{value} -d {_quoted(action.help)}")
            if not action.option_strings and action.choices:
                lines.append(f"{after} -f -a {_quoted(' '.join(map(str, action.choices)))}")
    return "\n".join(lines) + "\n"


def _zsh(known: Mapping[str, argparse.ArgumentParser]) -> str:
    described = " ".join(_quoted(f"{name}:{one.description}") for name, one in known.items())
    cases = []
    for name, one in known.items():
        specs = []
        for action in one._actions:
            value = f":{action.metavar or action.dest}:_files" if action.nargs != 0 else ""
            told = (action.help or "").translate({ord("["): "(", ord("]"): ")", ord(":"): "\\:"})
            specs += [_quoted(f"*{word}[{told}]{value}") for word in action.option_strings if word.startswith("--")]
            if not action.option_strings:
                chosen = f"({' '.join(map(str, action.choices))})" if action.choices else "_files"
                specs.append(_quoted(f"*:{action.dest}:{chosen}"))
        cases.append(f"    {name}) _arguments {' '.join(specs)} ;;")
    return _ZSH.format(commands=described, cases="\n".join(cases))


def _quoted(text: str | None) -> str:
    """A word for zsh and fish, in single quotes; both know `'\\''`."""
    return "'" + " ".join((text or "").split()).replace("'", "'\\''") + "'"
