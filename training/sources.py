"""Where the training code comes from: the standard library and installed packages.

Only permissive licences, nothing reserved for evaluation, nothing from the projects public
repair benchmarks are made of, no vendored copies, no test suites, each function once.
"""

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

__all__ = ["Function", "Package", "SourceFile", "files", "functions", "packages", "shape"]

RESERVED = frozenset(
    "packaging attrs click jinja2 requests more-itertools sqlparse tomlkit tabulate humanize "
    "boltons toolz marshmallow parso flask django networkx python-dateutil pluggy rich".split()
)
# Projects SWE-bench and BugsInPy took their bugs from (those that could be installed).
BENCHMARKED = frozenset(
    "sympy pytest matplotlib scikit-learn sphinx pylint astropy xarray seaborn pandas black "
    "youtube-dl scrapy tornado httpie keras fastapi luigi sanic spacy thefuck tqdm ansible "
    "cookiecutter pysnooper".split()
)
# Never trained on: the repair figures in the model card are measured on these.
HELD_OUT = frozenset(
    "jmespath jsonschema trio pycparser wcwidth sortedcontainers werkzeug unidiff traitlets "
    "referencing anyio h11 rsa xmltodict jsonpath-ng".split()
)
# Names of the programs of QuixBugs: no function called so is used, whatever its origin.
QUIXBUGS = frozenset(
    "bitcount breadth_first_search bucketsort depth_first_search detect_cycle find_first_in_sorted "
    "find_in_sorted flatten gcd get_factors hanoi is_valid_parenthesization kheapsort knapsack "
    "kth lcs_length levenshtein lis longest_common_subsequence max_sublist_sum mergesort "
    "minimum_spanning_tree next_palindrome next_permutation pascal possible_change powerset "
    "quicksort reverse_linked_list rpn_eval shortest_path_length shortest_path_lengths "
    "shortest_paths shunting_yard sieve sqrt subsequences to_base topological_ordering wrap".split()
)
_PERMISSIVE = re.compile(r"MIT|BSD|Apache|ASL|ISC|PSF|Python Software|Unlicense|0BSD|HPND", re.I)
_COPYLEFT = re.compile(r"GPL|Mozilla|MPL|EPL|CDDL|EUPL", re.I)
_SKIPPED_PARTS = frozenset(
    "_vendor vendor vendored externals extern third_party _vendored_packages test tests "
    "__pycache__ site-packages dist-packages lib2to3".split()
)
_MAX_BYTES = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    name: str
    version: str
    licence: str
    root: Path
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    package: str
    path: str  # as a prompt shows it, relative to the package's root
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    package: str
    path: str
    name: str
    source: str  # whole lines, with the file's indentation
    shape: str  # hash of the normalised syntax tree


def normal(name: str) -> str:
    """A distribution's name in the form the lists above use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(roots: tuple[Path, ...]) -> Iterator[Package]:
    """The standard library, then every usable distribution under `roots`, by name."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    yield Package(
        name="python",
        version=sysconfig.get_python_version(),
        licence="PSF-2.0",
        root=stdlib,
        paths=tuple(p for p in sorted(stdlib.rglob("*.py")) if _wanted(p.relative_to(stdlib))),
    )
    seen = {"pointsman"}
    for dist in sorted(distributions(path=[str(r) for r in roots]), key=lambda d: d.name or ""):
        name = normal(dist.name or "")
        if name in seen:
            continue
        seen.add(name)
        licence = _licence(dist)
        if not _PERMISSIVE.search(licence) or _COPYLEFT.search(licence):
            continue
        found = [Path(str(f)) for f in dist.files or () if str(f).endswith(".py")]
        root = Path(str(dist.locate_file("")))
        wanted = (root / f for f in found if _wanted(f) and ".." not in f.parts)
        yield Package(
            name=name, version=dist.version, licence=licence, root=root, paths=tuple(wanted)
        )


def usable(package: Package) -> bool:
    """Whether a package may be read for training (held-out ones may, for measuring only)."""
    return package.name not in RESERVED | BENCHMARKED


def files(package: Package) -> Iterator[SourceFile]:
    """The package's readable, parseable files."""
    for path in package.paths:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            continue
        try:
            text = path.read_text(encoding="utf-8")
            _parse(text)
        except (SyntaxError, ValueError):  # other encodings, templates, other versions' syntax
            continue
        shown = path.relative_to(package.root).as_posix()
        yield SourceFile(package=package.name, path=shown, text=text.expandtabs(4))


def functions(file: SourceFile) -> Iterator[Function]:
    """Functions and methods of 3 to 120 lines, decorators and nested ones included."""
    lines = file.text.split("\n")
    for node in ast.walk(_parse(file.text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        last = node.end_lineno or node.lineno
        if node.name in QUIXBUGS or _stub(node) or not 3 <= last - node.lineno + 1 <= 120:
            continue
        source = "\n".join(lines[node.lineno - 1 : last])
        yield Function(
            package=file.package,
            path=file.path,
            name=node.name,
            source=source,
            shape=shape(node),
        )


def shape(node: ast.AST) -> str:
    """A hash of the tree without names' positions and docstring: equal for copies."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        has_doc = ast.get_docstring(node, clean=False) is not None
        body = node.body[1:] if has_doc else node.body
        text = ast.dump(node.args) + "".join(ast.dump(b) for b in body)
    else:
        text = ast.dump(node)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the body does nothing: overloads, protocols, abstract methods."""
    return all(
        isinstance(part, ast.Pass)
        or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        for part in node.body
    )


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():  # invalid escapes in old code are not our business
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _licence(dist: Distribution) -> str:
    meta = dist.metadata
    classed = [c for c in meta.get_all("Classifier") or () if c.startswith("License ::")]
    if "License-Expression" in meta:
        return str(meta["License-Expression"])
    if classed:
        return "; ".join(c.rsplit("::", 1)[-1].strip() for c in classed)
    named = str(meta["License"]) if "License" in meta else ""
    return named.strip().split("\n")[0][:60]


def _wanted(path: Path) -> bool:
    if path.name.startswith(("test_", "conftest")) or path.name.endswith("_test.py"):
        return False
    return not any(p in _SKIPPED_PARTS or p.startswith("_vendor") for p in path.parts[:-1])
