"""Arms: named profiles of the agent's settings, compared on the same instances."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config import Settings
from agent.errors import ConfigError

__all__ = ["ARMS", "Arm", "arm", "missing"]

Flags = tuple[tuple[str, str | int | float | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """`flags` are settings by field name; `needs` what a machine must have for it."""

    name: str
    about: str
    flags: Flags
    needs: tuple[str, ...] = ()


LOCAL: Flags = (("local_only", True),)
ARMS: tuple[Arm, ...] = (
    Arm(
        name="zero",
        about="the zero-token stage alone: no model at all (the floor)",
        flags=(*LOCAL, ("local_model", "none")),
    ),
    Arm(
        name="mini",
        about="the shipped Mini edits; no zero-token stage",
        flags=(*LOCAL, ("local_model", "mini"), ("zero_token", False)),
        needs=("mini",),
    ),
    Arm(
        name="local",
        about="all that works without a key: the zero-token stage, then Mini",
        flags=(*LOCAL, ("local_model", "mini")),
        needs=("mini",),
    ),
    Arm(
        name="frontier",
        about="the frontier plans and edits",
        flags=(("local_model", "none"), ("frontier", "require"), ("zero_token", False)),
        needs=("key",),
    ),
    Arm(
        name="plan-frontier",
        about="the frontier plans, local edits, no zero-token stage",
        flags=(("local_model", "mini"), ("zero_token", False)),
        needs=("key", "mini"),
    ),
    Arm(
        name="escalate",
        about="the defaults: zero-token stage, local first, the frontier after failures",
        flags=(),
        needs=("key", "mini"),
    ),
)


def arm(name: str) -> Arm:
    """Raises ConfigError for an unknown name."""
    for known in ARMS:
        if known.name == name:
            return known
    names = ", ".join(a.name for a in ARMS)
    raise ConfigError(f"unknown arm {name!r}", remedy=f"one of: {names}")


def missing(chosen: Arm, settings: Settings, environ: Mapping[str, str]) -> str:
    """Why the arm cannot run here; empty if it can."""
    from agent import models, paths

    key = settings.anthropic_api_key or environ.get("ANTHROPIC_API_KEY")
    if "key" in chosen.needs and not key:
        return "no key for the paid API"
    if "mini" in chosen.needs and models.resolve("mini", paths.models_dir()) is None:
        return "this installation has no Mini"
    return ""
