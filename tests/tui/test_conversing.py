"""Free conversation through Pilot, against a loopback model: tools, approvals, files, memory."""

from textual.events import Paste

from agent.tui import approval
from agent.tui.approval import DEAF_S, ApprovalScreen
from agent.tui.hunkedit import EditScreen
from agent.tui.review import ReviewScreen
from tests.agent.repos import FIXED, PACKAGE, shop, snapshot
from tests.chat.talking import call
from tests.loopback import dialects, serve
from tests.tui.support import chat, say, screen, told, until

SIZE = (110, 40)
LINE = "    if value > high:\n        return low"
EDIT = call("edit", "c2", path="shop.py", search=LINE, replace=LINE[:-3] + "high")


def model(server, root):
    return chat(root, onprem_url=server.url, onprem_model="coder")


def asked(app):
    return lambda: isinstance(app.screen, ApprovalScreen) and "yes, this time" in screen(app)


async def test_look_ask_edit_undo_and_take_up_again(tmp_path, monkeypatch):
    root = shop(tmp_path / "shop")
    before = snapshot(root)
    script = [
        dialects.openai("I **look** first.", tools=[call("read", path="shop.py")]),
        dialects.openai(tools=[EDIT]),
        dialects.openai("Fixed: `clamp` returned the wrong bound."),
    ]
    with serve(script) as server:
        app = model(server, root)
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "clamp(12, 1, 9) gives 1")
            await until(pilot, asked(app))
            assert "Change files?" in screen(app)
            assert "-        return low" in screen(app)
            monkeypatch.setattr(approval, "DEAF_S", 60.0)  # however busy this machine is
            await pilot.press("y")
            assert isinstance(app.screen, ApprovalScreen), (
                "a key this early was meant for the input"
            )
            assert snapshot(root) == before
            monkeypatch.setattr(approval, "DEAF_S", 0.0)
            await pilot.press("y")
            await until(pilot, lambda: "✔ done" in told(app) and app._job is None)
            assert (root / "shop.py").read_text() == FIXED
            text = screen(app)
            assert "▸ read shop.py" in text
            assert "I look first." in text
            assert "def discount" not in text, "what a tool said stays folded"
            await pilot.press("ctrl+o")
            await until(pilot, lambda: "def discount" in told(app))
            await say(pilot, "/undo")
            await until(pilot, lambda: "took back: shop.py" in told(app))
            assert snapshot(root) == before
            assert "on-prem 0" not in str(app.meter.render())
        app.session.close()

        again = model(server, root)
        async with again.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: "budget" not in screen(again) and "shop @" in screen(again))
            await pilot.press("up", "up")
            assert again.input.text == "clamp(12, 1, 9) gives 1", "typed in the session before"
            again.input.load_text("")
            await say(pilot, "/sessions")
            await until(pilot, lambda: "Conversations" in screen(again))
            await pilot.press("enter")
            await until(pilot, lambda: "Fixed: `clamp` returned" in again.talk.text)
            assert "edit shop.py" in told(again)
        again.session.close()


async def test_no_with_a_reason_queue_and_stop(tmp_path):
    root = shop(tmp_path / "shop")
    script = [
        dialects.openai(tools=[call("run", "r1", argv=["sleep", "60"])]),
        dialects.openai("As you wish."),
        dialects.openai(tools=[call("run", "r2", argv=["sleep", "61"])]),
    ]
    with serve(script) as server:
        app = model(server, root)
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "wait a minute")
            await until(pilot, asked(app))
            assert "Run a command?" in screen(app)
            assert "always in this repository:  sleep 60  (exactly)" in screen(app)
            await pilot.pause(DEAF_S + 0.1)
            await pilot.press("r", *"too slow", "enter")
            await until(pilot, lambda: "As you wish." in told(app) and app._job is None)
            assert "refused too slow" in told(app)
            assert "too slow" in str(server.received[1].body)

            await say(pilot, "again")
            await until(pilot, asked(app))
            await pilot.pause(DEAF_S + 0.1)
            await pilot.press("y")
            await until(pilot, lambda: "sleep 61" in told(app))
            await say(pilot, "and hurry")
            await until(pilot, lambda: "told to the model at its next step" in told(app))
            await pilot.press("escape")
            await until(pilot, lambda: app._job is None, 5.0)
            assert "interrupted" in told(app)
        app.session.close()
        assert snapshot(root).keys() >= {"shop.py"}


async def test_part_of_an_edit_written_by_the_user(tmp_path):
    """By hunk, one of them changed before it is accepted; the model hears what was taken."""
    root = shop(tmp_path / "shop")
    script = [dialects.openai(tools=[EDIT]), dialects.openai("Good.")]
    with serve(script) as server:
        app = model(server, root)
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "clamp(12, 1, 9) gives 1")
            await until(pilot, asked(app))
            await pilot.pause(DEAF_S + 0.1)
            await pilot.press("h")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, EditScreen))
            area = app.screen.query_one("TextArea")
            area.load_text(area.text.replace("return high", "return high  # the bound"))
            await pilot.press("ctrl+s")
            await until(pilot, lambda: "edited by you" in screen(app))
            await pilot.press("enter")
            await until(pilot, lambda: "Good." in told(app) and app._job is None)
            wanted = FIXED.replace("return high", "return high  # the bound")
            assert (root / "shop.py").read_text() == wanted
            await say(pilot, "/undo")
            await until(pilot, lambda: (root / "shop.py").read_text() == PACKAGE)
        app.session.close()


async def test_files_symbols_pastes_modes_and_tests(tmp_path):
    root = shop(tmp_path / "shop")
    app = chat(root)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*"look at @shp")
        await until(pilot, lambda: "› @shop.py" in screen(app))
        await pilot.press("tab")
        assert app.input.text == "look at @shop.py "
        await pilot.press(*"@clam")
        await until(pilot, lambda: "@shop.py::clamp" in screen(app))
        await pilot.press("enter")
        assert app.input.text == "look at @shop.py @shop.py::clamp "
        app.input.load_text("")

        app.input.post_message(Paste("row\n" * 50))
        await pilot.pause(0.1)
        assert app.input.text == "[paste 1: 51 lines, 200 characters]"
        await pilot.press("enter")
        await until(pilot, lambda: "more lines: Ctrl+O" in screen(app))
        assert app.talk.blocks[1].source.count("row") == 50

        await pilot.press("shift+tab")
        await until(pilot, lambda: "accept-edits" in told(app))
        await say(pilot, "/tests")
        await until(pilot, lambda: "✘ 3 passed, 1 failed" in told(app) and app._job is None)
        await pilot.press("f3")
        await until(pilot, lambda: "assert 1 == 9" in screen(app))
        await pilot.press("r")
        await until(pilot, lambda: "✘ 0 passed, 1 failed" in told(app) and app._job is None)
        assert "now" in str(app.tests.render())
        await say(pilot, "/allowed")
        await until(pilot, lambda: "every command is asked for" in told(app))
    app.session.close()
