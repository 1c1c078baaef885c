"""The symbol format: a whole definition, under its name. Python only.

path/to/file.py::Class.method
```python
def method(self):
    return 1
```
"""

import ast
import re
from dataclasses import dataclass

from tools.edits.syntax import parse
from tools.edits.text import Text, decode
from tools.errors import AmbiguousMatch, EditError, NoMatch, UnparseableEdit
from tools.types import FileChange, FileReader, Patch

__all__ = ["SymbolFormat"]

_EXAMPLE = (
    "Write `path/to/file.py::Name` (or `::Class.method`) on a line of its own, below it the whole"
    " definition in a ``` fence."
)
_ADDRESS = re.compile(r"[\s#*`]*(?P<path>[^\n`*]+?\.pyi?)::(?P<name>[\w.]+)[\s*`:]*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*\w*\s*")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A definition with its decorators: 0-based lines, half open."""

    name: str
    node: Definition
    start: int
    stop: int


class SymbolFormat:
    """See the module. A definition keeps its place; the new one is re-indented to fit."""

    @property
    def name(self) -> str:
        return "symbol"

    def parse(self, answer: str, read: FileReader) -> Patch:
        """Raises UnparseableEdit, NoMatch, AmbiguousMatch, or EditError ("no change")."""
        before: dict[str, bytes] = {}
        after: dict[str, bytes] = {}
        for path, name, code in _answers(answer):
            if path not in before:
                data = read(path)
                if data is None:
                    raise NoMatch(f"{path} does not exist. Check the path.")
                before[path] = after[path] = data
            after[path] = _replaced(path, name, code, after[path])
        changes = tuple(
            FileChange(path=p, before=before[p], after=after[p])
            for p in before
            if before[p] != after[p]
        )
        if not changes:
            raise EditError("no change: the definition equals the one in the file")
        return Patch(changes=changes)


def _answers(answer: str) -> list[tuple[str, str, list[str]]]:
    """Path, qualified name and lines of each definition in the answer."""
    lines = answer.replace("\r\n", "\n").split("\n")
    found = []
    at = 0
    while at < len(lines):
        address = _ADDRESS.fullmatch(lines[at])
        at += 1
        if address is None:
            continue
        while at < len(lines) and not lines[at].strip():
            at += 1
        fence = _FENCE.fullmatch(lines[at]) if at < len(lines) else None
        if fence is None:
            raise UnparseableEdit(f"There is no ``` fence below {address[0].strip()}. {_EXAMPLE}")
        stop = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[1]), None)
        if stop is None:
            raise UnparseableEdit(f"The fence of {address[0].strip()} is cut off.")
        found.append((address["path"].removeprefix("./"), address["name"], lines[at + 1 : stop]))
        at = stop + 1
    if not found:
        raise UnparseableEdit(f"There is no definition in the answer. {_EXAMPLE}")
    return found


def _replaced(path: str, name: str, code: list[str], data: bytes) -> bytes:
    text = decode(data, path)
    try:
        tree = parse(data)
    except SyntaxError as error:
        raise EditError(
            f"{path} is not valid Python (line {error.lineno}: {error.msg}), so {name} cannot be"
            " found in it. Use a search/replace block."
        ) from None
    new_lines, node = _definition(path, name, code)
    target = _target(path, name, node, list(_definitions(tree, "")))
    _refuse_company(path, target, text)
    new = _indented(new_lines, node, [line.text for line in text.lines[target.start : target.stop]])
    return text.replaced(target.start, target.stop, new).encode(path)


def _refuse_company(path: str, target: _Found, text: Text) -> None:
    """Whole lines are replaced, so nothing else may stand on them."""
    first = text.lines[target.start].text
    last = text.lines[target.stop - 1].text.encode()[target.node.end_col_offset or 0 :]
    before = (
        first.encode()[: target.node.col_offset] if target.start + 1 == target.node.lineno else b""
    )
    if before.strip() or last.strip().startswith(b";"):
        raise EditError(
            f"{path}: {target.name} shares a line with other code. Use a search/replace block."
        )


def _indented(new: list[str], node: Definition, old: list[str]) -> tuple[str, ...]:
    """At the old indentation. A line inside a string stays as it is where the old text has it so:
    there the blanks are part of a value."""
    indent = re.match(r"[ \t]*", old[0])
    prefix = indent[0] if indent else ""
    inside: set[int] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Constant | ast.JoinedStr):
            inside.update(range(part.lineno, part.end_lineno or part.lineno))
    return tuple(
        line if not line.strip() or (i in inside and line in old) else prefix + line
        for i, line in enumerate(new)
    )


def _definition(path: str, name: str, code: list[str]) -> tuple[list[str], Definition]:
    """The lines at indentation zero, and what they define: exactly one thing of the right name."""
    lines = list(code)
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    indent = re.match(r"[ \t]*", lines[0]) if lines else None
    lines = [line.removeprefix(indent[0]) if indent else line for line in lines]
    try:
        body = parse("\n".join(lines).encode("utf-8", "surrogateescape")).body
    except SyntaxError as error:
        at = error.lineno or 1
        quoted = lines[at - 1] if at <= len(lines) else ""
        raise UnparseableEdit(
            f"The definition of {name} is not valid Python: {error.msg}, line {at}: {quoted}"
        ) from None
    last = name.rsplit(".", 1)[-1]
    if len(body) != 1 or not isinstance(body[0], Definition) or last not in _names(body[0]):
        raise UnparseableEdit(
            f"The fence for {path}::{name} must hold the definition of {last} and nothing else."
        )
    return lines, body[0]


def _target(path: str, name: str, new: Definition, there: list[_Found]) -> _Found:
    found = [d for d in there if d.name == name]
    if len(found) > 1:  # a property and its setter, overloads: the decorators tell them apart
        alike = [d for d in found if _decorators(d.node) == _decorators(new)]
        found = alike if len(alike) == 1 else found
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(str(d.start + 1) for d in found)
        raise AmbiguousMatch(
            f"{path} defines {name} {len(found)} times, at lines {where}. Use a search/replace"
            " block with the lines around the one you mean."
        )
    raise NoMatch(f"{path} has no {name}. {_suggestion(name, [d.name for d in there])}")


def _suggestion(name: str, names: list[str]) -> str:
    from rapidfuzz import fuzz, process

    if not names:
        return "It defines nothing."
    near = process.extract(name, names, scorer=fuzz.WRatio, limit=8)
    return "It defines: " + ", ".join(dict.fromkeys(n for n, _, _ in near)) + "."


def _definitions(node: ast.AST, within: str) -> list[_Found]:
    """Every definition in a tree, also inside `if`, `try` and functions, by qualified name."""
    found = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition):
            found += _definitions(child, within)
            continue
        decorators = getattr(child, "decorator_list", [])
        start = min([child.lineno, *(d.lineno for d in decorators)]) - 1
        for name in _names(child):
            stop = child.end_lineno or child.lineno
            found.append(_Found(name=within + name, node=child, start=start, stop=stop))
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found += _definitions(child, f"{within}{name}.")
    return found


def _names(node: Definition) -> list[str]:
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    return [node.name]


def _decorators(node: Definition) -> list[str]:
    return [ast.dump(d) for d in getattr(node, "decorator_list", [])]
