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
    package = packed("till", "1.0", {"till.py": GOOD, "test_till.py": TESTS})
    return Recipe(
        id="discount",
        package=package,
        edits=(Edit(path="till.py", old=old, new=new),),
        stratum="reach",
        tests_visible=visible,
        problem_statement=ISSUE,
    )


SHOP = '''\
"""Prices of carts."""


def price(counts, each, floor=0, rate=2):
    """Count by count; at least `floor`."""
    if rate <= 0:
        raise ValueError("rate")
    total = 0
    for count in counts:
        if count < 0:
            continue
        total += count * each
    total = total * rate + floor
    if total > 100:
        return 100
    return total


def first(names, default, other):
    """The first name, or the default; `other` where that is empty."""
    if not names:
        return default or other
    return names[0]
'''
TAX = '''\
"""Taxes."""


def tax(amount, rate, limit=50):
    """In whole units; nothing below the limit."""
    if amount < limit:
        return 0
    amount -= limit
    if rate == "low":
        return amount // 10 + 1
    elif rate == "high":
        return amount // 5 + 2
    return amount // 7
'''
SHOP_TESTS = """\
import pytest

from shop.cart import first, price
from shop.tax import tax


def test_price():
    assert price([1, 2], 3) == 18
    assert price([1], 3, 5) == 11


def test_negative_counts_are_left_out():
    assert price([1, -2], 3) == 6


def test_price_has_a_top():
    assert price([99], 99) == 100


def test_rate():
    with pytest.raises(ValueError):
        price([1], 1, 0, 0)


def test_first():
    assert first(["a", "b"], "c", "d") == "a"


def test_first_of_none():
    assert first([], "c", "d") == "c"
    assert first([], "", "d") == "d"


def test_no_tax():
    assert tax(49, "low") == 0


def test_limit():
    assert tax(50, "low") == 1


def test_low():
    assert tax(90, "low") == 5


def test_high():
    assert tax(90, "high") == 10


def test_other():
    assert tax(120, "none") == 10


def test_name():
    assert price.__name__ == "price"


def test_nothing():
    assert price([], 1) == 0


def test_words():
    assert first(["x"], "y", "z") == "x"


def test_more():
    assert tax(64, "other") == 2
"""


def packed(name: str, version: str, files: dict[str, str]) -> Package:
    """A source distribution in the cache, as if it had been fetched."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    digest = hashlib.sha256(data.getvalue()).hexdigest()
    folder = cache_dir() / "evals" / "sdists" / digest
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{version}.tar.gz").write_bytes(data.getvalue())
    return Package(name=name, version=version, sha256=digest, test_cmd="python -m pytest")
