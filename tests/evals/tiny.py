"""A tiny package with a bug, as a source distribution and as an instance. No network needed."""

import hashlib
import io
import tarfile
from pathlib import Path

from agent.paths import cache_dir
from evals.datasets import Edit, Instance, Recipe
from evals.datasets.recipe import Package

GOOD = '''\
"""Sums of money."""


def total(prices, discount=0):
    """The sum of all prices, less a discount, but never below zero."""
    value = sum(prices) - discount
    if value < 0:
        return 0
    return value
'''
OLD = "    value = sum(prices) - discount\n"
NEW = "    value = sum(prices) + discount\n"
BAD = GOOD.replace(OLD, NEW)
TESTS = """\
import pytest

from till import total


def test_sum():
    assert total([1, 2]) == 3


class TestDiscount:
    def test_discount(self):
        assert total([10], discount=3) == 7
        assert total([20], discount=5) == 15

    @pytest.mark.parametrize("value", [1, 2])
    def test_never_negative(self, value):
        assert total([1], discount=5) == 0


def test_nothing():
    assert total([]) == 0
"""
DISCOUNT = "test_till.py::TestDiscount::test_discount"
NEGATIVE = "test_till.py::TestDiscount::test_never_negative"
RED = (DISCOUNT, f"{NEGATIVE}[1]", f"{NEGATIVE}[2]")
GREEN = ("test_till.py::test_nothing", "test_till.py::test_sum")
ISSUE = """\
The discount is added instead of taken off:

```python
from till import total

assert total([10], discount=3) == 7
```

It gives 13.
"""
GOLD = f"""\
diff --git a/till.py b/till.py
--- a/till.py
+++ b/till.py
@@ -6 +6 @@
-{NEW}+{OLD}"""


def tree(root: Path) -> Path:
    """The buggy package with all of its tests."""
    root.mkdir(parents=True)
    (root / "till.py").write_text(BAD)
    (root / "test_till.py").write_text(TESTS)
    return root


def instance(root: Path, *, tests_visible: bool = True) -> Instance:
    return Instance(
        instance_id="till-discount",
        repo="till",
        base_commit="",
        patch=GOLD,
        test_patch="",
        problem_statement=ISSUE,
        FAIL_TO_PASS=RED,
        PASS_TO_PASS=GREEN,
        source_dir=str(tree(root)),
        tests_visible=tests_visible,
        stratum="reach",
    )


def recipe(*, old: str = OLD, new: str = NEW, visible: bool = True) -> Recipe:
    """Its source distribution is put into the cache, as if it had been fetched."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in (("till.py", GOOD), ("test_till.py", TESTS)):
            info = tarfile.TarInfo(f"till-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    digest = hashlib.sha256(data.getvalue()).hexdigest()
    folder = cache_dir() / "evals" / "sdists" / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "till-1.0.tar.gz").write_bytes(data.getvalue())
    package = Package(name="till", version="1.0", sha256=digest, test_cmd="python -m pytest")
    return Recipe(
        id="discount",
        package=package,
        edits=(Edit(path="till.py", old=old, new=new),),
        stratum="reach",
        tests_visible=visible,
        problem_statement=ISSUE,
    )
