"""Store what torch computes, for parity checks where torch is not installed.

    python -m training.reference --model RUN/model.pt --corpus DIR --out reference.npz

Token ids and text of held-out functions, and for each the trunk's and the draft head's logits
at a few positions, and of a chain of drafts after its end (float32).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from training import tokenizer as bpe
from training.corpus import read_functions
from training.export import load_model
from training.model import Mini
from training.render import chat, edit_prompt

__all__ = ["DRAFTS", "reference"]

DRAFTS = 3

_LONGEST = 700
_POSITIONS = 16


def reference(model_path: Path, corpus: Path, out: Path, count: int) -> None:
    """Write `count` documents' reference logits."""
    _, model, _ = load_model(model_path)
    tokenizer = bpe.load(corpus / "tokenizer.json")
    functions = read_functions(corpus / "held_out.jsonl")
    fields: dict[str, np.ndarray] = {}
    step = max(1, len(functions) // (4 * count))
    done = 0
    for function in functions[::step]:
        lines = function.source.split("\n")
        text = chat(edit_prompt(function.path, lines, {2, 3}))
        ids = tokenizer.encode(text).ids
        if not 60 <= len(ids) <= _LONGEST or done == count:
            continue
        tokens = torch.tensor([ids])
        with torch.no_grad():
            h = model(tokens)
            draft = model.drafts(tokens, h, 1)[0]
            at = np.unique(np.linspace(0, len(ids) - 1, _POSITIONS).astype(np.int64))
            fields[f"trunk{done}"] = model.logits(h[0, at]).numpy()
            fields[f"mtp{done}"] = model.logits(draft[0, at]).numpy()
            fields[f"drafted{done}"], fields[f"chain{done}"] = _chain(model, ids)
        fields[f"tokens{done}"] = np.array(ids, np.int32)
        fields[f"at{done}"] = at.astype(np.int32)
        fields[f"text{done}"] = np.frombuffer(text.encode(), np.uint8)
        done += 1
    np.savez_compressed(out, count=np.array(done), **fields)


def _chain(model: Mini, ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and logits of drafts made by recursion after the whole document."""
    tokens, seen = list(ids), []
    for depth in range(1, DRAFTS + 1):
        row = torch.tensor([tokens])
        # h of the drafted tokens is computed too, but no row of the chain reads it.
        state = model.drafts(row, model(row), depth)[-1][0, -1]
        seen.append(model.logits(state).numpy())
        tokens.append(int(seen[-1].argmax()))
    return np.array(tokens[len(ids) :], np.int32), np.stack(seen)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    args = parser.parse_args(argv)
    reference(args.model, args.corpus, args.out, args.count)


if __name__ == "__main__":
    main(sys.argv[1:])
