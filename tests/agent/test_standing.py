"""What satisfies the tests already is a rival of whatever is found later."""

from agent import zero
from agent.ranker import unranked
from tests.agent.repos import PACKAGE
from tests.agent.stages import drained, localized
from tools.types import Candidate


def edit(new):
    before = PACKAGE.splitlines(keepends=True)[8]
    return Candidate(
        path="shop.py",
        line=9,
        end_line=9,
        before=before,
        after=f"        return {new}\n",
        operator="variable",
        tier=0,
    )


def test_what_stands_is_a_rival_of_what_is_found_later(tmp_path):
    with localized(tmp_path / "shop") as work:

        def tried(*changes):
            pool = unranked([edit(c) for c in changes])
            return drained(zero.try_candidates(work, pool, by="t", most=9, budget_s=60))

        assert tried("high - 0 if value else 9", "9") is None
        assert work.rivals == 2
        offered = work.offered
        assert tried("max(high, low)") is None, "alone in its pool, but not alone"
        assert work.rivals == 3
        assert work.offered == offered
        assert "3 different changes satisfy the tests equally well" in work.notes
        work.rivals = 0
        assert tried("high") is not None, "the same without rivals is taken"
