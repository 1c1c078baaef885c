"""What the decoding bench measures, and what it must reach."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.bench.decode_tally import Tally
from evals.bench.inflate import MINI, SHAPES, inflate

__all__ = ["ALL", "ARMS", "Plan", "arguments", "failures", "plans"]

ARMS = ("plain", "mtp:1", "mtp:2", "mtp:3", "mtp:4", "copy", "combined", "routed")
ALL = 1 << 20

LEAST_OF_PLAIN = 0.97
"""Routed against plain, in every group."""
NOISY = {"65m": 0.9, "mini": 0.94}
"""Models whose steps are so short, on a few tokens of one item, that less can be held. On Mini a
step takes 0.45 ms in llama.cpp and 0.07 in Python, with drafts 0.14 (chosen, scored, taken back):
copied runs of search/replace save no more than that, 0.94 to 0.97."""

TARGETS: dict[str, dict[str, float]] = {
    "mini": {"rewrite": 1.15},
    "65m": {"rewrite": 1.15, "search_replace": 1.1, "all": 1.1},
    "0.8b": {"rewrite": 2.5, "new_code": 1.3},
}
"""Routed against plain. With Mini MTP cannot pay (a pass of two tokens and a draft cost 2.2 passes
of one), and a copied run of 8 costs 4 to 6 passes."""
SINGLE = {"0.8b": 1.15}
"""Routed over the whole trace against the best of plain, any MTP k and copy."""
COMBINED = {"0.8b": 0.97}
"""Routed over the whole trace against combined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure on one model. `items`: most of a group; `tokens`: most of an item, `few`:
    where plain decodes it."""

    name: str
    model: Path
    arms: tuple[str, ...]
    rounds: int
    budget: float
    items: int = ALL
    tokens: int = ALL
    few: int = ALL
    groups: tuple[str, ...] = ()
    """Empty: all."""
    whole: tuple[str, ...] = ()
    """Groups of which all items are measured: rewrites differ most."""

    def longest(self, arm: str, group: str) -> int:
        """Only plain decoding takes the same time everywhere in a text."""
        most = ALL if group in self.whole else self.tokens
        return min(most, self.few) if arm == "plain" else most


def failures(tally: Tally, groups: Sequence[str], plan: Plan) -> list[str]:
    """What routed must reach and does not, in words."""
    found = []
    name = plan.name
    for group in groups:
        ratio = tally.ratio(group, "routed")
        least = TARGETS.get(name, {}).get(group, NOISY.get(name, LEAST_OF_PLAIN))
        if ratio < least:
            found.append(f"{name}, {group}: routed {ratio:.3f} of plain, at least {least}")
    singles = [a for a in plan.arms if a not in ("combined", "routed")]
    others = []
    if len(singles) > 1:
        others.append((f"the best of {', '.join(singles)}", singles, SINGLE))
    if "combined" in plan.arms:
        others.append(("combined", ["combined"], COMBINED))
    for label, arms, targets in others:
        ratio = min(tally.ratio("all", "routed", arm) for arm in arms)
        if ratio < targets.get(name, 0.0):
            found.append(f"{name}: routed {ratio:.3f} of {label}, at least {targets[name]}")
    return found


_FORCED = "rewrite,search_replace,new_code,prose,json"
_SHORT = ("plain", "mtp:1", "mtp:3", "copy", "combined", "routed")


def plans(args: argparse.Namespace, folder: Path) -> list[Plan]:
    if args.model or args.shape:
        return [_one(args, folder)]
    arms = tuple(args.arms.split(",")) if args.arms else ARMS if args.full else _SHORT
    large = _inflated("65m", folder)
    if args.full:
        rounds = args.rounds or 11
        return [
            Plan(name="mini", model=MINI, arms=arms, rounds=rounds, budget=600.0),
            Plan(name="65m", model=large, arms=arms, rounds=5, budget=1800.0),
        ]
    return [
        Plan(name="mini", model=MINI, arms=arms, rounds=args.rounds or 3, budget=55.0),
        # Fewer arms, more rounds: a shared machine's memory changes its speed within a round.
        Plan(
            name="65m",
            model=large,
            arms=("plain", "combined", "routed"),
            rounds=3,
            budget=80.0,
            items=1,
            tokens=80,
        ),
    ]


def _one(args: argparse.Namespace, folder: Path) -> Plan:
    """One model or shape. With --check a large one is measured on a part, once: two minutes at
    0.8 B where a plain pass takes 0.12 s and --cache has its file and its curve (40 s more
    otherwise). The part: the shortest text of each group, of all but rewrites the first tokens,
    by every arm that could be the best single one; the other rewrites by routed. MTP of 1 and of
    4 cannot be the best there: a pass of two costs 1.24 and gives at most 1.85, one of five 2.3
    (simulated 1.35 and 1.32, where 2 and 3 give 1.65 and 1.74)."""
    part = args.check and args.shape not in (None, "65m")
    arms = ("plain", "mtp:2", "mtp:3", "copy", "routed") if part else ARMS
    groups = args.groups or (_FORCED if part else "")
    return Plan(
        name=args.shape or args.model.stem,
        model=args.model or _inflated(args.shape, folder),
        arms=tuple(args.arms.split(",")) if args.arms else arms,
        rounds=args.rounds or (5 if args.full else 1 if part else 2),
        budget=args.budget or (1.0 if part else 600.0),
        items=args.items or (1 if part else ALL),
        tokens=args.tokens or (40 if part else ALL),
        few=args.few or (6 if part else ALL),
        groups=tuple(groups.split(",")) if groups else (),
        whole=("rewrite",) if part else (),
    )


def _inflated(shape: str, folder: Path) -> Path:
    path = folder / f"{shape}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        inflate(MINI, path, SHAPES[shape])
    return path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.decode")
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    parser.add_argument("--full", action="store_true", help="all arms, more rounds")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="measure Mini inflated to it")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--log", type=Path, help="append every decision of routed there")
    parser.add_argument(
        "--model", type=Path, help="measure this one (named as a --shape: its file)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--budget", type=float, help="seconds, with --model or --shape")
    parser.add_argument("--tokens", type=int, help="most tokens of an item, likewise")
    parser.add_argument("--few", type=int, help="most for plain, likewise")
    parser.add_argument("--items", type=int, help="most items of a group, likewise")
    parser.add_argument("--groups", help="only these, with --model or --shape")
    parser.add_argument("--cache", type=Path, help="keep inflated models and cost curves there")
    parser.add_argument("--arms", help=f"of {','.join(ARMS)}")
    return parser.parse_args()
