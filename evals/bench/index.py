"""What the index costs on one tree: wall and CPU of each operation, memory, disk.

    python -m evals.bench.index TREE [--rounds 10]

TREE is written to: one of its files is altered and restored. Wall times on a machine that does
other work say little; the CPU column counts this process and its workers.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.index import Index, open_index

QUESTION = "Crash when a query set with an empty ordering is combined\n\nValueError in order_by()"
_NEW_PROCESS = (
    "import sys, time; a = time.perf_counter()\n"
    "from pathlib import Path; from tools.index import open_index\n"
    "i = open_index(Path(sys.argv[1]), Path(sys.argv[2])); i.update(); i.map(sys.argv[3], 2000)\n"
    "print(time.perf_counter() - a)"
)


def cpu() -> float:
    """Seconds of processor used by this process and its finished children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def timed(name: str, action: Callable[[], object], rounds: int = 1) -> None:
    """Print a table row: medians in milliseconds."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, used = time.perf_counter(), cpu()
        action()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu() - used)
    wall, used = statistics.median(walls) * 1e3, statistics.median(cpus) * 1e3
    print(f"| {name} | {wall:.1f} | {used:.1f} | {rounds} |", flush=True)


def touching(index: Index, path: str) -> Callable[[], object]:
    """Alter one file and update; the file is new every time."""
    file = index.root / path
    before = file.read_bytes()
    calls = iter(range(1 << 30))

    def touch() -> None:
        file.write_bytes(before + b"\n# %d\n" % next(calls))
        index.update()

    return touch


def run(tree: Path, cache: Path, rounds: int) -> None:
    print("| operation | wall ms | CPU ms | rounds |\n|---|---|---|---|")
    index = open_index(tree, cache)
    timed("cold: list, parse, store, build", index.update)
    timed("first localisation (reads the commit history)", lambda: index.localize(QUESTION))
    timed("localisation", lambda: index.localize(QUESTION), rounds)
    timed("search", lambda: index.search("empty ordering"), rounds)
    timed("map of 8,000 tokens, with a query", lambda: index.map(QUESTION, 8000), rounds)
    timed("map of 8,000 tokens, without, first", lambda: index.map(None, 8000))
    timed("map of 8,000 tokens, without", lambda: index.map(None, 8000), rounds)
    timed("update, nothing changed", index.update, rounds)
    for path in _two_files(index):
        before = (tree / path).read_bytes()
        try:
            timed(f"update, one file of {len(before)} bytes", touching(index, path), rounds)
        finally:
            (tree / path).write_bytes(before)
    index.update()
    argv = [sys.executable, "-c", _NEW_PROCESS, str(tree), str(cache), QUESTION]
    done = [subprocess.run(argv, capture_output=True, text=True, check=True) for _ in range(5)]
    first = statistics.median(float(d.stdout) for d in done) * 1e3
    print(f"| new process: import, update, map of 2,000 tokens | {first:.1f} | | 5 |")
    if (tree / ".git").exists():
        grep = ["git", "grep", "-n", "-i", "-E", "query|ordering|combined"]
        timed("for comparison: git grep", lambda: _quiet(grep, tree), rounds)
    stats = index.update()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    disk = sum(p.stat().st_size for p in cache.iterdir()) / 1e6
    print(f"\n{stats.files} files, {stats.symbols} definitions; peak memory {peak:.0f} MB,")
    print(f"largest worker {child:.0f} MB; {disk:.1f} MB on disk.")


def _quiet(argv: list[str], cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, check=False)


def _two_files(index: Index) -> tuple[str, str]:
    """The largest source file and one of median size."""
    suffix = {".py", ".js", ".ts", ".go", ".rs", ".java", ".c", ".cc", ".cpp"}
    paths = [p for p in index.paths() if Path(p).suffix in suffix]
    ordered = sorted(paths, key=lambda p: ((index.root / p).stat().st_size, p))
    return ordered[-1], ordered[len(ordered) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    cache = Path(tempfile.mkdtemp())
    try:
        run(args.tree.resolve(), cache, args.rounds)
    finally:
        shutil.rmtree(cache)


if __name__ == "__main__":
    main()
