"""Instances from a repository's own history of fixes: `agent eval mine CLONE --out FILE`.

A commit is kept if it changes sources and tests and little else, if tests that fail with its
parent's sources pass with its own (run here, in the sandbox), and if its message says what was
wrong without showing how it was put right. Its tests are hidden. What is written is a recipe: the
repository's URL, two commits, and the ids; no code.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import ConfigError
from evals.datasets.build import Rejected, prove
from evals.datasets.history import Change, changes, git
from evals.datasets.instance import Instance
from evals.datasets.recipe import Commit, Package, Recipe
from tools.types import Sandbox

__all__ = ["Limits", "Logged", "commits", "mined", "origin_of", "statement", "unfit"]

TOLD_NOTHING = re.compile(
    r"^(revert|merge|bump|release|version|format|reformat|black|ruff|isort|flake8|lint|typo"
    r"|fix typo|docs?\b|chore|ci\b|style|refactor|rename|cleanup|clean up|pre-commit|update dep)",
    re.IGNORECASE,
)
TRAILER = re.compile(r"^(signed-off-by|co-authored-by|reviewed-by|change-id|cc|pr-url)\s*:", re.I)
CHANGELOG = re.compile(r"^(changelog|changes|history|news)\b", re.IGNORECASE)
WORDS = 4
SHOWN = 14
"""An added line of at least this many characters in the message shows the patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is small enough. `scanned`: commits looked at, newest first."""

    scanned: int = 2000
    sources: int = 4
    lines: int = 120
    """Added and removed in sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A commit of the history. `parents`: full hashes."""

    commit: str
    parents: tuple[str, ...]
    date: str
    title: str
    body: str


def mined(
    clone: Path,
    package: Package,
    sandbox: Sandbox,
    *,
    url: str,
    count: int,
    limits: Limits | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Recipe, Instance]]:
    """Up to `count` proved recipes, newest first; `told` hears why commits are not kept.

    `package`: name, test command and what the tests need; its version is not looked at. Raises
    ConfigError if `clone` is no repository.
    """
    limits = limits or Limits()
    found = 0
    for logged in commits(clone, limits.scanned):
        if found >= count:
            return
        why = unfit(clone, logged, limits)
        if why:
            told(f"{logged.commit[:10]}  {why}  {logged.title}")
            continue
        recipe = _recipe(clone, package, logged, url)
        try:
            instance = prove(recipe, sandbox)
        except (Rejected, ConfigError) as error:
            told(f"{logged.commit[:10]}  {error}")
            continue
        found += 1
        told(f"{recipe.instance_id}  {len(instance.FAIL_TO_PASS)} fail to pass  {logged.title}")
        yield recipe, instance


def commits(clone: Path, limit: int) -> Iterator[Logged]:
    """The history of HEAD, newest first."""
    told = git(clone, "log", "-z", f"-{limit}", "--format=%H%x1f%P%x1f%cs%x1f%s%x1f%b", "HEAD")
    for entry in told.split("\0"):
        if entry.strip():
            commit, parents, date, title, body = entry.split("\x1f", 4)
            yield Logged(
                commit=commit.strip(),
                parents=tuple(parents.split()),
                date=date,
                title=title,
                body=body,
            )


def unfit(clone: Path, logged: Logged, limits: Limits) -> str:
    """Why a commit makes no instance, as far as that can be seen without running; else empty."""
    if len(logged.parents) != 1:
        return "a merge or a root"
    if TOLD_NOTHING.match(logged.title):
        return "no fix by its title"
    changed = changes(clone, logged.parents[0], logged.commit)
    sources = [c for c in changed if not c.is_test and c.path.endswith(".py")]
    if not sources or not any(c.is_test and c.path.endswith(".py") for c in changed):
        return "does not change sources and tests"
    if len(sources) > limits.sources or _lines(clone, logged, sources) > limits.lines:
        return "too large"
    if not any(_means_another(clone, logged, c) for c in sources):
        return "only the form changes"
    text = statement(clone, logged, changed)
    if len(re.findall(r"\w+", text)) < WORDS:
        return "its message says too little"
    if shown := _shown(clone, logged, sources, text):
        return f"its message shows the patch ({shown[:40]})"
    return ""


def statement(clone: Path, logged: Logged, changed: tuple[Change, ...]) -> str:
    """The message without trailers, and what the commit adds to the change log."""
    body = [line for line in logged.body.splitlines() if not TRAILER.match(line.strip())]
    parts = [logged.title.strip(), "\n".join(body).strip()]
    for change in changed:
        if CHANGELOG.match(Path(change.path).name) and change.status == "M":
            added = _added(clone, logged, [change.path])
            prose = [line.strip() for line in added if re.search(r"[a-z]{3}", line)]
            parts.append("\n".join(prose))
    return "\n\n".join(part for part in parts if part)


def origin_of(clone: Path) -> str:
    """The URL of the remote `origin`, without credentials; empty if there is none."""
    try:
        url = git(clone, "remote", "get-url", "origin").strip()
    except ConfigError:
        return ""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


def _recipe(clone: Path, package: Package, logged: Logged, url: str) -> Recipe:
    base = logged.parents[0]
    changed = changes(clone, base, logged.commit)
    return Recipe(
        id=logged.commit[:10],
        package=replace(package, version=base[:10]),
        commit=Commit(url=url, base=base, fix=logged.commit, clone=str(clone.resolve())),
        stratum="mined",
        tests_visible=False,
        problem_statement=statement(clone, logged, changed),
        origin=f"{url or clone.name} {logged.commit} of {logged.date}",
    )


def _lines(clone: Path, logged: Logged, sources: list[Change]) -> int:
    told = git(
        clone, "diff-tree", "-r", "--numstat", "--no-renames", logged.parents[0], logged.commit,
        "--", *(c.path for c in sources),
    )  # fmt: skip
    counts = [line.split("\t")[:2] for line in told.splitlines()]
    return sum(int(n) for pair in counts for n in pair if n.isdigit())


def _added(clone: Path, logged: Logged, paths: list[str]) -> list[str]:
    told = git(
        clone, "diff-tree", "-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv",
        logged.parents[0], logged.commit, "--", *paths,
    )  # fmt: skip
    return [x[1:] for x in told.splitlines() if x.startswith("+") and not x.startswith("+++")]


def _means_another(clone: Path, logged: Logged, change: Change) -> bool:
    """Whether a module's syntax tree differs."""
    if change.status != "M":
        return True
    before = git(clone, "show", f"{logged.parents[0]}:{change.path}")
    after = git(clone, "show", f"{logged.commit}:{change.path}")
    try:
        return ast.dump(ast.parse(before)) != ast.dump(ast.parse(after))
    except (SyntaxError, ValueError):
        return True


def _shown(clone: Path, logged: Logged, sources: list[Change], text: str) -> str:
    """A line of the patch that the text has in it."""
    told = " ".join(text.split())
    for line in _added(clone, logged, [c.path for c in sources]):
        code = " ".join(line.split())
        if len(code) >= SHOWN and not code.startswith(("#", '"""')) and code in told:
            return code
    return ""
