import sys
from pathlib import Path

import pytest

from tools.errors import TestCommandError
from tools.testrun import target_environment, target_interpreter
from tools.testrun.interpreter import python_version, site_directories
from tools.testrun.lend import pytest_overlay


def venv(root: Path) -> Path:
    python = root / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_bytes(b"\x7fELF")
    python.chmod(0o755)
    (root / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return python


def test_own_venv_first_then_the_active_one(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    active = venv(tmp_path / "active")
    environ = {"VIRTUAL_ENV": str(tmp_path / "active"), "PATH": "/usr/bin"}
    assert target_interpreter(root, environ) == active
    own = venv(root / ".venv")
    assert target_interpreter(root, environ) == own


def test_our_own_environment_is_passed_over(tmp_path: Path) -> None:
    bin_dir = tmp_path / "tools"
    python = venv(bin_dir)
    ours = Path(sys.prefix)
    environ = {"VIRTUAL_ENV": str(ours), "PATH": f"{ours / 'bin'}:{python.parent}"}
    root = tmp_path / "repo"
    root.mkdir()
    if sys.prefix != sys.base_prefix:
        assert target_interpreter(root, environ).parent == python.parent
    assert target_interpreter(root, {"PATH": ""}) == Path(sys.executable)


def test_a_python_on_path_inside_the_repository_is_not_taken(tmp_path: Path) -> None:
    planted = venv(tmp_path / "tool")
    environ = {"PATH": str(planted.parent)}
    assert target_interpreter(tmp_path, environ) == Path(sys.executable)


def test_environment() -> None:
    environ = {"PATH": "/usr/bin:relative:/bin", "EDITOR": "vi", "LD_PRELOAD": "x"}
    environ |= {"GITHUB_TOKEN": "x", "VIRTUAL_ENV": "/v", "PYTHONPATH": ".", "PYTHONHASHSEED": "3"}
    found = target_environment(environ)
    found.pop("PYTHONUSERBASE", None)
    assert found == {"PATH": "/usr/bin:/bin", "EDITOR": "vi", "PYTHONHASHSEED": "3"}


def test_pytest_is_lent_only_where_it_is_missing(tmp_path: Path) -> None:
    python = tmp_path / "v" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    (tmp_path / "v" / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    version = python_version(python)
    assert version == sys.version_info[:2]
    site = tmp_path / "v" / "lib" / f"python{version[0]}.{version[1]}" / "site-packages"
    site.mkdir(parents=True)
    (site / "packaging").mkdir()
    assert site_directories(python) == (site,)
    lent = pytest_overlay(python)
    assert lent.directory is not None
    names = {path.name for path in lent.directory.iterdir()}
    assert {"pytest", "_pytest", "pluggy", "iniconfig"} <= names
    assert "packaging" not in names
    pytest_overlay.cache_clear()
    (site / "pytest").mkdir()
    assert pytest_overlay(python).directory is None
    pytest_overlay.cache_clear()


def test_python_too_old_for_our_pytest(tmp_path: Path) -> None:
    python = tmp_path / "v" / "bin" / "python3.8"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "v" / "pyvenv.cfg").write_text("home = /nowhere\n")
    with pytest.raises(TestCommandError, match="no pytest") as caught:
        pytest_overlay(python)
    assert "pip install pytest" in str(caught.value.remedy)
