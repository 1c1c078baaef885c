from collections.abc import Callable
from pathlib import Path

import pytest

from tools.errors import TestCommandError
from tools.testrun import detect

Make = Callable[[dict[str, str]], Path]
PY = ("python", "-m", "pytest")


@pytest.mark.parametrize(
    ("files", "kind", "argv", "source"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pytest", PY, "pyproject.toml"),
        ({"pyproject.toml": "[tool.pytest]\n"}, "pytest", PY, "pyproject.toml"),
        ({"pytest.ini": "[pytest]\n"}, "pytest", PY, "pytest.ini"),
        ({"tox.ini": "[pytest]\n"}, "pytest", PY, "tox.ini"),
        (
            {"tox.ini": "[testenv]\ncommands =\n    pytest -x {posargs}\n"},
            "pytest",
            (*PY, "-x"),
            "tox.ini",
        ),
        (
            {
                "tox.ini": "[testenv]\ncommands =\n    # pytest docs\n    pytest README.rst\n"
                "    pytest --tb=short \\\n        {posargs:tests}\n"
            },
            "pytest",
            (*PY, "--tb=short", "tests"),
            "tox.ini",
        ),
        (
            {"tox.ini": "[testenv]\ncommands =\n    pytest --doctest-modules a\n    pytest -q\n"},
            "pytest",
            (*PY, "-q"),
            "tox.ini",
        ),
        ({"setup.cfg": "[tool:pytest]\n"}, "pytest", PY, "setup.cfg"),
        ({"Makefile": "test:\n\t@pytest -q t\n"}, "pytest", (*PY, "-q", "t"), "Makefile"),
        ({"Makefile": "test: build\n\t./run\n\t./more\n"}, "command", ("make", "test"), "Makefile"),
        (
            {"package.json": '{"scripts": {"test": "jest"}}'},
            "command",
            ("npm", "test", "--silent"),
            "package.json",
        ),
        ({"tests/test_a.py": "def test_a(): ..."}, "pytest", PY, "tests/test_a.py"),
        ({"Makefile": "test:\n\t./run\n", "test_a.py": ""}, "pytest", PY, "test_a.py"),
    ],
)
def test_found_in_files(
    make: Make, files: dict[str, str], kind: str, argv: tuple[str, ...], source: str
) -> None:
    found = detect(make(files), None)
    assert (found.kind, found.argv) == (kind, argv)
    assert found.source.startswith(source)


@pytest.mark.parametrize(
    ("text", "kind", "argv"),
    [
        ("pytest -q", "pytest", (*PY, "-q")),
        ("python3 -m pytest tests", "pytest", ("python3", "-m", "pytest", "tests")),
        ("uv run pytest -x", "pytest", (*PY, "-x")),
        ("coverage run -m pytest", "pytest", PY),
        ("python -m unittest -v", "unittest", ("python", "-m", "unittest", "-v")),
        ("./check 'a b'", "command", ("./check", "a b")),
        ("A=1 pytest", "command", ("env", "A=1", "pytest")),
        ("make && ./x", "command", ("/bin/sh", "-c", "make && ./x")),
    ],
)
def test_override(tmp_path: Path, text: str, kind: str, argv: tuple[str, ...]) -> None:
    found = detect(tmp_path, text)
    assert (found.kind, found.argv, found.source) == (kind, argv, "--test")


@pytest.mark.parametrize("text", ["", "  ", "pytest 'unclosed"])
def test_bad_override(tmp_path: Path, text: str) -> None:
    with pytest.raises(TestCommandError) as caught:
        detect(tmp_path, text)
    assert "--test" in str(caught.value.remedy)


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": ""},
        {"pyproject.toml": "not toml ["},
        {"package.json": "[1]"},
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        {"node_modules/x/test_a.py": ""},
        {"tox.ini": "no section"},
    ],
)
def test_nothing_found(make: Make, files: dict[str, str]) -> None:
    with pytest.raises(TestCommandError) as caught:
        detect(make(files), None)
    assert caught.value.exit_code == 2
    assert "--test" in str(caught.value.remedy)


def test_unittest_where_the_target_has_no_pytest(make: Make, tmp_path: Path) -> None:
    bare = tmp_path / "venv" / "bin" / "python"
    bare.parent.mkdir(parents=True)
    bare.touch()
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /nowhere\n")
    suite = "import unittest\nclass T(unittest.TestCase): ...\n"
    plain = make({"tests/test_a.py": suite})
    assert detect(plain, None, interpreter=bare).argv[-2:] == ("-s", "tests")
    assert detect(plain, None).kind == "pytest"
    (plain / "tests" / "conftest.py").write_text("import pytest\n")
    assert detect(plain, None, interpreter=bare).kind == "pytest"


def test_links_and_pipes_are_not_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "Makefile")
    (tmp_path / "pytest.ini").symlink_to("/etc/passwd")
    with pytest.raises(TestCommandError):
        detect(tmp_path, None)
