"""`agent route explain`: where each step would go, how it would be decoded, and why."""

import argparse
import sys
from typing import TYPE_CHECKING, cast, get_args

from agent.cli.common import (
    Parser,
    add_action,
    emit,
    load_settings,
    repo_root,
)
from agent.cli.work import add_place_options
from agent.errors import ConfigError
from agent.sanitize import clean
from agent.types import Privacy, StepKind

if TYPE_CHECKING:
    from agent.places import Places
    from agent.router import RoutingFacts

__all__ = ["configure", "run"]


def configure(parser: Parser, name: str) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    explain = add_action(actions, "explain", "say where steps would go")
    explain.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(get_args(StepKind)))
    explain.add_argument("--tokens", type=int, default=1_000, help="prompt size (default 1000)")
    explain.add_argument("--answer", type=int, default=512, help="answer size (default 512)")
    explain.add_argument("--privacy", choices=get_args(Privacy), default="open", help="label")
    add_place_options(explain)


def run(args: argparse.Namespace) -> int:
    from agent.app import open_app
    from agent.router import explain, route
    from agent.trajectory import jsonable

    kinds = get_args(StepKind)
    unknown = [s for s in args.steps if s not in kinds]
    if unknown:
        raise ConfigError(f"there is no step {unknown[0]!r}", remedy=f"one of {', '.join(kinds)}")
    root = repo_root(args)
    app = open_app(load_settings(args, root), root)
    budget = app.settings.max_cost_usd_micro
    facts = _facts(args, app.places, budget, app.ledger.history())
    for kind in cast("list[StepKind]", args.steps or list(kinds)):
        if args.json:
            emit(
                {
                    "step": kind,
                    **jsonable(route(kind, facts=facts)),
                    "decoding": _how(kind, args.tokens),
                }
            )
            continue
        sys.stdout.write(clean(explain(kind, facts=facts)) + "\n")
        if route(kind, facts=facts).location == "local":
            sys.stdout.write(f"  decoding: {clean(_how(kind, args.tokens))}\n")
        sys.stdout.write("\n")
    return 0


def _facts(
    args: argparse.Namespace, places: "Places", budget: int | None, history: object
) -> "RoutingFacts":
    from agent.ledger import StepRecord
    from agent.router import RoutingFacts

    return RoutingFacts(
        places=places.places(),
        privacy=args.privacy,
        policy=places.policy(),
        budget_left_usd_micro=budget,
        prompt_tokens=args.tokens,
        max_tokens=args.answer,
        history=cast("tuple[StepRecord, ...]", history),
    )


def _how(kind: StepKind, tokens: int) -> str:
    """The engine's own choice for such a request, with a model that has an MTP head."""
    from agent.engine.strategy import Costs, choose

    editing = kind in ("edit", "repair", "refactor")
    choice = choose(
        step_kind=kind,
        edit_format="search_replace" if editing else None,
        wanted="auto",
        draft_length=None,
        has_mtp=True,
        copy_sources=tokens if editing else 0,
        costs=Costs(),
    )
    return f"{choice.arm}: {choice.reason}"
