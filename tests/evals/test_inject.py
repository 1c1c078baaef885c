"""Injected bugs: seeded, proved by the package's own tests, told by what they do; no circle."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import grimp
import pytest

from agent.cli.main import main
from evals.datasets import load_recipes
from evals.datasets.build import build
from evals.datasets.inject import Trial, bugs, injected, snippets
from evals.datasets.recipe import Edit, Package, Recipe
from evals.datasets.slips import SLIPS, Replace, Source, functions
from evals.datasets.sources import sdist, unpack
from tests.evals import tiny
from tools.sandbox import pick

CODE = '''\
def price(items, rate, floor=0, *, label=None):
    """A docstring with < and not."""
    if not items:
        return 0
    if rate < 0:
        raise ValueError("rate")
    total = 0
    for count, each in items:
        if count <= 0 and each:
            continue
        total += count * each
    total = round(total, 2)
    if label == "net":
        total = total - floor
    elif label == "gross":
        total = total * rate + floor
    else:
        total = max(total, floor)
    return items[1:] and total or min(total, rate)
'''


def texts(code: str) -> dict[str, list[str]]:
    """What every slip makes of a module with one function."""
    source = Source(code.encode())
    (function,) = functions(source)
    found: dict[str, list[str]] = {}
    for slip in SLIPS:
        for spans in slip.make(function):
            text = source.data
            for span in sorted(spans, key=lambda s: s.start, reverse=True):
                text = text[: span.start] + span.text + text[span.end :]
            found.setdefault(slip.name, []).append(text.decode())
    return found


def test_every_slip_changes_code_and_leaves_code():
    found = texts(CODE)
    assert set(found) >= {
        "limit", "contrary", "neighbour", "mistaken", "exchanged", "either", "unguarded",
        "unhandled", "unprepared", "formula",
    }  # fmt: skip
    for made in found.values():
        for text in made:
            assert text != CODE
            ast.parse(text)
            assert "A docstring with < and not." in text
    assert any("rate <= 0" in t for t in found["limit"])
    assert any('raise ValueError("rate")' not in t for t in found["unguarded"])
    assert all("elif" not in t for t in found["unhandled"])
    assert any("total = round" not in t for t in found["unprepared"])
    assert any("total + (rate - floor)" in t for t in found["formula"])
    assert any("round(2, total)" in t for t in found["exchanged"])


def test_snippets_are_whole_lines_that_occur_once():
    data = b"a = 1\nb = 2\nif x:\n    b = 2\n"
    start = data.rindex(b"2")
    (edit,) = snippets("m.py", data, [Replace(start=start, end=start + 1, text=b"3")])
    assert data.count(edit.old.encode()) == 1
    assert data.decode().replace(edit.old, edit.new) == "a = 1\nb = 2\nif x:\n    b = 3\n"
    same = b"x = 1\nx = 1\n"
    (whole,) = snippets("m.py", same, [Replace(start=4, end=5, text=b"2")])
    assert whole.new == "x = 2\nx = 1\n"


def shop() -> Package:
    """A package of two modules, as a source distribution in the cache."""
    files = {
        "shop/__init__.py": "from shop.cart import price\nfrom shop.tax import tax\n",
        "shop/cart.py": tiny.SHOP,
        "shop/tax.py": tiny.TAX,
        "tests/test_shop.py": tiny.SHOP_TESTS,
    }
    return tiny.packed("shop", "2.0", files)


@pytest.mark.slow
def test_bugs_are_proved_told_and_the_same_for_a_seed():
    package = shop()
    heard: list[str] = []
    found = list(injected(package, pick("auto"), seed=3, count=2, told=heard.append))
    assert len(found) == 2
    assert {r.stratum for r in found} == {"reach", "beyond"}
    assert any(len(r.edits) > 1 for r in found)
    for recipe in found:
        instance = build(recipe, pick("auto"))
        assert instance.FAIL_TO_PASS
        assert instance.PASS_TO_PASS
        # where it was put is not told, neither in the issue nor in the id
        assert not any(slip.name in recipe.problem_statement for slip in SLIPS)
        assert re.fullmatch(r"s3-\d\d", recipe.id)
        if not recipe.tests_visible:
            assert "```python" in recipe.problem_statement
            assert re.search(r"It (returns|raises) `", recipe.problem_statement)
    (again,) = injected(package, pick("auto"), seed=3, count=1)
    assert again == found[0]


QUEUE = """\
def leave(rows):
    del rows[:1]


def join(rows):
    rows.append("last")
"""
QUEUE_TESTS = """\
from queue_ import join, leave


def test_both_of_them():
    rows = ["first", "second"]
    leave(rows)
    join(rows)
    assert rows == ["second", "last"]


def test_leaving():
    rows = ["first", "second"]
    leave(rows)
    assert rows == ["second"], "the wrong one left"


def test_joining():
    rows = []
    join(rows)
    assert rows == ["last"]


def test_nothing():
    assert join is not leave
"""


def test_where_no_call_shows_two_places_a_test_of_each_is_named(tmp_path):
    """What happens to an argument is no outcome of a call, so the issue points to tests."""
    files = {"queue_.py": QUEUE, "test_queue.py": QUEUE_TESTS}
    package = tiny.packed("queue_", "1.0", files)
    first = Edit(path="queue_.py", old="    del rows[:1]\n", new="    del rows[1:]\n")
    second = Edit(path="queue_.py", old='append("last")', new='insert(0, "first")')
    recipe = Recipe(
        id="x",
        package=package,
        edits=(first, second),
        stratum="beyond",
        tests_visible=True,
        problem_statement="",
    )
    unpack(sdist(package), tmp_path / "clean")
    blank = replace(recipe, edits=())
    heard: list[str] = []
    trial = Trial(blank, tmp_path / "clean", pick("auto"), heard.append)
    told = trial.told_by(recipe, [(first,), (second,)], hide=True)
    assert told is not None, heard
    assert told.tests_visible
    named = re.findall(r"^`(.*)` fails:$", told.problem_statement, re.MULTILINE)
    assert named == ["test_queue.py::test_leaving", "test_queue.py::test_joining"]
    assert "the wrong one left" in told.problem_statement


def test_the_committed_issues_of_two_places_tell_of_both():
    for recipe in load_recipes():
        places = re.fullmatch(r"(\w+) and (\w+) in .*", recipe.origin)
        if places is None or not recipe.edits:
            continue
        assert len(recipe.edits) == 2
        said = len(re.findall(r"^`.*` fails:$", recipe.problem_statement, re.MULTILINE))
        # a call that comes out otherwise with each place alone asks for both
        assert said == (2 if recipe.tests_visible else 0), recipe.instance_id


def test_two_files_and_two_places_are_what_they_say(tmp_path):
    for name, text in (("a.py", tiny.SHOP), ("b.py", tiny.TAX), ("test_a.py", tiny.SHOP)):
        (tmp_path / name).write_text(text)
    pairs = list(bugs(tmp_path, "pair"))
    files = list(bugs(tmp_path, "files"))
    assert pairs
    assert files
    assert all(len({path for path, _ in b.parts}) == 1 for b in pairs)
    assert all(len({path for path, _ in b.parts}) == 2 for b in files)
    assert all(b.stratum == "beyond" for b in (*pairs, *files))
    assert not any("test_a.py" in path for b in (*pairs, *files) for path, _ in b.parts)


def test_the_command_writes_recipes_that_are_read_back(tmp_path):
    package = shop()
    seed = tmp_path / "shop.toml"
    seed.write_text(
        f'[package]\nname = "shop"\nversion = "2.0"\nsha256 = "{package.sha256}"\n'
        f'test_cmd = "{package.test_cmd}"\n[[bug]]\nid = "x"\nstratum = "reach"\n'
        'tests_visible = true\nproblem_statement = "p"\n'
        '[[bug.edit]]\npath = "shop/tax.py"\nold = "a"\nnew = "b"\n'
    )
    out = tmp_path / "out.toml"
    assert (
        main(["eval", "inject", str(seed), "--out", str(out), "--seed", "5", "--count", "1"]) == 0
    )
    (recipe,) = load_recipes(out)
    assert recipe.package == replace(package, licence="")


def test_the_injector_shares_nothing_with_the_enumerator_and_the_training():
    graph = grimp.build_graph("agent", "tools", "prompts", "evals")
    mine = ("slips", "inject", "witness", "watch", "undo", "mine", "history", "recipe")
    for name in mine:
        above = graph.find_upstream_modules(f"evals.datasets.{name}")
        assert not [m for m in above if m.startswith(("tools.enumerate", "tools.rivals"))], name
    for package in ("tools", "agent"):
        below = graph.find_upstream_modules(package, as_package=True)
        assert not [m for m in below if m.startswith("evals")]
    root = Path(__file__).parents[2]
    for path in (root / "training").glob("*.py"):
        imported = re.findall(r"^\s*(?:from|import)\s+([\w.]+)", path.read_text(), re.MULTILINE)
        assert not [m for m in imported if m.startswith("evals.datasets")], path
    for name in mine:
        text = (root / "evals" / "datasets" / f"{name}.py").read_text()
        assert not re.search(r"^\s*(from|import)\s+training", text, re.MULTILINE)
