"""The small jobs: each takes the wired app and yields what is to be shown."""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.sanitize import clean, one_line
from agent.tui.items import Item, Offer, Output, Say, Sheet
from agent.tui.words import Words

if TYPE_CHECKING:
    from agent.app import App
    from agent.trajectory import RunSummary
    from tools.journal import Entry

__all__ = [
    "allowed",
    "applied",
    "budgets",
    "changes",
    "chosen",
    "ledger",
    "places",
    "redo",
    "repo_map",
    "resumable",
    "runs",
    "search",
    "shell",
    "undo",
]

MAP_TOKENS = 1_500
RESULTS = 15
SHELL_S = 120.0
OUTPUT_LINES = 400


def undo(app: "App", entry_id: str) -> Iterator[Item]:
    entry = app.journal.undo(app.repo.root, entry_id or None)
    yield _entry("took back", entry, "/redo")


def redo(app: "App", entry_id: str) -> Iterator[Item]:
    entry = app.journal.redo(app.repo.root, entry_id or None)
    yield _entry("applied again", entry, "/undo")


def applied(entry: "Entry", offer: Offer, counts: tuple[int, int, int]) -> Iterator[Item]:
    """What was written; a part of a patch, or an edited one, is not what the tests saw.

    `counts`: hunks accepted, hunks there were, hunks the user edited.
    """
    done, total, edited = counts
    hunks = f"{total} hunk" + ("" if total == 1 else "s")
    yield _entry("applied", entry, "/undo", f"{done} of {hunks}")
    text = ""
    if not offer.verified:
        text = "this patch is not verified: /tests runs the tests before you rely on it"
    elif edited:
        text = "you edited the patch; the tests verified it as it was: /tests runs them again"
    elif done < total:
        text = "only part of the patch was applied; the tests verified the whole, not this part"
    if text:
        yield Say(label="warning", text=text, style="yellow")


def _entry(verb: str, entry: "Entry", back: str, more: str = "") -> Say:
    names = ", ".join(one_line(path, 60) for path in entry.paths[:4])
    if len(entry.paths) > 4:
        names += f" and {len(entry.paths) - 4} more"
    text = f"{verb}: {names}" + (f" ({more})" if more else "")
    return Say(label="journal", text=text, style="green", note=f"{entry.id} · {back} reverses it")


def repo_map(app: "App", words: str) -> Iterator[Item]:
    index = app.index()
    index.update()
    found = index.map(words or None, MAP_TOKENS)
    title = f"map · {found.symbols} symbols, {found.tokens:,} of {MAP_TOKENS:,} tokens"
    for word, near in found.near:
        title += one_line(f" · {near} is near, nothing holds {word}", 120)
    nothing = "nothing matches; /map alone shows the whole repository" if words else "no code here"
    yield Output(title=title, text=found.text or nothing)


def search(app: "App", words: str) -> Iterator[Item]:
    if not words:
        raise ConfigError("say what to look for", remedy="/search WORDS")
    index = app.index()
    index.update()
    hits = index.search(words, RESULTS)
    rows = [
        f"{hit.path}:{hit.line}  {hit.symbol or ''}  — {'; '.join(hit.reasons[:2])}" for hit in hits
    ]
    text = "\n".join(one_line(row) for row in rows)
    yield Output(title=f"search · {len(hits)} found", text=text or "nothing found")


def shell(app: "App", command: str) -> Output:
    """A command line of the user's in the sandbox: the repository writable, no network.

    Stopping the job ends it: the sandbox looks at the session's token.
    """
    from tools.sandbox import interpreter_paths
    from tools.testrun.interpreter import target_environment, target_interpreter
    from tools.types import Limits

    if not command:
        raise ConfigError("there is no command", remedy="!pytest -q")
    root = app.repo.root
    python = target_interpreter(root, os.environ)
    env = target_environment(os.environ)
    env["PATH"] = f"{python.parent}:{env['PATH']}"
    done = app.sandbox.run(
        ("/bin/sh", "-c", command),
        cwd=root,
        env=env,
        limits=Limits(wall_s=SHELL_S),
        writable=(root,),
        readable=interpreter_paths(python),
    )
    text = (done.stdout + done.stderr).decode("utf-8", "replace").rstrip("\n")
    rows = text.split("\n")
    if len(rows) > OUTPUT_LINES:
        rows = [f"… {len(rows) - OUTPUT_LINES} earlier lines", *rows[-OUTPUT_LINES:]]
    ended = done.stopped or f"exit {done.returncode}"
    title = f"$ {one_line(command, 60)} · {ended} · {done.duration_s:.1f} s"
    return Output(
        title=f"{title} · sandbox {app.sandbox.name}", text="\n".join(rows) or "(no output)"
    )


# --------------------------------------------------------------------------- looking back


def ledger(app: "App", words: Words) -> Iterator[Item]:
    """Sums by model and step, and what the same steps would have cost elsewhere."""
    groups = app.ledger.summary(("location", "model", "step"))
    rows = tuple(
        (
            *(one_line(key, 40) for key in group.key),
            f"{group.requests:,}",
            words.usd(group.usd_micro) + (f" +{group.unpriced} unknown" if group.unpriced else ""),
            words.usd(group.open_usd_micro),
            f"{group.usage.input + group.usage.cache_read:,}",
            f"{group.usage.output + group.usage.thinking:,}",
            words.seconds(group.local_s),
        )
        for group in groups
    )
    notes = [
        f"estimate: {s.steps} verified step{'' if s.steps == 1 else 's'} on {one_line(s.model)}"
        f" ({s.basis}) would have cost {words.usd(s.usd_micro)};"
        f" spent: {words.usd(s.spent_usd_micro)}"
        for s in app.ledger.savings()
    ]
    if not rows:
        notes.append("no model was asked yet; the zero-token stage costs nothing")
    columns = ("where", "model", "step", "requests", "spent", "reserved", "in", "out", "local")
    yield Sheet(title="Ledger", columns=columns, rows=rows, notes=tuple(notes))


def runs(app: "App", words: Words) -> Iterator[Item]:
    rows = tuple(
        (
            run.run_id,
            time.strftime("%m-%d %H:%M", time.localtime(run.started)),
            run.task.goal,
            ended(run),
            words.usd(run.finished.totals.usd_micro) if run.finished else "",
            one_line(run.task.text, 60),
        )
        for run in app.runs()[:100]
    )
    notes = () if rows else ("no run of this repository yet",)
    columns = ("run", "when", "goal", "ended", "cost", "task")
    yield Sheet(title="Runs", columns=columns, rows=rows, notes=notes, choose="diff")


def changes(app: "App") -> Iterator[Item]:
    """What was written to the tree, newest first; Enter takes an applied one back."""
    entries = sorted(app.journal.entries(app.repo.root), key=lambda e: -e.number)[:200]
    rows = tuple(
        (
            entry.id,
            time.strftime("%m-%d %H:%M", time.localtime(entry.time)),
            entry.state.replace("_", " "),
            one_line(", ".join(entry.paths), 80),
        )
        for entry in entries
    )
    notes = ("Enter on an applied change takes it back, byte for byte",)
    if not rows:
        notes = ("nothing was written to this repository yet",)
    columns = ("change", "when", "state", "files")
    yield Sheet(title="Changes", columns=columns, rows=rows, notes=notes, choose="undo")


def allowed(app: "App", word: str) -> Iterator[Item]:
    """Commands that were allowed for good in this repository; `forget` takes all of that back."""
    memory = app.talks.approvals
    if word == "forget":
        count = memory.forget()
        yield Say(label="allowed", text=f"{count} forgotten: all commands are asked for again")
        return
    found = memory.list()
    for one in found:
        how = "exactly this" if one.exact else "whatever follows"
        yield Say(label="allowed", text=clean(" ".join(one.words)), note=how)
    if not found:
        yield Say(label="allowed", text="nothing yet: every command is asked for")
    else:
        yield Say(label="", text="/allowed forget takes all of it back")


def ended(run: "RunSummary") -> str:
    if run.finished is None:
        return "interrupted"
    outcome = run.finished.outcome
    applied_too = ", applied" if outcome.applied else ""
    return f"{outcome.verdict.replace('_', ' ')}{applied_too}"


def chosen(app: "App", run_id: str) -> "RunSummary":
    """A run by its id or the end of it, else the newest. Raises ConfigError if there is none."""
    found = app.runs()
    if not run_id and found:
        return found[0]
    matches = [run for run in found if run_id and run.run_id.endswith(run_id)]
    if len(matches) != 1:
        what = f"there is no run {one_line(run_id, 40)!r}" if run_id else "no run here yet"
        raise ConfigError(what, remedy="/runs")
    return matches[0]


def resumable(app: "App", run_id: str) -> str:
    """The named run, else the newest that did not end by itself."""
    from agent.app import RESUMABLE

    if run_id:
        return chosen(app, run_id).run_id
    for run in app.runs():
        if run.finished is None or run.finished.outcome.exit_code in RESUMABLE:
            return run.run_id
    raise ConfigError("no run was interrupted", remedy="/runs")


# --------------------------------------------------------------------------- settings


def places(app: "App") -> Iterator[Item]:
    """Where steps can go, and what each place is good for."""
    found = app.places.places()
    for place in found:
        steps = "everything" if "chat" in place.capable else ", ".join(sorted(place.capable))
        text = f"{place.model} ({place.provider}), {place.context_window:,} tokens"
        yield Say(label=place.location, text=clean(text), note=f"does {steps}")
    if not found:
        text = "no model is configured; the zero-token stage works without"
        yield Say(label="model", text=text, note="agent models list")


def budgets(app: "App", words: Words) -> Iterator[Item]:
    from datetime import date

    today = date.today().isoformat()
    s = app.settings
    yield Say(label="budget", text=f"a run may cost {_limit(s.max_cost_usd_micro, words)}")
    for scope, key, limit in (
        ("day", today, s.max_cost_day_usd_micro),
        ("month", today[:7], s.max_cost_month_usd_micro),
    ):
        used = app.ledger.used("day" if scope == "day" else "month", key)
        text = f"this {scope}: {words.usd(used)} of {_limit(limit, words)}"
        yield Say(label="", text=text)


def _limit(micro: int | None, words: Words) -> str:
    return "any amount" if micro is None else words.usd(micro)
