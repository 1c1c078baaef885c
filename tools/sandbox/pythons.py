"""What a Python interpreter needs in order to start and import, found without running it.

A venv inside an untrusted repository is untrusted too: asking its `python` where its libraries are
would run it outside every sandbox. So the answer is read from the file system, and a directory
counts as a Python's only if it looks like one: a link out of the repository opens nothing else.
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path

MAX_LINKS = 16


@functools.cache
def interpreter_paths(python: Path) -> tuple[Path, ...]:
    """Existing directories and links `python` needs, without those inside one another.

    The links that lead to it, its venv, its base installation (`sys.base_prefix`) with
    site-packages, and the user site of that version. Nothing below /usr is left out: the caller
    knows what is visible anyway.
    """
    chain = link_chain(python.absolute())
    real = chain[-1]
    found: list[Path] = []
    for candidate in chain:
        venv = candidate.parent.parent
        if (venv / "pyvenv.cfg").is_file():
            found.append(venv)
            home = _configured_home(venv / "pyvenv.cfg")
            if home is not None and is_prefix(home.parent):
                found.append(home.parent)
    prefix = real.parent.parent
    if is_prefix(prefix):
        found.append(prefix)
    found += [link for link in chain if link.name.startswith(("python", "pypy"))]
    found += user_sites(path for path in found if is_prefix(path))
    return _outermost(path for path in found if path.exists())


def link_chain(path: Path) -> tuple[Path, ...]:
    """`path`, and each file its links lead through, the resolved one last."""
    chain = [path]
    while chain[-1].is_symlink() and len(chain) < MAX_LINKS:
        chain.append(Path(os.path.normpath(chain[-1].parent / chain[-1].readlink())))
    return tuple(dict.fromkeys((*chain, path.resolve())))


def is_prefix(path: Path) -> bool:
    """Whether a Python is installed there: `lib/pythonX.Y/os.py`."""
    return any(True for _ in path.glob("lib*/py*/os.py"))


def user_sites(prefixes: Iterable[Path]) -> list[Path]:
    """`~/.local/lib/pythonX.Y` for the versions installed under `prefixes`."""
    base = Path(os.environ.get("PYTHONUSERBASE") or Path.home() / ".local")
    versions = {lib.parent.name for prefix in prefixes for lib in prefix.glob("lib*/py*/os.py")}
    return [base / "lib" / name for name in sorted(versions) if (base / "lib" / name).is_dir()]


def _configured_home(config: Path) -> Path | None:
    """`home = …` of a pyvenv.cfg: the bin directory of the base installation."""
    for line in config.read_text(errors="replace")[:65536].splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home" and value.strip().startswith("/"):
            return Path(value.strip())
    return None


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    unique = list(dict.fromkeys(paths))
    return tuple(p for p in unique if not any(q in p.parents for q in unique))
