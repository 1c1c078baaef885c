"""A Python file that parsed before an edit parses after it."""

import ast
import warnings

from tools.errors import UnparseableEdit
from tools.types import FileChange, Patch

__all__ = ["check_syntax", "parse"]

_SHOWN = 3


def check_syntax(patch: Patch) -> None:
    """Raise UnparseableEdit, quoting the line, for a Python file that the patch breaks.

    A file that did not parse before is not judged: it may be written for another Python.
    """
    for change in patch.changes:
        if change.after is not None and change.path.endswith((".py", ".pyi")):
            _check(change, change.after)


def parse(data: bytes) -> ast.Module:
    """The tree. Raises SyntaxError, also where ast raises ValueError or runs out of depth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are not our business
        try:
            return ast.parse(data)
        except (ValueError, RecursionError, MemoryError) as error:
            raise SyntaxError(str(error) or "nested too deeply") from None


def _check(change: FileChange, after: bytes) -> None:
    try:
        parse(after)
        return
    except SyntaxError as error:
        found = error
    if change.before is not None:
        try:
            parse(change.before)
        except SyntaxError:
            return
    lines = after.decode("utf-8", "replace").splitlines()
    at = min(max(found.lineno or 1, 1), max(len(lines), 1))
    first = max(at - _SHOWN, 1)
    quoted = "\n".join(
        f"{'>' if n == at else ' '} {n}: {lines[n - 1]}"
        for n in range(first, min(at + 1, len(lines)) + 1)
    )
    raise UnparseableEdit(
        f"After the edit {change.path} is not valid Python: {found.msg} (line {at}):\n{quoted}"
    )
