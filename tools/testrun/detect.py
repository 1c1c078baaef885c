"""How the tests of a repository are run: what the user says, else what its files say."""

import configparser
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from tools.errors import TestCommandError
from tools.testrun.lend import has_package
from tools.types import TestCommand

REMEDY = "say how the tests are run: --test 'COMMAND'"
PYTEST = ("python", "-m", "pytest")
UNITTEST = ("python", "-m", "unittest")
WRAPPERS = (
    ("uv", "run"),
    ("poetry", "run"),
    ("pipenv", "run"),
    ("pdm", "run"),
    ("hatch", "run"),
    ("coverage", "run"),
)
SHELL_SYNTAX = ("&&", "||", "|", ";", ">", "<", "&")
MAX_BYTES = 1 << 20
MAX_FILES = 400
SKIPPED = {"node_modules", "venv", "env", "build", "dist", "site-packages", "__pycache__"}


def detect(root: Path, override: str | None, *, interpreter: Path | None = None) -> TestCommand:
    """The test command of `root`; nothing is executed.

    `override` is the user's `--test`. `interpreter` is the target's Python: without pytest in it,
    a suite that only uses unittest is run by unittest. Raises TestCommandError with a remedy.
    """
    if override is not None:
        return parse(override, "--test")
    for look in (_pyproject, _pytest_ini, _tox_ini, _setup_cfg, _makefile_runner):
        if found := look(root):
            return found
    if found := _test_files(root, interpreter):
        return found
    for look in (_makefile, _package_json):
        if found := look(root):
            return found
    raise TestCommandError(f"no tests were found in {root}", remedy=REMEDY)


def parse(text: str, source: str) -> TestCommand:
    """A command line: pytest and unittest are recognised, anything else counts by exit code."""
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise TestCommandError(f"{source}: {error}: {text!r}", remedy=REMEDY) from error
    if not argv:
        raise TestCommandError(f"{source} is empty", remedy=REMEDY)
    if any(word in SHELL_SYNTAX or word.endswith(";") for word in argv):
        return TestCommand(kind="command", argv=("/bin/sh", "-c", text), source=source)
    if re.match(r"[A-Za-z_]\w*=", argv[0]):
        return TestCommand(kind="command", argv=("env", *argv), source=source)
    return recognise(argv, source)


def recognise(argv: tuple[str, ...], source: str) -> TestCommand:
    """Drops `uv run` and the like: the target's interpreter is chosen elsewhere."""
    bare = argv
    for wrapper in WRAPPERS:
        if bare[:2] == wrapper and len(bare) > 2:
            bare = bare[2:] if wrapper[0] != "coverage" else ("python", *bare[2:])
    name = Path(bare[0]).name
    if name in ("pytest", "py.test"):
        return TestCommand(kind="pytest", argv=(*PYTEST, *bare[1:]), source=source)
    if re.fullmatch(r"(python|pypy)[\d.]*", name) and bare[1:2] == ("-m",):
        if bare[2:3] in (("pytest",), ("py.test",)):
            return TestCommand(kind="pytest", argv=(bare[0], *PYTEST[1:], *bare[3:]), source=source)
        if bare[2:3] == ("unittest",):
            return TestCommand(kind="unittest", argv=bare, source=source)
    return TestCommand(kind="command", argv=argv, source=source)


def _read(path: Path) -> str:
    """A regular file's text, at most 1 MiB; empty for anything else."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8", "replace")


def _pytest(source: str) -> TestCommand:
    return TestCommand(kind="pytest", argv=PYTEST, source=source)


def _pyproject(root: Path) -> TestCommand | None:
    try:
        data = tomllib.loads(_read(root / "pyproject.toml"))
    except tomllib.TOMLDecodeError:
        return None
    tool = data.get("tool")
    settings = tool.get("pytest") if isinstance(tool, dict) else None
    if isinstance(settings, dict):
        old = "ini_options" in settings
        return _pytest(f"pyproject.toml [tool.pytest{'.ini_options' if old else ''}]")
    return None


def _pytest_ini(root: Path) -> TestCommand | None:
    for name in ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml"):
        if not (root / name).is_symlink() and (root / name).is_file():
            return _pytest(name)
    return None


def _sections(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_read(path))
    except configparser.Error:
        return configparser.ConfigParser()
    return parser


def _tox_ini(root: Path) -> TestCommand | None:
    parser = _sections(root / "tox.ini")
    if parser.has_section("pytest"):
        return _pytest("tox.ini [pytest]")
    commands = parser.get("testenv", "commands", fallback="").replace("\\\n", " ").splitlines()
    lines = [line.strip() for line in commands if not line.strip().startswith("#")]
    for line in sorted(filter(None, lines), key=_besides_the_suite):
        given = re.sub(r"\{posargs:?([^{}]*)\}", r"\1", line)
        if found := _runner_line(given, "tox.ini [testenv] commands"):
            return found
    return None


def _besides_the_suite(line: str) -> int:
    """Of several commands the suite is the one that takes the user's arguments; the doctests of
    documents often come first."""
    if "{posargs" in line:
        return 0
    return 2 if re.search(r"\S\.(rst|md|txt)\b|--doctest", line) else 1


def _setup_cfg(root: Path) -> TestCommand | None:
    parser = _sections(root / "setup.cfg")
    for section in ("tool:pytest", "pytest"):
        if parser.has_section(section):
            return _pytest(f"setup.cfg [{section}]")
    return None


def _runner_line(line: str, source: str) -> TestCommand | None:
    """A recipe line, if it is nothing but a pytest or unittest command we can follow."""
    if re.search(r"[${}`]", line):
        return _pytest(source) if re.search(r"\bpy\.?test\b", line) else None
    try:
        found = parse(line.lstrip("@-"), source)
    except TestCommandError:
        return None
    return found if found.kind != "command" else None


def _recipe(root: Path) -> list[str]:
    text = _read(root / "Makefile") or _read(root / "makefile") or _read(root / "GNUmakefile")
    match = re.search(r"^test\s*:(?!=)[^\n]*\n((?:\t[^\n]*\n?)*)", text, re.MULTILINE)
    if match is None:
        return []
    return [line.strip() for line in match.group(1).splitlines() if line.strip()] or ["@true"]


def _makefile_runner(root: Path) -> TestCommand | None:
    recipe = _recipe(root)
    return _runner_line(recipe[0], "Makefile target test") if len(recipe) == 1 else None


def _makefile(root: Path) -> TestCommand | None:
    if not _recipe(root):
        return None
    return TestCommand(kind="command", argv=("make", "test"), source="Makefile target test")


def _package_json(root: Path) -> TestCommand | None:
    try:
        script = json.loads(_read(root / "package.json") or "{}").get("scripts", {}).get("test")
    except (ValueError, AttributeError):
        return None
    if not isinstance(script, str) or not script or "no test specified" in script:
        return None
    argv = ("npm", "test", "--silent")
    return TestCommand(kind="command", argv=argv, source="package.json scripts.test")


def python_files(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Regular files by name, shallow directories first, without hidden or installed ones."""
    queue = [root]
    while queue:
        directory = queue.pop(0)
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                queue.append(entry)
            elif entry.is_file() and wanted(entry.name):
                yield entry


def _is_test_file(name: str) -> bool:
    return name == "conftest.py" or bool(re.fullmatch(r"test_.*\.py|.*_test\.py|tests?\.py", name))


def _test_files(root: Path, interpreter: Path | None) -> TestCommand | None:
    files = list(islice(python_files(root, _is_test_file), MAX_FILES))
    tests = [f for f in files if f.name != "conftest.py"]
    if not tests:
        return None
    source = f"{tests[0].relative_to(root).as_posix()}"
    if interpreter is not None and not has_package(interpreter, "pytest"):
        texts = [_read(f) for f in files]
        plain = any("unittest" in text for text in texts)
        if plain and not any(re.search(r"\bpytest\b", text) for text in texts):
            return TestCommand(kind="unittest", argv=_discovery(root, tests), source=source)
    if all(f.name in ("test.py", "tests.py") for f in tests):  # pytest does not collect these names
        names = tuple(f.relative_to(root).as_posix() for f in tests)
        return TestCommand(kind="pytest", argv=(*PYTEST, *names), source=source)
    return _pytest(source)


def _discovery(root: Path, tests: list[Path]) -> tuple[str, ...]:
    """unittest finds a directory of tests by itself only if it is a package."""
    pattern = () if tests[0].name.startswith("test") else ("-p", "*_test.py")
    folder = tests[0].parent
    if folder == root:
        return (*UNITTEST, "discover", *pattern) if pattern else UNITTEST
    top = ("-t", ".") if (folder / "__init__.py").is_file() else ()
    start = folder.relative_to(root).as_posix()
    return (*UNITTEST, "discover", "-s", start, *top, *pattern)
