"""Exact repair and draft acceptance on functions of packages that were not trained on.

    python -m training.evaluate --model RUN/model.pt --corpus DIR --out scores.json [--count 200]

Each held-out function gets one bug (`training.mutate`, its own seed), its lines marked as in
training. An answer counts when it is the exact fix. Candidates come from a beam by summed
log-probability; acceptance is measured on the model's own greedy answers.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training import tokenizer as bpe
from training.config import Recipe
from training.corpus import read_functions
from training.data import EditStep, edit_step, text_of
from training.export import load_model
from training.model import Cache, Mini
from training.render import apply, parse

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Beam", "acceptance", "beam", "held_out_steps", "score"]

_SEED = 20_261
_LONGEST_ANSWER = 64
_DRAFTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """One finished candidate: token ids without the end mark, summed log-probability."""

    tokens: tuple[int, ...]
    score: float


def held_out_steps(corpus: Path, made: Recipe, count: int) -> list[EditStep]:
    """`count` edit steps with a bug in them, the same for every model of a recipe."""
    rng = random.Random(_SEED)
    functions = read_functions(corpus / "held_out.jsonl")
    rng.shuffle(functions)
    steps = []
    for function in functions:
        step = edit_step(function, rng, made.span_lines)
        if step is not None and step.fix is not None:
            steps.append(step)
        if len(steps) == count:
            break
    return steps


@torch.no_grad()
def beam(model: Mini, prompt: Sequence[int], stop: int, width: int) -> list[Beam]:
    """Up to `width` finished answers, best first."""
    cache = Cache()
    device = model.token_embd.weight.device
    h = model(torch.tensor([list(prompt)], device=device), cache)[:, -1]
    cache.repeat(1)
    alive, totals = [()], torch.zeros(1, device=device)
    done: list[Beam] = []
    for _ in range(_LONGEST_ANSWER):
        logs = torch.log_softmax(model.logits(h).float(), -1)
        for row, tokens in enumerate(alive):
            done.append(Beam(tokens=tokens, score=float(totals[row] + logs[row, stop])))
        done = sorted(done, key=lambda b: -b.score)[:width]
        logs[:, stop] = float("-inf")
        best = (totals[:, None] + logs).flatten().topk(width)
        # Scores only fall: a beam below the worst finished answer cannot come back.
        keep = best.values > (done[-1].score if len(done) == width else float("-inf"))
        if not keep.any():
            break
        totals = best.values[keep]
        rows, chosen = best.indices[keep] // logs.shape[1], best.indices[keep] % logs.shape[1]
        alive = [(*alive[r], t) for r, t in zip(rows.tolist(), chosen.tolist(), strict=True)]
        cache.pick(rows)
        h = model(chosen[:, None], cache)[:, -1]
    return done


@torch.no_grad()
def greedy(model: Mini, prompt: Sequence[int], stop: int) -> tuple[int, ...]:
    """The best-token answer, end mark included when it came."""
    cache, out = Cache(), []
    tokens = torch.tensor([list(prompt)], device=model.token_embd.weight.device)
    while len(out) < _LONGEST_ANSWER:
        tokens = model.logits(model(tokens, cache)[:, -1]).argmax(-1, keepdim=True)
        out.append(int(tokens))
        if out[-1] == stop:
            break
    return tuple(out)


@torch.no_grad()
def acceptance(model: Mini, prompt: Sequence[int], answer: Sequence[int]) -> Tensor:
    """[answered positions, 3] bool: would draft j have been right, all before it being right."""
    ids = torch.tensor([[*prompt, *answer]], device=model.token_embd.weight.device)
    states = model.drafts(ids, model(ids), _DRAFTS)
    start, count = len(prompt), len(answer)
    right = torch.zeros(count, _DRAFTS, dtype=torch.bool)
    for j, state in enumerate(states):
        # Draft j+1 of a chain started after answer token i is row start + i + j.
        best = model.logits(state[0]).argmax(-1)
        for i in range(count - 1 - j):
            row = start + i + j
            right[i, j] = best[row] == ids[0, row + 1]
    return right.cumprod(1).bool()


def score(
    model: Mini, made: Recipe, tokenizer: "Tokenizer", steps: Sequence[EditStep], width: int = 16
) -> dict[str, float]:
    """Exact repair top-1 and top-10, well-formedness, and acceptance by draft position."""
    stop = tokenizer.token_to_id("<|im_end|>")
    first = ten = formed = 0
    accepted: list[Tensor] = []
    for step in steps:
        prompt = tokenizer.encode(text_of(step)[0]).ids
        wanted = apply(step.fix, step.lines)
        results = [
            _outcome(tokenizer.decode(list(b.tokens), skip_special_tokens=False), step)
            for b in beam(model, prompt, stop, width)
        ]
        formed += bool(results and results[0] is not None)
        first += bool(results and results[0] == wanted)
        unique = list(dict.fromkeys(r for r in results if r is not None))
        ten += wanted in unique[:10]
        answered = greedy(model, prompt, stop)
        accepted.append(acceptance(model, prompt, answered))
    return {
        "steps": len(steps),
        "top1": first / len(steps),
        "top10": ten / len(steps),
        "well_formed": formed / len(steps),
        **_rates(accepted),
    }


def _outcome(text: str, step: EditStep) -> tuple[str, ...] | None:
    try:
        return apply(parse(text), step.lines)
    except ValueError:
        return None


def _rates(accepted: Sequence[Tensor]) -> dict[str, float]:
    """Chance that draft j is right given the ones before it, and tokens per verify pass."""
    rates = {}
    for j in range(_DRAFTS):
        # The last j+1 positions of an answer have no token that draft could be compared with.
        usable = torch.cat([a[: max(len(a) - 1 - j, 0)] for a in accepted])
        reached = usable[:, j - 1] if j else torch.ones(len(usable), dtype=torch.bool)
        rates[f"accept{j + 1}"] = float(usable[reached, j].float().mean()) if len(usable) else 0.0
        rates[f"run{j + 1}"] = float(usable[:, : j + 1].sum(1).float().mean() + 1)
    return rates


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    made, model, progress = load_model(args.model)
    steps = held_out_steps(args.corpus, made, args.count)
    tokenizer = bpe.load(args.corpus / "tokenizer.json")
    scores = {**score(model, made, tokenizer, steps), "trained": progress}
    args.out.write_text(json.dumps(scores, indent=1), encoding="utf-8")
    print(json.dumps(scores))


if __name__ == "__main__":
    main(sys.argv[1:])
