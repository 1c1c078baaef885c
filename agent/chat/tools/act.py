"""The tools that act: edit, run, test. What they change is a patch until it was approved."""

from collections.abc import Mapping
from typing import Any

from agent.chat.fence import bounded, visible
from agent.chat.tools.base import Args, Desk, Result, Tool, ToolError
from agent.chat.tools.look import _clean_path
from agent.errors import Cancelled
from agent.evidence import failure_text, normalise
from tools.errors import EditError, SandboxError, TestCommandError
from tools.types import CommandResult, Patch, TestRun

__all__ = ["EDIT", "RUN", "TEST"]

RUN_S = 120
LONGEST_S = 600
_TEXT: Mapping[str, Any] = {"type": "string"}
_LIST: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}


# --------------------------------------------------------------------------- edit


def _edit(args: Args, desk: Desk) -> Result:
    from tools.edits import replacement
    from tools.edits.syntax import check_syntax

    path = _clean_path(args.text("path"))
    if not path:
        raise ToolError('"path" is empty.')
    desk.refuse_hidden(path)
    view = desk.view()
    if path not in view.files and view.read(path) is not None:
        raise ToolError(f"{path} is ignored by git; it is not edited.")
    try:
        patch = replacement(path, args.text("search"), args.text("replace"), view.read)
        check_syntax(patch)
    except EditError as error:
        raise ToolError("The edit does not fit; nothing was changed.", data=str(error)) from None
    return Result(summary=f"{path}", paths=(path,), patch=patch)


# --------------------------------------------------------------------------- run


def _run(args: Args, desk: Desk) -> Result:
    argv = _argv(args)
    seconds = args.number("timeout_s", RUN_S) or RUN_S
    keep = args.one_of("keep", ("nothing", "changes")) == "changes"
    try:
        done, rewrote = desk.execute(argv, float(min(max(seconds, 1), LONGEST_S)))
    except SandboxError as error:
        remedy = f" ({error.remedy})" if error.remedy else ""
        raise ToolError(f"The command could not be started: {error}{remedy}") from None
    if done.stopped == "cancelled" or desk.cancel.is_set():
        raise Cancelled("interrupted")
    text, hidden = visible(_output(done))
    ended = _ended(done)
    return Result(
        summary=f"{ended} · {done.duration_s:.1f} s",
        ok=done.returncode == 0 and not done.stopped,
        argv=argv,
        text=bounded(text, desk.output) if text.strip() else "(no output)",
        about=f"command={argv[0]} {ended}{hidden}",
        note="" if keep else _rewrote(rewrote),
        patch=rewrote if keep and rewrote.changes else None,
    )


def _argv(args: Args) -> tuple[str, ...]:
    argv = args.words("argv")
    if not argv or not argv[0].strip():
        raise ToolError(
            '"argv" is empty. Give the program and its arguments, one string each, such as'
            ' ["ruff", "check", "src"]. There is no shell: no pipes, no redirection, no $VARS.'
        )
    if any("\0" in word for word in argv):
        raise ToolError('"argv" holds a NUL character.')
    return argv


def _output(done: CommandResult) -> str:
    out, err = (b.decode("utf-8", "replace") for b in (done.stdout, done.stderr))
    if out.strip() and err.strip():
        return f"{out.rstrip()}\n--- stderr\n{err.rstrip()}\n"
    return out or err


def _ended(done: CommandResult) -> str:
    if done.stopped:
        limits = {"timeout": "out of time", "memory": "out of memory"}
        return f"stopped: {limits.get(done.stopped, done.stopped)}"
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    return f"exit {done.returncode}"


def _rewrote(patch: Patch) -> str:
    if not patch.changes:
        return ""
    names = ", ".join(patch.paths[:8]) + (" and more" if len(patch.paths) > 8 else "")
    return (
        f"The command rewrote {names}. That was put back; to keep such a change, call run again"
        ' with "keep": "changes".'
    )


# --------------------------------------------------------------------------- test


def _test(args: Args, desk: Desk) -> Result:
    ids = args.words("ids")
    try:
        run = desk.tests(ids)
    except TestCommandError as error:
        raise ToolError("The tests cannot be run.", data=str(error)) from None
    except SandboxError as error:
        raise ToolError(f"Nothing can be executed here: {error}") from None
    if desk.cancel.is_set():
        raise Cancelled("interrupted")
    counts = f"{len(run.passing)} passed, {len(run.failing)} failed"
    if not run.cases:
        counts = run.status.replace("_", " ")
    text, hidden = visible(_told(run, desk.output))
    return Result(
        summary=f"{counts} · {run.duration_s:.1f} s",
        ok=run.status == "passed",
        text=bounded(text, desk.output // 2),
        about=f"tests={run.status} {counts.replace(' ', '-')}{hidden}",
    )


def _told(run: TestRun, limit: int) -> str:
    if run.status == "passed":
        return f"{len(run.passing)} passed"
    failing = run.failing
    listed = "\n".join(f"FAILED {test_id}" for test_id in failing[:30])
    more = f"\n… {len(failing) - 30} more" if len(failing) > 30 else ""
    detail = failure_text(run, failing, limit=limit // 3) if failing else normalise(run.output)
    return f"{run.status}\n{listed}{more}\n\n{detail}"


def _command(args: Args) -> str:
    argv = args.values.get("argv")
    return " ".join(map(str, argv)) if isinstance(argv, list) else ""


def _ids(args: Args) -> str:
    ids = args.values.get("ids")
    return " ".join(map(str, ids)) if isinstance(ids, list) and ids else "the whole suite"


EDIT = Tool(
    name="edit",
    kind="edit",
    properties={"path": _TEXT, "search": _TEXT, "replace": _TEXT},
    run=_edit,
    summary=lambda args: str(args.values.get("path", "")),
)
RUN = Tool(
    name="run",
    kind="run",
    properties={
        "argv": _LIST,
        "timeout_s": {"type": "integer"},
        "keep": {"type": "string", "enum": ["nothing", "changes"]},
    },
    run=_run,
    summary=_command,
    command=_argv,
)
TEST = Tool(
    name="test",
    kind="test",
    properties={"ids": _LIST},
    run=_test,
    summary=_ids,
)
