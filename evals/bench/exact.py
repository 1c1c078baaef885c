"""Drafts never change the output: every way of decoding against plain, token by token.

    python -m evals.bench.exact [--check | --full] [--model GGUF] [--json FILE]

Pointsman Mini, as shipped (Q8_0) and as F32, continues texts of the decoding trace greedily and
never ends: by fixed MTP k = 1 to 6, copied runs of up to 32 from its own answer with every 37th
token changed, both combined, passes of one width, as routed, and with drafts that are partly right
and mostly nonsense (runs of 0 to 32 right, then 0 to 32 wrong tokens). A text is exact when it is
that of plain decoding, token for token, or when at the first difference the best two logits, after
a fresh prefill, are within 1e-4: kernels of another width may round such a tie otherwise.

--check: 12 prompts x 96 tokens; --full: 50 x 256. Exit status 1 when a text is not exact.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.engine.costs import Costs
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.engine import Engine
from agent.engine.generate import Job, Proposer, generate
from agent.engine.routed import Routed
from agent.engine.sampling import Sampler, Sampling
from agent.engine.strategy import Arm, Choice
from evals.bench.inflate import MINI, inflate, read_shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRACE = Path(__file__).with_name("decode_trace.json")
TIE = 1e-4
EVERY = 37
FREE = Costs(
    verify=(0.0, *(1 + 0.01 * n for n in range(9))),
    wide=(1.1, 1.12, 1.14, 1.16, 1.18, 1.2),
    mtp_first=0.01,
    mtp_row=0.01,
)
"""Drafts cost nothing: the longest are taken, so that the most is put to the test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One way of decoding on one model. `ties`: texts that differ from a near-tie on."""

    model: str
    way: str
    texts: int
    tokens: int
    exact: int
    ties: int
    margins: tuple[float, ...]
    """Of the texts that are wrong: the distance of the best two logits."""
    drafted: int
    accepted: int
    longest: int
    """Longest run of drafts accepted in one pass."""


class Endless(Sampler):
    """Greedy, but for the tokens that end a text."""

    def __init__(self, ends: Sequence[int]) -> None:
        super().__init__(Sampling())
        self._ends = list(ends)

    def pick(self, row: "NDArray[np.float32]", history: Sequence[int], position: int) -> int:
        best = int(row.argmax())
        if best not in self._ends:
            return best
        row = row.copy()
        row[self._ends] = -float("inf")
        return int(row.argmax())


class Nonsense:
    """Drafts some right tokens and some wrong ones, by turns."""

    name = "nonsense"
    _SCRIPT = ((0, 32), (32, 0), (1, 31), (7, 2), (24, 8), (32, 0), (9, 9), (8, 0), (0, 1), (23, 9))

    def __init__(self, truth: Sequence[int], vocabulary: int) -> None:
        self._truth, self._vocabulary, self._done, self._step = truth, vocabulary, 0, 0

    def propose(self, token: int, room: int) -> Sequence[int]:
        right, wrong = self._SCRIPT[self._step % len(self._SCRIPT)]
        self._step += 1
        good = self._truth[self._done : self._done + right]
        bad = [(token * 31 + 17 * i + self._step) % self._vocabulary for i in range(wrong)]
        return [*good, *bad][:room]

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        self._done += len(committed)


class Longest:
    """Passes everything on, and notes the longest run accepted."""

    def __init__(self, inner: Proposer) -> None:
        self._inner, self.name, self.found = inner, inner.name, 0

    def propose(self, token: int, room: int) -> Sequence[int]:
        return self._inner.propose(token, room)

    def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
        self.found = max(self.found, accepted)
        self._inner.judged(drafted, accepted, committed)


class Bench:
    """One model and the ways to decode with it."""

    def __init__(self, model: Path) -> None:
        self.engine = Engine(model, n_ctx=2048, threads=1)
        vocabulary = self.engine.model.n_vocab
        ends = [t for t in range(vocabulary) if self.engine.model.is_end(t)]
        self._sampler = Endless(ends)

    def ways(self) -> list[str]:
        fixed = [f"mtp:{k}" for k in range(1, 7)] if self.engine.session.mtp else []
        return [*fixed, "copy", "combined", "width:1", "width:3", "routed", "nonsense"]

    def decode(self, prompt: Sequence[int], proposer: Proposer, n: int) -> tuple[int, ...]:
        session = self.engine.session
        row = session.begin(prompt, fresh=True).row
        job = Job(
            sampler=self._sampler,
            proposer=proposer,
            max_tokens=n,
            drafters=(session.mtp,) if session.mtp else (),
        )
        running = generate(session.target, row, job)
        while True:
            try:
                next(running)
            except StopIteration as stop:
                self.stats = stop.value.stats
                tokens: tuple[int, ...] = stop.value.tokens
                return tokens

    def proposer(self, way: str, prompt: Sequence[int], plain: Sequence[int]) -> Proposer:
        name, _, k = way.partition(":")
        if name == "nonsense":
            return Nonsense(plain, self.engine.model.n_vocab)
        arms: dict[str, Arm] = {"width": "combined", "routed": "combined"}
        arm: Arm = arms.get(name, name)  # type: ignore[arg-type]
        edited = [t + 1 if i % EVERY == EVERY - 1 else t for i, t in enumerate(plain)]
        return Routed(
            Choice(
                arm=arm,
                draft_length=int(k) if k else None,
                reason="exactness",
                least=1 if name in ("mtp", "copy", "combined") else 0,
                fixed_width=name == "width",
            ),
            costs=self.engine.costs if name == "routed" else FREE,
            mtp=self.engine.session.mtp,
            copy=CopyDrafter([edited], prompt) if arm in ("copy", "combined") else None,
        )

    def margin(self, prompt: Sequence[int], plain: Sequence[int], at: int) -> float:
        """Between the best two logits for token `at`, after a fresh prefill."""
        import numpy as np

        row = self.engine.session.begin([*prompt, *plain[:at]], fresh=True).row
        second, best = np.partition(row, -2)[-2:]
        return float(best - second)


def judge(bench: Bench, name: str, prompts: Sequence[Sequence[int]], n: int) -> list[Result]:
    class _Plain:
        name = "plain"

        def propose(self, token: int, room: int) -> Sequence[int]:
            return ()

        def judged(self, drafted: int, accepted: int, committed: Sequence[int]) -> None:
            pass

    truth = [bench.decode(p, _Plain(), n) for p in prompts]
    found = []
    for way in bench.ways():
        exact = ties = drafted = accepted = longest = 0
        wrong: list[float] = []
        for prompt, plain in zip(prompts, truth, strict=True):
            proposer = Longest(bench.proposer(way, prompt, plain))
            tokens = bench.decode(prompt, proposer, n)
            drafted, accepted = drafted + bench.stats.drafted, accepted + bench.stats.accepted
            longest = max(longest, proposer.found)
            if tokens == plain:
                exact += 1
                continue
            pairs = enumerate(zip(tokens, plain, strict=False))
            at = next((i for i, (a, b) in pairs if a != b), min(len(tokens), len(plain)))
            margin = bench.margin(prompt, plain, at)
            if margin < TIE:
                ties += 1
            else:
                wrong.append(margin)
        found.append(
            Result(
                model=name,
                way=way,
                texts=len(prompts),
                tokens=sum(map(len, truth)),
                exact=exact,
                ties=ties,
                margins=tuple(wrong),
                drafted=drafted,
                accepted=accepted,
                longest=longest,
            )
        )
    return found


def texts(count: int) -> list[str]:
    """Prompts of the trace, then their forced texts cut in half, in its order."""
    items = json.loads(TRACE.read_text(encoding="utf-8"))["items"]
    halves = [i["text"][: len(i["text"]) // 2] for i in items if i["text"]]
    quarters = [i["text"][: len(i["text"]) // 4] for i in items if i["text"]]
    return [*(i["prompt"] for i in items), *halves, *quarters][:count]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.exact")
    parser.add_argument("--check", action="store_true", help="12 prompts x 96 tokens")
    parser.add_argument("--full", action="store_true", help="50 prompts x 256 tokens (the default)")
    parser.add_argument("--model", type=Path, help="this one only")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    count, n = (12, 96) if args.check else (50, 256)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        models = {args.model.stem: args.model} if args.model else {"Q8_0": MINI}
        if not args.model:
            models["F32"] = Path(folder) / "f32.gguf"
            inflate(MINI, models["F32"], read_shape(MINI), kind="f32")
        for name, path in models.items():
            bench = Bench(path)
            prompts = [bench.engine.model.tokenize(t, special=True) for t in texts(count)]
            results += judge(bench, name, prompts, n)
            bench.engine.close()
    print(f"{count} prompts x {n} tokens")
    print("| model | way | exact | near-ties | wrong (margins) | accepted / drafted | longest |")
    print("|---|---|---|---|---|---|---|")
    for r in results:
        margins = ", ".join(f"{m:.4f}" for m in r.margins) or "0"
        print(
            f"| {r.model} | {r.way} | {r.exact} | {r.ties} | {margins} "
            f"| {r.accepted} / {r.drafted} | {r.longest} |"
        )
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in results], indent=1), encoding="utf-8")
    return 1 if any(r.margins for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
