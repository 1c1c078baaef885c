"""Small real git repositories for tests of the whole loop."""

import os
import subprocess
from pathlib import Path

PACKAGE = '''\
"""Prices."""


def clamp(value, low, high):
    """`value`, but not below `low` and not above `high`."""
    if value < low:
        return low
    if value > high:
        return low
    return value


def discount(price, percent):
    """The price after taking `percent` off, never negative."""
    return clamp(price - price * percent / 100, 0, price)
'''
FIXED = PACKAGE.replace("value > high:\n        return low", "value > high:\n        return high")
TESTS = """\
from shop import clamp, discount


def test_inside():
    assert clamp(5, 1, 9) == 5


def test_below():
    assert clamp(0, 1, 9) == 1


def test_discount():
    assert discount(200, 25) == 150
"""
RED = """

def test_above():
    assert clamp(12, 1, 9) == 9
    assert clamp(10, 1, 9) == 9
"""
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main")


def git(root: Path, *args: str) -> str:
    done = subprocess.run([*GIT, *args], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def shop(root: Path, *, tests: str = TESTS + RED) -> Path:
    """A committed repository with one bug in `clamp`."""
    root.mkdir(parents=True)
    (root / "shop.py").write_text(PACKAGE)
    (root / "test_shop.py").write_text(tests)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["."]\n')
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "shop")
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    """Every byte of the tree and of git's own state that a user could lose."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory) / name
            if not path.is_symlink():
                found[str(path.relative_to(root))] = path.read_bytes()
    return found
