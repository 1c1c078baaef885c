"""Candidate red tests from the text of an issue, surest first. No model, no execution.

An expected value is always one that the issue states. Where a doctest shows an output, it may be
the right one or the wrong one: words around it decide, and otherwise both readings are left to
`judge`, since a draft that states the present behaviour passes and is thrown out.
"""

import ast
import doctest
import re
from collections.abc import Iterator

from agent.reproduce.build import Resolve, build, parse, with_imports
from agent.reproduce.phrases import Claim, actual_value, claims, expected_value
from agent.reproduce.text import Block, blocks, exception_named, prose, values_equal
from agent.reproduce.types import Draft, Origin, Reason

__all__ = ["extract"]

MAX_DRAFTS = 8

_WRONG = re.compile(
    r"(?:actual|current(?:ly)?|observed|instead|but (?:I )?(?:get|got)|wrong|returns?|gives?|bug"
    r"|incorrect(?:ly)?|what happens|reproduc\w*|steps)[^\n]*$",
    re.I,
)
_RIGHT = re.compile(r"(?:expect(?:ed)?|should|correct(?:ly)?|desired|want(?:ed)?)[^\n]*$", re.I)
_COMMENT = re.compile(r"#\s*(.+)$")
_SKIPPED = frozenset(
    {"bash", "sh", "shell", "console", "json", "yaml", "toml", "diff", "text", "c"}
)


def extract(issue: str, *, resolve: Resolve) -> tuple[Draft, ...]:
    """At most eight drafts; none for prose without code. `resolve(name)` names a module or None."""
    if not issue.strip():
        return ()
    found = blocks(issue)
    drafts: dict[str, Draft] = {}
    for draft in _all(issue, found, resolve):
        if draft is not None:
            kept = drafts.get(draft.source)
            if kept is None or kept.confidence < draft.confidence:
                drafts[draft.source] = draft
    ordered = sorted(drafts.values(), key=lambda d: -d.confidence)
    return tuple(ordered[:MAX_DRAFTS])


def _all(issue: str, found: tuple[Block, ...], resolve: Resolve) -> Iterator[Draft | None]:
    words = prose(issue)
    setup = _setup(found)
    for block in found:
        if block.language in _SKIPPED and ">>>" not in block.code:
            continue
        if ">>>" in block.code:
            yield from _doctest(block, issue, resolve)
        else:
            yield from _code(block, issue, words, resolve)
    for claim in claims(words):
        for before in ([], setup) if setup else ([],):
            yield _from_claim(before, claim, resolve)
    yield from _traceback(issue, resolve)


def _setup(found: tuple[Block, ...]) -> list[ast.stmt]:
    """Imports, definitions and assignments of the first block: what a phrase may refer to."""
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign
    for block in found:
        code = block.code
        if ">>>" in code:
            code = "".join(e.source for e in _examples(code))
        nodes = parse(code)
        if nodes:
            return [n for n in nodes if isinstance(n, kinds)]
    return []


# --------------------------------------------------------------------------- doctests


def _examples(code: str) -> list[doctest.Example]:
    # A prose line right under the output is not part of it, but doctest cannot know.
    lines = [x[4:] if x.startswith("    >>>") else x for x in code.splitlines()]
    try:
        return doctest.DocTestParser().get_examples("\n".join(lines) + "\n")
    except ValueError:
        return []


def _doctest(block: Block, issue: str, resolve: Resolve) -> Iterator[Draft | None]:
    done: list[ast.stmt] = []
    examples = _examples(block.code)
    for index, example in enumerate(examples):
        nodes = parse(example.source)
        if nodes is None:
            return
        last = index == len(examples) - 1
        yield from _example(done, nodes, example, block, issue if last else "", resolve)
        done += nodes


def _example(
    done: list[ast.stmt],
    nodes: list[ast.stmt],
    example: doctest.Example,
    block: Block,
    issue: str,
    resolve: Resolve,
) -> Iterator[Draft | None]:
    if example.exc_msg is not None or "Traceback (most recent" in example.want:
        name = exception_named(example.exc_msg or example.want)
        if _RIGHT.search(block.before) and not _WRONG.search(block.before):
            yield _silent(done, nodes, name, resolve)
            return
        expected = expected_value(block.after) or expected_value(issue)
        if expected is not None and isinstance(nodes[-1], ast.Expr):
            yield _equal(done, nodes[-1].value, expected, resolve, 0.85)
        yield build(
            [*done, *nodes],
            resolve,
            reason=Reason(kind="raises", exception=name),
            confidence=0.8,
            origin="doctest",
        )
        return
    if not isinstance(nodes[-1], ast.Expr) or not example.want.strip():
        return
    call, before = nodes[-1].value, [*done, *nodes[:-1]]
    shown, comment = _shown(example)
    stated = comment or expected_value(block.after)
    if stated is None and issue and not _RIGHT.search(block.before):
        stated = expected_value(prose(issue))
    if stated is not None and not (shown is not None and values_equal(stated, shown)):
        yield _equal(before, call, stated, resolve, 0.9 if comment is not None else 0.8)
    if shown is not None:
        # Right or wrong? If it is what happens now, the draft passes and is thrown out.
        right = bool(_RIGHT.search(block.before)) and stated is None
        yield _equal(before, call, shown, resolve, 0.85 if right else 0.3)


def _shown(example: doctest.Example) -> tuple[ast.expr | None, ast.expr | None]:
    """The value an example shows, and the value a comment says it should show."""
    comment = None
    for line in (*example.source.splitlines(), *example.want.splitlines()):
        match = _COMMENT.search(line)
        if match and comment is None:
            comment = _said(match[1])
    want = example.want.strip().split("\n\n")[0]
    text = _COMMENT.sub("", want).strip()
    shown = parse(text)
    if shown is None or len(shown) != 1 or not isinstance(shown[0], ast.Expr):
        shown = parse(text.splitlines()[0]) if text else None
    ok = shown and len(shown) == 1 and isinstance(shown[0], ast.Expr)
    return (shown[0].value if ok and shown and isinstance(shown[0], ast.Expr) else None), comment


def _said(comment: str) -> ast.expr | None:
    """`expected 3`, `should be 3, got 2`."""
    return expected_value(comment)


def _equal(
    before: list[ast.stmt],
    call: ast.expr,
    expected: ast.expr,
    resolve: Resolve,
    confidence: float,
    origin: Origin = "doctest",
) -> Draft | None:
    """`assert call == expected`, or `is None`."""
    none = isinstance(expected, ast.Constant) and expected.value is None
    operator: ast.cmpop = ast.Is() if none else ast.Eq()
    test = ast.Assert(test=ast.Compare(left=call, ops=[operator], comparators=[expected]), msg=None)
    return build(
        [*before, test],
        resolve,
        reason=Reason(kind="value"),
        confidence=confidence,
        origin=origin,
    )


def _silent(
    before: list[ast.stmt], nodes: list[ast.stmt], name: str, resolve: Resolve
) -> Draft | None:
    raises = ast.parse(f"pytest.raises({name})", mode="eval").body
    block = ast.With(items=[ast.withitem(context_expr=raises)], body=nodes, lineno=1)

    def known(wanted: str) -> str | None:
        return "pytest" if wanted == "pytest" else resolve(wanted)

    return build(
        [*before, block],
        known,
        reason=Reason(kind="silent", exception=name),
        confidence=0.8,
        origin="phrase",
    )


def _from_claim(before: list[ast.stmt], claim: Claim, resolve: Resolve) -> Draft | None:
    if claim.expected is not None:
        return _equal(before, claim.call, claim.expected, resolve, claim.surety, "phrase")
    statement = ast.Expr(value=claim.call)
    if claim.should_raise:
        return _silent(before, [statement], claim.should_raise, resolve)
    return build(
        [*before, statement],
        resolve,
        reason=Reason(kind="raises", exception=claim.raises),
        confidence=claim.surety,
        origin="phrase",
    )


# --------------------------------------------------------------------------- scripts


def _code(block: Block, issue: str, words: str, resolve: Resolve) -> Iterator[Draft | None]:
    nodes = parse(block.code)
    if not nodes or "Traceback (most recent" in block.code:
        return
    tests = tuple(n.name for n in nodes if isinstance(n, ast.FunctionDef) and _is_test(n))
    if tests:
        yield _own_test(block.code, nodes, tests, resolve)
        return
    if any(isinstance(n, ast.Assert) for top in nodes for n in ast.walk(top)):
        yield build(nodes, resolve, reason=Reason(kind="value"), confidence=0.9, origin="code")
        return
    demanded = _demanded(nodes)
    if demanded:
        reason = Reason(kind="silent", exception=demanded)
        yield build(nodes, resolve, reason=reason, confidence=0.9, origin="code")
        return
    yield from _commented(block, nodes, resolve)
    last = nodes[-1]
    subject = _subject(last)
    expected = expected_value(block.after) or expected_value(words)
    if subject is not None and expected is not None and actual_value(words) != expected:
        yield _equal(nodes[:-1], subject, expected, resolve, 0.7)
    name = exception_named(block.after) or exception_named(issue)
    if name:
        yield build(
            nodes,
            resolve,
            reason=Reason(kind="raises", exception=name),
            confidence=0.7,
            origin="code",
        )


def _demanded(nodes: list[ast.stmt]) -> str:
    """Bare name of the exception that a `with pytest.raises(X)` of the code demands, or empty."""
    for node in (n for top in nodes for n in ast.walk(top)):
        if isinstance(node, ast.With) and isinstance(node.items[0].context_expr, ast.Call):
            call = node.items[0].context_expr
            if ast.unparse(call.func) in ("pytest.raises", "raises") and call.args:
                return ast.unparse(call.args[0]).rsplit(".", 1)[-1]
    return ""


def _is_test(node: ast.FunctionDef) -> bool:
    return node.name.startswith("test") and not node.args.args


def _own_test(
    code: str, nodes: list[ast.stmt], tests: tuple[str, ...], resolve: Resolve
) -> Draft | None:
    source = with_imports(code, nodes, resolve)
    if source is None:
        return None
    return Draft(
        source=source, tests=tests, reason=Reason(kind="any"), confidence=0.95, origin="test"
    )


def _subject(node: ast.stmt) -> ast.expr | None:
    """What the last line shows: an expression, or the one argument of `print`."""
    if not isinstance(node, ast.Expr):
        return None
    value = node.value
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "print"
    ):
        return value.args[0] if len(value.args) == 1 and not value.keywords else None
    return value


def _commented(block: Block, nodes: list[ast.stmt], resolve: Resolve) -> Iterator[Draft | None]:
    """`f(2)  # returns 3, expected 4`."""
    lines = block.code.splitlines()
    for index, node in enumerate(nodes):
        subject = _subject(node)
        line = lines[(node.end_lineno or 1) - 1] if subject is not None else ""
        match = _COMMENT.search(line)
        expected = _said(match[1]) if match else None
        if subject is not None and expected is not None:
            # Earlier lines that only show something would fail first, for another reason.
            before = [n for n in nodes[:index] if _subject(n) is None]
            yield _equal(before, subject, expected, resolve, 0.9)


# --------------------------------------------------------------------------- tracebacks


def _traceback(issue: str, resolve: Resolve) -> Iterator[Draft | None]:
    """The user's own line of a traceback, if it can stand alone."""
    if "Traceback (most recent call last)" not in issue:
        return
    name = exception_named(issue)
    for match in re.finditer(r'File "[^"\n]+", line \d+, in <module>\n[ \t]+([^\n]+)', issue):
        nodes = parse(match[1].strip())
        if nodes and name:
            yield build(
                nodes,
                resolve,
                reason=Reason(kind="raises", exception=name),
                confidence=0.6,
                origin="traceback",
            )
