"""Decoding strategies side by side: plain, MTP k, copy, combined, routed, over one trace.

    python -m evals.bench.decode [--check | --full] [--json FILE] [--log FILE] [--model GGUF]

Every arm decodes every item of `decode_trace.json` in every round, in an order that turns. The
figure is tokens per CPU second of decoding, with the building of the copy index and all Python
around it; ratios are medians over rounds of arm / plain within the round. Groups:

  rewrite search_replace new_code prose json   FORCED: the texts are given and MTP's acceptance is
      set (per item, falling 3 % by position, independent of the text). All costs are real, copying
      is real, only which MTP drafts come true is not.
  line_edit                                    written by the model itself, acceptance real
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.engine.calibration import calibrate
from agent.engine.drafters.mtp import MtpDrafter
from agent.engine.engine import Engine, Query
from agent.engine.generate import Generated, Job, generate
from agent.engine.routed import Chained, Decision
from agent.engine.sampling import Sampler, Sampling
from agent.engine.watch import Pace
from agent.types import DecodeHints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRACE = Path(__file__).with_name("decode_trace.json")
MINI = Path(__file__).parents[2] / "agent" / "models" / "pointsman-mini.gguf"
ARMS = ("plain", "mtp:1", "mtp:2", "mtp:3", "mtp:4", "copy", "combined", "routed")
Strategy = Literal["auto", "plain", "mtp", "copy", "combined"]

LEAST_OF_PLAIN = 0.97
"""Routed against plain, in every group."""


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

    def __init__(self, model: Path, *, threads: int, log: Path | None) -> None:
        self.engine = Engine(model, n_ctx=2048, threads=threads)
        self.self_test = self.engine.self_test()
        costs = calibrate(self.engine.session, budget_s=20.0)
        if costs is None:
            raise SystemExit("calibration did not finish within 20 s")
        self.engine.costs = costs
        self._paces: dict[str, Pace] = {}
        """Each arm knows only what it has seen itself."""
        self._starts: dict[str, Start] = {}
        self._log = log.open("a", encoding="utf-8") if log else None

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
        """Decode once; CPU seconds of this process."""
        start, session = self.start(item), self.engine.session
        session.target.restore(start.target, start.tokens)
        if session.mtp and start.mtp:
            session.mtp.restore(start.mtp, len(start.tokens))
        query, decisions = self._query(item, arm, start, longest), list[Decision]()
        self.engine.pace = self._paces.setdefault(arm, Pace(self.engine.costs))
        if self._log and arm == "routed":
            self.engine.on_decision = decisions.append
        began = time.process_time()
        done = self._decode(query, item, start)
        spent = time.process_time() - began
        self.engine.on_decision = None
        for decision in decisions:
            self._write({"item": item.name, "group": item.group}, decision)
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

    def _write(self, head: dict[str, str], decision: Decision) -> None:
        assert self._log is not None
        self._log.write(json.dumps(head | asdict(decision)) + "\n")


@dataclass(slots=True)
class Tally:
    """Tokens and CPU seconds by (group, arm), one entry a round."""

    tokens: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    drafted: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    unlike: int = 0
    """Texts of the model's own that an arm wrote otherwise than plain."""
    rounds: int = 0

    def begin(self) -> None:
        self.rounds += 1

    def add(self, group: str, arm: str, done: Generated, seconds: float) -> None:
        for key in ((group, arm), ("all", arm)):
            for store, value in (
                (self.tokens, len(done.tokens)),
                (self.seconds, seconds),
                (self.drafted, done.stats.drafted),
            ):
                column: list[Any] = store.setdefault(key, [])
                if len(column) < self.rounds:
                    column.append(0)
                column[-1] += value

    def speed(self, group: str, arm: str) -> float:
        """Median tokens per CPU second."""
        pairs = zip(self.tokens[group, arm], self.seconds[group, arm], strict=True)
        return statistics.median(n / s for n, s in pairs)

    def ratio(self, group: str, arm: str, other: str = "plain") -> float:
        """Median over rounds of the arm's speed over the other's in the same round."""
        return statistics.median(
            (n / s) / (m / t)
            for n, s, m, t in zip(
                self.tokens[group, arm],
                self.seconds[group, arm],
                self.tokens[group, other],
                self.seconds[group, other],
                strict=True,
            )
        )


def measure(
    bench: Bench, items: Sequence[Item], arms: Sequence[str], args: argparse.Namespace
) -> Tally:
    """Rounds until their number or the time is reached; at least one."""
    tally, began = Tally(), time.monotonic()
    random_ = random.Random(1)
    for item in items:
        bench.run(item, "plain", args.tokens)  # decodes the prompt, warms up
    for _ in range(args.rounds):
        tally.begin()
        for item in items:
            order = list(arms)
            random_.shuffle(order)
            texts = {}
            for arm in order:
                done, seconds = bench.run(item, arm, args.tokens)
                tally.add(item.group, arm, done, seconds)
                texts[arm] = done.tokens
            tally.unlike += sum(t != texts["plain"] for t in texts.values())
        if time.monotonic() - began > args.budget:
            break
    return tally


def groups_of(items: Sequence[Item]) -> list[str]:
    return [*dict.fromkeys(item.group for item in items), "all"]


def table(tally: Tally, groups: Sequence[str], arms: Sequence[str]) -> Iterator[str]:
    """Markdown: tokens per CPU second of plain, then each arm's ratio to it."""
    yield f"| group | plain tok/s | {' | '.join(a for a in arms if a != 'plain')} |"
    yield "|" + "---|" * (len(arms) + 1)
    for group in groups:
        ratios = [f"{tally.ratio(group, a):.2f}" for a in arms if a != "plain"]
        yield f"| {group} | {tally.speed(group, 'plain'):.0f} | {' | '.join(ratios)} |"


def failures(tally: Tally, groups: Sequence[str]) -> list[str]:
    found = []
    for group in groups:
        ratio = tally.ratio(group, "routed")
        if ratio < LEAST_OF_PLAIN:
            found.append(f"{group}: routed {ratio:.3f} of plain, at least {LEAST_OF_PLAIN}")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals.bench.decode")
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--log", type=Path, help="append every decision of routed there")
    parser.add_argument("--model", type=Path, default=MINI)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--budget", type=float, help="seconds after which no round begins")
    parser.add_argument("--tokens", type=int, default=1 << 20, help="most tokens of an item")
    parser.add_argument("--items", type=int, default=1 << 20, help="most items of a group")
    parser.add_argument("--arms", default=",".join(ARMS))
    args = parser.parse_args()
    args.rounds = args.rounds or (25 if args.full else 7)
    args.budget = args.budget or (1200.0 if args.full else 90.0)
    return args


def chosen(trace: dict[str, Any], most: int) -> list[Item]:
    items = [Item(**(raw | {"sources": tuple(raw["sources"])})) for raw in trace["items"]]
    by_group = [[i for i in items if i.group == g][:most] for g in groups_of(items)]
    return [item for members in by_group for item in members]


def main() -> int:
    args = arguments()
    arms = tuple(args.arms.split(","))
    trace = json.loads(TRACE.read_text(encoding="utf-8"))
    items = chosen(trace, args.items)
    bench = Bench(args.model, threads=args.threads, log=args.log)
    tally = measure(bench, items, arms, args)
    groups = groups_of(items)
    print(
        f"{args.model.name}, {args.threads} thread(s), {tally.rounds} rounds of {len(items)} items"
    )
    print(f"costs: {json.dumps(asdict(bench.engine.costs))}")
    print("\n".join(table(tally, groups, arms)))
    print(f"texts unlike plain: {tally.unlike}")
    if args.json:
        figures = {g: {a: round(tally.ratio(g, a), 4) for a in arms} for g in groups}
        speeds = {g: round(tally.speed(g, "plain"), 1) for g in groups}
        result = {"trace": trace["commit"], "ratio_to_plain": figures, "plain_tokens_per_s": speeds}
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    wrong = failures(tally, groups) if args.check else []
    for line in wrong:
        print(f"FAILED {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
