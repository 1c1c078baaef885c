"""Gather source code once: functions and files to train on, functions held out, packages used.

    python -m training.corpus --out DIR [--root SITE_PACKAGES ...]

Writes functions.jsonl, held_out.jsonl, files.jsonl and packages.json into DIR.
"""

import argparse
import dataclasses
import json
import sys
import sysconfig
from pathlib import Path

from training.sources import (
    HELD_OUT,
    RESERVED,
    Function,
    Package,
    files,
    functions,
    packages,
    usable,
)

__all__ = ["gather", "read_functions"]

# No package may be more than this part of the functions: generated clients repeat themselves.
_SHARE = 0.08


def gather(out: Path, roots: tuple[Path, ...]) -> None:
    """Fill `out` from the standard library and the packages under `roots`."""
    out.mkdir(parents=True, exist_ok=True)
    found = list(packages(roots))
    reserved = [p for p in found if p.name in RESERVED]
    forbidden = {f.shape for p in reserved for file in files(p) for f in functions(file)}
    held: list[Function] = []
    kept: dict[str, list[Function]] = {}
    seen = set(forbidden)
    trained = [p for p in found if usable(p) and p.name not in HELD_OUT]
    with (out / "files.jsonl").open("w", encoding="utf-8") as sink:
        for package in trained:
            kept[package.name] = _take(package, seen, sink)
    for package in (p for p in found if p.name in HELD_OUT):
        held.extend(_take(package, seen, None))
    if not held:
        some = ", ".join(sorted(HELD_OUT)[:6])
        raise ValueError(f"nothing to measure on: install some held-out packages ({some}, …)")
    limit = max(1, int(_SHARE * sum(len(v) for v in kept.values())))
    chosen = [f for fs in kept.values() for f in fs[:: max(1, -(-len(fs) // limit))]]
    _write(out / "functions.jsonl", chosen)
    _write(out / "held_out.jsonl", held)
    about = [
        {
            "name": p.name,
            "version": p.version,
            "licence": p.licence,
            "use": "held out" if p.name in HELD_OUT else "training",
            "functions": sum(f.package == p.name for f in (held if p.name in HELD_OUT else chosen)),
        }
        for p in found
        if usable(p)
    ]
    used = [a for a in about if a["functions"]]
    (out / "packages.json").write_text(json.dumps(used, indent=1), encoding="utf-8")
    print(f"{len(chosen)} functions of {len(trained)} packages, {len(held)} held out", flush=True)


def read_functions(path: Path) -> list[Function]:
    """The functions a corpus file holds."""
    with path.open(encoding="utf-8") as source:
        return [Function(**json.loads(line)) for line in source]


def _take(package: Package, seen: set[str], sink) -> list[Function]:
    """New functions of a package; its files go to `sink` unless they hold a forbidden one."""
    taken = []
    for file in files(package):
        fresh = [f for f in functions(file) if f.shape not in seen]
        seen.update(f.shape for f in fresh)
        taken.extend(fresh)
        if sink is not None and fresh:
            sink.write(json.dumps(dataclasses.asdict(file)) + "\n")
    return taken


def _write(path: Path, found: list[Function]) -> None:
    with path.open("w", encoding="utf-8") as sink:
        for function in found:
            sink.write(json.dumps(dataclasses.asdict(function)) + "\n")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--root", type=Path, action="append", default=[])
    args = parser.parse_args(argv)
    roots = tuple(args.root) or (Path(sysconfig.get_paths()["purelib"]),)
    gather(args.out, roots)


if __name__ == "__main__":
    main(sys.argv[1:])
