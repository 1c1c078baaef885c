"""Compare llama.cpp with stored torch logits and with the tokenizer. Needs no torch.

    python -m training.parity --gguf FILE --reference reference.npz
    python -m training.parity --gguf FILE --tokenizer tokenizer.json --texts files.jsonl
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.llama import LlamaModel

__all__ = ["Difference", "compare", "compare_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Largest absolute difference of logits, and how often the best token is the same."""

    trunk: float
    mtp: float
    trunk_same_best: float
    mtp_same_best: float
    positions: int


def compare(gguf: Path, reference: Path) -> Difference:
    """Every stored document through llama.cpp, against torch. Ids must match exactly."""
    trunk, mtp, same, same_mtp = [], [], [], []
    with np.load(reference) as stored:
        documents = range(int(stored["count"]))
        length = max(len(stored[f"tokens{i}"]) for i in documents)
        with LlamaModel(gguf, length) as model:
            for i in documents:
                tokens = stored[f"tokens{i}"].tolist()
                if model.tokenize(bytes(stored[f"text{i}"]).decode()) != tokens:
                    raise ValueError(f"document {i}: llama.cpp gives other token ids")
                got = model.logits(tokens)
                at = stored[f"at{i}"]
                trunk.append(np.abs(got[0][at] - stored[f"trunk{i}"]).max(1))
                mtp.append(np.abs(got[1][at] - stored[f"mtp{i}"]).max(1))
                same.append(got[0][at].argmax(1) == stored[f"trunk{i}"].argmax(1))
                same_mtp.append(got[1][at].argmax(1) == stored[f"mtp{i}"].argmax(1))
    return Difference(
        trunk=float(np.concatenate(trunk).max()),
        mtp=float(np.concatenate(mtp).max()),
        trunk_same_best=float(np.concatenate(same).mean()),
        mtp_same_best=float(np.concatenate(same_mtp).mean()),
        positions=sum(len(s) for s in same),
    )


def compare_tokens(gguf: Path, tokenizer: Path, texts: Path, limit: int) -> tuple[int, int]:
    """(files compared, files whose ids differ) over the first `limit` of a files.jsonl."""
    from tokenizers import Tokenizer

    bpe = Tokenizer.from_file(str(tokenizer))
    count = wrong = 0
    with LlamaModel(gguf, 64) as model, texts.open(encoding="utf-8") as source:
        for line in source:
            if count == limit:
                break
            text = json.loads(line)["text"]
            count += 1
            wrong += model.tokenize(text) != bpe.encode(text).ids
    return count, wrong


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--limit", type=int, default=3000)
    args = parser.parse_args(argv)
    if args.reference:
        print(compare(args.gguf, args.reference))
    if args.tokenizer and args.texts:
        count, wrong = compare_tokens(args.gguf, args.tokenizer, args.texts, args.limit)
        print(f"tokenizer: {count} files, {wrong} differ")


if __name__ == "__main__":
    main(sys.argv[1:])
