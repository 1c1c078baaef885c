"""Edit formats: what models write, what files hold, and what is said when the two do not meet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import edits
from tools.edits.text import decode
from tools.errors import AmbiguousMatch, EditError, NoMatch, OutOfScope, UnparseableEdit
from tools.patch import from_diff


def block(path: str, search: str, replace: str) -> str:
    return f"{path}\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


def sr(answer: str, **files: bytes) -> dict[str, bytes | None]:
    return named(answer, {"f.py": b"", **{k.replace("_", "."): v for k, v in files.items()}})


def named(
    answer: str, files: dict[str, bytes], form: str = "search_replace"
) -> dict[str, bytes | None]:
    assert form in ("search_replace", "symbol")
    patch = edits.get("symbol" if form == "symbol" else "search_replace").parse(answer, files.get)
    for change in patch.changes:
        assert change.before == files.get(change.path)
    return {c.path: c.after for c in patch.changes}


SOURCE = b"""\
import os

class A:
    def one(self):
        return 1

    def two(self):
        return 2
"""

# ------------------------------------------------------------------------------- text


@given(st.binary(max_size=80).map(lambda b: b.replace(b"\0", b"\r\n")))
@settings(max_examples=300, deadline=None)
def test_text_turns_back_into_its_bytes(data: bytes) -> None:
    text = decode(data)
    assert text.encode("f") == data
    same = text.replaced(0, len(text.lines), tuple(line.text for line in text.lines))
    assert same.encode("f") == data


@given(st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_only_the_replaced_lines_change(words: list[str], data: st.DataObject) -> None:
    ends = [data.draw(st.sampled_from(["\n", "\r\n"])) for _ in words]
    source = "".join(w + e for w, e in zip(words, ends, strict=True)).encode()
    at = data.draw(st.integers(0, len(words) - 1))
    after = decode(source).replaced(at, at + 1, ("new", "lines")).encode("f")
    head = "".join(w + e for w, e in zip(words[:at], ends, strict=False)).encode()
    tail = "".join(w + e for w, e in zip(words[at + 1 :], ends[at + 1 :], strict=True)).encode()
    assert after.startswith(head + b"new")
    assert after.endswith(tail)
    assert after.count(b"\n") == source.count(b"\n") + 1


def test_encodings() -> None:
    declared = "# -*- coding: iso-8859-2 -*-\nx = 'ő'\n".encode("iso-8859-2")
    assert (decode(declared).encoding, decode(declared).shown[-3]) == ("iso8859-2", "ő")
    assert decode(b"caf\xe9").shown == "café"
    assert decode("\ufeffx\r\n".encode()).shown == "x\n"
    assert decode(b"# coding: rot13\n\xff").encoding == "latin-1"
    with pytest.raises(EditError, match=r"logo\.png is a binary file"):
        decode(b"\x89PNG\0", "logo.png")


# ------------------------------------------------------------------------------- search/replace


def test_an_exact_edit() -> None:
    answer = block("f.py", "        return 1\n", "        return 10\n")
    assert sr(answer, f_py=SOURCE) == {"f.py": SOURCE.replace(b"return 1", b"return 10")}


@pytest.mark.parametrize(
    "head",
    [
        "f.py\n", "`f.py`\n", "**f.py**\n", "### `f.py`:\n", "File: f.py\n", "./f.py\n",
        "Here is the fix:\n\nf.py\n```python\n", "```python\nf.py\n", "```python f.py\n",
        "f.py\n\n```\n", '"f.py"\n', "Filename: `f.py`\n```py\n",
    ],
)  # fmt: skip
def test_ways_to_name_the_file(head: str) -> None:
    answer = head + block("X", "        return 1\n", "        return 3\n")[2:] + "```\nDone.\n"
    assert sr(answer, f_py=SOURCE) == {"f.py": SOURCE.replace(b"return 1", b"return 3")}


def test_paths_with_blanks_and_newlines() -> None:
    files = {"my dir/a b.py": b"x\n", "odd\nname": b"y\n"}
    answer = block("my dir/a b.py", "x\n", "X\n") + block('"odd\\nname"', "y\n", "Y\n")
    assert named(answer, files) == {"my dir/a b.py": b"X\n", "odd\nname": b"Y\n"}


def test_several_blocks_and_files() -> None:
    answer = (
        block("f.py", "a\n", "A\n")
        + "\n<<<<<<< SEARCH\nA\nb\n=======\nB\n>>>>>>> REPLACE\n"
        + block("g.py", "c\n", "")
        + block("new/h.py", "", "made\n\nlines\n")
    )
    assert sr(answer, f_py=b"a\nb\n", g_py=b"c\nd\n") == {
        "f.py": b"B\n", "g.py": b"d\n", "new/h.py": b"made\n\nlines\n",
    }  # fmt: skip


def test_crlf_bom_latin1_and_a_missing_last_newline_stay() -> None:
    crlf = SOURCE.replace(b"\n", b"\r\n")
    answer = block("f.py", "        return 1\n", "        x = 1\n        return x\n")
    assert sr(answer, f_py=crlf)["f.py"] == crlf.replace(
        b"        return 1\r\n", b"        x = 1\r\n        return x\r\n"
    )
    bom = b"\xef\xbb\xbfa = 1\nb = 2"
    assert sr(block("f.py", "a = 1\n", "a = 3\n"), f_py=bom)["f.py"] == bom.replace(b"1", b"3")
    assert sr(block("f.py", "b = 2\n", "b = 3\nc\n"), f_py=bom)["f.py"] == bom[:-1] + b"3\nc"
    latin = b"name = 'caf\xe9'\nx = 1\n"
    assert sr(block("f.py", "name = 'café'\nx = 1\n", "name = 'thé'\nx = 1\n"), f_py=latin) == {
        "f.py": b"name = 'th\xe9'\nx = 1\n"
    }
    with pytest.raises(EditError, match=r"latin-1, which has no '€'"):
        sr(block("f.py", "x = 1\n", "x = '€'\n"), f_py=latin)


def test_mixed_line_ends_stay_where_nothing_is_edited() -> None:
    mixed = b"a\r\nb\nc\r\nd\n"
    wanted = {"f.py": b"a\r\nB\nc\r\nd\n"}
    assert sr(block("f.py", "b\n", "B\n"), f_py=mixed) == wanted
    assert sr(block("f.py", "a\nb\nc\n", "a\nB\nc\n"), f_py=mixed) == wanted


def test_trailing_blanks_are_forgiven_and_kept() -> None:
    source = b"a = 1   \nb = 2\t\nc = 3\n"
    answer = block("f.py", "a = 1\nb = 2\nc = 3\n", "a = 1\nb = 5\nc = 3\n")
    assert sr(answer, f_py=source)["f.py"] == b"a = 1   \nb = 5\nc = 3\n"


@pytest.mark.parametrize(
    ("search", "replace"),
    [
        ("def one(self):\n    return 1\n", "def one(self):\n    if self:\n        return 3\n"),
        (
            "            def one(self):\n                return 1\n",
            "            def one(self):\n                if self:\n                    return 3\n",
        ),
        ("\tdef one(self):\n\t\treturn 1\n", "\tdef one(self):\n\t\tif self:\n\t\t\treturn 3\n"),
        ("  def one(self):\n    return 1\n", "  def one(self):\n    if self:\n      return 3\n"),
    ],
)
def test_an_indentation_that_is_off_is_shifted(search: str, replace: str) -> None:
    wanted = SOURCE.replace(b"return 1\n", b"if self:\n            return 3\n")
    assert sr(block("f.py", search, replace), f_py=SOURCE) == {"f.py": wanted}


def test_blank_lines_around_a_block_are_forgiven() -> None:
    answer = block("f.py", "\n        return 1\n\n\n", "\n        return 7\n\n\n")
    assert sr(answer, f_py=SOURCE) == {"f.py": SOURCE.replace(b"return 1", b"return 7")}


def test_a_near_match_keeps_what_the_model_misremembered() -> None:
    source = (
        b"def total(values, start=0):\n    # the running total, oh yes\n    result = start\n"
        b"    for value in values:\n        result -= value\n    return result\n"
    )
    search = (
        "def total(values, start=0):\n    # the running total, oh well\n    result = start\n"
        "    for value in values:\n        result -= value\n    return result\n"
    )
    answer = block("f.py", search, search.replace("-=", "+="))
    assert sr(answer, f_py=source) == {"f.py": source.replace(b"-=", b"+=")}


def test_two_near_matches_are_none() -> None:
    one = b"def alpha(values):\n    total = compute(values)\n    return total + 1\n"
    source = one + b"\n\n" + one.replace(b"alpha", b"alphb")
    search = "def alphc(values):\n    total = compute(values)\n    return total + 1\n"
    with pytest.raises(NoMatch, match="nearest lines"):
        sr(block("f.py", search, search.replace("1", "2")), f_py=source)


def test_one_different_line_is_not_near() -> None:
    """Nine equal lines do not make up for one that says something else."""
    source = "".join(f"    value_{i} = compute({i})\n" for i in range(12))
    search = source.replace("value_5 = compute(5)", "raise SystemExit from None")
    with pytest.raises(NoMatch):
        sr(block("f.py", search, "pass\n"), f_py=source.encode())


def test_what_is_said_of_lines_that_are_not_there() -> None:
    with pytest.raises(NoMatch) as caught:
        sr(block("f.py", "    def won(self):\n        return one\n", "pass\n"), f_py=SOURCE)
    assert "nearest lines are:\n4:     def one(self):\n5:         return 1\n" in str(caught.value)
    with pytest.raises(NoMatch, match="Nothing in its 8 lines"):
        sr(block("f.py", "§§§§§\n", "pass\n"), f_py=SOURCE)


def test_what_is_said_of_lines_that_are_there_twice() -> None:
    with pytest.raises(AmbiguousMatch, match="2 times, at lines 1, 3"):
        sr(block("f.py", "x\n", "y\n"), f_py=b"x\ny\nx\n")


def test_code_that_holds_dividers() -> None:
    source = b"Title\n=======\n\ntext\n"
    answer = block("f.py", "Title\n=======\n", "Better\n=======\n")
    assert sr(answer, f_py=source) == {"f.py": b"Better\n=======\n\ntext\n"}


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("I would change line 3.", UnparseableEdit, "no search/replace block"),
        (block("f.py", "a\n", "b\n")[:-16], UnparseableEdit, "cut off"),
        ("f.py\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", UnparseableEdit, "no `=======` line"),
        ("<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n", UnparseableEdit, "no file path"),
        (block("g.py", "a\n", "b\n"), NoMatch, "does not exist"),
        (block("f.py", "", "b\n"), NoMatch, "exists already"),
        (block("f.py", "a\n", "a\n"), EditError, "no change"),
    ],
)
def test_answers_that_are_refused(answer: str, error: type[EditError], says: str) -> None:
    with pytest.raises(error, match=says):
        sr(answer, f_py=b"a\n")


@pytest.mark.parametrize("path", ["../x.py", "/etc/x", ".git/hooks/pre-commit", "a/.GIT/config"])
def test_paths_that_are_never_created(path: str) -> None:
    with pytest.raises(OutOfScope):
        named(block(path, "", "x\n"), {})
    with pytest.raises(OutOfScope):
        from_diff(f"--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+x\n", lambda path: None)


def test_an_empty_file_can_be_filled() -> None:
    assert sr(block("f.py", "", "x = 1\n"), f_py=b"") == {"f.py": b"x = 1\n"}
