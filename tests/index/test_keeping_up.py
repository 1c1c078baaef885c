"""The index follows the disk, survives damage and takes only the files it should."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.index.shop import SHOP, opened, write
from tools.index import open_index


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
