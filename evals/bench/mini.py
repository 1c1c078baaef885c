"""What works on a fresh machine: the zero-token stage, the learned ranker, Mini, and all together.

    python -m evals.bench.mini            8 bugs on four arms, the orders of all recipes, the engine
    python -m evals.bench.mini --check    2 bugs on two arms, 4 orders, the engine; with targets
    python -m evals.bench.mini --full     every recipe on four arms
    python -m evals.bench.mini --from DIR the table of runs from a stored evaluation

Three parts. *Runs*: instances of the development set by stratum and arm, graded hidden, with false
verified counted first. *Order*: where the right single edit stands with and without the ranker,
paired (`mini_order.py`): nothing is run, so the figure is the same on a busy machine. *Engine*:
Mini's load time, memory, tokens per second on two threads, and the size of what is shipped.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evals.arms import arm
from evals.bench.fix import CHECK, instances
from evals.bench.mini_order import Place, places
from evals.datasets import Instance
from evals.executors.process import ProcessExecutor
from evals.result import Result, load_results
from evals.runner import Plan, run

ARMS = ("zero", "ranker", "mini", "all")
SMALL = (
    "webcolors__25.10.0-hex-to-rgb-mask",
    "shortuuid__1.0.13-encoded-length",
    "tinydb__4.9.0-subtract",
)
SUBSET = (
    *SMALL,
    "webcolors__25.10.0-short-hex",
    "parse__1.22.4-percentage",
    "tinydb__4.9.0-lru-order",
    "semver__3.1.1-prerelease-length",
    "isodate__0.7.2-leap-century",
)
CHECKED = 2
"""Of SMALL, in a check; 20 to 25 s on each arm."""
ORDERED = 4
"""Of the recipes every check looks at: 5 to 10 s each."""
LOAD_S, MEMORY_MB = 1.0, 400.0
"""Targets for Mini. Loading is the engine's own, in a process that has imported it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFigures:
    """Of Mini in a process of its own."""

    load_s: float
    memory_mb: float
    """Peak of the whole process."""
    tokens_per_s: float
    gguf_mb: float
    ranker_kb: float
    wheel_mb: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.mini", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--check", action="store_true", help="a few bugs, with targets")
    size.add_argument("--full", action="store_true", help="every recipe")
    size.add_argument(
        "--from", dest="stored", metavar="DIR", type=Path, help="runs of a stored evaluation"
    )
    parser.add_argument("--order", action="store_true", help="the order alone")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    args = parser.parse_args(argv)
    began = time.monotonic()
    if args.stored:
        _show_runs(load_results(args.stored))
        return 0
    wanted = SMALL[:CHECKED] if args.check else () if args.full else SUBSET
    results = () if args.order else _runs(wanted, args.check)
    found = instances(CHECK[:ORDERED] if args.check else ())[0]
    order = tuple(_each(found))
    engine = None if args.order else measured()
    _show_runs(results)
    _show_order(order)
    if engine is not None:
        _show_engine(engine)
    print(f"total {time.monotonic() - began:.0f} s")
    if args.json:
        args.json.write_text(_figures(results, order, engine), encoding="utf-8")
    return _verdict(results, order, engine) if args.check else 0


def _runs(wanted: Sequence[str], check: bool) -> tuple[Result, ...]:
    made, rejected = instances(wanted)
    for name, why in rejected:
        print(f"not run: {name}: {why}", file=sys.stderr)
    plan = Plan(
        instances=made,
        arms=tuple(arm(name) for name in (("zero", "ranker") if check else ARMS)),
        max_wall_s=60.0 if check else 180.0,
        zero_token_s=20.0 if check else 60.0,
    )
    with tempfile.TemporaryDirectory(prefix="pointsman-bench-") as scratch:
        return run(plan, Path(scratch), ProcessExecutor(workers=1), _told)


def _each(found: Sequence[Instance]) -> Iterator[Place]:
    for done, place in enumerate(places(found), 1):
        told = f"{place.instance_id}: plain {place.plain}, ranked {place.ranked}"
        print(f"order {done}/{len(found)} {told}", file=sys.stderr, flush=True)
        yield place


def _told(result: Result, done: int, total: int) -> None:
    print(f"{done}/{total} {result.instance_id} {result.arm}", file=sys.stderr, flush=True)


# --------------------------------------------------------------------------- the engine


def measured() -> EngineFigures:
    """Load Mini in a fresh process and let it answer an edit step five times."""
    script = Path(__file__).with_name("mini_engine.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120
    )
    told = json.loads(done.stdout.splitlines()[-1])
    root = Path(__file__).parents[2]
    return EngineFigures(
        load_s=told["load_s"],
        memory_mb=told["memory_mb"],
        tokens_per_s=told["tokens_per_s"],
        gguf_mb=(root / "agent" / "models" / "pointsman-mini.gguf").stat().st_size / 1e6,
        ranker_kb=(root / "agent" / "ranker" / "weights.npz").stat().st_size / 1e3,
        wheel_mb=_wheel_mb(root),
    )


def _wheel_mb(root: Path) -> float:
    """Of a wheel built now. 0 where the build tool is not installed."""
    with tempfile.TemporaryDirectory(prefix="pointsman-wheel-") as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", scratch],
            cwd=root,
            capture_output=True,
            check=False,
            timeout=120,
        )
        found = list(Path(scratch).glob("*.whl"))
        return found[0].stat().st_size / 1e6 if done.returncode == 0 and found else 0.0


# --------------------------------------------------------------------------- tables


def _show_runs(results: Sequence[Result]) -> None:
    if not results:
        return
    print(f"{'stratum':<9}{'arm':<8}{'n':>3}{'correct':>9}{'verified':>10}{'false':>7}", end="")
    print(f"{'test runs':>11}{'wall':>9}   medians")
    for stratum in sorted({r.stratum for r in results}):
        for name in sorted({r.arm for r in results}, key=_place_of):
            here = [r for r in results if r.arm == name and r.stratum == stratum]
            if not here:
                continue
            runs = statistics.median(r.test_runs for r in here)
            wall = statistics.median(r.wall_s for r in here)
            correct = sum(r.status == "resolved" for r in here)
            verified = sum(r.verdict == "verified" for r in here)
            false = sum(r.false_verified for r in here)
            line = f"{stratum:<9}{name:<8}{len(here):>3}{correct:>9}{verified:>10}{false:>7}"
            print(f"{line}{runs:>11.0f}{wall:>8.1f} s")
    false_names = [f"{r.instance_id} ({r.arm})" for r in results if r.false_verified]
    print(f"false verified: {len(false_names)}  {', '.join(false_names)}\n")


def _place_of(arm: str) -> tuple[int, str]:
    """Ours from the least to the most, any other after them."""
    return (ARMS.index(arm) if arm in ARMS else len(ARMS)), arm


def _show_order(order: Sequence[Place]) -> None:
    width = max((len(p.instance_id) for p in order), default=10)
    print(f"{'place of the right edit':<{width}}  stratum  plain  ranked   pool  ranking")
    for p in order:
        row = f"{p.plain or '-':>6}{p.ranked or '-':>8}{p.pool:>7}{p.rank_s:>7.2f} s"
        print(f"{p.instance_id:<{width}}  {p.stratum:<7}{row}  {p.why}")
    both = [(p.plain, p.ranked) for p in order if p.plain and p.ranked]
    print(f"among those tried: plain {sum(p.plain is not None for p in order)}", end="")
    print(f", ranked {sum(p.ranked is not None for p in order)} of {len(order)}")
    if both:
        plain, ranked = (statistics.median(c) for c in zip(*both, strict=True))
        better = sum(b < a for a, b in both)
        print(f"median place where both have it: {plain:.0f} and {ranked:.0f};", end=" ")
        print(f"earlier in {better} of {len(both)};", end=" ")
        print(f"tries in all {sum(a for a, _ in both)} and {sum(b for _, b in both)}\n")


def _show_engine(e: EngineFigures) -> None:
    print(f"Mini: loaded in {e.load_s:.2f} s, peak {e.memory_mb:.0f} MB", end=", ")
    print(f"{e.tokens_per_s:.0f} tokens/s on two threads")
    print(f"shipped: Mini {e.gguf_mb:.1f} MB, ranker {e.ranker_kb:.0f} kB", end=", ")
    print(f"wheel {e.wheel_mb:.1f} MB")


def _figures(
    results: Sequence[Result], order: Sequence[Place], engine: EngineFigures | None
) -> str:
    bare = [{k: v for k, v in asdict(r).items() if k != "patch"} for r in results]
    found = {
        "runs": bare,
        "order": [asdict(p) for p in order],
        "engine": asdict(engine) if engine is not None else None,
    }
    return json.dumps(found, indent=1) + "\n"


def _verdict(
    results: Sequence[Result], order: Sequence[Place], engine: EngineFigures | None
) -> int:
    """1 and the figure when a target is missed."""
    missed: list[str] = []
    false = [r.instance_id for r in results if r.false_verified]
    if false:
        missed.append(f"{len(false)} false verified: {', '.join(false)}")
    plain = sum(p.plain is not None for p in order)
    ranked = sum(p.ranked is not None for p in order)
    if ranked < plain:
        missed.append(f"the ranker tries {ranked} right edits, the plain order {plain}")
    both = [(p.plain, p.ranked) for p in order if p.plain and p.ranked]
    if sum(b for _, b in both) > sum(a for a, _ in both):
        missed.append("the right edits take more tries with the ranker than without")
    if engine is not None and engine.load_s > LOAD_S:
        missed.append(f"Mini takes {engine.load_s:.2f} s to load, the target is {LOAD_S} s")
    if engine is not None and engine.memory_mb > MEMORY_MB:
        missed.append(f"Mini takes {engine.memory_mb:.0f} MB, the target is {MEMORY_MB:.0f} MB")
    for line in missed:
        print(f"FAILED: {line}")
    print("" if missed else "ok: no false verified, the right edit earlier, Mini within bounds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
