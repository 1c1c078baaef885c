"""Where definitions stand in each grammar: node types, and how a node is named.

Nodes are read through their public attributes only; nothing here imports tree-sitter.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

    Binding = tuple[str | None, str, Node | None, Node]

__all__ = ["SPECS", "Spec", "contains", "never", "node_text", "python_nested"]


def node_text(node: "Node | None") -> str | None:
    # Each look at `text` makes it anew.
    text = None if node is None else node.text
    return None if text is None else text.decode("utf-8", "replace")


def _field_name(node: "Node") -> str | None:
    return node_text(node.child_by_field_name("name"))


def _no_bindings(node: "Node") -> "Iterator[Binding]":
    return iter(())


def _always(node: "Node") -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One language. `nested(source, start, end)`: may the body hold further definitions?"""

    definitions: dict[str, str]
    descend: frozenset[str]
    nested: Callable[[bytes, int, int], bool]
    wrappers: frozenset[str] = frozenset()
    """Nodes that begin a definition: decorators, exports, templates."""
    imports: frozenset[str] = frozenset()
    imported: Callable[["Node"], bool] = _always
    """Whether a node of such a type is an import: `require "x"` is a call like any other."""
    values: frozenset[str] = frozenset()
    name: Callable[["Node"], str | None] = _field_name
    bindings: "Callable[[Node], Iterator[Binding]]" = _no_bindings
    needs_body: frozenset[str] = frozenset()
    """Types that only refer to something when they have no body (`struct stat *s`)."""
    macros: bool = False
    """The preprocessor can break the tree: fall back to the regex tier."""


def never(source: bytes, start: int, end: int) -> bool:
    return False


def contains(pattern: bytes) -> Callable[[bytes, int, int], bool]:
    search = re.compile(pattern).search
    return lambda source, start, end: search(source, start, end) is not None


# ------------------------------------------------------------------------------ Python


def _python_bindings(node: "Node") -> "Iterator[Binding]":
    child = node.named_child(0)
    if child is None or child.type != "assignment":
        return
    left = child.child_by_field_name("left")
    if left is not None and left.type == "identifier":
        yield node_text(left), "constant", child.child_by_field_name("right"), child


def python_nested(source: bytes, start: int, end: int) -> bool:
    """Whether a body, from its first statement to its end, may hold a definition."""
    # Plain searches first: most bodies hold neither, and a pattern costs ten times as much.
    if source.find(b"def ", start, end) < 0 and source.find(b"class ", start, end) < 0:
        return False
    return _PYTHON_FIRST(source, start, end) is not None or _PYTHON_NESTED(source, start, end)


_PYTHON_FIRST = re.compile(rb"(?:async[ \t]+def|def|class)[ \t]").match
_PYTHON_NESTED = contains(rb"(?m)^[ \t]+(?:async[ \t]+def|def|class)[ \t]")

_PYTHON = Spec(
    definitions={"function_definition": "function", "class_definition": "class"},
    descend=frozenset(
        "block if_statement elif_clause else_clause try_statement except_clause finally_clause"
        " with_statement for_statement while_statement except_group_clause match_statement"
        " case_clause".split()
    ),
    nested=python_nested,
    wrappers=frozenset({"decorated_definition"}),
    imports=frozenset({"import_statement", "import_from_statement", "future_import_statement"}),
    values=frozenset({"expression_statement"}),
    bindings=_python_bindings,
)

# ------------------------------------------------------------------------------ JS, TS


def _js_bindings(node: "Node") -> "Iterator[Binding]":
    if node.type in ("lexical_declaration", "variable_declaration"):
        for child in node.named_children:
            if child.type == "variable_declarator":
                name = child.child_by_field_name("name")
                plain = name is not None and name.type == "identifier"
                value = child.child_by_field_name("value")
                yield node_text(name) if plain else None, _js_kind(value), value, child
    elif node.type in ("public_field_definition", "field_definition"):
        name = node.child_by_field_name("name") or node.child_by_field_name("property")
        value = node.child_by_field_name("value")
        yield node_text(name), _js_kind(value), value, node
    elif node.type == "pair":
        value = node.child_by_field_name("value")
        key = node.child_by_field_name("key") if _js_kind(value) != "constant" else None
        yield node_text(key), _js_kind(value), value, node
    else:
        yield from _js_expression(node)


def _js_expression(node: "Node") -> "Iterator[Binding]":
    inner = node.named_child(0)
    if inner is None:
        return
    if inner.type != "assignment_expression":
        # TypeScript's `namespace x { … }` is an expression to its grammar.
        yield None, "constant", node if inner.type == "internal_module" else inner, node
        return
    left, right = inner.child_by_field_name("left"), inner.child_by_field_name("right")
    name = node_text(left) or ""
    for prefix in ("module.exports.", "exports.", "this.", "self.", "window."):
        name = name.removeprefix(prefix)
    named = _js_kind(right) != "constant" and re.fullmatch(r"[\w$.]+", name) is not None
    yield name.replace(".prototype.", ".") if named else None, _js_kind(right), right, node


def _js_kind(value: "Node | None") -> str:
    return _JS_VALUES.get(value.type, "constant") if value is not None else "constant"


_JS_VALUES = {
    "arrow_function": "function",
    "function_expression": "function",
    "function": "function",
    "generator_function": "function",
    "class": "class",
}

_JS_DEFINITIONS = {
    "function_declaration": "function",
    "generator_function_declaration": "function",
    "class_declaration": "class",
    "method_definition": "function",
}
_JS_DESCEND = frozenset(
    "statement_block class_body if_statement else_clause try_statement catch_clause finally_clause"
    " call_expression arguments parenthesized_expression object return_statement"
    " arrow_function function_expression unary_expression binary_expression".split()
)
_JS_NESTED = contains(
    rb"\bfunction\b|=>|\bclass\b"
    rb"|(?m:^[ \t]+(?!if|for|while|switch|catch)\w+[ \t]*\([^()]*\)[ \t]*\{)"
)

_JAVASCRIPT = Spec(
    definitions=_JS_DEFINITIONS,
    descend=_JS_DESCEND,
    nested=_JS_NESTED,
    wrappers=frozenset({"export_statement"}),
    imports=frozenset({"import_statement"}),
    values=frozenset(
        "lexical_declaration variable_declaration expression_statement pair field_definition"
        " public_field_definition".split()
    ),
    bindings=_js_bindings,
)
_TYPESCRIPT = Spec(
    definitions=_JS_DEFINITIONS
    | {
        "abstract_class_declaration": "class",
        "interface_declaration": "type",
        "type_alias_declaration": "type",
        "enum_declaration": "type",
        "internal_module": "module",
        "module": "module",
        "function_signature": "function",
        "abstract_method_signature": "function",
        "method_signature": "function",
    },
    descend=_JS_DESCEND | {"interface_body", "ambient_declaration", "expression_statement"},
    nested=_JS_NESTED,
    wrappers=frozenset({"export_statement", "ambient_declaration"}),
    imports=frozenset({"import_statement"}),
    values=_JAVASCRIPT.values,
    bindings=_js_bindings,
)

# ------------------------------------------------------------------------------ Java


def _java_bindings(node: "Node") -> "Iterator[Binding]":
    for child in node.named_children:
        if child.type == "variable_declarator":
            yield node_text(child.child_by_field_name("name")), "constant", None, node


_JAVA = Spec(
    definitions={
        "class_declaration": "class",
        "record_declaration": "class",
        "interface_declaration": "type",
        "enum_declaration": "type",
        "annotation_type_declaration": "type",
        "method_declaration": "function",
        "constructor_declaration": "function",
        "compact_constructor_declaration": "function",
    },
    descend=frozenset({"class_body", "interface_body", "enum_body", "enum_body_declarations"}),
    nested=contains(rb"\b(class|interface|enum|record)\s+\w+[^;=]*\{"),
    imports=frozenset({"import_declaration"}),
    values=frozenset({"field_declaration", "constant_declaration"}),
    bindings=_java_bindings,
)

# ------------------------------------------------------------------------------ Go


def _go_name(node: "Node") -> str | None:
    name = _field_name(node)
    receiver = node.child_by_field_name("receiver") if node.type == "method_declaration" else None
    if receiver is not None and name is not None:
        found = re.search(r"([A-Za-z_]\w*)\s*(?:\[[^\]]*\])?\s*\)$", node_text(receiver) or "")
        return f"{found[1]}.{name}" if found else name
    return name


def _go_bindings(node: "Node") -> "Iterator[Binding]":
    for child in node.children_by_field_name("name"):
        yield node_text(child), "constant", None, node


_GO = Spec(
    definitions={
        "function_declaration": "function",
        "method_declaration": "function",
        "type_spec": "type",
        "type_alias": "type",
    },
    descend=frozenset({"const_declaration", "var_declaration", "var_spec_list"}),
    nested=never,
    wrappers=frozenset({"type_declaration"}),
    imports=frozenset({"import_declaration"}),
    values=frozenset({"const_spec", "var_spec"}),
    name=_go_name,
    bindings=_go_bindings,
)

# ------------------------------------------------------------------------------ Rust


def _rust_name(node: "Node") -> str | None:
    if node.type != "impl_item":
        return _field_name(node)
    type_ = node_text(node.child_by_field_name("type")) or ""
    return re.split(r"[<\s]", type_, maxsplit=1)[0].rpartition("::")[2] or None


def _rust_bindings(node: "Node") -> "Iterator[Binding]":
    yield node_text(node.child_by_field_name("name")), "constant", None, node


_RUST = Spec(
    definitions={
        "function_item": "function",
        "function_signature_item": "function",
        "struct_item": "class",
        "union_item": "class",
        "enum_item": "type",
        "trait_item": "type",
        "type_item": "type",
        "impl_item": "class",
        "mod_item": "module",
        "macro_definition": "function",
    },
    descend=frozenset({"declaration_list", "foreign_mod_item"}),
    nested=contains(rb"\bfn[ \t]+\w+"),
    imports=frozenset({"use_declaration", "extern_crate_declaration"}),
    values=frozenset({"const_item", "static_item"}),
    name=_rust_name,
    bindings=_rust_bindings,
)

# ------------------------------------------------------------------------------ C, C++

_DECLARATORS = frozenset(
    "function_declarator pointer_declarator reference_declarator parenthesized_declarator"
    " array_declarator init_declarator attributed_declarator".split()
)


def _c_declared(node: "Node") -> tuple[str | None, bool]:
    """The name inside a declarator, and whether it declares a function."""
    function = False
    current: Node | None = node
    while current is not None and current.type in _DECLARATORS:
        function = function or current.type == "function_declarator"
        current = current.child_by_field_name("declarator") or current.named_child(0)
    name = node_text(current)
    if name is None or not re.fullmatch(r"[\w~:<>, ]+|operator.{1,12}|.*::operator.{1,12}", name):
        return None, function
    return re.sub(r"<[^<>]*>", "", name).replace("::", ".").replace(" ", ""), function


def _c_name(node: "Node") -> str | None:
    if node.type == "function_definition":
        declarator = node.child_by_field_name("declarator")
        return _c_declared(declarator)[0] if declarator is not None else None
    if node.type == "type_definition":
        declarator = node.child_by_field_name("declarator")
        return (
            node_text(declarator) if declarator and declarator.type == "type_identifier" else None
        )
    name = _field_name(node)
    return name.replace("::", ".") if name else None


def _c_bindings(node: "Node") -> "Iterator[Binding]":
    if node.type == "preproc_def":
        yield node_text(node.child_by_field_name("name")), "constant", None, node
        return
    # `struct s { … } x;` defines the type: it stands in the declaration's type field.
    type_ = node.child_by_field_name("type")
    if type_ is not None and type_.child_by_field_name("body") is not None:
        yield None, "constant", node, node
    for declarator in node.children_by_field_name("declarator"):
        name, function = _c_declared(declarator)
        yield name, "function" if function else "constant", None, node


_C_DEFINITIONS = {
    "function_definition": "function",
    "struct_specifier": "class",
    "union_specifier": "class",
    "enum_specifier": "type",
    "type_definition": "type",
    "preproc_function_def": "function",
}
_C_DESCEND = frozenset(
    "preproc_if preproc_ifdef preproc_else preproc_elif preproc_elifdef linkage_specification"
    " declaration_list declaration".split()
)
_C_BODIES = frozenset({"struct_specifier", "union_specifier", "enum_specifier", "class_specifier"})

_C = Spec(
    definitions=_C_DEFINITIONS,
    descend=_C_DESCEND,
    nested=never,
    imports=frozenset({"preproc_include"}),
    values=frozenset({"declaration", "preproc_def"}),
    name=_c_name,
    bindings=_c_bindings,
    needs_body=_C_BODIES,
    macros=True,
)
_CPP = Spec(
    definitions=_C_DEFINITIONS
    | {
        "class_specifier": "class",
        "namespace_definition": "module",
        "alias_declaration": "type",
        "concept_definition": "type",
    },
    descend=_C_DESCEND | {"field_declaration", "field_declaration_list", "export_declaration"},
    nested=never,
    wrappers=frozenset({"template_declaration"}),
    imports=frozenset({"preproc_include", "using_declaration"}),
    values=frozenset({"declaration", "preproc_def", "field_declaration"}),
    name=_c_name,
    bindings=_c_bindings,
    needs_body=_C_BODIES,
    macros=True,
)

SPECS: dict[str, Spec] = {
    "python": _PYTHON,
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "java": _JAVA,
    "go": _GO,
    "rust": _RUST,
    "c": _C,
    "cpp": _CPP,
}
