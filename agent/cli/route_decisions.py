"""`agent route decisions`: how recorded answers were decoded, step by step, and decided again."""

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.cli.common import emit
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.engine.replay import Record
    from agent.engine.routed import Decision

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """0; 1 where deciding again gives other decisions than are on record."""
    from agent import paths
    from agent.engine.replay import read_records, replay

    file = args.file or paths.decisions_file()
    if args.last < 1:
        raise ConfigError("--last is at least 1")
    try:
        records = list(read_records(file))[-args.last :]
    except FileNotFoundError:
        raise ConfigError(
            f"nothing is recorded in {file}",
            remedy="set local.record_decisions = true (or POINTSMAN_LOCAL_RECORD_DECISIONS=1)",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    unlike = 0
    for record in records:
        same = replay(record) == record.decisions
        unlike += not same
        figures = _figures(record) | {"replayed": same}
        if args.json:
            steps = [_step(record, d) for d in record.decisions] if args.steps else []
            emit(figures | ({"steps": steps} if args.steps else {}))
        else:
            sys.stdout.write("\n".join(_told(record, figures, steps=args.steps)) + "\n")
    return 1 if unlike else 0


def _figures(record: "Record") -> dict[str, Any]:
    taken = record.decisions[1:]  # the first token comes out of the prompt's own row
    opening = record.opening
    seconds, tokens = sum(d.spent_s for d in taken), sum(len(d.committed) for d in taken)
    plain = opening.costs.plain_s
    return {
        "when": round(opening.when, 3),
        "arm": opening.choice.arm,
        "reason": opening.choice.reason,
        "step": opening.step_kind,
        "passes": len(taken),
        "tokens": sum(len(d.committed) for d in record.decisions),
        "tokens_per_s": round(tokens / seconds, 1) if seconds else None,
        "plain_tokens_per_s": round(1 / plain, 1) if plain else None,
        "sources": {name: _source(found) for name, found in _by_source(taken).items()},
        "switches": sum(a.source != b.source for a, b in itertools.pairwise(taken)),
    }


def _by_source(decisions: "tuple[Decision, ...]") -> "dict[str, list[Decision]]":
    found: dict[str, list[Decision]] = {}
    for decision in decisions:
        found.setdefault(decision.source or "plain", []).append(decision)
    return found


def _source(decisions: "list[Decision]") -> dict[str, Any]:
    drafted = sum(len(d.drafts) for d in decisions)
    lengths = Counter(len(d.drafts) for d in decisions)
    return {
        "passes": len(decisions),
        "drafted": drafted,
        "accepted": round(sum(d.accepted for d in decisions) / drafted, 4) if drafted else None,
        "lengths": {str(k): n for k, n in sorted(lengths.items())},
        "predicted_gain": round(sum(d.gain for d in decisions) / len(decisions), 3),
    }


def _step(record: "Record", decision: "Decision") -> dict[str, Any]:
    plain = record.opening.costs.plain_s
    return {
        "at": decision.at,
        "segment": decision.segment,
        "source": decision.source or "plain",
        "k": len(decision.drafts),
        "of_mtp": decision.of_mtp,
        "accepted": decision.accepted,
        "predicted_gain": decision.gain,
        "predicted_tokens_per_s": round(decision.gain / plain, 1) if plain else None,
        "ms": round(decision.spent_s * 1e3, 3),
    }


def _told(record: "Record", figures: dict[str, Any], *, steps: bool) -> Iterator[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(figures["when"]))
    speed = "not timed"
    if figures["tokens_per_s"]:
        speed = f"{figures['tokens_per_s']} tokens/s"
        if figures["plain_tokens_per_s"]:
            speed += f" (plain when calibrated: {figures['plain_tokens_per_s']})"
    yield f"{when}  {figures['arm']}, {figures['step'] or 'no'} step: {figures['reason']}"
    yield f"  {figures['tokens']} tokens in {figures['passes']} passes, {speed}"
    for name, found in figures["sources"].items():
        share = "" if found["accepted"] is None else f", {found['accepted']:.0%} of drafts right"
        lengths = ", ".join(f"{k}: {n}" for k, n in found["lengths"].items())
        gain = f"predicted {found['predicted_gain']:.2f} of plain"
        yield f"  {name:<6}{found['passes']:>5} passes (by draft length: {lengths}){share}; {gain}"
    yield f"  {figures['switches']} changes of source; decided again: " + (
        "the same" if figures["replayed"] else "OTHER decisions (another version's record?)"
    )
    for decision in record.decisions[1:] if steps else ():
        one = _step(record, decision)
        rate = one["predicted_tokens_per_s"]
        yield (
            f"  {one['at']:>6}  {one['segment']:<9}{one['source']:<6} k={one['k']:<3}"
            f" accepted {one['accepted']:<3} predicted {one['predicted_gain']:.2f}"
            + (f" = {rate} tokens/s" if rate else "")
            + f"  {one['ms']:.2f} ms"
        )
