"""Tokens per CPU second against a server on the same GGUF with the same draft length k.

    python -m evals.bench.peer [--check] [--python PYTHON] [--model GGUF] [--json FILE]

The peer is xllamacpp (llama.cpp's own server in a wheel; `pip install 'pointsman[bench]'`), in a
process of its own: --python names the interpreter that has it. Both sides continue the prompts of
the trace that Pointsman Mini was trained for, greedily, past any end token, one thread each, prompt
included, nothing cached; the figure is the CPU time of the whole process while it answers. The
server has its HTTP and JSON within that, we have the loop without HTTP: what is compared is
decoding in this library and in that one, called as each is meant to be. Rounds alternate; ratios
are medians over rounds. Texts must be the same.

Also: the driver's own time a step, i.e. all of a fixed MTP step that is not inside llama.cpp's
decode, in microseconds and as a share of a step of 10 ms.

Targets (--check, exit status 1): tokens per CPU second >= 1.0 of the peer at each k; driver <= 3 %
of a 10 ms step.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.engine import llama
from agent.engine.routed import Routed
from agent.engine.strategy import Choice
from evals.bench.exact import FREE, TRACE, Bench
from evals.bench.inflate import MINI

SERVER = Path(__file__).with_name("peer_server.py")
STEP_US = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side did for all prompts."""

    texts: tuple[str, ...]
    tokens: int
    drafted: int
    accepted: int
    cpu_s: float


def ours(bench: Bench, prompts: list[str], k: int, tokens: int) -> Side:
    model = bench.engine.model
    texts, drafted, accepted = [], 0, 0
    began = time.process_time()
    for prompt in prompts:
        choice = Choice(arm="mtp" if k else "plain", draft_length=k or None, reason="peer", least=1)
        routed = Routed(choice, costs=FREE, mtp=bench.engine.session.mtp, copy=None)
        found = bench.decode(model.tokenize(prompt, special=True), routed, tokens)
        texts.append(b"".join(map(model.piece, found)).decode("utf-8", "replace"))
        drafted += bench.stats.drafted
        accepted += bench.stats.accepted
    return Side(
        texts=tuple(texts),
        tokens=tokens * len(prompts),
        drafted=drafted,
        accepted=accepted,
        cpu_s=time.process_time() - began,
    )


def theirs(python: str, model: Path, prompts: list[str], k: int, tokens: int) -> Side:
    done = subprocess.run(
        [python, str(SERVER), str(model), str(k), str(tokens)],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"texts"')]
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise SystemExit(f"the peer does not run with {python}: {reason}")
    raw: dict[str, Any] = json.loads(lines[-1])
    return Side(**raw | {"texts": tuple(raw["texts"])})


def margin(bench: Bench, prompt: str, other: str, tokens: int) -> float | None:
    """Of the two best logits where plain decoding first leaves the peer's text; None: nowhere."""
    model = bench.engine.model
    ids = model.tokenize(prompt, special=True)
    choice = Choice(arm="plain", draft_length=None, reason="peer")
    found = bench.decode(ids, Routed(choice, costs=FREE, mtp=None, copy=None), tokens)
    for at in range(len(found)):
        text = b"".join(map(model.piece, found[: at + 1])).decode("utf-8", "ignore")
        if not other.startswith(text):
            return bench.margin(ids, found, at)
    return None


def driver(bench: Bench, prompts: list[str], tokens: int) -> float:
    """CPU microseconds of a step with two drafts outside llama.cpp's decode."""
    inside, calls = 0.0, 0
    real = llama.Context.decode

    def timed(self: llama.Context, batch: llama.Batch) -> None:
        nonlocal inside, calls
        began = time.process_time()
        real(self, batch)
        inside += time.process_time() - began
        calls += self.options.kind == "target" and batch.size <= bench.engine.session.target.longest

    llama.Context.decode = timed  # type: ignore[method-assign]
    try:
        side = ours(bench, prompts, 2, tokens)
    finally:
        llama.Context.decode = real  # type: ignore[method-assign]
    return (side.cpu_s - inside) / max(calls, 1) * 1e6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.peer")
    parser.add_argument("--check", action="store_true", help="fewer rounds; exit 1 below targets")
    parser.add_argument("--python", default=sys.executable, help="one that has xllamacpp")
    parser.add_argument("--model", type=Path, default=MINI)
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    items = json.loads(TRACE.read_text(encoding="utf-8"))["items"]
    prompts = [i["prompt"] for i in items if i["group"] == "line_edit"]
    bench = Bench(args.model)
    ours(bench, prompts[:1], 2, 16)
    rounds = args.rounds or (2 if args.check else 5)
    drafts = (1, 2, 3) if args.check else (0, 1, 2, 3, 4)
    pairs: dict[int, list[tuple[Side, Side]]] = {k: [] for k in drafts}
    for _ in range(rounds):
        for k in drafts:
            pairs[k].append(
                (
                    ours(bench, prompts, k, args.tokens),
                    theirs(args.python, args.model, prompts, k, args.tokens),
                )
            )
    spent = driver(bench, prompts, args.tokens)
    ties = [
        (i, k, margin(bench, prompts[i], b, args.tokens))
        for k, found in pairs.items()
        for i, (a, b) in enumerate(zip(found[0][0].texts, found[0][1].texts, strict=True))
        if a != b
    ]
    bench.engine.close()
    figures: dict[str, Any] = {"driver_us": spent, "driver_share": spent / STEP_US}
    wrong = []
    print("| k | ours, ms CPU a token | peer | tokens per CPU second, ours / peer | same texts |")
    print("|---|---|---|---|---|")
    for k, found in pairs.items():
        ratio = statistics.median((p.cpu_s / p.tokens) / (o.cpu_s / o.tokens) for o, p in found)
        mine, other = (
            statistics.median(s.cpu_s / s.tokens for s in c) * 1e3 for c in zip(*found, strict=True)
        )
        same = sum(a == b for o, p in found for a, b in zip(o.texts, p.texts, strict=True))
        print(f"| {k} | {mine:.3f} | {other:.3f} | {ratio:.2f} | {same}/{rounds * len(prompts)} |")
        figures[f"k={k}"] = {"ratio": ratio, "sides": [asdict(s) for s in found[0]]}
        if ratio < 1.0:
            wrong.append(f"k={k}: {ratio:.2f} of the peer's tokens per CPU second")
    print(f"driver: {spent:.0f} µs a step of two drafts, {100 * spent / STEP_US:.2f} % of 10 ms")
    for i, k, gap in ties:
        where = "only ours drafted differs" if gap is None else f"margin {gap:.3f} there"
        print(f"text {i}, k={k}: unlike the peer's; {where} (best two logits)")
    if spent > 0.03 * STEP_US:
        wrong.append(f"driver: {spent:.0f} µs a step")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for line in wrong:
        print(f"MISSED {line}", file=sys.stderr)
    return 1 if wrong and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
