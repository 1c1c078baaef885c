"""The zero-token stage: every small edit of the likeliest lines, cheapest first.

    for candidate in candidates(source, path, suspects, limit=500): …
    patched = apply(source, candidate)

A candidate is one edit of one place. It keeps every byte it does not mean to change, it compiles,
and no two candidates of a file have the same syntax tree. Python only.

The order is by wave, tier + band, where the band is 0 for the five likeliest statements, 1 for the
next fifteen and 2 for the rest: the common edits of every likely line come before the rare edits of
the first. Within a wave statements take turns, so that no long line starves the others.

`OPERATORS` lists what is tried; `about` says it in one line each. Operators are named and measured
here and nowhere else: model training and evaluation have mutation tables of their own.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tools.enumerate import additions, calls, constants, names, statements, values
from tools.enumerate.code import Code, Edit, FunctionNode, decoded, line_starts
from tools.enumerate.normal import Normal, normal_form
from tools.enumerate.operator import Operator
from tools.types import Candidate, Suspect

__all__ = ["OPERATORS", "Operator", "apply", "candidates", "normal_form"]

OPERATORS: tuple[Operator, ...] = (
    *values.OPERATORS,
    *constants.OPERATORS,
    *names.OPERATORS,
    *calls.OPERATORS,
    *statements.OPERATORS,
    *additions.OPERATORS,
)

BANDS = (5, 20)
"""Statements ranked below these bounds are in band 0, 1; all others in band 2."""
TURN = 4
"""Candidates a statement gives before the next one has its turn."""
HEADER = 0.5
"""Share of its body's suspicion that a `def` line or a constant used on a line inherits."""
MAX_SOURCE = 1 << 20


def candidates(
    source: bytes, path: str, suspects: Sequence[Suspect], *, limit: int
) -> Iterator[Candidate]:
    """At most `limit` single-edit candidates for one file, in the order to try them.

    `suspects` of other files, and files that do not parse or pass 1 MiB, give nothing.
    """
    code = _parse(source, path)
    lines = {s.line: s.score for s in reversed(suspects) if s.path == path and s.line is not None}
    if code is None or not lines or limit <= 0:
        return
    seen: dict[ast.AST, set[str]] = {}
    given = 0
    for unit, found in _in_waves(_rank(code, lines)):
        candidate = _candidate(code, unit, found, seen)
        if candidate is not None:
            yield candidate
            given += 1
            if given >= limit:
                return


def apply(source: bytes, candidate: Candidate) -> bytes:
    """The file with the candidate's lines replaced. ValueError if it is not the file it was."""
    text, encoding = decoded(source)
    # Not parsed: that would cost 10 ms for 1,000 lines, for each of hundreds of candidates.
    starts = [0, *line_starts(text)]
    if candidate.end_line > len(starts):
        raise ValueError(f"{candidate.path} is shorter than when the candidate was made")
    start = starts[candidate.line - 1]
    end = starts[candidate.end_line] if candidate.end_line < len(starts) else len(text)
    if text[start:end] != candidate.before:
        raise ValueError(f"{candidate.path} changed since the candidate was made")
    return (text[:start] + candidate.after + text[end:]).encode(encoding)


def _parse(source: bytes, path: str) -> Code | None:
    if len(source) > MAX_SOURCE or not path.endswith((".py", ".pyi", ".pyw")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Code(source, path)
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None


# --------------------------------------------------------------------------- which statements


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Unit:
    """A statement without its nested blocks, and the edits of each tier for it."""

    node: ast.stmt
    suspicion: float
    band: int
    edits: dict[int, Iterator[tuple[Operator, Edit]]]


def _rank(code: Code, lines: dict[int, float]) -> list[_Unit]:
    scores: dict[ast.stmt, float] = {}
    for node in ast.walk(code.tree):
        if isinstance(node, ast.stmt) and not _is_docstring(node):
            own = [lines[n] for n in _own_lines(node) if n in lines]
            if own:
                scores[node] = max(own)
    for node, score in list(scores.items()):
        for related in _related(code, node):
            scores[related] = max(scores.get(related, 0.0), score * HEADER)
    ranked = sorted(scores, key=lambda n: (-scores[n], n.lineno, n.col_offset))
    units = []
    for rank, node in enumerate(ranked):
        band = sum(rank >= bound for bound in BANDS)
        units.append(_Unit(node=node, suspicion=scores[node], band=band, edits=_edits(code, node)))
    return units


def _own_lines(node: ast.stmt) -> Iterator[int]:
    """Lines of a statement's own expressions, nested blocks left out, `except` lines included."""
    body = getattr(node, "body", None)
    last = node.end_lineno or node.lineno
    if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
        last = max(node.lineno, body[0].lineno - 1)
    yield from range(node.lineno, last + 1)
    yield from (h.lineno for h in getattr(node, "handlers", ()))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _related(code: Code, node: ast.stmt) -> Iterator[ast.stmt]:
    """What a line depends on but no test executes: the `def` around it, module constants."""
    around = code.function(node)
    if around is not None:
        yield around
    parent = code.parents.get(node)
    if isinstance(parent, ast.Try):
        yield parent
    used = {n.id for n in _own_nodes(node) if isinstance(n, ast.Name)}
    for top in code.tree.body:
        if isinstance(top, ast.Assign | ast.AnnAssign):
            stored = (n for n in ast.walk(top) if isinstance(n, ast.Name))
            if any(n.id in used and isinstance(n.ctx, ast.Store) for n in stored):
                yield top


def _own_nodes(node: ast.stmt) -> Iterator[ast.AST]:
    """The statement and its expressions; nested statements are units of their own."""
    queue: list[ast.AST] = [node]
    while queue:
        at = queue.pop(0)
        yield at
        for child in ast.iter_child_nodes(at):
            # Annotations are not executed for effect; handlers hold statements.
            if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.expr_context):
                if not (isinstance(at, ast.arg | FunctionNode) and _is_annotation(at, child)):
                    queue.append(child)


def _is_annotation(parent: ast.AST, child: ast.AST) -> bool:
    return child in (getattr(parent, "annotation", None), getattr(parent, "returns", None))


def _edits(code: Code, node: ast.stmt) -> dict[int, Iterator[tuple[Operator, Edit]]]:
    def of_tier(tier: int) -> Iterator[tuple[Operator, Edit]]:
        nodes = list(_own_nodes(node))
        for op in OPERATORS:
            if op.tier == tier:
                for at in nodes:
                    for edit in op.make(code, at):
                        yield op, edit

    return {tier: of_tier(tier) for tier in sorted({op.tier for op in OPERATORS})}


def _in_waves(units: Sequence[_Unit]) -> Iterator[tuple[_Unit, tuple[Operator, Edit]]]:
    tiers = sorted({op.tier for op in OPERATORS})
    for wave in range(max(tiers) + len(BANDS) + 1):
        for tier in tiers:
            waiting = [u for u in units if u.band == wave - tier]
            while waiting:
                still = []
                for unit in waiting:
                    turn = [x for _, x in zip(range(TURN), unit.edits[tier], strict=False)]
                    yield from ((unit, x) for x in turn)
                    if len(turn) == TURN:
                        still.append(unit)
                waiting = still


# --------------------------------------------------------------------------- from edit to candidate


def _candidate(
    code: Code,
    unit: _Unit,
    found: tuple[Operator, Edit],
    seen: dict[ast.AST, set[str]],
) -> Candidate | None:
    op, edit = found
    region = code.region(unit.node)
    if region is None:
        return None
    if region not in seen:
        seen[region] = {_normal_dump(_reparse(code, region, None) or region)}
    tree = _reparse(code, region, edit)
    if tree is None or not _compiles(tree):
        return None
    # Synonyms (`x - 1 + 1`, `x`) would only cost runs and look like rivals.
    form = _normal_dump(tree)
    if form in seen[region]:
        return None
    seen[region].add(form)
    return _as_lines(code, op, edit, unit.suspicion)


def _reparse(code: Code, region: ast.stmt, edit: Edit | None) -> ast.Module | None:
    """The region alone with the edit made, under an `if` that carries its indentation."""
    decorators = getattr(region, "decorator_list", [])
    first = min([region.lineno, *(d.lineno for d in decorators)])
    start, end = code.line_span(first, region.end_lineno or region.lineno)
    text = code.text[start:end]
    if edit is not None:
        if not (start <= edit.start and edit.end <= end):
            return None
        text = code.text[start : edit.start] + edit.text + code.text[edit.end : end]
    text = f"if 1:\n{text}" if text[:1] in (" ", "\t") else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _compiles(tree: ast.Module) -> bool:
    """Whether it compiles too: `break` outside a loop parses but does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(tree, "<candidate>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _as_lines(code: Code, op: Operator, edit: Edit, suspicion: float) -> Candidate:
    first = code.line_of(edit.start)
    last = max(first, code.line_of(max(edit.end - 1, edit.start)))
    start, end = code.line_span(first, last)
    return Candidate(
        path=code.path,
        line=first,
        end_line=last,
        before=code.text[start:end],
        after=code.text[start : edit.start] + edit.text + code.text[edit.end : end],
        operator=op.name,
        tier=op.tier,
        suspicion=suspicion,
    )


def _normal_dump(tree: ast.AST) -> str:
    return ast.dump(Normal().visit(tree))


def operators_by_tier(table: Iterable[Operator] = OPERATORS) -> dict[int, tuple[str, ...]]:
    """Names of the operators, tier by tier."""
    tiers: dict[int, tuple[str, ...]] = {}
    for op in table:
        tiers[op.tier] = (*tiers.get(op.tier, ()), op.name)
    return dict(sorted(tiers.items()))
