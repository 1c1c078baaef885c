"""What execution says about attempts reaches the ledger: history for the router, estimates for
people; once per attempt, also when a run is resumed or replayed."""

from tests.acceptance.bench import agent
from tests.agent.repos import shop
from tests.agent.test_flow import PLAN, RIGHT, WRONG, app, fix, outcome
from tests.loopback import dialects, serve


def test_attempts_are_judged_once_and_savings_are_estimates(tmp_path):
    root = shop(tmp_path / "shop")
    answers = [dialects.openai(text) for text in (PLAN, WRONG, RIGHT)]
    with serve(answers) as onprem:
        one = app(root, onprem_url=onprem.url, onprem_model="coder")
        assert outcome(fix(one)).verdict == "verified"
    kept = {(r.location, r.step_kind): (r.succeeded, r.failed) for r in one.ledger.history()}
    assert kept == {("onprem", "edit"): (0, 1), ("onprem", "repair"): (1, 0)}
    savings = {s.basis: s for s in one.ledger.savings()}
    assert {(s.steps, s.spent_usd_micro) for s in savings.values()} == {(1, 0)}
    assert savings["frontier"].usd_micro > savings["cheapest"].usd_micro > 0

    one.journal.undo(root)
    (run,) = one.runs()
    again = app(root)
    assert outcome(list(again.run(run.task, replay=run.path))).verdict == "verified"
    assert {(r.succeeded, r.failed) for r in again.ledger.history()} == {(0, 1), (1, 0)}

    told = agent(root, "ledger")
    assert "estimate: 1 verified step on claude-" in " ".join((told.out + told.err).split())
