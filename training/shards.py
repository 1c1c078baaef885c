"""Take weights off a rented machine in small files: bfloat16, each under a size limit.

    python -m training.shards split --model RUN/model.pt --out DIR
    python -m training.shards join --model DIR2/model.pt --out DIR

`join` writes a model.pt that export and evaluate read, from the files `split` left in DIR.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["join", "split"]

_LIMIT = 15 * 2**20 - 2**16  # bytes of tensors; the container adds some


def split(model: Path, out: Path) -> list[Path]:
    """Write shard-00.pt … and return their paths."""
    saved = torch.load(model, map_location="cpu")
    out.mkdir(parents=True, exist_ok=True)
    about = {"recipe": saved["recipe"], "progress": saved["progress"]}
    groups = list(_groups(saved["model"]))
    paths = []
    for i, group in enumerate(groups):
        paths.append(out / f"shard-{i:02d}.pt")
        torch.save({**about, "count": len(groups), "model": group}, paths[-1])
    return paths


def join(out: Path, model: Path) -> None:
    """Put the shards in `out` together. Raises ValueError when some are missing or mixed."""
    parts = [torch.load(p, map_location="cpu") for p in sorted(out.glob("shard-*.pt"))]
    if not parts or len(parts) != parts[0]["count"]:
        raise ValueError(f"{out}: {len(parts)} shards, not all of them")
    if any(p["progress"] != parts[0]["progress"] for p in parts):
        raise ValueError(f"{out}: shards of different checkpoints")
    weights = {k: v.float() for part in parts for k, v in part["model"].items()}
    rest = {k: parts[0][k] for k in ("recipe", "progress")}
    model.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**rest, "model": weights}, model)


def _groups(weights: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    group: dict[str, Tensor] = {}
    size = 0
    for name, value in weights.items():
        small = value.to(torch.bfloat16).contiguous()
        if group and size + small.nbytes > _LIMIT:
            yield group
            group, size = {}, 0
        group[name] = small
        size += small.nbytes
    yield group


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("verb", choices=("split", "join"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    if args.verb == "join":
        join(args.out, args.model)
    else:
        for path in split(args.model, args.out):
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main(sys.argv[1:])
