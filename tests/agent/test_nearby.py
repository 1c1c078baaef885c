"""A proposal that is alone among few must stand against changes near it."""

from agent import nearby, zero
from agent.ranker import unranked
from tests.agent.repos import PACKAGE
from tests.agent.stages import drained, localized
from tools.enumerate import apply
from tools.types import Candidate

SOURCE = PACKAGE.encode()
CONDITION, RESULT = 8, 9


def proposal(line, new):
    return Candidate(
        path="shop.py",
        line=line,
        end_line=line,
        before=PACKAGE.splitlines(keepends=True)[line - 1],
        after=new,
        operator="mini",
        tier=0,
    )


def made(one, known=lambda c: False):
    return nearby.around(one, lambda path: SOURCE, known)


def files(found):
    return {apply(SOURCE, c) for c in found}


def test_the_crowd_is_one_edit_more_or_one_edit_instead():
    one = proposal(RESULT, "        return max(low, high)\n")
    found = made(one)
    further = PACKAGE.replace("return low\n    return value", "return high\n    return value")
    instead = PACKAGE.replace("return low\n    return value", "return value\n    return value")
    assert {further.encode(), instead.encode()} <= files(found)
    assert SOURCE not in files(found)
    assert apply(SOURCE, one) not in files(found)
    assert {c.tier for c in found} == {0}
    assert len(files(found)) == len(found) <= nearby.MOST


def test_what_adds_to_a_proposal_is_no_rival_of_it():
    found = files(made(proposal(RESULT, "        return high\n"), lambda c: "low" in c.before))
    assert all(b"if not high" not in f and b"(high)" not in f for f in found)


def test_lines_a_proposal_adds_are_varied_too():
    one = proposal(CONDITION, "    if low > high:\n        return value\n    if value > high:\n")
    found = files(made(one))
    assert (
        PACKAGE.replace(
            "    if value > high:\n",
            "    if low >= high:\n        return value\n    if value > high:\n",
        ).encode()
        in found
    )


def test_what_is_known_is_left_out_and_a_missing_file_has_no_crowd():
    one = proposal(RESULT, "        return max(low, high)\n")
    first = made(one)[0]
    assert first not in made(one, lambda c: c == first)
    assert nearby.around(one, lambda path: None, lambda c: False) == ()


def test_a_proposal_is_taken_where_nothing_near_it_satisfies_the_tests(tmp_path):
    """`max(low, high)` passes like `high`, which is simpler and nowhere else the same."""
    with localized(tmp_path / "shop") as work:

        def tried(new, crowd):
            pool = unranked([proposal(RESULT, new)])
            return drained(
                zero.try_candidates(work, pool, by="mini", most=1, budget_s=60, crowd=crowd)
            )

        def near(one):
            return nearby.around(one, work.workspace.read, lambda c: False)

        assert tried("        return max(low, high)\n", near) is None
        assert work.rivals > 1
        assert "+        return max(low, high)" in work.offered
        work.rivals = 0
        assert tried("        return high\n", near) is not None
        assert work.rivals == 0
