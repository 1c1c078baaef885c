"""Which parts of the host a sandboxed command may see."""

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.errors import SandboxError
from tools.sandbox.pythons import interpreter_paths

HOME = Path("/home/sandbox")

ROOT_DIRS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Links into /usr on most systems, directories on others."""

SYSTEM_DIRS = ("/usr", "/nix/store", "/gnu/store")

ETC = (
    "alternatives",
    "ca-certificates",
    "fonts",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki",
    "protocols",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
"""Of /etc only this; no passwd (a synthetic one is put there), no keys, no host names of others."""


def system_paths() -> tuple[Path, ...]:
    """Existing read-only directories and files of the operating system."""
    names = [*SYSTEM_DIRS, *(f"/etc/{name}" for name in ETC)]
    return tuple(path for path in map(Path, names) if path.exists())


def clean_environment(env: Mapping[str, str], *, home: Path, tmp: Path) -> dict[str, str]:
    """What is passed, and PATH, HOME, LANG, TMPDIR, USER where it is silent. HOME is ours."""
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
    base |= {"USER": "sandbox", "LOGNAME": "sandbox"}
    return base | dict(env) | {"HOME": str(home), "TMPDIR": str(tmp)}


def checked(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Absolute paths, each an existing directory or regular file: a FIFO or device is a trap."""
    found = []
    for path in paths:
        absolute = path.absolute()
        try:
            mode = absolute.stat().st_mode
        except OSError as error:
            raise SandboxError(f"cannot give {absolute} to a command: {error.strerror}") from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise SandboxError(f"cannot give {absolute} to a command: not a file or directory")
        found.append(absolute)
    return tuple(dict.fromkeys(found))


def both_names(path: Path) -> tuple[Path, ...]:
    """The path as given and as resolved; one entry when they are the same."""
    return tuple(dict.fromkeys((path, path.resolve())))


def within(path: Path, parents: Iterable[Path]) -> bool:
    return any(path == parent or parent in path.parents for parent in parents)


def program_paths(argv: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """What the program of `argv` itself needs: a Python's directories, else its own file."""
    found = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if found is None and "/" in argv[0]:
        found = str(cwd / argv[0])
    if found is None or not Path(found).exists():
        return ()
    program = Path(found).absolute()
    if within(program.resolve(), map(Path, SYSTEM_DIRS)) and within(
        program, map(Path, (*SYSTEM_DIRS, *ROOT_DIRS))
    ):
        return ()
    if program.name.startswith(("python", "pypy")):
        return interpreter_paths(program)
    return _with_libraries(program)


def _with_libraries(program: Path) -> tuple[Path, ...]:
    """A program's file as given and as resolved, with `bin` and `lib` around it (nvm, rustup).

    Not their parent, nor `share`: in ~/.cargo and ~/.local these hold credentials.
    """
    found: list[Path] = []
    for path in both_names(program):
        if path.parent.name == "bin":
            siblings = ("bin", "lib", "lib64", "libexec")
            found += [path.parent.parent / name for name in siblings]
        found.append(path)
    return tuple(path for path in found if path.exists())


def require_program(argv: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> None:
    """Raises SandboxError where the shell would say `not found`: no command, so no result."""
    name = argv[0]
    found = (cwd / name).exists() if "/" in name else shutil.which(name, path=env.get("PATH"))
    if not found:
        raise SandboxError(f"there is no program {name!r}", remedy="check the command and PATH")
