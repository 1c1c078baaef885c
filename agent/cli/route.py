"""`agent route explain`: where each step would go, how it would be decoded, and why."""

import argparse
import sys
from pathlib import Path
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
    from agent.engine.costs import Costs
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
    decisions = add_action(actions, "decisions", "show how recorded answers were decoded, and why")
    decisions.add_argument("file", nargs="?", type=Path, metavar="FILE", help="another record")
    decisions.add_argument("--last", type=int, default=1, metavar="N", help="answers (default 1)")
    decisions.add_argument("--steps", action="store_true", help="every step of them")


def run(args: argparse.Namespace) -> int:
    if args.action == "decisions":
        from agent.cli import route_decisions

        return route_decisions.run(args)
    return _explain(args)


def _explain(args: argparse.Namespace) -> int:
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
    costs, has_mtp, curve = _running(app.places)
    for kind in cast("list[StepKind]", args.steps or list(kinds)):
        how = _how(kind, args.tokens, costs, has_mtp=has_mtp)
        if args.json:
            emit(
                {
                    "step": kind,
                    **jsonable(route(kind, facts=facts)),
                    "decoding": how,
                    "cost_curve": curve,
                }
            )
            continue
        sys.stdout.write(clean(explain(kind, facts=facts)) + "\n")
        if route(kind, facts=facts).location == "local":
            sys.stdout.write(f"  decoding: {clean(how)}\n  {clean(curve)}\n")
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


def _running(places: "Places") -> "tuple[Costs, bool, str]":
    """Cost curve of the local model's running worker, whether it drafts by MTP, and whether the
    curve is measured. Assumed values, and an MTP head, where none runs."""
    import json

    from agent import paths
    from agent.cli.checks import curve_words
    from agent.engine.strategy import Costs
    from agent.serve.supervise import worker_status

    model = places.local_model
    for worker in worker_status(paths.runtime_dir()) if model else ():
        if worker.health and model and worker.model == model.path.resolve():
            health = json.loads(worker.health)
            raw = health["costs"]
            costs = Costs(**raw | {k: tuple(raw[k]) for k in ("verify", "wide")})
            return costs, health["mtp"], curve_words(health)
    return Costs(), True, "cost curve assumed: no engine runs (agent models calibrate)"


def _how(kind: StepKind, tokens: int, costs: "Costs", *, has_mtp: bool) -> str:
    """The engine's own choice for such a request."""
    from agent.engine.strategy import choose

    editing = kind in ("edit", "repair", "refactor")
    choice = choose(
        step_kind=kind,
        edit_format="search_replace" if editing else None,
        wanted="auto",
        draft_length=None,
        has_mtp=has_mtp,
        copy_sources=tokens if editing else 0,
        costs=costs,
    )
    return f"{choice.arm}: {choice.reason}"
