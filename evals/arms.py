"""Arms: named profiles of the agent's settings, compared on the same instances.

`inherits` are settings that an arm takes from the user's own configuration (which model, which
endpoint): they travel in the unit. Keys never do; they are handed to workers in the environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.config import Settings
from agent.errors import ConfigError

__all__ = ["ALIASES", "ARMS", "DEFAULT", "Arm", "arm", "flags_of", "missing"]

Flags = tuple[tuple[str, str | int | float | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """`flags` are settings by field name; `needs` what a machine must have for it."""

    name: str
    about: str
    flags: Flags
    needs: tuple[str, ...] = ()
    inherits: tuple[str, ...] = ()


LOCAL: Flags = (("local_only", True),)
NO_SEARCH: Flags = (("zero_token", False),)
ENDPOINT = ("onprem_url", "onprem_model")
EDITOR = ("local_model", *ENDPOINT)
API = ("frontier_model", "anthropic_base_url")
DEFAULT = ("zero", "ranker", "mini", "all")
ALIASES = {"local": "all", "frontier": "frontier-only"}

ARMS: tuple[Arm, ...] = (
    Arm(
        name="zero",
        about="the zero-token stage in its own order: no model at all (the floor)",
        flags=(*LOCAL, ("local_model", "none"), ("zero_token_ranker", False)),
    ),
    Arm(
        name="ranker",
        about="the zero-token stage in the order of the learned ranker: no tokens",
        flags=(*LOCAL, ("local_model", "none"), ("zero_token_ranker", True)),
    ),
    Arm(
        name="mini",
        about="the shipped Mini edits; no zero-token stage",
        flags=(*LOCAL, ("local_model", "mini"), *NO_SEARCH),
        needs=("mini",),
    ),
    Arm(
        name="all",
        about="all that works without a key: the zero-token stage, the ranker, then Mini",
        flags=(*LOCAL, ("local_model", "mini")),
        needs=("mini",),
    ),
    Arm(
        name="local-only",
        about="your own local model plans and edits; no zero-token stage",
        flags=(*LOCAL, *NO_SEARCH),
        needs=("model",),
        inherits=("local_model",),
    ),
    Arm(
        name="onprem",
        about="your endpoint plans and edits; no zero-token stage",
        flags=(("local_model", "none"), ("frontier", "off"), *NO_SEARCH),
        needs=("endpoint",),
        inherits=ENDPOINT,
    ),
    Arm(
        name="frontier-only",
        about="the frontier plans and edits",
        flags=(("local_model", "none"), ("frontier", "require"), *NO_SEARCH),
        needs=("key",),
        inherits=API,
    ),
    Arm(
        name="plan-frontier",
        about="the frontier plans, local edits, no zero-token stage",
        flags=NO_SEARCH,
        needs=("key", "editor"),
        inherits=(*EDITOR, *API),
    ),
    Arm(
        name="escalate",
        about="the defaults: zero-token stage, local first, the frontier after failures",
        flags=(),
        needs=("key", "editor"),
        inherits=(*EDITOR, *API),
    ),
)


def arm(name: str) -> Arm:
    """Raises ConfigError for an unknown name."""
    for known in ARMS:
        if known.name == ALIASES.get(name, name):
            return known
    names = ", ".join(a.name for a in ARMS)
    raise ConfigError(f"unknown arm {name!r}", remedy=f"one of: {names}")


def flags_of(chosen: Arm, settings: Settings) -> Flags:
    """The arm's flags, and what it inherits from these settings."""
    found = ((name, getattr(settings, name)) for name in chosen.inherits)
    return (*chosen.flags, *((name, value) for name, value in found if value is not None))


def missing(chosen: Arm, settings: Settings, environ: Mapping[str, str]) -> str:
    """Why the arm cannot run here; empty if it can."""
    lacking = (_lacking(need, settings, environ) for need in chosen.needs)
    return "; ".join(why for why in lacking if why)


def _lacking(need: str, settings: Settings, environ: Mapping[str, str]) -> str:
    from agent import models, paths

    own = settings.local_model not in ("mini", "none")
    has = {
        "key": bool(settings.anthropic_api_key or environ.get("ANTHROPIC_API_KEY")),
        "endpoint": bool(settings.onprem_url),
        "model": own,
        "editor": own or bool(settings.onprem_url) or settings.local_model == "mini",
        "mini": need != "mini" or models.resolve("mini", paths.models_dir()) is not None,
    }
    return "" if has[need] else WHY[need]


WHY = {
    "key": "no key for the paid API",
    "endpoint": "no endpoint (onprem.url)",
    "model": "no weights besides Mini (agent models use)",
    "editor": "no local model and no endpoint",
    "mini": "this installation has no Mini",
}
