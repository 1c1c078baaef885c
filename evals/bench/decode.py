"""Decoding strategies side by side: plain, MTP k, copy, combined, routed, over one trace.

    python -m evals.bench.decode [--check | --full] [--shape SHAPE] [--json FILE] [--log FILE]

Without --shape (or --model GGUF) two are measured: Pointsman Mini as shipped (3 M parameters), and
the same inflated to 65 M. The shapes of Qwen3.5-0.8B, 4B and Qwen3.6-27B are there too (see
inflate.py): what their weights and their vocabulary of 248,320 cost, at Mini's real acceptance.

Every arm decodes every item of `decode_trace.json` in every round, in an order that turns. The
figure is tokens per CPU second of decoding (per second where a GPU is used), with the building of
the copy index and all Python around it; ratios are medians over rounds of arm / plain within the
round. Groups:

  rewrite search_replace new_code prose json   FORCED: the texts are given and MTP's acceptance is
      set (per item, falling 3 % by position, independent of the text). All costs are real, copying
      is real, only which MTP drafts come true is not.
  line_edit                                    written by the model itself, acceptance real

The shortest text of each group may stand for it (--items 1), and plain decoding, which takes the
same time everywhere in a text, may be measured on its first tokens only (--few).

Targets: see decode_plan.py; what is reached, and why not all, in `evals/bench/decode.md`.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.engine.calibration import calibrate, curve_file, load_costs, store_costs
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.engine import Engine, Query
from agent.engine.generate import Generated, Job, generate
from agent.engine.llama import gpu_build
from agent.engine.replay import Recorder
from agent.engine.routed import Chained
from agent.engine.sampling import Sampler, Sampling
from agent.engine.watch import Pace
from agent.types import DecodeHints
from evals.bench.decode_plan import ALL, Plan, arguments, failures, plans
from evals.bench.decode_tally import Tally, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRACE = Path(__file__).with_name("decode_trace.json")
Strategy = Literal["auto", "plain", "mtp", "copy", "combined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """See decode_trace.Item, where they are made."""

    group: str
    name: str
    kind: Any
    edit_format: Any
    prompt: str
    sources: tuple[str, ...]
    text: str
    acceptance: float


@dataclass(slots=True)
class Start:
    """The context after an item's prompt, so that every arm starts from the same."""

    tokens: tuple[int, ...]
    row: "NDArray[np.float32]"
    target: bytes
    mtp: "tuple[bytes, NDArray[np.float32]] | None"
    forced: tuple[int, ...]


class Forced(Sampler):
    """Looks at the row as greedy decoding does, and says the given token."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__(Sampling())
        self._tokens = tokens

    def pick(self, row: "NDArray[np.float32]", history: Sequence[int], position: int) -> int:
        super().pick(row, history, position)
        return self._tokens[position]


class SetAcceptance:
    """The model's own MTP drafter at work, its drafts replaced: right as often as set."""

    def __init__(
        self, real: MtpDrafter, start: Start, rate: float, length: "Sequence[int]"
    ) -> None:
        """`length`: the target's tokens so far, read at every draft."""
        self._real, self._tokens, self._rate = real, start.forced, rate
        self._prompt, self._length = len(start.tokens), length
        dice = random.Random(len(start.tokens))
        self._dice = [dice.random() for _ in range(4096)]

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> Sequence[int]:
        at = len(self._length) - self._prompt + 1
        drafts = []
        for j, right in enumerate(self._tokens[at : at + k]):
            dice = self._dice[(at * 31 + j * 7) % len(self._dice)]
            drafts.append(right if dice < self._rate * 0.97**j else (right + 1) % 256)
        if drafts and expected and drafts[0] == expected[0]:
            drafts = drafts[:1]
        self._real.draft(token, len(drafts))
        return drafts


class Bench:
    """One engine and the trace's items ready to be decoded by any arm."""

    _clock = staticmethod(time.perf_counter if gpu_build() else time.process_time)

    def __init__(self, model: Path, *, threads: int, log: Path | None, cache: Path | None) -> None:
        self.engine = Engine(model, n_ctx=2048, threads=threads)
        self.self_test = self.engine.self_test()
        kept = curve_file(cache, model, threads) if cache else None
        costs = load_costs(kept) if kept else None
        if costs is None:
            costs = calibrate(self.engine.session, budget_s=20.0 + model.stat().st_size / 1e7)
        if costs is None:
            raise SystemExit("calibration did not finish in time")
        if kept:
            store_costs(kept, costs)
        self.engine.costs = costs
        self._paces: dict[str, Pace] = {}
        """Each arm knows only what it has seen itself."""
        self._starts: dict[str, Start] = {}
        self._recorder = Recorder(log) if log else None

    def start(self, item: Item) -> Start:
        found = self._starts.get(item.prompt)
        if found is None:
            session, model = self.engine.session, self.engine.model
            tokens = tuple(model.tokenize(item.prompt, special=True))
            row = session.begin(tokens, fresh=True).row.copy()
            found = Start(
                tokens=tokens,
                row=row,
                mtp=session.mtp.save() if session.mtp else None,
                target=session.target.save(),
                forced=tuple(model.tokenize(item.text, special=False)),
            )
            self._starts[item.prompt] = found
        return found

    def run(self, item: Item, arm: str, longest: int) -> tuple[Generated, float]:
        """Decode once; CPU seconds of this process (seconds with a GPU)."""
        start, session = self.start(item), self.engine.session
        session.target.restore(start.target, start.tokens)
        if session.mtp and start.mtp:
            session.mtp.restore(start.mtp, len(start.tokens))
        query = self._query(item, arm, start, longest)
        self.engine.pace = self._paces.setdefault(arm, Pace(self.engine.costs))
        self.engine.recorder = self._recorder if arm == "routed" else None
        began = self._clock()
        done = self._decode(query, item, start)
        spent = self._clock() - began
        if self.engine.recorder:
            self.engine.recorder.end()
        return done, spent

    def _decode(self, query: Query, item: Item, start: Start) -> Generated:
        session = self.engine.session
        mtp: Chained | None = None
        sampler = Sampler(Sampling())
        if start.forced:
            sampler = Forced(start.forced)
            if session.mtp:
                mtp = SetAcceptance(session.mtp, start, item.acceptance, session.target.tokens)
        _, routed = self.engine.route(query, mtp=mtp)
        job = Job(
            sampler=sampler,
            proposer=routed,
            max_tokens=query.max_tokens,
            drafters=(session.mtp,) if session.mtp else (),
        )
        running = generate(session.target, start.row, job)
        while True:
            try:
                next(running)
            except StopIteration as stop:
                done: Generated = stop.value
                return done

    def _query(self, item: Item, arm: str, start: Start, longest: int) -> Query:
        name, _, k = arm.partition(":")
        wanted: Strategy = "auto" if name == "routed" else name  # type: ignore[assignment]
        return Query(
            prompt=start.tokens,
            sampling=Sampling(),
            max_tokens=min(len(start.forced) or 48, longest),
            copy_sources=item.sources,
            hints=DecodeHints(
                step_kind=item.kind,
                edit_format=item.edit_format,
                strategy=wanted,
                draft_length=int(k) if k else None,
            ),
        )


def measure(bench: Bench, items: Sequence[Item], plan: Plan) -> Tally:
    """Rounds until their number is reached and the targets are met, or the time is over."""
    tally, began = Tally(), time.monotonic()
    random_ = random.Random(1)
    for item in items:
        bench.run(item, "plain", 1)  # decodes the prompt
    while True:
        tally.begin()
        for item, arms in planned(items, plan):
            order = list(arms)
            random_.shuffle(order)
            into = (item.group, "all") if arms == plan.arms else (item.group,)
            texts = {}
            for arm in order:
                done, seconds = bench.run(item, arm, plan.longest(arm, item.group))
                tally.add(into, arm, done, seconds)
                texts[arm] = done.tokens
            tally.unlike += sum(_unlike(t, texts["plain"]) for t in texts.values())
        spent = time.monotonic() - began
        enough = tally.rounds >= plan.rounds and not failures(tally, groups_of(items), plan)
        # The next round takes as long as one did: stay within the budget.
        if enough or spent * (tally.rounds + 1) / tally.rounds > plan.budget:
            return tally


def planned(items: Sequence[Item], plan: Plan) -> Iterator[tuple[Item, tuple[str, ...]]]:
    """Each item with its arms: in the groups of `plan.whole`, where not all items are measured by
    all arms, only the shortest is; the others by plain and routed."""
    alone = plan.items != ALL and len(plan.arms) > 2
    for item in items:
        rivals = [i for i in items if i.group == item.group]
        rest = alone and item.group in plan.whole and item is not min(rivals, key=_length)
        yield item, ("plain", "routed") if rest else plan.arms


def _length(item: Item) -> int:
    return len(item.text)


def _unlike(one: Sequence[int], other: Sequence[int]) -> bool:
    return any(a != b for a, b in zip(one, other, strict=False))


def groups_of(items: Sequence[Item]) -> list[str]:
    return [*dict.fromkeys(item.group for item in items), "all"]


def chosen(trace: dict[str, Any], plan: Plan) -> list[Item]:
    items = [Item(**(raw | {"sources": tuple(raw["sources"])})) for raw in trace["items"]]
    by_group = [[i for i in items if i.group == g] for g in groups_of(items)]
    # The model's own answers are short: all of them, or noise is all that is seen, where plain
    # decoding is not cut short either.
    all_own = plan.few == ALL
    found = []
    for members in by_group:
        name, own = (members[0].group, not members[0].text) if members else ("", False)
        if name in (plan.groups or name):
            whole = name in plan.whole or (own and all_own)
            found += members if whole else sorted(members, key=_length)[: plan.items]
    return found


def report(plan: Plan, bench: Bench, tally: Tally, groups: Sequence[str]) -> dict[str, Any]:
    """Print the tables of one model; its figures for --json."""
    costs = asdict(bench.engine.costs)
    size = plan.model.stat().st_size / 2**20
    print(f"\n{plan.name}: {size:.0f} MiB, {tally.rounds} round(s), costs {json.dumps(costs)}")
    print("\n".join(table(tally, groups, plan.arms)))
    print(f"texts of its own unlike plain: {tally.unlike}")
    return {
        "costs": costs,
        "rounds": tally.rounds,
        "plain_tokens_per_cpu_s": {g: round(tally.speed(g, "plain"), 1) for g in groups},
        "ratio_to_plain": {g: {a: round(tally.ratio(g, a), 4) for a in plan.arms} for g in groups},
        "acceptance": {a: round(tally.accepted[a] / max(tally.drafts[a], 1), 4) for a in plan.arms},
    }


def main() -> int:
    args = arguments()
    trace = json.loads(TRACE.read_text(encoding="utf-8"))
    figures: dict[str, Any] = {"trace": trace["commit"]}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for plan in plans(args, args.cache or Path(folder)):
            items = chosen(trace, plan)
            bench = Bench(plan.model, threads=args.threads, log=args.log, cache=args.cache)
            tally = measure(bench, items, plan)
            figures[plan.name] = report(plan, bench, tally, groups_of(items))
            wrong += failures(tally, groups_of(items), plan)
            bench.engine.close()
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for line in wrong if args.check else ():
        print(f"FAILED {line}", file=sys.stderr)
    return 1 if wrong and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
