"""What may be trained on: licences, reserved packages, vendored copies."""

from pathlib import Path

import pytest

from training.corpus import gather, read_functions
from training.sources import HELD_OUT, RESERVED, SourceFile, functions, packages, usable

_CODE = """def {name}(a, b):
    total = a * {n}
    return total + b
"""


def install(site: Path, name: str, licence: str, files: dict[str, str]) -> None:
    """A distribution as pip leaves it."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {licence}\n"
    )
    for path, text in files.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (info / "RECORD").write_text("".join(f"{p},,\n" for p in files))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    def code(name: str, n: int) -> str:
        return _CODE.format(name=name, n=n)

    root = tmp_path / "site"
    install(
        root,
        "free",
        "MIT",
        {
            "free/a.py": code("ours", 2),
            "free/copy.py": code("copied_from_reserved", 7),
            "free/_vendor/b.py": code("vendored", 3),
            "free/tests/test_a.py": code("a_test", 4),
        },
    )
    install(root, "viral", "GPL-3.0-only", {"viral.py": code("copyleft", 5)})
    install(root, "toolz", "BSD-3-Clause", {"toolz.py": code("reserved", 7)})
    install(root, "jmespath", "MIT", {"jmespath.py": code("held", 8)})
    return root


def test_only_permissive_packages_are_listed(site: Path) -> None:
    found = {p.name: p for p in packages((site,))}
    assert set(found) == {"python", "free", "toolz", "jmespath"}
    assert [p.name for p in found["free"].paths] == ["a.py", "copy.py"]
    assert not usable(found["toolz"])


def test_no_reserved_or_held_out_code_is_trained_on(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real standard library takes a minute: a two-file stand-in, found the same way.
    library = tmp_path / "stdlib"
    library.mkdir()
    (library / "text.py").write_text(_CODE.format(name="standard", n=9))
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(library)})
    gather(tmp_path / "out", (site,))
    trained = {f.name for f in read_functions(tmp_path / "out" / "functions.jsonl")}
    held = {f.name for f in read_functions(tmp_path / "out" / "held_out.jsonl")}
    assert "copied_from_reserved" not in trained, "a copy of a reserved function"
    assert trained == {"ours", "standard"}
    assert held == {"held"}


def test_stubs_and_benchmark_programs_are_left_out() -> None:
    text = """
class A:
    @overload
    def stub(
        self, a: int
    ) -> int: ...

    def kept(self, a):
        b = a
        return b

def gcd(a, b):
    while b:
        a, b = b, a % b
    return a
"""
    file = SourceFile(package="p", path="a.py", text=text)
    assert [f.name for f in functions(file)] == ["kept"]


def test_held_out_and_reserved_are_apart() -> None:
    assert not HELD_OUT & RESERVED
