"""The whole flow with and without the learned order, over a real repository and real tests."""

from pathlib import Path

from agent import events
from tests.agent.repos import shop
from tests.agent.test_flow import app, fix, of, outcome


def test_a_search_cut_short_gives_that_as_the_reason(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    seen = fix(app(root, zero_token=True, zero_token_candidates=60))
    (tried,) = of(seen, events.CandidatesTried)
    assert tried.plausible == 1
    assert tried.generated == 180
    assert outcome(seen).verdict == "unverified"
    assert "cut short" in outcome(seen).reason
    (told,) = [n for n in of(seen, events.Notice) if "cut short" in n.message]
    assert told.remedy is not None
    assert told.remedy.startswith("agent config set zero_token.candidates 180")


def test_the_enumerators_own_order_can_be_asked_for(tmp_path: Path) -> None:
    root = shop(tmp_path / "shop")
    seen = fix(app(root, zero_token=True, zero_token_candidates=40, zero_token_ranker=False))
    (tried,) = of(seen, events.CandidatesTried)
    assert tried.generated == 40
