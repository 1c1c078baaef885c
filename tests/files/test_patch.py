"""Diffs and hunks: what git accepts, and laws over arbitrary contents."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tools.errors import AmbiguousMatch, ConflictError, EditError, NoMatch, UnparseableEdit
from tools.patch import combine, diff, from_diff, select, split
from tools.types import FileChange, Patch

LINE = st.binary(max_size=6).map(lambda b: b.replace(b"\0", b"")) | st.sampled_from(
    [
        b"a",
        b"b",
        b"",
        b"\r",
        b"-- x",
        b"++ x",
        b"\\ No newline at end of file",
        b"\xff\xfe",
        b"@@ -1 +1",
    ]
)
NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=8
).filter(lambda n: n not in (".", ".."))
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)


@st.composite
def changes(draw: st.DrawFn) -> FileChange:
    lines = draw(st.lists(LINE, min_size=1, max_size=60))
    before = b"\n".join(lines)
    new = list(lines)
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(new)))
        if draw(st.booleans()) and at < len(new):
            del new[at]
        else:
            new.insert(at, draw(LINE))
    after = b"\n".join(new)
    kind = draw(st.sampled_from(["change", "change", "change", "create", "delete"]))
    return FileChange(
        path=draw(PATH),
        before=None if kind == "create" else before,
        after=None if kind == "delete" else after,
        mode=draw(st.sampled_from([None, 0o755])) if kind == "create" else None,
    )


@given(changes())
@settings(max_examples=300, deadline=None)
@example(FileChange(path="a b/c b/d", before=b"x", after=b"y\n"))
@example(FileChange(path='q"\\\t\n\udcff', before=b"x", after=b""))
@example(FileChange(path="empty", before=None, after=b""))
@example(FileChange(path="empty", before=b"", after=None))
def test_a_diff_can_be_read_back(change: FileChange) -> None:
    if change.before == change.after:
        assert diff(Patch(changes=(change,))) == ""
        return
    patch = Patch(changes=(change,))
    assert from_diff(diff(patch), {change.path: change.before}.get) == patch


@given(changes())
@settings(max_examples=200, deadline=None)
def test_all_hunks_are_the_change_and_none_is_no_change(change: FileChange) -> None:
    hunks = split(change)
    assert select(change, frozenset(h.index for h in hunks)) == change
    assert select(change, frozenset()).after == change.before


@given(changes(), st.data())
@settings(max_examples=200, deadline=None)
def test_accepting_in_two_goes_is_accepting_at_once(
    change: FileChange, data: st.DataObject
) -> None:
    """Rejected hunks are still there to be accepted later, whatever was accepted first."""
    hunks = split(change)
    some = frozenset(h.index for h in hunks if data.draw(st.booleans()))
    half = select(change, some)
    rest = FileChange(path=change.path, before=half.after, after=change.after, mode=change.mode)
    assert (half.after == change.after) == (len(some) == len(hunks))
    assert select(rest, frozenset(h.index for h in split(rest))).after == change.after


def test_one_of_two_hunks() -> None:
    before = b"".join(b"%d\r\n" % i for i in range(40))
    after = before.replace(b"3\r\n4\r\n", b"3\r\nnew\r\n4\r\n", 1).replace(b"35\r\n", b"")
    change = FileChange(path="f", before=before, after=after)
    first, second = split(change)
    assert first.rows.count(("+", b"new\r\n")) == 1
    assert second.rows.count(("-", b"35\r\n")) == 1
    assert select(change, frozenset({1})).after == before.replace(b"35\r\n", b"")
    with pytest.raises(IndexError, match="no hunk 7"):
        select(change, frozenset({7}))


@given(st.lists(changes(), min_size=1, max_size=3, unique_by=lambda c: c.path.split("/")[0]))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_git_applies_what_we_print(tmp_path: Path, items: list[FileChange]) -> None:
    items = [c for c in items if c.before != c.after and ".git" not in c.path.casefold()]
    work = Path(subprocess.check_output(["mktemp", "-d", "-p", tmp_path], text=True).strip())
    for change in items:
        (work / change.path).parent.mkdir(parents=True, exist_ok=True)
        if change.before is not None:
            (work / change.path).write_bytes(change.before)
    text = diff(Patch(changes=tuple(items))).encode("utf-8", "surrogateescape")
    if text:
        subprocess.run(
            ["git", "apply", "--whitespace=nowarn", "-"], cwd=work, input=text, check=True
        )
    for change in items:
        file = work / change.path
        assert (file.read_bytes() if file.exists() else None) == change.after


def test_binary_files_are_noted() -> None:
    change = FileChange(path="x.png", before=b"\0a", after=b"\0b")
    assert "Binary files a/x.png and b/x.png differ" in diff(Patch(changes=(change,)))
    with pytest.raises(EditError, match="only text"):
        from_diff(diff(Patch(changes=(change,))), {"x.png": b"\0a"}.get)


def test_a_hunk_with_wrong_line_numbers_is_found() -> None:
    text = "--- a/f\n+++ b/f\n@@ -90,2 +90,2 @@\n two\n-three\n+THREE\n"
    assert from_diff(text, {"f": b"one\ntwo\nthree\n"}.get).changes[0].after == b"one\ntwo\nTHREE\n"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("hello", UnparseableEdit, "no file"),
        ("--- a/f\n+++ b/f\n@@ -1,5 +1 @@\n-x\n", UnparseableEdit, "counts"),
        ("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-zzz\n+y\n", NoMatch, "At line 1 it has:\none"),
        ("--- a/f\n+++ b/f\n@@ -9 +9 @@\n-two\n+y\n", AmbiguousMatch, "lines 2, 3"),
        ("--- a/g\n+++ b/g\n@@ -1 +1 @@\n-x\n+y\n", NoMatch, "g does not exist"),
        ("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+y\n", EditError, "exists already"),
        ("--- a/f\n+++ b/h\n@@ -1 +1 @@\n-x\n+y\n", EditError, "rename"),
    ],
)
def test_what_is_refused_is_explained(text: str, error: type[EditError], says: str) -> None:
    with pytest.raises(error, match=says):
        from_diff(text, {"f": b"one\ntwo\ntwo\n"}.get)


def test_combine() -> None:
    one = Patch(changes=(FileChange(path="f", before=b"1", after=b"2"),))
    two = Patch(
        changes=(
            FileChange(path="f", before=b"2", after=b"3"),
            FileChange(path="g", before=None, after=b"n", mode=0o755),
        )
    )
    both = combine(one, two)
    assert both.changes[0] == FileChange(path="f", before=b"1", after=b"3")
    assert both.changes[1] == two.changes[1]
    back = Patch(changes=(FileChange(path="f", before=b"2", after=b"1"),))
    assert combine(one, back) == Patch()
    with pytest.raises(ConflictError, match="f: the second"):
        combine(two, two)
