"""Whole sessions through Pilot: real git, real sandbox, real pytest, real journal."""

from agent.tui.items import Offer
from agent.tui.review import ReviewScreen
from tests.agent.repos import FIXED, PACKAGE, shop, snapshot
from tests.loopback import dialects, serve
from tests.tui.support import (
    BUGGY,
    DOC,
    ISSUE,
    NEW_DOC,
    RIGHT,
    TWO_HUNKS,
    budget,
    chat,
    say,
    screen,
    told,
    until,
)
from tools.types import FileChange, Patch

SIZE = (100, 40)


def reviewing(app):
    return lambda: isinstance(app.screen, ReviewScreen) and "undecided" in screen(app)


async def test_fix_reject_accept_apply_undo_redo(tmp_path):
    root = budget(tmp_path / "budget")
    before = snapshot(root)
    app = chat(root)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, f"/fix {ISSUE}")
        await until(pilot, reviewing(app))
        assert "✔ verified" in screen(app)
        assert "-     return total + used" in screen(app)
        assert snapshot(root) == before, "a run of the TUI writes nothing by itself"

        await pilot.press("r", "enter")
        assert "nothing is accepted" in screen(app)
        await pilot.press("escape")
        await until(pilot, lambda: "nothing was written" in told(app))
        assert snapshot(root) == before

        await pilot.press("f4")
        await until(pilot, reviewing(app))
        await pilot.press("enter")
        assert "1 hunk undecided" in screen(app)
        await pilot.press("a", "enter")
        await until(pilot, lambda: "applied: budget.py (1 of 1 hunk)" in told(app))
        assert (root / "budget.py").read_text() == RIGHT
        assert {**snapshot(root), "budget.py": BUGGY.encode()} == before

        await say(pilot, "/undo")
        await until(pilot, lambda: "took back: budget.py" in told(app))
        assert snapshot(root) == before
        await say(pilot, "/redo")
        await until(pilot, lambda: "applied again: budget.py" in told(app))
        assert (root / "budget.py").read_text() == RIGHT


async def test_a_session_from_fix_to_resume(tmp_path):
    """Fix, review, reject the hunk that matters, tests, undo, talk; another session goes on."""
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    with serve([*TWO_HUNKS, dialects.openai("One **hunk** is left.")]) as onprem:
        app = chat(root, zero_token=False, onprem_url=onprem.url, onprem_model="coder")
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "/fix clamp(12, 1, 9) gives 1")
            await until(pilot, reviewing(app))
            assert "1 file, 2 hunks" in screen(app)
            await pilot.press("a", "r", "enter")
            await until(pilot, lambda: "applied: shop.py (1 of 2 hunks)" in told(app))
            assert "the tests verified the whole, not this part" in told(app)
            text = (root / "shop.py").read_text()
            assert text == PACKAGE.replace(DOC, NEW_DOC)
            assert "frontier" not in app.plan.render().plain  # type: ignore[union-attr]
            assert "✔ 1. edit · done" in str(app.plan.render())
            assert "onprem · coder" in str(app.plan.render())
            assert "on-prem 0" not in str(app.meter.render())
            await say(pilot, "/tests")
            await until(pilot, lambda: "✘ 3 passed, 1 failed" in told(app) and app._job is None)
            await say(pilot, "/undo")
            await until(pilot, lambda: "took back: shop.py" in told(app))
            assert snapshot(root) == before
            await say(pilot, "what is left?")
            await until(pilot, lambda: "One **hunk** is left." in told(app) and app._job is None)
        app.session.close()

        again = chat(root, onprem_url=onprem.url, onprem_model="coder")
        async with again.run_test(size=SIZE) as pilot:
            await say(pilot, "/sessions last")
            await until(pilot, lambda: "One **hunk** is left." in told(again))
            await say(pilot, "/diff")
            await until(pilot, reviewing(again))
            await pilot.press("A", "enter")
            await until(pilot, lambda: "applied: shop.py (2 of 2 hunks)" in told(again))
            whole = FIXED.replace(DOC, NEW_DOC)
            assert (root / "shop.py").read_text() == whole
        again.session.close()


async def test_a_file_changed_meanwhile_is_kept(tmp_path):
    root = budget(tmp_path / "budget")
    app = chat(root)
    async with app.run_test(size=SIZE) as pilot:
        app.post_message(app.Came(offered(app)))
        await until(pilot, reviewing(app))
        assert "NOT verified" in screen(app)
        (root / "budget.py").write_text(BUGGY + "MINE = 1\n")
        await pilot.press("a", "enter")
        await until(pilot, lambda: "changed since it was read" in told(app))
        assert (root / "budget.py").read_text() == BUGGY + "MINE = 1\n"
        assert app.session.offer is not None, "the patch can still be looked at"
        (root / "budget.py").write_text(BUGGY)
        await pilot.press("f4")
        await until(pilot, reviewing(app))
        await pilot.press("a", "enter")
        await until(pilot, lambda: "this patch is not verified" in told(app))
        assert (root / "budget.py").read_text() == RIGHT


def offered(app):
    """An unverified patch of the only file, as a run would offer it."""
    change = FileChange(path="budget.py", before=BUGGY.encode(), after=RIGHT.encode())
    app.session.offer = Offer(
        run_id="20261120-143015-a1b2c3",
        patch=Patch(changes=(change,)),
        verified=False,
        reason="no test shows the problem",
    )
    return app.session.offer


async def test_escape_stops_queued_messages_wait_and_typing_is_not_disturbed(tmp_path):
    root = budget(tmp_path / "budget")
    before = snapshot(root)
    app = chat(root)
    async with app.run_test(size=SIZE) as pilot:
        await say(pilot, f"/fix {ISSUE}")
        await say(pilot, "/search remaining")
        await until(pilot, lambda: "starts when /fix has ended" in told(app))
        await until(pilot, lambda: "1 queued" in screen(app))
        await until(pilot, lambda: "python -m pytest" in told(app))
        await pilot.press("escape")
        assert app.session.stop.is_set()
        await until(pilot, lambda: "not solved" in told(app) and app._job is None)
        await until(pilot, lambda: "/resume " in told(app))
        assert snapshot(root) == before
        await pilot.press("up")
        assert app.input.text == "/search remaining"
        await pilot.press("enter")
        await until(pilot, lambda: "budget.py:1 remaining" in told(app))

        await pilot.press(*"and a")  # somebody types while a patch arrives
        app.post_message(app.Came(offered(app)))
        await until(pilot, lambda: "a patch is ready" in told(app))
        assert app.input.text == "and a"
        assert not isinstance(app.screen, ReviewScreen)


ANSWERS = (
    ("hello there", "free conversation needs a model"),
    ("/nope", "there is no command /nope"),
    ("/fix", "say what about"),
    ("/undo", "nothing to undo"),
    ("/resume", "no run was interrupted"),
    ("/diff", "no run here yet"),
    ("/map", "def remaining(total, used)"),
    ("/map remaning", "remaining is near, nothing holds remaning"),
    ("!echo $((6 * 7)); touch .git/planted", "42"),
    ("/model", "the zero-token stage works without"),
    ("/model nosuchmodel", "is not installed"),
    ("/budget 0.25", "a run may cost $0.25"),
    ("/budget lots", "expected an amount of dollars"),
    ("/local-only", "nothing leaves this machine"),
    ("/runs", "no run of this repository yet"),
    ("/cost", "no model was asked yet"),
)


async def test_what_is_typed_gets_one_clear_answer(tmp_path):
    root = budget(tmp_path / "budget")
    before = snapshot(root)
    app = chat(root)
    async with app.run_test(size=(110, 40)) as pilot:
        for typed, answer in ANSWERS:
            app.talk.empty()
            await say(pilot, typed)
            await until(pilot, lambda answer=answer: answer in told(app) + screen(app))
            await until(pilot, lambda: app._job is None)
            if len(app.screen_stack) > 1:
                await pilot.press("escape")
        assert app.session.settings.max_cost_usd_micro == 250_000, "the refused one changed nothing"
        assert app.session.settings.local_model == "none"
        await until(pilot, lambda: "of $0.25" in screen(app) and "LOCAL ONLY" in screen(app))
    assert snapshot(root) == before


async def test_several_lines_history_completion_and_palette(tmp_path):
    app = chat(budget(tmp_path / "budget"))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*"/loc")
        assert "nothing leaves this machine" in screen(app)
        await pilot.press("tab")
        assert app.input.text == "/local-only "
        app.input.load_text("")
        await pilot.press(*"first", "ctrl+j", *"second", "enter")
        await until(pilot, lambda: "second" in told(app) and app._job is None)
        await pilot.press(*"draft", "up")
        assert app.input.text == "first\nsecond"
        await pilot.press("up", "down", "down")
        assert app.input.text == "draft"
        app.input.load_text("")
        await pilot.press("question_mark")
        await until(pilot, lambda: "fold and unfold long output" in screen(app))
        await pilot.press("escape", "ctrl+p")
        await pilot.press(*"ledger")
        await until(pilot, lambda: "/cost" in screen(app))


async def test_banner_stays_while_unsandboxed(tmp_path):
    app = chat(budget(tmp_path / "budget"), unsandboxed=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert "UNSANDBOXED" in screen(app)
        await say(pilot, "/clear")
        await until(pilot, lambda: "Say what is wrong" not in screen(app))
        assert "UNSANDBOXED" in screen(app)
