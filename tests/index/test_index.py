"""The index over real trees: what it finds, keeps up with, and survives."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tools.index import Index, estimate_tokens, open_index

SHOP = {
    "shop/__init__.py": "",
    "shop/cart.py": '''"""A cart."""

import math

from shop.prices import price_of, round_price

MAX_ITEMS = 99


class Cart:
    """Holds items."""

    limit = MAX_ITEMS

    def __init__(self, owner):
        self.owner = owner
        self.items = []

    def add(self, name, count=1):
        """Add an item; a full cart refuses it."""
        if len(self.items) + count > self.limit:
            raise ValueError("cart is full")
        self.items += [name] * count

    def total(self):
        return round_price(math.fsum(price_of(name) for name in self.items))


def merge_carts(left, right):
    cart = Cart(left.owner)
    for name in left.items + right.items:
        cart.add(name)
    return cart
''',
    "shop/prices.py": """PRICES = {"tea": 2.5}


def price_of(name):
    return PRICES[name]


def round_price(amount):
    return round(amount, 2)
""",
    "tests/test_cart.py": """from shop.cart import Cart, merge_carts


def test_total_is_rounded():
    cart = Cart("ann")
    cart.add("tea")
    assert cart.total() == 2.5


def test_merge_carts():
    assert merge_carts(Cart("a"), Cart("b")).items == []
""",
    "web/app.js": """import { get } from "./http.js";

export const LIMIT = 3;

export class CartView {
  render(cart) {
    return cart.items.map((item) => item.name);
  }
}

export const loadCart = async (id) => get(`/cart/${id}`);
""",
}


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)


def opened(tmp_path: Path, files: dict[str, str | bytes] | dict[str, str] = SHOP) -> Index:
    root = tmp_path / "repo"
    root.mkdir()
    write(root, dict(files))
    return open_index(root, tmp_path / "cache")


# ----------------------------------------------------------------------- looking up


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


# ----------------------------------------------------------------------- keeping up


def test_update_follows_the_disk(tmp_path: Path) -> None:
    index = opened(tmp_path)
    first = index.update()
    assert (first.files, first.changed, first.parsed) == (4 + 1, 5, 5)
    assert index.update().changed == 0
    root = index.root
    write(
        root, {"shop/prices.py": "def price_of(item):\n    return 1\n", "shop/tax.py": "VAT = 1\n"}
    )
    (root / "web/app.js").unlink()
    second = index.update()
    assert (second.files, second.changed, second.parsed) == (5, 3, 2)
    assert index.find("round_price") == ()
    assert index.find("VAT")[0].path == "shop/tax.py"
    assert index.symbols("web/app.js") == ()


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update()
    target = index.root / "shop/prices.py"
    stat = target.stat()
    target.write_text(target.read_text().replace("round_price", "floor_price"))
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    index.update()
    assert index.find("floor_price")
    assert not index.find("round_price")


def test_records_are_shared_and_survive_the_process(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update()
    again = open_index(index.root, tmp_path / "cache")
    assert again.update().parsed == 0
    assert again.find("Cart.add") == index.find("Cart.add")
    other = tmp_path / "worktree"
    write(other, dict(SHOP))
    assert open_index(other, tmp_path / "cache").update().parsed == 0


def test_the_repository_is_not_written_to(tmp_path: Path) -> None:
    index = opened(tmp_path)
    before = sorted(index.root.rglob("*"))
    index.update()
    index.map("cart", 200)
    assert sorted(index.root.rglob("*")) == before


@pytest.mark.parametrize("damage", [b"", b"garbage", b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_database_is_built_again_and_said_so(tmp_path: Path, damage: bytes) -> None:
    index = opened(tmp_path)
    index.update()
    wanted = index.map("cart", 500)
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(damage)
    again = open_index(index.root, tmp_path / "cache")
    stats = again.update()
    assert stats.parsed == 5
    assert bool(stats.rebuilt) == bool(damage)
    assert again.map("cart", 500) == wanted


def test_a_damaged_record_is_parsed_again(tmp_path: Path) -> None:
    index = opened(tmp_path)
    index.update()
    (file,) = (tmp_path / "cache").glob("*.sqlite")
    db = sqlite3.connect(file)
    db.execute("update record set data = substr(data, 1, length(data) - 3)")
    db.commit()
    db.close()
    again = open_index(index.root, tmp_path / "cache")
    again.update()
    assert again.symbols("shop/cart.py") == index.symbols("shop/cart.py")


def test_two_processes_at_once(tmp_path: Path) -> None:
    index = opened(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tools.index import open_index\n"
        "i = open_index(Path(sys.argv[1]), Path(sys.argv[2])); i.update()\n"
        "print(len(i.find('Cart')), i.map('cart', 300).text)"
    )
    argv = [sys.executable, "-c", code, str(index.root), str(tmp_path / "cache")]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {p.communicate(timeout=60)[0] for p in running}
    assert [p.returncode for p in running] == [0, 0, 0]
    assert said == {f"1 {index.map('cart', 300).text}\n"}


# ----------------------------------------------------------------------- which files


def test_ignored_files_without_git(tmp_path: Path) -> None:
    files = {
        ".gitignore": "out/\n*.gen.py\n",
        ".agentignore": "secret.py\n",
        "a.py": "A = 1\n",
        "secret.py": "S = 1\n",
        "out/b.py": "B = 1\n",
        "pkg/.gitignore": "/local.py\n!keep.gen.py\n",
        "pkg/local.py": "L = 1\n",
        "pkg/sub/local.py": "M = 1\n",
        "pkg/keep.gen.py": "K = 1\n",
        "pkg/drop.gen.py": "D = 1\n",
        "node_modules/x/index.js": "var y = 1;\n",
    }
    index = opened(tmp_path, files)
    assert set(index.paths()) == {"a.py", "pkg/sub/local.py", "pkg/keep.gen.py"}


def test_git_decides_in_a_repository_and_cannot_run_commands(tmp_path: Path) -> None:
    index = opened(tmp_path, {**SHOP, ".gitignore": "web/\n"})
    mark = tmp_path / "ran"
    for args in (
        ["init", "-q"],
        ["add", "shop"],
        ["config", "core.fsmonitor", f"touch {mark}"],
    ):
        subprocess.run(["git", *args], cwd=index.root, check=True)
    mark.unlink(missing_ok=True)
    assert index.paths() == (
        "shop/__init__.py",
        "shop/cart.py",
        "shop/prices.py",
        "tests/test_cart.py",
    )
    assert not mark.exists()


def test_a_directory_that_the_repository_around_it_ignores_is_walked(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("repo/\n")
    assert "shop/cart.py" in opened(tmp_path).paths()


def test_the_caller_may_list_the_files(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    write(root, dict(SHOP))
    listed = ["shop/cart.py", "../outside.py", "gone.py", "/etc/hosts.py"]
    write(tmp_path, {"outside.py": "X = 1\n"})
    index = open_index(root, tmp_path / "cache", files=lambda: listed)
    assert index.paths() == ("shop/cart.py",)


def test_bad_files_are_left_out_and_good_ones_found(tmp_path: Path) -> None:
    deep = "(\n" * 20_000 + ")" * 20_000
    nested = "".join(f"{' ' * i}def f{i}():\n" for i in range(200)) + " " * 200 + "pass\n"
    files: dict[str, str | bytes] = {
        "ok.py": "def fine(): pass\n",
        "binary.py": b"\0\1\2" * 100,
        "huge.py": b"x = 1\n" * 400_000,
        "min.js": "var a=1;" * 10_000,
        "latin.py": "# caf\xe9\ndef caf\xe9(): pass\n".encode("latin-1"),
        "deep.py": f"x = {deep}\n",
        "nested.py": nested,
        "broken.py": "def half(:\n  class\n\ndef whole(): pass\n",
        "crlf.py": "def a():\r\n    pass\r\n\r\ndef b():\r\n    pass\r\n",
        "empty.py": "",
        "sp ace\n.py": "def odd(): pass\n",
    }
    index = opened(tmp_path, files)
    root = index.root
    os.mkfifo(root / "fifo.py")
    (root / "loop.py").symlink_to("loop.py")
    (root / "out.py").symlink_to("/etc/hosts")
    (root / "loopdir").symlink_to(".")
    found = set(index.paths())
    assert found.isdisjoint({"binary.py", "huge.py", "min.js", "fifo.py", "loop.py", "out.py"})
    assert {"ok.py", "latin.py", "deep.py", "nested.py", "empty.py", "sp ace\n.py"} <= found
    assert [s.name for s in index.find("whole")] == ["whole"]
    assert [(s.line, s.end_line) for s in index.symbols("crlf.py")] == [(1, 2), (4, 5)]
    assert index.find("odd")[0].path == "sp ace\n.py"
    assert len(index.symbols("nested.py")) > 20
    assert not any("loopdir" in p for p in found)


# ----------------------------------------------------------------------- views


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
