"""`agent eval run | grade | report | compare | export | replay | validate`; `python -m evals`."""

import argparse
from collections.abc import Callable
from importlib import import_module

from agent.cli.common import Parser, add_action
from evals.datasets.commands import inject_options, mine_options
from evals.loading import add_options

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    """Sub-commands and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    go = add_action(actions, "run", "run instances on arms and grade the patches")
    _run_options(go)
    judge = add_action(actions, "grade", "grade a predictions file of any agent")
    add_options(judge)
    judge.add_argument(
        "-p", "--predictions", required=True, metavar="FILE",
        help="JSONL or JSON as the official harness reads it, or `gold`",
    )  # fmt: skip
    judge.add_argument("--workers", type=int, default=1, metavar="N", help="patches at a time")
    judge.add_argument("--out", metavar="DIR", help="where results and report go")
    show = add_action(actions, "report", "summarise a run as Markdown, HTML and JSON")
    show.add_argument(
        "run", metavar="RUN", help="a run directory, a results.jsonl, or runs by date"
    )
    show.add_argument("--out", metavar="DIR", help="where the files go (default: print Markdown)")
    two = add_action(actions, "compare", "two arms on the same instances and seeds")
    two.add_argument("first", metavar="RUN:ARM")
    two.add_argument("second", metavar="RUN:ARM")
    two.add_argument(
        "--fail-below", type=float, metavar="DIFF",
        help="exit 1 if first minus second is below this (for example -0.05)",
    )  # fmt: skip
    out = add_action(actions, "export", "a run as files that other tools read")
    out.add_argument("run", metavar="RUN", help="a run directory")
    out.add_argument("--format", choices=("swebench", "mini-swe-agent"), default="swebench")
    out.add_argument("--out", required=True, metavar="DIR")
    again = add_action(actions, "replay", "a unit again from its recorded answers, no model asked")
    again.add_argument("run", metavar="RUN", help="a run directory")
    again.add_argument("unit", metavar="UNIT", help="INSTANCE.ARM.SEED")
    check = add_action(actions, "validate", "prove that every bug fails before and passes after")
    add_options(check)
    check.add_argument("--write", action="store_true", help="record the failing tests (lock.json)")
    mine_options(add_action(actions, "mine", "instances from a repository's own history of fixes"))
    inject_options(add_action(actions, "inject", "put bugs into a package and keep what is proved"))


def _run_options(go: Parser) -> None:
    from evals.arms import ARMS, DEFAULT

    add_options(go)
    names = ", ".join(a.name for a in ARMS)
    go.add_argument(
        "--arm", action="append", default=[], dest="arms", metavar="NAME",
        help=f"{names} (repeatable; default: {', '.join(DEFAULT)})",
    )  # fmt: skip
    go.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 … N-1")
    go.add_argument(
        "--temperature", type=float, metavar="T",
        help="of every request (default: as each step asks; without it seeds hardly differ)",
    )  # fmt: skip
    go.add_argument(
        "--workers", "--jobs", type=int, default=1, metavar="N", dest="workers",
        help="units at a time",
    )  # fmt: skip
    go.add_argument("--executor", choices=("process", "ray"), default="process")
    go.add_argument("--max-time", type=float, default=240.0, metavar="S", help="seconds a unit")
    go.add_argument(
        "--zero-token-time", type=float, default=90.0, metavar="S",
        help="seconds of a unit for the zero-token stage",
    )  # fmt: skip
    go.add_argument(
        "--stop-after", type=float, metavar="S",
        help="begin no further unit after that many seconds; --out takes the run up again",
    )  # fmt: skip
    go.add_argument("--out", metavar="DIR", help="run directory; an existing one is taken up again")


HANDLERS = {
    "run": ("evals.running", "run_command"),
    "grade": ("evals.running", "grade_command"),
    "report": ("evals.showing", "report_command"),
    "compare": ("evals.showing", "compare_command"),
    "export": ("evals.exporting", "export_command"),
    "replay": ("evals.exporting", "replay_command"),
    "validate": ("evals.loading", "validate"),
    "mine": ("evals.datasets.commands", "mine_command"),
    "inject": ("evals.datasets.commands", "inject_command"),
}


def run(args: argparse.Namespace) -> int:
    """The exit code."""
    module, name = HANDLERS[args.action]
    command: Callable[[argparse.Namespace], int] = getattr(import_module(module), name)
    return command(args)
