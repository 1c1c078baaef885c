"""Tree-sitter: definitions and imports of one file by a structural walk. The only importer.

The walk looks only where definitions can stand, so that it costs a fifth of the parse; a
`tags.scm` query costs as much as the parse itself. No tree outlives the call.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tools.index.grammar_specs import SPECS, Spec
from tools.index.reparse import LARGE, Trees

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

__all__ = ["HEAD_BYTES", "Found", "Imported", "signature", "walk"]

_DEPTH = 60
"""Definitions nested deeper than this are not looked for."""
HEAD_BYTES = 600
"""Of a definition are read for its signature."""

Imported = tuple[int, int, str]
"""An import statement: its first line, its last, and its text."""


class Found(NamedTuple):
    """A definition before it is given its parent. Bytes half-open."""

    name: str
    kind: str
    start: int
    end: int
    signature: str


@cache
def _parser(language: str) -> "Parser":
    from importlib import import_module

    from tree_sitter import Language, Parser

    package = {"tsx": "typescript", "csharp": "c_sharp"}.get(language, language)
    module = import_module(f"tree_sitter_{package}")
    grammar = "language" if hasattr(module, "language") else f"language_{language}"
    return Parser(Language(getattr(module, grammar)()))


def _spec(language: str) -> Spec:
    if language in SPECS:
        return SPECS[language]
    from tools.index.grammar_more import MORE

    return MORE[language]


def walk(
    source: bytes, language: str, trees: Trees | None = None
) -> tuple[list[Found], list[Imported], bool]:
    """Definitions, import statements, and whether the tree is too broken to be trusted.

    `trees` are those of files that may be parsed again.
    """
    spec = _spec(language)
    parser = _parser(language)
    large = trees is not None and len(source) >= LARGE
    tree = trees.parse(parser, language, source) if trees and large else parser.parse(source)
    root = tree.root_node
    walker = _Walker(source, spec)
    walker.run(root)
    broken = (
        spec.macros
        and root.has_error
        and (root.type == "ERROR" or walker.errors * 10 > len(source))
    )
    imports = [
        (n.start_point[0] + 1, n.end_point[0] + 1, (n.text or b"").decode("utf-8", "replace"))
        for n in walker.imports
    ]
    return walker.found, imports, broken


_Place = tuple["Node", "Node | None", int, bool]
"""A node to look into: the outer node a definition directly inside it starts at (a decorator, an
export), the depth, and whether it is inside a function."""


class _Walker:
    """Iterative, so that no nesting can exhaust the stack."""

    def __init__(self, source: bytes, spec: Spec) -> None:
        self.source = source
        self.spec = spec
        self.found: list[Found] = []
        self.imports: list[Node] = []
        self.errors = 0  # bytes

    def run(self, root: "Node") -> None:
        stack: list[_Place] = [(root, None, 0, False)]
        spec = self.spec
        definitions, descend, values = spec.definitions, spec.descend, spec.values
        passed = spec.wrappers | descend | {"ERROR"}
        while stack:
            node, outer, depth, local = stack.pop()
            if depth > _DEPTH:
                continue
            for child in node.named_children:
                type_ = child.type
                if type_ in definitions:
                    kind = definitions[type_]
                    body = self._define(child, outer, kind)
                    if body is not None:
                        stack.append((body, None, depth + 1, kind == "function"))
                elif type_ in spec.imports and spec.imported(child):
                    self.imports.append(child)
                elif type_ in values:
                    for inner, in_function in self._value(child, outer, local):
                        stack.append((inner, None, depth + 1, in_function))
                elif type_ in passed:
                    start = (outer or child) if type_ in spec.wrappers else None
                    self.errors += (child.end_byte - child.start_byte) * (type_ == "ERROR")
                    stack.append((child, start, depth + 1, local))

    def _define(self, node: "Node", outer: "Node | None", kind: str) -> "Node | None":
        """Record a definition; its body if more may stand inside."""
        name = self.spec.name(node)
        body = node.child_by_field_name("body")
        if name is None or (body is None and node.type in self.spec.needs_body):
            return body
        self._add(name, kind, node, outer, body)
        return self._worth(body, kind)

    def _value(
        self, node: "Node", outer: "Node | None", local: bool
    ) -> "Iterator[tuple[Node, bool]]":
        """Names bound to values: constants, and functions where the language writes them so.

        Yields the nodes to look into. A function's own variables are no symbols.
        """
        for name, kind, value, declared in self.spec.bindings(node):
            body = None
            if value is not None and kind != "constant":
                body = value.child_by_field_name("body")
            if name and not (local and kind == "constant"):
                whole = outer or (node if node.named_child_count == 1 else declared)
                self._add(name, kind, declared, whole, body)
            if value is not None and body is None and value.type in self.spec.descend:
                yield value, local
            elif (inside := self._worth(body, kind)) is not None:
                yield inside, kind == "function"

    def _worth(self, body: "Node | None", kind: str) -> "Node | None":
        """The body, unless a search of its bytes says that nothing is defined in it."""
        if body is None or kind != "function":
            return body
        nested = self.spec.nested(self.source, body.start_byte, body.end_byte)
        return body if nested else None

    def _add(
        self, name: str, kind: str, node: "Node", outer: "Node | None", body: "Node | None"
    ) -> None:
        first, last = node.start_byte, node.end_byte
        start, end = (first, last) if outer is None else (outer.start_byte, outer.end_byte)
        cut = min(_before(body) if body is not None else last, first + HEAD_BYTES)
        # A template or export may hold more than this definition; its end is the definition's own.
        end = max(last, end)
        self.found.append(Found(name, kind, start, end, signature(self.source[first:cut], kind)))


def _before(body: "Node") -> int:
    """Where what precedes a body ends, comments left out."""
    end, before = body.start_byte, body.prev_sibling
    while before is not None and "comment" in before.type:
        end, before = before.start_byte, before.prev_sibling
    return end


_OPENERS = " \t{:=;,"
_ANNOTATIONS = re.compile(r"^(?:@[\w.]+(?:\([^()]*\))?\s+)+")


@lru_cache(maxsize=1 << 13)
def signature(raw: bytes, kind: str) -> str:
    """One line of at most 200 characters, without annotations and what opens the body."""
    text = " ".join(raw.decode("utf-8", "replace").split())
    if text.startswith("@"):
        text = _ANNOTATIONS.sub("", text)
    if kind in ("class", "type") and not text.startswith("typedef"):
        text = text.partition("{")[0]
    text = text.rstrip(_OPENERS)
    if text.endswith("=>"):
        text = text[:-2].rstrip(_OPENERS)
    return text if len(text) <= 200 else text[:199] + "…"
