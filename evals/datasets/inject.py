"""Bugs put into a real package, seeded, and kept only where its own tests prove them.

`agent eval inject RECIPES.toml --seed 1 --count 8 --out FILE`: `[package]` of the first file says
where. A bug is kept if tests that passed fail with it, not too many of them, and it can be told by
what it does. Shapes: one small edit (`reach`); a lost guard, branch or step, a wrong formula, two
places of one function, two files (`beyond`; of two places each alone must be noticed).
"""

import ast
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent

from evals.datasets.build import Rejected, baseline, draft, passing, prove, run_suite
from evals.datasets.recipe import Edit, Package, Recipe, Stratum
from evals.datasets.slips import SLIPS, Function, Replace, Source, functions
from evals.datasets.sources import cache_root, sdist, unpack
from evals.datasets.witness import Witness, statement, witnesses
from evals.grade import is_test_file
from tools.types import Sandbox, TestCase

__all__ = ["Bug", "bugs", "injected", "snippets"]

LEFT_OUT = frozenset("setup.py conf.py noxfile.py versioneer.py __main__.py".split())
SIDE = frozenset("docs doc examples example benchmarks bench tools scripts .github".split())
NOTICED = 0.2
"""At most this share of the tests may fail: more is no bug, it is a broken package."""
PER_FUNCTION = 2
HANG_S = 30.0
SNIPPET = 560
SHAPES = ("reach", "pair", "beyond", "files", "reach", "beyond")
"""In turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """Spans by file, and what they are."""

    stratum: Stratum
    name: str
    function: str
    parts: tuple[tuple[str, tuple[Replace, ...]], ...]
    """(path, replaced spans): one part, or two of which each alone must be noticed."""


def injected(
    package: Package,
    sandbox: Sandbox,
    *,
    seed: int,
    count: int,
    tries: int = 400,
    told: Callable[[str], None] = lambda line: None,
) -> Iterator[Recipe]:
    """Proved recipes of one package. Raises SourceUnavailable, Rejected and SandboxError."""
    blank = Recipe(
        id="draft",
        package=package,
        stratum="reach",
        tests_visible=True,
        problem_statement="",
    )
    place = cache_root()
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".inject-", dir=place) as scratch:
        clean = Path(scratch) / "clean"
        unpack(sdist(package), clean)
        trial = Trial(blank, clean, sandbox, told)
        yield from trial.found(seed, count, tries)


class Trial:
    """Tries bugs on one tree."""

    def __init__(
        self, blank: Recipe, clean: Path, sandbox: Sandbox, told: Callable[[str], None]
    ) -> None:
        self._blank, self._clean, self._sandbox, self._told = blank, clean, sandbox, told
        self._draft = draft(blank, "")
        self._good = baseline(blank, self._draft, clean, sandbox).good
        self._tree = clean.with_name("tree")
        shutil.copytree(clean, self._tree, symlinks=True)
        self._last: tuple[TestCase, ...] = ()

    def found(self, seed: int, count: int, tries: int) -> Iterator[Recipe]:
        """`count` recipes or fewer, every shape in turn, every second with hidden tests."""
        choice = random.Random(f"{seed} {self._blank.package.name}")
        left = {
            shape: _balanced(bugs(self._clean, shape), choice) for shape in dict.fromkeys(SHAPES)
        }
        seen: Counter[str] = Counter()
        made: list[Recipe] = []
        turn = 0
        while len(made) < count and any(left.values()) and turn < tries:
            shape = SHAPES[turn % len(SHAPES)]
            like = [r.tests_visible for r in made if (r.stratum == "reach") == (shape == "reach")]
            hide = like.count(True) >= like.count(False)
            recipe = self._next(left[shape], seen, f"s{seed}-{len(made) + 1:02}", hide)
            turn += 1
            if recipe is not None:
                made.append(recipe)
                yield recipe

    def _next(self, rest: list[Bug], seen: Counter[str], name: str, hide: bool) -> Recipe | None:
        """The next bug of a shape that holds; ten are tried."""
        for _ in range(min(10, len(rest))):
            bug = rest.pop()
            if seen[bug.function] >= PER_FUNCTION:
                continue
            recipe = self._recipe(bug, name, hide)
            if recipe is not None:
                seen[bug.function] += 1
                self._told(f"{recipe.instance_id}  {recipe.origin}")
                return recipe
        return None

    def _recipe(self, bug: Bug, name: str, hide: bool) -> Recipe | None:
        parts = [self._edits((part,)) for part in bug.parts]
        if not all(parts) or any(len(e.old) + len(e.new) > SNIPPET for es in parts for e in es):
            return None
        recipe = replace(
            self._blank,
            id=name,
            edits=self._edits(bug.parts),
            stratum=bug.stratum,
            origin=f"{bug.name} in {bug.function}",
        )
        return self.told_by(recipe, parts, hide)

    def told_by(self, recipe: Recipe, parts: list[tuple[Edit, ...]], hide: bool) -> Recipe | None:
        """With the text of the issue, if what happens can be told; and proved.

        Of two places each is told by a call or a test of its own: a text about one of them would
        not do for tests of both.
        """
        alone = [self._red(part) for part in parts] if len(parts) > 1 else []
        red = self._red(recipe.edits) if all(alone) else ()
        if not red:
            return None
        reports = self._reports(alone or [red], red)
        told = [(text, not hide) for text in self._texts(recipe.edits, parts, alone, red)]
        # without a call that shows it, an issue has to point to its tests
        for text, visible in (*told, *((report, True) for report in reports)):
            full = replace(recipe, problem_statement=text, tests_visible=visible)
            try:
                prove(full, self._sandbox)
            except Rejected as error:
                self._told(f"not kept  {error}")
            else:
                return full
        return None

    def _texts(
        self,
        whole: tuple[Edit, ...],
        parts: list[tuple[Edit, ...]],
        alone: list[tuple[str, ...]],
        red: tuple[str, ...],
    ) -> list[str]:
        """Texts to choose from, of what happens with all parts; none where one shows in no call."""
        found = self._shown(whole, red)
        groups = [found]
        if alone:
            pairs = zip(parts, alone, strict=True)
            calls = [{(w.where, w.call) for w in self._shown(*pair)} for pair in pairs]
            groups = [[w for w in found if (w.where, w.call) in known] for known in calls]
        choices = zip(*(group[:3] for group in groups), strict=False)
        return ["\n\n".join(dict.fromkeys(map(statement, choice))) for choice in choices]

    def _shown(self, edits: tuple[Edit, ...], red: tuple[str, ...]) -> list[Witness]:
        """Calls of some of these tests that come out otherwise with these edits."""
        asked = (*red[:6], *red[-6:])
        instance = replace(self._draft, FAIL_TO_PASS=asked or ("?",))
        self._write(edits)
        try:
            return list(witnesses(instance, self._clean, self._tree, asked, self._sandbox))
        finally:
            self._restore(edits)

    def _reports(self, alone: list[tuple[str, ...]], red: tuple[str, ...]) -> list[str]:
        """What failing tests say where no call shows the bug: one of each place's own.

        `alone`: the tests that notice each place by itself; `red`: those of the last run, with all
        of them. Empty where a place is noticed by no test of `red`.
        """
        said = {c.id: c for c in self._last if c.id in red}
        told = []
        for number, noticed in enumerate(alone):
            others = {i for n, ids in enumerate(alone) if n != number for i in ids}
            here = [i for i in noticed if i in red]
            cases = [said[i] for i in here if i not in others] or [said[i] for i in here]
            if not cases:
                return []
            told.append(_quoted(min(cases, key=lambda c: (not c.message, len(c.message)))))
        return ["\n\n".join(dict.fromkeys(told))]

    def _edits(self, parts: tuple[tuple[str, tuple[Replace, ...]], ...]) -> tuple[Edit, ...]:
        by_path: dict[str, list[Replace]] = {}
        for path, spans in parts:
            by_path.setdefault(path, []).extend(spans)
        return tuple(
            edit
            for path, spans in by_path.items()
            for edit in snippets(path, (self._clean / path).read_bytes(), spans)
        )

    def _red(self, edits: tuple[Edit, ...]) -> tuple[str, ...]:
        """The tests that notice; empty if none does, if too many do, or if nothing can be run."""
        try:
            self._write(edits)
            run = run_suite(self._draft, self._tree, self._sandbox, timeout_s=HANG_S)
        except (SyntaxError, Rejected):
            return ()
        finally:
            self._restore(edits)
        self._last = run.cases
        red = tuple(sorted(self._good - passing(run)))
        if run.status != "failed" or len(red) > max(3, NOTICED * len(self._good)):
            return ()
        return red

    def _write(self, edits: tuple[Edit, ...]) -> None:
        for edit in edits:
            path = self._tree / edit.path
            text = path.read_bytes().decode("utf-8").replace(edit.old, edit.new)
            ast.parse(text)
            path.write_bytes(text.encode("utf-8"))

    def _restore(self, edits: tuple[Edit, ...]) -> None:
        for edit in edits:
            shutil.copyfile(self._clean / edit.path, self._tree / edit.path)


def _quoted(case: TestCase) -> str:
    if not case.message:
        return f"`{case.id}` fails."
    return f"`{case.id}` fails:\n\n{indent(case.message.strip()[:600], '    ')}"


def _balanced(found: Iterable[Bug], choice: random.Random) -> list[Bug]:
    """In random order, from behind; every slip as often as the others while there are some."""
    shuffled = list(found)
    choice.shuffle(shuffled)
    seen: Counter[str] = Counter()
    turns = []
    for bug in shuffled:
        turns.append(seen[bug.name])
        seen[bug.name] += 1
    order = sorted(range(len(shuffled)), key=lambda n: turns[n], reverse=True)
    return [shuffled[n] for n in order]


def bugs(root: Path, shape: str) -> Iterator[Bug]:
    """Every bug of a shape in a tree, tried or not; pairs are of neighbours in the list."""
    singles = list(_singles(root, "beyond" if shape == "beyond" else "reach"))
    if shape in ("reach", "beyond"):
        yield from singles
        return
    mixed = singles + list(_singles(root, "beyond"))
    mixed = _balanced(mixed, random.Random(len(mixed)))
    for first, second in zip(mixed, mixed[1:] + mixed[:1], strict=True):
        for other in (second, *_like(first, mixed, shape)):
            if _fit(first, other, shape):
                yield Bug(
                    stratum="beyond",
                    name=f"{first.name} and {other.name}",
                    function=f"{first.function} and {other.function}"
                    if shape == "files"
                    else first.function,
                    parts=first.parts + other.parts,
                )
                break


def _like(first: Bug, mixed: list[Bug], shape: str) -> Iterator[Bug]:
    return (b for b in mixed if shape == "pair" and b.function == first.function)


def _fit(first: Bug, second: Bug, shape: str) -> bool:
    (path, spans), (other, others) = first.parts[0], second.parts[0]
    if shape == "files":
        return path != other
    apart = all(a.end + 80 < b.start or b.end + 80 < a.start for a in spans for b in others)
    return first.function == second.function and apart


def _singles(root: Path, stratum: Stratum) -> Iterator[Bug]:
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if is_test_file(inside.as_posix()) or inside.name in LEFT_OUT or set(inside.parts) & SIDE:
            continue
        try:
            source = Source(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for function in functions(source):
            for slip in SLIPS:
                if slip.stratum == stratum:
                    yield from _of(slip.name, slip.make, function, inside.as_posix(), stratum)


def _of(
    name: str,
    make: Callable[[Function], Iterator[tuple[Replace, ...]]],
    function: Function,
    path: str,
    stratum: Stratum,
) -> Iterator[Bug]:
    for spans in make(function):
        yield Bug(
            stratum=stratum,
            name=name,
            function=f"{path}:{function.name}",
            parts=((path, spans),),
        )


def snippets(path: str, data: bytes, spans: list[Replace]) -> tuple[Edit, ...]:
    """Spans as whole lines, old and new, widened until the old ones occur once.

    Spans whose lines touch become one edit. Empty where that cannot be.
    """
    lines = data.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found: list[tuple[int, int, list[Replace]]] = []
    for span in sorted(spans, key=lambda s: s.start):
        low = max(n for n, at in enumerate(starts[:-1]) if at <= span.start)
        high = min(n for n, at in enumerate(starts) if at >= max(span.end, span.start + 1))
        low, high = _widened(data, starts, low, high)
        if found and low <= found[-1][1]:
            low, high = min(low, found[-1][0]), max(high, found[-1][1])
            found[-1] = (low, high, [*found[-1][2], span])
        else:
            found.append((low, high, [span]))
    edits = []
    for low, high, inside in found:
        old = data[starts[low] : starts[high]]
        new = old
        for span in reversed(inside):
            a, b = span.start - starts[low], span.end - starts[low]
            new = new[:a] + span.text + new[b:]
        if old == new or data.count(old) != 1:
            return ()
        edits.append(Edit(path=path, old=old.decode("utf-8"), new=new.decode("utf-8")))
    return tuple(edits)


def _widened(data: bytes, starts: list[int], low: int, high: int) -> tuple[int, int]:
    while data.count(data[starts[low] : starts[high]]) > 1 and (low > 0 or high < len(starts) - 1):
        low, high = max(0, low - 1), min(len(starts) - 1, high + 1)
    return low, high
