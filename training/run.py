"""The whole recipe in one command; each stage is skipped when its result is already there.

    python -m training.run small --out DIR --minutes 50
    python -m training.run full --out DIR --minutes 90 --workers 14

Leaves DIR/pointsman-mini.gguf (Q8_0) and DIR/pointsman-mini.md (its card). Cut off, it goes on
where it was when started again with the same arguments.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["main"]


def _stage(result: Path, module: str, *args: str | Path) -> None:
    """Run `python -m training.<module>` unless its result exists; stop when it fails."""
    if result.exists():
        print(f"{module}: {result} is there", flush=True)
        return
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", f"training.{module}", *map(str, args)], check=True)
    print(f"{module}: {time.monotonic() - started:.0f} s", flush=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of training alone")
    parser.add_argument("--workers", type=int, default=1, help="processes that make data")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of training")
    parser.add_argument("--tokens", type=int, help="how much data, instead of the recipe's")
    parser.add_argument("--root", type=Path, action="append", default=[], help="site-packages")
    parser.add_argument("--count", type=int, default=200, help="held-out functions to score")
    args = parser.parse_args(argv)
    out, corpus, data, run = args.out, args.out / "corpus", args.out / "data", args.out / "run"
    bpe, model = corpus / "tokenizer.json", run / "model.pt"
    q8, f32 = out / "pointsman-mini.gguf", out / "pointsman-mini.f32.gguf"
    reference, parity, scores = (out / n for n in ("reference.npz", "parity.json", "scores.json"))
    roots = [a for root in args.root for a in ("--root", root)]
    more = ("--tokens", args.tokens) if args.tokens else ()
    made = ("--corpus", corpus, "--recipe", args.recipe)
    _stage(corpus / "packages.json", "corpus", "--out", corpus, *roots)
    _stage(bpe, "tokenizer", *made)
    _stage(data / "done", "data", *made, "--out", data, "--workers", args.workers, *more)
    _stage(
        run / "done",
        "train",
        *("--recipe", args.recipe, "--data", data, "--out", run),
        *("--minutes", args.minutes, "--threads", args.threads),
    )
    source = ("--model", model)
    for path, kind in ((f32, "f32"), (q8, "q8_0")):
        _stage(path, "export", *source, "--tokenizer", bpe, "--out", path, "--type", kind)
    _stage(reference, "reference", *source, "--corpus", corpus, "--out", reference)
    _stage(
        parity,
        "parity",
        *("--gguf", q8, "--f32", f32, "--reference", reference, "--out", parity),
        *("--tokenizer", bpe, "--texts", corpus / "files.jsonl"),
    )
    _stage(
        scores,
        "evaluate",
        *(*source, "--corpus", corpus, "--out", scores),
        *("--count", args.count, "--threads", args.threads),
    )
    about = out / "pointsman-mini.md"
    _stage(
        about,
        "card",
        *("--run", run, "--corpus", corpus, "--gguf", q8, "--parity", parity),
        *("--scores", scores, "--out", about),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
