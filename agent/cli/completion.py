"""`agent completion SHELL`: a script made from the very parsers that run."""

import argparse
import sys

from agent.cli.common import Parser, make_parser
from agent.errors import ConfigError

__all__ = ["configure", "run", "words"]

BASH = """# pointsman completion: eval "$(agent completion bash)"
_pointsman() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} cmd=${{COMP_WORDS[1]}}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$cur")); return
  fi
  case "$cmd" in
{cases}
  esac
}}
complete -o default -F _pointsman agent pointsman
"""
ZSH = """#compdef agent pointsman
# pointsman completion: agent completion zsh > "${{fpath[1]}}/_agent"
_pointsman() {{
  if (( CURRENT == 2 )); then
    local -a commands=(
{commands}
    )
    _describe command commands; return
  fi
  case "$words[2]" in
{cases}
  esac
  _files
}}
compdef _pointsman agent pointsman
"""


def configure(parser: Parser, name: str) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell]
    sys.stdout.write(make(words()))
    return 0


def words() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Command -> (help, its sub-commands and long options)."""
    from importlib import import_module

    from agent.cli.main import COMMANDS

    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, command in COMMANDS.items():
        parser = make_parser(name, command.help)
        try:
            import_module(command.module).configure(parser, name)
        except ConfigError:  # a command whose package is not installed has no options
            found[name] = (command.help, ())
            continue
        options: list[str] = []
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                options += list(action.choices)
            options += [o for o in action.option_strings if o.startswith("--")]
        found[name] = (command.help, tuple(options))
    return found


def _bash(found: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    cases = "\n".join(
        f'    {name}) COMPREPLY=($(compgen -W "{" ".join(options)}" -- "$cur")) ;;'
        for name, (_, options) in found.items()
    )
    return BASH.format(commands=" ".join(found), cases=cases)


def _zsh(found: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    commands = "\n".join(f"      '{name}:{help_text}'" for name, (help_text, _) in found.items())
    cases = "\n".join(
        f"    {name}) compadd -- {' '.join(options)} ;;" for name, (_, options) in found.items()
    )
    return ZSH.format(commands=commands, cases=cases)


def _fish(found: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    rows = ["# pointsman completion: agent completion fish | source"]
    for program in ("agent", "pointsman"):
        for name, (help_text, options) in found.items():
            rows.append(
                f"complete -c {program} -n __fish_use_subcommand -a {name} -d '{help_text}'"
            )
            for option in options:
                kind = f"-l {option[2:]}" if option.startswith("--") else f"-a {option}"
                seen = f"'__fish_seen_subcommand_from {name}'"
                rows.append(f"complete -c {program} -n {seen} {kind}")
    return "\n".join(rows) + "\n"
