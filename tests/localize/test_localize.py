"""Where suspicion falls, signal by signal and together."""

from collections.abc import Mapping

import pytest

from tools.localize import is_test_path, localize, method_of, ochiai
from tools.types import Coverage, Frame, Hit, Suspect, TestCase, TestCommand, TestRun

SHOP = b'''\
"""Carts and prices."""

LIMIT = 10


def price(item, count):
    """The price of some."""
    total = item * count
    if count >= LIMIT:
        total = total * 0.8
    return total


class Cart:
    def __init__(self):
        self.items = []

    def add(self, item, count):
        self.items.append((item, count))

    def total(self):
        return sum(price(i, c) for i, c in self.items)
'''
UTIL = b"""\
def shout(text):
    return text.lower()


def other(text):
    return text
"""
TESTS = b"""\
from shop.cart import Cart


def test_total():
    cart = Cart()
    cart.add(2, 10)
    assert cart.total() == 18
"""
TREE: Mapping[str, bytes] = {
    "shop/cart.py": SHOP,
    "shop/util.py": UTIL,
    "tests/test_cart.py": TESTS,
    "README.md": b"# shop\n",
    "web/app.js": b"function f() {}\n",
}
COMMAND = TestCommand(kind="pytest", argv=("python", "-m", "pytest"), source="t")
RED = "tests/test_cart.py::test_total"
GREEN = "tests/test_cart.py::test_add"


def read(path: str) -> bytes | None:
    return TREE.get(path)


def run(*frames: Frame) -> TestRun:
    return TestRun(
        command=COMMAND,
        cases=(
            TestCase(id=RED, outcome="failed", message="AssertionError", frames=frames),
            TestCase(id=GREEN, outcome="passed"),
        ),
        status="failed",
        exit_code=1,
        output="",
        duration_s=0.1,
    )


COVERAGE = Coverage(
    lines={
        RED: {
            "shop/cart.py": frozenset({8, 9, 10, 11, 16, 19, 22}),
            "tests/test_cart.py": frozenset({5}),
        },
        GREEN: {"shop/cart.py": frozenset({8, 9, 11, 16, 19, 22})},
    }
)


def find(
    *,
    test_run: TestRun | None = None,
    coverage: Coverage | None = None,
    hits: tuple[Hit, ...] = (),
    issue: str = "",
    limit: int = 50,
) -> tuple[Suspect, ...]:
    return localize(
        run=test_run,
        coverage=coverage,
        hits=hits,
        read=read,
        files=tuple(TREE),
        issue=issue,
        limit=limit,
    )


def test_ochiai_by_hand() -> None:
    scores = ochiai(COVERAGE, [RED], [GREEN])
    assert scores["shop/cart.py", 10] == pytest.approx(1.0)
    assert scores["shop/cart.py", 8] == pytest.approx(0.5**0.5)


def test_coverage_puts_the_line_only_the_failing_test_runs_first() -> None:
    found = find(test_run=run(), coverage=COVERAGE)
    assert (found[0].path, found[0].line, found[0].symbol) == ("shop/cart.py", 10, "price")
    assert method_of(found) == "ochiai"


def test_tests_are_never_suspects() -> None:
    frames = (Frame(path="tests/test_cart.py", line=7, function="test_total"),)
    hits = (Hit(path="tests/test_cart.py", symbol=None, line=4, end_line=7, score=9.0),)
    issue = "tests/test_cart.py:7 fails, see tests/test_cart.py"
    found = find(test_run=run(*frames), coverage=COVERAGE, hits=hits, issue=issue)
    assert found
    assert all(not is_test_path(s.path) for s in found)


def test_the_innermost_frame_of_the_repository_counts_most() -> None:
    frames = (
        Frame(path="tests/test_cart.py", line=7, function="test_total"),
        Frame(path="shop/cart.py", line=22, function="total"),
        Frame(path="shop/cart.py", line=8, function="price"),
        Frame(path="/usr/lib/python3/decimal.py", line=3, function="mul"),
    )
    found = find(test_run=run(*frames))
    assert [s.line for s in found[:1]] == [8]
    lines = [s.line for s in found]
    assert lines.index(22) > 0
    assert method_of(found).startswith("trace")
    # Lines around the frame are suspects too, the farther the less.
    assert lines.index(9) < lines.index(11)


@pytest.mark.parametrize(
    ("issue", "symbol"),
    [
        ("`price` is wrong for ten of a kind", "price"),
        ("Calling shout('a') does not shout", "shout"),
        ("Cart.add loses items", "Cart.add"),
        ('File "/home/me/proj/shop/util.py", line 2, in shout', "shout"),
        ("see shop\\util.py:2", "shout"),
        ("it happens at util.py:6", "other"),
    ],
)
def test_what_the_issue_names(issue: str, symbol: str) -> None:
    found = find(issue=issue)
    assert found[0].symbol == symbol
    assert method_of(found) == "issue"


def test_plain_words_are_not_symbols() -> None:
    assert find(issue="the total price is other than I thought, add more") == ()


def test_search_hits_scale_to_the_best_one() -> None:
    hits = (
        Hit(path="shop/util.py", symbol="shout", line=1, end_line=2, score=8.0),
        Hit(path="shop/cart.py", symbol="price", line=6, end_line=11, score=4.0),
    )
    found = find(hits=hits)
    assert found[0].path == "shop/util.py"
    assert (found[0].line, found[0].reasons) == (2, ("search 1.00",))
    assert method_of(found) == "search"


def test_a_hit_in_another_language_keeps_its_first_line() -> None:
    hits = (Hit(path="web/app.js", symbol="f", line=1, end_line=1, score=1.0),)
    assert [(s.path, s.line) for s in find(hits=hits)] == [("web/app.js", 1)]


def test_without_coverage_the_names_of_the_failing_test_are_looked_up() -> None:
    found = find(test_run=run())
    assert method_of(found) == "static"
    assert {s.symbol for s in found} >= {"Cart.total", "Cart.add"}
    assert all(s.path == "shop/cart.py" for s in found)


def test_signals_add_up() -> None:
    frames = (Frame(path="shop/cart.py", line=10, function="price"),)
    hits = (Hit(path="shop/cart.py", symbol="price", line=6, end_line=11, score=1.0),)
    found = find(test_run=run(*frames), coverage=COVERAGE, hits=hits, issue="`price` is off")
    assert found[0].line == 10
    assert method_of(found) == "trace+ochiai+issue+search"
    assert found[0].score > find(test_run=run(), coverage=COVERAGE)[0].score


def test_golden_ranking() -> None:
    frames = (Frame(path="shop/cart.py", line=22, function="total"),)
    found = find(test_run=run(*frames), coverage=COVERAGE, issue="`price` is off", limit=6)
    assert [(s.line, s.symbol) for s in found] == [
        (10, "price"),
        (22, "Cart.total"),
        (8, "price"),
        (9, "price"),
        (11, "price"),
        (16, "Cart.__init__"),
    ]


def test_no_evidence_no_suspects_and_nothing_breaks_on_odd_files() -> None:
    assert find() == ()
    odd = {"a.py": b"def f(:\n", "b.py": b"\xff\xfe", "c.py": None}
    found = localize(
        run=None,
        coverage=None,
        hits=tuple(Hit(path=p, symbol=None, line=1, end_line=9, score=1.0) for p in odd),
        read=lambda path: odd[path],
        files=tuple(odd),
        issue="x" * 1_000_000,
    )
    assert [(s.path, s.line) for s in found] == [("a.py", 1), ("b.py", 1), ("c.py", 1)]


def test_order_of_arguments_does_not_matter() -> None:
    shuffled = Coverage(lines=dict(reversed(list(COVERAGE.lines.items()))))
    one = find(test_run=run(), coverage=COVERAGE, issue="`price` and `Cart`")
    two = find(test_run=run(), coverage=shuffled, issue="`price` and `Cart`")
    assert one == two


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/x.py", True),
        ("src/pkg/test_a.py", True),
        ("src/pkg/a_test.py", True),
        ("conftest.py", True),
        ("web/app.test.js", False),
        ("src/contest.py", False),
        ("src/testing_tools.py", False),
        ("latest/a.py", False),
    ],
)
def test_test_paths(path: str, is_test: bool) -> None:
    assert is_test_path(path) is is_test
