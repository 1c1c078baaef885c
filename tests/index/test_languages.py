"""What is found in each language, against a golden file that was read by a person."""

from pathlib import Path

import pytest

from tools.index.build import build
from tools.index.extract import extract
from tools.index.languages import is_test, is_vendored, language_of
from tools.index.segment import Head

SAMPLES = Path(__file__).parent / "samples"


def head(source: bytes, language: str) -> Head:
    (record,) = extract([(source, language)])
    return build([("path", "blob", record)]).head(0)


def outline(path: Path) -> str:
    """Every definition of a sample, one a line."""
    record = head(path.read_bytes(), language_of(path.name) or "")
    lines = [
        f"  {d.line}-{d.end_line} {d.kind} {d.name} | {d.signature}\n"
        for d in record.definitions[1:]
    ]
    return f"{path.name} imports {', '.join(record.modules) or 'nothing'}\n{''.join(lines)}"


def test_definitions_of_every_language() -> None:
    found = "".join(outline(p) for p in sorted(SAMPLES.iterdir()) if p.suffix != ".txt")
    assert found == (SAMPLES / "golden.txt").read_text()


def test_macros_that_break_the_tree_leave_the_regex_tier() -> None:
    source = b"BEGIN_DECLS(\n" + b"".join(
        b"API_EXPORT(int)\nfn_%d(int a) MACRO_ATTR\n{\n  return %d;\n}\n\n" % (i, i)
        for i in range(8)
    )
    names = {d.name for d in head(source, "c").definitions}
    assert len(names & {f"fn_{i}" for i in range(8)}) >= 6


@pytest.mark.parametrize(
    ("path", "test", "vendored"),
    [
        ("tests/test_a.py", True, False),
        ("src/a_test.go", True, False),
        ("src/app.spec.ts", True, False),
        ("src/test/java/A.java", True, False),
        ("src/contest.py", False, False),
        ("src/latest/a.py", False, False),
        ("vendor/x/a.go", False, True),
        ("web/jquery.min.js", False, True),
        ("api/a_pb2.py", False, True),
    ],
)
def test_tests_and_vendored_code_are_told_by_their_path(
    path: str, test: bool, vendored: bool
) -> None:
    assert (is_test(path), is_vendored(path)) == (test, vendored)
