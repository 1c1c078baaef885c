"""What sessions save, and what a worker costs: start, first token, second turn, candidates, memory.

    python -m evals.bench.engine [--check] [--full] [--json FILE] [--model FILE.gguf]

  start       a worker from nothing to answering, and to its first token, with the shipped model
  second turn a prompt that shares its first 90 % with the one before, to its first token, against
              the same prompt cold; and after a restart, from the state on disk
  candidates  8 samples of one prompt in one batch, against 8 requests one after another. Those
              reuse the prompt too: what is compared is decoding
  memory      of the worker after answering

Without --model, second turn and candidates are measured on Mini inflated to 65 M (see inflate.py):
so small a model as Mini spends its time outside the weights. Rounds are interleaved, medians given.
Targets of --check: second turn ≤ 0.2 of cold, candidates ≥ 2.3, worker answering within 5 s.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.engine.engine import Engine, Query
from agent.engine.sampling import Sampling
from agent.types import DecodeHints
from evals.bench.inflate import MINI, SHAPES, inflate

CANDIDATES = 8
SHARED = 0.9
TARGETS = {"second turn": 0.2, "candidates": 2.3, "worker start s": 5.0}
PLAIN = DecodeHints(step_kind="edit", strategy="plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """`context` tokens of prompt, `tokens` of each answer."""

    rounds: int
    context: int
    tokens: int


def main() -> int:
    args = arguments()
    size = Size(rounds=9 if args.full else 5, context=1600, tokens=64)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="pm-bench-") as name:
        folder = Path(name)
        model = args.model or folder / "65m.gguf"
        if not args.model:
            inflate(MINI, model, SHAPES["65m"])
        figures["worker"] = workers(MINI, folder, 5 if args.full else 3)
        figures["sessions"] = sessions(model, folder / "prefixes", size)
        figures["candidates"] = candidates(model, size)
    show(figures)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    wrong = failures(figures)
    for line in wrong if args.check else ():
        print(f"FAILED {line}", file=sys.stderr)
    return 1 if wrong and args.check else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.engine")
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--model", type=Path, help="sessions and candidates on this one")
    return parser.parse_args()


# --------------------------------------------------------------------------- the worker


def workers(model: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds and MiB. Its cost curve is kept from the first start on, as in use."""
    import os

    import psutil

    from agent.serve.supervise import ensure_worker, stop_all, worker_status

    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    runtime = folder / "run"
    first, ready, token, memory = 0.0, [], [], []
    for i in range(rounds + 1):
        began = time.monotonic()
        endpoint = ensure_worker(model, runtime_dir=runtime, context=2048)
        up = time.monotonic() - began
        assert endpoint.uds is not None
        ask_one_token(endpoint.uds)
        if i == 0:
            first = up
        else:
            ready.append(up)
            token.append(time.monotonic() - began)
        (worker,) = worker_status(runtime)
        memory.append(psutil.Process(worker.pid).memory_info().rss / 2**20)
        stop_all(runtime)
    return {
        "first start s": round(first, 3),
        "start s": round(statistics.median(ready), 3),
        "start to first token s": round(statistics.median(token), 3),
        "memory MiB": round(statistics.median(memory), 1),
    }


def ask_one_token(uds: Path) -> None:
    import httpx2

    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "temperature": 0}
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(uds)), timeout=60) as http:
        http.post("http://worker/v1/chat/completions", json=body).raise_for_status()


# --------------------------------------------------------------------------- sessions


@contextmanager
def opened(model: Path, prefixes: Path | None = None) -> Iterator[Engine]:
    engine = Engine(model, n_ctx=2048, prefixes=prefixes)
    try:
        yield engine
    finally:
        engine.close()


def prompt_of(engine: Engine, round_: int, user: str, tokens: int) -> tuple[int, ...]:
    """A prompt whose system message is `SHARED` of `tokens`, another one in every round."""
    line = "def f{0}(items, limit):\n    return [i for i in items if i.size < limit][:{0}]\n"
    text = f"# round {round_}\n" + "".join(line.format(i + 97 * round_) for i in range(400))
    system = engine.model.tokenize("<|im_start|>system\n", special=True)
    system += engine.model.tokenize(text, special=False)[: int(tokens * SHARED) - len(system)]
    rest = engine.model.tokenize(f"<|im_end|>\n<|im_start|>user\n{user}", special=True)
    rest += engine.model.tokenize(" ".join(["and then"] * 400), special=False)
    end = engine.model.tokenize("<|im_end|>\n<|im_start|>assistant\n", special=True)
    return (*system, *rest[: tokens - len(system) - len(end)], *end)


def first_token(engine: Engine, prompt: tuple[int, ...]) -> tuple[float, int]:
    """Seconds to the first token, and how many of the prompt were not decoded for it."""
    query = Query(prompt=prompt, sampling=Sampling(), max_tokens=1, hints=PLAIN)
    began = time.monotonic()
    answer = engine.answer(query, lambda _: None, lambda: False)
    taken = time.monotonic() - began
    engine.session.settle()
    return taken, answer.reused_tokens


def sessions(model: Path, folder: Path, size: Size) -> dict[str, float]:
    """Cold, second turn, and the first turn of an engine started anew."""
    cold, warm, disk, loads, reused = [], [], [], [], 0
    with opened(model, folder) as engine:
        for i in range(size.rounds):
            seconds, none = first_token(engine, prompt_of(engine, i, "first", size.context))
            assert none < 100, "the rounds must not share their beginning"
            cold.append(seconds)
            seconds, reused = first_token(engine, prompt_of(engine, i, "second", size.context))
            warm.append(seconds)
    for i in range(size.rounds):
        began = time.monotonic()
        with opened(model, folder) as engine:
            loads.append(time.monotonic() - began)
            seconds, found = first_token(engine, prompt_of(engine, i, "third", size.context))
            assert found > 0.8 * size.context, "the state was not found on disk"
            disk.append(seconds)
    base = statistics.median(cold)
    return {
        "prompt tokens": size.context,
        "reused tokens": reused,
        "cold s": round(base, 4),
        "second turn s": round(statistics.median(warm), 4),
        "second turn / cold": round(statistics.median(warm) / base, 4),
        "after a restart / cold": round(statistics.median(disk) / base, 4),
        "load s": round(statistics.median(loads), 4),
    }


# --------------------------------------------------------------------------- candidates


def candidates(model: Path, size: Size) -> dict[str, float]:
    """Tokens per second of 8 at once and of 8 one after another, both with the prompt at hand."""
    together, apart = [], []
    with opened(model) as engine:
        prompt = prompt_of(engine, 0, "once", 400)
        for i in range(size.rounds):
            together.append(speed(engine, prompt, [CANDIDATES], i, size.tokens))
            apart.append(speed(engine, prompt, [1] * CANDIDATES, i, size.tokens))
    ratios = [a / b for a, b in zip(together, apart, strict=True)]
    return {
        "8 at once tokens/s": round(statistics.median(together), 1),
        "8 runs tokens/s": round(statistics.median(apart), 1),
        "ratio": round(statistics.median(ratios), 3),
    }


def sample(engine: Engine, prompt: tuple[int, ...], n: int, seed: int, tokens: int) -> int:
    """Output tokens of one request; its text differs with the seed."""
    sampling = Sampling(temperature=1.0, seed=seed)
    query = Query(prompt=prompt, sampling=sampling, max_tokens=tokens, n=n, hints=PLAIN)
    return engine.answer(query, lambda _: None, lambda: False).output_tokens


def speed(
    engine: Engine, prompt: tuple[int, ...], requests: list[int], round_: int, tokens: int
) -> float:
    """Tokens per second of requests for so many samples each."""
    began = time.monotonic()
    made = [sample(engine, prompt, n, 97 * round_ + i, tokens) for i, n in enumerate(requests)]
    return sum(made) / (time.monotonic() - began)


# --------------------------------------------------------------------------- words


def show(figures: dict[str, Any]) -> None:
    for part, rows in figures.items():
        print(f"\n{part}")
        for name, value in rows.items():
            print(f"  {name:<28}{value:>12}")


def failures(figures: dict[str, Any]) -> list[str]:
    found = (
        ("second turn", figures["sessions"]["second turn / cold"], False),
        ("candidates", figures["candidates"]["ratio"], True),
        ("worker start s", figures["worker"]["start s"], False),
    )
    return [
        f"{name}: {value} (target {'≥' if higher else '≤'} {TARGETS[name]})"
        for name, value, higher in found
        if (value < TARGETS[name] if higher else value > TARGETS[name])
    ]


if __name__ == "__main__":
    sys.exit(main())
