"""Training rows: plain code, fill-in-the-middle and edit steps, as token ids with loss weights.

    python -m training.data --corpus DIR --recipe small --out DIR2 [--workers N] [--seed N]

Each worker writes shards `rows-*.npz`: tokens (uint16), weights (uint8), ends (int64, the end
of each row). A row is one document and starts with a fresh state, as in the product.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training import tokenizer as bpe
from training.config import Recipe, recipe
from training.corpus import read_functions
from training.evidence import evidence
from training.mutate import mutate
from training.render import Edit, answer, chat, edit_prompt
from training.sources import Function

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["EditStep", "edit_step", "rows", "text_of"]

_SHARD_TOKENS = 4_000_000
_NO_BUG = 0.1
_UNMARKED = 0.08
_WITH_EVIDENCE = 0.5
_SHORT_SPAN = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class EditStep:
    """One example: what is shown, and what to answer."""

    prompt: str
    lines: tuple[str, ...]
    fix: Edit | None
    operators: tuple[str, ...]


def edit_step(function: Function, rng: random.Random, span_lines: int) -> EditStep | None:
    """An edit step on a mutant of the function (or on the function itself: nothing to do)."""
    lines = tuple(function.source.split("\n"))
    fix: Edit | None = None
    operators: tuple[str, ...] = ()
    if rng.random() >= _NO_BUG:
        mutant = mutate(function.source, rng)
        if mutant is None:
            return None
        lines, fix, operators = mutant.lines, mutant.fix, mutant.operators
    shown: tuple[str, ...] = ()
    if fix is not None and rng.random() < _WITH_EVIDENCE:
        shown = evidence(function.source, "\n".join(lines), rng)
    centre = fix or Edit(first=(n := rng.randrange(len(lines)) + 1), last=n, lines=("",))
    start, stop = _window(len(lines), centre, rng, span_lines)
    lines = lines[start:stop]
    if fix is not None:
        fix = Edit(first=fix.first - start, last=fix.last - start, lines=fix.lines)
    prompt = edit_prompt(function.path, lines, _suspects(lines, fix, rng), shown)
    return EditStep(prompt=prompt, lines=lines, fix=fix, operators=operators)


def text_of(step: EditStep) -> tuple[str, str]:
    """The chat up to the answer, and the answer with its end mark."""
    return chat(step.prompt), answer(step.fix) + "<|im_end|>"


def rows(
    made: Recipe,
    tokenizer: "Tokenizer",
    functions: Sequence[Function],
    texts: Sequence[str],
    rng: random.Random,
) -> Iterator[tuple[list[int], list[int]]]:
    """Endless (token ids, loss weights), mixed so that tokens have the recipe's shares."""
    spent = [1.0, 1.0, 1.0]
    share = (made.mix_plain, made.mix_fim, 1 - made.mix_plain - made.mix_fim)
    while True:
        kind = min(range(3), key=lambda i: spent[i] / max(share[i], 1e-9))
        if kind == 0:
            ids = tokenizer.encode(_piece(rng.choice(texts), rng) + "<|endoftext|>").ids
            row = ids[: made.row_tokens], [1] * min(len(ids), made.row_tokens)
        elif kind == 1:
            ids = tokenizer.encode(_middle(rng.choice(functions).source, rng)).ids
            row = ids, [1] * len(ids)
        else:
            step = edit_step(rng.choice(functions), rng, made.span_lines)
            if step is None:
                continue
            head, tail = (tokenizer.encode(t).ids for t in text_of(step))
            row = head + tail, [1] * len(head) + [made.answer_weight] * len(tail)
        if 8 <= len(row[0]) <= made.row_tokens:
            spent[kind] += len(row[0])
            yield row


def _window(count: int, centre: Edit, rng: random.Random, span_lines: int) -> tuple[int, int]:
    """Which lines are shown: all, or a random window around the fix; [start, stop) from 0."""
    # Short spans have the most answer per token, and a caller may show one to save time.
    short = rng.random() < _SHORT_SPAN
    size = rng.randint(5, 12) if short else rng.randint(span_lines // 2, span_lines)
    if count <= size or (not short and count <= span_lines):
        return 0, count
    size = max(size, centre.last - centre.first + 1)
    low = max(0, centre.last - size)
    high = max(low, min(centre.first - 1, count - size))
    start = rng.randint(low, high)
    return start, start + size


def _suspects(lines: Sequence[str], fix: Edit | None, rng: random.Random) -> set[int]:
    """Marked lines: nearly always one of the fix's, and a few others that hold code."""
    code = _code_lines(lines)
    marked = set(rng.sample(code, min(len(code), rng.choice((0, 1, 2, 2, 2, 3)))))
    if fix is None:
        return marked or set(code[:1])
    if rng.random() >= _UNMARKED:
        marked.add(rng.randint(fix.first, fix.last))
    return marked


def _code_lines(lines: Sequence[str]) -> list[int]:
    """Numbers of lines a localiser could mark: not blank, comment or docstring."""
    found, inside = [], False
    for n, text in enumerate(lines, 1):
        quotes = text.count('"""') + text.count("'''")
        bare = text.strip()
        if not inside and not quotes and bare and not bare.startswith("#"):
            found.append(n)
        inside ^= quotes % 2 == 1
    return found


def _piece(text: str, rng: random.Random) -> str:
    """A file from a random line on, a few thousand characters of it."""
    start = rng.randrange(max(1, len(text) - 1500))
    start = text.find("\n", start) + 1 if start else 0
    return text[start : start + rng.choice((1200, 2000, 4000, 8000))]


def _middle(text: str, rng: random.Random) -> str:
    first, second = sorted(rng.sample(range(len(text) + 1), 2))
    second = min(second, first + 300)
    return (
        f"<|fim_prefix|>{text[:first]}<|fim_suffix|>{text[second:]}"
        f"<|fim_middle|>{text[first:second]}<|endoftext|>"
    )


def _shard(index: int, corpus: Path, out: Path, name: str, seed: int, tokens: int) -> int:
    """Write one shard of about `tokens` tokens."""
    made = recipe(name)
    rng = random.Random(seed * 10_007 + index)
    with (corpus / "files.jsonl").open(encoding="utf-8") as source:
        texts = [json.loads(line)["text"] for line in source]
    functions = read_functions(corpus / "functions.jsonl")
    ids, weights, ends = [], [], []
    count = 0
    for row, weight in rows(made, bpe.load(corpus / "tokenizer.json"), functions, texts, rng):
        ids.append(np.array(row, np.uint16))
        weights.append(np.array(weight, np.uint8))
        count += len(row)
        ends.append(count)
        if count >= tokens:
            break
    np.savez(
        out / f"rows-{seed}-{index:04d}.npz",
        tokens=np.concatenate(ids),
        weights=np.concatenate(weights),
        ends=np.array(ends),
    )
    return count


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, help="instead of the recipe's number")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    total = args.tokens or recipe(args.recipe).data_tokens
    shards = max(args.workers, round(total / _SHARD_TOKENS), 1)
    work = partial(
        _shard,
        corpus=args.corpus,
        out=args.out,
        name=args.recipe,
        seed=args.seed,
        tokens=total // shards,
    )
    with ProcessPoolExecutor(args.workers) as pool:
        done = sum(pool.map(work, range(shards)))
    (args.out / "done").write_text(f"{done}\n", encoding="utf-8")
    print(f"{done} tokens in {shards} shards", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
