"""Mini in a process of its own, so that its memory is its own: run by `evals.bench.mini`."""

import json
import resource
import sys
import time
from pathlib import Path

from agent.engine.engine import Engine, Query
from agent.engine.sampling import Sampling

MINI = Path(__file__).parents[2] / "agent" / "models" / "pointsman-mini.gguf"
PROMPT = "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
ROUNDS = 5


def main() -> int:
    began = time.perf_counter()
    engine = Engine(MINI, n_ctx=2048, threads=2)
    load_s = time.perf_counter() - began
    prompt = tuple(engine.model.tokenize(PROMPT, special=False))
    rates = []
    for number in range(ROUNDS):
        query = Query(prompt=prompt, sampling=Sampling(temperature=1.0, seed=number), max_tokens=64)
        began = time.perf_counter()
        answer = engine.answer(query, lambda text: None, lambda: False)
        rates.append(answer.output_tokens / (time.perf_counter() - began))
    engine.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"load_s": load_s, "memory_mb": peak, "tokens_per_s": sorted(rates)[ROUNDS // 2]}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
