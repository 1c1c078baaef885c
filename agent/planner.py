"""Evidence to a Plan: by a model that answers a JSON schema, or by the localiser alone."""

import json
from collections.abc import Sequence
from typing import Any

from agent.types import Completion, Goal, Plan, Step, StepKind, Task
from tools.errors import UnparseableEdit
from tools.types import Suspect

MAX_STEPS = 5
STEP_KINDS: tuple[StepKind, ...] = ("edit", "test", "refactor")

PLAN_SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["summary", "steps"],
        "properties": {
            "summary": {"type": "string"},
            "steps": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["kind", "goal", "files", "symbols"],
                    "properties": {
                        "kind": {"type": "string", "enum": list(STEP_KINDS)},
                        "goal": {"type": "string"},
                        "files": {"type": "array", "items": {"type": "string"}},
                        "symbols": {"type": "array", "items": {"type": "string"}},
                    },
                },
            },
        },
    },
    sort_keys=True,
)


def step_kind_for(goal: Goal) -> StepKind:
    """The kind of step that carries out a goal when nobody planned it."""
    kinds: dict[Goal, StepKind] = {
        "fix": "edit",
        "chat": "edit",
        "refactor": "refactor",
        "test": "test",
    }
    return kinds[goal]


def localiser_plan(task: Task, suspects: Sequence[Suspect], acceptance: Sequence[str]) -> Plan:
    """The plan when no model may plan: one step over the best-ranked files."""
    files = _unique([*task.files, *(s.path for s in suspects)])[:3]
    symbols = _unique([s.symbol for s in suspects if s.symbol])[:5]
    where = f". Most suspicious: {symbols[0]} in {files[0]}" if symbols and files else ""
    step = Step(
        id="s1",
        kind=step_kind_for(task.goal),
        goal=first_line(task.text).rstrip(".") + where,
        files=tuple(files),
        symbols=tuple(symbols),
    )
    return Plan(
        summary="",
        steps=(step,),
        files_in_scope=tuple(files),
        acceptance=tuple(acceptance),
        made_by="localiser",
    )


def parse_plan(
    completion: Completion, *, task: Task, known: Sequence[str], acceptance: Sequence[str]
) -> Plan:
    """A model's answer to a Plan.

    Raises UnparseableEdit, addressed to the model, when the answer is not a plan or when no step
    names a file that exists.
    """
    try:
        data: Any = json.loads(_json_part(completion.text))
    except json.JSONDecodeError as error:
        raise UnparseableEdit(f"The answer is not JSON: {error}. Answer with the object.") from None
    if not isinstance(data, dict) or not isinstance(data.get("steps"), list) or not data["steps"]:
        raise UnparseableEdit('The answer needs a "summary" and a non-empty list "steps".')
    steps = tuple(_step(i, row) for i, row in enumerate(data["steps"][:MAX_STEPS], 1))
    exist = set(known)
    scope = _unique([*task.files, *(f for s in steps for f in s.files)])
    if not any(f in exist for f in scope) and task.goal != "test":
        raise UnparseableEdit(
            "No file of the plan exists. Name paths exactly as in the map: "
            + ", ".join(list(known)[:20])
        )
    return Plan(
        summary=str(data.get("summary", "")),
        steps=steps,
        files_in_scope=tuple(scope),
        acceptance=tuple(acceptance),
        made_by=f"{completion.provider}/{completion.model}",
    )


def first_line(text: str) -> str:
    """The first non-empty line, at most 200 characters."""
    return next((s for line in text.splitlines() if (s := line.strip())), "")[:200]


def _step(number: int, row: Any) -> Step:
    if not isinstance(row, dict) or row.get("kind") not in STEP_KINDS:
        raise UnparseableEdit(f'Step {number} needs a "kind": one of {", ".join(STEP_KINDS)}.')
    return Step(
        id=f"s{number}",
        kind=row["kind"],
        goal=str(row.get("goal", "")),
        files=_clean(row.get("files")),
        symbols=tuple(str(s) for s in row.get("symbols") or ()),
    )


def _clean(paths: Any) -> tuple[str, ...]:
    """Paths as the model wrote them, without a leading `./`; absolute or climbing ones dropped:
    they could never be in scope.
    """
    found = (str(p).removeprefix("./") for p in paths or ())
    return tuple(p for p in found if p and not p.startswith("/") and ".." not in p.split("/"))


def _json_part(text: str) -> str:
    """The outermost object of an answer that may carry a fence or a sentence around it."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))
