"""What tools share: arguments, results, errors for the model, and the desk they work at."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from agent.errors import PointsmanError
from agent.router import may_leave_to
from agent.types import Location, Privacy, ToolCall, ToolSpec
from tools.types import FileReader, Patch

if TYPE_CHECKING:
    from tools.index import Index
    from tools.types import Cancel, CommandResult, TestRun

    Execute = Callable[[tuple[str, ...], float], tuple[CommandResult, Patch]]

__all__ = ["Args", "Desk", "Result", "Tool", "ToolError", "Undecided", "arguments_of", "spec"]

OUTPUT = 16_000
"""Characters of one result: about 5,000 tokens, a sixth of a small window."""


class ToolError(PointsmanError):
    """A call that cannot be carried out. `str(error)` is addressed to the model; what it quotes
    from files or commands is `data`, which is put between marks."""

    exit_code = 1

    def __init__(self, message: str, *, data: str = "") -> None:
        super().__init__(message)
        self.data = data


class Undecided(PointsmanError):
    """Nobody may or would decide (cancelled while it was asked). Ends the turn."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class Args:
    """Arguments of a call; each getter says to the model what is wrong."""

    values: Mapping[str, Any]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise ToolError(f'"{name}" must be a string.')
        return value

    def number(self, name: str, default: int) -> int:
        value = self.values.get(name, default)
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            value = int(value)  # small models quote numbers
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise ToolError(f'"{name}" must be a whole number.')
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ToolError(f'"{name}" must be a list of strings.')
        return tuple(value)

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        value = self.values.get(name, allowed[0])
        if value not in allowed:
            raise ToolError(f'"{name}" must be one of {", ".join(allowed)}.')
        return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a tool gave. `text` is data; `note` is ours and stands outside the data's marks."""

    summary: str
    text: str = ""
    about: str = ""
    note: str = ""
    ok: bool = True
    paths: tuple[str, ...] = ()
    """What the text was made from: its label is the strictest of theirs."""
    argv: tuple[str, ...] = ()
    patch: Patch | None = None
    """A change to be approved and applied."""


def nothing_runs(*_: object) -> NoReturn:
    """At a desk for looking only."""
    raise ToolError("Nothing is executed here.")


@dataclass(slots=True, kw_only=True)
class Desk:
    """What tools work with during one turn. Made by the turn; its parts are asked for when used."""

    audience: Location
    """Where what the tools give is sent: they give only what may go there."""
    label: Callable[[Sequence[str]], Privacy]
    view: "Callable[[], View]"
    cancel: "Cancel"
    execute: "Execute" = nothing_runs
    """A command in the scratch copy: how it ended and what files of the repository it rewrote."""
    tests: "Callable[[tuple[str, ...]], TestRun]" = nothing_runs
    """The repository's tests in the scratch copy. Raises TestCommandError, SandboxError."""
    output: int = OUTPUT
    """Characters a result may have."""

    def allowed(self, path: str) -> bool:
        """Whether this file may be shown where the conversation is held."""
        return may_leave_to(self.audience, self.label((path,)))

    def refuse_hidden(self, path: str) -> None:
        """Raises ToolError for a file whose label keeps it from where the conversation is held."""
        if not self.allowed(path):
            raise ToolError(
                f"{path} is labelled {self.label((path,))}: it may not be sent to the"
                f" {self.audience} model that holds this conversation. Go on without it."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The files as the conversation has them: the user's tree, or the scratch copy once it holds
    changes that are not in the tree."""

    read: FileReader
    files: tuple[str, ...]
    index: "Callable[[], Index]"
    """Up to date when it is returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. Its description for the model is `prompts/tools/NAME.md`."""

    name: str
    kind: Literal["look", "edit", "run", "test"]
    properties: Mapping[str, Mapping[str, Any]]
    run: Callable[[Args, Desk], Result]
    summary: Callable[[Args], str]
    """One line for people, from arguments that may be anything."""
    command: Callable[[Args], tuple[str, ...]] | None = None
    """The argument vector that needs an approval."""


def spec(tool: Tool) -> ToolSpec:
    """As providers send it. Every property is required: strict servers insist, and a model that
    must write each one leaves none out by accident."""
    import prompts

    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": list(tool.properties),
        "properties": tool.properties,
    }
    return ToolSpec(
        name=tool.name,
        description=prompts.source(f"tools/{tool.name}").strip(),
        schema=json.dumps(schema),
    )


def arguments_of(call: ToolCall) -> Args:
    """Raises ToolError, for the model, where they are no JSON object."""
    if call.malformed:
        raise ToolError(
            "The arguments of this call were not a JSON object, so nothing was done. They began:"
            f" {call.malformed[:200]!r}. Write the call again, with one JSON object."
        )
    try:
        values = json.loads(call.arguments or "{}")
    except ValueError as error:
        raise ToolError(f"The arguments are not JSON ({error}). Write the call again.") from None
    if not isinstance(values, dict):
        raise ToolError("The arguments must be one JSON object. Write the call again.")
    return Args(values)
