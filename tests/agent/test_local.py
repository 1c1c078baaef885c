"""The shipped GGUF serves an edit step through the real worker, with MTP, on the ledger."""

from agent import config, events
from agent.app import open_app
from agent.types import Task
from tests.agent.repos import shop, snapshot


def test_an_edit_step_by_the_shipped_model_with_mtp_is_on_the_ledger(tmp_path):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    app = open_app(config.load({"zero_token": False, "local_strategy": "mtp"}, {}, root), root)
    task = Task(goal="fix", text="clamp(12, 1, 9) gives 1", root=root, dry_run=True)
    seen = list(app.run(task))
    rows = app.ledger.rows(run_id=seen[0].run_id)
    assert [r.entry.step_kind for r in rows][:1] == ["edit"]
    assert {(r.entry.location, r.entry.model, r.state) for r in rows} == {
        ("local", "mini", "settled")
    }
    assert {r.usd_micro for r in rows} == {0}
    drafted = [r.decode for r in rows if r.decode and r.decode.strategy.startswith("mtp")]
    assert drafted, [r.decode for r in rows]
    assert sum(d.accepted for d in drafted) > 0
    assert any(r.decode and r.decode.strategy.startswith("beam") for r in rows)
    assert isinstance(seen[-1], events.RunFinished)
    assert seen[-1].totals.tokens_local > 0
    assert snapshot(root) == before
