"""Patches as text: a git-style unified diff, and back.

diff(patch) -> str               what `git apply` takes; bytes that are not UTF-8 are surrogates
from_diff(text, read) -> Patch   for text files, from_diff(diff(p), read) == p
combine(first, second) -> Patch  both, one after the other
"""

import re
from typing import TYPE_CHECKING

from tools.errors import AmbiguousMatch, ConflictError, EditError, NoMatch, UnparseableEdit
from tools.files import check_path
from tools.hunks import Hunk, is_binary, lines_of, select, split
from tools.types import FileChange, FileReader, Patch

if TYPE_CHECKING:
    from unidiff.patch import Hunk as UnidiffHunk
    from unidiff.patch import PatchedFile

__all__ = ["Hunk", "combine", "diff", "from_diff", "select", "split"]

_NO_NEWLINE = "\\ No newline at end of file\n"
_ESCAPES = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r"}
_UNESCAPES = {v: k for k, v in _ESCAPES.items()}


def diff(patch: Patch) -> str:
    """The patch as git prints it, without `index` lines. Encode it with `surrogateescape`."""
    return "".join(_file_diff(change) for change in patch.changes)


def combine(first: Patch, second: Patch) -> Patch:
    """One patch with the effect of both; changes that cancel out are dropped.

    Raises ConflictError if `second` does not start where `first` ends.
    """
    merged = {change.path: change for change in first.changes}
    for change in second.changes:
        earlier = merged.get(change.path)
        if earlier is None:
            merged[change.path] = change
            continue
        if earlier.after != change.before:
            raise ConflictError(f"{change.path}: the second change does not start from the first")
        mode = earlier.mode if change.mode is None else change.mode
        merged[change.path] = FileChange(
            path=change.path, before=earlier.before, after=change.after, mode=mode
        )
    kept = (c for c in merged.values() if c.before != c.after or _changes_mode(c))
    return Patch(changes=tuple(kept))


def from_diff(text: str, read: FileReader) -> Patch:
    """Parse a unified diff and apply it to the files that `read` gives.

    A hunk whose line numbers are off is applied where its lines are, if that is one place only.
    Raises UnparseableEdit, NoMatch or AmbiguousMatch, worded for a model; OutOfScope for
    paths that are never written; EditError for renames,
    links, submodules and binary files, which a diff of text cannot carry.
    """
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    try:
        # unidiff trusts `@@` counts; surrogates and `\r` pass through it untouched.
        parsed = PatchSet(text)
    except UnidiffParseError as error:
        raise UnparseableEdit(
            f"This is not a unified diff: {error}. The counts in each `@@ -a,b +c,d @@` line must"
            " match the lines that follow."
        ) from None
    if not parsed:
        raise UnparseableEdit(
            "There is no file in this diff: it needs `---`, `+++` and `@@` lines."
        )
    changes = tuple(_file_change(file, read) for file in parsed)
    paths = [c.path for c in changes]
    if len(set(paths)) < len(paths):
        raise UnparseableEdit(
            "A file occurs twice in the diff; put all its hunks under one header."
        )
    return Patch(changes=changes)


def _changes_mode(change: FileChange) -> bool:
    return change.mode is not None and change.after is not None


def _file_diff(change: FileChange) -> str:
    old, new = _quoted("a/" + change.path), _quoted("b/" + change.path)
    lines = [f"diff --git {old} {new}\n"]
    if change.before is None:
        lines.append(f"new file mode 100{0o755 if (change.mode or 0) & 0o100 else 0o644:o}\n")
    elif change.after is None:
        lines.append("deleted file mode 100644\n")
    if change.before is None and change.after is None:
        return ""
    if is_binary(change.before) or is_binary(change.after):
        old, new = _dev_null(old, change.before), _dev_null(new, change.after)
        return "".join([*lines, f"Binary files {old} and {new} differ\n"])
    hunks = [h for h in split(change) if h.rows]
    if hunks:
        lines.append(f"--- {_terminated(_dev_null(old, change.before))}\n")
        lines.append(f"+++ {_terminated(_dev_null(new, change.after))}\n")
    for hunk in hunks:
        lines.append(f"@@ -{_range(hunk.before_line, hunk.before)}")
        lines.append(f" +{_range(hunk.after_line, hunk.after)} @@\n")
        lines += [_row(tag, line) for tag, line in hunk.rows]
    return "".join(lines) if len(lines) > 1 else ""


def _dev_null(name: str, data: bytes | None) -> str:
    return "/dev/null" if data is None else name


def _terminated(name: str) -> str:
    """A tab after a name with spaces, as git writes it, so that readers see where it ends."""
    return name + "\t" if " " in name and not name.startswith('"') else name


def _range(start: int, lines: tuple[bytes, ...]) -> str:
    if not lines:
        return f"{start - 1},0"
    return f"{start}" if len(lines) == 1 else f"{start},{len(lines)}"


def _row(tag: str, line: bytes) -> str:
    text = tag + line.decode("utf-8", "surrogateescape")
    return text if line.endswith(b"\n") else f"{text}\n{_NO_NEWLINE}"


def _quoted(name: str) -> str:
    """Git's C quoting, for names with control characters, quotes, backslashes or odd bytes."""
    data = name.encode("utf-8", "surrogateescape")
    ambiguous = " b/" in name  # `diff --git a/x b/y b/x b/y`: where does the first name end?
    if not ambiguous and all(0x20 <= b < 0x7F and b not in b'"\\' for b in data):
        return name
    out = ""
    for b in data:
        char = chr(b)
        if char in _ESCAPES:
            out += "\\" + _ESCAPES[char]
        elif char in '"\\':
            out += "\\" + char
        else:
            plain = 0x20 <= b < 0x7F and not (ambiguous and char == " ")
            out += char if plain else f"\\{b:03o}"
    return f'"{out}"'


def _unquoted(name: str) -> str:
    if not (len(name) > 1 and name.startswith('"') and name.endswith('"')):
        return name

    def plain(match: re.Match[str]) -> str:
        escape = match[1]
        return chr(int(escape, 8)) if escape[0].isdigit() else _UNESCAPES.get(escape, escape)

    # Every character stands for one byte here, except those the writer left unescaped.
    raw = name[1:-1].encode("utf-8", "surrogateescape").decode("latin-1")
    bare = re.sub(r"\\([0-7]{3}|.)", plain, raw, flags=re.DOTALL)
    return bare.encode("latin-1").decode("utf-8", "surrogateescape")


def _path_of(file: "PatchedFile") -> str:
    """The file's name. Git headers name it twice; `---` and `+++` may lack the prefixes."""
    old, new = _unquoted(file.source_file), _unquoted(file.target_file)
    names = [re.sub(r"^[abciow]/", "", n) for n in (old, new) if n != "/dev/null"]
    if not names or len(set(names)) > 1:
        raise EditError(f"A rename ({old} to {new}) cannot be applied; delete and create instead.")
    check_path(names[0])
    return names[0]


def _file_change(file: "PatchedFile", read: FileReader) -> FileChange:
    path = _path_of(file)
    if file.is_binary_file or file.is_symlink or file.is_submodule:
        raise EditError(f"{path}: only text files can be changed by a diff.")
    before = read(path)
    created = file.source_file == "/dev/null"
    if created and before is not None:
        raise EditError(f"{path} exists already; the diff creates it. Change its lines instead.")
    if not created and before is None:
        raise NoMatch(f"{path} does not exist; the diff changes it. Check the path.")
    mode = 0o755 if created and file.target_mode == "100755" else None
    after = _applied(file, path, lines_of(before or b""))
    if file.target_file == "/dev/null":
        if after:
            raise NoMatch(f"{path}: the diff deletes the file but not all of its lines.")
        return FileChange(path=path, before=before, after=None)
    return FileChange(path=path, before=before, after=after, mode=mode)


def _applied(file: "PatchedFile", path: str, lines: list[bytes]) -> bytes:
    shift = at = 0
    result: list[bytes] = []
    for number, hunk in enumerate(file, 1):
        old, new = _sides(hunk)
        # A hunk without old lines names the line before it, any other names its first line.
        wanted = max(hunk.source_start - (1 if old else 0), 0) + shift
        start = _find(lines, old, wanted, at, path, number)
        shift += start - wanted
        result += [*lines[at:start], *new]
        at = start + len(old)
    return b"".join([*result, *lines[at:]])


def _sides(hunk: "UnidiffHunk") -> tuple[list[bytes], list[bytes]]:
    """Old and new lines, the last without `\\n` where the diff says so."""
    old: list[bytes] = []
    new: list[bytes] = []
    touched: tuple[list[bytes], ...] = ()
    for line in hunk:
        if line.line_type == "\\":
            for side in touched:
                side[-1] = side[-1].removesuffix(b"\n")
            continue
        sides = {"-": (old,), "+": (new,)}
        touched = sides.get(line.line_type, (old, new))
        data = line.value.encode("utf-8", "surrogateescape")
        for side in touched:
            side.append(data if data.endswith(b"\n") else data + b"\n")
    return old, new


def _find(
    lines: list[bytes], old: list[bytes], wanted: int, floor: int, path: str, number: int
) -> int:
    """Index of the line where the hunk's old lines are: where it says, else the only place."""
    if wanted >= floor and lines[wanted : wanted + len(old)] == old and wanted <= len(lines):
        return wanted
    places = [
        i for i in range(floor, len(lines) - len(old) + 1) if old and lines[i : i + len(old)] == old
    ]
    if len(places) == 1:
        return places[0]
    if places:
        where = ", ".join(str(i + 1) for i in places[:5])
        raise AmbiguousMatch(
            f"{path}: hunk {number} fits at lines {where}, but not where its header says."
            " Add context lines."
        )
    shown = b"".join(lines[max(wanted, 0) : wanted + len(old)] or lines[-5:])
    raise NoMatch(
        f"{path}: the old lines of hunk {number} are not in the file."
        f" At line {wanted + 1} it has:\n" + shown.decode("utf-8", "replace")
    )
