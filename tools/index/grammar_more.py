"""Ruby, PHP, C# and Bash: where definitions stand in their grammars."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tools.index.grammar_specs import Spec, contains, never, node_text

if TYPE_CHECKING:
    from tree_sitter import Node

    from tools.index.grammar_specs import Binding

__all__ = ["MORE"]


def _dotted(node: "Node") -> str | None:
    name = node_text(node.child_by_field_name("name"))
    return name.replace("::", ".").replace("\\", ".").strip(".") if name else None


# ------------------------------------------------------------------------------ Ruby


def _ruby_bindings(node: "Node") -> "Iterator[Binding]":
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is not None and left.type == "constant":
        # `Point = Struct.new(:x) do … end` holds methods.
        yield node_text(left), "constant", right, node


def _ruby_requires(node: "Node") -> bool:
    name = node_text(node.child_by_field_name("method"))
    return name in ("require", "require_relative", "load", "autoload")


_RUBY = Spec(
    definitions={
        "class": "class",
        "module": "module",
        "method": "function",
        "singleton_method": "function",
    },
    descend=frozenset(
        "body_statement do_block block block_body call singleton_class if unless then else begin"
        " elsif program".split()
    ),
    nested=contains(rb"(?m)^[ \t]+def[ \t]"),
    imports=frozenset({"call"}),
    imported=_ruby_requires,
    values=frozenset({"assignment"}),
    name=_dotted,
    bindings=_ruby_bindings,
)

# ------------------------------------------------------------------------------ PHP


def _php_bindings(node: "Node") -> "Iterator[Binding]":
    for child in node.named_children:
        if child.type == "const_element":
            yield node_text(child.named_child(0)), "constant", None, node
        elif child.type == "property_element":
            name = node_text(child.named_child(0)) or ""
            yield name.lstrip("$") or None, "constant", None, node


_PHP = Spec(
    definitions={
        "class_declaration": "class",
        "interface_declaration": "type",
        "trait_declaration": "class",
        "enum_declaration": "type",
        "function_definition": "function",
        "method_declaration": "function",
        "namespace_definition": "module",
    },
    descend=frozenset(
        "declaration_list enum_declaration_list compound_statement if_statement else_clause"
        " colon_block".split()
    ),
    nested=contains(rb"(?m)^[ \t]+function[ \t]+\w"),
    imports=frozenset({"namespace_use_declaration"}),
    values=frozenset({"const_declaration", "property_declaration"}),
    name=_dotted,
    bindings=_php_bindings,
    needs_body=frozenset({"namespace_definition"}),
)

# ------------------------------------------------------------------------------ C#


def _csharp_name(node: "Node") -> str | None:
    if node.type == "operator_declaration":
        return f"operator{node_text(node.child_by_field_name('operator')) or ''}"
    if node.type == "indexer_declaration":
        return "this"
    name = _dotted(node)
    return f"~{name}" if name and node.type == "destructor_declaration" else name


def _csharp_bindings(node: "Node") -> "Iterator[Binding]":
    for declaration in node.named_children:
        if declaration.type == "variable_declaration":
            for child in declaration.named_children:
                if child.type == "variable_declarator":
                    yield node_text(child.child_by_field_name("name")), "constant", None, node


_CSHARP = Spec(
    definitions={
        "namespace_declaration": "module",
        "class_declaration": "class",
        "struct_declaration": "class",
        "record_declaration": "class",
        "record_struct_declaration": "class",
        "interface_declaration": "type",
        "enum_declaration": "type",
        "delegate_declaration": "type",
        "method_declaration": "function",
        "constructor_declaration": "function",
        "destructor_declaration": "function",
        "operator_declaration": "function",
        "indexer_declaration": "function",
        "property_declaration": "function",
        "local_function_statement": "function",
    },
    descend=frozenset(
        "declaration_list file_scoped_namespace_declaration preproc_if preproc_else"
        " preproc_elif preproc_region block global_statement".split()
    ),
    nested=never,
    imports=frozenset({"using_directive"}),
    values=frozenset({"field_declaration", "event_field_declaration"}),
    name=_csharp_name,
    bindings=_csharp_bindings,
)

# ------------------------------------------------------------------------------ Bash


def _bash_bindings(node: "Node") -> "Iterator[Binding]":
    children = node.named_children if node.type == "declaration_command" else [node]
    for child in children:
        name = node_text(child.child_by_field_name("name"))
        if child.type == "variable_assignment" and name and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            yield name, "constant", None, node


def _bash_sources(node: "Node") -> bool:
    return node_text(node.child_by_field_name("name")) in ("source", ".")


_BASH = Spec(
    definitions={"function_definition": "function"},
    descend=frozenset("compound_statement if_statement else_clause elif_clause list".split()),
    nested=contains(rb"(?m)^[ \t]+(function[ \t]|[\w-]+[ \t]*\(\))"),
    imports=frozenset({"command"}),
    imported=_bash_sources,
    values=frozenset({"variable_assignment", "declaration_command"}),
    bindings=_bash_bindings,
)

MORE: dict[str, Spec] = {"ruby": _RUBY, "php": _PHP, "csharp": _CSHARP, "bash": _BASH}
