"""What the index costs on one tree: wall and CPU of each operation, memory, disk, beside peers.

    python -m evals.bench.index [TREE] [--rounds 7] [--aider PYTHON] [--json FILE] [--check]
    python -m evals.bench.index --many 100000       # a generated repository of so many files

A copy of TREE is worked on; without one, the source distribution of Django, kept in the cache
of the evaluations and put under git. Wall times on a machine that does other work say little; the
CPU column counts this process and its workers. Peers run in the same round: aider's RepoMap from a
Python that has aider installed, Universal Ctags and `git grep` where there are.
"""

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from evals.bench.peers import Aider, ctags_seconds, grep_seconds
from evals.datasets.recipe import Package
from evals.datasets.sources import SourceUnavailable, sdist, unpack
from tools.index import Index, open_index
from tools.index.languages import language_of

QUESTION = "Crash when a query set with an empty ordering is combined\n\nValueError in order_by()"
_NEW_PROCESS = (
    "import sys, time; a = time.perf_counter()\n"
    "from pathlib import Path; from tools.index import open_index\n"
    "i = open_index(Path(sys.argv[1]), Path(sys.argv[2])); i.update(); i.map(sys.argv[3], 2000)\n"
    "print(time.perf_counter() - a)"
)
_COLD = (
    "import sys, time, resource; a = time.perf_counter()\n"
    "from pathlib import Path; from tools.index import open_index\n"
    "open_index(Path(sys.argv[1]), Path(sys.argv[2])).update()\n"
    "print(time.perf_counter() - a)"
)
_GLANCE = (
    "import sys, time; a = time.perf_counter()\n"
    "from pathlib import Path; from tools.index import open_index\n"
    "assert open_index(Path(sys.argv[1]), Path(sys.argv[2])).glance(sys.argv[3])\n"
    "print(time.perf_counter() - a)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Medians. A target is in milliseconds of wall time, or in the row's own unit."""

    name: str
    wall_ms: float
    cpu_ms: float
    rounds: int
    target: float | None = None
    unit: str = "ms"

    @property
    def missed(self) -> bool:
        return self.target is not None and self.wall_ms > self.target


def cpu() -> float:
    """Seconds of processor used by this process and its finished children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


class Table:
    """Rows, printed as they come."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        print("| operation | wall ms | CPU ms | rounds | target |\n|---|---|---|---|---|")

    def timed(
        self, name: str, action: Callable[[], object], rounds: int = 1, target: float | None = None
    ) -> float:
        """Add medians of some rounds; gives the wall time in milliseconds."""
        walls, cpus = [], []
        for _ in range(rounds):
            wall, used = time.perf_counter(), cpu()
            action()
            walls.append(1e3 * (time.perf_counter() - wall))
            cpus.append(1e3 * (cpu() - used))
        self.add(
            Row(
                name=name, wall_ms=statistics.median(walls), cpu_ms=statistics.median(cpus),
                rounds=rounds, target=target,
            )
        )  # fmt: skip
        return self.rows[-1].wall_ms

    def add(self, row: Row) -> None:
        self.rows.append(row)
        aim = "" if row.target is None else f"{row.target:g}{' missed' * row.missed}"
        unit = "" if row.unit == "ms" else f" {row.unit}"
        print(
            f"| {row.name} | {row.wall_ms:.1f}{unit} | {row.cpu_ms:.1f} | {row.rounds} | {aim} |",
            flush=True,
        )


def touching(index: Index, path: str, *, hint: bool) -> Callable[[], object]:
    """Alter one file and update; the file is new every time."""
    file = index.root / path
    before = file.read_bytes()
    calls = iter(range(1 << 30))

    def touch() -> None:
        file.write_bytes(before + b"\n# %d\n" % next(calls))
        index.update(paths=[path] if hint else None)

    return touch


def run(tree: Path, cache: Path, rounds: int, python: str | None) -> list[Row]:
    table = Table()

    def cold() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        _process(_COLD, tree, cache)

    index_ms = table.timed("cold, new process: list, parse, store, build", cold, 3, 1300)

    def glance() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        _process(_GLANCE, tree, cache, QUESTION)

    table.timed("cold, new process: first ranked answer", glance, 3, 500)
    index = open_index(tree, cache)
    index.update()
    table.timed("first localisation (reads the commit history)", lambda: index.localize(QUESTION))
    table.timed("localisation", lambda: index.localize(QUESTION), rounds, 10)
    table.timed("search", lambda: index.search("empty ordering"), rounds)
    table.timed("map of 8,000 tokens, with a query", lambda: index.map(QUESTION, 8000), rounds)
    table.timed("map of 8,000 tokens, without, first", lambda: index.map(None, 8000))
    table.timed("map of 8,000 tokens, without", lambda: index.map(None, 8000), rounds)
    table.timed("update, nothing changed", index.update, rounds, 30)
    _updates(table, index, rounds)
    index.update()
    first = statistics.median(_process(_NEW_PROCESS, tree, cache, QUESTION) for _ in range(5))
    row = "new process: import, update, map of 2,000 tokens"
    table.add(Row(name=row, wall_ms=first * 1e3, cpu_ms=0, rounds=5, target=150))
    disk = sum(p.stat().st_size for p in cache.iterdir()) / 1e6
    table.add(Row(name="on disk", wall_ms=disk, cpu_ms=0, rounds=1, target=25, unit="MB"))
    memory = peak_memory(lambda: cold())
    table.add(
        Row(name="all processes, cold", wall_ms=memory, cpu_ms=0, rounds=1, target=250, unit="MB")
    )
    _peers(table, index, python, index_ms, first * 1e3)
    stats = index.update()
    print(f"\n{stats.files} files, {stats.symbols} definitions.")
    return table.rows


def _updates(table: Table, index: Index, rounds: int) -> None:
    largest, median = _two_files(index)
    for path, target in ((median, 3.0), (largest, 15.0)):
        before = (index.root / path).read_bytes()
        try:
            index.update()
            told = touching(index, path, hint=True)
            told()
            size = f"{len(before):,} bytes"
            table.timed(f"update told of one file of {size}", told, max(rounds, 9), target)
            untold = touching(index, path, hint=False)
            table.timed(f"update not told of one file of {size}", untold, rounds)
        finally:
            (index.root / path).write_bytes(before)


def _peers(table: Table, index: Index, python: str | None, cold_ms: float, first_ms: float) -> None:
    for name, found in (
        ("Universal Ctags, cold", ctags_seconds(index.root)),
        ("git grep for three words", grep_seconds(index.root, "query|ordering|combined")),
    ):
        said = "not run" if found is None else f"{1e3 * found:.0f} ms"
        ratio = "" if found is None else f" = {1e3 * found / cold_ms:.1f} of our cold index"
        print(f"| {name} | {said}{ratio} | | 1 | |")
    if python is None:
        print("| aider's RepoMap | not run: no --aider | | | |")
        return
    sources = [p for p in index.paths() if language_of(p) != "text"]
    with Aider(python, index.root) as aider:
        start = time.perf_counter()
        aider.ask(sources, QUESTION, (2000,))
        cold = 1e3 * (time.perf_counter() - start)
        warm = 1e3 * aider.ask(sources, QUESTION, (2000,)).seconds[0]
    ours = statistics.median(_timed(lambda: index.map(QUESTION, 2000)) for _ in range(5))
    print(f"| aider's map of 2,000 tokens, cold | {cold:.0f} | | 1 | |")
    share = 100 * cold_ms / cold
    row = f"our cold index, of aider's cold map ({cold / cold_ms:.1f} times as fast)"
    table.add(Row(name=row, wall_ms=share, cpu_ms=0, rounds=1, target=10, unit="%"))
    print(f"| aider's map, warm | {warm:.0f} = {warm / ours:.0f} × ours | | 1 | |")


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - start)


def _process(code: str, *args: object) -> float:
    argv = [sys.executable, "-c", code, *map(str, args)]
    return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def peak_memory(action: Callable[[], object]) -> float:
    """MB that an action's child processes hold at most, all together, shared pages once."""
    import psutil

    over, peak = threading.Event(), [0]

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(0.02):
            held = 0
            for child in me.children(recursive=True):
                try:
                    held += child.memory_full_info().pss
                except psutil.Error:
                    continue  # ended
            peak[0] = max(peak[0], held)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        action()
    finally:
        over.set()
        thread.join()
    return peak[0] / 1e6


def _two_files(index: Index) -> tuple[str, str]:
    """The largest source file and one of median size."""
    suffix = {".py", ".js", ".ts", ".go", ".rs", ".java", ".c", ".cc", ".cpp"}
    paths = [p for p in index.paths() if Path(p).suffix in suffix]
    ordered = sorted(paths, key=lambda p: ((index.root / p).stat().st_size, p))
    return ordered[-1], ordered[len(ordered) // 2]


def generate(root: Path, files: int) -> None:
    """Python files of eight functions, a thousand to a directory."""
    chance = random.Random(1)
    verbs = "load save make find drop send read open close merge".split()
    nouns = "user cart item price order page index cache token state".split()
    words = [f"{verb}_{noun}" for verb in verbs for noun in nouns]
    for number in range(files):
        folder = root / f"p{number // 1000}"
        folder.mkdir(parents=True, exist_ok=True)
        body = "".join(
            f"def {chance.choice(words)}_{chance.randrange(99)}(x, y):\n"
            f"    {chance.choice(words)} = {chance.choice(words)}(x)\n"
            f"    return {chance.choice(words)}({chance.choice(words)}, y)\n\n"
            for _ in range(8)
        )
        (folder / f"m{number}.py").write_text(f"import os\n\n{body}")


_DJANGO = Package(
    name="Django",
    version="5.2.8",
    sha256="23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f",
    test_cmd="",
)


def _django(tree: Path, parser: argparse.ArgumentParser) -> None:
    """The tree the targets are given for, with one commit."""
    try:
        unpack(sdist(_DJANGO), tree)
    except SourceUnavailable as error:
        parser.error(f"{error}: name another tree as the argument TREE, or give --many")
    git = ["git", "-C", str(tree), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for step in (
        ["init", "-q"],
        ["add", "-A", "-f"],
        ["commit", "-q", "--no-verify", "-m", "tree"],
    ):
        subprocess.run([*git, *step], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--many", type=int, help="generate a repository of so many files")
    parser.add_argument("--aider", metavar="PYTHON", help="a Python that has aider installed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree, cache = Path(scratch) / "tree", Path(scratch) / "cache"
        if args.many:
            generate(tree, args.many)
        elif args.tree is not None:
            shutil.copytree(args.tree, tree, symlinks=True)
        else:
            _django(tree, parser)
        rows = run(tree.resolve(), cache, args.rounds, args.aider)
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")
    missed = [r for r in rows if r.missed]
    for row in missed:
        print(f"missed: {row.name}: {row.wall_ms:.1f} {row.unit}, target {row.target:g}")
    sys.exit(1 if args.check and missed else 0)


if __name__ == "__main__":
    main()
