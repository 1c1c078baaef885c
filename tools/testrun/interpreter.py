"""Which Python runs the tests of the target, and with which environment."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tools.sandbox.pythons import is_prefix, link_chain

OURS = frozenset(
    "VIRTUAL_ENV VIRTUAL_ENV_PROMPT CONDA_PREFIX PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT "
    "PYTHONWARNINGS PYTEST_ADDOPTS PYTEST_PLUGINS PYTEST_CURRENT_TEST PYTEST_VERSION "
    "COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG".split()
)
OWN_PREFIXES = (
    "ANTHROPIC_", "POINTSMAN_", "OPENAI_", "LD_", "DYLD_", "GIT_", "SSH_", "BASH_FUNC",
    "PYTEST_", "COVERAGE_", "COV_CORE_",
)  # fmt: skip
"""Ours, those that decide what is executed, and those of a test run that we may be part of."""
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH", "COOKIE")
PERMITTED = ("PYTHONHASHSEED", "PYTHONUTF8", "LANG", "TZ", "TERM", "CI", "NO_COLOR", "USER")
PYTHONS = ("python3", "python")


def target_interpreter(root: Path, environ: Mapping[str, str]) -> Path:
    """The repository's own venv, else an active one that is not ours, else python3 on PATH.

    A venv that is Pointsman's own is passed over; when nothing else is found it is ours after all.
    Nothing is executed.
    """
    for name in (".venv", "venv", "env"):
        python = root / name / "bin" / "python"
        if (root / name / "pyvenv.cfg").is_file() and _runs(python):
            return python.absolute()
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        active = environ.get(variable, "")
        python = Path(active) / "bin" / "python"
        if active and not _is_ours(python) and _runs(python):
            return python.absolute()
    return _on_path(root, environ) or Path(sys.executable)


def _on_path(root: Path, environ: Mapping[str, str]) -> Path | None:
    for name in PYTHONS:
        for directory in environ.get("PATH", os.defpath).split(os.pathsep):
            python = Path(directory) / name
            if not directory.startswith("/") or not _runs(python) or _is_ours(python):
                continue
            if root.resolve() in python.resolve().parents:
                continue
            if found := _behind_shim(python, root, environ):
                return found
    return None


def _behind_shim(python: Path, root: Path, environ: Mapping[str, str]) -> Path | None:
    """Pyenv puts scripts on PATH, which need the user's home: the interpreter they would start."""
    if not _is_script(python):
        return python
    if python.parent.name != "shims":
        return None
    versions = python.parent.parent / "versions"
    for chosen in _pyenv_versions(python.parent.parent, root, environ):
        if "/" not in chosen and _runs(versions / chosen / "bin" / python.name):
            return versions / chosen / "bin" / python.name
    return None


def _pyenv_versions(home: Path, root: Path, environ: Mapping[str, str]) -> list[str]:
    texts = [environ.get("PYENV_VERSION", "").replace(":", "\n")]
    for file in (root / ".python-version", home / "version"):
        if file.is_file():
            texts.append(file.read_text(errors="replace")[:4096])
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def _runs(python: Path) -> bool:
    return python.is_file() and os.access(python, os.X_OK)


def _is_script(python: Path) -> bool:
    with python.open("rb") as file:
        return file.read(2) == b"#!"


def _is_ours(python: Path) -> bool:
    """Whether `python` belongs to the environment that Pointsman is installed in."""
    in_venv = sys.prefix != sys.base_prefix
    return in_venv and python.parent.parent.resolve() == Path(sys.prefix).resolve()


def target_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's variables without ours and without anything that looks like a credential."""
    kept = {name: value for name, value in environ.items() if _passes(name)}
    kept["PATH"] = _path_without_ours(environ.get("PATH", os.defpath))
    user_base = Path(environ.get("PYTHONUSERBASE") or Path.home() / ".local")
    if user_base.is_dir():  # HOME is another one inside the sandbox
        kept["PYTHONUSERBASE"] = str(user_base)
    return kept


def _passes(name: str) -> bool:
    if name in PERMITTED:
        return True
    if name in OURS or name.startswith(OWN_PREFIXES):
        return False
    return not any(word in name.upper() for word in SECRET_WORDS)


def _path_without_ours(path: str) -> str:
    ours = Path(sysconfig.get_path("scripts"))
    parts = [p for p in path.split(os.pathsep) if p.startswith("/")]
    if sys.prefix != sys.base_prefix:
        parts = [p for p in parts if Path(p) != ours]
    return os.pathsep.join(dict.fromkeys(parts))


def site_directories(python: Path) -> tuple[Path, ...]:
    """Where `python` looks for packages, found without running it."""
    chain = link_chain(python.absolute())
    prefixes = [p.parent.parent for p in chain]
    venv = next((p for p in prefixes if (p / "pyvenv.cfg").is_file()), None)
    if venv is not None and not _sees_system(venv):
        prefixes = [venv]
    else:
        prefixes = [p for p in prefixes if p == venv or is_prefix(p)]
        prefixes += [Path("/usr"), Path("/usr/local")] if Path("/usr") in prefixes else []
        prefixes.append(Path(os.environ.get("PYTHONUSERBASE") or Path.home() / ".local"))
    version = python_version(python)
    pattern = (
        f"lib*/python{version[0]}.{version[1]}/*-packages" if version else "lib*/py*/*-packages"
    )
    found = [d for prefix in prefixes for d in sorted(prefix.glob(pattern))]
    if Path("/usr") in prefixes:
        found += sorted(Path("/usr/lib").glob("python3/dist-packages"))
    return tuple(dict.fromkeys(found))


def _sees_system(venv: Path) -> bool:
    text = (venv / "pyvenv.cfg").read_text(errors="replace")[:65536].lower()
    return "include-system-site-packages = true" in text


def python_version(python: Path) -> tuple[int, int] | None:
    """Major and minor, from the name of the file behind the links or of its library directory."""
    real = python.resolve()
    for name in (real.name, *(p.parent.name for p in real.parent.parent.glob("lib*/py*/os.py"))):
        digits = name.removeprefix("pypy").removeprefix("python").split(".")
        if len(digits) >= 2 and digits[0].isdigit() and digits[1].isdigit():
            return int(digits[0]), int(digits[1])
    return None
