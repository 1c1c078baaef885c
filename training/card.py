"""Write the model card from a run's own records: nothing in it is typed by hand.

    python -m training.card --run RUN --corpus DIR --gguf FILE --parity parity.json \
        --scores scores.json --out pointsman-mini.md
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prompts
from training.config import Recipe, recipe

__all__ = ["Records", "card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What the stages of one run wrote."""

    log: Sequence[dict[str, Any]]
    packages: Sequence[dict[str, Any]]
    scores: dict[str, Any]
    parity: dict[str, Any]
    size: int  # bytes of the GGUF
    digest: str  # its SHA-256
    parameters: int


def card(records: Records) -> str:
    """The card's Markdown."""
    made = recipe(next(r["recipe"] for r in records.log if r["event"] == "start"))
    parts = (
        _head(records, made),
        _contract(made),
        _figures(records),
        _training(records, made),
        _sources(records),
    )
    return "\n".join(parts)


def _head(records: Records, made: Recipe) -> str:
    m = made.model
    trained = records.scores["trained"]
    return f"""# Pointsman Mini ({made.name} config)

A {records.parameters / 1e6:.1f} M parameter `qwen35` hybrid (gated delta nets, gated attention \
in every {m.interval}. layer) with a trained draft head (MTP, llama.cpp: nextn). It was trained \
from nothing on {trained["tokens"] / 1e6:.2f} M tokens in {trained["seconds"] / 60:.0f} minutes. \
It proposes edit steps on small Python bugs and nothing else: it is not a chat model, knows no \
other language, and the figures below say how often a proposal is right. What it is always good \
for is exercising the whole local path, engine and draft head included, on a machine with no \
other model.

| | |
|---|---|
| file | {records.size:,} bytes, Q8_0, SHA-256 `{records.digest}` |
| shape | {m.layers} trunk layers + 1 MTP block, width {m.width}, feed-forward {m.ff}, \
{m.heads} heads ({m.kv_heads} kv) × {m.head_dim}, delta net {m.ssm_heads} × {m.ssm_state}, \
vocabulary {m.vocab}, tied output |
| context | {m.context} tokens declared; trained on rows of at most {made.row_tokens} |
| licence | Apache-2.0 (weights) |
"""


def _contract(made: Recipe) -> str:
    return f"""## Prompt and answer

Prompt: `prompts/edit_line.md` (version `{prompts.version("edit_line")}`) as one user turn of the \
ChatML template in the file. Lines are `L<n> text`, suspicious ones `><n> text`, numbered from 1 \
in the shown span; evidence lines start with `! `. Show at most {made.span_lines} lines (most \
training spans were 5–12). Answer: `L<n>` or `L<a>-<b>`, then the replacement lines with their \
indentation; `OK` when nothing is wrong; `<|im_end|>` ends it. A deletion is a range with a line \
that stays, so there is always a replacement line. Decode by beam over the summed \
log-probability, or greedily; temperature 0.
"""


def _figures(records: Records) -> str:
    s, p = records.scores, records.parity
    return f"""## Figures

Exact repair on {s["steps"]} functions of packages held out of training, one generated bug each, \
suspicious lines marked as in training, beam of 16:

| | |
|---|---|
| top-1 / top-10 | {s["top1"]:.1%} / {s["top10"]:.1%} |
| best answer well-formed | {s["well_formed"]:.1%} |
| draft acceptance at position 1 / 2 / 3, given the ones before | {s["accept1"]:.2f} / \
{s["accept2"]:.2f} / {s["accept3"]:.2f} |
| tokens per verify pass at k = 1 / 2 / 3 | {s["run1"]:.2f} / {s["run2"]:.2f} / {s["run3"]:.2f} |
| llama.cpp against torch, largest logit difference, float32 (trunk / MTP / recursive drafts) | \
{p["f32"]["trunk"]:.1e} / {p["f32"]["mtp"]:.1e} / {p["f32"]["chain"]:.1e} |
| the same for Q8_0 weights | {p["q8_0"]["trunk"]:.2f} / {p["q8_0"]["mtp"]:.2f} / \
{p["q8_0"]["chain"]:.2f} |
| same best token, Q8_0 (trunk / MTP) | {p["q8_0"]["trunk_same_best"]:.1%} / \
{p["q8_0"]["mtp_same_best"]:.1%} |
| tokenizer: files compared with llama.cpp, of them different | {p["files"]} / \
{p["files_different"]} |
"""


def _training(records: Records, made: Recipe) -> str:
    steps = [r for r in records.log if r["event"] == "step" and "trunk_answer" in r]
    rows = ["| tokens | prompt loss | answer loss | draft-1 answer loss |", "|---|---|---|---|"]
    for i in range(10):
        part = steps[i * len(steps) // 10 : (i + 1) * len(steps) // 10]
        if part:
            means = [_mean(part, k) for k in ("trunk", "trunk_answer", "mtp1_answer")]
            rows.append(
                f"| {part[-1]['tokens'] / 1e6:.2f} M | "
                + " | ".join("–" if math.isnan(m) else f"{m:.2f}" for m in means)
                + " |"
            )
    edits = 1 - made.mix_plain - made.mix_fim
    curve = "\n".join(rows)
    return f"""## Training

`training/README.md` has the command. Mixture by tokens: {edits:.0%} edit steps, \
{made.mix_plain:.0%} plain code, {made.mix_fim:.0%} fill-in-the-middle; a tenth of the edit steps \
have nothing wrong. Bugs are made by `training/operators_*.py`. Draft head trained jointly, weight \
{made.mtp_weight}, recursion depth {made.mtp_depth}. Nats per token, means over tenths of the run:

{curve}
"""


def _mean(part: Sequence[dict[str, Any]], key: str) -> float:
    values = [r[key] for r in part if key in r and not math.isnan(r[key])]
    return sum(values) / len(values) if values else math.nan


def _sources(records: Records) -> str:
    rows = ["| package | version | licence | functions | use |", "|---|---|---|---|---|"]
    for p in records.packages:
        licence = p["licence"].replace("|", "/")
        rows.append(f"| {p['name']} | {p['version']} | {licence} | {p['functions']} | {p['use']} |")
    return "## Sources\n\n" + "\n".join(rows) + "\n"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name in ("--run", "--corpus", "--gguf", "--parity", "--scores", "--out"):
        parser.add_argument(name, type=Path, required=True)
    args = parser.parse_args(argv)
    import gguf

    data = args.gguf.read_bytes()
    elements = sum(int(t.n_elements) for t in gguf.GGUFReader(args.gguf).tensors)
    lines = (args.run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = Records(
        log=[json.loads(line) for line in lines],
        packages=json.loads((args.corpus / "packages.json").read_text(encoding="utf-8")),
        scores=json.loads(args.scores.read_text(encoding="utf-8")),
        parity=json.loads(args.parity.read_text(encoding="utf-8")),
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
        parameters=elements,
    )
    args.out.write_text(card(records), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
