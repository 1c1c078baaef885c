"""A real engine, and a small image made from this machine's own Python. No registry is asked.

The image is laid out as SWE-bench's are: a repository at /testbed whose git holds the fix, and a
Python that `/opt/miniconda3/bin/activate` and `conda activate testbed` put on PATH.
"""

import difflib
import io
import json
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evals.datasets import hide
from tests.agent.repos import git
from tests.evals import tiny
from tools.errors import SandboxError
from tools.sandbox.container import ContainerSandbox
from tools.sandbox.engines import Engine, find_engine
from tools.types import Limits

Made = tuple[Engine, str]
TOOLS = "bash sh cat ls env id sleep touch true".split()
UNUSED = frozenset(
    "test idlelib tkinter ensurepip lib2to3 site-packages __pycache__ pydoc_data turtledemo "
    "distutils wsgiref xmlrpc curses".split()
)
PACKAGES = ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments")
CONDA = "/opt/miniconda3"
ACTIVATE = f"""\
conda() {{
    export CONDA_DEFAULT_ENV="$2" PATH="{CONDA}/envs/$2/bin:$PATH"
}}
"""
BEFORE = hide.without(tiny.TESTS, [("TestDiscount",)]) or ""
SECRET = "the fix, in the history of the image"
VAT = (
    '"""Only a .pth of the image leads here."""\n\nRATE = 2\n\n\ndef vat(x):\n    return x * RATE\n'
)
TEST_VAT = "from vat import vat\n\n\ndef test_vat():\n    assert vat(2) == 4\n"


def bare(tar: tarfile.TarFile, scratch: Path) -> None:
    """A shell and no Python, quickly made."""
    _operating_system(tar)


def whole(tar: tarfile.TarFile, scratch: Path) -> None:
    """What SWE-bench's images have: a Python, pytest and a repository."""
    _python(tar, _operating_system(tar))
    _testbed(tar, scratch / "testbed")


@contextmanager
def made(scratch: Path, fill: Callable[[tarfile.TarFile, Path], None]) -> Iterator[Made]:
    """An engine and the name of an image in it. Raises SandboxError where there is no engine."""
    engine = find_engine("auto")
    name = f"localhost/pointsman-test-{secrets.token_hex(4)}:1"
    archive = scratch / "image.tar"
    with tarfile.open(archive, "w") as tar:
        fill(tar, scratch)
    engine.call("import", str(archive), name, timeout_s=120)
    archive.unlink()
    try:
        yield engine, name
    finally:
        engine.call("rmi", "--force", name)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Skips where no engine answers, or where it can run nothing."""
    scratch = tmp_path_factory.mktemp("image")
    try:
        with made(scratch, bare) as (engine, name):
            box = ContainerSandbox(engine=engine, image=name, workdir=Path("/testbed"))
            box.run(("true",), cwd=scratch, env={}, limits=Limits(), writable=(scratch,))
    except SandboxError as error:
        pytest.skip(str(error))
    with made(scratch, whole) as found:
        yield found


def row(name: str) -> dict[str, object]:
    """As SWE-bench has it: the image holds the base commit, to which `test_patch` adds tests."""
    lines = difflib.unified_diff(
        BEFORE.splitlines(True), tiny.TESTS.splitlines(True), "a/test_till.py", "b/test_till.py"
    )
    return {
        "instance_id": "till__till-1",
        "repo": "till/till",
        "base_commit": "0" * 40,
        "patch": tiny.GOLD,
        "test_patch": "diff --git a/test_till.py b/test_till.py\n" + "".join(lines),
        "problem_statement": tiny.ISSUE,
        "FAIL_TO_PASS": json.dumps(tiny.RED),
        "PASS_TO_PASS": json.dumps([*tiny.GREEN, "test_vat.py::test_vat"]),
        "image": name,
    }


def _operating_system(tar: tarfile.TarFile) -> list[Path]:
    programs = [shutil.which(name) for name in TOOLS]
    for path in filter(None, programs):
        _added(tar, Path(path).resolve(), f"bin/{Path(path).name}")
    for name in ("tmp", "proc", "sys", "dev", "etc", "run", "home", "var/tmp", "root"):
        _directory(tar, name)
    libraries = _libraries(Path(p) for p in programs if p)
    for library in libraries:
        _added(tar, library, str(library).lstrip("/"))
    return libraries


def _python(tar: tarfile.TarFile, there: list[Path]) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, env = Path(sys.base_prefix), f"{CONDA.lstrip('/')}/envs/testbed"
    program = (base / "bin" / version).resolve()
    _added(tar, program, f"{env}/bin/{version}")
    _link(tar, f"{env}/bin/python", version)
    lib = base / "lib" / version
    for path in sorted(lib.iterdir()):
        if path.name not in UNUSED and not path.name.startswith("config-"):
            tar.add(path, f"{env}/lib/{version}/{path.name}", filter=_without_bytecode)
    for library in _libraries((program, *lib.glob("lib-dynload/*.so"))):
        at = f"usr/lib/{library.name}" if base in library.parents else str(library).lstrip("/")
        if library not in there:
            _added(tar, library, at)
    site = Path(pytest.__file__).parents[1]
    packages = f"{env}/lib/{version}/site-packages"
    for name in PACKAGES:
        tar.add(site / name, f"{packages}/{name}", filter=_without_bytecode)
    for told in (p for name in PACKAGES for p in site.glob(f"{name}-*.dist-info")):
        tar.add(told, f"{packages}/{told.name}")
    _text(tar, f"{packages}/__editable__.pth", "/testbed\n/testbed/lib\n")
    _text(tar, f"{CONDA.lstrip('/')}/bin/activate", ACTIVATE)


def _testbed(tar: tarfile.TarFile, root: Path) -> None:
    """The buggy package without the tests of the fix, and a history that holds it."""
    tiny.tree(root)
    (root / "test_till.py").write_text(BEFORE)
    (root / "lib").mkdir()
    (root / "lib" / "vat.py").write_text(VAT)
    (root / "test_vat.py").write_text(TEST_VAT)
    git(root, "init", "--quiet")
    (root / "till.py").write_text(tiny.GOOD + f"# {SECRET}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", SECRET)
    (root / "till.py").write_text(tiny.BAD)
    git(root, "commit", "--quiet", "--all", "-m", "before it")
    (root / "out.txt").symlink_to("/etc/passwd")
    tar.add(root, "testbed")


def _libraries(programs: Iterable[Path]) -> list[Path]:
    said = subprocess.run(
        ["ldd", *(str(p.resolve()) for p in programs)], capture_output=True, text=True, check=False
    )
    found = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said.stdout, re.MULTILINE)
    return [Path(p) for p in dict.fromkeys(found)]


def _without_bytecode(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _added(tar: tarfile.TarFile, path: Path, name: str) -> None:
    tar.add(path.resolve(), name)


def _directory(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(member)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), 0o644
    tar.addfile(member, io.BytesIO(text.encode()))
