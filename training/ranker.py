"""Train the ranker of single-edit candidates: minutes on a CPU, no accelerator, numpy only.

    python -m training.ranker --out agent/ranker/weights.npz [--tasks 1500] [--seed 1]
        [--workers 2] [--root SITE_PACKAGES ...] [--json FILE] [--keep DIR] [--real FILE ...]

Bugs are made by `training.mutate` in files of the standard library and permissively licensed
packages; candidates come from the product's enumerator. The three tables (evaluation's bugs, the
enumerator's operators, training's mutations) share nothing. Packages of the development set and
those reserved for evaluation are left out. A fifth of the modules is held out: all figures printed
are of those. `--keep` stores the tasks' rows, so that training alone can be run again.
"""

import argparse
import json
import pickle
import random
import sys
import sysconfig
import tomllib
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ranker import cost, load, turns
from agent.ranker.features import NAMES, features
from agent.ranker.tokens import START, General, abstract, bucket, tokens
from training.ranker_fit import Lists, Weights, calibrate, fit, report
from training.ranker_tasks import LINES, made_task
from training.sources import HELD_OUT, Function, SourceFile, files, functions, packages, usable

DEV = Path(__file__).parent.parent / "evals" / "datasets" / "dev"
VOCABULARY = 500
BUCKETS = (1 << 13, 1 << 15)
TABLE_CHARS = 12_000_000
HELD_OUT_SHARE = 0.2
FOLDS = 4
REAL_TIMES = 2
"""How often a task with real coverage counts beside a simulated one."""
NEGATIVES = 250
"""Wrong candidates kept of a task to train on; held-out tasks keep all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task as numbers: N x F, the indices of the right ones, the order without a ranker."""

    x: NDArray[np.float16]
    right: tuple[int, ...]
    reached: int
    operator: str
    held_out: bool
    package: str = ""


def reserved_names() -> frozenset[str]:
    """Packages of the development set: nothing of them is trained on."""
    found = [tomllib.loads(p.read_text("utf-8")) for p in sorted(DEV.glob("*.toml"))]
    return frozenset(str(t["package"]["name"]).lower() for t in found if "package" in t)


def gather(roots: tuple[Path, ...]) -> list[SourceFile]:
    """Files of all usable packages, in a fixed order."""
    left_out = reserved_names()
    found = [p for p in packages(roots) if usable(p) and p.name not in left_out]
    return [f for p in found for f in files(p) if f.text.count("\n") < LINES]


def group(file: SourceFile) -> str:
    """What is held out or trained on as a whole: a package, a top module of the library."""
    top = file.path.split("/")[0] if file.package == "python" else ""
    return f"{file.package}:{top}"


def held_out(file: SourceFile) -> bool:
    return file.package in HELD_OUT or zlib.crc32(group(file).encode()) % 5 == 0


def general_table(texts: Sequence[SourceFile], rng: random.Random) -> General:
    """Hashed bigram and trigram counts of a sample of the training files."""
    rows, size = [], 0
    for file in rng.sample(list(texts), len(texts)):
        if size > TABLE_CHARS:
            break
        size += len(file.text)
        rows.append(tokens(file.text))
    counts = Counter(t for row in rows for t in row if t.isidentifier() or not t[0].isalnum())
    usual = (t for t, _ in counts.most_common(2 * VOCABULARY) if t[-1] not in "\"'" and t != START)
    vocabulary = frozenset(sorted(list(usual)[:VOCABULARY]))
    two, three = (np.zeros(size, np.float64) for size in BUCKETS)
    for row in rows:
        plain = [START, START, *(abstract(t, vocabulary) for t in row)]
        grams = Counter(plain), Counter(pairwise(plain))
        for token, n in grams[0].items():
            two[bucket(token, len(two))] += n
        for pair, n in grams[1].items():
            two[bucket("\0".join(pair), len(two))] += n
        for triple, n in Counter(zip(plain, plain[1:], plain[2:], strict=False)).items():
            three[bucket("\0".join(triple), len(three))] += n
    packed = [np.minimum(np.round(8 * np.log2(1 + t)), 255).astype(np.uint8) for t in (two, three)]
    return General(vocabulary=vocabulary, two=packed[0], three=packed[1])


def make(
    number: int, per_worker: int, seed: int, corpus: Sequence[SourceFile], general: General
) -> list[Row]:
    """One worker's tasks."""
    rng = random.Random(seed * 1009 + number)
    rows: list[Row] = []
    by_directory: dict[tuple[str, str], list[SourceFile]] = {}
    for file in corpus:
        by_directory.setdefault((file.package, file.path.rpartition("/")[0]), []).append(file)
    parsed: dict[str, list[Function]] = {}
    by_group: dict[tuple[bool, str], list[SourceFile]] = {}
    for file in corpus:
        by_group.setdefault((held_out(file), group(file)), []).append(file)
    # Roots of sizes: or generated clients of thousands of like files would be most of it.
    sizes = {key: len(found) ** 0.5 for key, found in by_group.items()}
    while len(rows) < per_worker:
        side = rng.random() < HELD_OUT_SHARE
        keys = [k for k in sizes if k[0] == side]
        file = rng.choice(by_group[rng.choices(keys, [sizes[k] for k in keys])[0]])
        found = parsed.setdefault(f"{file.package}:{file.path}", list(functions(file)))
        if not found:
            continue
        siblings = [
            f
            for f in by_directory[file.package, file.path.rpartition("/")[0]]
            if f.path != file.path
        ]
        near = rng.sample(siblings, min(len(siblings), rng.randint(0, 6)))
        task = made_task(file, rng.choice(found), near, general, rng)
        if task is None:
            continue
        is_held = held_out(file)
        keep = range(len(task.candidates))
        if not is_held and len(keep) > NEGATIVES + len(task.right):
            others = [i for i in keep if i not in task.right]
            chosen = sorted([*task.right, *rng.sample(others, NEGATIVES)])
        else:
            chosen = list(keep)
        x = np.array([features(task.context, task.candidates[i]) for i in chosen], np.float16)
        rows.append(
            Row(
                x=x,
                right=tuple(chosen.index(i) for i in task.right),
                reached=task.reached,
                operator=task.operator,
                held_out=is_held,
                package=task.package,
            )
        )
        if len(rows) % 50 == 0:
            print(f"worker {number}: {len(rows)} tasks", file=sys.stderr, flush=True)
    return rows


def mixed(simulated: Sequence[Row], real: Sequence[Row]) -> Lists:
    """What is trained on; packages that are only measured on are left out."""
    used = [r for r in real if r.package not in HELD_OUT]
    return Lists.of([(r.x, r.right) for r in (*simulated, *used * REAL_TIMES)])


def in_turn(simulated: Sequence[Row], real: Sequence[Row], *, seed: int) -> str:
    """How well bugs of packages are found that were held out, a part of them at a time."""
    names = sorted({r.package for r in real})
    random.Random(seed).shuffle(names)
    alone = fit(mixed(simulated, []), seed=seed)
    found: list[tuple[int, int, int]] = []
    for part in (frozenset(names[n::FOLDS]) for n in range(FOLDS)):
        weights = fit(mixed(simulated, [r for r in real if r.package not in part]), seed=seed)
        for row in (r for r in real if r.package in part):
            plain = min(row.right) + 1
            found.append((plain, tries(alone, row), tries(weights, row)))
    head = (
        f"{'real tests, held out':<22}{'n':>5}{'MRR':>8}{'among 10':>10}{'median':>8}{'in all':>8}"
    )
    lines = [head]
    for name, at in (("enumerator's order", 0), ("simulated alone", 1), ("trained with these", 2)):
        places = np.array([f[at] for f in found])
        mrr, ten = (1 / places).mean(), (places <= 10).mean()
        text = f"{name:<22}{len(places):>5}{mrr:>8.3f}{ten:>10.2f}{np.median(places):>8.0f}"
        lines.append(f"{text}{places.sum():>8}")
    return "\n".join(lines)


def tries(ranker: Weights, row: Row) -> int:
    """Candidates tried until a right one, both orders in turns as the product has them."""
    rows = row.x.astype(np.float32)
    scores = ranker.scores(rows)
    value = np.exp(scores - scores.max()) / cost(rows)
    ranked = [int(i) for i in np.argsort(-value, kind="stable")]
    order = turns(ranked, range(len(ranked)))
    return 1 + next(n for n, i in enumerate(order) if i in set(row.right))


def gathered(args: argparse.Namespace) -> tuple[General, list[Row]]:
    """Simulated tasks: the kept ones, or new ones."""
    kept = args.keep / "tasks.pickle" if args.keep else None
    if kept is not None and kept.is_file():
        stored: tuple[General, list[Row]] = pickle.loads(kept.read_bytes())
        return stored
    roots = tuple(args.root) or (Path(sysconfig.get_paths()["purelib"]),)
    corpus = gather(roots)
    train_files = [f for f in corpus if not held_out(f)]
    # Tasks with real coverage have been made with the shipped counts.
    fresh = not args.real
    general = general_table(train_files, random.Random(args.seed)) if fresh else load().general
    print(f"{len(corpus)} files, {len(corpus) - len(train_files)} held out", flush=True)
    work = partial(
        make,
        per_worker=args.tasks // args.workers,
        seed=args.seed,
        corpus=corpus,
        general=general,
    )
    with ProcessPoolExecutor(args.workers) as pool:
        rows = [row for part in pool.map(work, range(args.workers)) for row in part]
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps((general, rows)))
    return general, rows


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--root", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--real", type=Path, action="append", default=[])
    args = parser.parse_args(argv)
    general, rows = gathered(args)
    held = [r for r in rows if r.held_out]
    simulated = [r for r in rows if not r.held_out]
    real = [row for path in args.real for row in pickle.loads(path.read_bytes())]
    if real:
        print(in_turn(simulated, real, seed=args.seed))
    weights = fit(mixed(simulated, real), seed=args.seed)
    tuned, judged = held[::2], held[1::2]
    temperature = calibrate(weights, Lists.of([(r.x, r.right) for r in tuned]))
    found = report(
        weights,
        temperature,
        Lists.of([(r.x, r.right) for r in judged]),
        [r.reached for r in judged],
        [r.operator for r in judged],
    )
    print(found.text)
    np.savez_compressed(
        args.out,
        names=np.array("\n".join(NAMES)),
        vocabulary=np.array("\n".join(sorted(general.vocabulary))),
        two=general.two,
        three=general.three,
        temperature=np.float32(temperature),
        mean=weights.mean,
        scale=weights.scale,
        inner=weights.inner.astype(np.float16),
        bias=weights.bias,
        outer=weights.outer,
        direct=weights.direct,
    )
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")
    if args.json:
        args.json.write_text(json.dumps(found.figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
