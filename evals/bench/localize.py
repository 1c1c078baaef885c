"""How well the index finds the place of a fix, measured on the history of any clone.

    python -m evals.bench.localize CLONE [--queries 60] [--skip 0] [--cache DIR] [--aider PYTHON]

A query is the title of a commit that reads like a fix; the gold is the files and functions it
changed, tests left out; the index sees the tree of the parent commit and the history before it.
No model takes part. Intervals are 95 % bootstrap intervals over the queries. `--aider` names a
Python that has aider installed: its map is looked at beside ours, on the same queries and budgets.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from evals.bench.peers import Aider
from tools.index import Index, open_index
from tools.index import query as queries
from tools.index.languages import is_test, is_vendored, language_of
from tools.index.search import View, Weights, rank

_FIX = re.compile(
    r"\b(fix(e[sd])?|bugs?|crash(es)?|regression|incorrect(ly)?|wrong(ly)?|broken|error|fail(s|ure)?|"
    r"handle[sd]?|prevent|avoid|don't|doesn't|missing)\b",
    re.I,
)
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+", re.M)
_DEEP = 2000


@dataclass(frozen=True, slots=True)
class Case:
    """One fix: the commit before it, its title, and the lines it replaced."""

    parent: str
    title: str
    lines: dict[str, list[tuple[int, int]]]


@dataclass(slots=True)
class Ranks:
    """Ranks of the best gold file and function of every query, None where it was not found."""

    files: list[int | None] = field(default_factory=list)
    functions: list[int | None] = field(default_factory=list)


NONE = Weights(name=0, path=0, mention=0, file=0, commit=0, test=1, vendored=1, text=1, constant=1)
FULL = Weights()
VARIANTS = {
    "functions, BM25": NONE,
    "+ tests and text down": replace(
        NONE, test=FULL.test, vendored=FULL.vendored, text=FULL.text, constant=FULL.constant
    ),
    "+ names": replace(FULL, path=0, mention=0, file=0, commit=0),
    "+ paths": replace(FULL, mention=0, file=0, commit=0),
    "+ mentions": replace(FULL, file=0, commit=0),
    "+ file": replace(FULL, commit=0),
    "+ past commits": FULL,
}


def git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=root, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


def cases(repo: Path, wanted: int, skip: int) -> Iterator[Case]:
    """Fixes, newest first, that change at most five source files and at least one old line."""
    log = git(
        repo, "log", "--no-merges", "--format=%H%x00%P%x00%s", f"--max-count={40 * (wanted + skip)}"
    )
    found = 0
    for entry in log.splitlines():
        commit, parents, title = entry.split("\0", 2)
        clean = re.sub(r"\(?#\d+\)?|\bgh-\d+\b", "", title).strip()
        if len(clean.split()) < 4 or not _FIX.search(clean) or len(parents.split()) != 1:
            continue
        lines = _old_lines(repo, parents, commit)
        if not 1 <= len(lines) <= 5:
            continue
        found += 1
        if found > skip:
            yield Case(parents, clean, lines)
        if found == skip + wanted:
            return


def _old_lines(repo: Path, parent: str, commit: str) -> dict[str, list[tuple[int, int]]]:
    diff = git(repo, "diff", "-U0", "--no-renames", "--diff-filter=M", parent, commit)
    lines: dict[str, list[tuple[int, int]]] = {}
    for part in re.split(r"^diff --git ", diff, flags=re.M)[1:]:
        named = re.search(r"^--- a/(.+)$", part, re.M)
        path = named[1].strip() if named else ""
        if language_of(path) in (None, "text") or is_test(path) or is_vendored(path):
            continue
        for first, count in _HUNK.findall(part):
            size = int(count or 1)
            lines.setdefault(path, []).append((int(first), int(first) + max(size, 1) - 1))
    return lines


def gold_functions(index: Index, case: Case) -> set[tuple[str, str]]:
    """Innermost functions around the changed lines."""
    found = set()
    for path, spans in case.lines.items():
        for first, last in spans:
            for line in {first, last}:
                symbol = index.at(path, line)
                if symbol is not None and symbol.kind in ("function", "method"):
                    found.add((path, symbol.name))
    return found


def measure(
    index: Index,
    case: Case,
    table: dict[str, Ranks],
    maps: dict[tuple[str, int], list[bool]],
    aider: Aider | None,
) -> None:
    functions = gold_functions(index, case)
    files = set(case.lines)
    state = index.state()
    query = queries.parse(case.title)
    evidence = index.evidence(case.title)
    _note(table["files, BM25"], file_bm25(state.view, query.words), [], files, functions)
    for name, weights in VARIANTS.items():
        used = evidence if weights.commit else {}
        hits = []
        for scored in rank(state.view, query, _DEEP, weights, used):
            symbol = state.segments[scored.segment].symbol(scored.doc)
            hits.append((symbol.path, symbol.name, symbol.kind))
        named = [(p, n) for p, n, k in hits if k in ("function", "method")]
        _note(table[name], list(dict.fromkeys(p for p, _, _ in hits)), named, files, functions)
    if functions:
        for budget in BUDGETS:
            text = index.map(case.title, budget).text
            maps["ours", budget].append(any(_in_map(text, index, p, n) for p, n in functions))
    if functions and aider is not None:
        sources = [p for p in index.paths() if language_of(p) != "text"]
        answer = aider.ask(sources, case.title, BUDGETS)
        for budget, text in zip(BUDGETS, answer.maps, strict=True):
            found = any(_in_aiders(text, index, p, n) for p, n in functions)
            maps["aider's", budget].append(found)


BUDGETS = (2000, 8000)


def _in_aiders(text: str, index: Index, path: str, name: str) -> bool:
    """Whether the line that defines the symbol stands below the path."""
    block = re.search(rf"^{re.escape(path)}:\n((?:[│⋮].*\n?)*)", text, re.M)
    if block is None:
        return False
    shown = {line.lstrip("│").strip() for line in block[1].splitlines()}
    lines = (index.root / path).read_text("utf-8", "replace").split("\n")
    last = re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b")
    for symbol in index.symbols(path):
        if symbol.name == name:
            body = lines[symbol.line - 1 : symbol.end_line]
            first = next((b.strip()[:100] for b in body if last.search(b)), "")
            if first and any(s.startswith(first) for s in shown):
                return True
    return False


def _in_map(text: str, index: Index, path: str, name: str) -> bool:
    block = re.search(rf"^{re.escape(path)}:\n((?:  .*\n)*)", text, re.M)
    lines = {s.line for s in index.symbols(path) if s.name == name}
    return block is not None and any(f"  :{n}\n" in block[1] for n in lines)


def _note(
    ranks: Ranks,
    paths: list[str],
    named: list[tuple[str, str]],
    files: set[str],
    functions: set[tuple[str, str]],
) -> None:
    ranks.files.append(next((i for i, p in enumerate(paths, 1) if p in files), None))
    if functions:
        ranks.functions.append(next((i for i, n in enumerate(named, 1) if n in functions), None))


def file_bm25(view: View, words: Sequence[tuple[str, float]]) -> list[str]:
    """The baseline: whole files as documents, the same words and weights."""
    import numpy as np

    paths = [p for s in view.segments for p in s.paths]
    alive = ~np.concatenate(view.dead)
    steps = np.cumsum([0, *(len(s.paths) for s in view.segments)])
    file_of = [s.file_of + step for s, step in zip(view.segments, steps, strict=False)]
    lengths = np.bincount(np.concatenate(file_of), weights=view.lengths, minlength=len(paths))
    norm = 1.2 * (0.25 + 0.75 * lengths / lengths[alive].mean())
    total = np.zeros(len(paths))
    for word, weight in words:
        tf = np.zeros(len(paths))
        for segment, files in zip(view.segments, file_of, strict=True):
            docs, counts = segment.word_docs(word)
            tf += np.bincount(files[docs], weights=counts, minlength=len(paths))
        tf[~alive] = 0
        frequency = np.count_nonzero(tf)
        idf = np.log(1 + (alive.sum() - frequency + 0.5) / (frequency + 0.5))
        total += weight * idf * tf * 2.2 / (tf + norm)
    scores = {p: float(s) for p, s in zip(paths, total, strict=True) if s > 0}
    return sorted(scores, key=lambda p: (-scores[p], p))


def share(ranks: Sequence[int | None], at: int) -> str:
    """Percent within `at`, with its interval."""
    hits = [r is not None and r <= at for r in ranks]
    if not hits:
        return "-"
    chance = random.Random(0)
    means = sorted(sum(chance.choices(hits, k=len(hits))) / len(hits) for _ in range(1000))
    return f"{100 * sum(hits) / len(hits):.0f} [{100 * means[25]:.0f}–{100 * means[974]:.0f}]"


def gain(ours: Sequence[int | None], theirs: Sequence[int | None], at: int) -> str:
    """Points of recall more, with the interval over the same queries."""
    pairs = [
        (a is not None and a <= at) - (b is not None and b <= at)
        for a, b in zip(ours, theirs, strict=True)
    ]
    if not pairs:
        return "-"
    chance = random.Random(0)
    means = sorted(sum(chance.choices(pairs, k=len(pairs))) / len(pairs) for _ in range(1000))
    return (
        f"{100 * sum(pairs) / len(pairs):+.0f} [{100 * means[25]:+.0f} to {100 * means[974]:+.0f}]"
    )


def report(table: dict[str, Ranks], maps: dict[tuple[str, int], list[bool]]) -> str:
    lines = [
        "| features | file @1 | file @5 | function @1 | function @10 |",
        "|---|---|---|---|---|",
    ]
    for name, r in table.items():
        cells = [
            share(r.files, 1),
            share(r.files, 5),
            share(r.functions, 1),
            share(r.functions, 10),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    n_files, n_functions = len(table[name].files), len(table[name].functions)
    lines.append(f"\n{n_files} fixes, {n_functions} of them in functions; percent [95 % interval].")
    lines += [
        "",
        "| gold function inside a map | tokens | percent | queries |",
        "|---|---|---|---|",
    ]
    for (whose, budget), inside in maps.items():
        ranks = [1 if i else None for i in inside]
        if inside:
            lines.append(f"| {whose} | {budget} | {share(ranks, 1)} | {len(inside)} |")
    files, baseline = table["+ past commits"].files, table["files, BM25"].files
    gains = " / ".join(f"{gain(files, baseline, at)}" for at in (1, 5))
    lines.append(f"\nOver plain BM25 over files @1 / @5, in points: {gains}")
    return "\n".join(lines)


def run(clone: Path, wanted: int, skip: int, cache: Path, python: str | None) -> str:
    table = {name: Ranks() for name in ("files, BM25", *VARIANTS)}
    maps: dict[tuple[str, int], list[bool]] = {
        (whose, budget): [] for whose in ("ours", "aider's") for budget in BUDGETS
    }
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        tree = Path(scratch) / "tree"
        subprocess.run(["git", "clone", "-q", "--shared", str(clone), str(tree)], check=True)
        aider = stack.enter_context(Aider(python, tree)) if python else None
        index = open_index(tree, cache)
        for number, case in enumerate(list(cases(tree, wanted, skip)), 1):
            git(tree, "checkout", "-q", "--force", case.parent)
            index.update()
            measure(index, case, table, maps, aider)
            print(f"\r{number}/{wanted}", end="", file=sys.stderr, flush=True)
    return report(table, maps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--skip", type=int, default=0, help="newest fixes to leave out")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--aider", metavar="PYTHON", help="a Python that has aider installed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cache = args.cache or Path(scratch)
        print(run(args.clone.resolve(), args.queries, args.skip, cache, args.aider))


if __name__ == "__main__":
    main()
