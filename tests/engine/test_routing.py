"""Decisions of a request: acceptance, segments, combination, stop-loss, replay. No model."""

import random
from collections.abc import Sequence

import pytest

from agent.engine.acceptance import CopyMeter, PositionMeter, mtp_prior
from agent.engine.costs import Costs
from agent.engine.drafters.copy import CopyDrafter
from agent.engine.routed import Decision, Routed
from agent.engine.segments import Segment, Segments
from agent.engine.strategy import Arm, Choice, choose
from agent.engine.watch import Pace
from agent.types import EditFormatName, StepKind

CHEAP = Costs(verify=(0, 1, *(1 + 0.02 * n for n in range(1, 9))), mtp_row=0.05, mtp_first=0.1)


class Head:
    """An MTP drafter that says what it is told."""

    def __init__(self, *drafts: Sequence[int]) -> None:
        self._drafts = list(drafts)
        self.calls: list[tuple[int, tuple[int, ...]]] = []

    def draft(self, token: int, k: int, expected: Sequence[int] = ()) -> Sequence[int]:
        self.calls.append((k, tuple(expected)))
        drafts = list(self._drafts.pop(0) if len(self._drafts) > 1 else self._drafts[0])[:k]
        return drafts[:1] if expected and drafts[:1] == list(expected[:1]) else drafts


def routed(
    arm: Arm, head: Head | None, copy: CopyDrafter | None = None, **fields: object
) -> Routed:
    choice = Choice(arm=arm, draft_length=None, reason="test")
    base: dict[str, object] = {"costs": CHEAP, "step_kind": "edit"}
    return Routed(choice, mtp=head, copy=copy, **(base | fields))  # type: ignore[arg-type]


def test_what_follows_a_rejected_draft_is_not_counted() -> None:
    meter = PositionMeter(0.8)
    for _ in range(60):
        meter.record(3, 1)
    first, second, third = meter.rates(3)
    assert first > 0.95, "always accepted"
    assert second < 0.2, "always rejected"
    assert third == pytest.approx(second), "never seen: moves with the one before"


def test_a_full_accept_says_nothing_about_the_position_beyond() -> None:
    meter = PositionMeter(0.5)
    for _ in range(60):
        meter.record(1, 1)
    assert meter.rates(2)[1] == pytest.approx(meter.rates(2)[0])


def test_segments_have_their_own_priors_and_unknown_clients_get_the_lower() -> None:
    assert mtp_prior("edit", "search") > mtp_prior("edit", "code") > mtp_prior("edit", "prose")
    assert mtp_prior(None, "code") < mtp_prior("edit", "code")


def test_a_run_that_came_true_is_trusted_more_and_search_bodies_most() -> None:
    meter = CopyMeter("replace")
    assert meter.rates(0, 20) == sorted(meter.rates(0, 20))
    assert CopyMeter("search").rate(0) > meter.rate(0)
    before = meter.rate(12)
    meter.record(12, hit=False)
    assert meter.rate(12) < before
    assert meter.rate(0) == CopyMeter("replace").rate(0)


@pytest.mark.parametrize(
    ("kind", "edit_format", "prompt", "text", "expected"),
    [
        (
            "edit",
            "search_replace",
            "",
            "a.py|\n<<<<<<< SEARCH\n|x = 1\n=======\n|x = 2\n>>>>>>> REPLACE\n|and",
            ["prose", "search", "replace", "prose"],
        ),
        ("edit", "symbol", "", "def f():\n|", ["code"]),
        ("chat", None, "", "So:\n```python\n|x\n```\n|Done", ["code", "prose"]),
        ("plan", None, "<think>\n", "hm\n|</think>|Plan:", ["thinking", "prose"]),
        ("plan", None, "", '{"a":\n 1|,\n "b": 2}|', ["json", "json"]),
        (None, None, "", "```json\n|{}\n```\n|", ["json", "prose"]),
    ],
)
def test_segments_follow_the_output(
    kind: StepKind | None, edit_format: EditFormatName | None, prompt: str, text: str,
    expected: list[Segment],
) -> None:  # fmt: skip
    def piece(token: int) -> bytes:
        return bytes([token])

    segments = Segments(piece, kind=kind, edit_format=edit_format, prompt=prompt.encode())
    found: list[Segment] = []
    for part in text.split("|")[:-1] or [text]:
        if part == "</think>":
            # One token in real vocabularies.
            segments = Segments(lambda _: b"</think>", kind=kind)
            segments.feed([0])
        else:
            segments.feed(part.encode())
        found.append(segments.now)
    assert found == expected


def test_constrained_output_is_json_whatever_it_says() -> None:
    segments = Segments(lambda t: bytes([t]), kind="plan", constrained="json")
    segments.feed(b"```python\nx")
    assert segments.now == "json"


def test_mtp_that_agrees_with_the_copy_is_extended_by_it() -> None:
    head = Head([12])
    one = routed("combined", head, CopyDrafter([[9, 10, 11, 12, 13, 14, 15, 16]], [1]))
    one.judged(0, 0, [9, 10, 11])
    one._watch._accounts["copy"].closed_for = 10**6  # copying alone has been stopped
    drafts = list(one.propose(11, 8))
    assert drafts[:2] == [12, 13]
    assert len(drafts) > 1, "one MTP draft was paid, the others were copied"
    assert head.calls[0][1][:1] == (12,)


def test_mtp_that_disagrees_marks_the_edit_point() -> None:
    copy = CopyDrafter([[9, 10, 11, 12, 13, 14, 15, 16]], [1])
    one = routed("combined", Head([99, 98, 97]), copy)
    one.judged(0, 0, [9, 10, 11, 12])
    one._watch._accounts["copy"].closed_for = 10**6
    assert copy.matched == 4
    assert list(one.propose(12, 3))[:1] == [99]
    assert copy.matched == 0


def test_copying_is_scored_while_it_is_not_used() -> None:
    dear = Costs(verify=(0, *range(1, 10)))
    copy = CopyDrafter([list(range(100, 160))], [1])
    one = routed("copy", None, copy, costs=dear)
    one.judged(0, 0, [100, 101, 102])
    before = one._meter()[1].rate(20)
    for token in range(103, 150):
        assert one.propose(token - 1, 8) == ()
        one.judged(0, 0, [token])
    assert one._meter()[1].rate(20) > before


def test_a_step_dearer_than_predicted_stops_drafting() -> None:
    """The curve says MTP pays; the clock says that its steps take five plain ones."""
    now = [0.0]
    costs = Costs(mtp_row=0.1, mtp_first=0.1, plain_s=0.01)
    pace = Pace(costs)
    head = Head([5, 6, 7, 8, 9, 10])
    one = routed("mtp", head, costs=costs, clock=lambda: now[0], pace=pace)
    one.judged(0, 0, [1])
    used = []
    for _ in range(400):
        drafts = one.propose(1, 8)
        now[0] += 0.05 if drafts else 0.01
        one.judged(len(drafts), 1 if drafts else 0, [5, 4] if drafts else [4])
        used.append(bool(drafts))
    assert used[0]
    assert sum(used[20:]) < 20
    assert pace.handicap("mtp") > 1.5
    after = choose(
        step_kind="edit",
        edit_format=None,
        wanted="auto",
        draft_length=None,
        has_mtp=True,
        copy_sources=0,
        costs=costs,
        handicap=pace.handicap("mtp"),
    )
    assert after.arm == "plain"
    assert "cannot pay" in after.reason
    for _ in range(5000):
        pace.plain(0.01)
    assert pace.handicap("mtp") < 1.2, "a busy hour is not held against it for ever"


def test_plain_steps_are_looked_at_where_all_else_is_drafted() -> None:
    """Plain decoding becomes four times as fast while MTP is in use; MTP then no longer pays."""
    now, costs = [0.0], Costs(mtp_row=0.1, mtp_first=0.1, plain_s=0.01)
    one = routed(
        "mtp", Head([5, 5, 5, 5, 5, 5]), costs=costs, clock=lambda: now[0], pace=Pace(costs)
    )
    one.judged(0, 0, [1])
    used = []
    for step in range(600):
        drafts = one.propose(1, 8)
        now[0] += 0.02 if drafts else 0.01 if step < 200 else 0.0025
        one.judged(len(drafts), len(drafts), [5] * (len(drafts) + 1))
        used.append(bool(drafts))
    assert 0.9 < sum(used[:200]) / 200 < 1
    assert sum(used[-100:]) < 10


@pytest.mark.parametrize("acceptance", [0.0, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("row", [0.035, 0.34])
def test_prose_is_never_much_slower_than_plain(acceptance: float, row: float) -> None:
    """Costs as measured at 0.8 B, with the draft head and without; 30 texts of 120 tokens."""
    costs = Costs(
        verify=(0, 1, 1.24, 1.47, 1.62, 2.36, 2.52, 2.98, 2.52, 3.34), mtp_first=row,
        mtp_row=row, plain_s=0.12,
    )  # fmt: skip
    now, dice, pace = [0.0], random.Random(3), Pace(costs)
    for _ in range(30):
        text = [dice.randrange(1000) for _ in range(120)]
        choice = choose(
            step_kind="chat", edit_format=None, wanted="auto", draft_length=None, has_mtp=True,
            copy_sources=0, costs=costs, segment="prose", handicap=pace.handicap("mtp"),
        )  # fmt: skip
        head, copy = Head([0]), CopyDrafter([], text[:40])
        one = Routed(
            choice, costs=costs, mtp=head, copy=copy, step_kind="chat",
            clock=lambda: now[0], pace=pace,
        )  # fmt: skip
        one.judged(0, 0, text[:1])
        done = 1
        while done < len(text):
            right = 0
            while right < 6 and dice.random() < acceptance:
                right += 1
            head._drafts = [[*text[done : done + right], *[-2] * 6]]
            drafts = list(one.propose(text[done - 1], min(32, len(text) - done - 1)))
            k = 0
            while k < len(drafts) and drafts[k] == text[done + k]:
                k += 1
            now[0] += costs.plain_s * costs.step("mtp", len(drafts))
            one.judged(len(drafts), k, text[done : done + k + 1])
            done += k + 1
    plain = 30 * 119 * costs.plain_s
    assert plain / now[0] > 0.97


def test_a_change_of_width_is_priced() -> None:
    rates = [0.9, 0.85, 0.8]
    free = Costs().best("copy", rates, reach=4)
    dear = Costs(switch=0.6)
    assert dear.best("copy", rates, reach=4)[1] < free[1]
    stay = dear.best("copy", rates, width=4, reach=4)
    assert stay[1] > dear.best("copy", rates, reach=4)[1]


def test_a_logged_request_replays_to_the_same_decisions() -> None:
    truth = [(i * 7) % 50 for i in range(300)]
    source = [*truth[:120], 3, *truth[121:200]]

    def play(head: Head, clock: list[float], log: list[Decision]) -> None:
        times = iter(clock)
        costs = Costs(plain_s=0.01)
        one = routed(
            "combined", head, CopyDrafter([source], [1]), costs=costs,
            clock=lambda: next(times), pace=Pace(costs), log=log.append,
        )  # fmt: skip
        one.judged(0, 0, truth[:1])
        done = 1
        while done < 280:
            drafts = one.propose(truth[done - 1], 8)
            right = 0
            while right < len(drafts) and drafts[right] == truth[done + right]:
                right += 1
            one.judged(len(drafts), right, truth[done : done + right + 1])
            done += right + 1

    clock = [0.011 * i for i in range(1000)]
    first: list[Decision] = []
    play(Head([3, 4]), clock, first)
    again: list[Decision] = []
    play(Head([3, 4]), clock, again)
    assert first == again
    assert {d.source for d in first} >= {"copy", "mtp"} or len({d.source for d in first}) > 1
    flat = [t for d in first for t in d.committed]
    assert flat == truth[: len(flat)], "the log holds the whole output"


def test_reproducible_passes_have_one_width() -> None:
    choice = Choice(arm="combined", draft_length=3, reason="", fixed_width=True)
    copy = CopyDrafter([[1, 2, 3, 4]], [9])
    one = Routed(choice, costs=Costs(), mtp=Head([7, 8]), copy=copy)
    one.judged(0, 0, [1, 2, 3])
    assert len(one.propose(3, 8)) == 3
    one.judged(3, 0, [50])
    assert len(one.propose(50, 8)) == 3
