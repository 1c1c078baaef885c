"""Compare llama.cpp with stored torch logits and with the tokenizer. Needs no torch.

    python -m training.parity --gguf mini.gguf --f32 mini.f32.gguf --reference reference.npz \
        --tokenizer CORPUS/tokenizer.json --texts CORPUS/files.jsonl --out parity.json
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.llama import LlamaModel

__all__ = ["Difference", "compare", "compare_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Largest absolute difference of logits, and how often the best token is the same."""

    trunk: float
    mtp: float
    chain: float  # drafts by recursion
    trunk_same_best: float
    mtp_same_best: float
    positions: int


def compare(gguf: Path, reference: Path) -> Difference:
    """Every stored document through llama.cpp, against torch. Ids must match exactly."""
    trunk, mtp, chain, same, same_mtp = [], [], [], [], []
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
                drafted, logits = model.chain(tokens, len(stored[f"drafted{i}"]))
                # After a draft that differs the chains have different inputs.
                equal = np.array(drafted) == stored[f"drafted{i}"]
                until = len(drafted) if equal.all() else int(equal.argmin()) + 1
                chain.append(np.abs(logits[:until] - stored[f"chain{i}"][:until]).max())
    return Difference(
        trunk=float(np.concatenate(trunk).max()),
        mtp=float(np.concatenate(mtp).max()),
        chain=float(max(chain)),
        trunk_same_best=float(np.concatenate(same).mean()),
        mtp_same_best=float(np.concatenate(same_mtp).mean()),
        positions=sum(len(s) for s in same),
    )


def compare_tokens(gguf: Path, tokenizer: Path, texts: Path, limit: int) -> tuple[int, int]:
    """(files compared, files whose ids differ), `limit` of them spread over a files.jsonl."""
    from tokenizers import Tokenizer

    bpe = Tokenizer.from_file(str(tokenizer))
    with texts.open(encoding="utf-8") as source:
        lines = source.readlines()
    chosen = lines[:: max(1, len(lines) // limit)][:limit]
    with LlamaModel(gguf, 64) as model:
        found = [json.loads(line)["text"] for line in chosen]
        wrong = sum(model.tokenize(text) != bpe.encode(text).ids for text in found)
    return len(chosen), wrong


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gguf", type=Path, required=True, help="Q8_0 file")
    parser.add_argument("--f32", type=Path, required=True, help="the same in float32")
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    files, different = compare_tokens(args.gguf, args.tokenizer, args.texts, args.limit)
    result = {
        "f32": asdict(compare(args.f32, args.reference)),
        "q8_0": asdict(compare(args.gguf, args.reference)),
        "files": files,
        "files_different": different,
    }
    args.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
