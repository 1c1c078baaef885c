"""The peer of `evals.bench.peer`: an xllamacpp server in this process, one line of JSON out.

    python evals/bench/peer_server.py MODEL K TOKENS < PROMPTS.json

Needs xllamacpp and nothing of ours, so that it can run in an environment of its own. K = 0 decodes
without drafts. The line: texts (token ids are not told), tokens, drafted, accepted, and CPU seconds
of the whole process while it answered.
"""

import json
import sys
import time
from typing import Any


def main() -> int:
    model, k, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    prompts = json.load(sys.stdin)
    import xllamacpp as peer

    params = peer.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel = 1024, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 1
    params.warmup = True
    if k:
        params.speculative.types = [peer.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_MTP]
        params.speculative.draft.n_max = k
        params.speculative.draft.n_min = 0
        params.speculative.draft.p_min = 0.0
    server = peer.Server(params)

    def answer(prompt: str) -> dict[str, Any]:
        asked = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        given = server.handle_completions(asked)
        found: dict[str, Any] = json.loads(given) if isinstance(given, str | bytes) else given
        return found

    answer(prompts[0])
    began = time.process_time()
    answers = [answer(p) for p in prompts]
    spent = time.process_time() - began
    timings = [a.get("timings") or {} for a in answers]
    print(
        json.dumps(
            {
                "texts": [a.get("content") or a["choices"][0]["text"] for a in answers],
                "tokens": sum(t.get("predicted_n", 0) for t in timings),
                "drafted": sum(t.get("draft_n", 0) for t in timings),
                "accepted": sum(t.get("draft_n_accepted", 0) for t in timings),
                "cpu_s": spent,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
