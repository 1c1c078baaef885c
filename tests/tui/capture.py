"""Pictures of a real session for the documentation:

python -m tests.tui.capture docs
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from agent.tui.app import ChatApp
from agent.tui.review import ReviewScreen
from agent.tui.sheet import SheetScreen
from tests.agent.repos import shop
from tests.loopback import serve
from tests.tui.support import TWO_HUNKS, chat, say, screen, session, told, until

SIZE = (112, 32)


async def capture(directory: Path) -> None:
    """`/tests`, `/fix` on a small repository, its review, what it came to; `/map` and `/search`."""
    with tempfile.TemporaryDirectory() as scratch:
        app = ChatApp(session(shop(Path(scratch) / "shop"), zero_token_candidates=None))
        async with app.run_test(size=SIZE) as pilot:
            app.input.cursor_blink = False
            await say(pilot, "/tests")
            await until(pilot, lambda: "1 failed" in screen(app) and app._job is None)
            await pilot.press("f3")
            await until(pilot, lambda: "assert 1 == 9" in screen(app))
            save(app, directory / "tui-tests.svg")
            await pilot.press("escape")
            app.talk.empty()
            await say(pilot, "/fix clamp(12, 1, 9) gives 1")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300.0)
            await until(pilot, lambda: "undecided" in screen(app))
            await pilot.pause(1.0)
            save(app, directory / "tui-review.svg")
            await pilot.press("a", "enter")
            await until(pilot, lambda: "applied: shop.py" in told(app))
            await until(pilot, lambda: app._job is None)
            await pilot.pause(0.5)
            save(app, directory / "tui.svg")
            app.talk.empty()
            await say(pilot, "/map")
            await until(pilot, lambda: "symbols" in screen(app) and app._job is None)
            await say(pilot, "/search clamp")
            await until(pilot, lambda: "search ·" in screen(app) and app._job is None)
            await pilot.pause(0.5)
            save(app, directory / "tui-map.svg")


async def ledger(directory: Path) -> None:
    """`/fix` by a model of an endpoint, here a scripted one on this machine; then `/cost`."""
    with tempfile.TemporaryDirectory() as scratch, serve(TWO_HUNKS) as onprem:
        flags = {"onprem_url": onprem.url, "onprem_model": "coder", "zero_token": False}
        app = chat(shop(Path(scratch) / "shop"), **flags)
        async with app.run_test(size=SIZE) as pilot:
            await say(pilot, "/fix clamp(12, 1, 9) gives 1")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen), 300.0)
            await pilot.press("A", "enter")
            await until(pilot, lambda: "applied: shop.py" in told(app) and app._job is None)
            await say(pilot, "/cost")
            await until(pilot, lambda: isinstance(app.screen, SheetScreen))
            await pilot.pause(0.5)
            save(app, directory / "tui-ledger.svg")


def save(app: ChatApp, path: Path) -> None:
    """As SVG that loads nothing from elsewhere: any monospaced font will do."""
    picture = re.sub(
        r"@font-face\s*{.*?}", "", app.export_screenshot(title="agent chat"), flags=re.S
    )
    path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(capture(Path(sys.argv[1])))
    asyncio.run(ledger(Path(sys.argv[1])))
