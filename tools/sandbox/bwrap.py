"""The bubblewrap tier: own mount, pid, network, IPC and user namespaces, and a seccomp filter."""

import functools
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tools.errors import SandboxError
from tools.sandbox import seccomp
from tools.sandbox.gitguard import guarded
from tools.sandbox.layout import (
    HOME,
    ROOT_DIRS,
    both_names,
    checked,
    clean_environment,
    program_paths,
    require_program,
    system_paths,
    within,
)
from tools.sandbox.spawn import popen
from tools.sandbox.watch import Watcher
from tools.types import Cancel, CommandResult, Limits

TRUSTED_BIN = ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")
"""Looked in before $PATH, which a project's own tooling may have put itself on."""

UNPRIVILEGED_ID = 1000
TMPFS_BYTES = 1 << 30
"""A tmpfs is memory that no process's RSS shows, so each of the two has a size."""

REMEDY = "install bubblewrap (apt install bubblewrap), or let --sandbox auto choose another tier"


def find_bwrap() -> Path | None:
    path = os.pathsep.join((*TRUSTED_BIN, *_absolute_path_entries()))
    found = shutil.which("bwrap", path=path)
    return Path(found) if found else None


def _absolute_path_entries() -> list[str]:
    return [p for p in os.environ.get("PATH", "").split(os.pathsep) if p.startswith("/")]


class Descriptors:
    """Anonymous files that bwrap reads: nothing of them is on disk or in the process list."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.open: list[int] = []

    def holding(self, name: str, data: bytes) -> int:
        fd = os.memfd_create(name)
        self._stack.callback(os.close, fd)
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        self.open.append(fd)
        return fd


class BwrapSandbox:
    """See `tools.types.Sandbox`. `.git` in a writable directory is readable, never writable."""

    name = "bwrap"

    def __init__(self, bwrap: Path, *, protect: tuple[Path, ...] = ()) -> None:
        self._bwrap = bwrap
        self._protect = protect

    def run(
        self,
        argv: tuple[str, ...],
        *,
        cwd: Path,
        env: Mapping[str, str],
        limits: Limits,
        writable: tuple[Path, ...] = (),
        readable: tuple[Path, ...] = (),
        network: bool = False,
        cancel: Cancel | None = None,
    ) -> CommandResult:
        """Raises SandboxError if the sandbox could not be built or the command not started."""
        writable, cwd = checked(writable), cwd.absolute()
        inner_env = clean_environment(env, home=HOME, tmp=Path("/tmp"))
        readable = checked((*readable, *program_paths(argv, inner_env, cwd)))
        require_program(argv, inner_env, cwd)
        started = time.monotonic()
        with ExitStack() as stack:
            kept = stack.enter_context(guarded(writable, self._protect))
            fds = Descriptors(stack)
            options = [
                *_namespaces(network),
                *_seccomp(fds),
                *self._root(fds, network),
                *_binds(writable, readable, kept),
                *("--remount-ro", "/", "--chdir", str(cwd)),
                *(part for k, v in inner_env.items() for part in ("--setenv", k, v)),
            ]
            encoded = b"".join(os.fsencode(option) + b"\0" for option in options)
            command = (
                *(str(self._bwrap), "--args", str(fds.holding("args", encoded)), "--"),
                *_limited(limits, argv),
            )
            try:
                child = popen(command, env={"PATH": os.defpath}, pass_fds=tuple(fds.open))
            except (OSError, ValueError) as error:
                raise SandboxError(f"cannot start bubblewrap: {error}", remedy=REMEDY) from error
            result = Watcher(child, limits, cancel).follow(argv, started)
        if result.returncode == 1 and result.stderr.startswith(b"bwrap: "):
            message = result.stderr.decode(errors="replace").strip()
            raise SandboxError(f"the sandbox could not start {argv[0]}: {message}", remedy=REMEDY)
        return result

    def _root(self, fds: Descriptors, network: bool) -> list[str]:
        options: list[str] = []
        for name in ROOT_DIRS:
            path = Path(name)
            if path.is_symlink():
                options += ["--symlink", str(path.readlink()), name]
            elif path.is_dir():
                options += ["--ro-bind", name, name]
        for path in system_paths():
            options += ["--ro-bind", str(path.resolve()), str(path)]
        if network and Path("/etc/resolv.conf").exists():
            options += ["--ro-bind", str(Path("/etc/resolv.conf").resolve()), "/etc/resolv.conf"]
        uid, gid = os.getuid() or UNPRIVILEGED_ID, os.getgid() or UNPRIVILEGED_ID
        passwd = f"root:x:0:0::/:/bin/sh\nsandbox:x:{uid}:{gid}::{HOME}:/bin/sh\n"
        group = f"root:x:0:\nsandbox:x:{gid}:\n"
        for name, text in (("passwd", passwd), ("group", group)):
            fd = fds.holding(name, text.encode())
            if _supports(self._bwrap, "--perms"):
                options += ["--perms", "0444"]
            options += ["--ro-bind-data", str(fd), f"/etc/{name}"]
        options += ["--proc", "/proc", "--dev", "/dev"]
        # Started by root, the command still is uid 0 to the kernel, and sysctls ask for no more:
        # core_pattern could be opened for writing until this was mounted over it.
        options += ["--ro-bind", "/proc/sys", "/proc/sys"]
        for mount in ("/tmp", str(HOME)):
            if _supports(self._bwrap, "--size"):
                options += ["--size", str(TMPFS_BYTES)]
            options += ["--tmpfs", mount]
        return options


def _namespaces(network: bool) -> list[str]:
    """As root, another uid inside: files stay writable as their owner, but no capability is left.

    Host uid 0 is exempt from RLIMIT_NPROC whatever the uid inside, so for root the number of
    processes is limited by the watcher alone.
    """
    uid = str(os.getuid() or UNPRIVILEGED_ID)
    gid = str(os.getgid() or UNPRIVILEGED_ID)
    options = ["--unshare-all", "--unshare-user", "--uid", uid, "--gid", gid]
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"]
    return [*options, "--share-net"] if network else options


def _seccomp(fds: Descriptors) -> list[str]:
    program = seccomp.program()
    return ["--seccomp", str(fds.holding("seccomp", program))] if program else []


def _binds(writable: Iterable[Path], readable: Iterable[Path], kept: Iterable[Path]) -> list[str]:
    """Outer before inner, so that what is deeper decides; `kept` last of all."""
    modes: dict[Path, tuple[str, Path]] = {}
    for path in readable:
        modes |= {name: ("--ro-bind", path.resolve()) for name in both_names(path)}
    for path in writable:
        modes |= {name: ("--bind", path.resolve()) for name in both_names(path)}
    options: list[str] = []
    for name, (mode, source) in sorted(modes.items(), key=lambda item: len(item[0].parts)):
        options += [mode, str(source), str(name)]
    targets = {path: path for path in kept if not path.is_symlink()}
    for path in writable:
        if (path / ".git").resolve() in targets and path != path.resolve():
            targets[path / ".git"] = (path / ".git").resolve()
    visible = tuple(modes)
    for name, source in targets.items():
        if within(name, visible):
            options += ["--ro-bind", str(source), str(name)]
    return options


@functools.cache
def _counts_per_namespace() -> bool:
    """Since Linux 5.14 RLIMIT_NPROC inside a user namespace counts only what runs inside."""
    major, minor, *_ = platform.release().split(".")
    return (int(major), int(minor.partition("-")[0])) >= (5, 14)


def _limited(limits: Limits, argv: tuple[str, ...]) -> tuple[str, ...]:
    if not _counts_per_namespace():
        return argv
    # -u is the number of processes in bash, -p in dash
    script = 'ulimit -u "$0" 2>/dev/null || ulimit -p "$0" 2>/dev/null; exec "$@"'
    return ("/bin/sh", "-c", script, str(limits.processes), *argv)


@functools.cache
def version(bwrap: Path) -> str:
    """What it calls itself: `bubblewrap 0.8.0`."""
    answer = subprocess.run((str(bwrap), "--version"), capture_output=True, check=False, timeout=10)
    return answer.stdout.decode(errors="replace").strip()


@functools.cache
def _supports(bwrap: Path, option: str) -> bool:
    """`--perms` and `--size` are missing from the bubblewrap of older distributions."""
    answer = subprocess.run((str(bwrap), "--help"), capture_output=True, check=False, timeout=10)
    return option.encode() in answer.stdout + answer.stderr
