"""The line and symbol formats, and the syntax check after an edit."""

import pytest

from tools import edits
from tools.edits import LineFormat
from tools.edits.syntax import check_syntax
from tools.errors import AmbiguousMatch, EditError, NoMatch, UnparseableEdit
from tools.types import FileChange, Patch


def named(
    answer: str, files: dict[str, bytes], form: str = "search_replace"
) -> dict[str, bytes | None]:
    assert form in ("search_replace", "symbol")
    patch = edits.get("symbol" if form == "symbol" else "search_replace").parse(answer, files.get)
    for change in patch.changes:
        assert change.before == files.get(change.path)
    return {c.path: c.after for c in patch.changes}


def line(answer: str, source: bytes = b"a\nb\nc\nd\ne\n", first: int = 2, last: int = 4) -> bytes:
    patch = LineFormat("f.py", first, last).parse(answer, {"f.py": source}.get)
    assert patch.changes[0].after is not None
    return patch.changes[0].after


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        ("L1\nB", b"a\nB\nc\nd\ne\n"),
        ("L1\nB\n", b"a\nB\nc\nd\ne\n"),
        ("L3\n    x\n\n    y\n", b"a\nb\nc\n    x\n\n    y\ne\n"),
        ("L2", b"a\nb\nd\ne\n"),
        ("L1-L3\nx\n", b"a\nx\ne\n"),
        ("L1-3\n", b"a\ne\n"),
        ("L1\nx\n---\nL3\ny\n", b"a\nx\nc\ny\ne\n"),
        ("L3\ny\n---\nL1\nx\n", b"a\nx\nc\ny\ne\n"),
        ("L1\n---\nx\n", b"a\n---\nx\nc\nd\ne\n"),
        (">2\nx", b"a\nb\nx\nd\ne\n"),
    ],
)
def test_line_answers(answer: str, after: bytes) -> None:
    assert line(answer) == after


def test_line_numbers_are_those_shown() -> None:
    assert line("L1\nE", first=5, last=5) == b"a\nb\nc\nd\nE\n"
    assert line("L2\nB", b"a\r\nb\r\nc", first=1, last=3) == b"a\r\nB\r\nc"
    assert line("L3\nC\nD", b"a\r\nb\r\nc", first=1, last=3) == b"a\r\nb\r\nC\r\nD"
    assert line("L1\né", b"\xef\xbb\xbfa\nb", first=1, last=2) == b"\xef\xbb\xbf\xc3\xa9\nb"
    assert line("L1\n\xe9", b"\xe8\nb\n", first=1, last=2) == b"\xe9\nb\n"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("OK", EditError, "no change"),
        ("OK\n", EditError, "no change"),
        ("L1\nb\n", EditError, "no change"),
        ("L4\nx\n", NoMatch, "lines L1 to L3 were shown"),
        ("L0\nx\n", NoMatch, "lines L1 to L3"),
        ("L3-L2\nx\n", NoMatch, "lines L1 to L3"),
        ("return x", UnparseableEdit, "not a line number"),
        ("", UnparseableEdit, "empty"),
        ("L1-L2\nx\n---\nL2\ny\n", UnparseableEdit, "same line"),
    ],
)
def test_line_answers_that_are_refused(answer: str, error: type[EditError], says: str) -> None:
    with pytest.raises(error, match=says):
        line(answer)


def test_the_line_format_needs_its_span() -> None:
    with pytest.raises(ValueError, match="span"):
        edits.get("line")
    with pytest.raises(ValueError, match="span"):
        LineFormat("f", 3, 2)
    with pytest.raises(NoMatch, match="does not exist"):
        LineFormat("f", 1, 1).parse("L1\nx", lambda path: None)


# ------------------------------------------------------------------------------- symbol

MODULE = b'''\
import os
LIMIT = 3


@decorated(1)
def top(x):
    """Doc."""
    return x


class A:
    size: int = 1

    @property
    def v(self):
        return 1

    @v.setter
    def v(self, value):
        pass

    async def go(self):
        text = """
  kept
"""
        return text


if os:
    def twice(): pass
else:
    def twice(): return 1
'''


def symbol(address: str, code: str, source: bytes = MODULE) -> bytes:
    after = named(f"{address}\n```python\n{code}```\n", {"f.py": source}, "symbol")["f.py"]
    assert after is not None
    return after


def test_a_function_with_its_decorators_is_replaced() -> None:
    old = MODULE[MODULE.index(b"@decorated") : MODULE.index(b"\n\nclass A")]
    new = "def top(x, y):\n    return y\n"
    assert symbol("f.py::top", new) == MODULE.replace(old, new.encode())


@pytest.mark.parametrize("indent", ["", "    ", "        "])
def test_a_method_is_indented_to_fit(indent: str) -> None:
    code = ["async def go(self):", "    if self:", "        return 5"]
    after = symbol("`f.py::A.go`", "".join(f"{indent}{line}\n" for line in code))
    start = MODULE.index(b"    async def go")
    stop = MODULE.index(b"\n\nif os")
    assert after == (
        MODULE[:start]
        + b"    async def go(self):\n        if self:\n            return 5\n"
        + MODULE[stop:]
    )


def test_the_inside_of_a_string_keeps_its_blanks() -> None:
    code = 'async def go(self):\n    text = """\n  kept\n"""\n    return text + "!"\n'
    assert symbol("f.py::A.go", code) == MODULE.replace(b"return text", b'return text + "!"')


def test_decorators_tell_a_property_from_its_setter() -> None:
    code = "@v.setter\ndef v(self, value):\n    self.x = value\n"
    assert symbol("f.py::A.v", code) == MODULE.replace(
        b"        pass\n", b"        self.x = value\n"
    )
    with pytest.raises(AmbiguousMatch, match=r"defines A\.v 2 times, at lines 14, 18"):
        symbol("f.py::A.v", "def v(self):\n    return 2\n")
    with pytest.raises(AmbiguousMatch, match="twice 2 times"):
        symbol("f.py::twice", "def twice():\n    return 2\n")


def test_constants_and_whole_classes() -> None:
    assert symbol("f.py::LIMIT", "LIMIT = 4\n") == MODULE.replace(b"LIMIT = 3", b"LIMIT = 4")
    assert symbol("f.py::A.size", "size: int = 2\n") == MODULE.replace(b"int = 1", b"int = 2")
    after = symbol("f.py::A", "class A:\n    pass\n")
    assert b"class A:\n    pass\n\n\nif os:" in after


def test_crlf_symbols() -> None:
    source = MODULE.replace(b"\n", b"\r\n")
    after = symbol("f.py::A.v", "@property\ndef v(self):\n    return 2\n", source)
    assert after == source.replace(b"return 1\r\n\r\n    @v", b"return 2\r\n\r\n    @v")


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("f.py::A.gone\n```\ndef gone(self): pass\n```", NoMatch, r"It defines: .*A\.go"),
        ("g.py::A\n```\nclass A: pass\n```", NoMatch, "does not exist"),
        ("f.py::top\n```\ndef other(): pass\n```", UnparseableEdit, "must hold the definition"),
        ("f.py::top\n```\ndef top(): pass\nx = 1\n```", UnparseableEdit, "nothing else"),
        ("f.py::top\n```\ndef top(:\n```", UnparseableEdit, "line 1: def top"),
        ("f.py::top\n```\ndef top(): pass\n", UnparseableEdit, "cut off"),
        ("f.py::top\ndef top(): pass\n", UnparseableEdit, "no ``` fence"),
        ("def top(): pass\n", UnparseableEdit, "no definition"),
        ("f.py::LIMIT\n```\nLIMIT = 3\n```", EditError, "no change"),
    ],
)
def test_symbol_answers_that_are_refused(answer: str, error: type[EditError], says: str) -> None:
    with pytest.raises(error, match=says):
        named(answer, {"f.py": MODULE}, "symbol")


def test_a_shared_line_or_a_broken_file_is_refused() -> None:
    with pytest.raises(EditError, match="shares a line"):
        symbol("f.py::b", "b = 3\n", b"a = 1; b = 2\n")
    with pytest.raises(EditError, match="shares a line"):
        symbol("f.py::a", "a = 3\n", b"a = 1; b = 2\n")
    with pytest.raises(EditError, match="not valid Python"):
        symbol("f.py::a", "a = 3\n", b"a = = 1\n")


# ------------------------------------------------------------------------------- syntax


def change(before: bytes | None, after: bytes | None, path: str = "f.py") -> Patch:
    return Patch(changes=(FileChange(path=path, before=before, after=after),))


def test_an_edit_that_breaks_a_file_is_told_where() -> None:
    with pytest.raises(UnparseableEdit) as caught:
        check_syntax(change(b"a = 1\n", b"x = 1\ndef f(:\n    pass\n"))
    assert "f.py is not valid Python" in str(caught.value)
    assert "> 2: def f(:" in str(caught.value)
    with pytest.raises(UnparseableEdit):
        check_syntax(change(None, b"(\n"))
    with pytest.raises(UnparseableEdit):
        check_syntax(change(b"", b"(" * 5000 + b")" * 5000))


def test_what_syntax_is_not_asked_of() -> None:
    check_syntax(change(b"print 1\n", b"print 2\n"))  # broken before: another Python
    check_syntax(change(b"{", b"((", "f.json"))
    check_syntax(change(b"a", None))
    check_syntax(change(b"a = 1\n", b"a = '\\d'\n"))  # a warning is no error
