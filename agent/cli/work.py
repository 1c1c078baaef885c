"""`agent fix`, `agent refactor`, `agent test`: one run, shown to people, written for programs."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from agent.cli import introduction
from agent.cli.common import (
    Parser,
    add_json,
    emit,
    err_console,
    load_settings,
    repo_root,
    start_directory,
)
from agent.cli.interrupt import Interrupt
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.events import Event
    from agent.types import Goal

__all__ = [
    "add_place_options",
    "add_run_options",
    "as_row",
    "configure",
    "drive",
    "read_issue",
    "run",
    "tell",
    "write_diff",
]

MAX_READ = 16 << 20
KEEP_HEAD, KEEP_TAIL = 48_000, 16_000
"""Characters of a long issue that are kept: reports put the story first and the log last."""


def configure(parser: Parser, name: str) -> None:
    what = {"fix": "what is wrong", "refactor": "what to change", "test": "what to test"}[name]
    parser.add_argument("text", nargs="?", help=f"{what}; - reads it from stdin")
    parser.add_argument("--issue", metavar="FILE", help=f"read {what} from a file")
    parser.add_argument(
        "--file", action="append", default=[], metavar="PATH", dest="files",
        help="a file in question, searched first (repeatable)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the patch, change nothing")
    if name == "fix":
        parser.add_argument(
            "--keep-test", action="store_true", help="add the reproducing test to your suite"
        )
    parser.add_argument("--replay", metavar="FILE", help="answers from a recorded trajectory")
    add_json(parser)
    add_run_options(parser)


def add_run_options(parser: Parser) -> None:
    """Options that any run takes. Those named like a setting are flags of that setting."""
    run = parser.add_argument_group("this run")
    run.add_argument("--test", metavar="CMD", dest="test_command", help="how tests are run")
    run.add_argument("--max-cost", metavar="USD", dest="max_cost_usd_micro", help="dollars")
    run.add_argument("--max-time", metavar="S", dest="max_wall_s", help="seconds")
    run.add_argument("--max-steps", metavar="N", help="steps of the plan")
    run.add_argument("--max-tokens", metavar="N", help="tokens, in and out")
    run.add_argument("--workers", metavar="N", help="test processes at a time")
    run.add_argument(
        "--no-zero-token", action="store_const", const=False, dest="zero_token",
        help="do not search single edits first",
    )  # fmt: skip
    add_place_options(parser)
    box = parser.add_argument_group("execution")
    box.add_argument("--sandbox", metavar="TIER", help="auto, bwrap, sandlock or none")
    box.add_argument(
        "--unsandboxed", action="store_const", const=True,
        help="run commands unconfined, this once",
    )  # fmt: skip
    box.add_argument(
        "--as-root", action="store_const", const=True,
        help="allow running as root where the user cannot be changed",
    )  # fmt: skip


def add_place_options(parser: Parser) -> None:
    """Where steps may run."""
    where = parser.add_argument_group("places and models")
    where.add_argument(
        "--local-only", action="store_const", const=True, help="nothing leaves this machine"
    )
    frontier = where.add_mutually_exclusive_group()
    frontier.add_argument(
        "--frontier", action="store_const", const="require", help="insist on the paid API"
    )
    frontier.add_argument(
        "--no-frontier", action="store_const", const="off", dest="frontier",
        help="never use the paid API",
    )  # fmt: skip
    where.add_argument("--frontier-model", metavar="MODEL", help="model of the paid API")
    where.add_argument(
        "--strategy", metavar="S", dest="local_strategy",
        help="local decoding: auto, plain, mtp, copy, combined",
    )  # fmt: skip
    where.add_argument("--local-model", metavar="MODEL", help="mini, a name, a GGUF path, or none")


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app
    from agent.types import Task

    goal = _goal(args.command)
    text, shortened = read_issue(args)
    root = repo_root(args)
    loaded = load_settings(args, root)
    files = tuple(_inside(Path(f), start_directory(args), root) for f in args.files)
    with Interrupt() as cancel:
        app = open_app(loaded, root, cancel=cancel)
        task = Task(
            goal=goal,
            text=text,
            root=root,
            test_command=args.test_command,
            files=files,
            dry_run=args.dry_run,
            keep_test=getattr(args, "keep_test", False),
        )
        replay = Path(args.replay) if args.replay else None
        if replay is not None and not replay.is_file():
            raise ConfigError(f"{replay}: no such trajectory", remedy="agent runs")
        tell(args, loaded, shortened)
        code = drive(app.run(task, replay=replay), args)
        if replay is None and not args.quiet and not args.json:
            introduction.once(app.places.places(), loaded.settings.local_context)
        return code


def drive(events: "Iterator[Event]", args: argparse.Namespace) -> int:
    """Show a run's events; its last event decides the exit code."""
    from agent.cli.render import NoStatus, Renderer, status_for
    from agent.events import RunFinished

    console = err_console(args)
    # On one terminal the transcript and the JSON lines would run into each other.
    console.quiet = args.quiet or (args.json and sys.stdout.isatty())
    code = 5
    with Renderer(console, NoStatus() if console.quiet else status_for(console)) as view:
        for event in events:
            if args.json:
                emit(as_row(event))
            view.show(event)
            if isinstance(event, RunFinished):
                code = event.outcome.exit_code
                if getattr(args, "dry_run", False) and not args.json:
                    write_diff(event.outcome.diff)
    return code


def as_row(event: "Event") -> dict[str, object]:
    """An event as the JSON object that `--json` prints: its type, then its fields."""
    from agent.trajectory import jsonable

    return {"type": type(event).__name__, **jsonable(event)}


def tell(args: argparse.Namespace, loaded: "Loaded", shortened: str = "") -> None:
    """What settings were ignored and what was cut, on stderr, before the run starts."""
    from agent.sanitize import one_line

    for notice in (*loaded.notices, *([shortened] if shortened else ())):
        if not args.quiet:
            sys.stderr.write(f"note: {one_line(notice, 400)}\n")
    if loaded.settings.unsandboxed:
        sys.stderr.write("WARNING: --unsandboxed: the repository's code runs as you\n")


def read_issue(args: argparse.Namespace) -> tuple[str, str]:
    """The task's text, and a note if it was shortened. Raises ConfigError when there is none."""
    if args.text is not None and args.issue:
        raise ConfigError("both a text and --issue were given", remedy="give one of them")
    if args.issue:
        raw = _read(Path(args.issue))
    elif args.text == "-":
        raw = sys.stdin.buffer.read(MAX_READ + 1)
    else:
        raw = (args.text or "").encode("utf-8", "surrogateescape")
    if len(raw) > MAX_READ:
        raise ConfigError(
            f"the issue is larger than {MAX_READ >> 20} MiB", remedy="give its relevant part"
        )
    text = raw.decode("utf-8", "replace").strip().strip("\ufeff\x00")
    if not text:
        raise ConfigError(
            "the issue is empty", remedy=f'agent {args.command} "what is wrong", or --issue FILE'
        )
    return _shortened(text)


def _shortened(text: str) -> tuple[str, str]:
    left_out = len(text) - KEEP_HEAD - KEEP_TAIL
    if left_out <= 0:
        return text, ""
    kept = f"{text[:KEEP_HEAD]}\n[… {left_out} characters left out …]\n{text[-KEEP_TAIL:]}"
    return kept, f"the issue has {len(text):,} characters; {left_out:,} in its middle are left out"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_READ + 1)
    except OSError as error:
        raise ConfigError(
            f"--issue {path}: {error.strerror or error}", remedy=f"ls -l {path}"
        ) from error


def _goal(command: str) -> "Goal":
    from agent.types import Goal

    found: Goal = next(g for g in get_args(Goal) if g == command)
    return found


def _inside(path: Path, start: Path, root: Path) -> str:
    """A named file relative to the root. Raises ConfigError if it is not a file in there."""
    full = (start / path).resolve()
    if not full.is_relative_to(root) or not full.is_file():
        raise ConfigError(f"--file {path}: no such file in {root}", remedy=f"ls {root}")
    return full.relative_to(root).as_posix()


def write_diff(diff: str) -> None:
    """A patch on stdout: exact bytes in a pipe (to be applied), cleaned on a terminal."""
    from agent.sanitize import clean

    if sys.stdout.isatty():
        sys.stdout.write(clean(diff))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(diff.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
