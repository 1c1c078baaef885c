"""The slash commands: a table, and what a line of input means."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["COMMANDS", "Ask", "Command", "matching", "named", "parse"]


class Command(NamedTuple):
    """One slash command. `waits` False: it only looks, so it runs while a job is at work."""

    name: str
    operand: str
    help: str
    waits: bool = True


COMMANDS: tuple[Command, ...] = (
    Command("fix", "TEXT", "repair a bug: reproduce, localise, edit, verify, review"),
    Command("test", "TEXT", "add tests that fail when the code is broken"),
    Command("refactor", "TEXT", "change code, keep behaviour: the tests decide"),
    Command("plan", "TEXT", "talk it through: nothing is changed, nothing is run"),
    Command("edit", "TEXT", "have it edited at once; commands are still asked for"),
    Command("tests", "[ID…]", "run the tests in a scratch copy: all, or those named"),
    Command("diff", "[RUN]", "review the last patch again, or that of a run"),
    Command("undo", "[ID]", "take back the last applied change, byte for byte"),
    Command("redo", "[ID]", "apply again what undo took back"),
    Command("history", "", "changes written to the tree", waits=False),
    Command("runs", "", "runs of this repository", waits=False),
    Command("resume", "[ID]", "take up what was interrupted: a run or a conversation"),
    Command("sessions", "[ID]", "conversations about this repository"),
    Command("new", "", "begin another conversation"),
    Command("mode", "[NAME]", "ask, accept-edits, plan or auto (Shift+Tab)", waits=False),
    Command("compact", "", "shorten what the model is told: task, plan, edits stay"),
    Command("allowed", "[forget]", "commands allowed for good here", waits=False),
    Command("map", "[WORDS]", "ranked map of the repository"),
    Command("search", "WORDS", "definitions that match a question"),
    Command("cost", "", "the ledger: what was spent, by model", waits=False),
    Command("model", "[NAME]", "show or choose the local model: mini, a name, a GGUF, none"),
    Command("local-only", "[on|off]", "nothing leaves this machine"),
    Command("budget", "[USD]", "show the budgets or set what a run may cost"),
    Command("copy", "", "the last answer to the clipboard", waits=False),
    Command("clear", "", "empty the screen; conversation, runs, journal stay", waits=False),
    Command("help", "", "keys and commands", waits=False),
    Command("quit", "", "leave", waits=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the user typed. `name` is a command's for `command`, else empty."""

    kind: Literal["command", "unknown", "shell", "talk"]
    name: str
    rest: str
    text: str


def parse(text: str) -> Ask:
    """`/name rest`, `!command line`, or words to talk about."""
    text = text.strip()
    if text.startswith("!"):
        return Ask(kind="shell", name="", rest=text[1:].strip(), text=text)
    if not text.startswith("/"):
        return Ask(kind="talk", name="", rest=text, text=text)
    parts = text[1:].split(maxsplit=1)
    name, rest = (parts[0] if parts else ""), (parts[1].strip() if len(parts) > 1 else "")
    kind: Literal["command", "unknown"] = "command" if named(name) else "unknown"
    return Ask(kind=kind, name=name, rest=rest, text=text)


def named(name: str) -> Command | None:
    return next((c for c in COMMANDS if c.name == name), None)


def matching(text: str) -> tuple[Command, ...]:
    """Commands that what is typed so far may become; none once the operand has begun."""
    if not text.startswith("/") or len(text.split()) > 1 or text.endswith((" ", "\n")):
        return ()
    return tuple(c for c in COMMANDS if c.name.startswith(text[1:]))
