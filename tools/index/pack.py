"""The pack: what an editor needs of a target, within a small window."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.index.graph import callees
from tools.index.languages import is_test
from tools.index.model import CountTokens, Pack, PackItem, PackRole
from tools.index.state import State
from tools.types import Symbol

__all__ = ["Packer"]

ReadText = Callable[[str], str | None]
"""Reads a file of the repository; None if there is no such file."""

_WINDOW = 30
"""Lines on each side of a line of module-level code."""
_CALLEES = 12
_TESTS = 3
_CUT = "… "
"""Begins the note at a cut; the note stands on a line of its own, outside the file's text."""


@dataclass
class Packer:
    """Collects items while they fit; the target first, then what it most needs."""

    state: State
    budget: int
    count: CountTokens
    read: ReadText
    items: list[PackItem] = field(default_factory=list)
    used: int = 0

    def pack(self, path: str, symbol: str | None, line: int | None) -> Pack:
        """Raises KeyError for a symbol the file does not have."""
        lines = _lines(self.read(path) or "")
        target = _target(self.state.of_path(path), symbol, line)
        if target is None:
            self._window(path, lines, line or 1, 1, len(lines), _WINDOW)
        else:
            whole = _item(path, lines, target.line, target.end_line, "target")
            if not self._add(whole):
                at = line if line and target.line <= line <= target.end_line else target.line
                self._window(path, lines, at, target.line, target.end_line, len(lines))
            self._class_header(path, lines, target)
        self._imports(path, lines)
        if target is not None:
            self._callees(path, lines, target)
            self._tests(target)
        return Pack(items=tuple(self.items), tokens=self.used)

    def _add(self, item: PackItem | None) -> bool:
        if item is None or not item.text:
            return False
        tokens = self.count(item.text)
        if self.used + tokens > self.budget:
            return False
        self.items.append(item)
        self.used += tokens
        return True

    def _window(
        self, path: str, lines: list[str], at: int, first: int, last: int, reach: int
    ) -> None:
        """The largest window around `at` that fits, with a note at each end that was cut."""
        first, last = max(first, at - reach), min(last, at + reach)
        low, high = 0, max(at - first, last - at)
        best: PackItem | None = None
        while low <= high:
            middle = (low + high) // 2
            a, b = max(first, at - middle), min(last, at + middle)
            item = _item(path, lines, a, b, "window")
            if item is not None:
                item = _marked(item, a > first, b < last)
            if item is not None and self.used + self.count(item.text) <= self.budget:
                best, low = item, middle + 1
            else:
                high = middle - 1
        self._add(best)

    def _class_header(self, path: str, lines: list[str], target: Symbol) -> None:
        """The enclosing class from its name to its first method, at most twelve lines."""
        owner = target.name.rpartition(".")[0]
        symbols = self.state.of_path(path)
        around = next((s for s in symbols if s.name == owner and s.kind in ("class", "type")), None)
        if around is None:
            return
        inner = [s.line for s in symbols if s.name.startswith(owner + ".") and s.kind == "method"]
        end = min([around.line + 11, around.end_line, *(n - 1 for n in inner if n > around.line)])
        full = _item(path, lines, around.line, max(end, around.line), "class")
        if not self._add(full):
            self._add(_item(path, lines, around.line, around.line, "class"))

    def _imports(self, path: str, lines: list[str]) -> None:
        if path not in self.state.where:
            return
        spans = self.state.head(path).imports
        for first, last in _joined(spans):
            if not any(i.first_line <= first and last <= i.last_line for i in self.items):
                self._add(_item(path, lines, first, last, "imports"))

    def _callees(self, path: str, lines: list[str], target: Symbol) -> None:
        body = "\n".join(lines[target.line - 1 : target.end_line])
        for callee in callees(self.state, target, body)[:_CALLEES]:
            covered = callee.path == path and any(
                i.first_line <= callee.line <= i.last_line for i in self.items if i.path == path
            )
            if not covered:
                text = f"{callee.signature}\n"
                line = callee.line
                self._add(
                    PackItem(
                        path=callee.path, first_line=line, last_line=line, text=text, role="callee"
                    )
                )

    def _tests(self, target: Symbol) -> None:
        """Tests that name the target, the shortest first: they show how it is used."""
        last = target.name.rpartition(".")[2]
        if last.startswith("__") or len(last) < 3:
            last = target.name.rpartition(".")[0].rpartition(".")[2]
        if not last or is_test(target.path):
            return
        found = []
        for segment, doc in self.state.using(last):
            symbol = self.state.segments[segment].symbol(doc)
            if symbol.name and symbol.kind in ("function", "method") and is_test(symbol.path):
                named = last.lower() in symbol.name.lower()
                found.append((not named, symbol.end_line - symbol.line, symbol.path, symbol))
        found.sort(key=lambda f: (f[0], f[1], f[2], f[3].line))
        for _, _, path, symbol in found[:_TESTS]:
            lines = _lines(self.read(path) or "")
            self._add(_item(path, lines, symbol.line, symbol.end_line, "test"))


def _target(symbols: tuple[Symbol, ...], name: str | None, line: int | None) -> Symbol | None:
    code = [s for s in symbols if s.kind in ("function", "method", "class", "type")]
    if name is not None:
        named = [s for s in symbols if s.name == name]
        named = named or [s for s in symbols if s.name.rpartition(".")[2] == name]
        if not named:
            raise KeyError(name)
        around = [s for s in named if line is not None and s.line <= line <= s.end_line]
        return (around or named)[0]
    if line is None:
        return None
    around = [s for s in code if s.line <= line <= s.end_line]
    return min(around, key=lambda s: s.end_line - s.line) if around else None


def _lines(text: str) -> list[str]:
    return re.split(r"(?<=\n)", text)


def _item(path: str, lines: list[str], first: int, last: int, role: PackRole) -> PackItem | None:
    text = "".join(lines[first - 1 : last])
    if not text:
        return None
    return PackItem(path=path, first_line=first, last_line=last, text=text, role=role)


def _marked(item: PackItem, above: bool, below: bool) -> PackItem:
    text = item.text
    if above:
        text = f"{_CUT}cut: lines before {item.first_line} are not shown\n{text}"
    if below:
        text = f"{text}{_CUT}cut: lines after {item.last_line} are not shown\n"
    return PackItem(
        path=item.path, first_line=item.first_line, last_line=item.last_line, text=text,
        role=item.role,
    )  # fmt: skip


def _joined(spans: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Import statements on neighbouring lines as one span."""
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and first <= joined[-1][1] + 2:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
