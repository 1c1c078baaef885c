"""kill -9 at random moments, and two processes at once: no call lost, no budget passed.

The control, check-then-add, loses calls under the same treatment: the test can fail.
"""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.ledger import Ledger
from tests.loopback import dialects, faults, serve
from tests.money.spender import RUN

ROUNDS = 8
COST = 7


def spawn(directory: Path, how: str, budget: int) -> "subprocess.Popen[bytes]":
    arguments = (directory / "ledger.sqlite", directory / "log", how, budget, COST)
    command = [sys.executable, "-m", "tests.money.spender", *map(str, arguments)]
    return subprocess.Popen(command)


def billed(directory: Path) -> int:
    log = directory / "log"
    return log.stat().st_size if log.exists() else 0


def wait_for_more(directory: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while billed(directory) < count:
        assert time.monotonic() < deadline, "the spender does not spend"
        time.sleep(0.002)


def test_no_call_is_lost_under_kill_9(tmp_path: Path) -> None:
    pick = random.Random(4)
    for _ in range(ROUNDS):
        process = spawn(tmp_path, "ledger", 10**9)
        wait_for_more(tmp_path, billed(tmp_path) + pick.randrange(1, 12))
        time.sleep(pick.random() * 0.01)
        process.kill()
        process.wait()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        rows = ledger.rows()
        sent = billed(tmp_path)
        # At most one reservation per killed process was committed and not yet sent.
        assert sent <= len(rows) <= sent + ROUNDS
        assert ledger.used("run", RUN) == len(rows) * COST
        left = [r for r in rows if r.state == "reserved"]
        assert all(r.orphaned for r in left)
        assert len(ledger.close_orphans()) == len(left)


@pytest.mark.parametrize("kill", [False, True])
def test_two_processes_never_pass_the_budget(tmp_path: Path, kill: bool) -> None:
    budget = 60 * COST + 3
    processes = [spawn(tmp_path, "ledger", budget) for _ in range(2)]
    if kill:
        wait_for_more(tmp_path, 20)
        processes[0].kill()
    for process in processes:
        assert process.wait(60) in (0, -9)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.used("run", RUN) == 60 * COST
        assert 59 <= billed(tmp_path) <= 60
        assert kill or billed(tmp_path) == 60


def test_the_naive_ledger_does_pass_it(tmp_path: Path) -> None:
    """The control: killed between sending and adding, it forgets what was sent."""
    pick = random.Random(4)
    budget = 100_000
    for _ in range(40):
        process = spawn(tmp_path, "naive", budget)
        wait_for_more(tmp_path, billed(tmp_path) + pick.randrange(1, 6))
        process.kill()
        process.wait()
        db = sqlite3.connect(tmp_path / "ledger.sqlite")
        known = db.execute("SELECT COUNT(*) FROM spent").fetchone()[0]
        db.close()
        if billed(tmp_path) > known:
            return
    pytest.fail("the control lost nothing: the test above shows nothing")


THROUGH_THE_GATEWAY = """
import sys
from pathlib import Path
from tests.loopback.server import Loopback
from tests.money.test_gateway import Bench, hosted
bench = Bench(Path(sys.argv[1]), hosted(Loopback(url=sys.argv[2], uds=None)))
bench.run("frontier")
"""


def test_a_request_in_flight_is_on_the_ledger_when_its_process_is_killed(tmp_path: Path) -> None:
    slow = faults.drip(dialects.anthropic("hello world"), 1.0)
    with serve([slow]) as server:
        command = [sys.executable, "-c", THROUGH_THE_GATEWAY, str(tmp_path), server.url]
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while not server.received:
            assert time.monotonic() < deadline, "nothing was sent"
            time.sleep(0.01)
        process.kill()
        process.wait()
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            (row,) = ledger.rows()
            assert (row.state, row.orphaned) == ("reserved", True)
            worst = row.entry.reserved_usd_micro
            assert worst is not None
            assert ledger.used("run", "run1") == worst > 0
            assert ledger.close_orphans() == (row.id,)
            assert ledger.used("run", "run1") == worst
