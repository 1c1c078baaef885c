"""The index over real trees: what it finds, keeps up with, and survives."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.index.shop import opened
from tools.index import estimate_tokens, open_index


def test_definitions_have_qualified_names_and_whole_spans(tmp_path: Path) -> None:
    index = opened(tmp_path)
    found = [(s.name, s.kind, s.line, s.end_line) for s in index.symbols("shop/cart.py")]
    assert found == [
        ("MAX_ITEMS", "constant", 7, 7),
        ("Cart", "class", 10, 26),
        ("Cart.limit", "constant", 13, 13),
        ("Cart.__init__", "method", 15, 17),
        ("Cart.add", "method", 19, 23),
        ("Cart.total", "method", 25, 26),
        ("merge_carts", "function", 29, 33),
    ]
    assert index.find("Cart.add")[0].signature == "def add(self, name, count=1)"


def test_find_takes_qualified_dotted_and_bare_names(tmp_path: Path) -> None:
    index = opened(tmp_path)
    wanted = index.find("Cart.total")
    assert [s.line for s in wanted] == [25]
    assert index.find("shop.cart.Cart.total") == wanted
    assert index.find("Cart::total") == wanted
    assert index.find("total") == wanted
    assert index.find("no_such_name") == ()


def test_references_and_callers(tmp_path: Path) -> None:
    index = opened(tmp_path)
    places = [(h.path, h.line) for h in index.references("merge_carts")]
    assert places == [
        ("shop/cart.py", 29),
        ("tests/test_cart.py", 1),
        ("tests/test_cart.py", 11),
    ]
    callers = index.callers(index.find("round_price")[0])
    assert [(h.path, h.symbol, h.line) for h in callers] == [("shop/cart.py", "Cart.total", 26)]


def test_callees_come_with_the_closest_first(tmp_path: Path) -> None:
    index = opened(tmp_path)
    called = index.callees(index.find("Cart.total")[0])
    assert [s.name for s in called] == ["round_price", "price_of"]


def test_grep_gives_lines_with_the_definition_around_them(tmp_path: Path) -> None:
    index = opened(tmp_path)
    hits = index.grep(r"len\(self\.\w+\)")
    assert [(h.path, h.symbol, h.line) for h in hits] == [("shop/cart.py", "Cart.add", 21)]
    assert hits[0].reasons == ("if len(self.items) + count > self.limit:",)
    assert {h.path for h in index.grep("cart", globs=["*.js"])} == {"web/app.js"}
    assert {h.path for h in index.grep("cart", globs=["tests/*"])} == {"tests/test_cart.py"}
    assert len(index.grep("a", limit=3)) == 3
    with pytest.raises(ValueError, match="regular expression"):
        index.grep("(")


def test_search_finds_by_words_of_the_body_and_gives_reasons(tmp_path: Path) -> None:
    index = opened(tmp_path)
    best = index.search("refuse an item when the cart is full")[0]
    assert (best.path, best.symbol) == ("shop/cart.py", "Cart.add")
    assert "its text matches" in best.reasons


def test_localize_prefers_code_to_its_test_and_reads_tracebacks(tmp_path: Path) -> None:
    index = opened(tmp_path)
    best = index.localize("Total of a cart is rounded wrongly")[0]
    assert (best.path, best.symbol) == ("shop/cart.py", "Cart.total")
    trace = "Crash\n\n  File \"/home/u/x/shop/prices.py\", line 5, in price_of\nKeyError: 'milk'"
    best = index.localize(trace)[0]
    assert (best.path, best.symbol) == ("shop/prices.py", "price_of")
    assert "in the traceback at line 5" in best.reasons


def test_a_glance_answers_before_there_is_an_index(tmp_path: Path) -> None:
    index = opened(tmp_path)
    (best, *_) = index.glance("Total of a cart is rounded wrongly")
    assert (best.path, best.symbol) == ("shop/cart.py", "Cart.total")
    assert not (tmp_path / "cache").exists()
    assert index.glance("???") == ()
    trace = 'KeyError\n  File "/x/shop/prices.py", line 5, in price_of'
    assert index.glance(trace)[0].symbol == "price_of"
    index.update()
    assert index.glance("merge carts") == index.localize("merge carts")


@pytest.mark.parametrize("text", ["", " \n", "???", "the of and", "\0\ud800", "x" * 1_000_000])
def test_questions_that_say_nothing(tmp_path: Path, text: str) -> None:
    index = opened(tmp_path)
    assert index.search(text) == index.localize(text) == ()


def test_limits(tmp_path: Path) -> None:
    index = opened(tmp_path)
    assert index.search("cart", limit=0) == ()
    assert len(index.search("cart", limit=2)) == 2


@pytest.mark.parametrize("query", [None, "cart total rounding"])
@pytest.mark.parametrize("budget", [0, 1, 7, 20, 45, 90, 10_000])
def test_a_map_never_exceeds_its_budget(tmp_path: Path, query: str | None, budget: int) -> None:
    index = opened(tmp_path)

    def count(text: str) -> int:  # counts a whole text higher than the sum of its lines
        return estimate_tokens(text) + 2 * text.count("\n") ** 2

    for counter in (None, count):
        found = index.map(query, budget, counter)
        assert found.tokens == (counter or estimate_tokens)(found.text) <= budget


def test_a_map_is_the_same_every_time(tmp_path: Path) -> None:
    index = opened(tmp_path)
    assert index.map("merge two carts", 60).text == (
        "shop/cart.py:\n"
        "  MAX_ITEMS = 99  :7\n"
        "  class Cart  :10\n"
        "    def add(self, name, count=1)  :19\n"
        "  def merge_carts(left, right)  :29\n"
        "tests/test_cart.py:\n"
        "  def test_merge_carts()  :10\n"
    )
    assert index.map(None, 60).text == (
        "shop/prices.py:\n"
        "  def price_of(name)  :4\n"
        "  def round_price(amount)  :8\n"
        "shop/cart.py:\n"
        "  class Cart  :10\n"
        "    def add(self, name, count=1)  :19\n"
        "  def merge_carts(left, right)  :29\n"
    )
    fresh = open_index(index.root, tmp_path / "other")
    for query in (None, "merge two carts"):
        assert fresh.map(query, 120) == index.map(query, 120)


def test_focus_comes_first_in_a_map(tmp_path: Path) -> None:
    index = opened(tmp_path)
    assert index.map("merge carts", 200, focus=["web/app.js"]).text.startswith("web/app.js:\n")


def test_a_pack_holds_target_class_imports_callees_and_tests(tmp_path: Path) -> None:
    index = opened(tmp_path)
    pack = index.pack("shop/cart.py", symbol="Cart.total", budget_tokens=1000)
    roles = [(i.role, i.path, i.first_line, i.last_line) for i in pack.items]
    assert roles == [
        ("target", "shop/cart.py", 25, 26),
        ("class", "shop/cart.py", 10, 14),
        ("imports", "shop/cart.py", 3, 5),
        ("callee", "shop/prices.py", 8, 8),
        ("callee", "shop/prices.py", 4, 4),
        ("test", "tests/test_cart.py", 4, 7),
    ]
    assert pack.items[0].text.startswith("    def total(self):\n        return round_price(")
    assert pack.tokens == sum(estimate_tokens(i.text) for i in pack.items)


@pytest.mark.parametrize("budget", [1, 10, 30, 60, 100, 200])
def test_a_pack_never_exceeds_its_budget_and_marks_every_cut(tmp_path: Path, budget: int) -> None:
    body = "".join(f"    step_{i} = {i}\n" for i in range(200))
    index = opened(tmp_path, {"long.py": f"def long():\n{body}    return 1\n"})
    pack = index.pack("long.py", line=100, budget_tokens=budget)
    assert pack.tokens <= budget
    for item in pack.items:
        assert item.role == "window"
        assert item.first_line <= 100 <= item.last_line
        assert item.text.count("… cut: lines") == 2


def test_a_pack_of_module_code_is_a_window(tmp_path: Path) -> None:
    index = opened(tmp_path)
    pack = index.pack("shop/cart.py", line=7, budget_tokens=300)
    assert (pack.items[0].role, pack.items[0].first_line) == ("window", 1)
    with pytest.raises(KeyError):
        index.pack("shop/cart.py", symbol="Cart.nothing", budget_tokens=300)


def test_importing_the_index_loads_nothing_heavy() -> None:
    heavy = ("numpy", "tree_sitter", "pathspec", "git")
    code = f"import tools.index, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
