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


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace) -> int:
    """Prints the script."""
    from anton_notebook.cli import parser

    print(script(options.shell, words(parser())), end="")
    return 0


def words(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Every command and its options."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    commands: Mapping[str, argparse.ArgumentParser] = actions[0].choices
    return {
        name: sorted(word for action in one._actions for word in action.option_strings if word.startswith("--"))
        for name, one in commands.items()
    }


def script(shell: str, known: Mapping[str, list[str]]) -> str:
    """The script for a shell. zsh runs bash's."""
    if shell == "fish":
        lines = [f"complete -c anton-notebook -n __fish_use_subcommand -a '{name}'" for name in known]
        lines += [
            f"complete -c anton-notebook -n '__fish_seen_subcommand_from {name}' -l '{word[2:]}'"
            for name, options in known.items()
            for word in options
        ]
        return "\n".join(lines) + "\n"
    cases = "\n".join(f'      {name}) words="{" ".join(options)}" ;;' for name, options in known.items())
    made = _BASH.format(commands=" ".join(known), cases=cases)
    return f"autoload -U +X bashcompinit && bashcompinit\n{made}" if shell == "zsh" else made
