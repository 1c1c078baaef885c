"""The `agent` command: a static table of commands, and the boundary where errors become words.

A command's module is imported only when that command runs. It has

    configure(parser, name)         adds the command's arguments
    run(args) -> int                does it and returns the exit code
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from agent.cli.common import Parser

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """One row of the table. `module` has `configure` and `run`.

    A NamedTuple because importing `dataclasses` would cost more than the rest of `--help`.
    """

    name: str
    help: str
    module: str


GROUPS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    (
        "Work",
        (
            Command("fix", "repair a bug: reproduce, localise, edit, verify", "agent.cli.work"),
            Command("refactor", "change code, keep behaviour: the tests decide", "agent.cli.work"),
            Command("test", "add tests that fail when the code is broken", "agent.cli.work"),
            Command("chat", "pair-program in the terminal (the default)", "agent.cli.chat"),
        ),
    ),
    (
        "History",
        (
            Command("undo", "take back the last applied change, byte for byte", "agent.cli.undo"),
            Command("redo", "apply again what undo took back", "agent.cli.undo"),
            Command("diff", "show the patch of a run", "agent.cli.runs"),
            Command("runs", "list runs of this repository", "agent.cli.runs"),
            Command("resume", "take up an interrupted run", "agent.cli.runs"),
        ),
    ),
    (
        "Repository",
        (
            Command("index", "build, inspect or search the index", "agent.cli.index"),
            Command("map", "print the ranked map of the repository", "agent.cli.index"),
        ),
    ),
    (
        "Models and money",
        (
            Command("ledger", "what was spent, in dollars and local seconds", "agent.cli.ledger"),
            Command("models", "which models are here, which is used, how fast", "agent.cli.models"),
            Command("serve", "serve OpenAI and Anthropic clients on loopback", "agent.cli.serve"),
            Command("route", "explain where a step would go, and why", "agent.cli.route"),
            Command("eval", "SWE-bench-style evaluations", "agent.cli.evals"),
        ),
    ),
    (
        "Set-up",
        (
            Command("doctor", "what is installed, what is missing, what next", "agent.cli.doctor"),
            Command("config", "every setting, its value and its origin", "agent.cli.settings"),
            Command("paths", "where things are kept", "agent.cli.settings"),
            Command("completion", "completion script for a shell", "agent.cli.completion"),
        ),
    ),
)
COMMANDS: dict[str, Command] = {c.name: c for _, commands in GROUPS for c in commands}

GLOBAL_WITH_VALUE = ("-C", "--directory")
GLOBAL = ("--debug", "--no-color", "-q", "--quiet")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors become two lines on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows another; it is no reason to crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    debug = "--debug" in words or bool(os.environ.get("POINTSMAN_DEBUG"))
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        if debug:
            raise
        return _complain("interrupted", None, 130)
    except BrokenPipeError:
        # The reader of our pipe has gone (`| head`): whatever is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _dispatch(words: list[str]) -> int:
    given, rest = _leading_options(words)
    if not rest:
        if "--help" in given or not _interactive():
            return _help(sys.stdout if "--help" in given else sys.stderr, given)
        rest = ["chat"]
    name = rest[0]
    if name in ("--version", "-V"):
        return _version()
    if name == "help":
        return _dispatch([*(rest[1:2]), "--help"])
    if name.startswith("-") and _of_chat(name):  # `agent --resume`: what `agent` alone means
        return _dispatch([*given, "chat", *rest])
    command = COMMANDS.get(name)
    if command is None:
        return _unknown(name)
    if "--help" in given:
        given.remove("--help")
        rest.append("--help")
    module = _load(command)
    parser = _parser(command, module)
    args = parser.parse_args([*given, *rest[1:]])
    args.command = name
    code: int = module.run(args)
    return code


def _of_chat(option: str) -> bool:
    command = COMMANDS["chat"]
    words = _parser(command, _load(command)).format_help().replace(",", " ").split()
    return option.partition("=")[0] in words


def _parser(command: Command, module: ModuleType) -> "Parser":
    from agent.cli.common import make_parser

    parser = make_parser(command.name, command.help)
    module.configure(parser, command.name)
    return parser


def _load(command: Command) -> ModuleType:
    return import_module(command.module)


def _leading_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Options that stand before the command, and the rest. Every command takes them too."""
    given: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word in GLOBAL_WITH_VALUE and at + 1 < len(words):
            given += words[at : at + 2]
            at += 2
        elif word in GLOBAL or word.startswith("--directory="):
            given.append(word)
            at += 1
        elif word in ("-h", "--help"):
            given.append("--help")
            at += 1
        else:
            break
    return given, words[at:]


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _program() -> str:
    from pathlib import Path

    name = Path(sys.argv[0]).name if sys.argv else ""
    return name if name in ("agent", "pointsman") else "agent"


def _help(stream: TextIO, given: list[str]) -> int:
    prog = _program()
    lines = [
        f"usage: {prog} [-C DIR] COMMAND …",
        "",
        "A local-first terminal coding agent: each step goes to the place, the model",
        "and the decoding strategy that suit it.",
    ]
    for title, commands in GROUPS:
        lines += ["", f"{title}:"]
        lines += [f"  {c.name:<12}{c.help}" for c in commands]
    lines += [
        "",
        "Options of every command:",
        "  -C, --directory DIR  work as if started there",
        "  -q, --quiet          no progress on stderr",
        "  --no-color           no colour (NO_COLOR works too)",
        "  --debug              show where an error was raised",
        "",
        f'Try: {prog} fix "what is wrong"     {prog} COMMAND --help     {prog} doctor',
    ]
    stream.write("\n".join(lines) + "\n")
    return 0 if "--help" in given else 2


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"pointsman {version('pointsman')}\n")
    return 0


_ELSEWHERE = {
    "cost": "ledger", "spend": "ledger", "usage": "ledger", "budget": "config",
    "settings": "config",
    "model": "models", "pull": "models", "search": "index", "status": "doctor", "plan": "fix",
    "edit": "fix", "review": "diff", "log": "runs", "history": "runs", "sessions": "chat",
    "tui": "chat", "bench": "eval",
}  # fmt: skip
"""What other tools call a command of ours, or what is a part of it."""


def _unknown(name: str) -> int:
    import difflib

    from agent.sanitize import one_line

    other = _ELSEWHERE.get(name)
    near = [other] if other else difflib.get_close_matches(name, COMMANDS, n=1)
    kind = "option" if name.startswith("-") else "command"
    hint = f"agent {near[0]} --help" if near else "agent --help"
    return _complain(f"unknown {kind} {one_line(name, 60)!r}", hint, 2)


def _explain(error: Exception) -> int:
    from tools.errors import PointsmanError

    if isinstance(error, PointsmanError):
        return _complain(str(error), error.remedy, error.exit_code)
    if isinstance(error, OSError) and error.filename:
        return _complain(
            f"{error.filename}: {error.strerror}",
            "see that it can be written and that the disk is not full: agent paths",
            5,
        )
    where = f"{type(error).__name__}: {error}"
    return _complain(f"unexpected: {where}", "run it again with --debug and report what it says", 5)


def _complain(what: str, remedy: str | None, code: int) -> int:
    from agent.sanitize import clean

    lines = [f"error: {clean(what)}"]
    if remedy:
        lines.append(f"  try: {clean(remedy)}")
    sys.stderr.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
