"""Byte-level BPE with the split llama.cpp applies for `tokenizer.ggml.pre = qwen35`.

    python -m training.tokenizer --corpus DIR --recipe small

Writes tokenizer.json into DIR. Identity of the ids with llama.cpp's is checked by
`training.parity`.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SPECIAL", "load", "train"]

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
)
_SAMPLE_BYTES = 40_000_000


def train(corpus: Path, vocab: int) -> "Tokenizer":
    """Train on a sample of the corpus's files, half of them with shown line numbers."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(corpus), trainer)
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"{tokenizer.get_vocab_size()} tokens learned, {vocab} wanted: more text")
    return tokenizer


def load(path: Path) -> "Tokenizer":
    """The tokenizer saved at `path`."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def _texts(corpus: Path) -> Iterator[str]:
    with (corpus / "files.jsonl").open(encoding="utf-8") as source:
        lines = source.readlines()
    random.Random(0).shuffle(lines)
    left = _SAMPLE_BYTES
    for i, line in enumerate(lines):
        text = json.loads(line)["text"]
        left -= len(text)
        if left < 0:
            return
        if i % 2:
            text = "\n".join(f"L{n % 60 + 1} {t}" for n, t in enumerate(text.split("\n")))
        yield text


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    args = parser.parse_args(argv)
    tokenizer = train(args.corpus, recipe(args.recipe).model.vocab)
    tokenizer.save(str(args.corpus / "tokenizer.json"))


if __name__ == "__main__":
    main(sys.argv[1:])
